"""Objects as the API server stores them; the cluster is the `simple` one of the operator's documentation."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from dask_kubernetes_operator.reconcile.conditions import timestamp
from dask_kubernetes_operator.reconcile.observed import Key, Observed, Store
from dask_kubernetes_operator.resources import (
    DASK_CLUSTERS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Resource,
)

Object = dict[str, Any]

NAMESPACE = "default"
KEY = Key(NAMESPACE, "simple")
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
ADDRESS = "tcp://simple-scheduler.default.svc:8786"

RESOURCES: dict[str, Resource] = {
    resource.kind: resource for resource in (DASK_CLUSTERS, DASK_WORKER_GROUPS, DEPLOYMENTS, SERVICES, PODS)
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
    annotations = {} if cluster_replicas is None else {"dask.org/cluster-replicas": str(cluster_replicas)}
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
    uid: str = "",
    version: int = 1,
    meta: Object | None = None,
) -> Object:
    """A worker's Pod; with ``finished_at`` it has ended for good."""
    status: Object = {"phase": phase}
    if phase == "Running":
        status["conditions"] = [{"type": "Ready", "status": "True"}]
    if finished_at is not None:
        ended = {"terminated": {"exitCode": 1, "finishedAt": timestamp(finished_at)}}
        status = {
            "phase": "Failed" if phase == "Running" else phase,
            "containerStatuses": [{"name": "worker", "state": ended}],
        }
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
            },
            **({"ownerReferences": [owned_by(owner)]} if owner else {}),
            **(meta or {}),
        },
        "spec": {},
        "status": status,
    }


def deployment(
    owner: Object | None, *, available: bool = True, uid: str = "uid-deployment", meta: Object | None = None
) -> Object:
    """A scheduler's Deployment."""
    conditions = [{"type": "Available", "status": "True" if available else "False"}]
    body = _scheduler_part("Deployment", "apps/v1", owner, uid, meta)
    return {**body, "status": {"conditions": conditions}}


def service(owner: Object | None, *, uid: str = "uid-service", meta: Object | None = None) -> Object:
    """A scheduler's Service."""
    return _scheduler_part("Service", "v1", owner, uid, meta)


def _scheduler_part(kind: str, api_version: str, owner: Object | None, uid: str, meta: Object | None) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            **metadata("simple-scheduler", uid=uid),
            "labels": {"dask.org/cluster-name": "simple", "dask.org/component": "scheduler"},
            **({"ownerReferences": [owned_by(owner)]} if owner else {}),
            **(meta or {}),
        },
        "spec": {},
    }


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
