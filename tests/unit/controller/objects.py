"""Objects as the API server stores them; the cluster is the `simple` one of the operator's documentation."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from dask_kubernetes_operator import builders
from dask_kubernetes_operator.reconcile.conditions import timestamp
from dask_kubernetes_operator.reconcile.observed import Key, Observed, Store
from dask_kubernetes_operator.resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_JOBS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Resource,
)
from dask_kubernetes_operator.spec import parse_cluster, parse_worker_group

Object = dict[str, Any]

NAMESPACE = "default"
KEY = Key(NAMESPACE, "simple")
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
LONG_AGO = NOW - timedelta(days=1)
ADDRESS = "tcp://simple-scheduler.default.svc:8786"

RESOURCES: dict[str, Resource] = {
    resource.kind: resource
    for resource in (DASK_JOBS, DASK_CLUSTERS, DASK_WORKER_GROUPS, DASK_AUTOSCALERS, DEPLOYMENTS, SERVICES, PODS)
}

WORKER_POD_SPEC: Object = {
    "containers": [
        {
            "name": "worker",
            "image": "ghcr.io/dask/dask:latest",
            "imagePullPolicy": "IfNotPresent",
            "args": [
                "dask-worker",
                "--name",
                "$(DASK_WORKER_NAME)",
                "--dashboard",
                "--dashboard-address",
                "8788",
            ],
            "ports": [{"name": "http-dashboard", "containerPort": 8788, "protocol": "TCP"}],
        }
    ]
}

SCHEDULER_POD_SPEC: Object = {
    "containers": [
        {
            "name": "scheduler",
            "image": "ghcr.io/dask/dask:latest",
            "imagePullPolicy": "IfNotPresent",
            "args": ["dask-scheduler"],
            "ports": [
                {"name": "tcp-comm", "containerPort": 8786, "protocol": "TCP"},
                {"name": "http-dashboard", "containerPort": 8787, "protocol": "TCP"},
            ],
            "readinessProbe": {
                "httpGet": {"port": "http-dashboard", "path": "/health"},
                "initialDelaySeconds": 5,
                "periodSeconds": 10,
            },
            "livenessProbe": {
                "httpGet": {"port": "http-dashboard", "path": "/health"},
                "initialDelaySeconds": 15,
                "periodSeconds": 20,
            },
        }
    ]
}

SERVICE_SPEC: Object = {
    "type": "NodePort",
    "selector": {"dask.org/cluster-name": "simple", "dask.org/component": "scheduler"},
    "ports": [
        {"name": "tcp-comm", "protocol": "TCP", "port": 8786, "targetPort": "tcp-comm"},
        {"name": "http-dashboard", "protocol": "TCP", "port": 8787, "targetPort": "http-dashboard"},
    ],
}


def metadata(name: str, *, uid: str = "", version: int = 1) -> Object:
    """What the API server sets on any object."""
    return {
        "name": name,
        "namespace": NAMESPACE,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "creationTimestamp": timestamp(LONG_AGO),
    }


def propagated(*labels: str, annotations: tuple[str, ...] = ()) -> dict[str, str]:
    """The operator's note of the keys that a child got from its parent."""
    note = {"annotations": sorted(annotations), "labels": sorted(labels)}
    return {"dask.org/propagated-metadata": json.dumps(note, separators=(",", ":"))}


OF_PART = propagated("dask.org/cluster-name", "dask.org/component")
OF_SCHEDULER_POD = propagated("dask.org/cluster-name", "dask.org/component", "sidecar.istio.io/inject")
OF_WORKER_POD = propagated(
    "dask.org/cluster-name", "dask.org/component", "dask.org/workergroup-name", "sidecar.istio.io/inject"
)


def cluster(
    name: str = "simple",
    *,
    uid: str = "",
    version: int = 1,
    replicas: int = 2,
    worker: Object | None = None,
    scheduler: Object | None = None,
    status: Object | None = None,
    meta: Object | None = None,
) -> Object:
    """The DaskCluster of the documentation; ``worker`` and ``scheduler`` add to these parts of its spec."""
    service = deepcopy(SERVICE_SPEC)
    service["selector"]["dask.org/cluster-name"] = name
    body: Object = {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {**metadata(name, uid=uid, version=version), "generation": 1, **(meta or {})},
        "spec": {
            "worker": {"replicas": replicas, "spec": deepcopy(WORKER_POD_SPEC), **(worker or {})},
            "scheduler": {"spec": deepcopy(SCHEDULER_POD_SPEC), "service": service, **(scheduler or {})},
        },
    }
    if status is not None:
        body["status"] = status
    return body


def owned_by(owner: Object, *, controller: bool = True) -> Object:
    """A reference to an owner."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {**reference, "controller": True, "blockOwnerDeletion": True} if controller else reference


def group(
    name: str = "simple-default",
    *,
    owners: tuple[Object, ...] = (),
    cluster_name: str = "simple",
    replicas: int = 2,
    cluster_replicas: int | None = 2,
    uid: str = "",
    version: int = 1,
    meta: Object | None = None,
) -> Object:
    """A DaskWorkerGroup; the default one unless it gets another name."""
    annotations = {} if cluster_replicas is None else {"dask.org/cluster-replicas": str(cluster_replicas), **OF_PART}
    references = {"ownerReferences": [owned_by(owner) for owner in owners]} if owners else {}
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskWorkerGroup",
        "metadata": {
            **metadata(name, uid=uid, version=version),
            "generation": 1,
            "labels": {"dask.org/cluster-name": cluster_name, "dask.org/component": "workergroup"},
            "annotations": annotations,
            **references,
            **(meta or {}),
        },
        "spec": {
            "cluster": cluster_name,
            "worker": {"replicas": replicas, "spec": deepcopy(WORKER_POD_SPEC)},
        },
    }


def worker(
    name: str,
    owner: Object | None,
    *,
    group_name: str = "simple-default",
    cluster_name: str = "simple",
    phase: str = "Running",
    created_at: datetime = LONG_AGO,
    finished_at: datetime | None = None,
    draining_since: datetime | None = None,
    ready: bool = True,
    ip: str = "",
    uid: str = "",
    version: int = 1,
    meta: Object | None = None,
) -> Object:
    """A worker's Pod, built from its owner's spec; with ``finished_at`` it has ended for good."""
    status: Object = {"phase": phase}
    if phase == "Running":
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": timestamp(created_at)}
        status.update(conditions=[condition], podIP=ip)
    if finished_at is not None:
        ended = {"terminated": {"exitCode": 1, "finishedAt": timestamp(finished_at)}}
        status = {
            "phase": "Failed" if phase == "Running" else phase,
            "containerStatuses": [{"name": "worker", "state": ended}],
        }
    annotations = dict(OF_WORKER_POD)
    if owner is not None:
        annotations["dask.org/spec-hash"] = builders.worker_hash(parse_worker_group(owner), parse_cluster(cluster()))
    if draining_since is not None:
        annotations["dask.org/draining-since"] = draining_since.isoformat()
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **metadata(name, uid=uid, version=version),
            "creationTimestamp": timestamp(created_at),
            "labels": {
                "dask.org/cluster-name": cluster_name,
                "dask.org/workergroup-name": group_name,
                "dask.org/component": "worker",
                "sidecar.istio.io/inject": "false",
            },
            "annotations": annotations,
            **({"ownerReferences": [owned_by(owner)]} if owner else {}),
            **(meta or {}),
        },
        "spec": {},
        "status": status,
    }


def deployment(
    owner: Object | None,
    *,
    available: bool = True,
    uid: str = "uid-deployment",
    meta: Object | None = None,
) -> Object:
    """A scheduler's Deployment."""
    annotations = dict(OF_PART)
    if owner is not None:
        annotations["dask.org/spec-hash"] = builders.scheduler_hash(parse_cluster(owner))
    conditions = [{"type": "Available", "status": str(available)}]
    template_labels = {"dask.org/cluster-name": "simple", "dask.org/component": "scheduler"}
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": template_labels},
        "template": {
            "metadata": {
                "labels": {"sidecar.istio.io/inject": "false", **template_labels},
                "annotations": OF_SCHEDULER_POD,
            },
            "spec": {"enableServiceLinks": False, **deepcopy(SCHEDULER_POD_SPEC)},
        },
    }
    annotated = {"generation": 1, "annotations": annotations, **(meta or {})}
    body = _scheduler_part("Deployment", "apps/v1", owner, uid, annotated)
    return {**body, "spec": spec, "status": {"conditions": conditions}}


def service(owner: Object | None, *, uid: str = "uid-service", meta: Object | None = None) -> Object:
    """A scheduler's Service, with what the API server added to its spec."""
    annotations = dict(OF_PART)
    if owner is not None:
        annotations["dask.org/spec-hash"] = builders.service_hash(parse_cluster(owner))
    body = _scheduler_part("Service", "v1", owner, uid, {"annotations": annotations, **(meta or {})})
    spec = {**deepcopy(SERVICE_SPEC), "clusterIP": "10.96.0.7", "sessionAffinity": "None"}
    for number, port in enumerate(spec["ports"]):
        port["nodePort"] = 30001 + number
    return {**body, "spec": spec}


def scheduler_pod(*, phase: str = "Running", uid: str = "uid-scheduler-pod", meta: Object | None = None) -> Object:
    """A scheduler's Pod, owned by the ReplicaSet of its Deployment."""
    status: Object = {"phase": phase}
    if phase == "Running":
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp(LONG_AGO)}
        status.update(conditions=[ready], podIP="10.0.0.1")
    replica_set = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "simple-scheduler-1", "uid": "uid-rs"}
    labels = {
        "dask.org/cluster-name": "simple",
        "dask.org/component": "scheduler",
        "sidecar.istio.io/inject": "false",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **metadata("simple-scheduler-1-pod", uid=uid),
            "labels": labels,
            "annotations": dict(OF_SCHEDULER_POD),
            "ownerReferences": [replica_set],
            **(meta or {}),
        },
        "spec": {},
        "status": status,
    }


def _scheduler_part(kind: str, api_version: str, owner: Object | None, uid: str, meta: Object) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            **metadata("simple-scheduler", uid=uid),
            "labels": {"dask.org/cluster-name": "simple", "dask.org/component": "scheduler"},
            **({"ownerReferences": [owned_by(owner)]} if owner else {}),
            **meta,
        },
        "spec": {},
    }


def written_by(manager: str, *spec_fields: str, body: Object, subresource: str | None = None) -> Object:
    """The object after somebody wrote to fields of its spec; ``template/metadata`` is a field of a field."""
    written = deepcopy(body)
    fields: Object = {}
    for path in spec_fields:
        parent = fields
        for part in path.split("/"):
            parent = parent.setdefault(f"f:{part}", {})
    entry = {"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": fields}}
    if subresource is not None:
        entry["subresource"] = subresource
    written["metadata"].setdefault("managedFields", []).append(entry)
    return written


def terminating(body: Object, *finalizers: str) -> Object:
    """The object on its way out; what a finalizer holds up stays until it is taken away."""
    gone = deepcopy(body)
    gone["metadata"]["deletionTimestamp"] = timestamp(NOW)
    if finalizers:
        gone["metadata"]["finalizers"] = list(finalizers)
    return gone


def observe(*bodies: Object, key: Key = KEY) -> Observed:
    """What a store knows after it was shown these objects."""
    store = Store()
    for body in bodies:
        store.put(RESOURCES[body["kind"]], body)
    return store.observe(key)
