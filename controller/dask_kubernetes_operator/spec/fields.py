"""What all kinds have in common, and how a field is read: a bad one is named, with the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

API_GROUP = "kubernetes.dask.org"
API_VERSION = "v1"

Body = Mapping[str, Any]

_DURATION_PART = re.compile(r"([0-9]+(?:[.][0-9]+)?)(ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+", re.ASCII)
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

_Choice = TypeVar("_Choice", bound=StrEnum)


class SpecError(ValueError):
    """A custom resource that cannot be acted on; the message names the field and the remedy."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Labels and annotations that a user asks for on children."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Identity:
    """What names one object for all time: a re-created object of the same name has another ``uid``."""

    kind: str
    namespace: str
    name: str
    uid: str


def identity_of(body: Body, kind: str) -> Identity:
    """What names the object."""
    meta = body["metadata"]
    return Identity(kind=kind, namespace=meta["namespace"], name=meta["name"], uid=meta["uid"])


def metadata_of(meta: Body | None) -> Metadata:
    """The labels and annotations that it asks for; none where there is no metadata."""
    meta = meta or {}
    return Metadata(labels=meta.get("labels") or {}, annotations=meta.get("annotations") or {})


def generation_of(body: Body) -> int:
    """Which edit of its spec it is; 0 for one that is not stored yet."""
    return int(body["metadata"].get("generation", 0))


def is_terminating(body: Body) -> bool:
    """Whether its deletion is under way."""
    return bool(body["metadata"].get("deletionTimestamp"))


def required(parent: Body, field: str, path: str) -> Any:
    """A field without which nothing can be built.

    Raises:
        SpecError: it is missing or empty.
    """
    value = parent.get(field)
    if value in (None, "", {}):
        raise SpecError(f"{path}.{field} is missing: add it to the object")
    return value


def integer(parent: Body, field: str) -> int | None:
    """A number, or None where none is given."""
    value = parent.get(field)
    return None if value is None else int(value)


def choice(choices: type[_Choice], parent: Body, field: str, path: str) -> _Choice | None:
    """One of a few words, or None where none is given.

    Raises:
        SpecError: it is another one.
    """
    value = parent.get(field)
    if value is None:
        return None
    try:
        return choices(value)
    except ValueError:
        raise SpecError(f"{path}.{field} is {value!r}: give one of {', '.join(choices)}") from None


def duration_seconds(text: str | None, path: str) -> float | None:
    """A duration such as ``1m30s`` in seconds, or None where none is given.

    Raises:
        SpecError: it is none, or zero.
    """
    if text is None:
        return None
    parts = _DURATION_PART.findall(text) if _DURATION.fullmatch(text) else []
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    if not seconds:
        raise SpecError(f"{path} is {text!r}: give a number above 0 with the unit ms, s, m or h, such as 5s")
    return seconds


def pod_spec_of(parent: Body, path: str) -> Body:
    """The ``spec`` of a Pod template.

    Raises:
        SpecError: it is missing, or has no container.
    """
    pod_spec: Body = required(parent, "spec", path)
    if not pod_spec.get("containers"):
        raise SpecError(f"{path}.spec.containers is empty: give at least one container")
    return pod_spec
