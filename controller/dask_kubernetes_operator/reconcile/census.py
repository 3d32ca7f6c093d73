"""What the metrics tell of a cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..metrics import ClusterRow
from ..spec import Body
from .observed import Observed

# The conditions that tell of something not as it is to be, and the status in which they do.
_UNSETTLED = {"SchedulerReady": "False", "WorkersReady": "False", "Draining": "True", "Degraded": "True"}


def cluster_row(observed: Observed) -> ClusterRow | None:
    """The row of a DaskCluster; None for what is left of one, or was made before it."""
    if observed.cluster is None:
        return None
    status = observed.cluster.body.get("status") or {}
    pods = [pod for pod in observed.pods if not pod.terminating and not pod.finished]
    draining = sum(pod.draining_since is not None for pod in pods)
    return ClusterRow(
        namespace=observed.key.namespace,
        name=observed.cluster.name,
        phase=status.get("phase") or "",
        conditions={condition["type"]: condition["status"] for condition in _conditions(observed.cluster.body)},
        unsettled=frozenset(
            (condition["type"], condition["reason"])
            for body in (observed.cluster.body, *(group.body for group in observed.groups))
            for condition in _conditions(body)
            # What is suspended is as somebody wanted it.
            if condition["status"] == _UNSETTLED.get(condition["type"]) and condition["reason"] != "Suspended"
        ),
        workers_desired=sum(_replicas(group.body) for group in observed.groups),
        workers_ready=sum(pod.ready for pod in pods),
        workers_draining=draining,
    )


def _conditions(body: Body) -> Sequence[Mapping[str, str]]:
    return (body.get("status") or {}).get("conditions") or ()


def _replicas(group: Body) -> int:
    worker = (group.get("spec") or {}).get("worker") or {}
    return int(worker.get("replicas") or 0)
