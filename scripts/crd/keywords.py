"""Which keywords a structural schema may have, and where schemas hide inside a schema.

Source of the lists: JSONSchemaProps of apiextensions.k8s.io/v1, less what the API server forbids in a
CustomResourceDefinition (``$ref``, ``definitions``, ``dependencies``, ``patternProperties``, ``uniqueItems: true``,
``additionalItems``, ``deprecated``, ``discriminator``, ``readOnly``, ``writeOnly``, ``xml``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scripts.tree import Mapping, Node, Path

# Keywords whose value is one schema, a list of schemas, or a mapping from names to schemas.
SCHEMA = frozenset({"items", "additionalProperties", "not"})
SCHEMA_LIST = frozenset({"allOf", "anyOf", "oneOf"})
SCHEMA_MAP = frozenset({"properties"})

EXTENSIONS = frozenset(
    {
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    }
)

SUPPORTED = (
    SCHEMA
    | SCHEMA_LIST
    | SCHEMA_MAP
    | EXTENSIONS
    | frozenset(
        {
            "default",
            "description",
            "enum",
            "example",
            "exclusiveMaximum",
            "exclusiveMinimum",
            "externalDocs",
            "format",
            "maxItems",
            "maxLength",
            "maxProperties",
            "maximum",
            "minItems",
            "minLength",
            "minProperties",
            "minimum",
            "multipleOf",
            "nullable",
            "pattern",
            "required",
            "title",
            "type",
        }
    )
)

# What Kubernetes' own OpenAPI says besides and a custom resource cannot: hints for clients and for generated code.
FOREIGN_ONLY = frozenset(
    {
        "x-kubernetes-group-version-kind",
        "x-kubernetes-patch-merge-key",
        "x-kubernetes-patch-strategy",
        "x-kubernetes-unions",
    }
)

# Formats the API server checks or passes on; any other makes it warn `unrecognized format`.
FORMATS = frozenset({"byte", "date", "date-time", "double", "duration", "float", "int32", "int64", "uri", "uuid"})


def children(schema: Mapping) -> Iterator[tuple[Path, Mapping]]:
    """Every schema directly inside a schema, with the steps that lead to it."""
    for keyword, value in schema.items():
        if keyword in SCHEMA and isinstance(value, dict):
            yield (keyword,), value
        elif keyword in SCHEMA_LIST and isinstance(value, list):
            for index, member in enumerate(value):
                if isinstance(member, dict):
                    yield (keyword, index), member
        elif keyword in SCHEMA_MAP and isinstance(value, dict):
            for name, member in value.items():
                if isinstance(member, dict):
                    yield (keyword, name), member


def map_children(schema: Mapping, change: Callable[[Mapping, Path], Mapping], path: Path) -> Mapping:
    """A copy of a schema in which each schema directly inside is replaced by what `change` makes of it.

    Args:
        schema: the schema; it is not changed.
        change: called with a schema and its path.
        path: path of `schema`.
    """
    changed: Mapping = {}
    for keyword, value in schema.items():
        here = (*path, keyword)
        if keyword in SCHEMA and isinstance(value, dict):
            changed[keyword] = change(value, here)
        elif keyword in SCHEMA_LIST and isinstance(value, list):
            changed[keyword] = [_each(member, change, (*here, index)) for index, member in enumerate(value)]
        elif keyword in SCHEMA_MAP and isinstance(value, dict):
            changed[keyword] = {name: _each(member, change, (*here, name)) for name, member in value.items()}
        else:
            changed[keyword] = value
    return changed


def _each(member: Node, change: Callable[[Mapping, Path], Mapping], path: Path) -> Node:
    return change(member, path) if isinstance(member, dict) else member


def walk(schema: Mapping, path: Path = ()) -> Iterator[tuple[Path, Mapping]]:
    """The schema and every schema below it, parents first."""
    yield path, schema
    for steps, child in children(schema):
        yield from walk(child, (*path, *steps))
