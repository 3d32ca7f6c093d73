"""A cluster's worker groups: the default one made and kept, the others adopted, as its autoscalers are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ... import builders, naming
from ...resources import DASK_AUTOSCALERS, DASK_WORKER_GROUPS, Resource
from ...spec import DaskCluster, DaskWorkerGroup
from ..actions import Create, Patch
from ..observed import Observed, dask_owner_uids
from .draft import Draft


def ensure_default_group(
    draft: Draft, cluster: DaskCluster, groups: Sequence[DaskWorkerGroup], observed: Observed
) -> None:
    """Have the group that a DaskCluster brings along, with the cluster's pod spec and metadata."""
    name = naming.default_worker_group_name(cluster.identity.name)
    group = next((group for group in groups if group.identity.name == name), None)
    if group is None:
        if any(resource.name == name for resource in observed.groups):
            return  # one that is on its way out, or that cannot be read: two of one name cannot be
        draft.actions.append(Create(DASK_WORKER_GROUPS, builders.build_default_worker_group(cluster)))
        return
    if cluster.identity.uid not in group.owner_uids:
        return
    metadata: dict[str, Any] = builders.metadata_patch(
        group.metadata.labels, group.metadata.annotations, builders.default_group_metadata(cluster)
    )
    patch: builders.Object = {}
    wanted = str(cluster.worker.replicas)
    if group.metadata.annotations.get(naming.CLUSTER_REPLICAS_ANNOTATION) != wanted:
        metadata["annotations"] = {**metadata.get("annotations", {}), naming.CLUSTER_REPLICAS_ANNOTATION: wanted}
        if naming.CLUSTER_REPLICAS_ANNOTATION in group.metadata.annotations:
            # Without the annotation the group is from another operator, and its replicas are what somebody scaled
            # it to.
            patch["spec"] = {"worker": {"replicas": cluster.worker.replicas}}
    if metadata:
        patch["metadata"] = {"uid": group.identity.uid, **metadata}
        draft.actions.append(Patch(DASK_WORKER_GROUPS, name, patch))
    if is_behind(cluster, group):
        replaced: list[builders.Object] = [
            {"op": "replace", "path": "/metadata/uid", "value": group.identity.uid},
            {"op": "replace", "path": "/spec/worker/spec", "value": cluster.worker.pod_spec},
        ]
        draft.actions.append(Patch(DASK_WORKER_GROUPS, name, replaced))


def is_behind(cluster: DaskCluster, group: DaskWorkerGroup) -> bool:
    """Whether a group is about to get another pod spec from its cluster."""
    name = naming.default_worker_group_name(cluster.identity.name)
    own = group.identity.name == name and cluster.identity.uid in group.owner_uids
    return own and group.worker.pod_spec != cluster.worker.pod_spec


def adopt(cluster: DaskCluster, group: DaskWorkerGroup) -> Patch:
    """Have a group go when its cluster goes."""
    return _owned(cluster, DASK_WORKER_GROUPS, group.identity.name, group.resource_version, group.owner_references)


def adopt_autoscalers(draft: Draft, cluster: DaskCluster, observed: Observed) -> None:
    """Have the autoscalers of a cluster go when it goes, or one would scale the next cluster of that name."""
    for resource in observed.autoscalers:
        meta = resource.body["metadata"]
        if not resource.terminating and cluster.identity.uid not in dask_owner_uids(meta):
            owners = meta.get("ownerReferences") or ()
            draft.actions.append(_owned(cluster, DASK_AUTOSCALERS, resource.name, str(resource.version), owners))


def _owned(
    cluster: DaskCluster, resource: Resource, name: str, version: str, owners: Iterable[Mapping[str, Any]]
) -> Patch:
    references = builders.with_owner(owners, cluster.identity)
    # A list is replaced whole: refused, when somebody else changed it meanwhile.
    return Patch(resource, name, {"metadata": {"resourceVersion": version, "ownerReferences": references}})
