"""What keeps a cluster from starting, read from what Kubernetes and the operator say of it."""

from __future__ import annotations

from typing import Any

import pytest

from dask_kubernetes.exceptions import (
    CrashLoopBackOffError,
    ImagePullError,
    SchedulerStartupError,
    UnschedulableError,
)
from dask_kubernetes.operator.kubecluster.diagnosis import (
    Problem,
    describe,
    is_ready,
    is_running,
    is_taken_up,
    pod_problem,
    scheduler_problem,
)

pytestmark = pytest.mark.unit

Object = dict[str, Any]


def pod(component: str = "scheduler", **status: Any) -> Object:
    return {"metadata": {"name": "a", "labels": {"dask.org/component": component}}, "status": status}


def waiting(reason: str, message: str = "", **more: Any) -> Object:
    return {"name": "main", "state": {"waiting": {"reason": reason, "message": message}}, **more}


RUNNING = {"name": "main", "state": {"running": {}}}
READY = {"type": "Ready", "status": "True"}


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", ""])
def test_what_only_takes_its_time_is_no_problem(reason: str) -> None:
    assert pod_problem(pod(phase="Pending", containerStatuses=[waiting(reason)])) is None
    assert pod_problem(pod()) is None
    assert pod_problem({"metadata": {"name": "a"}}) is None


@pytest.mark.parametrize(
    ("reason", "message", "error", "is_final"),
    [
        ("ErrImagePull", "dial tcp: i/o timeout", ImagePullError, False),
        ("ImagePullBackOff", 'Back-off pulling image "x"', ImagePullError, False),
        ("ImagePullBackOff", "manifest unknown", ImagePullError, True),
        ("ErrImagePull", "pull access denied", ImagePullError, True),
        ("ErrImagePull", "x: not found", ImagePullError, True),
        ("InvalidImageName", "", ImagePullError, True),
        ("ErrImageNeverPull", "", ImagePullError, True),
        ("CrashLoopBackOff", "x not found", CrashLoopBackOffError, False),
        ("CreateContainerConfigError", 'secret "x" not found', SchedulerStartupError, False),
        ("RunContainerError", "no such file", SchedulerStartupError, False),
    ],
)
@pytest.mark.parametrize("which", ["containerStatuses", "initContainerStatuses"])
def test_a_container_that_waits(
    reason: str, message: str, error: type[Exception], is_final: bool, which: str
) -> None:
    broken = pod(phase="Pending")
    broken["status"][which] = [waiting(reason, message)]
    problem = pod_problem(broken)
    assert problem is not None
    assert (problem.reason, problem.error, problem.is_final) == (reason, error, is_final)
    assert (problem.pod, problem.container) == ("a", "main")
    assert message in str(problem)


def test_a_crash_is_told_with_its_end() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "No module named dask\n"}}
    problem = pod_problem(pod(containerStatuses=[waiting("CrashLoopBackOff", "back-off 10s", lastState=ended)]))
    assert problem is not None
    assert problem.message == "it ended with exit code 1 (Error): No module named dask"


def test_a_pod_that_failed() -> None:
    ended = {"name": "main", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    problem = pod_problem(pod(phase="Failed", containerStatuses=[ended]))
    assert problem is not None
    assert "137 (OOMKilled)" in problem.message
    evicted = pod_problem(pod(phase="Failed", reason="Evicted", message="low on memory"))
    assert str(evicted) == "Pod a: Evicted: low on memory"


def test_a_pod_that_no_node_takes() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    problem = pod_problem(pod(phase="Pending", conditions=[condition]))
    assert problem is not None
    assert problem.error is UnschedulableError


def told(kind: str, status: str, reason: str) -> Object:
    condition = {"type": kind, "status": status, "reason": reason, "message": "because"}
    return {"status": {"phase": "Pending", "conditions": [condition]}}


def test_the_operator_is_listened_to_where_no_pod_says_anything() -> None:
    quota = told("SchedulerReady", "False", "QuotaExceeded")
    assert scheduler_problem(quota, []) == Problem("QuotaExceeded", "because")
    assert scheduler_problem(quota, [pod("worker", containerStatuses=[waiting("ErrImagePull")])]) is not None
    assert scheduler_problem(quota, [pod(containerStatuses=[RUNNING])]) is None, "that is over"
    assert scheduler_problem(told("SchedulerReady", "False", "SchedulerNotAvailable"), []) is None
    assert scheduler_problem(told("Degraded", "True", "InvalidSpec"), []) is not None
    assert scheduler_problem(told("SchedulerReady", "False", "Suspended"), []) is not None
    assert scheduler_problem(told("Degraded", "False", "AsExpected"), []) is None
    assert scheduler_problem({}, []) is None


def test_pods_on_their_way_out_and_workers_do_not_count() -> None:
    leaving = pod(containerStatuses=[waiting("ErrImagePull")])
    leaving["metadata"]["deletionTimestamp"] = "now"
    assert scheduler_problem({}, [leaving, pod("worker", containerStatuses=[waiting("ErrImagePull")])]) is None
    assert describe(leaving) == "Terminating"


def test_states() -> None:
    assert describe(pod(phase="Running", containerStatuses=[RUNNING], conditions=[READY])) == "Ready"
    assert describe(pod(phase="Pending", containerStatuses=[waiting("ContainerCreating")])) == "ContainerCreating"
    assert describe(pod(phase="Pending", containerStatuses=[waiting("ErrImagePull")])) == "ErrImagePull"
    assert describe(pod()) == "Pending"
    assert is_running(pod(containerStatuses=[RUNNING]))
    assert not is_running(pod(containerStatuses=[RUNNING, waiting("ContainerCreating")]))
    assert not is_running(pod())
    assert is_ready(pod(conditions=[READY]))
    assert not is_ready(pod(conditions=[{**READY, "status": "False"}]))


def test_a_cluster_that_an_operator_has_seen() -> None:
    assert not is_taken_up({})
    assert not is_taken_up({"status": {}})
    assert is_taken_up({"status": {"phase": "Created"}})
    assert is_taken_up(told("Degraded", "False", "AsExpected"))
