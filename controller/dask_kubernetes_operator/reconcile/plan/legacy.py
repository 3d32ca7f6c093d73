"""What the operator that was here before has left: the public one, which made a Deployment for each worker.

A worker is taken over while it works. Its Pod gets its group as an owner beside the ReplicaSet; then the Deployment
is deleted, and by garbage collection the ReplicaSet. Off the Pod, which has another owner, garbage collection only
takes the reference to the ReplicaSet; then the group becomes its controller. Each of these steps follows from what is
observed, whoever did the one before.
"""

from __future__ import annotations

from dataclasses import replace

from ...resources import DASK_AUTOSCALERS, DASK_CLUSTERS, DEPLOYMENTS
from ...spec import DaskWorkerGroup
from ..actions import Delete, Event, Patch
from ..observed import Observed, Pod
from .draft import Draft

# kopf's own, for its timers and daemons. With nobody there to take it away the object could never be deleted.
_FINALIZER = "kopf.zalando.org/KopfFinalizerMarker"


def release(draft: Draft, observed: Observed) -> None:
    """Take the finalizer away that the public operator has put on clusters and autoscalers."""
    clusters = (observed.cluster,) if observed.cluster else ()
    for resource, objects in ((DASK_CLUSTERS, clusters), (DASK_AUTOSCALERS, observed.autoscalers)):
        for one in objects:
            meta = one.body["metadata"]
            finalizers = meta.get("finalizers") or ()
            if _FINALIZER in finalizers:
                left = [finalizer for finalizer in finalizers if finalizer != _FINALIZER]
                # A list is replaced as a whole: only if it is still the one that was seen.
                seen = {"uid": one.uid, "resourceVersion": meta["resourceVersion"]}
                draft.actions.append(Patch(resource, one.name, {"metadata": {**seen, "finalizers": left}}))


def claimed(observed: Observed) -> Observed:
    """The same, where Pods of workers' Deployments count as their groups', though they do not say so yet."""
    if not observed.worker_deployments:
        return observed
    owners = {deployment.name: deployment.owner_uids for deployment in observed.worker_deployments}
    pods = (
        replace(pod, owner_uids=pod.owner_uids | owners[pod.deployment]) if pod.deployment in owners else pod
        for pod in observed.pods
    )
    return replace(observed, pods=tuple(pods))


def dissolve(draft: Draft, group: DaskWorkerGroup, observed: Observed, *, with_pods: bool = False) -> None:
    """Delete the Deployments of a group's workers whose Pods stay without them; or all of them, with their Pods."""
    uid = group.identity.uid
    needed = {pod.deployment for pod in observed.pods if not with_pods and _would_go(pod, uid)}
    going = [
        deployment
        for deployment in observed.worker_deployments
        if uid in deployment.owner_uids and not deployment.terminating and deployment.name not in needed
    ]
    message = f"taken over from an earlier operator, whose Deployments go and whose Pods stay: {len(going)} worker(s)"
    event = Event(group.identity, "Normal", "WorkersTakenOver", message)
    told = () if with_pods else (event,)
    for deployment in going:
        draft.actions.append(Delete(DEPLOYMENTS, deployment.name, deployment.uid, events=told))
        told = ()  # once is enough


def _would_go(pod: Pod, group_uid: str) -> bool:
    """Whether a Pod of a Deployment goes with it, and is a loss."""
    lives = not pod.terminating and not pod.finished
    return lives and all(owner["uid"] != group_uid for owner in pod.owners)
