"""What the public operator makes of a cluster, as it is in a world before the present one is started there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dask_kubernetes_operator.resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    SERVICES,
)

from .objects import Object, cluster, group, metadata, owned_by
from .world import World

MARKER = "kopf.zalando.org/KopfFinalizerMarker"
NOTE = {"kopf.zalando.org/last-handled-configuration": "{}"}
ISTIO = {"sidecar.istio.io/inject": "false"}


def leave(
    world: World, groups: Mapping[str, int], *, labels: Mapping[str, str] | None = None, replicas: int | None = None
) -> None:
    """Have a cluster that the public operator runs.

    Args:
        world: where.
        groups: its worker groups, and how many workers each has.
        labels: of the cluster.
        replicas: how many workers its default group is to have; as many as it has unless given.
    """
    wanted = groups["simple-default"] if replicas is None else replicas
    marks = {"finalizers": [MARKER], "annotations": dict(NOTE)}
    owner = cluster(replicas=wanted, meta={**marks, "labels": dict(labels or {})}, status={"phase": "Pending"})
    world.put(DASK_CLUSTERS, owner)
    about = {**(labels or {}), "dask.org/cluster-name": "simple"}
    of_scheduler = {**about, "dask.org/component": "scheduler"}
    scheduler = _deployment("simple-scheduler", owner, {**of_scheduler, **ISTIO}, owner["spec"]["scheduler"]["spec"])
    world.put(DEPLOYMENTS, scheduler)
    world.put(
        SERVICES,
        {
            **_part("Service", "v1", "simple-scheduler", owner, of_scheduler, NOTE),
            "spec": owner["spec"]["scheduler"]["service"],
        },
    )
    for name, count in groups.items():
        number = wanted if name == "simple-default" else count
        body = group(name, owners=(owner,), replicas=number, cluster_replicas=None, meta={"annotations": dict(NOTE)})
        world.put(DASK_WORKER_GROUPS, body)
        labelled = {**about, "dask.org/workergroup-name": name, "dask.org/component": "worker", **ISTIO}
        for suffix in range(count):
            world.put(DEPLOYMENTS, worker_deployment(body, f"{name}-worker-{suffix:010x}", labelled))
    scaler = {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskAutoscaler",
        "metadata": {**metadata("simple", uid="uid-autoscaler"), "generation": 1, **marks},
        "spec": {"cluster": "simple", "minimum": wanted, "maximum": wanted},
    }
    world.put(DASK_AUTOSCALERS, scaler)


def worker_deployment(owner: Object, name: str, labels: Mapping[str, str]) -> Object:
    """The Deployment of one worker."""
    [container] = owner["spec"]["worker"]["spec"]["containers"]
    env = [{"name": "DASK_WORKER_NAME", "value": name}]
    return _deployment(name, owner, labels, {"containers": [{**container, "env": env}]})


def _deployment(name: str, owner: Object, labels: Mapping[str, str], pod_spec: Object) -> Object:
    template = {"metadata": {"labels": dict(labels), "annotations": {}}, "spec": pod_spec}
    body = _part("Deployment", "apps/v1", name, owner, labels, {})
    body["metadata"]["generation"] = 1
    spec = {
        "replicas": 1,
        "strategy": {"type": "RollingUpdate"},
        "selector": {"matchLabels": dict(labels)},
        "template": template,
    }
    return {**body, "spec": spec}


def _part(
    kind: str, api_version: str, name: str, owner: Object, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> Object:
    meta = {
        **metadata(name, uid=f"uid-{kind}-{name}"),
        "labels": dict(labels),
        "annotations": dict(annotations),
        "ownerReferences": [owned_by(owner)],
        "managedFields": [{"manager": "kr8s", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


def left(groups: Mapping[str, int]) -> Callable[[World], None]:
    """`leave`, as the beginning of a scenario."""
    return lambda world: leave(world, groups, labels={"team": "red"})
