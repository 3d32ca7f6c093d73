from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from scripts.crd.documents import Documents
from scripts.crd.resolver import resolve
from scripts.tree import TreeError

pytestmark = pytest.mark.unit

POD_SPEC = "python://scripts/schemata/k8s-1.36.json#/definitions/io.k8s.api.core.v1.PodSpec"

Resolve = Callable[..., Any]


@pytest.fixture
def resolve_source(tmp_path: pathlib.Path) -> Resolve:
    """Resolves the schema of a document among others, given as name=content."""

    def run(schema: Any, **others: Any) -> Any:
        for name, content in ({"main": {"schema": schema}} | others).items():
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        documents = Documents("1.36")
        document = documents.open(tmp_path / "main.yaml")
        return resolve(document.root["schema"], document, documents, ("schema",))  # type: ignore[arg-type]

    return run


def test_a_schema_without_references_is_itself(resolve_source: Resolve) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "description": "Ours."}}}
    assert resolve_source(schema) == schema


def test_a_relative_reference_is_put_in_place(resolve_source: Resolve) -> None:
    schema = {"properties": {"a": {"$ref": "other.yaml#/definitions/A"}}}
    resolved = resolve_source(schema, other={"definitions": {"A": {"type": "integer"}}})
    assert resolved == {"properties": {"a": {"type": "integer"}}}


def test_a_reference_inside_a_referenced_document_is_relative_to_it(resolve_source: Resolve) -> None:
    other = {"definitions": {"A": {"$ref": "#/definitions/B"}, "B": {"type": "integer"}}}
    assert resolve_source({"$ref": "other.yaml#/definitions/A"}, other=other) == {"type": "integer"}


@pytest.mark.parametrize("where", ["items", "additionalProperties", "not"])
def test_a_reference_is_found_in_a_keyword_that_holds_a_schema(resolve_source: Resolve, where: str) -> None:
    other = {"A": {"type": "integer"}}
    assert resolve_source({where: {"$ref": "other.yaml#/A"}}, other=other) == {where: {"type": "integer"}}


@pytest.mark.parametrize("where", ["allOf", "anyOf", "oneOf"])
def test_a_reference_is_found_in_a_list_of_schemas(resolve_source: Resolve, where: str) -> None:
    other = {"A": {"type": "integer"}}
    assert resolve_source({where: [{"$ref": "other.yaml#/A"}]}, other=other) == {where: [{"type": "integer"}]}


def test_a_property_named_ref_or_description_is_a_property(resolve_source: Resolve) -> None:
    schema = {"properties": {"$ref": {"type": "string"}, "description": {"type": "string"}}}
    assert resolve_source(schema) == schema


def test_a_default_that_looks_like_a_reference_is_a_value(resolve_source: Resolve) -> None:
    schema = {"type": "object", "default": {"$ref": "nothing"}}
    assert resolve_source(schema) == schema


def test_keywords_beside_a_reference_win_and_come_first(resolve_source: Resolve) -> None:
    other = {"A": {"type": "integer", "description": "Theirs.", "minimum": 0}}
    resolved = resolve_source({"$ref": "other.yaml#/A", "description": "Ours."}, other=other)
    assert list(resolved.items()) == [("description", "Ours."), ("type", "integer"), ("minimum", 0)]


def test_one_definition_may_be_used_twice(resolve_source: Resolve) -> None:
    ref = {"$ref": "other.yaml#/A"}
    resolved = resolve_source({"properties": {"a": ref, "b": ref}}, other={"A": {"type": "integer"}})
    assert resolved["properties"] == {"a": {"type": "integer"}, "b": {"type": "integer"}}


def test_a_pod_spec_of_a_packaged_schema(resolve_source: Resolve) -> None:
    resolved = resolve_source({"$ref": POD_SPEC})
    assert resolved["required"] == ["containers"]
    text = json.dumps(resolved)
    assert "$ref" not in text
    assert '"description": "' not in text


def test_a_foreign_description_goes_and_ours_stays(
    resolve_source: Resolve, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "somebody"
    package.mkdir()
    (package / "__init__.py").touch()
    foreign = {
        "A": {
            "type": "object",
            "description": "Theirs.",
            "x-kubernetes-patch-strategy": "merge",
            "x-kubernetes-map-type": "atomic",
            "properties": {"description": {"type": "string", "description": "Theirs."}},
        }
    }
    (package / "schema.json").write_text(json.dumps(foreign), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    resolved = resolve_source(
        {"properties": {"a": {"$ref": "python://somebody/schema.json#/A", "description": "Ours."}}}
    )
    assert resolved["properties"]["a"] == {
        "description": "Ours.",
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {"description": {"type": "string"}},
    }


@pytest.mark.parametrize("minor", ["1.31", "1.34", "1.37"])
def test_another_minor_of_kubernetes_is_read_instead(tmp_path: pathlib.Path, minor: str) -> None:
    (tmp_path / "main.yaml").write_text(yaml.safe_dump({"schema": {"$ref": POD_SPEC}}), encoding="utf-8")
    documents = Documents(minor)
    document = documents.open(tmp_path / "main.yaml")
    properties = resolve({"$ref": POD_SPEC}, document, documents)["properties"]
    assert isinstance(properties, dict)
    assert ("resources" in properties) == (minor != "1.31")


# --- what is refused, with the place ---


@pytest.mark.parametrize(
    ("schema", "others", "message"),
    [
        (
            {"properties": {"a": {"$ref": "none.yaml#/A"}}},
            {},
            r"main\.yaml: schema\.properties\.a: there is no file none\.yaml beside main\.yaml",
        ),
        (
            {"$ref": "#/definitions/None"},
            {},
            r"main\.yaml: schema: \$ref #/definitions/None leads nowhere: /definitions",
        ),
        ({"$ref": "other.yaml#/A/x"}, {"other": {"A": {}}}, r"leads nowhere: /A/x"),
        ({"$ref": "other.yaml#A"}, {"other": {"A": {}}}, r"is no JSON pointer"),
        (
            {"$ref": "other.yaml"},
            {"other": {}},
            r"\$ref has to be <document>#<JSON pointer>, not 'other\.yaml'",
        ),
        ({"$ref": ["#/a"]}, {}, r"\$ref has to be"),
        ({"$ref": "other.yaml#/A"}, {"other": {"A": 1}}, r"other\.yaml: .*: expected a mapping, found int"),
        ({"$ref": "other.yaml#/A"}, {"other": [1]}, r"other\.yaml: \(root\): expected a mapping, found list"),
        (
            {"$ref": "python://no_such_package/a.json#/A"},
            {},
            r"main\.yaml: schema: python://no_such_package/a\.json cannot be read",
        ),
        (
            {"$ref": "python://scripts/schemata/none.json#/A"},
            {},
            r"scripts/schemata/none\.json cannot be read",
        ),
        (
            {"$ref": "python://scripts/schemata/k8s-1.36.json#/definitions/None"},
            {},
            r"leads nowhere: /definitions/None",
        ),
        (
            {"items": {"definitions": {}}},
            {},
            r"main\.yaml: schema\.items\.definitions: this keyword is not supported in a CRD",
        ),
        (
            {"properties": {"a": {"patternProperties": {}}}},
            {},
            r"schema\.properties\.a\.patternProperties: this keyword is not supported",
        ),
        ({"allOf": [{"typ": "string"}]}, {}, r"schema\.allOf\[0\]\.typ: this keyword is not supported"),
        (
            {"x-kubernetes-patch-strategy": "merge"},
            {},
            r"x-kubernetes-patch-strategy: this keyword is not supported",
        ),
        (
            {"$ref": "#/schema"},
            {},
            r"a schema cannot contain itself: main\.yaml#/schema -> main\.yaml#/schema",
        ),
        (
            {"$ref": "other.yaml#/A"},
            {"other": {"A": {"properties": {"b": {"$ref": "#/B"}}}, "B": {"items": {"$ref": "#/A"}}}},
            r"B\.items: a schema cannot contain itself: other\.yaml#/A -> other\.yaml#/B -> other\.yaml#/A",
        ),
    ],
)
def test_is_refused_with_its_place(
    resolve_source: Resolve, schema: Any, others: dict[str, Any], message: str
) -> None:
    with pytest.raises(TreeError, match=message):
        resolve_source(schema, **others)


def test_a_packaged_document_cannot_lead_out_of_its_package(
    resolve_source: Resolve, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "__init__.py").touch()
    (tmp_path / "elsewhere" / "a.json").write_text('{"A": {"$ref": "../secret.yaml#/A"}}', encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TreeError, match="leads out of a packaged document"):
        resolve_source({"$ref": "python://elsewhere/a.json#/A"})


def test_a_document_that_is_no_yaml(tmp_path: pathlib.Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(TreeError, match=r"broken\.yaml: \(root\): cannot be parsed"):
        Documents("1.36").open(tmp_path / "broken.yaml")
