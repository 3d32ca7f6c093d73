"""Writing a status: patches of the subresource, only of what changed, with the Events of its transitions. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from .. import builders
from ..resources import Resource
from ..spec import Body, Identity
from .actions import Event, Patch
from .conditions import Condition, find_condition, merge_conditions
from .observed import CustomResource


def status_patch(
    api: Resource,
    about: Identity,
    present: Body,
    wanted: builders.Object,
    conditions: Iterable[Condition],
    now: datetime,
) -> list[Patch]:
    """A patch of what differs from the present status; none when nothing does.

    Args:
        api: the kind.
        about: the object.
        present: its status as it is stored.
        wanted: the fields it is to have besides the conditions; others stay.
        conditions: those it is to have; others stay. An Event tells of each that has an event type and is new.
        now: the present, UTC.
    """
    conditions = list(conditions)
    stored = present.get("conditions") or ()
    merged = merge_conditions(stored, conditions, now)
    changes = {key: value for key, value in wanted.items() if present.get(key) != value}
    if merged != list(stored):
        changes["conditions"] = merged
    if not changes:
        return []
    events = tuple(
        Event(about, condition.event, condition.reason, condition.message)
        for condition in conditions
        if condition.event and not _holds(stored, condition)
    )
    # With its uid, so that an object of the same name made meanwhile does not get this one's status.
    patch = {"metadata": {"uid": about.uid}, "status": changes}
    return [Patch(api, about.name, patch, subresource="status", events=events)]


def invalid_status(api: Resource, resource: CustomResource, trouble: str, now: datetime, **extra: Any) -> list[Patch]:
    """The status of a custom resource that cannot be read, with the reason as its condition."""
    condition = Condition("Degraded", "True", "Invalid", trouble, resource.generation, event="Warning")
    wanted = {"observedGeneration": resource.generation, **extra}
    namespace = resource.body["metadata"]["namespace"]
    about = Identity(kind=api.kind, namespace=namespace, name=resource.name, uid=resource.uid)
    return status_patch(api, about, resource.body.get("status") or {}, wanted, [condition], now)


def _holds(stored: Iterable[Body], condition: Condition) -> bool:
    before = find_condition(stored, condition.type)
    return (before.get("status"), before.get("reason")) == (condition.status, condition.reason)
