"""The scheduler's Deployment, Service and Pod: made, kept as the cluster's spec says, or taken away."""

from __future__ import annotations

from typing import Any

from ... import builders, naming
from ...resources import DEPLOYMENTS, PODS, SERVICES, Resource
from ...spec import DaskCluster, Metadata
from ..actions import Create, Delete, Event, Patch
from ..observed import Child, Deployment, Observed, Service
from .doomed import is_doomed
from .draft import Draft


def ensure_scheduler(
    draft: Draft, cluster: DaskCluster, observed: Observed, alive: frozenset[str], *, suspended: bool
) -> None:
    """Have exactly one scheduler behind a Service; a suspended cluster keeps the Service, and with it its address."""
    name = naming.scheduler_name(cluster.identity.name)
    deployments = [d for d in observed.deployments if cluster.identity.uid in d.owner_uids and not d.terminating]
    if suspended:
        draft.actions.extend(Delete(DEPLOYMENTS, d.name, d.uid) for d in deployments)
    elif deployments:
        _keep_deployment(draft, cluster, deployments[0])
    elif _is_free(name, observed.deployments, alive):
        draft.actions.append(Create(DEPLOYMENTS, builders.build_scheduler_deployment(cluster)))
    services = [s for s in observed.services if cluster.identity.uid in s.owner_uids and not s.terminating]
    if services:
        _keep_service(draft, cluster, services[0])
    elif _is_free(name, observed.services, alive):
        draft.actions.append(Create(SERVICES, builders.build_scheduler_service(cluster)))
    selector = deployments[0].selector if deployments else {}
    for pod in observed.scheduler_pods:
        if not pod.terminating:
            _propagate(draft, PODS, pod, builders.scheduler_pod_metadata(cluster, selector))


def _is_free(name: str, children: tuple[Child, ...], alive: frozenset[str]) -> bool:
    # A name is free again when its bearer is gone. A stranger that keeps it is told of by the refusal to create.
    return not any(child.name == name and (child.terminating or is_doomed(child, alive)) for child in children)


def _keep_deployment(draft: Draft, cluster: DaskCluster, present: Deployment) -> None:
    wanted_hash = builders.scheduler_hash(cluster)
    applied_hash = present.annotations.get(naming.SPEC_HASH_ANNOTATION)
    if applied_hash is None:
        _adopt(draft, DEPLOYMENTS, present, wanted_hash)
    elif applied_hash != wanted_hash:
        message = "spec.scheduler was edited: the scheduler starts again and has lost all state"
        _restore_deployment(draft, cluster, present, Event(cluster.identity, "Warning", "SchedulerReplaced", message))
    elif present.edited:
        message = (
            f"Deployment {present.name} was edited by hand and is put back; to change the scheduler edit the "
            "DaskCluster. If its pod starts again, the state of the scheduler is lost"
        )
        _restore_deployment(draft, cluster, present, Event(cluster.identity, "Warning", "SchedulerRepaired", message))
    else:
        _propagate(draft, DEPLOYMENTS, present, builders.scheduler_metadata(cluster))


def _restore_deployment(draft: Draft, cluster: DaskCluster, present: Deployment, event: Event) -> None:
    # One that the public operator made selects by the labels that the cluster had then, too.
    spec = builders.build_scheduler_deployment(cluster, selector=present.selector)["spec"]
    replaced = [_replace(f"/spec/{part}", spec[part]) for part in ("replicas", "strategy", "template")]
    patch = [*replaced, *_signed(present, builders.scheduler_hash(cluster))]
    draft.actions.append(Patch(DEPLOYMENTS, present.name, patch, events=(event,)))


def _keep_service(draft: Draft, cluster: DaskCluster, present: Service) -> None:
    wanted_hash = builders.service_hash(cluster)
    applied_hash = present.annotations.get(naming.SPEC_HASH_ANNOTATION)
    if applied_hash is None:
        _adopt(draft, SERVICES, present, wanted_hash)
    elif applied_hash != wanted_hash or present.edited:
        # What the API server allocated, addresses and node ports, it carries over by itself.
        spec = builders.build_scheduler_service(cluster)["spec"]
        patch = [_replace("/spec", spec), *_signed(present, wanted_hash)]
        draft.actions.append(Patch(SERVICES, present.name, patch))
    else:
        _propagate(draft, SERVICES, present, builders.scheduler_metadata(cluster))


def _adopt(draft: Draft, resource: Resource, child: Child, spec_hash: str) -> None:
    """Take what an earlier operator made, and what is running, as it is."""
    note = {"uid": child.uid, "annotations": {naming.SPEC_HASH_ANNOTATION: spec_hash}, "managedFields": [{}]}
    draft.actions.append(Patch(resource, child.name, {"metadata": note}))


def _signed(child: Child, spec_hash: str) -> list[builders.Object]:
    """The end of a patch that puts a spec back: nobody else has written to it any more.

    It is refused as a conflict if somebody has since ``child`` was seen. Managed fields are cleared by a list of one
    empty entry, says the API's documentation.
    """
    path = f"/metadata/annotations/{naming.SPEC_HASH_ANNOTATION.replace('/', '~1')}"
    return [
        {"op": "add", "path": path, "value": spec_hash},
        {"op": "add", "path": "/metadata/managedFields", "value": [{}]},
        _replace("/metadata/resourceVersion", str(child.version)),
    ]


def _propagate(draft: Draft, resource: Resource, child: Child, wanted: Metadata) -> None:
    changes = builders.metadata_patch(child.labels, child.annotations, wanted)
    if changes:
        draft.actions.append(Patch(resource, child.name, {"metadata": {"uid": child.uid, **changes}}))


def _replace(path: str, value: Any) -> builders.Object:
    return {"op": "replace", "path": path, "value": value}
