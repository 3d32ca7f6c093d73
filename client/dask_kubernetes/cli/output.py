"""What commands print: tables for people, YAML and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import yaml

NOTHING = "-"

format_option = click.option(
    "--output",
    "-o",
    "output_format",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="How to print it.",
)

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
# Whole days are enough from here on, as with kubectl.
_TWO_UNITS_BELOW_SECONDS = 2 * 86400


def structured(value: Any, output_format: str) -> str:
    """YAML or JSON, with an end of line last."""
    if output_format == "json":
        return json.dumps(value, indent=2) + "\n"
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def as_list(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The form in which kubectl has several objects."""
    return {"apiVersion": "v1", "kind": "List", "items": [without_managed_fields(body) for body in objects]}


def without_managed_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """An object less the API server's records of who wrote which field."""
    metadata = {key: value for key, value in body.get("metadata", {}).items() if key != "managedFields"}
    return {**body, "metadata": metadata}


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns in capitals and rows below, aligned; ends with an end of line."""
    cells = [[*columns], *([NOTHING if value in (None, "") else str(value) for value in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "".join(f"{line}\n" for line in lines)


def age(since: str | None, now: datetime | None = None) -> str:
    """How long ago a time in a manifest is, in one or two units: ``45s``, ``3m12s``, ``5h2m``, ``6d``."""
    if not since:
        return NOTHING
    then = datetime.fromisoformat(since.replace("Z", "+00:00"))
    seconds = max(0, int(((now or datetime.now(UTC)) - then).total_seconds()))
    parts = []
    rest = seconds
    for unit, length in _UNITS:
        number, rest = divmod(rest, length)
        if number:
            parts.append(f"{number}{unit}")
        if parts and (seconds >= _TWO_UNITS_BELOW_SECONDS or len(parts) == 2):
            break
    return "".join(parts) or "0s"


class _Dumper(yaml.SafeDumper):
    """YAML without anchors, which few people read with ease, and with lists indented as in the documentation."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)
