"""A cluster that rests: suspended by its spec, or idle for longer than it may be."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dask_kubernetes_operator.reconcile.actions import Delete, DeleteCollection, Event
from dask_kubernetes_operator.reconcile.plan import Plan
from dask_kubernetes_operator.reconcile.report import Answer, IdleSince, SchedulerReport, Workers
from dask_kubernetes_operator.resources import DASK_CLUSTERS, DEPLOYMENTS, PODS
from dask_kubernetes_operator.spec import Identity

from .objects import (
    LATER,
    LONG_AGO,
    NOW,
    Object,
    cluster,
    deployment,
    group,
    service,
    terminating,
    worker,
    written_by,
)
from .planning import (
    EVERYTHING,
    GROUP,
    SCHEDULER_POD,
    SERVICE,
    WORKERS,
    condition,
    conditions,
    events,
    knows,
    planned,
    status,
    summary,
    with_statuses,
)

pytestmark = pytest.mark.unit

SECOND = timedelta(seconds=1)
ABOUT = Identity("DaskCluster", "default", "simple", "uid-simple")
WORKERS_OF_DEFAULT = "dask.org/cluster-name=simple,dask.org/component=worker,dask.org/workergroup-name=simple-default"


def resting(*, generation: int = 1, stored: Object | None = None, **spec: Any) -> Object:
    """The cluster with more in its spec, and with a stored status."""
    body = cluster(status=stored, meta={"generation": generation})
    body["spec"].update(spec)
    return body


# Suspended by its spec --------------------------------------------------------------------------------------------

SUSPENDED = resting(suspend=True)


def test_suspended_cluster_loses_scheduler_and_workers_at_once_and_keeps_its_service_and_group() -> None:
    assert planned(SUSPENDED, *EVERYTHING[1:]).actions == (
        Delete(DEPLOYMENTS, "simple-scheduler", "uid-deployment"),
        DeleteCollection(PODS, WORKERS_OF_DEFAULT),
    )


def test_suspended_cluster_loses_the_workers_of_every_group() -> None:
    highmem = group("simple-highmem", owners=(SUSPENDED,), cluster_replicas=None)
    found = planned(SUSPENDED, *EVERYTHING[1:], highmem, worker("h1", highmem, group_name="simple-highmem")).actions
    collections = [action.selector for action in found if isinstance(action, DeleteCollection)]
    of_highmem = WORKERS_OF_DEFAULT.replace("simple-default", "simple-highmem")
    assert sorted(collections) == [WORKERS_OF_DEFAULT, of_highmem]


def test_workers_of_a_suspended_cluster_are_not_asked_for_nor_retired() -> None:
    going = worker("w3", GROUP, draining_since=NOW)
    result = planned(SUSPENDED, *EVERYTHING[1:], going)
    assert (result.questions, result.retirements, result.look_again_at) == ({}, (), None)


def test_cluster_that_is_made_suspended_gets_a_service_and_a_group_and_nothing_that_runs() -> None:
    assert summary(planned(SUSPENDED).actions) == [
        "create DaskWorkerGroup simple-default",
        "create Service simple-scheduler",
    ]


def test_suspended_cluster_that_has_ended_is_left_in_peace() -> None:
    rest = (SUSPENDED, SERVICE, GROUP)
    assert planned(*rest).actions == ()
    assert planned(*with_statuses(rest, planned(*rest)), now=LATER) == Plan()


def test_what_of_a_suspended_cluster_is_on_its_way_out_is_not_deleted_again() -> None:
    going = [terminating(body) for body in (deployment(SUSPENDED), *WORKERS)]
    assert planned(SUSPENDED, SERVICE, GROUP, *going).actions == ()


def test_status_of_a_suspended_cluster() -> None:
    result = planned(SUSPENDED, SERVICE, GROUP)
    assert conditions(status(result)) == {
        "Ready": ("False", "ComponentsNotReady"),
        "SchedulerReady": ("False", "Suspended"),
        "WorkersReady": ("False", "Suspended"),
        "Progressing": ("False", "Complete"),
        "Draining": ("False", "NotDraining"),
        "Suspended": ("True", "SuspendRequested"),
        "Degraded": ("False", "AsExpected"),
    }
    assert condition(result, "Suspended")["message"] == (
        "spec.suspend is true: set it to false to start the cluster again"
    )
    assert [event.reason for event in events(result)] == ["SuspendRequested"]


def test_suspended_cluster_is_progressing_until_its_workers_are_gone() -> None:
    result = planned(SUSPENDED, *EVERYTHING[1:])
    assert condition(result, "Progressing")["status"] == "True"


def test_resumed_cluster_gets_a_scheduler_and_then_its_workers_back() -> None:
    at_rest = (SUSPENDED, SERVICE, GROUP)
    [body, *others] = with_statuses(at_rest, planned(*at_rest))
    resumed = resting(generation=2, suspend=False, stored=body["status"])
    result = planned(resumed, *others)
    assert summary(result.actions) == ["create Deployment simple-scheduler"]
    assert condition(result, "Suspended")["status"] == "False"
    assert condition(result, "SchedulerReady")["reason"] == "SchedulerNotAvailable", "nothing was lost unawares"
    with_scheduler = planned(resumed, *others, deployment(resumed), SCHEDULER_POD)
    assert len(with_scheduler.actions) == 2


def test_replicas_may_be_edited_while_suspended_and_count_when_resumed() -> None:
    edited = cluster(replicas=3)
    edited["spec"]["suspend"] = True
    assert summary(planned(edited, SERVICE, GROUP).actions) == ["patch DaskWorkerGroup simple-default"]


# Idle for too long ------------------------------------------------------------------------------------------------


def idle(since: datetime | None, *, asked_at: datetime = NOW) -> SchedulerReport:
    """The report of a scheduler that had nothing to do since then, or has."""
    known = knows("w1", "w2", asked_at=asked_at).answers[Workers()]
    return SchedulerReport({Workers(): known, IdleSince(): Answer(asked_at, idle_since=since)})


def idling(action: str | None = None, **more: Any) -> Object:
    return resting(idleTimeout=600, idleAction=action, **more)


LONG_IDLE = idle(NOW - 600 * SECOND)


@pytest.mark.parametrize("timeout", [None, 0])
def test_cluster_without_a_timeout_may_be_idle_for_ever(timeout: int | None) -> None:
    result = planned(resting(idleTimeout=timeout), *EVERYTHING[1:], report=idle(LONG_AGO))
    assert (result.actions, result.questions) == ((), {})
    assert "Idle" not in conditions(status(result))


@pytest.mark.parametrize(("timeout", "interval"), [(600, 10), (86400, 10), (50, 5), (5, 1), (1, 1)])
def test_scheduler_is_asked_as_often_as_the_timeout_needs(timeout: int, interval: int) -> None:
    result = planned(resting(idleTimeout=timeout), *EVERYTHING[1:], report=idle(NOW))
    assert result.questions == {IdleSince(): NOW - interval * SECOND}
    assert result.look_again_at == NOW + interval * SECOND


@pytest.mark.parametrize(
    "report",
    [
        idle(None),
        idle(NOW - 599 * SECOND),
        idle(LONG_AGO, asked_at=NOW - 21 * SECOND),
        knows("w1", "w2"),
    ],
    ids=["busy", "not long enough", "asked too long ago", "never asked"],
)
@pytest.mark.parametrize("action", ["Delete", "ScaleToZero", "Suspend"])
def test_cluster_is_let_live_unless_the_scheduler_says_that_it_is_idle_long_enough(action: str, report: Any) -> None:
    assert planned(idling(action), *EVERYTHING[1:], report=report).actions == ()


@pytest.mark.parametrize("action", [None, "Delete"])
def test_idle_cluster_is_deleted_with_a_word(action: str | None) -> None:
    message = "nothing to do for 600 s (spec.idleTimeout): the cluster is deleted"
    [deletion] = planned(idling(action), *EVERYTHING[1:], report=LONG_IDLE).actions
    assert deletion == Delete(
        DASK_CLUSTERS, "simple", "uid-simple", events=(Event(ABOUT, "Normal", "IdleTimeout", message),)
    )


def test_idle_cluster_is_scaled_to_zero_by_draining() -> None:
    result = planned(idling("ScaleToZero"), *EVERYTHING[1:], report=LONG_IDLE)
    assert summary(result.actions) == ["patch Pod w1", "patch Pod w2"], "results in memory are handed over, or wait"
    assert condition(result, "Idle")["status"] == "True"
    assert Event(ABOUT, "Normal", "IdleTimeout", condition(result, "Idle")["message"]) in events(result)


def test_cluster_scaled_to_zero_stays_ready_and_keeps_its_replicas() -> None:
    asleep = [idling("ScaleToZero"), *EVERYTHING[1:5]]
    result = planned(*asleep, report=LONG_IDLE)
    assert result.actions == ()
    assert condition(result, "Ready")["status"] == "True"
    assert condition(result, "WorkersReady")["reason"] == "Idle"


def test_cluster_scaled_to_zero_gets_its_workers_back_when_there_is_work() -> None:
    asleep = [idling("ScaleToZero"), *EVERYTHING[1:5]]
    asleep = with_statuses(asleep, planned(*asleep, report=LONG_IDLE))
    result = planned(*asleep, report=idle(None))
    assert len(result.actions) == 2
    assert condition(result, "Idle")["status"] == "False"


def test_cluster_scaled_to_zero_stays_so_while_nobody_knows() -> None:
    asleep = [idling("ScaleToZero"), *EVERYTHING[1:5]]
    asleep = with_statuses(asleep, planned(*asleep, report=LONG_IDLE))
    assert planned(*asleep, report=knows()).actions == ()


def test_idle_cluster_is_suspended() -> None:
    result = planned(idling("Suspend"), *EVERYTHING[1:], report=LONG_IDLE)
    assert summary(result.actions) == ["delete Deployment simple-scheduler", f"delete all Pod {WORKERS_OF_DEFAULT}"]
    found = condition(result, "Suspended")
    assert (found["status"], found["reason"]) == ("True", "Idle")
    assert "edit the DaskCluster" in found["message"]


def suspended_for_idleness() -> list[Object]:
    bodies = [idling("Suspend"), *EVERYTHING[1:]]
    [body, *_] = with_statuses(bodies, planned(*bodies, report=LONG_IDLE))
    return [body, SERVICE, GROUP]


def test_cluster_suspended_for_idleness_stays_so_without_its_scheduler() -> None:
    bodies = suspended_for_idleness()
    result = planned(*bodies, report=SchedulerReport())
    assert result.actions == ()
    assert (result.questions, result.look_again_at) == ({}, None)


@pytest.mark.parametrize("what", ["replicas", "suspend", "idleTimeout", "idleAction"])
def test_edit_starts_a_cluster_that_was_suspended_for_idleness(what: str) -> None:
    [body, *others] = suspended_for_idleness()
    edited = idling("Suspend", generation=2, stored=body["status"])
    edited["spec"].update({"idleTimeout": 700} if what == "idleTimeout" else {})
    edited["spec"].update({"idleAction": "Delete"} if what == "idleAction" else {})
    result = planned(edited, *others, report=SchedulerReport())
    assert "create Deployment simple-scheduler" in summary(result.actions)


def test_what_the_scheduler_said_before_a_cluster_was_suspended_does_not_suspend_it_again() -> None:
    [body, *others] = suspended_for_idleness()
    edited = idling("Suspend", generation=2, stored=body["status"])
    said_before = idle(NOW - 700 * SECOND, asked_at=NOW - 2 * SECOND)
    result = planned(edited, *others, report=said_before)
    assert "create Deployment simple-scheduler" in summary(result.actions)


def test_idle_condition_goes_back_when_the_timeout_is_taken_away() -> None:
    asleep = [idling("ScaleToZero"), *EVERYTHING[1:5]]
    [body, *others] = with_statuses(asleep, planned(*asleep, report=LONG_IDLE))
    del body["spec"]["idleTimeout"]
    result = planned(body, *others, report=LONG_IDLE)
    assert condition(result, "Idle")["status"] == "False"
    assert len(result.actions) == 2


def test_spec_that_suspends_comes_before_idleness() -> None:
    body = idling("Delete", suspend=True)
    assert planned(body, SERVICE, GROUP, report=LONG_IDLE).actions == ()


def test_service_of_a_suspended_cluster_is_repaired() -> None:
    edited = written_by("kubectl-edit", "ports", body=service(SUSPENDED))
    assert summary(planned(SUSPENDED, edited, GROUP).actions) == ["patch Service simple-scheduler"]
