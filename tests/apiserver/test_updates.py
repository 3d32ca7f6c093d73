"""What may change in an object that is stored, and what may not."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

from tests.apiserver import cases
from tests.apiserver.server import Answer, ApiServer, resource_path

pytestmark = pytest.mark.apiserver

MERGE = "application/merge-patch+json"

_counter = itertools.count()


def stored(server: ApiServer, kind: str) -> dict[str, Any]:
    """A base object, stored under a name of its own."""
    resource = copy.deepcopy(cases.BASES[kind])
    resource["metadata"]["name"] = f"update-{next(_counter)}"
    scheduler = {"DaskCluster": resource["spec"], "DaskJob": resource["spec"].get("cluster", {})}.get(kind)
    if scheduler is not None:
        spec = scheduler.get("spec", scheduler)
        del spec["scheduler"]["service"]["selector"]
    answer = server.request("POST", resource_path(resource), resource)
    assert answer.status == 201, answer.message
    return answer.body


def patch(server: ApiServer, resource: dict[str, Any], change: dict[str, Any], subresource: str = "") -> Answer:
    path = resource_path(resource, named=True) + subresource
    return server.request("PATCH", path, change, MERGE, fieldValidation="Strict")


OTHER_POD = {"containers": [{"name": "other", "image": "other"}]}


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        (
            "DaskWorkerGroup",
            {"spec": {"cluster": "other"}},
            "cluster cannot be changed, as workers do not move between clusters: make a new DaskWorkerGroup",
        ),
        (
            "DaskJob",
            {"spec": {"job": {"spec": OTHER_POD}}},
            "spec.job.spec cannot be changed, as the runner has started from it: delete the DaskJob and create it",
        ),
        (
            "DaskJob",
            {"spec": {"job": {"spec": {"restartPolicy": "Never"}}}},
            "spec.job.spec cannot be changed",
        ),
        (
            "DaskCluster",
            {"spec": {"scheduler": {"service": {"selector": {"dask.org/cluster-name": "other"}}}}},
            "has a dask.org/cluster-name that is not metadata.name",
        ),
        ("DaskCluster", {"spec": {"worker": {"replicas": -1}}}, "should be greater than or equal to 0"),
        ("DaskCluster", {"spec": {"worker": {"spec": {"containers": []}}}}, "containers is empty"),
        ("DaskCluster", {"spec": {"worker": {"replica": 1}}}, 'unknown field "spec.worker.replica"'),
        (
            "DaskJob",
            {"spec": {"managedBy": "kueue.x-k8s.io/multikueue"}},
            "managedBy cannot be added, changed or removed, as two controllers would run the job: delete the DaskJob",
        ),
        ("DaskCluster", {"spec": {"idleAction": "Suspend"}}, "idleAction is given without idleTimeout"),
        ("DaskAutoscaler", {"spec": {"minimum": 11}}, "minimum is greater than maximum"),
        ("DaskAutoscaler", {"spec": {"maximum": 0}}, "minimum is greater than maximum"),
    ],
)
def test_a_change_is_refused(server: ApiServer, kind: str, change: dict[str, Any], says: str) -> None:
    answer = patch(server, stored(server, kind), change)
    assert answer.status in {400, 422}, answer.body
    assert says in answer.message


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("DaskCluster", {"metadata": {"labels": {"a": "b"}}}),
        ("DaskCluster", {"spec": {"idleTimeout": 60}}),
        ("DaskCluster", {"spec": {"clientTimeout": 60}}),
        ("DaskCluster", {"metadata": {"annotations": {"kubernetes.dask.org/client-seen": "2026-11-21T12:00:00Z"}}}),
        ("DaskCluster", {"spec": {"worker": {"replicas": 0}}}),
        ("DaskCluster", {"spec": {"worker": {"spec": OTHER_POD}}}),
        ("DaskCluster", {"spec": {"scheduler": {"spec": OTHER_POD, "service": {"type": "NodePort"}}}}),
        ("DaskWorkerGroup", {"spec": {"worker": {"replicas": 7, "spec": OTHER_POD}}}),
        ("DaskJob", {"spec": {"cluster": {"spec": {"worker": {"replicas": 7}}}}}),
        ("DaskJob", {"spec": {"job": {"metadata": {"labels": {"a": "b"}}}}}),
        ("DaskCluster", {"spec": {"suspend": True, "updateStrategy": {"type": "Recreate"}}}),
        ("DaskCluster", {"spec": {"idleTimeout": 60, "idleAction": "Suspend", "drainTimeoutSeconds": 0}}),
        ("DaskWorkerGroup", {"spec": {"updateStrategy": {"rolling": {"maxSurge": "50%"}}, "drainTimeoutSeconds": 1}}),
        ("DaskJob", {"spec": {"suspend": True, "backoffLimit": 1, "deletionPolicy": "Retain"}}),
        ("DaskJob", {"spec": {"activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 60}}),
        ("DaskAutoscaler", {"spec": {"cluster": "other", "minimum": 0, "maximum": 100}}),
        ("DaskAutoscaler", {"spec": {"workerGroup": "demo-highmem", "targetDuration": "10s"}}),
    ],
)
def test_a_change_is_accepted(server: ApiServer, kind: str, change: dict[str, Any]) -> None:
    answer = patch(server, stored(server, kind), change)
    assert answer.status == 200, answer.message


@pytest.mark.parametrize("after", ["example.org/other", None], ids=["another", "none"])
def test_who_manages_a_job_stays(server: ApiServer, after: str | None) -> None:
    job = copy.deepcopy(cases.BASES["DaskJob"])
    job["metadata"]["name"] = f"update-{next(_counter)}"
    del job["spec"]["cluster"]["spec"]["scheduler"]["service"]["selector"]
    job["spec"]["managedBy"] = "kueue.x-k8s.io/multikueue"
    assert server.request("POST", resource_path(job), job).status == 201
    assert patch(server, job, {"spec": {"suspend": True}}).status == 200
    answer = patch(server, job, {"spec": {"managedBy": after}})
    assert answer.status == 422
    assert "spec.managedBy" in answer.message
    assert "managedBy cannot be added, changed or removed" in answer.message


STATUS: dict[str, dict[str, Any]] = {
    "DaskCluster": {
        "phase": "Running",
        "observedGeneration": 3,
        "replicas": 3,
        "readyReplicas": 2,
        "selector": "dask.org/cluster-name=demo,dask.org/component=worker",
        "schedulerAddress": "tcp://demo-scheduler.default.svc:8786",
        "dashboardAddress": "http://demo-scheduler.default.svc:8787",
    },
    "DaskWorkerGroup": {"observedGeneration": 1, "replicas": 1, "readyReplicas": 0, "selector": "a=b"},
    "DaskJob": {
        "jobStatus": "Successful",
        "clusterName": "demo",
        "jobRunnerPodName": "demo-runner",
        "startTime": "2026-11-21T08:00:00Z",
        "endTime": "2026-11-21T08:01:00Z",
        "observedGeneration": 1,
    },
    "DaskAutoscaler": {"observedGeneration": 1, "currentReplicas": 1, "desiredReplicas": 2},
}
CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "AllWorkersReady",
    "message": "3 of 3 workers are ready",
    "lastTransitionTime": "2026-11-21T08:00:00Z",
    "observedGeneration": 3,
}


@pytest.mark.parametrize("kind", sorted(STATUS))
def test_the_status_is_written_alone_and_kept_whole(server: ApiServer, kind: str) -> None:
    resource = stored(server, kind)
    status = STATUS[kind] | {"conditions": [CONDITION]}
    answer = patch(server, resource, {"status": status, "spec": None}, "/status")
    assert answer.status == 200, answer.message
    assert answer.body["status"] == status
    assert answer.body["spec"] == resource["spec"]
    assert answer.body["metadata"]["generation"] == 1


@pytest.mark.parametrize("kind", sorted(STATUS))
def test_the_status_is_not_written_with_the_rest(server: ApiServer, kind: str) -> None:
    answer = patch(server, stored(server, kind), {"status": STATUS[kind]})
    assert answer.status == 200, answer.message
    assert "status" not in answer.body


@pytest.mark.parametrize(
    ("kind", "status", "says"),
    [
        ("DaskCluster", {"phase": "Ready"}, 'supported values: "Created", "Pending", "Running", "Error"'),
        ("DaskJob", {"jobStatus": "Succeeded"}, "supported values"),
        ("DaskJob", {"startTime": "yesterday"}, "startTime in body must be of type date-time"),
        ("DaskCluster", {"conditions": [CONDITION, CONDITION]}, "Duplicate value"),
        ("DaskCluster", {"conditions": [CONDITION | {"status": "true"}]}, "supported values"),
        ("DaskCluster", {"conditions": [{"type": "Ready"}]}, "status.conditions[0].status: Required value"),
        ("DaskCluster", {"readyWorkers": 1}, 'unknown field "status.readyWorkers"'),
    ],
)
def test_a_status_is_refused(server: ApiServer, kind: str, status: dict[str, Any], says: str) -> None:
    answer = patch(server, stored(server, kind), {"status": status}, "/status")
    assert answer.status in {400, 422}, answer.body
    assert says in answer.message


def test_two_managers_write_a_condition_each(server: ApiServer) -> None:
    resource = stored(server, "DaskCluster")
    for kind in ("Ready", "Progressing"):
        body = {
            "apiVersion": resource["apiVersion"],
            "kind": resource["kind"],
            "metadata": {"name": resource["metadata"]["name"]},
            "status": {"conditions": [CONDITION | {"type": kind}]},
        }
        path = resource_path(resource, named=True) + "/status"
        answer = server.request("PATCH", path, body, "application/apply-patch+yaml", fieldManager=kind)
        assert answer.status == 200, answer.message
    assert [each["type"] for each in answer.body["status"]["conditions"]] == ["Ready", "Progressing"]


@pytest.mark.parametrize("kind", ["DaskCluster", "DaskWorkerGroup"])
def test_the_scale_subresource(server: ApiServer, kind: str) -> None:
    resource = stored(server, kind)
    name = f"{kind.lower()}/{resource['metadata']['name']}"
    scaled = server.kubectl("scale", name, "--replicas=5")
    assert scaled.returncode == 0, scaled.stderr
    patch(server, resource, {"status": {"replicas": 4, "selector": "a=b"}}, "/status")
    scale = server.request("GET", resource_path(resource, named=True) + "/scale").body
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 4, "selector": "a=b"}


def test_a_scale_below_zero_is_refused(server: ApiServer) -> None:
    resource = stored(server, "DaskCluster")
    answer = patch(server, resource, {"spec": {"replicas": -1}}, "/scale")
    assert answer.status == 422


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("DaskCluster", ["NAME", "PHASE", "WORKERS", "READY", "AGE"]),
        ("DaskWorkerGroup", ["NAME", "CLUSTER", "WORKERS", "READY", "AGE"]),
        ("DaskJob", ["NAME", "STATUS", "RUNNER", "WORKERS", "AGE"]),
        ("DaskAutoscaler", ["NAME", "CLUSTER", "MINIMUM", "MAXIMUM", "CURRENT", "AGE"]),
    ],
)
def test_the_columns_of_kubectl_get(server: ApiServer, kind: str, columns: list[str]) -> None:
    name = stored(server, kind)["metadata"]["name"]
    patch(server, {"kind": kind, "metadata": {"name": name}}, {"status": STATUS[kind]}, "/status")
    header, row = server.kubectl("get", kind.lower(), name).stdout.splitlines()
    assert header.split() == columns
    assert len(row.split()) == len(columns)
    assert "<none>" not in row
