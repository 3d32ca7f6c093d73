"""All decisions: what is observed in, requests and statuses out. Pure, and therefore tested without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .. import builders, naming
from ..resources import DASK_CLUSTERS, DASK_WORKER_GROUPS, DEPLOYMENTS, PODS, SERVICES
from ..spec import DaskCluster, DaskWorkerGroup, SpecError, parse_cluster, parse_worker_group
from .actions import Action, Create, Delete, DeleteCollection, Patch
from .conditions import Condition
from .observed import Child, CustomResource, Observed, Pod, dask_owner_uids, has_foreign_owner
from .status import cluster_status, group_status, invalid_status, own_pods

# A worker that ends is replaced at once, but none is started more often than this in its place: one that ends
# right after its start would else be created again for ever, as fast as the API server allows.
MIN_WORKER_LIFETIME = timedelta(seconds=10)


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
        unreadable = invalid_status(DASK_CLUSTERS, observed.cluster, trouble, now, phase="Error")
        return Plan(actions=tuple(draft.actions), statuses=tuple(unreadable), bereaved=bereaved)

    groups, statuses = _read_groups(observed, alive, now)
    _ensure_scheduler(draft, cluster, observed, alive)
    _ensure_default_group(draft, cluster, groups, observed)
    for group in groups:
        if group.terminating:
            continue
        if cluster.identity.uid in group.owner_uids:
            _ensure_workers(draft, cluster, group, observed.pods, now, new_suffix)
        else:
            draft.actions.append(_adopt(cluster, group))
    for group in groups:
        statuses += group_status(group, observed, now)
    statuses += cluster_status(cluster, groups, observed, failure, now)
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
    observed: Observed, alive: frozenset[str], now: datetime
) -> tuple[list[DaskWorkerGroup], list[Patch]]:
    """The groups that are there to stay, and the statuses of those that cannot be read."""
    groups: list[DaskWorkerGroup] = []
    statuses: list[Patch] = []
    for resource in observed.groups:
        if resource.uid not in alive:
            continue
        try:
            groups.append(parse_worker_group(resource.body))
        except SpecError as error:
            statuses += invalid_status(DASK_WORKER_GROUPS, resource, str(error), now)
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
    for pod in own_pods(group, pods):
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
