"""Turns a resolved schema into a structural one, as apiextensions.k8s.io/v1 demands it.

The fix-ups, each for a refusal or a warning of a real API server:

- ``format: int-or-string`` becomes ``x-kubernetes-int-or-string`` (a port is ``8786`` or ``http``);
- ``format: quantity`` accepts ``2``, ``"2"`` and ``0.5``, as the resource API does;
- a key of a map list is required or has the default that the core API gives it;
- an object about which nothing is said keeps what it is given instead of losing it.
"""

from __future__ import annotations

from scripts.crd.keywords import map_children
from scripts.tree import Mapping, Node, Path, TreeError, as_mapping

# resource.ParseQuantity of k8s.io/apimachinery: signed number, then a binary, decimal or exponent suffix.
QUANTITY_PATTERN = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"

# SetDefaults_* of k8s.io/kubernetes/pkg/apis/core/v1 for those fields that are keys of map lists.
KEY_DEFAULTS: dict[str, Node] = {"protocol": "TCP", "name": ""}


def make_structural(schema: Mapping, name: str, path: Path = ()) -> Mapping:
    """A copy of a resolved schema with the fix-ups applied.

    Args:
        schema: the schema; it is not changed.
        name: name of its document, for errors.
        path: its path there.

    Raises:
        TreeError: a map list has a key for which no default is known.
    """
    schema = map_children(schema, lambda child, where: make_structural(child, name, where), path)
    match schema.get("format"):
        case "int-or-string":
            return _without(schema, "type", "format") | {"x-kubernetes-int-or-string": True}
        case "quantity":
            return _without(schema, "type", "format") | quantity()
    if schema.get("x-kubernetes-list-type") == "map":
        return _with_map_keys(schema, name, path)
    if _is_free_form(schema):
        return schema | {"x-kubernetes-preserve-unknown-fields": True}
    return schema


def quantity() -> Mapping:
    """Schema of a resource quantity.

    ``x-kubernetes-int-or-string`` would refuse 0.5, and a structural schema cannot say "or number", so the type is
    left open. Of what is left, ``pattern`` constrains strings only, and the rest is excluded by name.
    """
    return {
        "x-kubernetes-preserve-unknown-fields": True,
        "pattern": QUANTITY_PATTERN,
        "maxItems": 0,
        "maxProperties": 0,
        "not": {"enum": [True, False, [], {}]},
    }


def _without(schema: Mapping, *keywords: str) -> Mapping:
    return {keyword: value for keyword, value in schema.items() if keyword not in keywords}


def _is_free_form(schema: Mapping) -> bool:
    about_content = {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"}
    return schema.get("type") == "object" and about_content.isdisjoint(schema)


def _with_map_keys(schema: Mapping, name: str, path: Path) -> Mapping:
    items = as_mapping(schema.get("items"), name, (*path, "items"))
    properties = dict(as_mapping(items.get("properties"), name, (*path, "items", "properties")))
    required = items.get("required", [])
    keys = schema.get("x-kubernetes-list-map-keys")
    if not isinstance(keys, list) or not isinstance(required, list):
        raise TreeError(name, path, "a map list needs x-kubernetes-list-map-keys")
    for key in keys:
        here = (*path, "items", "properties", str(key))
        member = as_mapping(properties.get(str(key)), name, here)
        if key in required or "default" in member:
            continue
        if key not in KEY_DEFAULTS:
            raise TreeError(name, here, "this key of a map list is optional and no default is known for it")
        properties[str(key)] = member | {"default": KEY_DEFAULTS[str(key)]}
    return schema | {"items": items | {"properties": properties}}
