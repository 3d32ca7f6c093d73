"""What the operator makes of the documentation's job, to the last field."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest

from dask_kubernetes_operator import builders
from dask_kubernetes_operator.spec import parse_cluster, parse_job

from .jobs import RUNNER_POD_SPEC, job
from .objects import Object, cluster

pytestmark = pytest.mark.unit

JOB_REFERENCE = {
    "apiVersion": "kubernetes.dask.org/v1",
    "kind": "DaskJob",
    "name": "simple-job",
    "uid": "uid-job",
    "controller": True,
    "blockOwnerDeletion": True,
}


def built_runner(body: Object, *, failures_before: int = 0) -> Object:
    return builders.build_job_runner(parse_job(body), failures_before=failures_before)


def built_cluster(body: Object) -> Object:
    return builders.build_job_cluster(parse_job(body))


def environment(pod: Object, container: int = 0) -> dict[str, str]:
    return {variable["name"]: variable.get("value") for variable in pod["spec"]["containers"][container]["env"]}


def test_runner_of_the_simple_job() -> None:
    assert built_runner(job()) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "simple-job-runner",
            "namespace": "default",
            "labels": {
                "sidecar.istio.io/inject": "false",
                "dask.org/cluster-name": "simple-job",
                "dask.org/component": "job-runner",
            },
            "annotations": {
                "dask.org/propagated-metadata": (
                    '{"annotations":[],"labels":["dask.org/cluster-name","dask.org/component","sidecar.istio.io/inject"]}'
                ),
                "dask.org/failures-before": "0",
            },
            "ownerReferences": [JOB_REFERENCE],
        },
        "spec": {
            "restartPolicy": "OnFailure",
            "enableServiceLinks": False,
            "containers": [
                {
                    **RUNNER_POD_SPEC["containers"][0],
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "env": [
                        {"name": "DASK_SCHEDULER_ADDRESS", "value": "tcp://simple-job-scheduler.default.svc:8786"},
                        {"name": "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "value": "300s"},
                    ],
                }
            ],
        },
    }


def test_cluster_of_the_simple_job() -> None:
    assert built_cluster(job()) == {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {
            "name": "simple-job",
            "namespace": "default",
            "labels": {"dask.org/cluster-name": "simple-job"},
            "annotations": {
                "dask.org/propagated-metadata": '{"annotations":[],"labels":["dask.org/cluster-name"]}',
                "dask.org/spec-hash": "9ee58aebdb421180",
            },
            "ownerReferences": [JOB_REFERENCE],
        },
        "spec": cluster("simple-job")["spec"],
    }


def test_runner_uses_the_address_that_the_workers_of_its_cluster_use() -> None:
    body = job()
    ports = body["spec"]["cluster"]["spec"]["scheduler"]["service"]["ports"]
    ports[0]["port"] = 9786
    stored = built_cluster(body)
    stored["metadata"]["uid"] = "uid-cluster"
    assert environment(built_runner(body))["DASK_SCHEDULER_ADDRESS"] == "tcp://simple-job-scheduler.default.svc:9786"
    assert builders.scheduler_address(parse_cluster(stored)) == "tcp://simple-job-scheduler.default.svc:9786"


@pytest.mark.parametrize("name", ["DASK_SCHEDULER_ADDRESS", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"])
def test_environment_of_the_user_wins(name: str) -> None:
    body = job()
    theirs = {"name": name, "value": "mine"}
    body["spec"]["job"]["spec"]["containers"][0]["env"] = [theirs]
    pod = built_runner(body)
    assert pod["spec"]["containers"][0]["env"][0] == theirs
    assert environment(pod)[name] == "mine"
    assert len(environment(pod)) == 2


def test_every_container_of_the_runner_finds_the_scheduler() -> None:
    body = job()
    body["spec"]["job"]["spec"]["containers"].append({"name": "second", "image": "i"})
    pod = built_runner(body)
    assert environment(pod, 0) == environment(pod, 1)
    assert "DASK_WORKER_NAME" not in environment(pod), "it is no worker"


@pytest.mark.parametrize(
    ("given", "backoff_limit", "comes_to"),
    [
        (None, None, "OnFailure"),
        ("OnFailure", None, "OnFailure"),
        ("Never", None, "Never"),
        ("Never", 3, "Never"),
        ("Always", None, "OnFailure"),
        ("OnFailure", 3, "OnFailure"),
        ("OnFailure", 0, "Never"),
    ],
)
def test_restart_policy_lets_the_job_end_and_run_no_more_often_than_allowed(
    given: str | None, backoff_limit: int | None, comes_to: str
) -> None:
    pod = built_runner(job(restart_policy=given, backoffLimit=backoff_limit))
    assert pod["spec"]["restartPolicy"] == comes_to


def test_rest_of_the_pod_spec_is_the_users() -> None:
    extra = {
        "nodeSelector": {"pool": "batch"},
        "serviceAccountName": "me",
        "enableServiceLinks": True,
        "initContainers": [{"name": "proxy", "image": "p", "restartPolicy": "Always"}],
    }
    pod = built_runner(job(pod_spec={**RUNNER_POD_SPEC, **extra}))
    assert {key: pod["spec"][key] for key in extra} == extra


def test_labels_and_annotations_follow_the_precedence_of_the_documentation() -> None:
    body = job(
        meta={"labels": {"a": "job", "b": "job"}, "annotations": {"hello": "world", "argocd.argoproj.io/x": "y"}}
    )
    body["spec"]["job"]["metadata"] = {
        "labels": {"b": "runner", "dask.org/component": "superworker"},
        "annotations": {"foo": "bar"},
    }
    body["spec"]["cluster"]["metadata"] = {"labels": {"b": "cluster"}, "annotations": {"fizz": "buzz"}}
    pod, made = built_runner(body)["metadata"], built_cluster(body)["metadata"]
    assert pod["labels"] == {
        "a": "job",
        "b": "runner",
        "sidecar.istio.io/inject": "false",
        "dask.org/cluster-name": "simple-job",
        "dask.org/component": "job-runner",
    }
    assert made["labels"] == {"a": "job", "b": "cluster", "dask.org/cluster-name": "simple-job"}
    theirs = [{k: v for k, v in child["annotations"].items() if "/" not in k} for child in (pod, made)]
    assert theirs == [{"hello": "world", "foo": "bar"}, {"hello": "world", "fizz": "buzz"}]
    assert not [key for child in (pod, made) for key in child["annotations"] if key.startswith("argocd")]


def test_sidecar_injection_can_be_turned_on() -> None:
    body = job(meta={"labels": {"sidecar.istio.io/inject": "true"}})
    assert built_runner(body)["metadata"]["labels"]["sidecar.istio.io/inject"] == "true"


def test_count_of_failures_is_the_operators_alone() -> None:
    body = job(meta={"annotations": {"dask.org/failures-before": "7"}})
    assert built_runner(body, failures_before=2)["metadata"]["annotations"]["dask.org/failures-before"] == "2"
    wanted = builders.job_runner_metadata(parse_job(body))
    made = built_runner(body, failures_before=2)["metadata"]
    assert builders.metadata_patch(made["labels"], made["annotations"], wanted) == {}


@pytest.mark.parametrize("build", [built_runner, built_cluster])
def test_input_is_never_changed(build: Callable[[Object], Object]) -> None:
    body = job(meta={"labels": {"a": "b"}})
    before = deepcopy(body)
    child = build(body)
    child["metadata"]["labels"]["x"] = "y"
    child["spec"].clear()
    assert body == before
