"""A job from its creation to its end, and what becomes of it where something goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_kubernetes_operator.reconcile.actions import Create, Patch
from dask_kubernetes_operator.reconcile.conditions import Condition, timestamp
from dask_kubernetes_operator.reconcile.plan import Plan
from dask_kubernetes_operator.reconcile.plan.doomed import alive_uids
from dask_kubernetes_operator.reconcile.plan.draft import Draft
from dask_kubernetes_operator.reconcile.plan.job import misses_runner, plan_job
from dask_kubernetes_operator.resources import PODS

from . import planning
from .jobs import (
    KEY,
    NAME,
    RUNNER_POD_SPEC,
    crash_looping,
    ended,
    job,
    job_cluster,
    runner,
    running,
    with_status,
)
from .objects import LONG_AGO, NOW, Object, cluster, observe, owned_by, terminating
from .planning import conditions, events, summary

pytestmark = pytest.mark.unit

LATER = NOW + timedelta(minutes=10)
CREATE_CLUSTER = "create DaskCluster simple-job"
DELETE_CLUSTER = "delete DaskCluster simple-job"
CREATE_RUNNER = "create Pod simple-job-runner"
DELETE_RUNNER = "delete Pod simple-job-runner"
JOB_STATUSES = ["JobCreated", "ClusterCreated", "Running", "Successful", "Failed"]


def planned(*bodies: Object, now: datetime = NOW, failure: Condition | None = None) -> Plan:
    """The part of a plan that is about the job."""
    return _planned(*bodies, now=now, failure=failure)[0]


def workers_may_be_created(*bodies: Object, now: datetime = NOW) -> bool:
    return _planned(*bodies, now=now)[1]


def _planned(*bodies: Object, now: datetime, failure: Condition | None = None) -> tuple[Plan, bool]:
    observed = observe(*bodies, key=KEY)
    draft = Draft(now, str, failure=failure)
    wanted = plan_job(draft, observed, alive_uids(observed))
    return draft.finished(bereaved=False), wanted


def written(result: Plan) -> dict[str, Any]:
    """The status that a plan writes on the job."""
    return planning.status(result, "DaskJob", NAME)


def told(body: Object, *children: Object, now: datetime = NOW) -> Object:
    """The job with the status that says what became of its children, as the operator wrote it."""
    for patch in planned(body, *children, now=now).statuses:
        assert isinstance(patch.patch, dict)
        body = with_status(body, patch.patch["status"])
    return body


def started(**fields: Any) -> Object:
    """A job whose runner runs, and which says so."""
    body = job(**fields)
    return told(body, job_cluster(body), runner(body, "Running", running()))


def failed_once(now: datetime = NOW, **fields: Any) -> tuple[Object, Object]:
    """A job whose first runner was evicted, and which says so; and that runner."""
    body = started(**fields)
    pod = runner(body, "Failed", ended(137), reason="Evicted", message="The node was low on resource: memory.")
    return told(body, job_cluster(body), pod, now=now), pod


def condition(body: Object, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in body["status"]["conditions"] if c["type"] == kind)
    return found


# From the creation to the end -------------------------------------------------------------------------------------


def test_new_job_gets_its_cluster_first() -> None:
    result = planned(job())
    assert summary(result.actions) == [CREATE_CLUSTER]
    status = written(result)
    assert (status["jobStatus"], status["active"], status["failed"]) == ("JobCreated", 0, 0)
    assert not {"clusterName", "jobRunnerPodName", "startTime", "endTime"} & set(status)
    assert conditions(status) == {
        "Complete": ("False", "NotFinished"),
        "Failed": ("False", "NotFailed"),
        "Suspended": ("False", "NotSuspended"),
        "Degraded": ("False", "AsExpected"),
    }
    assert events(result) == []


def test_runner_is_created_as_soon_as_the_cluster_object_is_there_and_before_any_worker() -> None:
    body = job()
    assert summary(planned(body, job_cluster(body)).actions) == [CREATE_RUNNER]
    assert not workers_may_be_created(body, job_cluster(body))
    assert workers_may_be_created(body, job_cluster(body), runner(body, "Pending"))


def test_cluster_without_a_job_is_free_to_have_workers() -> None:
    assert workers_may_be_created(cluster(NAME))
    assert planned(cluster(NAME)) == Plan()


def test_status_says_cluster_created_when_cluster_and_runner_are_there() -> None:
    body = job()
    status = written(planned(body, job_cluster(body), runner(body, "Pending")))
    assert status["jobStatus"] == "ClusterCreated"
    assert (status["clusterName"], status["jobRunnerPodName"]) == ("simple-job", "simple-job-runner")
    assert status["active"] == 1


def test_status_says_running_since_the_container_started() -> None:
    body = job()
    began = NOW - timedelta(seconds=7)
    status = written(planned(body, job_cluster(body), runner(body, "Running", running(started_at=began))))
    assert (status["jobStatus"], status["startTime"]) == ("Running", timestamp(began))


def test_success_is_told_before_the_cluster_is_deleted() -> None:
    body = started()
    children = (job_cluster(body), runner(body, "Succeeded", ended(0)))
    result = planned(body, *children, now=LATER)
    assert result.actions == ()
    status = written(result)
    assert (status["jobStatus"], status["endTime"], status["active"]) == ("Successful", timestamp(NOW), 0)
    assert conditions(status)["Complete"] == ("True", "RunnerSucceeded")
    assert [(event.type, event.reason) for event in events(result)] == [("Normal", "RunnerSucceeded")]
    result = planned(told(body, *children), *children)
    assert summary(result.actions) == [DELETE_CLUSTER], "the runner that has ended stays, for its logs"
    assert result.statuses == ()


def test_success_that_is_the_first_thing_seen_has_both_times() -> None:
    body = job()
    began, end = NOW - timedelta(seconds=9), NOW - timedelta(seconds=4)
    children = (job_cluster(body), runner(body, "Succeeded", ended(0, started_at=began, finished_at=end)))
    status = written(planned(body, *children))
    assert (status["startTime"], status["endTime"]) == (timestamp(began), timestamp(end))


def test_failure_that_is_final_is_told_with_the_last_lines_before_the_cluster_is_deleted() -> None:
    body = started(restart_policy="Never")
    pod = runner(body, "Failed", ended(3, message="Traceback\nValueError: no such bucket"))
    result = planned(body, job_cluster(body), pod)
    assert result.actions == ()
    status = written(result)
    assert (status["jobStatus"], status["endTime"], status["failed"]) == ("Failed", timestamp(NOW), 1)
    failed = condition({"status": status}, "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "RunnerFailed")
    assert "container job ended with exit code 3" in failed["message"]
    assert failed["message"].endswith("ValueError: no such bucket")
    assert [(event.type, event.reason) for event in events(result)] == [("Warning", "RunnerFailed")]
    body = told(body, job_cluster(body), pod)
    assert summary(planned(body, job_cluster(body), pod).actions) == [DELETE_CLUSTER]
    assert condition(told(body, now=LATER), "Failed")["message"] == failed["message"], "also when the pod is gone"


def test_of_a_long_last_message_the_end_is_kept() -> None:
    body = started(restart_policy="Never")
    said = "\n".join(f"line {number}" for number in range(1000)) + "\nKeyError: 'x'"
    status = written(planned(body, job_cluster(body), runner(body, "Failed", ended(1, message=said))))
    assert condition({"status": status}, "Failed")["message"].endswith("KeyError: 'x'")


@pytest.mark.parametrize("restart_policy", ["Never", "OnFailure"])
@pytest.mark.parametrize(
    "children",
    [
        lambda body: (job_cluster(body),),
        lambda body: (job_cluster(body), runner(body, "Pending")),
        lambda body: (job_cluster(body), runner(body, "Running", running())),
        lambda body: (job_cluster(body), runner(body, "Succeeded", ended(0))),
        lambda body: (job_cluster(body), runner(body, "Failed", ended(1))),
        lambda body: (job_cluster(body), terminating(runner(body, "Running", running()))),
    ],
)
def test_status_is_written_once(children: Callable[[Object], tuple[Object, ...]], restart_policy: str) -> None:
    body = started(restart_policy=restart_policy)
    there = children(body)
    body = told(told(body, *there), *there)
    assert planned(body, *there).statuses == ()


@pytest.mark.parametrize("code", [0, 1])
def test_end_is_final_whatever_becomes_of_runner_and_cluster(code: int) -> None:
    body = started(restart_policy="Never")
    phase = "Failed" if code else "Succeeded"
    body = told(body, job_cluster(body), runner(body, phase, ended(code)))
    for children in (
        (),
        (job_cluster(body),),
        (runner(body, "Running", running()),),
        (runner(body, "Succeeded", ended(0)),),
        (runner(body, "Failed", ended(1)),),
    ):
        result = planned(body, *children, now=LATER)
        assert result.statuses == ()
        assert not [action for action in result.actions if isinstance(action, Create)]


@pytest.mark.parametrize(
    ("policy", "code", "kept"),
    [
        ("Delete", 0, False),
        ("Delete", 1, False),
        ("DeleteOnSuccess", 0, False),
        ("DeleteOnSuccess", 1, True),
        ("Retain", 0, True),
        ("Retain", 1, True),
    ],
)
def test_deletion_policy_decides_over_the_cluster(policy: str, code: int, kept: bool) -> None:
    body = started(restart_policy="Never", deletionPolicy=policy)
    children = (job_cluster(body), runner(body, "Failed" if code else "Succeeded", ended(code)))
    body = told(body, *children)
    assert summary(planned(body, *children).actions) == ([] if kept else [DELETE_CLUSTER])
    assert workers_may_be_created(body, *children) == kept, "a cluster that is kept is kept whole"
    gone = planned(body, children[1])
    assert gone.actions == (), "a kept cluster that somebody deletes stays away"


def test_job_is_deleted_when_its_time_to_live_is_over() -> None:
    body = started(ttlSecondsAfterFinished=60)
    pod = runner(body, "Succeeded", ended(0))
    body = told(body, job_cluster(body), pod)
    early = planned(body, pod, now=NOW + timedelta(seconds=59))
    assert (early.actions, early.look_again_at) == ((), NOW + timedelta(seconds=60))
    assert summary(planned(body, pod, now=NOW + timedelta(seconds=60)).actions) == ["delete DaskJob simple-job"]


def test_time_to_live_of_zero_deletes_the_job_once_its_end_is_told() -> None:
    body = started(ttlSecondsAfterFinished=0)
    children = (job_cluster(body), runner(body, "Succeeded", ended(0)))
    assert planned(body, *children).actions == ()
    assert summary(planned(told(body, *children), *children).actions) == [DELETE_CLUSTER, "delete DaskJob simple-job"]


# Other operators --------------------------------------------------------------------------------------------------


def test_job_of_another_manager_is_not_touched() -> None:
    body = job(managedBy="kueue.x-k8s.io/multikueue")
    assert planned(body) == Plan()
    assert planned({**body, "spec": {"managedBy": "kueue.x-k8s.io/multikueue"}}) == Plan()
    assert summary(planned(job(managedBy="kubernetes.dask.org/dask-kubernetes-operator")).actions) == [CREATE_CLUSTER]


def test_issue_975_job_that_an_earlier_operator_left_running_is_ended() -> None:
    status = {"jobStatus": "Running", "clusterName": NAME, "jobRunnerPodName": f"{NAME}-runner"}
    body = job(status={**status, "startTime": timestamp(LONG_AGO)})
    result = planned(body, runner(body, "Succeeded", ended(0)))
    assert written(result)["jobStatus"] == "Successful"
    assert "startTime" not in written(result), "it is left as it was"


def test_job_that_ended_under_an_earlier_operator_gets_its_conditions_and_loses_its_cluster() -> None:
    times = {"startTime": timestamp(LONG_AGO), "endTime": timestamp(LONG_AGO)}
    body = job(status={"jobStatus": "Failed", **times})
    result = planned(body, job_cluster(body))
    assert conditions(written(result))["Failed"] == ("True", "RunnerFailed")
    assert summary(result.actions) == [DELETE_CLUSTER]


def test_unreadable_job_says_what_is_wrong_and_its_cluster_goes_on() -> None:
    body = job()
    del body["spec"]["job"]
    result = planned(body)
    assert result.actions == ()
    degraded = condition({"status": written(result)}, "Degraded")
    assert (degraded["reason"], degraded["message"]) == (
        "Invalid",
        "spec.job is missing: add it to the object",
    )
    assert workers_may_be_created(body)


# Failures and retries ---------------------------------------------------------------------------------------------


def test_runner_that_is_restarted_in_its_pod_keeps_the_job_running() -> None:
    body = started()
    pod = runner(body, "Running", crash_looping(1, restarts=4, message="boom"))
    result = planned(body, job_cluster(body), pod)
    assert result.actions == ()
    status = written(result)
    assert status["failed"] == 5, "the failure that waits for its restart counts too"
    assert "jobStatus" not in status
    degraded = condition({"status": status}, "Degraded")
    assert degraded["reason"] == "CrashLoopBackOff"
    assert "boom" in degraded["message"]


@pytest.mark.parametrize(
    "container",
    [running(restarts=3), ended(1, restarts=2), crash_looping(1, restarts=2)],
    ids=["restarted", "ended", "waiting"],
)
def test_restarts_inside_the_pod_count_towards_the_limit(container: Object) -> None:
    body = started(backoffLimit=2)
    within = started(backoffLimit=3)
    assert "jobStatus" not in written(planned(within, job_cluster(within), runner(within, "Running", container)))
    children = (job_cluster(body), runner(body, "Running", container))
    result = planned(body, *children)
    assert result.actions == ()
    failed = condition({"status": written(result)}, "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "BackoffLimitExceeded")
    assert failed["message"].startswith("the runner failed 3 times and spec.backoffLimit is 2")
    result = planned(told(body, *children), *children)
    assert summary(result.actions) == [DELETE_CLUSTER, DELETE_RUNNER], "its kubelet would go on restarting it"


@pytest.mark.parametrize("restart_policy", ["OnFailure", "Never"])
def test_failed_pod_is_counted_then_replaced_after_a_pause(restart_policy: str) -> None:
    body = started(restart_policy=restart_policy, backoffLimit=1)
    pod = runner(body, "Failed", ended(1, message="no luck"))
    result = planned(body, job_cluster(body), pod)
    assert result.actions == (), "first it is written down"
    status = written(result)
    assert (status["failed"], status["active"], status["lastFailureTime"]) == (1, 0, timestamp(NOW))
    degraded = condition({"status": status}, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "RunnerFailed")
    assert "no luck" in degraded["message"]
    assert timestamp(NOW + timedelta(seconds=10)) in degraded["message"]

    body = told(body, job_cluster(body), pod)
    waiting = planned(body, job_cluster(body), pod, now=NOW + timedelta(seconds=9))
    assert (waiting.actions, waiting.look_again_at) == ((), NOW + timedelta(seconds=10))
    assert not workers_may_be_created(body, job_cluster(body), pod)
    due = NOW + timedelta(seconds=10)
    assert summary(planned(body, job_cluster(body), pod, now=due).actions) == [DELETE_RUNNER]
    [create] = planned(body, job_cluster(body), now=due).actions
    assert isinstance(create, Create)
    assert create.body["metadata"]["annotations"]["dask.org/failures-before"] == "1"

    second = runner(body, "Running", running(), failures_before=1, uid="uid-second")
    result = planned(body, job_cluster(body), second, now=due)
    assert result.actions == ()
    assert written(result)["active"] == 1
    assert conditions(written(result))["Degraded"] == ("False", "AsExpected")
    body = told(body, job_cluster(body), second, now=due)
    second = runner(body, "Failed", ended(1), failures_before=1, uid="uid-second", version=2)
    status = written(planned(body, job_cluster(body), second, now=LATER))
    assert (status["jobStatus"], status["failed"]) == ("Failed", 2)
    assert condition({"status": status}, "Failed")["reason"] == "BackoffLimitExceeded"


def test_pause_between_runners_doubles_up_to_six_minutes() -> None:
    pauses = []
    for failures in range(1, 9):
        body = job(status={"jobStatus": "Running", "failed": failures, "lastFailureTime": timestamp(NOW)})
        due = planned(body, job_cluster(body)).look_again_at
        assert due is not None
        pauses.append((due - NOW).total_seconds())
    assert pauses == [10, 20, 40, 80, 160, 320, 360, 360]


@pytest.mark.parametrize(
    ("restart_policy", "backoff_limit", "comes_to"),
    [
        ("OnFailure", None, "again"),
        ("OnFailure", 1, "again"),
        ("OnFailure", 0, "BackoffLimitExceeded"),
        ("Never", None, "RunnerFailed"),
        ("Never", 1, "again"),
        ("Never", 0, "BackoffLimitExceeded"),
    ],
)
@pytest.mark.parametrize("how", ["evicted", "deleted", "gone", "node shut down"])
def test_runner_that_did_not_end_by_itself_has_failed(
    how: str, restart_policy: str, backoff_limit: int | None, comes_to: str
) -> None:
    body = started(restart_policy=restart_policy, backoffLimit=backoff_limit)
    pod = runner(body, "Running", running())
    disruption = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drain"}
    there: dict[str, tuple[Object, ...]] = {
        "evicted": (runner(body, "Failed", ended(137), reason="Evicted", message="low on memory"),),
        "deleted": (terminating({**pod, "status": {**pod["status"], "conditions": [disruption]}}),),
        "gone": (),
        "node shut down": (runner(body, "Failed", reason="Terminated", message="node shutdown"),),
    }
    says = {"evicted": "Evicted: low on memory", "deleted": "EvictionByEvictionAPI: drain", "gone": "was deleted"}
    children = (job_cluster(body), *there[how])
    result = planned(body, *children)
    assert not [action for action in result.actions if isinstance(action, Create)], "first it is written down"
    status = written(result)
    assert (status["failed"], status["active"]) == (1, 0)
    if comes_to == "again":
        assert "jobStatus" not in status
        degraded = condition({"status": status}, "Degraded")
        assert degraded["reason"] == "RunnerFailed"
        assert says.get(how, "node shutdown") in degraded["message"]
        assert summary(planned(told(body, *children), job_cluster(body), now=LATER).actions) == [CREATE_RUNNER]
    else:
        assert status["jobStatus"] == "Failed"
        failed = condition({"status": status}, "Failed")
        assert failed["reason"] == comes_to
        assert says.get(how, "node shutdown") in failed["message"]


def test_runner_that_is_missed_may_only_be_late() -> None:
    body = started()
    there = runner(body, "Running", running())
    assert misses_runner(observe(body, key=KEY))
    assert misses_runner(observe(body, runner(job(uid="uid-old"), "Running", running()), key=KEY))
    assert not misses_runner(observe(body, there, key=KEY))
    assert not misses_runner(observe(told(body), key=KEY)), "it is counted"
    assert not misses_runner(observe(job(), key=KEY))
    assert not misses_runner(observe(key=KEY))


def test_each_failure_counts_once_whatever_the_pod_goes_through() -> None:
    body, pod = failed_once(backoffLimit=5)
    for children in ((pod,), (terminating(pod),), ()):
        body = told(body, job_cluster(body), *children)
        assert body["status"]["failed"] == 1


def test_failure_is_counted_also_when_the_runner_was_never_seen_alive() -> None:
    body = job(backoffLimit=5)
    pod = runner(body, "Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu")
    status = written(planned(body, job_cluster(body), pod))
    assert (status["failed"], status["lastFailureTime"]) == (1, timestamp(NOW))


def test_runner_on_a_lost_node_keeps_its_name_and_the_job_says_so() -> None:
    body, _ = failed_once()
    stuck = terminating(runner(body, "Running", running()))
    early = planned(body, job_cluster(body), stuck, now=NOW + timedelta(seconds=59))
    assert early.actions == ()
    result = planned(body, job_cluster(body), stuck, now=NOW + timedelta(seconds=60))
    assert result.actions == (), "two runners at once would do the work twice"
    degraded = condition({"status": written(result)}, "Degraded")
    assert degraded["reason"] == "RunnerTerminating"
    assert "kubectl delete pod simple-job-runner --force" in degraded["message"]


def test_runner_that_is_deleted_and_still_succeeds_has_succeeded() -> None:
    body = started()
    done = terminating(runner(body, "Succeeded", ended(0)))
    assert written(planned(body, job_cluster(body), done))["jobStatus"] == "Successful"


def test_limit_of_the_pod_itself_ends_a_job_without_backoff_limit() -> None:
    body = started()
    message = "Pod was active on the node longer than the specified deadline"
    pod = runner(body, "Failed", ended(143), reason="DeadlineExceeded", message=message)
    status = written(planned(body, job_cluster(body), pod))
    assert status["jobStatus"] == "Failed"
    assert condition({"status": status}, "Failed")["reason"] == "DeadlineExceeded"


# Several containers -----------------------------------------------------------------------------------------------


def test_pod_whose_containers_have_just_ended_is_left_to_end_itself() -> None:
    body = started()
    children = (job_cluster(body), runner(body, "Running", ended(0)))
    result = planned(told(body, *children), *children)
    assert summary(result.actions) == [DELETE_CLUSTER], "its logs are to stay"


def test_injected_sidecar_that_never_ends_does_not_keep_the_job_running() -> None:
    body = started()
    children = (job_cluster(body), runner(body, "Running", ended(0), running("istio-proxy")))
    assert written(planned(body, *children))["jobStatus"] == "Successful"
    result = planned(told(body, *children), *children)
    assert summary(result.actions) == [DELETE_CLUSTER, DELETE_RUNNER]


def test_restarts_of_a_sidecar_are_no_failures_of_the_job() -> None:
    sidecar = {"name": "proxy", "image": "p", "restartPolicy": "Always"}
    first = {"name": "fetch", "image": "f"}
    body = started(pod_spec={**RUNNER_POD_SPEC, "initContainers": [first, sidecar]}, backoffLimit=1)
    statuses = [running("proxy", restarts=9), ended(0, "fetch", restarts=1)]
    pod = runner(body, "Running", running(), running("istio-proxy", restarts=9), initContainerStatuses=statuses)
    status = written(planned(body, job_cluster(body), pod))
    assert status["failed"] == 1
    assert "jobStatus" not in status


def test_job_waits_for_all_containers_that_are_its_own() -> None:
    containers = [*RUNNER_POD_SPEC["containers"], {"name": "upload", "image": "u"}]
    body = started(pod_spec={"containers": containers}, restart_policy="Never")
    for first in (ended(0), ended(1)):
        result = planned(body, job_cluster(body), runner(body, "Running", first, running("upload")))
        assert result.actions == ()
        assert result.statuses == ()


def test_container_that_could_not_start_gives_no_time_of_1970() -> None:
    body = job(restart_policy="Never")
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    pod = runner(body, "Failed", ended(128, started_at=epoch, reason="StartError", message="no such file: pyhton"))
    status = written(planned(body, job_cluster(body), pod))
    assert status["startTime"] == timestamp(LONG_AGO), "the creation of the pod"
    assert "StartError" in condition({"status": status}, "Failed")["message"]


# Deadline ---------------------------------------------------------------------------------------------------------


def test_job_that_takes_too_long_after_its_start_is_stopped() -> None:
    body = started(activeDeadlineSeconds=100)
    children = (job_cluster(body), runner(body, "Running", running()))
    assert planned(body, *children).look_again_at == NOW + timedelta(seconds=100)
    assert planned(body, *children, now=NOW + timedelta(seconds=99)).statuses == ()
    late = NOW + timedelta(seconds=100)
    result = planned(body, *children, now=late)
    assert result.actions == ()
    status = written(result)
    assert (status["jobStatus"], status["endTime"]) == ("Failed", timestamp(late))
    failed = condition({"status": status}, "Failed")
    assert failed["reason"] == "DeadlineExceeded"
    assert "spec.activeDeadlineSeconds" in failed["message"]
    body = told(body, *children, now=late)
    assert summary(planned(body, *children, now=late).actions) == [DELETE_CLUSTER, DELETE_RUNNER]


def test_deadline_counts_from_the_start_and_not_from_the_creation() -> None:
    body = told(job(activeDeadlineSeconds=100), now=NOW - timedelta(seconds=99))
    body = told(body, job_cluster(body), runner(body, "Running", running()))
    result = planned(body, job_cluster(body), runner(body, "Running", running()), now=NOW + timedelta(seconds=1))
    assert result.look_again_at == NOW + timedelta(seconds=100)


def test_deadline_counts_from_the_first_start_through_all_retries() -> None:
    body, _ = failed_once(activeDeadlineSeconds=100)
    late = NOW + timedelta(seconds=100)
    again = runner(body, "Running", running(started_at=LATER), failures_before=1, uid="uid-second")
    assert written(planned(body, job_cluster(body), again, now=late))["jobStatus"] == "Failed"


def test_runner_that_does_not_start_is_waited_for_as_long() -> None:
    body = told(job(activeDeadlineSeconds=100))
    children = (job_cluster(body), runner(body, "Pending"))
    assert planned(body, *children).look_again_at == NOW + timedelta(seconds=100)
    status = written(planned(body, *children, now=NOW + timedelta(seconds=100)))
    assert status["jobStatus"] == "Failed"
    assert "without having started" in condition({"status": status}, "Failed")["message"]


def test_success_at_the_deadline_is_success() -> None:
    body = started(activeDeadlineSeconds=100)
    status = written(planned(body, job_cluster(body), runner(body, "Succeeded", ended(0)), now=LATER))
    assert status["jobStatus"] == "Successful"


# Suspension -------------------------------------------------------------------------------------------------------


def test_job_created_suspended_starts_nothing() -> None:
    body = job(suspend=True)
    result = planned(body)
    assert result.actions == ()
    assert written(result)["jobStatus"] == "JobCreated"
    assert conditions(written(result))["Suspended"] == ("True", "SuspendRequested")
    assert summary(planned(told(body)).actions) == []
    resumed = {**told(body), "spec": job()["spec"]}
    result = planned(resumed, now=LATER)
    assert summary(result.actions) == [CREATE_CLUSTER]
    suspended = condition({"status": written(result)}, "Suspended")
    assert (suspended["status"], suspended["reason"]) == ("False", "NotSuspended")
    assert suspended["lastTransitionTime"] == timestamp(LATER), "from here on its deadline counts"
    assert planned(told(resumed, now=LATER), now=LATER).statuses == ()


def test_suspending_is_told_before_anything_is_taken_away() -> None:
    body = started(backoffLimit=0)
    children = (job_cluster(body), runner(body, "Running", running()))
    body["spec"]["suspend"] = True
    result = planned(body, *children)
    assert result.actions == ()
    status = written(result)
    assert (status["jobStatus"], status["startTime"], status["active"]) == ("JobCreated", None, 0)
    assert [(event.type, event.reason) for event in events(result)] == [("Normal", "SuspendRequested")]
    body = told(body, *children)
    assert summary(planned(body, *children).actions) == [DELETE_CLUSTER, DELETE_RUNNER]
    assert not workers_may_be_created(body, *children)


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
def test_runner_that_suspension_took_away_is_no_failure_and_no_success(phase: str) -> None:
    body = started(backoffLimit=0)
    children = (job_cluster(body), runner(body, "Running", running()))
    body["spec"]["suspend"] = True
    body = told(body, *children)
    del body["spec"]["suspend"]  # at once, while the runner has its grace
    leaving = terminating(runner(body, phase, running() if phase == "Running" else ended(0), version=2))
    assert planned(body, leaving).actions == planned(body).actions
    body = told(body, job_cluster(body), leaving)
    assert (body["status"]["jobStatus"], body["status"]["failed"]) == ("JobCreated", 0)
    assert planned(body, job_cluster(body), leaving).actions == ()
    assert summary(planned(body, job_cluster(body)).actions) == [CREATE_RUNNER]


def test_failed_runner_is_removed_when_the_job_is_suspended() -> None:
    body, pod = failed_once()
    body["spec"]["suspend"] = True
    body = told(body, job_cluster(body), pod)
    assert summary(planned(body, job_cluster(body), pod).actions) == [DELETE_CLUSTER, DELETE_RUNNER]


def test_finished_job_does_not_mind_being_suspended() -> None:
    body = started()
    children = (job_cluster(body), runner(body, "Succeeded", ended(0)))
    body = told(body, *children)
    body["spec"]["suspend"] = True
    assert planned(body, children[1]) == Plan()


# The cluster ------------------------------------------------------------------------------------------------------


def test_cluster_deleted_by_hand_is_created_again_and_the_runner_left_alone() -> None:
    body = started()
    result = planned(body, runner(body, "Running", running()))
    assert summary(result.actions) == [CREATE_CLUSTER]
    assert [(event.type, event.reason) for event in events(result)] == [("Warning", "ClusterLost")]
    assert result.statuses == (), "the job goes on"
    dying = terminating(job_cluster(body), "somebody/holds-it")
    assert planned(body, dying, runner(body, "Running", running())).actions == ()


@pytest.mark.parametrize("timeout", ["idleTimeout", "clientTimeout"])
def test_cluster_that_goes_by_itself_stays_away_while_the_runner_runs(timeout: str) -> None:
    body = started()
    body["spec"]["cluster"]["spec"][timeout] = 60
    assert planned(body, runner(body, "Running", running())).actions == ()
    body["status"] = failed_once()[0]["status"]
    assert summary(planned(body, now=LATER).actions) == [CREATE_CLUSTER], "the next runner needs one"


def test_edit_of_the_jobs_cluster_spec_is_carried_over() -> None:
    body = started()
    pod, made = runner(body, "Running", running()), job_cluster(body, version=7)
    body["spec"]["cluster"]["spec"]["worker"]["replicas"] = 9
    [patch] = planned(body, made, pod).actions
    assert isinstance(patch, Patch)
    assert isinstance(patch.patch, list)
    spec, digest, unchanged = patch.patch
    assert unchanged == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
    assert (spec["path"], spec["value"]["worker"]["replicas"]) == ("/spec", 9)
    assert digest["path"] == "/metadata/annotations/dask.org~1spec-hash"
    assert planned(body, job_cluster(body), pod).actions == ()


def test_cluster_that_was_scaled_by_hand_is_left_as_it_is() -> None:
    body = started()
    made = job_cluster(body)
    made["spec"]["worker"]["replicas"] = 9
    assert planned(body, made, runner(body, "Running", running())).actions == ()


def test_edited_labels_reach_cluster_and_runner() -> None:
    body = started()
    children = (job_cluster(body), runner(body, "Running", running()))
    body["metadata"]["labels"] = {"team": "a"}
    patches = [action for action in planned(body, *children).actions if isinstance(action, Patch)]
    assert {patch.name for patch in patches} == {"simple-job", "simple-job-runner"}
    assert all(isinstance(p.patch, dict) and p.patch["metadata"]["labels"] == {"team": "a"} for p in patches)


def test_foreign_cluster_of_the_jobs_name_is_never_used() -> None:
    body = told(job())
    result = planned(body, cluster(NAME), now=LATER)
    assert result.actions == ()
    degraded = condition({"status": written(result)}, "Degraded")
    assert degraded["reason"] == "ClusterNameTaken"
    assert not workers_may_be_created(body, cluster(NAME), now=LATER)


# The same name again ----------------------------------------------------------------------------------------------


def test_issues_829_846_870_children_of_a_deleted_job_are_waited_for_and_never_adopted() -> None:
    old = started(uid="uid-old")
    new = told(job())
    old_cluster, old_runner = job_cluster(old), runner(old, "Running", running())
    for left_over in (
        (old_cluster, old_runner),
        (terminating(old_cluster), old_runner),
        (terminating(old_cluster), terminating(old_runner)),
    ):
        result = planned(new, *left_over)
        assert result.actions == ()
        assert result.statuses == (), "nothing of the old runner is in the new job's status"
        assert not workers_may_be_created(new, *left_over)
    assert summary(planned(new, terminating(old_runner)).actions) == [CREATE_CLUSTER]
    assert planned(new, job_cluster(new), terminating(old_runner)).actions == ()
    assert summary(planned(new, job_cluster(new)).actions) == [CREATE_RUNNER]


def test_predecessor_that_does_not_go_is_told_of() -> None:
    old, new = started(uid="uid-old"), told(job())
    stuck = terminating(runner(old, "Running", running()))
    result = planned(new, job_cluster(new), stuck, now=LATER)
    assert condition({"status": written(result)}, "Degraded")["reason"] == "RunnerTerminating"
    held = terminating(job_cluster(old), "somebody/holds-it")
    result = planned(new, held, now=LATER)
    assert condition({"status": written(result)}, "Degraded")["reason"] == "ClusterTerminating"


def test_deleted_job_starts_nothing() -> None:
    body = terminating(started(), "foregroundDeletion")
    assert planned(body) == Plan()


# What keeps it from going on --------------------------------------------------------------------------------------


def test_what_keeps_the_runner_from_starting_is_the_jobs_condition() -> None:
    body = job()
    waiting = {"name": "job", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
    status = written(planned(body, job_cluster(body), runner(body, "Pending", waiting)))
    degraded = condition({"status": status}, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "ImagePullBackOff")
    assert degraded["message"] == "pod simple-job-runner: container job: not found"


def test_what_the_api_server_refuses_is_the_jobs_condition() -> None:
    refusal = Condition("Degraded", "True", "QuotaExceeded", "exceeded quota: pods", 99, event="Warning")
    body = job()
    result = planned(body, job_cluster(body), failure=refusal)
    degraded = condition({"status": written(result)}, "Degraded")
    assert (degraded["reason"], degraded["observedGeneration"]) == ("QuotaExceeded", 1)


def test_trouble_of_the_cluster_is_told_by_the_job_too() -> None:
    body = started()
    trouble = {"type": "Degraded", "status": "True", "reason": "Unschedulable", "message": "no node has room"}
    made = job_cluster(body, status={"conditions": [trouble]})
    degraded = condition({"status": written(planned(body, made, runner(body, "Running", running())))}, "Degraded")
    assert (degraded["reason"], degraded["message"]) == ("Unschedulable", "DaskCluster simple-job: no node has room")


# Whatever happens -------------------------------------------------------------------------------------------------


class Life:
    """A job in a world of its own: what the operator does is done, and what nodes and people do is drawn."""

    def __init__(self, body: Object) -> None:
        self.job = body
        self.now = NOW
        self.cluster: Object | None = None
        self.runner: Object | None = None
        self.runners = 0
        self.version = 1
        self.statuses = [""]
        self.created: list[str] = []

    def reconcile(self, *, dies_after: int) -> None:
        """One pass of the operator, which ends after that many writes."""
        result = planned(self.job, *(body for body in (self.cluster, self.runner) if body), now=self.now)
        writes: list[Callable[[], None]] = [lambda action=action: self.act(action) for action in result.actions]  # type: ignore[misc]
        writes += [lambda patch=patch: self.write(patch) for patch in result.statuses]  # type: ignore[misc]
        for write in writes[:dies_after]:
            write()

    def act(self, action: Any) -> None:
        line = summary([action])[0]
        if line == CREATE_CLUSTER:
            assert self.cluster is None
            self.cluster = job_cluster(self.job)
        elif line == DELETE_CLUSTER:
            self.cluster = None
        elif line == CREATE_RUNNER:
            assert self.runner is None, "two runners at once"
            self.runners += 1
            before = int(action.body["metadata"]["annotations"]["dask.org/failures-before"])
            uid = f"uid-runner-{self.runners}"
            self.runner = runner(self.job, "Pending", failures_before=before, uid=uid, created_at=self.now)
        elif line == DELETE_RUNNER:
            assert self.runner is not None
            self.runner = terminating(self.runner)
        else:
            raise AssertionError(f"unforeseen: {line}")
        self.created += [line] if isinstance(action, Create) else []

    def write(self, patch: Patch) -> None:
        assert isinstance(patch.patch, dict)
        self.job = with_status(self.job, patch.patch["status"])
        if self.job["status"]["jobStatus"] != self.statuses[-1]:
            self.statuses.append(self.job["status"]["jobStatus"])

    def happen(self, event: str) -> None:
        """Something that is none of the operator's doing."""
        self.version += 1
        if event == "time":
            self.now += timedelta(seconds=400)
        elif event == "cluster deleted":
            self.cluster = None
        elif self.runner is not None:
            gone = bool(self.runner["metadata"].get("deletionTimestamp"))
            phase = self.runner["status"]["phase"]
            if event == "runner goes" and gone:
                self.runner = None
            elif event == "runner deleted":
                self.runner = terminating(self.runner)
            elif phase in ("Pending", "Running") and event in RUNNER_EVENTS:
                new_phase, container = RUNNER_EVENTS[event]
                self.runner["status"] = {"phase": new_phase, "containerStatuses": [container]}
                self.runner["metadata"]["resourceVersion"] = str(self.version)


RUNNER_EVENTS: dict[str, tuple[str, Object]] = {
    "runner runs": ("Running", running()),
    "runner restarts": ("Running", running(restarts=1)),
    "runner loops": ("Running", crash_looping(1, restarts=1)),
    "runner succeeds": ("Succeeded", ended(0)),
    "runner fails": ("Failed", ended(1)),
}
EVENTS = [*RUNNER_EVENTS, "runner deleted", "runner goes", "cluster deleted", "time"]


@given(
    happenings=st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 3)), max_size=25),
    restart_policy=st.sampled_from(["Never", "OnFailure"]),
    limit=st.sampled_from([None, 0, 2]),
    policy=st.sampled_from(["Delete", "DeleteOnSuccess", "Retain"]),
)
@settings(max_examples=300, deadline=None)
def test_job_never_goes_back_never_has_two_runners_and_ends_for_good(
    happenings: list[tuple[str, int]], restart_policy: str, limit: int | None, policy: str
) -> None:
    life = Life(job(restart_policy=restart_policy, backoffLimit=limit, deletionPolicy=policy))
    made_at_the_end: int | None = None
    for event, writes in happenings:
        life.happen(event)
        life.reconcile(dies_after=writes)
        status = life.job.get("status", {})
        if status.get("jobStatus") in ("Successful", "Failed"):
            made_at_the_end = len(life.created) if made_at_the_end is None else made_at_the_end
            assert len(life.created) == made_at_the_end, "an ended job creates nothing"
            assert status["active"] == 0
    order = [JOB_STATUSES.index(status) for status in life.statuses[1:]]
    assert all(earlier < later for earlier, later in pairwise(order)), life.statuses
    assert "Failed" not in life.statuses[:-1]
    assert "Successful" not in life.statuses[:-1]
    if limit is not None:
        # One that somebody deletes before it was noted cannot be counted.
        assert life.runners <= limit + 1 + sum(event == "runner deleted" for event, _ in happenings)


@given(happenings=st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 3)), max_size=15))
@settings(max_examples=200, deadline=None)
def test_job_that_is_left_in_peace_comes_to_an_end(happenings: list[tuple[str, int]]) -> None:
    life = Life(job())
    for event, writes in happenings:
        life.happen(event)
        life.reconcile(dies_after=writes)
    for _ in range(12):
        for event in ("time", "runner goes", "runner runs", "runner succeeds"):
            life.happen(event)
            life.reconcile(dies_after=9)
    assert life.statuses[-1] == "Successful"
    assert life.cluster is None


def test_controller_that_dies_after_any_write_loses_no_failure() -> None:
    counts = set()
    for dies_after in (1, 2, 3, 99):
        life = Life(job(restart_policy="Never", backoffLimit=2))
        for event in ("start", *("runner runs", "runner fails", "time", "runner goes") * 3):
            life.happen(event)
            for _ in range(6):
                life.reconcile(dies_after=dies_after)
        assert life.runners == 3
        counts.add((life.job["status"]["failed"], life.job["status"]["jobStatus"]))
    assert counts == {(3, "Failed")}


def test_owner_of_the_runner_is_the_job() -> None:
    body = job()
    [create] = planned(body, job_cluster(body)).actions
    assert isinstance(create, Create)
    assert create.resource == PODS
    assert create.body["metadata"]["ownerReferences"] == [owned_by(body)]
