"""Three dialects, one closure."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.schemata.closure import INT_OR_STRING, QUANTITY, closure, definitions
from scripts.tree import TreeError

pytestmark = pytest.mark.unit

V2: dict[str, Any] = {
    "definitions": {
        "Root": {
            "type": "object",
            "description": "Theirs.",
            "required": ["port", "limit"],
            "properties": {
                "port": {"$ref": f"#/definitions/{INT_OR_STRING}", "description": "Theirs."},
                "limit": {"$ref": f"#/definitions/{QUANTITY}"},
                "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                "description": {"type": "string"},
                "more": {"type": "object", "additionalProperties": {"$ref": "#/definitions/Leaf"}},
            },
            "x-kubernetes-group-version-kind": [],
        },
        "Leaf": {
            "type": "object",
            "x-kubernetes-map-type": "atomic",
            "properties": {"a": {"type": "integer", "format": "int32"}},
        },
        INT_OR_STRING: {"type": "string", "format": "int-or-string"},
        QUANTITY: {"type": "string"},
        "Unused": {"type": "object"},
    }
}
V3: dict[str, Any] = {
    "components": {
        "schemas": {
            "Root": {
                "type": "object",
                "required": ["limit", "port"],
                "properties": {
                    "port": {"allOf": [{"$ref": f"#/components/schemas/{INT_OR_STRING}"}], "default": {}},
                    "limit": {"allOf": [{"$ref": f"#/components/schemas/{QUANTITY}"}]},
                    "tags": {
                        "type": "array",
                        "items": {"type": "string", "default": ""},
                        "x-kubernetes-list-type": "set",
                    },
                    "description": {"type": "string", "default": "", "enum": ["", "a"]},
                    "more": {
                        "type": "object",
                        "additionalProperties": {
                            "allOf": [{"$ref": "#/components/schemas/Leaf"}],
                            "default": {},
                        },
                    },
                },
            },
            "Leaf": {
                "type": "object",
                "x-kubernetes-map-type": "atomic",
                "properties": {"a": {"type": "integer", "format": "int32"}},
            },
            INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
            QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
        }
    }
}
BUNDLE: dict[str, Any] = {
    "definitions": {
        "Root": {
            "type": "object",
            "$schema": "http://json-schema.org/schema#",
            "required": ["port", "limit"],
            "properties": {
                "port": {"$ref": f"#/definitions/{INT_OR_STRING}"},
                "limit": {"$ref": f"#/definitions/{QUANTITY}"},
                "tags": {
                    "type": ["array", "null"],
                    "items": {"type": ["string", "null"]},
                    "x-kubernetes-list-type": "set",
                },
                "description": {"type": ["string", "null"]},
                "more": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/definitions/Leaf"}},
            },
        },
        "Leaf": {
            "type": "object",
            "x-kubernetes-map-type": "atomic",
            "properties": {"a": {"type": ["integer", "null"], "format": "int32"}},
        },
        INT_OR_STRING: {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    }
}


@pytest.mark.parametrize("document", [V2, V3, BUNDLE], ids=["OpenAPI v2", "OpenAPI v3", "kubernetes-validate"])
def test_each_dialect_gives_the_same_closure(document: dict[str, Any]) -> None:
    assert closure(definitions(document, "d"), "d", ("Root",)) == {
        "Leaf": {
            "properties": {"a": {"format": "int32", "type": "integer"}},
            "type": "object",
            "x-kubernetes-map-type": "atomic",
        },
        "Root": {
            "properties": {
                "description": {"type": "string"},
                "limit": {"$ref": f"#/definitions/{QUANTITY}"},
                "more": {"additionalProperties": {"$ref": "#/definitions/Leaf"}, "type": "object"},
                "port": {"$ref": f"#/definitions/{INT_OR_STRING}"},
                "tags": {"items": {"type": "string"}, "type": "array", "x-kubernetes-list-type": "set"},
            },
            "required": ["limit", "port"],
            "type": "object",
        },
        INT_OR_STRING: {"format": "int-or-string", "type": "string"},
        QUANTITY: {"format": "quantity", "type": "string"},
    }


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({}, r"d: Root: this definition is referred to and missing"),
        (
            {"Root": {"properties": {"a": {"$ref": "#/definitions/Leaf"}}}},
            r"d: Leaf: this definition is referred to and missing",
        ),
        (
            {"Root": {"type": "object", "if": {}}},
            r"d: Root\.if: this keyword of Kubernetes' OpenAPI is not known here",
        ),
        ({"Root": {"properties": {"a": {"oneOf": []}}}}, r"d: Root\.properties\.a\.oneOf: this keyword"),
        ({"Root": {"allOf": [{"type": "object"}, {"type": "string"}]}}, r"d: Root\.allOf: this keyword"),
        (
            {"Root": {"type": "string", "format": "colour"}},
            r"d: Root\.format: the format colour is not known here",
        ),
        ({"Root": 1}, r"d: Root: expected a mapping"),
    ],
)
def test_what_is_not_known_is_refused_with_its_place(broken: dict[str, Any], message: str) -> None:
    with pytest.raises(TreeError, match=message):
        closure(broken, "d", ("Root",))


@pytest.mark.parametrize("document", [{}, {"components": {}}, {"definitions": []}, {"paths": {}}])
def test_a_document_without_definitions_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(TreeError, match="there are no definitions here"):
        definitions(document, "d")
