"""What the metrics tell of a cluster. Pure."""

from __future__ import annotations

from ..metrics import ClusterRow
from ..spec import Body
from .observed import Observed


def cluster_row(observed: Observed) -> ClusterRow | None:
    """The row of a DaskCluster; None for what is left of one, or was made before it."""
    if observed.cluster is None:
        return None
    status = observed.cluster.body.get("status") or {}
    pods = [pod for pod in observed.pods if not pod.terminating and not pod.finished]
    draining = sum(pod.draining_since is not None for pod in pods)
    return ClusterRow(
        phase=status.get("phase") or "",
        conditions={condition["type"]: condition["status"] for condition in status.get("conditions") or ()},
        workers_desired=sum(_replicas(group.body) for group in observed.groups),
        workers_ready=sum(pod.ready for pod in pods),
        workers_draining=draining,
    )


def _replicas(group: Body) -> int:
    worker = (group.get("spec") or {}).get("worker") or {}
    return int(worker.get("replicas") or 0)
