"""Plain JSON trees, and the one error type that says where in a tree something is wrong."""

from __future__ import annotations

from typing import TypeAlias

# YAML and JSON documents as `yaml.safe_load` and `json.load` give them.
Node: TypeAlias = "bool | int | float | str | list[Node] | dict[str, Node] | None"
Mapping: TypeAlias = "dict[str, Node]"

Path: TypeAlias = tuple[str | int, ...]


def show_path(path: Path) -> str:
    """The path as people write it: ``spec.versions[0].schema``, or ``(root)`` when empty."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".") or "(root)"


class TreeError(ValueError):
    """Something is wrong at one place of one document.

    Attributes:
        document: name of the document, as a reader would look for it.
        path: the steps from its root.
        problem: what is wrong there.
    """

    def __init__(self, document: str, path: Path, problem: str) -> None:
        super().__init__(f"{document}: {show_path(path)}: {problem}")
        self.document = document
        self.path = path
        self.problem = problem


def as_mapping(node: Node, document: str, path: Path) -> Mapping:
    """The node itself if it is a mapping.

    Raises:
        TreeError: it is something else.
    """
    if not isinstance(node, dict):
        raise TreeError(document, path, f"expected a mapping, found {type(node).__name__}")
    return node
