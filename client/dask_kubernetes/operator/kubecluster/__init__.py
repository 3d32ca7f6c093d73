"""KubeCluster, and what goes with it."""

from ..arguments import CreateMode
from ..specs import make_cluster_spec, make_scheduler_spec, make_worker_spec
from .cluster import KubeCluster
from .discovery import discover

__all__ = [
    "CreateMode",
    "KubeCluster",
    "discover",
    "make_cluster_spec",
    "make_scheduler_spec",
    "make_worker_spec",
]
