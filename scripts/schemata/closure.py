"""From a whole Kubernetes OpenAPI to the few definitions that are vendored. Pure.

The three sources say the same in different words. This module knows the words:

============  ==============================  =========================  =======================
what          OpenAPI v2 (swagger.json)       OpenAPI v3 (live, v3/)     kubernetes-validate
============  ==============================  =========================  =======================
definitions   ``definitions``                 ``components.schemas``     ``definitions``
a reference   ``$ref``                        ``allOf: [$ref]``          ``$ref``
may be null   not said                        not said                   ``type: [T, "null"]``
IntOrString   ``format: int-or-string``       and a ``oneOf``            ``oneOf``
Quantity      ``type: string``                ``oneOf``                  ``oneOf``
defaults      none                            many                       none
enums         none                            of a live server           none
============  ==============================  =========================  =======================
"""

from __future__ import annotations

from collections.abc import Iterator

from scripts.crd.keywords import EXTENSIONS, FOREIGN_ONLY, FORMATS, children, map_children
from scripts.tree import Mapping, Node, Path, TreeError, as_mapping

ROOTS = ("io.k8s.api.core.v1.PodSpec", "io.k8s.api.core.v1.ServiceSpec")

INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"

# Two types that are scalars on the wire whatever a source says about them; the format is what tells them apart.
SCALARS: dict[str, Mapping] = {
    INT_OR_STRING: {"format": "int-or-string", "type": "string"},
    QUANTITY: {"format": "quantity", "type": "string"},
}

_KEPT = EXTENSIONS | {"additionalProperties", "format", "items", "properties", "required", "type"}
# Said by one source or another, and either not ours to ship or not for a CRD to say. An enum would refuse what the
# next minor adds, and only a live server says it.
_DROPPED = FOREIGN_ONLY | {"$schema", "default", "description", "enum"}


def definitions(document: Mapping, name: str) -> Mapping:
    """The definitions of an OpenAPI document, v2 or v3, or of a kubernetes-validate bundle.

    Raises:
        TreeError: there are none.
    """
    for path in (("definitions",), ("components", "schemas"), ("$defs",)):
        node: Node = document
        for step in path:
            node = node.get(step) if isinstance(node, dict) else None
        if isinstance(node, dict):
            return node
    raise TreeError(name, (), "there are no definitions here; is it an OpenAPI document?")


def closure(all_definitions: Mapping, name: str, roots: tuple[str, ...] = ROOTS) -> Mapping:
    """The definitions that the roots need, in one canonical form, sorted by name.

    Args:
        all_definitions: what `definitions` returned.
        name: name of the source, for errors.
        roots: names of the definitions to start from.

    Raises:
        TreeError: a definition is missing, or says something that this module does not know.
    """
    found: dict[str, Mapping] = {}
    waiting = list(roots)
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        if current not in all_definitions:
            raise TreeError(name, (current,), "this definition is referred to and missing")
        definition = as_mapping(all_definitions[current], name, (current,))
        found[current] = SCALARS.get(current) or _canonical(definition, name, (current,))
        waiting.extend(_references(found[current]))
    return {key: _sorted(found[key]) for key in sorted(found)}


def _canonical(schema: Mapping, name: str, path: Path) -> Mapping:
    schema = _unwrap(schema)
    if isinstance(reference := schema.get("$ref"), str):
        return {"$ref": "#/definitions/" + reference.rpartition("/")[2]}
    kept: Mapping = {}
    for keyword, value in schema.items():
        if keyword in _KEPT:
            kept[keyword] = _without_null(value) if keyword == "type" else value
        elif keyword not in _DROPPED:
            raise TreeError(name, (*path, keyword), "this keyword of Kubernetes' OpenAPI is not known here")
    if (said := kept.get("format")) is not None and said not in FORMATS:
        raise TreeError(name, (*path, "format"), f"the format {said} is not known here")
    if isinstance(required := kept.get("required"), list):
        kept["required"] = sorted(required, key=str)
    return map_children(kept, lambda child, where: _canonical(child, name, where), path)


def _unwrap(schema: Mapping) -> Mapping:
    """OpenAPI v3 wraps a reference in a list of one to be able to say something beside it."""
    match schema.get("allOf"):
        case [dict(only)] if "$ref" in only:
            return only
    return schema


def _without_null(value: Node) -> Node:
    if not isinstance(value, list):
        return value
    types = [member for member in value if member != "null"]
    return types[0] if len(types) == 1 else types


def _references(schema: Mapping) -> Iterator[str]:
    if isinstance(reference := schema.get("$ref"), str):
        yield reference.rpartition("/")[2]
    for _, child in children(schema):
        yield from _references(child)


def _sorted(node: Node) -> Node:
    if isinstance(node, dict):
        return {key: _sorted(node[key]) for key in sorted(node)}
    return [_sorted(member) for member in node] if isinstance(node, list) else node
