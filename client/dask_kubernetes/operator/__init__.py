"""Clusters and custom resources of the Dask Kubernetes Operator, made from Python."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .arguments import CreateMode
from .specs import (
    make_autoscaler_spec,
    make_cluster_spec,
    make_job_spec,
    make_pod_spec,
    make_scheduler_spec,
    make_worker_group_spec,
    make_worker_spec,
)

if TYPE_CHECKING:
    from .kubecluster import KubeCluster, discover

__all__ = [
    "CreateMode",
    "KubeCluster",
    "discover",
    "make_autoscaler_spec",
    "make_cluster_spec",
    "make_job_spec",
    "make_pod_spec",
    "make_scheduler_spec",
    "make_worker_group_spec",
    "make_worker_spec",
]

# What talks to Kubernetes takes seconds to import, and who makes a manifest does not need it.
_LAZY = {"KubeCluster": ".kubecluster.cluster", "discover": ".kubecluster.discovery"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
