"""The verb ``values``: the chart's values.schema.json and the table in its README, from the comments in values.yaml.

Above a value stands ``# -- `` and what it does, over as many lines as it takes, and where its type does not follow
from its default a line ``# @schema`` with a piece of JSON schema in YAML's flow style. A map that has neither is
there for its members alone, and takes no others.
"""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from scripts import schemata
from scripts.render.outputs import Rendered
from scripts.tree import TreeError

CHART = pathlib.PurePosixPath("chart/dask-kubernetes-operator")
_SOURCE = "values.yaml"
_DESCRIPTION = "# -- "
_SCHEMA = "# @schema "
# What Helm 3 reads, and Helm 4 too.
_DIALECT = "http://json-schema.org/draft-07/schema#"
_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
_BEGIN, _END = (f"<!-- {word} of what `python -m scripts.render values` writes -->" for word in ("begin", "end"))

# Not the chart's own: Helm hands them to every chart that another one depends on.
_OF_PARENTS: dict[str, Any] = {
    "global": {"type": "object", "description": "Values of a chart that depends on this one; they have no effect"},
    "enabled": {
        "type": "boolean",
        "description": "For a chart that depends on this one on a condition; it has no effect here",
    },
}


@dataclass(frozen=True)
class Value:
    """A value with a comment.

    Attributes:
        path: such as ``image.name``.
        default: as values.yaml has it.
        description: what it does.
        schema: the piece of JSON schema that was written for it.
    """

    path: str
    default: Any
    description: str
    schema: dict[str, Any]


def render(root: pathlib.Path, _kubernetes: str = schemata.DEFAULT_MINOR) -> Rendered:
    """The outputs of the verb.

    Raises:
        TreeError: a value has no comment, or one that cannot be read; it names the value.
    """
    text = (root / CHART / "values.yaml").read_text(encoding="utf-8")
    readme = (root / CHART / "README.md").read_text(encoding="utf-8")
    values = list(read(text))
    schema = json.dumps(schema_of(values, yaml.safe_load(text)), indent=2, ensure_ascii=False)
    return Rendered(
        {CHART / "values.schema.json": f"{schema}\n", CHART / "README.md": _in_page(readme, _table(values))}
    )


def read(text: str) -> Iterator[Value]:
    """The values of a values.yaml that have a comment, in its order.

    Raises:
        TreeError: a leaf has none, or its schema is no YAML.
    """
    node = yaml.compose(text)
    if not isinstance(node, yaml.MappingNode):
        raise TreeError(_SOURCE, (), "expected a map")
    yield from _members(node, text.splitlines(), yaml.safe_load(text), "")


def schema_of(values: list[Value], defaults: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a values file: closed, down to what the chart hands on to Kubernetes."""
    known = {value.path: value for value in values}
    root = _object(defaults, known, "")
    root["properties"] |= _OF_PARENTS
    return {"$schema": _DIALECT, "title": "Values of the chart dask-kubernetes-operator", **root}


def _members(node: yaml.MappingNode, lines: list[str], values: dict[str, Any], prefix: str) -> Iterator[Value]:
    for key, member in node.value:
        path, default = f"{prefix}{key.value}", values[key.value]
        description, schema = _comment(lines, key.start_mark.line, path)
        if description:
            yield Value(path, default, description, schema)
        elif isinstance(member, yaml.MappingNode) and member.value:
            yield from _members(member, lines, default, f"{path}.")
        else:
            raise TreeError(_SOURCE, tuple(path.split(".")), 'there is no "# -- " comment above it')


def _comment(lines: list[str], below: int, path: str) -> tuple[str, dict[str, Any]]:
    """What stands above a line: a description and a schema."""
    first = below
    while first and lines[first - 1].strip().startswith("# "):
        first -= 1
    words: list[str] = []
    schema: dict[str, Any] = {}
    for line in map(str.strip, lines[first:below]):
        if line.startswith(_SCHEMA):
            try:
                schema |= yaml.safe_load(line.removeprefix(_SCHEMA))
            except (yaml.YAMLError, TypeError, ValueError) as error:
                raise TreeError(_SOURCE, tuple(path.split(".")), f"its @schema cannot be read: {error}") from error
        elif line.startswith(_DESCRIPTION):
            words = [line.removeprefix(_DESCRIPTION)]
        elif words:
            words.append(line.removeprefix("# "))
    return " ".join(words), schema


def _object(defaults: dict[str, Any], known: dict[str, Value], prefix: str) -> dict[str, Any]:
    properties = {}
    required = []
    for key, default in defaults.items():
        path = f"{prefix}{key}"
        is_leaf = path in known
        properties[key] = _property(known[path]) if is_leaf else _object(default, known, f"{path}.")
        # A null takes a default away. Nothing in the place of something that is empty, or a list, is all right.
        if not is_leaf or not (default in ("", None) or isinstance(default, list | dict)):
            required.append(key)
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _property(value: Value) -> dict[str, Any]:
    kind = {} if "type" in value.schema or "enum" in value.schema else {"type": _type(value)}
    return {"description": value.description, "default": value.default, **kind, **value.schema}


def _type(value: Value) -> str:
    """The type of a default that has only one it could have."""
    found = _TYPES.get(type(value.default))
    if found is None or value.default == []:
        problem = "its type does not follow from its default; add a # @schema line"
        raise TreeError(_SOURCE, tuple(value.path.split(".")), problem)
    return found


def _table(values: list[Value]) -> str:
    rows = ["| Value | Description | Default |", "| --- | --- | --- |"]
    for value in values:
        default = json.dumps(value.default, ensure_ascii=False)
        rows.append(f"| `{value.path}` | {_cell(value.description)} | `{_cell(default)}` |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _in_page(page: str, table: str) -> str:
    """The page with the table in its place."""
    found = re.search(f"{re.escape(_BEGIN)}\n.*{re.escape(_END)}", page, re.DOTALL)
    if found is None:
        raise TreeError("README.md of the chart", (), f"the lines {_BEGIN} and {_END} are missing")
    return f"{page[: found.start()]}{_BEGIN}\n{table}\n{_END}{page[found.end() :]}"
