"""Reading DaskJobs and DaskAutoscalers: defaults, and errors that say which field is wrong."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from dask_kubernetes_operator.spec import (
    DeletionPolicy,
    PercentPolicy,
    ScalingRules,
    SpecError,
    parse_autoscaler,
    parse_job,
)

from .objects import Object, cluster, metadata, terminating
from .test_spec import having, without

pytestmark = pytest.mark.unit

RUNNER_POD_SPEC: Object = {"containers": [{"name": "job", "image": "ghcr.io/dask/dask:latest", "args": ["python"]}]}


def job(**fields: Any) -> Object:
    """The DaskJob of the documentation; ``fields`` are added to its spec."""
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskJob",
        "metadata": {**metadata("simple-job"), "generation": 1},
        "spec": {
            "job": {"spec": deepcopy(RUNNER_POD_SPEC)},
            "cluster": {"spec": cluster("simple-job")["spec"]},
            **fields,
        },
    }


def autoscaler(**fields: Any) -> Object:
    """The DaskAutoscaler of the documentation; ``fields`` are added to its spec."""
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskAutoscaler",
        "metadata": {**metadata("simple"), "generation": 1},
        "spec": {"cluster": "simple", "minimum": 1, "maximum": 10, **fields},
    }


# --- jobs ---


def test_job_is_read_whole() -> None:
    body = job(
        suspend=True,
        backoffLimit=0,
        activeDeadlineSeconds=3600,
        ttlSecondsAfterFinished=0,
        deletionPolicy="DeleteOnSuccess",
        managedBy="kueue.x-k8s.io/multikueue",
    )
    body["metadata"]["labels"] = {"a": "b"}
    body["spec"]["job"]["metadata"] = {"labels": {"c": "d"}}
    body["spec"]["cluster"]["metadata"] = {"annotations": {"e": "f"}}
    body["status"] = {"jobStatus": "Running"}
    read = parse_job(body)
    assert (read.identity.kind, read.identity.name, read.identity.uid) == ("DaskJob", "simple-job", "uid-simple-job")
    assert read.generation == 1
    assert dict(read.metadata.labels) == {"a": "b"}
    assert dict(read.runner.metadata.labels) == {"c": "d"}
    assert read.runner.pod_spec == RUNNER_POD_SPEC
    assert dict(read.cluster.metadata.annotations) == {"e": "f"}
    assert read.cluster.spec == body["spec"]["cluster"]["spec"]
    assert read.suspend
    assert (read.backoff_limit, read.active_deadline_seconds, read.ttl_seconds_after_finished) == (0, 3600, 0)
    assert read.deletion_policy is DeletionPolicy.DELETE_ON_SUCCESS
    assert read.managed_by == "kueue.x-k8s.io/multikueue"
    assert dict(read.status) == {"jobStatus": "Running"}
    assert not read.terminating
    assert parse_job(terminating(body)).terminating


OPTIONAL_JOB_FIELDS = (
    "suspend",
    "backoffLimit",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
    "deletionPolicy",
    "managedBy",
)


@pytest.mark.parametrize("body", [job(), job(**dict.fromkeys(OPTIONAL_JOB_FIELDS))], ids=["left out", "null"])
def test_what_a_job_leaves_out_has_a_default(body: Object) -> None:
    read = parse_job(body)
    assert not read.suspend
    assert read.backoff_limit is None
    assert read.active_deadline_seconds is None
    assert read.ttl_seconds_after_finished is None
    assert read.deletion_policy is DeletionPolicy.DELETE
    assert read.managed_by == "kubernetes.dask.org/dask-kubernetes-operator"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (without(job(), "spec"), "spec.job is missing"),
        (having(job(), None, "spec"), "spec.job is missing"),
        (having(job(), {}, "spec", "job"), "spec.job is missing"),
        (having(job(), {"metadata": {}}, "spec", "job"), "spec.job.spec is missing"),
        (having(job(), [], "spec", "job", "spec", "containers"), "spec.job.spec.containers is empty"),
        (without(job(), "spec", "cluster"), "spec.cluster is missing"),
        (having(job(), {"metadata": {}}, "spec", "cluster"), "spec.cluster.spec is missing"),
        (without(job(), "spec", "cluster", "spec", "worker"), "spec.cluster.spec.worker is missing"),
        (without(job(), "spec", "cluster", "spec", "worker", "spec"), "spec.cluster.spec.worker.spec is missing"),
        (without(job(), "spec", "cluster", "spec", "scheduler"), "spec.cluster.spec.scheduler is missing"),
        (
            without(job(), "spec", "cluster", "spec", "scheduler", "service"),
            "spec.cluster.spec.scheduler.service is missing",
        ),
        (
            having(job(), [], "spec", "cluster", "spec", "scheduler", "spec", "containers"),
            "spec.cluster.spec.scheduler.spec.containers is empty",
        ),
        (job(deletionPolicy="Keep"), "spec.deletionPolicy is 'Keep': give one of Delete, DeleteOnSuccess, Retain"),
    ],
)
def test_unreadable_job_is_refused_with_the_field(body: Object, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_job(body)
    assert str(caught.value).startswith(says)


# --- autoscalers ---


def test_autoscaler_is_read_whole() -> None:
    body = autoscaler(
        minimum=0,
        workerGroup="simple-highmem",
        targetDuration="1m30s",
        behavior={
            "scaleUp": {"stabilizationWindowSeconds": 30},
            "scaleDown": {
                "stabilizationWindowSeconds": 0,
                "policies": [{"type": "Percent", "value": 25, "periodSeconds": 60}],
            },
        },
    )
    body["status"] = {"desiredReplicas": 3}
    read = parse_autoscaler(body)
    assert (read.identity.kind, read.identity.name) == ("DaskAutoscaler", "simple")
    assert read.generation == 1
    assert (read.cluster_name, read.worker_group_name) == ("simple", "simple-highmem")
    assert (read.minimum, read.maximum) == (0, 10)
    assert read.target_duration_seconds == 90
    assert read.scale_up == ScalingRules(stabilization_window_seconds=30, policy=None)
    assert read.scale_down == ScalingRules(0, PercentPolicy(percent=25, period_seconds=60))
    assert dict(read.status) == {"desiredReplicas": 3}
    assert not read.terminating
    assert parse_autoscaler(terminating(body)).terminating


@pytest.mark.parametrize(
    "body",
    [
        autoscaler(),
        autoscaler(workerGroup=None, targetDuration=None, behavior=None),
        autoscaler(behavior={"scaleUp": None, "scaleDown": {"stabilizationWindowSeconds": None, "policies": None}}),
        autoscaler(behavior={"scaleDown": {"policies": []}}),
    ],
    ids=["left out", "null", "null within", "no policy"],
)
def test_what_an_autoscaler_leaves_out_has_a_default(body: Object) -> None:
    read = parse_autoscaler(body)
    assert read.worker_group_name is None
    assert read.target_duration_seconds is None
    assert read.scale_up == ScalingRules(stabilization_window_seconds=0, policy=None)
    assert read.scale_down == ScalingRules(stabilization_window_seconds=300, policy=None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("500ms", 0.5), ("1.5h", 5400), ("1h1m1s1ms", 3661.001), ("007s", 7)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_autoscaler(autoscaler(targetDuration=text)).target_duration_seconds == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "0s", "0.0h", "5 s", "5s ", "-5s", "5d", "1e3s", ".5s", "5S", "5s\n"])
def test_what_is_no_duration_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(SpecError, match=r"^spec\.targetDuration is .*: give a number above 0 with the unit"):
        parse_autoscaler(autoscaler(targetDuration=text))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (without(autoscaler(), "spec"), "spec.minimum is missing"),
        (autoscaler(minimum=None), "spec.minimum is missing"),
        (autoscaler(maximum=None), "spec.maximum is missing"),
        (autoscaler(cluster=""), "spec.cluster is missing"),
        (autoscaler(minimum=11), "spec.minimum is greater than spec.maximum: lower minimum or raise maximum"),
    ],
)
def test_unreadable_autoscaler_is_refused_with_the_field(body: Object, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_autoscaler(body)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(("parse", "body"), [(parse_job, job()), (parse_autoscaler, autoscaler(behavior={}))])
def test_input_is_not_changed(parse: Callable[[Object], object], body: Object) -> None:
    before = deepcopy(body)
    parse(body)
    assert body == before
