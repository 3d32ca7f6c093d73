"""What a new CRD refuses that an older one took. Pure.

Finds what a release must not do without saying so: a field that is gone, a value that is no longer accepted, a rule
that is new. It errs on the side of speaking up: whether an older object can break a new rule is for people to judge.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

from scripts.crd.invariants import schemas
from scripts.tree import Mapping, Node, Path, show_path

# A bound narrows when it appears, or moves in the direction given: +1 up, -1 down.
_BOUNDS = {
    "minimum": 1,
    "minItems": 1,
    "minLength": 1,
    "minProperties": 1,
    "maximum": -1,
    "maxItems": -1,
    "maxLength": -1,
    "maxProperties": -1,
}
# A constraint narrows when it appears or differs.
_CONSTRAINTS = (
    "type",
    "format",
    "pattern",
    "multipleOf",
    "not",
    "allOf",
    "anyOf",
    "oneOf",
    "x-kubernetes-list-map-keys",
)
# A permission narrows when it is taken away.
_PERMISSIONS = ("nullable", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")


def narrowings(old: Mapping, new: Mapping, name: str) -> Iterator[str]:
    """A line for everything that the new CRD refuses or takes away.

    Args:
        old: the CRD of the last release.
        new: the CRD of now.
        name: of the CRD, for errors.

    Raises:
        TreeError: one of them is no CRD.
    """
    yield from _resource(cast(Mapping, old["spec"]), cast(Mapping, new["spec"]))
    versions = {_version_name(old, path): schema for path, schema in schemas(old, name)}
    current = {_version_name(new, path): schema for path, schema in schemas(new, name)}
    for version, schema in versions.items():
        if version not in current:
            yield f"version {version} is gone"
        else:
            yield from _schema(schema, current[version], ())


def _version_name(crd: Mapping, path: Path) -> str:
    version = cast(list[Mapping], cast(Mapping, crd["spec"])["versions"])[cast(int, path[2])]
    return str(version["name"])


def _resource(old: Mapping, new: Mapping) -> Iterator[str]:
    for field in ("group", "scope"):
        if old[field] != new[field]:
            yield f"{field} was {old[field]} and is {new[field]}"
    old_names, new_names = cast(Mapping, old["names"]), cast(Mapping, new["names"])
    for field, before in old_names.items():
        after = new_names.get(field)
        if isinstance(before, list) and isinstance(after, list):
            yield from (f"{field}: {gone} is gone" for gone in before if gone not in after)
        elif before != after:
            yield f"{field} was {before} and is {after}"
    for index, version in enumerate(cast(list[Mapping], old["versions"])):
        before_all = cast(Mapping, version.get("subresources", {}))
        same = [each for each in cast(list[Mapping], new["versions"]) if each["name"] == version["name"]]
        after_all = cast(Mapping, same[0].get("subresources", {})) if same else before_all
        for subresource, before in before_all.items():
            if subresource not in after_all:
                yield f"versions[{index}]: subresource {subresource} is gone"
            elif before != after_all[subresource]:
                yield f"versions[{index}]: subresource {subresource} differs"


def _schema(old: Mapping, new: Mapping, path: Path) -> Iterator[str]:
    if _is_open(new):
        return
    here = show_path(path)
    yield from _constraints(old, new, here)
    yield from _permissions(old, new, here)
    yield from _properties(old, new, path)
    for keyword in ("items", "additionalProperties"):
        before, after = old.get(keyword), new.get(keyword)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _schema(before, after, (*path, "*"))
        elif before not in (None, False) and after in (None, False):
            yield f"{here}: {keyword} is gone"


def _is_open(schema: Mapping) -> bool:
    return schema.get("x-kubernetes-preserve-unknown-fields") is True and set(schema) <= {
        "description",
        "x-kubernetes-preserve-unknown-fields",
    }


def _constraints(old: Mapping, new: Mapping, here: str) -> Iterator[str]:
    for keyword in _CONSTRAINTS:
        if keyword in new and old.get(keyword) != new[keyword]:
            yield f"{here}: {keyword} was {_text(old.get(keyword))} and is {_text(new[keyword])}"
    for keyword, direction in _BOUNDS.items():
        before, after = old.get(keyword), new.get(keyword)
        if not isinstance(after, int | float):
            continue
        if not isinstance(before, int | float) or (after - before) * direction > 0:
            yield f"{here}: {keyword} was {_text(before)} and is {after}"
    if "enum" in new:
        before_values, after_values = cast(list[Node], old.get("enum", [])), cast(list[Node], new["enum"])
        if "enum" not in old:
            yield f"{here}: only {_text(after_values)} is accepted now"
        yield from (
            f"{here}: {_text(gone)} is not accepted any more" for gone in before_values if gone not in after_values
        )
    for kind in ("map", "set"):
        if new.get("x-kubernetes-list-type") == kind != old.get("x-kubernetes-list-type"):
            yield f"{here}: duplicates are refused now (list type {kind})"
    known = [_rule(each) for each in cast(list[Mapping], old.get("x-kubernetes-validations", []))]
    for rule in cast(list[Mapping], new.get("x-kubernetes-validations", [])):
        if _rule(rule) not in known:
            yield f"{here}: the rule {_text(rule['rule'])} is new"


def _rule(rule: Mapping) -> Node:
    # Words may change; what is checked and when may not.
    return {key: value for key, value in rule.items() if key in {"rule", "optionalOldSelf"}}


def _permissions(old: Mapping, new: Mapping, here: str) -> Iterator[str]:
    for keyword in _PERMISSIONS:
        if old.get(keyword) is True and new.get(keyword) is not True:
            yield f"{here}: {keyword} is gone"
    if "default" in old and old["default"] != new.get("default"):
        yield f"{here}: default was {_text(old['default'])} and is {_text(new.get('default'))}"
    before, after = cast(list[Node], old.get("required", [])), cast(list[Node], new.get("required", []))
    yield from (f"{here}: {field} is required now" for field in after if field not in before)


def _properties(old: Mapping, new: Mapping, path: Path) -> Iterator[str]:
    before, after = cast(Mapping, old.get("properties", {})), cast(Mapping, new.get("properties", {}))
    for field, schema in before.items():
        member = after.get(field)
        if isinstance(member, dict) and isinstance(schema, dict):
            yield from _schema(schema, member, (*path, field))
        elif new.get("x-kubernetes-preserve-unknown-fields") is not True and "additionalProperties" not in new:
            yield f"{show_path((*path, field))} is gone"


def _text(node: Node) -> str:
    return json.dumps(node, ensure_ascii=False)
