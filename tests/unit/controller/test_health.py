"""Conditions, counts and Events: that the status tells the truth, in words that help, and only when it changes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dask_kubernetes_operator.reconcile.actions import Event
from dask_kubernetes_operator.reconcile.conditions import Condition, timestamp
from dask_kubernetes_operator.reconcile.plan import Plan
from dask_kubernetes_operator.spec import Identity

from .objects import LATER, LONG_AGO, NOW, Object, cluster, deployment, group, scheduler_pod, terminating, worker
from .planning import (
    CLUSTER,
    EVERYTHING,
    FRAME,
    GROUP,
    SCHEDULER,
    SCHEDULER_POD,
    SERVICE,
    SILENT,
    WORKERS,
    condition,
    conditions,
    events,
    knows,
    planned,
    refuses,
    registered,
    status,
    with_statuses,
)

pytestmark = pytest.mark.unit

SECOND = timedelta(seconds=1)
ABOUT = Identity("DaskCluster", "default", "simple", "uid-simple")
OF_GROUP = ("DaskWorkerGroup", "simple-default")
WORKERS_OF_DEFAULT = "dask.org/cluster-name=simple,dask.org/component=worker,dask.org/workergroup-name=simple-default"


def scaled_to(replicas: int) -> Object:
    return group(owners=(CLUSTER,), replicas=replicas)


def without_conditions(written: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in written.items() if key != "conditions"}


# All is well ------------------------------------------------------------------------------------------------------


def test_status_of_a_cluster_that_runs() -> None:
    written = status(planned(*EVERYTHING))
    assert without_conditions(written) == {
        "phase": "Running",
        "observedGeneration": 1,
        "replicas": 2,
        "readyReplicas": 2,
        "drainingReplicas": 0,
        "selector": WORKERS_OF_DEFAULT,
        "schedulerAddress": "tcp://simple-scheduler.default.svc:8786",
        "dashboardAddress": "http://simple-scheduler.default.svc:8787",
    }
    assert conditions(written) == {
        "Ready": ("True", "ClusterReady"),
        "SchedulerReady": ("True", "SchedulerAvailable"),
        "WorkersReady": ("True", "AllWorkersReady"),
        "Progressing": ("False", "Complete"),
        "Draining": ("False", "NotDraining"),
        "Suspended": ("False", "NotSuspended"),
        "Degraded": ("False", "AsExpected"),
    }
    assert {condition["lastTransitionTime"] for condition in written["conditions"]} == {timestamp(NOW)}


def test_status_of_a_group_that_runs() -> None:
    written = status(planned(*EVERYTHING), *OF_GROUP)
    assert without_conditions(written) == {
        "observedGeneration": 1,
        "replicas": 2,
        "readyReplicas": 2,
        "drainingReplicas": 0,
        "selector": WORKERS_OF_DEFAULT,
    }
    assert conditions(written) == {
        "WorkersReady": ("True", "AllWorkersReady"),
        "Progressing": ("False", "Complete"),
        "Draining": ("False", "NotDraining"),
        "Degraded": ("False", "AsExpected"),
    }


@pytest.mark.parametrize(
    ("parts", "phase"),
    [
        ((), "Created"),
        ((SCHEDULER,), "Pending"),
        ((SERVICE,), "Pending"),
        ((GROUP,), "Pending"),
        ((GROUP, SCHEDULER), "Pending"),
        ((GROUP, SERVICE, *WORKERS), "Pending"),
        ((GROUP, SCHEDULER, SERVICE), "Running"),
        ((GROUP, terminating(SCHEDULER), SERVICE), "Pending"),
        ((GROUP, SCHEDULER, terminating(SERVICE)), "Pending"),
        ((terminating(GROUP), SCHEDULER, SERVICE), "Pending"),
    ],
)
def test_phase_follows_what_is_there(parts: tuple[Object, ...], phase: str) -> None:
    assert status(planned(CLUSTER, *parts))["phase"] == phase


NOT_AVAILABLE = (CLUSTER, deployment(CLUSTER, available=False), SCHEDULER_POD, SERVICE)


@pytest.mark.parametrize(
    ("bodies", "scheduler_ready", "workers_ready"),
    [
        ((*NOT_AVAILABLE, GROUP, *WORKERS), "False", "True"),
        ((*FRAME, GROUP, WORKERS[0]), "True", "False"),
        ((*FRAME, GROUP, WORKERS[0], worker("w2", GROUP, phase="Pending")), "True", "False"),
        ((*FRAME, GROUP, WORKERS[0], worker("w2", GROUP, ready=False)), "True", "False"),
        ((*FRAME, GROUP, WORKERS[0], terminating(WORKERS[1])), "True", "False"),
        ((*FRAME, GROUP, WORKERS[0], worker("w2", GROUP, draining_since=NOW)), "True", "False"),
    ],
    ids=[
        "scheduler not available",
        "worker missing",
        "worker pending",
        "worker not ready",
        "worker terminating",
        "worker draining",
    ],
)
def test_cluster_is_ready_only_with_all_of_it(
    bodies: tuple[Object, ...], scheduler_ready: str, workers_ready: str
) -> None:
    result = planned(*bodies)
    states = {kind: state for kind, (state, _) in conditions(status(result)).items()}
    assert (states["SchedulerReady"], states["WorkersReady"]) == (scheduler_ready, workers_ready)
    assert states["Ready"] == "False"
    assert condition(result, "Ready")["message"]


def test_workers_not_ready_tells_how_many_are() -> None:
    result = planned(*FRAME, GROUP, WORKERS[0])
    assert condition(result, "WorkersReady")["message"] == "1 of 2 workers are ready"
    assert condition(result, "Ready")["message"] == "1 of 2 workers are ready"


def test_status_counts_what_the_group_was_asked_for() -> None:
    result = planned(*FRAME, scaled_to(5), *WORKERS)
    assert condition(result, "WorkersReady")["message"] == "2 of 5 workers are ready"


def test_cluster_without_workers_is_ready() -> None:
    assert condition(planned(*FRAME, scaled_to(0)), "Ready")["status"] == "True"


def test_cluster_that_becomes_ready_says_so_once() -> None:
    result = planned(*EVERYTHING)
    assert events(result) == [Event(ABOUT, "Normal", "ClusterReady", "")]
    assert events(planned(*with_statuses(EVERYTHING, result)[:-1])) == []


# Written only what changed ----------------------------------------------------------------------------------------


def test_nothing_is_written_when_nothing_changed() -> None:
    assert planned(*with_statuses(EVERYTHING, planned(*EVERYTHING)), now=LATER) == Plan()


def test_only_what_changed_is_written() -> None:
    cut = [body for body in with_statuses(EVERYTHING, planned(*EVERYTHING)) if body["metadata"]["name"] != "w2"]
    assert set(status(planned(*cut))) == {"replicas", "readyReplicas", "conditions"}


def test_conditions_of_others_survive() -> None:
    theirs = {"type": "Audited", "status": "True", "reason": "ByUs", "message": "", "lastTransitionTime": "x"}
    written = status(planned(cluster(status={"conditions": [theirs]})))
    assert theirs in written["conditions"]


def test_condition_of_an_earlier_operator_stays_and_hinders_nothing() -> None:
    theirs = {
        "type": "Reconciled",
        "status": "True",
        "reason": "Reconciled",
        "message": "",
        "lastTransitionTime": "x",
    }
    bodies = (cluster(status={"conditions": [theirs]}), *EVERYTHING[1:])
    assert planned(*with_statuses(bodies, planned(*bodies))) == Plan()


def test_new_generation_is_observed() -> None:
    bodies = with_statuses(EVERYTHING, planned(*EVERYTHING))
    bodies[0]["metadata"] = {**bodies[0]["metadata"], "generation": 2}
    written = status(planned(*bodies))
    assert written["observedGeneration"] == 2
    assert {condition["observedGeneration"] for condition in written["conditions"]} == {2}


# Workers that do not register -------------------------------------------------------------------------------------


def fresh(name: str, *, seconds: int) -> Object:
    return worker(name, GROUP, created_at=NOW - seconds * SECOND)


def test_worker_that_the_scheduler_does_not_know_is_not_ready() -> None:
    result = planned(*FRAME, GROUP, WORKERS[0], fresh("w2", seconds=5), report=knows("w1"))
    assert (status(result)["replicas"], status(result)["readyReplicas"]) == (2, 1)
    assert condition(result, "WorkersReady")["reason"] == "WorkersNotReady"
    assert condition(result, "Degraded")["status"] == "False", "it may only be starting"


def test_workers_that_never_register_are_a_matter_for_the_user() -> None:
    result = planned(*FRAME, GROUP, fresh("w1", seconds=60), fresh("w2", seconds=61), report=knows())
    text = (
        "2 workers run for over 60 s and have not registered with the scheduler (w1, w2): look at their logs, and "
        "whether they use DASK_SCHEDULER_ADDRESS"
    )
    for of in (("DaskCluster", "simple"), OF_GROUP):
        for kind, state in (("WorkersReady", "False"), ("Degraded", "True")):
            found = condition(result, kind, of=of)
            assert (found["status"], found["reason"], found["message"]) == (state, "WorkersNotRegistered", text)
    assert Event(ABOUT, "Warning", "WorkersNotRegistered", text) in events(result)


@pytest.mark.parametrize("report", [SILENT, refuses(since=LONG_AGO)], ids=["not yet asked", "refuses"])
def test_nobody_is_called_late_by_a_scheduler_that_was_not_asked(report: Any) -> None:
    result = planned(*EVERYTHING, report=report)
    assert condition(result, "Degraded", of=OF_GROUP)["reason"] != "WorkersNotRegistered"


def test_workers_of_a_scheduler_that_does_not_answer_count_by_their_pods() -> None:
    result = planned(*EVERYTHING, report=refuses(since=NOW - SECOND))
    assert status(result)["readyReplicas"] == 2
    assert condition(result, "WorkersReady")["status"] == "True"


def test_workers_whose_scheduler_was_not_asked_yet_are_not_ready() -> None:
    assert status(planned(*EVERYTHING, report=SILENT))["readyReplicas"] == 0


def test_nothing_is_taken_back_before_the_scheduler_was_asked() -> None:
    # So it is after each start of the operator.
    bodies = with_statuses(EVERYTHING, planned(*EVERYTHING))
    assert planned(*bodies, report=SILENT).statuses == ()


def test_worker_lost_before_the_scheduler_was_asked_is_not_counted() -> None:
    bodies = with_statuses(EVERYTHING, planned(*EVERYTHING))
    assert status(planned(*bodies[:-1], report=SILENT))["readyReplicas"] == 1


# What keeps Pods from running -------------------------------------------------------------------------------------


def troubled(body: Object, reason: str, message: str) -> Object:
    waiting = {"reason": reason, "message": message}
    pending = {"phase": "Pending", "containerStatuses": [{"name": "x", "state": {"waiting": waiting}}]}
    return {**body, "status": pending}


def test_trouble_of_workers_is_told_by_the_example_of_one() -> None:
    pods = [troubled(worker(name, GROUP), "ImagePullBackOff", "no such image") for name in ("w2", "w1")]
    result = planned(*FRAME, GROUP, *pods)
    text = "pod w1 (and 1 more): container x: no such image"
    for of in (("DaskCluster", "simple"), OF_GROUP):
        found = condition(result, "Degraded", of=of)
        assert (found["status"], found["reason"], found["message"]) == ("True", "ImagePullBackOff", text)
    assert Event(ABOUT, "Warning", "ImagePullBackOff", text) in events(result)


def test_most_frequent_trouble_is_told() -> None:
    pods = [troubled(worker("w0", GROUP), "CrashLoopBackOff", "crashed")]
    pods += [troubled(worker(name, GROUP), "Unschedulable", "no room") for name in ("w1", "w2")]
    assert condition(planned(*FRAME, scaled_to(3), *pods), "Degraded")["reason"] == "Unschedulable"


def test_trouble_is_told_once_however_its_example_changes() -> None:
    bodies = [*FRAME, GROUP, *(troubled(worker(name, GROUP), "ImagePullBackOff", "no") for name in ("w1", "w2"))]
    bodies = with_statuses(bodies, planned(*bodies))
    assert events(planned(*bodies[:-2], bodies[-1], troubled(worker("w3", GROUP), "ImagePullBackOff", "no"))) == []


def test_scheduler_that_cannot_start_is_told_with_its_reason() -> None:
    pod = troubled(scheduler_pod(phase="Pending"), "ImagePullBackOff", "no such image")
    result = planned(*NOT_AVAILABLE[:2], pod, SERVICE, GROUP)
    ready = condition(result, "SchedulerReady")
    assert (ready["status"], ready["reason"]) == ("False", "ImagePullBackOff")
    assert "no such image" in ready["message"]
    assert condition(result, "Degraded")["reason"] == "ImagePullBackOff"


def test_scheduler_whose_pod_is_refused_by_a_quota_is_told() -> None:
    refused = deployment(CLUSTER, available=False)
    refused["status"]["conditions"].append(
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: pods"}
    )
    result = planned(CLUSTER, refused, SERVICE, GROUP)
    for kind in ("SchedulerReady", "Degraded"):
        assert condition(result, kind)["reason"] == "QuotaExceeded"


def test_trouble_of_the_scheduler_comes_before_that_of_workers() -> None:
    pods = (troubled(scheduler_pod(), "CrashLoopBackOff", "x"), troubled(WORKERS[0], "ImagePullBackOff", "y"))
    assert condition(planned(CLUSTER, SCHEDULER, SERVICE, GROUP, *pods), "Degraded")["reason"] == "CrashLoopBackOff"


def test_trouble_of_another_group_is_told_on_that_group() -> None:
    highmem = group("simple-highmem", owners=(CLUSTER,), replicas=1, cluster_replicas=None)
    pod = troubled(worker("h1", highmem, group_name="simple-highmem"), "Unschedulable", "no room")
    result = planned(*EVERYTHING, highmem, pod)
    assert condition(result, "Degraded", of=("DaskWorkerGroup", "simple-highmem"))["reason"] == "Unschedulable"
    assert condition(result, "Degraded", of=OF_GROUP)["status"] == "False"


def test_draining_and_finished_workers_are_no_trouble() -> None:
    going = troubled(worker("w3", GROUP, draining_since=NOW), "CrashLoopBackOff", "x")
    assert condition(planned(*EVERYTHING, going), "Degraded")["status"] == "False"


def test_what_was_refused_comes_before_what_is_observed() -> None:
    failure = Condition("Degraded", "True", "QuotaExceeded", "exceeded quota", 1, event="Warning")
    pod = troubled(worker("w1", GROUP), "ImagePullBackOff", "no")
    assert condition(planned(*FRAME, GROUP, pod, failure=failure), "Degraded")["reason"] == "QuotaExceeded"


# The scheduler ----------------------------------------------------------------------------------------------------


def stored_ready() -> list[Object]:
    return with_statuses(EVERYTHING, planned(*EVERYTHING))


def test_scheduler_that_was_lost_is_told_with_what_was_lost() -> None:
    bodies = stored_ready()
    lost = deployment(CLUSTER, available=False)
    result = planned(bodies[0], lost, SERVICE, *bodies[4:])
    ready = condition(result, "SchedulerReady")
    assert (ready["status"], ready["reason"]) == ("False", "SchedulerLost")
    assert [event.reason for event in events(result)] == ["SchedulerLost"]


def test_loss_of_a_scheduler_is_told_until_it_is_back() -> None:
    bodies = stored_ready()
    lost = [bodies[0], deployment(CLUSTER, available=False), SERVICE, *bodies[4:]]
    told = with_statuses(lost, planned(*lost))
    assert planned(*told).statuses == (), "as long as nothing is new nothing else is said"


def test_loss_of_a_scheduler_is_told_once_even_if_it_cannot_start_again() -> None:
    bodies = stored_ready()
    pod = troubled(scheduler_pod(), "ImagePullBackOff", "no such image")
    lost = [bodies[0], deployment(CLUSTER, available=False), pod, SERVICE, *bodies[4:]]
    after = planned(*with_statuses(lost, planned(*lost)))
    assert condition(after, "SchedulerReady")["reason"] == "ImagePullBackOff"


def test_scheduler_that_does_not_answer_for_a_while_is_a_matter_for_the_user() -> None:
    early = planned(*EVERYTHING, report=refuses(since=NOW - 29 * SECOND))
    assert condition(early, "Degraded")["status"] == "False"
    result = planned(*EVERYTHING, report=refuses(since=NOW - 30 * SECOND))
    found = condition(result, "Degraded")
    assert (found["reason"], found["message"]) == ("SchedulerUnreachable", "nobody answers")
    assert [event.reason for event in events(result) if event.type == "Warning"] == ["SchedulerUnreachable"]


def test_silence_is_looked_at_again_when_it_becomes_a_matter_for_the_user() -> None:
    since = NOW - 5 * SECOND
    result = planned(*EVERYTHING, report=refuses(since=since))
    assert result.look_again_at is not None
    assert result.look_again_at <= since + 30 * SECOND


def test_scheduler_that_is_not_available_is_not_blamed_for_its_silence() -> None:
    result = planned(*NOT_AVAILABLE, GROUP, *WORKERS, report=refuses(since=LONG_AGO))
    assert condition(result, "Degraded")["status"] == "False"


# Progress and draining --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ((*NOT_AVAILABLE, scaled_to(0)), ("Starting", "the scheduler is starting")),
        ((*FRAME, GROUP, WORKERS[0]), ("Starting", "1 of 2 workers are yet to come")),
        ((*FRAME, scaled_to(1), *WORKERS), ("ScalingDown", "1 workers more than the 1 wanted are still there")),
        (
            (*FRAME, scaled_to(1), WORKERS[0], worker("w2", GROUP, draining_since=NOW)),
            ("ScalingDown", "1 workers more than the 1 wanted are still there"),
        ),
    ],
    ids=["scheduler", "workers", "surplus", "draining"],
)
def test_what_is_under_way_is_told(bodies: tuple[Object, ...], expected: tuple[str, str]) -> None:
    found = condition(planned(*bodies), "Progressing")
    assert (found["status"], found["reason"], found["message"]) == ("True", *expected)


def test_update_that_is_under_way_is_told() -> None:
    former = group(owners=(CLUSTER,))
    former["spec"]["worker"]["spec"]["containers"][0]["image"] = "old"
    result = planned(*FRAME, GROUP, WORKERS[0], worker("w2", former))
    found = condition(result, "Progressing", of=OF_GROUP)
    assert (found["reason"], found["message"]) == ("UpdatingWorkers", "1 workers are of an earlier spec")


def test_number_of_surplus_workers_is_never_negative() -> None:
    # One drains, and the one in its place has yet to be made.
    found = condition(planned(*FRAME, GROUP, worker("w2", GROUP, draining_since=NOW)), "Progressing")
    assert "-" not in found["message"]


def test_draining_workers_are_counted() -> None:
    result = planned(*EVERYTHING, worker("w3", GROUP, draining_since=NOW), report=knows("w1", "w2", "w3"))
    assert status(result)["drainingReplicas"] == 1
    assert (status(result)["replicas"], status(result)["readyReplicas"]) == (3, 2)
    found = condition(result, "Draining")
    assert (found["status"], found["reason"]) == ("True", "HandingOver")
    assert found["message"] == "1 workers hand over their data before they are deleted"


def test_workers_that_cannot_hand_over_are_told_with_the_reason() -> None:
    going = worker("w3", GROUP, draining_since=NOW)
    for bodies in ((*EVERYTHING, going), (*FRAME, scaled_to(1), *WORKERS)):
        result = planned(*bodies, report=refuses(since=NOW - SECOND))
        for of in (("DaskCluster", "simple"), OF_GROUP):
            found = condition(result, "Draining", of=of)
            assert (found["status"], found["reason"]) == ("True", "SchedulerUnreachable")
            assert "nobody answers" in found["message"]


def test_counts_are_those_of_the_default_group() -> None:
    highmem = group("simple-highmem", owners=(CLUSTER,), replicas=1, cluster_replicas=None)
    result = planned(*EVERYTHING, highmem, worker("h1", highmem, group_name="simple-highmem"))
    assert status(result)["replicas"] == 2
    assert status(result, "DaskWorkerGroup", "simple-highmem")["replicas"] == 1


def test_worker_that_runs_several_processes_is_one_worker() -> None:
    result = planned(*EVERYTHING, report=knows("w1-0", "w1-1", registered("w2-0")))
    assert status(result)["readyReplicas"] == 2


def at(moment: datetime, *bodies: Object) -> Plan:
    return planned(*bodies, now=moment)


def test_time_of_a_condition_moves_only_with_its_status() -> None:
    bodies = stored_ready()
    later = at(LATER, *(body for body in bodies if body["metadata"]["name"] != "w2"))
    assert condition(later, "SchedulerReady")["lastTransitionTime"] == timestamp(NOW)
    assert condition(later, "WorkersReady")["lastTransitionTime"] == timestamp(LATER)
