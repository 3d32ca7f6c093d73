"""What the operator calls its objects, and how it marks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLUSTER_NAME = "dask.org/cluster-name"
WORKER_GROUP = "dask.org/workergroup-name"
COMPONENT = "dask.org/component"
CLIENT_SEEN = "kubernetes.dask.org/client-seen"
SCHEDULER, WORKER = "scheduler", "worker"

SCHEDULER_PORT_NAME, DASHBOARD_PORT_NAME = "tcp-comm", "http-dashboard"
SCHEDULER_PORT, DASHBOARD_PORT = 8786, 8787


def of_cluster(name: str) -> str:
    """A label selector for all that belongs to a cluster."""
    return f"{CLUSTER_NAME}={name}"


def of_scheduler(name: str) -> str:
    """A label selector for the Pods of a cluster's scheduler."""
    return f"{CLUSTER_NAME}={name},{COMPONENT}={SCHEDULER}"


def scheduler_service(name: str) -> str:
    """The name of a cluster's Service."""
    return f"{name}-scheduler"


def component(body: Mapping[str, Any]) -> str:
    """What part of a cluster an object is."""
    return str((body["metadata"].get("labels") or {}).get(COMPONENT, ""))


def is_leaving(body: Mapping[str, Any]) -> bool:
    """Whether an object is about to be deleted."""
    return bool(body["metadata"].get("deletionTimestamp"))
