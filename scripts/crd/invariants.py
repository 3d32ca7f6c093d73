"""What has to be true of a resolved CRD, so that an API server takes it and every way of installing it works."""

from __future__ import annotations

import json
from collections.abc import Iterator

from scripts.crd.keywords import FORMATS, SUPPORTED, walk
from scripts.tree import Mapping, Node, Path, TreeError, as_mapping

# `kubectl apply` keeps the object in an annotation, and all annotations of an object share 262,144 bytes
# (TotalAnnotationSizeLimitB of k8s.io/apimachinery). The rest is for what others write there.
MAX_COMPACT_BYTES = 250_000


def compact_bytes(crd: Node) -> int:
    """Size of a document as compact JSON in UTF-8, in bytes."""
    return len(json.dumps(crd, separators=(",", ":"), ensure_ascii=False).encode())


def schemas(crd: Mapping, name: str) -> Iterator[tuple[Path, Mapping]]:
    """The schema of each version of a CRD, with its path.

    Raises:
        TreeError: the CRD has no versions, or one without a schema.
    """
    spec = as_mapping(crd.get("spec"), name, ("spec",))
    versions = spec.get("versions")
    if not isinstance(versions, list) or not versions:
        raise TreeError(name, ("spec", "versions"), "a CRD needs at least one version")
    for index, version in enumerate(versions):
        path: Path = ("spec", "versions", index)
        schema = as_mapping(as_mapping(version, name, path).get("schema"), name, (*path, "schema"))
        here = (*path, "schema", "openAPIV3Schema")
        yield here, as_mapping(schema.get("openAPIV3Schema"), name, here)


def check(crd: Mapping, name: str) -> None:
    """Checks a resolved CRD.

    Raises:
        TreeError: naming the first place where it breaks a rule of structural schemas, or its size.
    """
    for root, schema in schemas(crd, name):
        for path, node in walk(schema):
            _check_node(node, name, (*root, *path))
    if (size := compact_bytes(crd)) >= MAX_COMPACT_BYTES:
        raise TreeError(name, (), f"{size} bytes as compact JSON; kubectl apply needs less than {MAX_COMPACT_BYTES}")


def _check_node(node: Mapping, name: str, path: Path) -> None:
    for keyword in node:
        if keyword not in SUPPORTED:
            raise TreeError(name, (*path, keyword), "this keyword is not supported in a CRD")
    if not _inside_value_validation(path) and not _says_type(node):
        raise TreeError(name, path, "has neither a type, nor int-or-string, nor preserve-unknown-fields")
    if (said := node.get("format")) is not None and said not in FORMATS:
        raise TreeError(name, (*path, "format"), f"the API server does not know the format {said}")
    if node.get("x-kubernetes-list-type") == "map":
        _check_map_list(node, name, path)


def _says_type(node: Mapping) -> bool:
    return (
        "type" in node
        or node.get("x-kubernetes-int-or-string") is True
        or node.get("x-kubernetes-preserve-unknown-fields") is True
    )


def _inside_value_validation(path: Path) -> bool:
    # A property may have one of these names; a step after "properties" is a name and no keyword.
    keywords = [step for before, step in zip(("", *path), path, strict=False) if before != "properties"]
    return any(step in {"allOf", "anyOf", "oneOf", "not"} for step in keywords)


def _check_map_list(node: Mapping, name: str, path: Path) -> None:
    items = as_mapping(node.get("items"), name, (*path, "items"))
    properties = as_mapping(items.get("properties"), name, (*path, "items", "properties"))
    required, keys = items.get("required", []), node.get("x-kubernetes-list-map-keys", [])
    if not isinstance(keys, list) or not isinstance(required, list) or not keys:
        raise TreeError(name, path, "a map list needs x-kubernetes-list-map-keys")
    for key in keys:
        member = as_mapping(properties.get(str(key)), name, (*path, "items", "properties", str(key)))
        if key not in required and "default" not in member:
            raise TreeError(name, path, f"the key {key} of a map list has to be required or to have a default")
