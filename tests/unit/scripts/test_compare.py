from __future__ import annotations

import copy
from typing import Any

import pytest

from scripts.crd.compare import narrowings

pytestmark = pytest.mark.unit

OLD: dict[str, Any] = {
    "spec": {
        "group": "g",
        "scope": "Namespaced",
        "names": {"kind": "K", "shortNames": ["k", "kk"], "categories": ["c"]},
        "versions": [
            {
                "name": "v1",
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n"}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "Old words.",
                        "required": ["a"],
                        "properties": {
                            "a": {"type": "string", "enum": ["x", "y"], "nullable": True, "default": "x"},
                            "n": {"type": "integer", "minimum": 0, "maximum": 9},
                            "port": {"x-kubernetes-int-or-string": True},
                            "any": {"x-kubernetes-preserve-unknown-fields": True},
                            "list": {
                                "type": "array",
                                "items": {"type": "object", "properties": {"name": {"type": "string"}}},
                            },
                            "map": {"type": "object", "additionalProperties": {"type": "string"}},
                            "ruled": {
                                "type": "string",
                                "x-kubernetes-validations": [{"rule": "self != ''", "message": "old"}],
                            },
                        },
                    }
                },
            }
        ],
    }
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The CRD with one value set, or removed when it is None; the path is from its version's schema or from spec."""
    crd = copy.deepcopy(OLD)
    node: Any = crd["spec"]
    if path.startswith("/"):
        node = node["versions"][0]["schema"]["openAPIV3Schema"]
    *parents, last = path.strip("/").split("/")
    for step in parents:
        node = node[int(step)] if isinstance(node, list) else node[step]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return crd


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/description", "New words."),
        ("/properties/new", {"type": "string"}),
        ("/properties/a/enum", ["x", "y", "z"]),
        ("/properties/a/enum", None),
        ("/properties/n/minimum", None),
        ("/properties/n/minimum", -1),
        ("/properties/n/maximum", 10),
        ("/required", []),
        ("/properties/list", {"x-kubernetes-preserve-unknown-fields": True}),
        ("/properties/ruled/x-kubernetes-validations", None),
        ("/properties/ruled/x-kubernetes-validations/0/message", "new"),
        ("names/shortNames", ["kkk", "k", "kk"]),
    ],
)
def test_what_widens_is_silent(path: str, value: Any) -> None:
    assert list(narrowings(OLD, changed(path, value), "k")) == []


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("group", "h", "group was g and is h"),
        ("scope", "Cluster", "scope was Namespaced and is Cluster"),
        ("names/kind", "L", "kind was K and is L"),
        ("names/shortNames", ["k"], "shortNames: kk is gone"),
        ("names/categories", [], "categories: c is gone"),
        ("versions/0/name", "v2", "version v1 is gone"),
        ("versions/0/subresources/status", None, "versions[0]: subresource status is gone"),
        ("versions/0/subresources/scale/specReplicasPath", ".spec.m", "versions[0]: subresource scale differs"),
        ("/properties/a", None, "a is gone"),
        ("/properties/list/items/properties/name", None, "list.*.name is gone"),
        ("/properties/a/type", "integer", 'a: type was "string" and is "integer"'),
        ("/properties/a/enum", ["x"], 'a: "y" is not accepted any more'),
        ("/properties/map/additionalProperties/enum", ["x"], 'map.*: only ["x"] is accepted now'),
        ("/properties/a/nullable", None, "a: nullable is gone"),
        ("/properties/a/default", None, 'a: default was "x" and is null'),
        ("/properties/a/default", "y", 'a: default was "x" and is "y"'),
        ("/properties/a/pattern", "^x$", 'a: pattern was null and is "^x$"'),
        ("/properties/a/format", "date-time", 'a: format was null and is "date-time"'),
        ("/properties/a/maxLength", 9, "a: maxLength was null and is 9"),
        ("/properties/n/minimum", 1, "n: minimum was 0 and is 1"),
        ("/properties/n/maximum", 8, "n: maximum was 9 and is 8"),
        ("/properties/port", {"type": "string"}, "port: x-kubernetes-int-or-string is gone"),
        ("/properties/any", {"type": "object"}, "any: x-kubernetes-preserve-unknown-fields is gone"),
        ("/properties/list/x-kubernetes-list-type", "set", "list: duplicates are refused now (list type set)"),
        ("/properties/map/additionalProperties", None, "map: additionalProperties is gone"),
        ("/required", ["a", "n"], "(root): n is required now"),
        ("/properties/ruled/x-kubernetes-validations/0/rule", "self == ''", "ruled: the rule \"self == ''\" is new"),
        ("/properties/n/x-kubernetes-validations", [{"rule": "self > 1"}], 'n: the rule "self > 1" is new'),
    ],
)
def test_what_narrows_is_said(path: str, value: Any, line: str) -> None:
    assert line in list(narrowings(OLD, changed(path, value), "k"))
