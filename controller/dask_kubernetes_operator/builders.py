"""Spec in, Kubernetes object out. Pure: same input, same output; the input is never changed.

Labels and annotations follow one rule: top level of the parent, then the parent's sub-resource metadata, then
what the operator reserves; later ones win.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from . import naming
from .spec import API_GROUP, API_VERSION, DaskCluster, DaskWorkerGroup, Identity, Metadata

Object = dict[str, Any]

_API_VERSION = f"{API_GROUP}/{API_VERSION}"


def build_scheduler_deployment(cluster: DaskCluster) -> Object:
    """The Deployment (one replica) that keeps a cluster's scheduler running."""
    name = cluster.identity.name
    selector = naming.scheduler_labels(name)
    labels = _labels(cluster.metadata, cluster.scheduler.metadata, selector)
    annotations = _annotations(cluster.metadata, cluster.scheduler.metadata)
    pod_spec = _pod_spec(cluster.scheduler.pod_spec, env={})
    # A Deployment allows no other policy; manifests made for the bare scheduler pod of old releases carry one.
    pod_spec.pop("restartPolicy", None)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _child_metadata(cluster.identity, naming.scheduler_name(name), labels, annotations),
        "spec": {
            "replicas": 1,
            # Two schedulers at once would split the workers between them.
            "strategy": {"type": "Recreate"},
            # Only what the operator sets: a selector is immutable, a user's labels are not.
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": {**naming.DEFAULT_POD_LABELS, **labels}, "annotations": annotations},
                "spec": pod_spec,
            },
        },
    }


def build_scheduler_service(cluster: DaskCluster) -> Object:
    """The Service through which workers and clients reach the scheduler."""
    name = cluster.identity.name
    selector = naming.scheduler_labels(name)
    spec = deepcopy(dict(cluster.scheduler.service_spec))
    spec["selector"] = {**(spec.get("selector") or {}), **selector}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _child_metadata(
            cluster.identity,
            naming.scheduler_name(name),
            _labels(cluster.metadata, cluster.scheduler.metadata, selector),
            _annotations(cluster.metadata, cluster.scheduler.metadata),
        ),
        "spec": spec,
    }


def build_default_worker_group(cluster: DaskCluster) -> Object:
    """The DaskWorkerGroup that a DaskCluster brings along."""
    name = cluster.identity.name
    annotations = _annotations(cluster.metadata, cluster.worker.metadata)
    annotations[naming.CLUSTER_REPLICAS_ANNOTATION] = str(cluster.worker.replicas)
    return {
        "apiVersion": _API_VERSION,
        "kind": "DaskWorkerGroup",
        "metadata": _child_metadata(
            cluster.identity,
            naming.default_worker_group_name(name),
            _labels(cluster.metadata, cluster.worker.metadata, naming.worker_group_labels(name)),
            annotations,
        ),
        "spec": {
            "cluster": name,
            "worker": {
                "replicas": cluster.worker.replicas,
                "spec": deepcopy(dict(cluster.worker.pod_spec)),
            },
        },
    }


def build_worker_pod(group: DaskWorkerGroup, *, suffix: str, address: str) -> Object:
    """One worker of a group: a bare Pod.

    Args:
        group: the group it belongs to.
        suffix: makes its name unique within the group.
        address: the scheduler's address, see `scheduler_address`.
    """
    name = naming.worker_name(group.identity.name, suffix)
    own = naming.worker_labels(group.cluster_name, group.identity.name)
    labels = _labels(group.metadata, group.worker.metadata, own)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _child_metadata(
            group.identity,
            name,
            {**naming.DEFAULT_POD_LABELS, **labels},
            naming.without_reserved(_annotations(group.metadata, group.worker.metadata)),
        ),
        "spec": _pod_spec(
            group.worker.pod_spec,
            env={"DASK_WORKER_NAME": name, "DASK_SCHEDULER_ADDRESS": address},
        ),
    }


def owner_reference(owner: Identity) -> Object:
    """The reference by which garbage collection removes a child with its owner."""
    return {
        "apiVersion": _API_VERSION,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def scheduler_address(cluster: DaskCluster) -> str:
    """The address at which workers find the scheduler, e.g. ``tcp://simple-scheduler.default.svc:8786``.

    Without the cluster domain: the pod's own resolver completes it, whatever the domain is.
    """
    return f"tcp://{_service_host(cluster)}:{_service_port(cluster, naming.COMM_PORT_NAME, naming.COMM_PORT)}"


def dashboard_address(cluster: DaskCluster) -> str:
    """The address of the scheduler's dashboard inside the cluster, e.g. ``http://simple-scheduler.default.svc:8787``."""
    port = _service_port(cluster, naming.DASHBOARD_PORT_NAME, naming.DASHBOARD_PORT)
    return f"http://{_service_host(cluster)}:{port}"


def _service_host(cluster: DaskCluster) -> str:
    return f"{naming.scheduler_name(cluster.identity.name)}.{cluster.identity.namespace}.svc"


def _service_port(cluster: DaskCluster, name: str, default: int) -> int:
    for port in cluster.scheduler.service_spec.get("ports") or ():
        if port.get("name") == name:
            return int(port["port"])
    return default


def _pod_spec(pod_spec: Mapping[str, Any], *, env: Mapping[str, str]) -> Object:
    spec: Object = deepcopy(dict(pod_spec))
    # One variable for each Service of the namespace would overflow the argument list in a busy one.
    spec.setdefault("enableServiceLinks", False)
    if env:
        for container in spec["containers"]:
            theirs = container.get("env") or []
            names = {variable["name"] for variable in theirs}
            ours = [{"name": key, "value": value} for key, value in env.items() if key not in names]
            container["env"] = [*theirs, *ours]
    return spec


def _child_metadata(owner: Identity, name: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Object:
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": dict(labels),
        "annotations": dict(annotations),
        "ownerReferences": [owner_reference(owner)],
    }


def _labels(top: Metadata, sub: Metadata, reserved: Mapping[str, str]) -> dict[str, str]:
    return {**naming.without_bookkeeping(top.labels), **naming.without_bookkeeping(sub.labels), **reserved}


def _annotations(top: Metadata, sub: Metadata) -> dict[str, str]:
    return {**naming.without_bookkeeping(top.annotations), **naming.without_bookkeeping(sub.annotations)}
