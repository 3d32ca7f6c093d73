"""Conditions: when their time moves, and whose are left alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dask_kubernetes_operator.reconcile.conditions import Condition, merge_conditions, timestamp

from .objects import NOW

pytestmark = pytest.mark.unit

READY = Condition("Ready", "True", "ClusterReady", "", 3)
LATER = NOW + timedelta(minutes=5)


def test_new_condition_is_stored_whole() -> None:
    assert merge_conditions([], [READY], NOW) == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "ClusterReady",
            "message": "",
            "observedGeneration": 3,
            "lastTransitionTime": "2026-11-21T12:00:00Z",
        }
    ]


def test_same_again_changes_nothing() -> None:
    stored = merge_conditions([], [READY], NOW)
    assert merge_conditions(stored, [READY], LATER) == stored


def test_time_moves_with_the_status() -> None:
    stored = merge_conditions([], [READY], NOW)
    [merged] = merge_conditions(stored, [Condition("Ready", "False", "NotReady", "why", 3)], LATER)
    assert (merged["status"], merged["lastTransitionTime"]) == ("False", timestamp(LATER))


def test_time_stays_when_only_reason_and_message_change() -> None:
    stored = merge_conditions([], [READY], NOW)
    [merged] = merge_conditions(stored, [Condition("Ready", "True", "Other", "text", 4)], LATER)
    assert merged == {
        "type": "Ready",
        "status": "True",
        "reason": "Other",
        "message": "text",
        "observedGeneration": 4,
        "lastTransitionTime": timestamp(NOW),
    }


def test_conditions_of_others_stay_as_they_are_and_in_their_place() -> None:
    theirs = {"type": "Audited", "status": "Unknown", "somebody": "else's"}
    stored = merge_conditions([theirs], [READY], NOW)
    assert stored[0] == theirs
    merged = merge_conditions(stored, [Condition("Ready", "False", "NotReady", "", 3)], LATER)
    assert [condition["type"] for condition in merged] == ["Audited", "Ready"]
    assert merged[0] == theirs


def test_present_conditions_are_not_changed() -> None:
    stored = merge_conditions([], [READY], NOW)
    before = [dict(condition) for condition in stored]
    merge_conditions(stored, [Condition("Ready", "False", "NotReady", "", 3)], LATER)
    assert stored == before


def test_long_message_is_cut() -> None:
    [merged] = merge_conditions([], [Condition("Ready", "False", "NotReady", "x" * 100_000, 1)], NOW)
    assert 0 < len(merged["message"]) <= 32_768
    assert merge_conditions([merged], [Condition("Ready", "False", "NotReady", "x" * 100_000, 1)], LATER) == [merged]
