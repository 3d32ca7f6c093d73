"""JSON pointers (RFC 6901)."""

from __future__ import annotations

from scripts.tree import Node


def parse(pointer: str) -> list[str]:
    """The unescaped tokens of a pointer.

    Raises:
        ValueError: it is neither empty nor starts with a slash.
    """
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON pointer: it has to start with /")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def step(node: Node, token: str) -> Node:
    """The child of a node that a token names.

    Raises:
        LookupError: there is none.
    """
    if isinstance(node, dict):
        return node[token]
    if isinstance(node, list) and token.isdigit():
        return node[int(token)]
    raise LookupError(token)


def get(root: Node, pointer: str) -> Node:
    """What a pointer points at.

    Raises:
        ValueError: it is no pointer.
        LookupError: it leads nowhere; the argument is the part that does.
    """
    node = root
    tokens = parse(pointer)
    for position, token in enumerate(tokens):
        try:
            node = step(node, token)
        except LookupError as error:
            raise LookupError("/" + "/".join(tokens[: position + 1])) from error
    return node
