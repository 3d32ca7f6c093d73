"""Objects that a structural schema accepts, for hypothesis to choose from."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import strategies as st

from scripts.crd.structural import QUANTITY_PATTERN

NAME_PATTERN = r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?"
MAX_ITEMS = 2
MAX_OPTIONAL_FIELDS = 4

Strategy = st.SearchStrategy[Any]

PERCENTAGES = st.integers(0, 100).map(lambda number: f"{number}%")
# What the rules in CEL leave of a field, by its name; names of ours that no pod spec and no Service has.
BY_NAME: dict[str, Strategy] = {
    "managedBy": st.sampled_from(["kueue.x-k8s.io/multikueue", "a/b", "example.org/x/Y_z~1"]),
    "maxSurge": st.integers(0, 2**40) | PERCENTAGES,
    "maxUnavailable": st.integers(1, 2**40) | PERCENTAGES.filter(lambda text: text != "0%"),
    "targetDuration": st.from_regex(r"\A[1-9][0-9]{0,3}(\.[0-9]{1,2})?(ms|s|m|h)([0-9]{1,3}ms)?\Z"),
}

# JSON has no other characters that all parsers agree on, and an API server refuses text that is no UTF-8.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
NAMES = st.from_regex(rf"\A{NAME_PATTERN}\Z")
QUANTITIES = (
    st.integers(0, 2**40)
    | st.floats(0, 1e6, allow_nan=False).map(lambda number: round(number, 3))
    | st.from_regex(r"\A[0-9]{1,4}(\.[0-9]{1,2})?([KMGTPE]i|[numkMGTPE]|e[0-9])?\Z")
)
TIMES = st.datetimes().map(lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0"))
INTEGERS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def objects(schema: dict[str, Any]) -> Strategy:
    """What a schema accepts.

    Args:
        schema: a structural schema; its rules in CEL are not looked at, unless they are about one string or about a
            field of `BY_NAME`.

    Raises:
        NotImplementedError: the schema says something that no case here knows.
    """
    if schema.get("pattern") == QUANTITY_PATTERN:
        return QUANTITIES
    if schema.get("x-kubernetes-int-or-string"):
        return st.integers(0, 65535) | NAMES
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object":
            return _mappings(schema)
        case "array":
            return _lists(schema)
        case "string":
            return _strings(schema)
        case "integer":
            low, high = INTEGERS[schema.get("format", "int64")]
            return st.integers(max(low, schema.get("minimum", low)), min(high, schema.get("maximum", high)))
        case "number":
            return st.floats(-1e6, 1e6, allow_nan=False)
        case "boolean":
            return st.booleans()
    raise NotImplementedError(schema)


def _strings(schema: dict[str, Any]) -> Strategy:
    if schema.get("format") == "date-time":
        return TIMES
    if schema.get("format") == "byte":
        return st.binary(max_size=6).map(lambda data: base64.b64encode(data).decode())
    if "x-kubernetes-validations" in schema:
        # A name or a label value: both may be a name.
        return NAMES
    return TEXT


def _lists(schema: dict[str, Any]) -> Strategy:
    items = objects(schema["items"])
    most = min(MAX_ITEMS, schema.get("maxItems", MAX_ITEMS))
    kind = schema.get("x-kubernetes-list-type")
    if kind == "map":
        keys = schema["x-kubernetes-list-map-keys"]
        defaults = {key: schema["items"]["properties"][key].get("default") for key in keys}

        def key(item: dict[str, Any]) -> tuple[Any, ...]:
            return tuple(item.get(each, defaults[each]) for each in keys)

        return st.lists(items, max_size=most, unique_by=key)
    return st.lists(items, max_size=most, unique=kind == "set")


@st.composite
def _mappings(draw: st.DrawFn, schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(members := schema.get("additionalProperties"), dict):
        return draw(st.dictionaries(NAMES, objects(members), max_size=MAX_ITEMS))
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    optional = sorted(set(properties) - set(required))
    chosen = draw(st.lists(st.sampled_from(optional), max_size=MAX_OPTIONAL_FIELDS, unique=True)) if optional else []
    return {
        name: draw(BY_NAME[name] if name in BY_NAME else objects(properties[name])) for name in [*required, *chosen]
    }
