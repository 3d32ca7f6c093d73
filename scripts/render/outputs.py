"""Writes what a verb rendered, or says what is stale. The only module of the package that writes files."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rendered:
    """What a verb rendered.

    Attributes:
        files: content by path from the root of the repository.
        owned: folders in which every file is generated, so that one that is not rendered any more is stale.
    """

    files: dict[pathlib.PurePosixPath, str]
    owned: frozenset[pathlib.PurePosixPath] = field(default_factory=frozenset)


def stale(rendered: Rendered, root: pathlib.Path) -> Iterator[str]:
    """A line for each file that is missing, differs, or should not be there; sorted by path."""
    for path, content in sorted(rendered.files.items()):
        file = root / path
        if not file.is_file():
            yield f"{path} is missing"
        elif file.read_bytes() != content.encode():
            yield f"{path} is stale"
    for file in _leftovers(rendered, root):
        yield f"{file.relative_to(root)} is not rendered any more"


def write(rendered: Rendered, root: pathlib.Path) -> Iterator[str]:
    """Brings the tree up to date; yields a line for each file that changed."""
    for path, content in sorted(rendered.files.items()):
        file = root / path
        if file.is_file() and file.read_bytes() == content.encode():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode())
        yield f"wrote {path}"
    for file in _leftovers(rendered, root):
        file.unlink()
        yield f"removed {file.relative_to(root)}"


def _leftovers(rendered: Rendered, root: pathlib.Path) -> list[pathlib.Path]:
    known = {root / path for path in rendered.files}
    found = (file for folder in rendered.owned for file in (root / folder).rglob("*") if file.is_file())
    return sorted(file for file in found if file not in known)
