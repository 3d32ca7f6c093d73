"""What CHANGELOG.md says of a version."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from ci.console import Failure

FILE = "CHANGELOG.md"
_UNRELEASED = "Unreleased"
_HEADING = re.compile(r"^## +(.*?) *$", re.MULTILINE)


def notes(root: Path, version: str) -> str:
    """The section of a version, without its heading.

    Raises:
        Failure: there is none, it is empty or has no date, or changes are still listed as not released.
    """
    sections = _sections((root / FILE).read_text(encoding="utf-8"))
    if sections.get(_UNRELEASED):
        raise Failure(f"{FILE}: there are changes under '## {_UNRELEASED}'; move them to '## {version} - DATE'.")
    found = [heading for heading in sections if heading.split(" - ")[0].strip("[]") == version]
    if not found:
        raise Failure(f"{FILE}: there is no section '## {version} - DATE'; write what is new in it, and tag that.")
    heading = found[0]
    try:
        datetime.date.fromisoformat(heading.partition(" - ")[2])
    except ValueError as error:
        raise Failure(f"{FILE}: '## {heading}' has no date; write it as '## {version} - 2026-09-01'.") from error
    if not sections[heading]:
        raise Failure(f"{FILE}: the section '## {heading}' is empty; write what is new in it.")
    return sections[heading] + "\n"


def released(root: Path) -> str | None:
    """The newest version, if nothing has changed since; None if something has, or if there is none."""
    sections = _sections((root / FILE).read_text(encoding="utf-8"))
    if sections.pop(_UNRELEASED, ""):
        return None
    return next((heading.split(" - ")[0].strip("[]") for heading in sections), None)


def _sections(text: str) -> dict[str, str]:
    """Texts by heading of the second level."""
    parts = _HEADING.split(text)[1:]
    return {heading: body.strip() for heading, body in zip(parts[::2], parts[1::2], strict=True)}
