"""Typed access to Kubernetes: `Api`, the kinds it deals with, and `PortForward`. Importing it takes some seconds."""

from .client import ALL_NAMESPACES, Api, WatchEvent
from .forward import PortForward, check_may_forward
from .resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_JOBS,
    DASK_WORKER_GROUPS,
    EVENTS,
    NODES,
    PODS,
    SERVICES,
    Object,
    Resource,
)

__all__ = [
    "ALL_NAMESPACES",
    "DASK_AUTOSCALERS",
    "DASK_CLUSTERS",
    "DASK_JOBS",
    "DASK_WORKER_GROUPS",
    "EVENTS",
    "NODES",
    "PODS",
    "SERVICES",
    "Api",
    "Object",
    "PortForward",
    "Resource",
    "WatchEvent",
    "check_may_forward",
]
