"""A DaskJob from its creation to its end, on a real cluster, under the chart's own ServiceAccount."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.platform import CLUSTER_NAME_LABEL, Object, Platform, dask_cluster, eventually

pytestmark = pytest.mark.e2e

CLUSTER_KINDS = "deployments,replicasets,services,daskworkergroups,daskclusters"

COMPUTE = """
from dask.distributed import Client

with Client() as client:
    client.wait_for_workers(2)
    print("sum:", client.submit(sum, range(10)).result())
"""
FAIL = """
raise SystemExit("the bucket is empty")
"""
WAIT = """
import signal, threading

signal.signal(signal.SIGTERM, lambda *_: exit(1))
threading.Event().wait()
"""


def job(platform: Platform, name: str, program: str, *, restart_policy: str | None = None, **fields: Any) -> Object:
    """The job of the documentation, with a program of its own; ``fields`` are added to its spec."""
    container = {"name": "job", "image": platform.dask_image, "args": ["python", "-c", program]}
    pod_spec: Object = {"containers": [container]}
    if restart_policy is not None:
        pod_spec["restartPolicy"] = restart_policy
    cluster = dask_cluster(name, platform.dask_image, replicas=2)["spec"]
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskJob",
        "metadata": {"name": name},
        "spec": {"job": {"spec": pod_spec}, "cluster": {"spec": cluster}, **fields},
    }


def condition(platform: Platform, name: str, kind: str) -> Object:
    """One condition of a job; empty when there is none."""
    conditions = platform.get("daskjob", name).get("status", {}).get("conditions", ())
    return next((dict(entry) for entry in conditions if entry["type"] == kind), {})


def running(platform: Platform, name: str) -> Object:
    """Wait until a job's runner runs, and return its Pod."""
    platform.wait("jsonpath={.status.jobStatus}=Running", f"daskjob/{name}")
    return platform.get("pod", f"{name}-runner")


def cluster_gone(platform: Platform, name: str) -> None:
    eventually(
        "no cluster", lambda: platform.find(CLUSTER_KINDS, f"{CLUSTER_NAME_LABEL}={name}"), lambda found: not found
    )
    eventually("no workers", lambda: platform.find("pods", "dask.org/component=worker"), lambda found: not found)


def test_computes_on_its_cluster_and_cleans_up(platform: Platform) -> None:
    platform.apply(job(platform, "simple-job", COMPUTE))
    platform.wait("condition=Complete", "daskjob/simple-job")
    status = platform.get("daskjob", "simple-job")["status"]
    assert status["jobStatus"] == "Successful"
    assert (status["clusterName"], status["jobRunnerPodName"]) == ("simple-job", "simple-job-runner")
    start, end = (datetime.strptime(status[field], "%Y-%m-%dT%H:%M:%SZ") for field in ("startTime", "endTime"))
    assert start <= end
    assert "sum: 45" in platform.kubectl("logs", "simple-job-runner")
    cluster_gone(platform, "simple-job")
    assert platform.get("pod", "simple-job-runner")["status"]["phase"] == "Succeeded"
    platform.kubectl("delete", "daskjob", "simple-job")
    eventually("nothing left", platform.remains, lambda found: not found)


def test_failed_job_says_why(platform: Platform) -> None:
    platform.apply(job(platform, "fails", FAIL, restart_policy="Never"))
    platform.wait("condition=Failed", "daskjob/fails")
    failed = condition(platform, "fails", "Failed")
    assert failed["reason"] == "RunnerFailed"
    assert "exit code 1" in failed["message"]
    assert "the bucket is empty" in failed["message"]
    assert platform.get("daskjob", "fails")["status"]["jobStatus"] == "Failed"
    cluster_gone(platform, "fails")


def test_restarts_inside_the_pod_count_towards_the_backoff_limit(platform: Platform) -> None:
    platform.apply(job(platform, "again", FAIL, backoffLimit=1))
    platform.wait("condition=Failed", "daskjob/again")
    failed = condition(platform, "again", "Failed")
    assert failed["reason"] == "BackoffLimitExceeded"
    assert "the bucket is empty" in failed["message"]
    assert platform.get("daskjob", "again")["status"]["failed"] == 2
    cluster_gone(platform, "again")
    pods = "dask.org/component=job-runner"
    eventually("no runner to be restarted", lambda: platform.find("pods", pods), lambda found: not found)


def test_runner_deleted_by_hand_is_counted_and_replaced(platform: Platform) -> None:
    platform.apply(job(platform, "drained", WAIT))
    uid = running(platform, "drained")["metadata"]["uid"]
    platform.kubectl("delete", "pod", "drained-runner", "--wait=false")
    eventually(
        "another runner",
        lambda: [pod["metadata"]["uid"] for pod in platform.pods("drained", component="job-runner")],
        lambda uids: uids not in ([], [uid]),
    )
    status = platform.get("daskjob", "drained")["status"]
    assert (status["failed"], status["jobStatus"]) == (1, "Running")


def test_name_can_be_used_again_at_once(platform: Platform) -> None:
    platform.apply(job(platform, "twice", WAIT))
    old = running(platform, "twice")["metadata"]["uid"]
    platform.kubectl("delete", "daskjob", "twice", "--wait=false")
    platform.apply(job(platform, "twice", COMPUTE))
    platform.wait("condition=Complete", "daskjob/twice")
    assert platform.get("pod", "twice-runner")["metadata"]["uid"] != old
    assert platform.get("daskjob", "twice")["status"]["failed"] == 0
    cluster_gone(platform, "twice")


def test_suspended_job_runs_nothing_until_it_is_resumed(platform: Platform) -> None:
    platform.apply(job(platform, "queued", COMPUTE, suspend=True))
    platform.wait("condition=Suspended", "daskjob/queued")
    assert platform.find(f"pods,{CLUSTER_KINDS}", CLUSTER_NAME_LABEL) == []
    platform.kubectl("patch", "daskjob", "queued", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    platform.wait("condition=Complete", "daskjob/queued")


def test_job_that_takes_too_long_is_stopped_and_deleted_in_time(platform: Platform) -> None:
    platform.apply(job(platform, "late", WAIT, activeDeadlineSeconds=5, deletionPolicy="Retain"))
    platform.wait("condition=Failed", "daskjob/late")
    assert condition(platform, "late", "Failed")["reason"] == "DeadlineExceeded"
    pods = "dask.org/component=job-runner"
    eventually("no runner", lambda: platform.find("pods", pods), lambda found: not found)
    assert platform.get("daskcluster", "late")["metadata"]["name"] == "late"
    platform.kubectl("patch", "daskjob", "late", "--type=merge", "-p", '{"spec": {"ttlSecondsAfterFinished": 0}}')
    eventually("nothing left", platform.remains, lambda found: not found)
