from __future__ import annotations

import re
from typing import Any

import pytest

from scripts.crd import invariants
from scripts.crd.structural import QUANTITY_PATTERN, make_structural
from scripts.tree import TreeError

pytestmark = pytest.mark.unit

INT_OR_STRING = {"x-kubernetes-int-or-string": True}


def map_list(keys: list[str], required: list[str], **properties: Any) -> dict[str, Any]:
    items: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        items["required"] = required
    return {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": keys,
        "items": items,
    }


def test_int_or_string() -> None:
    assert make_structural({"type": "string", "format": "int-or-string"}, "d") == INT_OR_STRING


def test_a_description_beside_a_format_stays() -> None:
    assert (
        make_structural({"description": "Ours.", "format": "int-or-string"}, "d")
        == {"description": "Ours."} | INT_OR_STRING
    )


def test_a_quantity_has_no_type_and_a_pattern_for_text() -> None:
    quantity = make_structural({"type": "string", "format": "quantity"}, "d")
    assert "type" not in quantity
    assert quantity["x-kubernetes-preserve-unknown-fields"] is True


@pytest.mark.parametrize(
    "text",
    ["2", "0.5", ".5", "5.", "-1", "+1", "500m", "1Gi", "6G", "1e9", "1E+9", "2k", "3n", "4u", "100Ei"],
)
def test_a_quantity_as_text(text: str) -> None:
    assert re.search(QUANTITY_PATTERN, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 2",
        "2 ",
        "2 Gi",
        "2GB",
        "2gi",
        "2g",
        "2K",
        "1ee9",
        "0,5",
        "two",
        "1e",
        ".",
        "m",
        "1Gib",
        "--1",
        "1_000",
    ],
)
def test_what_is_no_quantity(text: str) -> None:
    assert not re.search(QUANTITY_PATTERN, text)


@pytest.mark.parametrize(("key", "default"), [("protocol", "TCP"), ("name", "")])
def test_an_optional_key_gets_the_default_of_the_core_api(key: str, default: str) -> None:
    fixed: Any = make_structural(map_list([key], [], **{key: {"type": "string"}}), "d")
    assert fixed["items"]["properties"][key]["default"] == default


def test_a_required_key_gets_none() -> None:
    schema = map_list(["name"], ["name"], name={"type": "string"})
    assert make_structural(schema, "d") == schema


def test_a_default_that_is_there_stays() -> None:
    schema = map_list(["name"], [], name={"type": "string", "default": "a"})
    assert make_structural(schema, "d") == schema


def test_an_optional_key_without_a_known_default_is_refused() -> None:
    with pytest.raises(TreeError, match=r"d: spec\.items\.properties\.ip: this key of a map list is optional"):
        make_structural(map_list(["ip"], [], ip={"type": "string"}), "d", ("spec",))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object", "properties": {}}},
        {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]},
        {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["a"],
            "items": {"type": "object"},
        },
        map_list(["a"], [], b={"type": "string"}),
    ],
)
def test_a_map_list_that_is_not_whole_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(TreeError):
        make_structural(schema, "d")


def test_an_object_about_which_nothing_is_said_loses_nothing() -> None:
    assert make_structural({"type": "object"}, "d")["x-kubernetes-preserve-unknown-fields"] is True


@pytest.mark.parametrize("said", [{"properties": {}}, {"additionalProperties": {"type": "string"}}])
def test_an_object_about_which_something_is_said_does(said: dict[str, Any]) -> None:
    assert make_structural({"type": "object"} | said, "d") == {"type": "object"} | said


# --- invariants ---


def crd(schema: Any) -> dict[str, Any]:
    return {"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"not": {"type": "string"}, "anyOf": {"type": "integer"}}},
        {"type": "object", "properties": {"a": INT_OR_STRING}},
        {
            "type": "object",
            "properties": {"a": {"x-kubernetes-preserve-unknown-fields": True, "not": {"enum": [1]}}},
        },
        {"type": "string", "format": "date-time"},
        map_list(["name"], ["name"], name={"type": "string"}),
    ],
)
def test_a_structural_schema_passes(schema: dict[str, Any]) -> None:
    invariants.check(crd(schema), "d")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "#/a"}, r"openAPIV3Schema\.\$ref: this keyword is not supported"),
        ({"type": "object", "properties": {"a": {}}}, r"properties\.a: has neither a type"),
        ({"type": "object", "properties": {"not": {}}}, r"properties\.not: has neither a type"),
        ({"type": "array", "items": {"description": "a"}}, r"items: has neither a type"),
        (
            {"type": "string", "format": "int-or-string"},
            r"the API server does not know the format int-or-string",
        ),
        ({"type": "string", "format": "quantity"}, r"does not know the format quantity"),
        (map_list(["name"], [], name={"type": "string"}), r"the key name of a map list has to be required"),
        (map_list(["name"], ["name"]), r"items\.properties\.name: expected a mapping"),
        (map_list([], []), r"needs x-kubernetes-list-map-keys"),
        ("text", r"openAPIV3Schema: expected a mapping"),
    ],
)
def test_a_schema_that_is_not_structural_is_refused(schema: Any, message: str) -> None:
    with pytest.raises(TreeError, match=message):
        invariants.check(crd(schema), "d")


@pytest.mark.parametrize("broken", [{}, {"spec": {}}, {"spec": {"versions": []}}, {"spec": {"versions": [{}]}}])
def test_a_crd_without_a_schema_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(TreeError):
        invariants.check(broken, "d")


def test_a_crd_that_kubectl_apply_could_not_keep_is_refused() -> None:
    with pytest.raises(TreeError, match="bytes as compact JSON; kubectl apply needs less than 250000"):
        invariants.check(crd({"type": "object", "description": "x" * 250_000}), "d")
