"""The DaskJob of the operator's documentation, with its children, as the API server stores them."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime
from typing import Any

from dask_kubernetes_operator import builders
from dask_kubernetes_operator.reconcile.conditions import timestamp
from dask_kubernetes_operator.reconcile.observed import Key
from dask_kubernetes_operator.spec import parse_job

from .objects import LONG_AGO, NAMESPACE, NOW, Object, cluster, metadata

NAME = "simple-job"
KEY = Key(NAMESPACE, NAME)
RUNNER_POD_SPEC: Object = {
    "containers": [
        {
            "name": "job",
            "image": "ghcr.io/dask/dask:latest",
            "imagePullPolicy": "IfNotPresent",
            "args": ["python", "-c", "from dask.distributed import Client; client = Client(); # Do some work..."],
        }
    ]
}


def job(
    *,
    restart_policy: str | None = None,
    status: Object | None = None,
    uid: str = "uid-job",
    meta: Object | None = None,
    pod_spec: Object | None = None,
    **fields: Any,
) -> Object:
    """The job of the documentation; ``fields`` are added to its spec."""
    runner_spec = deepcopy(pod_spec or RUNNER_POD_SPEC)
    if restart_policy is not None:
        runner_spec["restartPolicy"] = restart_policy
    body: Object = {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskJob",
        "metadata": {**metadata(NAME, uid=uid), "generation": 1, **(meta or {})},
        "spec": {"job": {"spec": runner_spec}, "cluster": {"spec": cluster(NAME)["spec"]}, **fields},
    }
    if status is not None:
        body["status"] = status
    return body


def job_cluster(owner: Object, *, status: Object | None = None, uid: str = "uid-cluster", version: int = 1) -> Object:
    """The DaskCluster that the operator made for a job."""
    built = builders.build_job_cluster(parse_job(owner))
    stored = {**metadata(NAME, uid=uid, version=version), **built["metadata"], "generation": 1}
    return {**built, "metadata": stored, "status": status or {}}


def runner(
    owner: Object,
    phase: str = "Running",
    *containers: Object,
    failures_before: int = 0,
    uid: str = "uid-runner",
    version: int = 1,
    created_at: datetime = LONG_AGO,
    **status: Any,
) -> Object:
    """The Pod that the operator made for a job; ``containers`` are their statuses, ``status`` is added to its own."""
    built = builders.build_job_runner(parse_job(owner), failures_before=failures_before)
    stored = {
        **metadata(f"{NAME}-runner", uid=uid, version=version),
        **built["metadata"],
        "creationTimestamp": timestamp(created_at),
    }
    return {**built, "metadata": stored, "status": {"phase": phase, "containerStatuses": list(containers), **status}}


def running(
    name: str = "job", *, restarts: int = 0, started_at: datetime = NOW, last: Object | None = None
) -> Object:
    """The status of a container that runs; ``last`` is how it ended before."""
    return {
        "name": name,
        "restartCount": restarts,
        "state": {"running": {"startedAt": timestamp(started_at)}},
        "lastState": last or {},
    }


def ended(
    exit_code: int,
    name: str = "job",
    *,
    restarts: int = 0,
    started_at: datetime = NOW,
    finished_at: datetime = NOW,
    message: str = "",
    reason: str = "",
) -> Object:
    """The status of a container that has ended."""
    terminated = {
        "exitCode": exit_code,
        "reason": reason or ("Error" if exit_code else "Completed"),
        "startedAt": timestamp(started_at),
        "finishedAt": timestamp(finished_at),
        **({"message": message} if message else {}),
    }
    return {"name": name, "restartCount": restarts, "state": {"terminated": terminated}}


def crash_looping(exit_code: int, name: str = "job", *, restarts: int = 0, message: str = "") -> Object:
    """The status of a container that failed and is started again after a pause."""
    last = ended(exit_code, name, message=message)["state"]
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
    return {"name": name, "restartCount": restarts, "state": {"waiting": waiting}, "lastState": last}


def with_status(body: Object, written: Object) -> Object:
    """The object after a merge patch of its status."""
    merged = {**body.get("status", {}), **written}
    return {**body, "status": {key: value for key, value in merged.items() if value is not None}}
