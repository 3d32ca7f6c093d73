"""All decisions: what is observed in, requests and statuses out. Pure, and therefore tested without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .. import builders, naming
from ..resources import DASK_CLUSTERS, DASK_WORKER_GROUPS, DEPLOYMENTS, PODS, SERVICES, Resource
from ..spec import DaskCluster, DaskWorkerGroup, SpecError, parse_cluster, parse_worker_group
from .conditions import Condition, merge_conditions
from .observed import Child, CustomResource, Observed, Pod, dask_owner_uids, has_foreign_owner

# A worker that ends is replaced at once, but none is started more often than this in its place: one that ends
# right after its start would else be created again for ever, as fast as the API server allows.
MIN_WORKER_LIFETIME = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object; one of the same name and owner that is there already is success."""

    resource: Resource
    body: builders.Object


@dataclass(frozen=True, slots=True)
class Patch:
    """Apply a JSON merge patch."""

    resource: Resource
    name: str
    patch: builders.Object
    subresource: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one object by name and uid; one that is gone already is success.

    With a version it is deleted only as it was then, and one that has changed since is looked at again.
    """

    resource: Resource
    name: str
    uid: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteCollection:
    """Delete all objects that a label selector names."""

    resource: Resource
    selector: str


Action = Create | Patch | Delete | DeleteCollection
Subject = tuple[Resource, str, str]


def subject(action: Action) -> Subject:
    """What an action is about: actions of one subject succeed or fail for the same reasons."""
    match action:
        case Create(resource, body):
            owners = body["metadata"]["ownerReferences"]
            return (resource, "create", owners[0]["uid"])
        case Patch(resource, name, _, subresource):
            return (resource, f"patch {subresource or ''}", name)
        case Delete(resource, _, uid, _):
            return (resource, "delete", uid)
        case DeleteCollection(resource, selector):
            return (resource, "delete collection", selector)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now.

    Attributes:
        actions: independent of each other; any of them may fail without harm to the rest.
        statuses: patches of the status subresource, only of what changed.
        look_again_at: when something is due that no event will announce.
        bereaved: whether objects are deleted because their owner is not there; to be done only when that is certain.
    """

    actions: tuple[Action, ...] = ()
    statuses: tuple[Patch, ...] = ()
    look_again_at: datetime | None = None
    bereaved: bool = False


@dataclass(slots=True)
class _Draft:
    actions: list[Action] = field(default_factory=list)
    look_again_at: datetime | None = None

    def due(self, moment: datetime) -> None:
        self.look_again_at = min(moment, self.look_again_at or moment)


def plan(
    observed: Observed,
    now: datetime,
    *,
    new_suffix: Callable[[], str],
    failure: Condition | None = None,
) -> Plan:
    """Decide what leads from what is observed to what the custom resources ask for.

    Args:
        observed: everything that bears the cluster's name.
        now: the present, UTC.
        new_suffix: gives a worker name suffix that was not given before.
        failure: why the last attempt to carry out a plan did not succeed, if it did not.

    Raises nothing for a custom resource that cannot be read: that becomes its condition.
    """
    draft = _Draft()
    cluster, trouble = _read_cluster(observed.cluster)
    alive = _alive_uids(observed)
    _remove_doomed(draft, observed, alive)
    bereaved = bool(draft.actions)
    if observed.cluster is None or _terminating(observed.cluster):
        return Plan(actions=tuple(draft.actions), bereaved=bereaved)
    if cluster is None:
        unreadable = _unreadable_status(observed.cluster, trouble, now)
        return Plan(actions=tuple(draft.actions), statuses=unreadable, bereaved=bereaved)

    groups, group_troubles = _read_groups(observed, alive)
    _ensure_scheduler(draft, cluster, observed, alive)
    _ensure_default_group(draft, cluster, groups, observed)
    for group in groups:
        if group.terminating:
            continue
        if cluster.identity.uid in group.owner_uids:
            _ensure_workers(draft, cluster, group, observed.pods, now, new_suffix)
        else:
            draft.actions.append(_adopt(cluster, group))
    statuses = [
        *(status for group in groups if (status := _group_status(group, observed, now))),
        *group_troubles(now),
        *_cluster_status(cluster, groups, observed, failure, now),
    ]
    return Plan(tuple(draft.actions), tuple(statuses), draft.look_again_at, bereaved)


# What is there and what it says ---------------------------------------------------------------------------------


def _read_cluster(resource: CustomResource | None) -> tuple[DaskCluster | None, str]:
    if resource is None:
        return None, ""
    try:
        return parse_cluster(resource.body), ""
    except SpecError as error:
        return None, str(error)


def _read_groups(
    observed: Observed, alive: frozenset[str]
) -> tuple[list[DaskWorkerGroup], Callable[[datetime], list[Patch]]]:
    groups: list[DaskWorkerGroup] = []
    troubles: list[tuple[CustomResource, str]] = []
    for resource in observed.groups:
        if resource.uid not in alive:
            continue
        try:
            groups.append(parse_worker_group(resource.body))
        except SpecError as error:
            troubles.append((resource, str(error)))

    def statuses(now: datetime) -> list[Patch]:
        return [
            patch
            for resource, trouble in troubles
            for patch in _invalid_status(DASK_WORKER_GROUPS, resource, trouble, now)
        ]

    return groups, statuses


def _alive_uids(observed: Observed) -> frozenset[str]:
    """The custom resources whose children are to stay.

    Not those being deleted, unless with ``--cascade=orphan``; nor those left behind by a deleted owner.
    """
    alive = set()
    cluster = observed.cluster
    if cluster is not None and (not _terminating(cluster) or _orphaning(cluster)):
        alive.add(cluster.uid)
    for group in observed.groups:
        meta = group.body["metadata"]
        owners = dask_owner_uids(meta)
        orphaned = owners and not owners & alive and not has_foreign_owner(meta)
        if not orphaned and (not _terminating(group) or _orphaning(group)):
            alive.add(group.uid)
    return frozenset(alive)


def _terminating(resource: CustomResource) -> bool:
    return bool(resource.body["metadata"].get("deletionTimestamp"))


def _orphaning(resource: CustomResource) -> bool:
    return "orphan" in (resource.body["metadata"].get("finalizers") or ())


def _doomed(child: Child, alive: frozenset[str]) -> bool:
    """Whether garbage collection will delete an object: it has owners, and none of them is there any more."""
    return (
        bool(child.owner_uids) and not child.foreign_owner and not child.owner_uids & alive and not child.terminating
    )


# Deletion -------------------------------------------------------------------------------------------------------


def _remove_doomed(draft: _Draft, observed: Observed, alive: frozenset[str]) -> None:
    """Delete what garbage collection would delete too, only faster: workers by the group instead of one by one."""
    taken_again = {group.name for group in observed.groups if group.uid in alive}
    for group_name in sorted({pod.group for pod in observed.pods if _doomed(pod, alive)}):
        pods = [pod for pod in observed.pods if pod.group == group_name and not pod.terminating]
        doomed = [pod for pod in pods if _doomed(pod, alive)]
        if doomed == pods and group_name not in taken_again:
            labels = naming.worker_labels(observed.key.cluster, group_name)
            draft.actions.append(DeleteCollection(PODS, naming.selector(labels)))
        else:
            draft.actions.extend(Delete(PODS, pod.name, pod.uid) for pod in doomed)
    for resource, children in ((DEPLOYMENTS, observed.deployments), (SERVICES, observed.services)):
        draft.actions.extend(Delete(resource, child.name, child.uid) for child in children if _doomed(child, alive))
    draft.actions.extend(
        Delete(DASK_WORKER_GROUPS, group.name, group.uid)
        for group in observed.groups
        if group.uid not in alive and not _terminating(group)
    )


# Scheduler and groups -------------------------------------------------------------------------------------------


def _ensure_scheduler(draft: _Draft, cluster: DaskCluster, observed: Observed, alive: frozenset[str]) -> None:
    name = naming.scheduler_name(cluster.identity.name)

    def missing(children: Iterable[Child]) -> bool:
        # A name is free again when its bearer is gone. A stranger that keeps it is told of by the refusal to create.
        return not any(
            child.name == name
            and (cluster.identity.uid in child.owner_uids or child.terminating or _doomed(child, alive))
            for child in children
        )

    if missing(observed.deployments):
        draft.actions.append(Create(DEPLOYMENTS, builders.build_scheduler_deployment(cluster)))
    if missing(observed.services):
        draft.actions.append(Create(SERVICES, builders.build_scheduler_service(cluster)))


def _ensure_default_group(
    draft: _Draft, cluster: DaskCluster, groups: Sequence[DaskWorkerGroup], observed: Observed
) -> None:
    name = naming.default_worker_group_name(cluster.identity.name)
    group = next((group for group in groups if group.identity.name == name), None)
    if group is None:
        if any(resource.name == name for resource in observed.groups):
            return  # one that is on its way out, or that cannot be read: two of one name cannot be
        draft.actions.append(Create(DASK_WORKER_GROUPS, builders.build_default_worker_group(cluster)))
        return
    wanted = str(cluster.worker.replicas)
    if group.metadata.annotations.get(naming.CLUSTER_REPLICAS_ANNOTATION) == wanted:
        return
    patch: builders.Object = {
        "metadata": {"uid": group.identity.uid, "annotations": {naming.CLUSTER_REPLICAS_ANNOTATION: wanted}}
    }
    if naming.CLUSTER_REPLICAS_ANNOTATION in group.metadata.annotations:
        # Without the annotation the group is from another operator, and its replicas are what somebody scaled it to.
        patch["spec"] = {"worker": {"replicas": cluster.worker.replicas}}
    draft.actions.append(Patch(DASK_WORKER_GROUPS, name, patch))


def _adopt(cluster: DaskCluster, group: DaskWorkerGroup) -> Patch:
    reference = builders.owner_reference(cluster.identity)
    if any(other.get("controller") for other in group.owner_references):
        # Only one owner can be the controller; any owner will do for garbage collection.
        del reference["controller"]
    references = [*(dict(other) for other in group.owner_references), reference]
    # A list is replaced whole: refused, when somebody else changed it meanwhile.
    metadata = {"resourceVersion": group.resource_version, "ownerReferences": references}
    return Patch(DASK_WORKER_GROUPS, group.identity.name, {"metadata": metadata})


# Workers --------------------------------------------------------------------------------------------------------


def _ensure_workers(
    draft: _Draft,
    cluster: DaskCluster,
    group: DaskWorkerGroup,
    pods: Iterable[Pod],
    now: datetime,
    new_suffix: Callable[[], str],
) -> None:
    live = 0
    waiting_for_scheduling: list[Pod] = []
    for pod in _own_pods(group, pods):
        if not pod.finished:
            live += 1
            if pod.phase == "Pending":
                waiting_for_scheduling.append(pod)
            continue
        replace_at = pod.created_at + MIN_WORKER_LIFETIME
        if now >= replace_at:
            draft.actions.append(Delete(PODS, pod.name, pod.uid))
        else:
            live += 1
            draft.due(replace_at)
    missing = group.worker.replicas - live
    address = builders.scheduler_address(cluster)
    draft.actions.extend(
        Create(PODS, builders.build_worker_pod(group, suffix=new_suffix(), address=address)) for _ in range(missing)
    )
    # Only what has never run can be taken away without asking the scheduler where its data is.
    newest_first = sorted(waiting_for_scheduling, key=lambda pod: (pod.created_at, pod.name), reverse=True)
    draft.actions.extend(Delete(PODS, pod.name, pod.uid, pod.version) for pod in newest_first[: max(0, -missing)])


def _own_pods(group: DaskWorkerGroup, pods: Iterable[Pod]) -> Iterable[Pod]:
    return (pod for pod in pods if group.identity.uid in pod.owner_uids and not pod.terminating)


# Status ---------------------------------------------------------------------------------------------------------


def _group_status(group: DaskWorkerGroup, observed: Observed, now: datetime) -> Patch | None:
    live = [pod for pod in _own_pods(group, observed.pods) if not pod.finished]
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


def _cluster_status(
    cluster: DaskCluster,
    groups: Sequence[DaskWorkerGroup],
    observed: Observed,
    failure: Condition | None,
    now: datetime,
) -> list[Patch]:
    name = cluster.identity.name
    group = next((g for g in groups if g.identity.name == naming.default_worker_group_name(name)), None)
    scheduler = next(
        (d for d in observed.deployments if cluster.identity.uid in d.owner_uids and not d.terminating), None
    )
    service = next((s for s in observed.services if cluster.identity.uid in s.owner_uids and not s.terminating), None)
    live = [pod for pod in _own_pods(group, observed.pods) if not pod.finished] if group else []
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
    patch = _status_patch(DASK_CLUSTERS, name, cluster.identity.uid, cluster.status, wanted, conditions, now)
    return [patch] if patch else []


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


def _unreadable_status(resource: CustomResource, trouble: str, now: datetime) -> tuple[Patch, ...]:
    return tuple(_invalid_status(DASK_CLUSTERS, resource, trouble, now, phase="Error"))


def _invalid_status(
    api: Resource, resource: CustomResource, trouble: str, now: datetime, **extra: Any
) -> list[Patch]:
    generation = int(resource.body["metadata"].get("generation", 0))
    condition = Condition("Reconciled", "False", "Invalid", trouble, generation)
    wanted = {"observedGeneration": generation, **extra}
    patch = _status_patch(
        api, resource.name, resource.uid, resource.body.get("status") or {}, wanted, [condition], now
    )
    return [patch] if patch else []


def _status_patch(
    api: Resource,
    name: str,
    uid: str,
    present: Any,
    wanted: builders.Object,
    conditions: Iterable[Condition],
    now: datetime,
) -> Patch | None:
    """A patch of what differs, or None: an unchanged status is not written."""
    merged = merge_conditions(present.get("conditions") or (), conditions, now)
    changes = {key: value for key, value in wanted.items() if present.get(key) != value}
    if merged != list(present.get("conditions") or ()):
        changes["conditions"] = merged
    if not changes:
        return None
    # With its uid, so that an object of the same name made meanwhile does not get this one's status.
    return Patch(api, name, {"metadata": {"uid": uid}, "status": changes}, subresource="status")
