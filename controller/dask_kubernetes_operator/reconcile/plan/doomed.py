"""What is to go because its owner went: what garbage collection would delete too, only faster."""

from __future__ import annotations

from ... import naming
from ...resources import DASK_CLUSTERS, DASK_WORKER_GROUPS, DEPLOYMENTS, PODS, SERVICES
from ..actions import Delete, DeleteCollection
from ..observed import Child, CustomResource, Observed, dask_owner_uids, has_foreign_owner
from .draft import Draft


def alive_uids(observed: Observed) -> frozenset[str]:
    """The custom resources whose children are to stay.

    Not those being deleted, unless with ``--cascade=orphan``; nor those left behind by a deleted owner.
    """
    alive: set[str] = set()
    for resource in (observed.job, observed.cluster, *observed.groups):
        if resource is None:
            continue
        meta = resource.body["metadata"]
        owners = dask_owner_uids(meta)
        orphaned = owners and not owners & alive and not has_foreign_owner(meta)
        if not orphaned and (not resource.terminating or _orphaning(resource)):
            alive.add(resource.uid)
    return frozenset(alive)


def is_doomed(child: Child, alive: frozenset[str]) -> bool:
    """Whether garbage collection will delete an object: it has owners, and none of them is there any more."""
    return (
        bool(child.owner_uids) and not child.foreign_owner and not child.owner_uids & alive and not child.terminating
    )


def remove_doomed(draft: Draft, observed: Observed, alive: frozenset[str]) -> None:
    """Delete what has lost its owner: workers by the group instead of one by one."""
    taken_again = {group.name for group in observed.groups if group.uid in alive}
    for group_name in sorted({pod.group for pod in observed.pods if is_doomed(pod, alive)}):
        pods = [pod for pod in observed.pods if pod.group == group_name and not pod.terminating]
        doomed = [pod for pod in pods if is_doomed(pod, alive)]
        if doomed == pods and group_name not in taken_again:
            labels = naming.worker_labels(observed.key.cluster, group_name)
            draft.actions.append(DeleteCollection(PODS, naming.selector(labels)))
        else:
            draft.actions.extend(Delete(PODS, pod.name, pod.uid) for pod in doomed)
    singly = (
        (PODS, observed.runner_pods),
        (DEPLOYMENTS, (*observed.deployments, *observed.worker_deployments)),
        (SERVICES, observed.services),
    )
    for resource, children in singly:
        draft.actions.extend(Delete(resource, child.name, child.uid) for child in children if is_doomed(child, alive))
    clusters = (observed.cluster,) if observed.cluster else ()
    for resource, parents in ((DASK_WORKER_GROUPS, observed.groups), (DASK_CLUSTERS, clusters)):
        draft.actions.extend(
            Delete(resource, parent.name, parent.uid)
            for parent in parents
            if parent.uid not in alive and not parent.terminating
        )


def _orphaning(resource: CustomResource) -> bool:
    return "orphan" in (resource.body["metadata"].get("finalizers") or ())
