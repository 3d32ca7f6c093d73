"""values.schema.json and the README say what values.yaml says, and refuse nothing that works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from scripts.render import values
from scripts.tree import TreeError
from tests.render.chart.helm import CHART, Helm, Object, render

pytestmark = pytest.mark.render

SCHEMA: Object = json.loads((CHART / "values.schema.json").read_text())
VALUES: Object = yaml.safe_load((CHART / "values.yaml").read_text())


def properties(schema: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    """Every property of the chart's own, those that have properties themselves too."""
    for key, member in schema.get("properties", {}).items():
        yield f"{path}{key}", member
        if "default" not in member:
            yield from properties(member, f"{path}{key}.")


SECTIONS = {path: member for path, member in properties(SCHEMA) if "properties" in member and "default" not in member}
LEAVES = {path: member for path, member in properties(SCHEMA) if "default" in member}


def test_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)


def test_every_part_is_closed() -> None:
    assert SCHEMA["additionalProperties"] is False
    assert [path for path, section in SECTIONS.items() if section["additionalProperties"] is not False] == []


def test_every_value_is_described_in_schema_and_readme() -> None:
    readme = (CHART / "README.md").read_text()
    assert {leaf.partition(".")[0] for leaf in LEAVES} == VALUES.keys()
    for path, leaf in LEAVES.items():
        assert leaf["description"]
        assert f"| `{path}` | " in readme


@pytest.mark.parametrize("path", [path for path, leaf in LEAVES.items() if "examples" in leaf])
def test_examples_are_accepted(path: str) -> None:
    for example in LEAVES[path]["examples"]:
        jsonschema.validate(example, LEAVES[path])


def test_chart_that_depends_on_this_one_may_hand_down_its_own_values(helm: Helm, defaults: list[Object]) -> None:
    assert render({"global": {"anything": {"goes": 1}}, "enabled": True}, helm=helm) == defaults


# The source -----------------------------------------------------------------------------------------------------

SOURCE = """
# Not for the table.

# -- How many. A second
# line of it
# @schema {minimum: 0}
count: 1

part:
  # -- Whom to greet
  # @schema {type: array, items: {type: string}}
  # @schema {examples: [[world]]}
  names: []
# -- Handed on as it is
# @schema {type: object}
whole:
  a: 1
"""


def schema_of(source: str) -> Any:
    return values.schema_of(list(values.read(source)), yaml.safe_load(source))


def test_schema_comes_of_comments_and_defaults() -> None:
    schema = schema_of(SOURCE)
    assert schema["properties"].pop("global")
    assert schema["properties"].pop("enabled")
    assert schema["required"] == ["count", "part"]
    assert schema["properties"] == {
        "count": {"description": "How many. A second line of it", "default": 1, "type": "integer", "minimum": 0},
        "part": {
            "type": "object",
            "additionalProperties": False,
            "required": [],
            "properties": {
                "names": {
                    "description": "Whom to greet",
                    "default": [],
                    "type": "array",
                    "items": {"type": "string"},
                    "examples": [["world"]],
                },
            },
        },
        "whole": {"description": "Handed on as it is", "default": {"a": 1}, "type": "object"},
    }


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("a: 1", 'values.yaml: .*a.*: there is no "# -- " comment above it'),
        ("# -- B\nb: 1\nc:\n  # plain\n  d: 1", 'values.yaml: .*c.*d.*: there is no "# -- " comment above it'),
        ("# -- A\n# @schema {type\na: 1", "values.yaml: .*a.*: its @schema cannot be read"),
        ("# -- A\n# @schema string\na: 1", "values.yaml: .*a.*: its @schema cannot be read"),
        ("# -- A\na:", "values.yaml: .*a.*: its type does not follow from its default; add a # @schema line"),
        ("# -- A\na: []", "its type does not follow from its default"),
        ("# -- A\na: {}", "its type does not follow from its default"),
        ("- a", "expected a map"),
    ],
)
def test_source_that_says_too_little_is_refused_by_its_value(source: str, sentence: str) -> None:
    with pytest.raises(TreeError, match=sentence):
        schema_of(source)


def test_readme_keeps_what_is_not_the_table() -> None:
    page = f"before\n{values._BEGIN}\nold\n{values._END}\nafter\n"
    table = values._table(list(values.read("# -- One | two\na: b")))
    assert values._in_page(page, table) == (
        f"before\n{values._BEGIN}\n| Value | Description | Default |\n| --- | --- | --- |\n"
        f'| `a` | One \\| two | `"b"` |\n{values._END}\nafter\n'
    )
    with pytest.raises(TreeError, match="are missing"):
        values._in_page("no place", table)
