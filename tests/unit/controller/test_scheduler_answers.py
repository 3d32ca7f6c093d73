"""What is made of answers: whatever a scheduler says, it is understood or refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_kubernetes_operator.scheduler import Worker, answers

pytestmark = pytest.mark.unit

READERS: list[Callable[[Any], object]] = [
    answers.workers,
    answers.workers_by_name,
    answers.retired,
    answers.target,
    answers.target_in_object,
    answers.idle_since,
    answers.idle_since_in_object,
]

_WORDS = st.sampled_from(
    ["workers", "idle_since", "address", "name", "status", "metrics", "managed_bytes", "task_counts", "executing"]
)
_ADDRESSES = st.sampled_from(["tcp://10.0.0.7:40000", "tcp://[fd00::7]:40000", "tls://worker:1", "tcp://[", "no"])
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | _WORDS | _ADDRESSES
_ANSWERS = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner) | st.dictionaries(_WORDS | _ADDRESSES | st.integers(), inner),
    max_leaves=30,
)


@pytest.mark.parametrize("read", READERS)
@settings(deadline=None)
@given(answer=_ANSWERS)
def test_any_answer_is_understood_or_refused(read: Callable[[Any], object], answer: Any) -> None:
    try:
        understood = read(answer)
    except ValueError as error:
        assert len(str(error)) < 300  # noqa: PT017
        return
    for worker in understood if isinstance(understood, tuple) else ():
        assert isinstance(worker, Worker)
        assert worker.host
        assert worker.managed_bytes >= 0
        assert worker.tasks >= 0


def test_unfinished_tasks_are_counted_in_every_state() -> None:
    counts = {"waiting": 1, "ready": 2, "constrained": 4, "executing": 8, "long-running": 16}
    others = {"memory": 32, "flight": 64, "released": 128, "error": 256}
    info = {"status": "running", "metrics": {"task_counts": {**counts, **others}}}
    [worker] = answers.workers({"workers": {"tcp://10.0.0.7:1": info}})
    assert worker.tasks == sum(counts.values())


@pytest.mark.parametrize(
    ("name", "known_as"),
    [("a", "a"), (0, "0"), (None, "tcp://10.0.0.7:1"), (("a", 1), "tcp://10.0.0.7:1"), ("", "")],
)
def test_names_are_text(name: object, known_as: str) -> None:
    [worker] = answers.workers({"workers": {"tcp://10.0.0.7:1": {"name": name, "status": "running"}}})
    assert worker.name == known_as


def test_times_are_in_utc() -> None:
    assert answers.idle_since(0.5) == datetime(1970, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    assert answers.idle_since(None) is None
