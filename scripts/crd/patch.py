"""JSON patches (RFC 6902) for what a reference cannot say."""

from __future__ import annotations

import copy

from scripts.crd import pointer
from scripts.tree import Mapping, Node, TreeError, as_mapping


def apply(root: Node, operations: list[Node], name: str) -> Node:
    """A patched copy of a tree.

    Args:
        root: the tree; it is not changed.
        operations: objects with `op` (add, copy, move, remove, replace, test), `path`, and `value` or `from`.
        name: name of the patch, for errors.

    Raises:
        TreeError: an operation is malformed, leads nowhere, or is a test that fails.
    """
    patched = copy.deepcopy(root)
    for index, operation in enumerate(operations):
        members = as_mapping(operation, name, (index,))
        try:
            patched = _apply_one(patched, members)
        except (LookupError, ValueError) as error:
            raise TreeError(name, (index,), f"cannot be applied to {members.get('path')}: {error}") from error
    return patched


def _apply_one(root: Node, operation: Mapping) -> Node:
    match operation:
        case {"op": "add", "path": str(path), "value": value}:
            return _add(root, path, copy.deepcopy(value))
        case {"op": "remove", "path": str(path)}:
            return _remove(root, path)
        case {"op": "replace", "path": str(path), "value": value}:
            return _add(_remove(root, path), path, copy.deepcopy(value)) if path else copy.deepcopy(value)
        case {"op": "move", "path": str(path), "from": str(source)}:
            value = pointer.get(root, source)
            return _add(_remove(root, source), path, value)
        case {"op": "copy", "path": str(path), "from": str(source)}:
            return _add(root, path, copy.deepcopy(pointer.get(root, source)))
        case {"op": "test", "path": str(path), "value": value}:
            if (found := pointer.get(root, path)) != value:
                raise ValueError(f"test found {found!r}")
            return root
    raise ValueError("it has no known op, or misses path, value or from")


def _parent(root: Node, path: str) -> tuple[Node, str]:
    *parents, last = pointer.parse(path)
    node = root
    for token in parents:
        node = pointer.step(node, token)
    return node, last


def _add(root: Node, path: str, value: Node) -> Node:
    if not path:
        return value
    parent, last = _parent(root, path)
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and last == "-":
        parent.append(value)
    elif isinstance(parent, list) and last.isdigit() and int(last) <= len(parent):
        parent.insert(int(last), value)
    else:
        raise LookupError(last)
    return root


def _remove(root: Node, path: str) -> Node:
    if not path:
        raise ValueError("the whole document cannot be removed")
    parent, last = _parent(root, path)
    pointer.step(parent, last)
    if isinstance(parent, dict):
        del parent[last]
    elif isinstance(parent, list):
        del parent[int(last)]
    return root
