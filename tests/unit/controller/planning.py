"""Asking for a plan, and reading it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any

from dask_kubernetes_operator.reconcile.actions import Action, Create, Delete, DeleteCollection, Event, Patch
from dask_kubernetes_operator.reconcile.conditions import Condition
from dask_kubernetes_operator.reconcile.heartbeat import Silence
from dask_kubernetes_operator.reconcile.plan import UNLIMITED, Allocation, Plan, plan
from dask_kubernetes_operator.reconcile.report import Answer, Refusal, SchedulerReport, Workers
from dask_kubernetes_operator.scheduler import Worker

from .objects import (
    NOW,
    Object,
    cluster,
    deployment,
    group,
    observe,
    scheduler_pod,
    service,
    worker,
)

CLUSTER = cluster()
GROUP = group(owners=(CLUSTER,))
SCHEDULER = deployment(CLUSTER)
SCHEDULER_POD = scheduler_pod()
SERVICE = service(CLUSTER)
WORKERS = (worker("w1", GROUP), worker("w2", GROUP))
# All but the group, which tests scale, and its workers.
FRAME = (CLUSTER, SCHEDULER, SCHEDULER_POD, SERVICE)
EVERYTHING = (*FRAME, GROUP, *WORKERS)

SILENT = SchedulerReport()


def planned(
    *bodies: Object,
    now: datetime = NOW,
    failure: Condition | None = None,
    report: SchedulerReport | None = None,
    allocation: Allocation = UNLIMITED,
    silence: Silence | None = None,
) -> Plan:
    """The plan for what is observed; unless told otherwise the scheduler knows every worker that runs."""
    suffixes: Iterator[int] = count(1)
    if report is None:
        report = knows(*_running(bodies), asked_at=now)
    observed = replace(observe(*bodies), scheduler_report=report, silence=silence)
    return plan(observed, now, new_suffix=lambda: f"s{next(suffixes)}", failure=failure, allocation=allocation)


def actions(*bodies: Object, now: datetime = NOW, report: SchedulerReport | None = None) -> list[Action]:
    """The actions of a plan."""
    return list(planned(*bodies, now=now, report=report).actions)


def registered(name: str, *, tasks: int = 0, managed_bytes: int = 0, host: str = "10.0.0.8") -> Worker:
    """A worker as its scheduler knows it."""
    return Worker(
        address=f"tcp://{host}:{name}",
        host=host,
        name=name,
        managed_bytes=managed_bytes,
        tasks=tasks,
        status="running",
    )


def knows(
    *workers: str | Worker,
    asked_at: datetime = NOW,
    heard_at: datetime | None = None,
    before: Iterable[str | Worker] = (),
    retired: Iterable[str] = (),
) -> SchedulerReport:
    """The report of a scheduler that named these workers when it was last asked, and others ``before``.

    ``retired`` are the uids of Pods of which it has confirmed that their workers hold nothing any more.
    """
    earlier, named = (
        tuple(registered(found) if isinstance(found, str) else found for found in some) for some in (before, workers)
    )
    earlier_answer = Answer(asked_at, workers=earlier)
    answer = Answer(asked_at, workers=named, heard_at=heard_at)
    return SILENT.answered(Workers(), earlier_answer).answered(Workers(), answer).confirmed(retired)


def refuses(*, since: datetime) -> SchedulerReport:
    """The report of a scheduler that never answered."""
    return SchedulerReport(refusal=Refusal("SchedulerUnreachable", "nobody answers", since))


def _running(bodies: Iterable[Object]) -> list[str]:
    return [
        body["metadata"]["name"]
        for body in bodies
        if body["kind"] == "Pod"
        and body["metadata"]["labels"]["dask.org/component"] == "worker"
        and body.get("status", {}).get("phase") == "Running"
    ]


def summary(found: Iterable[Action]) -> list[str]:
    """One line for each action: verb, kind and name."""
    lines = []
    for action in found:
        match action:
            case Create():
                lines.append(f"create {action.resource.kind} {action.body['metadata']['name']}")
            case Delete():
                lines.append(f"delete {action.resource.kind} {action.name}")
            case Patch():
                lines.append(f"patch {action.resource.kind} {action.name}")
            case DeleteCollection():
                lines.append(f"delete all {action.resource.kind} {action.selector}")
    return sorted(lines)


def deletions(found: Iterable[Action]) -> list[Delete | DeleteCollection]:
    """The actions that delete."""
    return [action for action in found if isinstance(action, Delete | DeleteCollection)]


def status(result: Plan, kind: str = "DaskCluster", name: str = "simple") -> dict[str, Any]:
    """The status that a plan writes on one object."""
    [patch] = [patch for patch in result.statuses if (patch.resource.kind, patch.name) == (kind, name)]
    assert patch.subresource == "status"
    assert isinstance(patch.patch, dict)
    assert set(patch.patch) == {"metadata", "status"}
    assert set(patch.patch["metadata"]) == {"uid"}, "an object made anew under the name is left alone"
    written: dict[str, Any] = patch.patch["status"]
    return written


def conditions(written: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in written["conditions"]}


def condition(result: Plan, kind: str, *, of: tuple[str, str] = ("DaskCluster", "simple")) -> dict[str, Any]:
    """One condition that a plan writes."""
    found: dict[str, Any] = next(entry for entry in status(result, *of)["conditions"] if entry["type"] == kind)
    return found


def events(result: Plan) -> list[Event]:
    """What a plan tells once its parts have succeeded."""
    told = [action.events for action in result.actions if not isinstance(action, DeleteCollection)]
    return [event for found in (*told, *(patch.events for patch in result.statuses)) for event in found]


def with_statuses(bodies: Sequence[Object], result: Plan) -> list[Object]:
    """The same objects after the statuses of a plan were written."""
    written: dict[tuple[str, str], dict[str, Any]] = {
        (patch.resource.kind, patch.name): patch.patch["status"]
        for patch in result.statuses
        if isinstance(patch.patch, dict)
    }
    return [
        {**body, "status": {**body.get("status", {}), **written.get((body["kind"], body["metadata"]["name"]), {})}}
        for body in bodies
    ]
