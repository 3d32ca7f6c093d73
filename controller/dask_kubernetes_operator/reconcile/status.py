"""What the custom resources say of themselves: patches of the status subresource, only of what changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from .. import builders, naming
from ..resources import DASK_CLUSTERS, DASK_WORKER_GROUPS, Resource
from ..spec import DaskCluster, DaskWorkerGroup
from .actions import Patch
from .conditions import Condition, merge_conditions
from .observed import CustomResource, Observed, Pod


def own_pods(group: DaskWorkerGroup, pods: Iterable[Pod]) -> Iterable[Pod]:
    """The Pods of a group that are not on their way out."""
    return (pod for pod in pods if group.identity.uid in pod.owner_uids and not pod.terminating)


def group_status(group: DaskWorkerGroup, observed: Observed, now: datetime) -> list[Patch]:
    """The status of a DaskWorkerGroup."""
    live = [pod for pod in own_pods(group, observed.pods) if not pod.finished]
    ready = sum(pod.ready for pod in live)
    condition = _workers_ready(ready, len(live), group.worker.replicas, group.generation)
    labels = naming.worker_labels(group.cluster_name, group.identity.name)
    wanted = {
        "observedGeneration": group.generation,
        "replicas": len(live),
        "readyReplicas": ready,
        "selector": naming.selector(labels),
    }
    return _status_patch(
        DASK_WORKER_GROUPS, group.identity.name, group.identity.uid, group.status, wanted, [condition], now
    )


def cluster_status(
    cluster: DaskCluster,
    groups: Sequence[DaskWorkerGroup],
    observed: Observed,
    failure: Condition | None,
    now: datetime,
) -> list[Patch]:
    """The status of a DaskCluster; its counts are those of the default group, which it scales."""
    name = cluster.identity.name
    group = next((g for g in groups if g.identity.name == naming.default_worker_group_name(name)), None)
    scheduler = next(
        (d for d in observed.deployments if cluster.identity.uid in d.owner_uids and not d.terminating), None
    )
    service = next((s for s in observed.services if cluster.identity.uid in s.owner_uids and not s.terminating), None)
    live = [pod for pod in own_pods(group, observed.pods) if not pod.finished] if group else []
    ready = sum(pod.ready for pod in live)
    wanted_replicas = group.worker.replicas if group else cluster.worker.replicas
    components = [part is not None for part in (group, scheduler, service)]

    workers_ready = _workers_ready(ready, len(live), wanted_replicas, cluster.generation)
    scheduler_ready = _scheduler_ready(bool(scheduler and scheduler.available), cluster.generation)
    both = scheduler_ready.status == workers_ready.status == "True"
    conditions = [
        scheduler_ready,
        workers_ready,
        Condition(
            "Ready",
            "True" if both else "False",
            "ClusterReady" if both else "ComponentsNotReady",
            "" if both else "; ".join(c.message for c in (scheduler_ready, workers_ready) if c.message),
            cluster.generation,
        ),
        failure or Condition("Reconciled", "True", "Reconciled", "", cluster.generation),
    ]
    if failure is not None and failure.reason == "Invalid":
        phase = "Error"
    elif all(components):
        phase = "Running"
    else:
        phase = "Pending" if any(components) else "Created"
    labels = naming.worker_labels(name, naming.default_worker_group_name(name))
    wanted = {
        "phase": phase,
        "observedGeneration": cluster.generation,
        "replicas": len(live),
        "readyReplicas": ready,
        "selector": naming.selector(labels),
        "schedulerAddress": builders.scheduler_address(cluster),
        "dashboardAddress": builders.dashboard_address(cluster),
    }
    return _status_patch(DASK_CLUSTERS, name, cluster.identity.uid, cluster.status, wanted, conditions, now)


def _workers_ready(ready: int, live: int, wanted: int, generation: int) -> Condition:
    if ready < wanted:
        message = f"{ready} of {wanted} workers are ready"
        return Condition("WorkersReady", "False", "WorkersNotReady", message, generation)
    if live > wanted:
        message = f"{live - wanted} workers more than the {wanted} asked for keep running: they may hold data"
        return Condition("WorkersReady", "True", "SurplusMayHoldData", message, generation)
    return Condition("WorkersReady", "True", "AllWorkersReady", "", generation)


def _scheduler_ready(available: bool, generation: int) -> Condition:
    if available:
        return Condition("SchedulerReady", "True", "SchedulerAvailable", "", generation)
    return Condition(
        "SchedulerReady", "False", "SchedulerNotAvailable", "the scheduler is not available yet", generation
    )


def invalid_status(api: Resource, resource: CustomResource, trouble: str, now: datetime, **extra: Any) -> list[Patch]:
    """The status of a custom resource that cannot be read, with the reason as its condition."""
    generation = int(resource.body["metadata"].get("generation", 0))
    condition = Condition("Reconciled", "False", "Invalid", trouble, generation)
    wanted = {"observedGeneration": generation, **extra}
    present = resource.body.get("status") or {}
    return _status_patch(api, resource.name, resource.uid, present, wanted, [condition], now)


def _status_patch(
    api: Resource,
    name: str,
    uid: str,
    present: Any,
    wanted: builders.Object,
    conditions: Iterable[Condition],
    now: datetime,
) -> list[Patch]:
    """A patch of what differs; none when nothing does."""
    merged = merge_conditions(present.get("conditions") or (), conditions, now)
    changes = {key: value for key, value in wanted.items() if present.get(key) != value}
    if merged != list(present.get("conditions") or ()):
        changes["conditions"] = merged
    if not changes:
        return []
    # With its uid, so that an object of the same name made meanwhile does not get this one's status.
    return [Patch(api, name, {"metadata": {"uid": uid}, "status": changes}, subresource="status")]
