"""The tables in cases/ as data."""

from __future__ import annotations

import copy
import pathlib
from dataclasses import dataclass, field
from typing import Any

import yaml

from scripts.crd import patch

FOLDER = pathlib.Path(__file__).parent / "cases"
BASES: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "bases.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Case:
    """An object and what becomes of it.

    Attributes:
        name: what is odd about it.
        kind: which base it changes.
        add: values to set, by JSON pointer.
        remove: JSON pointers of what to take away.
        says: parts of the message with which it is refused, divided by " … "; empty when it is accepted.
    """

    name: str
    kind: str
    add: dict[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    says: str = ""

    def resource(self) -> dict[str, Any]:
        """The object."""
        operations = [{"op": "remove", "path": path} for path in self.remove]
        operations += [{"op": "add", "path": path, "value": value} for path, value in self.add.items()]
        patched = patch.apply(copy.deepcopy(BASES[self.kind]), operations, self.name)  # type: ignore[arg-type]
        assert isinstance(patched, dict)
        return patched


def load(file: str) -> list[Case]:
    """The cases of a table, in its order."""
    rows = yaml.safe_load((FOLDER / file).read_text(encoding="utf-8"))
    return [Case(**{**row, "remove": tuple(row.get("remove", ()))}) for row in rows]
