"""Conditions in the form that Kubernetes prescribes (metav1.Condition)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# metav1.Condition allows 32768 bytes; a person reads a line.
_MAX_MESSAGE_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Condition:
    """One statement about an object: its type is true, false or unknown, for a reason.

    ``event`` is the type of the Event (Normal, Warning) that tells of it once it holds; empty for none.
    """

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int
    event: str = ""


def merge_conditions(
    present: Iterable[Mapping[str, Any]], wanted: Iterable[Condition], now: datetime
) -> list[dict[str, Any]]:
    """The conditions to store: the wanted ones, and those present of other types as they are.

    ``lastTransitionTime`` moves only when the status of a condition changes.
    """
    stored = {condition["type"]: dict(condition) for condition in present}
    for condition in wanted:
        before = stored.get(condition.type)
        kept = before is not None and before.get("status") == condition.status
        stored[condition.type] = {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message[:_MAX_MESSAGE_LENGTH],
            "observedGeneration": condition.observed_generation,
            "lastTransitionTime": before["lastTransitionTime"] if before and kept else timestamp(now),
        }
    return list(stored.values())


def find_condition(present: Iterable[Mapping[str, Any]] | None, kind: str) -> Mapping[str, Any]:
    """The stored condition of a type; empty when there is none."""
    return next((condition for condition in present or () if condition["type"] == kind), {})


def timestamp(moment: datetime) -> str:
    """A moment in the form of the Kubernetes API: UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
