"""A cluster is ready when pods can be made and names resolve, and what a node says of itself is news."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from ci import readiness
from ci.console import Console, Failure, Step
from ci.nodes import Node

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("answers")]

HEARTBEAT = "2026-11-21T08:00:00Z"
HEARTBEAT_SECONDS = 1795248000


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a ready cluster answers, by the kind that is asked for."""
    conditions = [
        {"type": "MemoryPressure", "status": "False", "lastHeartbeatTime": HEARTBEAT},
        {"type": "Ready", "status": "True", "lastHeartbeatTime": HEARTBEAT},
    ]
    dns = {"ready": True, "state": {"running": {"startedAt": HEARTBEAT}}}
    answers: dict[str, Any] = {
        "nodes": {"items": [{"metadata": {"name": "node"}, "status": {"conditions": conditions}}]},
        "serviceaccount": {"metadata": {}},
        "pods": {"items": [{"spec": {"nodeName": "node"}, "status": {"containerStatuses": [dns]}}]},
    }
    monkeypatch.setattr(readiness, "_get", lambda _, __, kind, *___: answers.get(kind))
    return answers


def ready(started: float = HEARTBEAT_SECONDS) -> bool:
    node = Node("node", "image", running=True, started=started)
    return readiness.is_ready(Path("kubeconfig"), Path("kubectl"), [node])


def test_a_ready_cluster() -> None:
    assert ready()


@pytest.mark.parametrize("kind", ["nodes", "serviceaccount", "pods"])
def test_one_that_lacks_something_is_not(answers: dict[str, Any], kind: str) -> None:
    del answers[kind]
    assert not ready()


def test_one_whose_node_is_not_ready_is_not(answers: dict[str, Any]) -> None:
    answers["nodes"]["items"][0]["status"]["conditions"][1]["status"] = "Unknown"
    assert not ready()


def test_one_without_dns_is_not(answers: dict[str, Any]) -> None:
    answers["pods"]["items"][0]["status"]["containerStatuses"][0]["ready"] = False
    assert not ready()
    answers["pods"]["items"][0]["status"] = {"phase": "Pending"}
    assert not ready()


def test_a_fake_node_that_is_not_ready_does_not_count(answers: dict[str, Any]) -> None:
    answers["nodes"]["items"].append({"metadata": {"name": "fake"}, "status": {}})
    assert ready()
    answers["pods"]["items"][0]["spec"]["nodeName"] = "fake"
    assert not ready()


def test_one_whose_dns_was_ready_before_its_restart_is_not(answers: dict[str, Any]) -> None:
    conditions = answers["nodes"]["items"][0]["status"]["conditions"]
    conditions[1]["lastHeartbeatTime"] = "2026-11-21T08:00:09Z"
    assert not ready(HEARTBEAT_SECONDS + 5)


def test_what_a_node_said_before_its_restart_does_not_count() -> None:
    assert ready(HEARTBEAT_SECONDS)
    assert not ready(HEARTBEAT_SECONDS + 1)


def test_waiting_has_an_end(answers: dict[str, Any]) -> None:
    del answers["nodes"]
    step = Step(Console(io.StringIO()), "wait")
    with pytest.raises(Failure, match="not ready after 0 s"):
        readiness.wait(Path("kubeconfig"), Path("kubectl"), [], step, 0)
