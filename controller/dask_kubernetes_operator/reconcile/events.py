"""Events: what `kubectl describe` shows a person of a transition."""

from __future__ import annotations

import secrets
from datetime import datetime

from ..builders import Object
from ..spec import API_GROUP, API_VERSION
from .conditions import Condition, timestamp
from .observed import CustomResource

_COMPONENT = "dask-kubernetes-operator"


def failure_event(cluster: CustomResource, failure: Condition, now: datetime) -> Object:
    """A Warning on a DaskCluster, with a condition's reason and message."""
    namespace = cluster.body["metadata"]["namespace"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{cluster.name}.{secrets.token_hex(8)}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": f"{API_GROUP}/{API_VERSION}",
            "kind": "DaskCluster",
            "namespace": namespace,
            "name": cluster.name,
            "uid": cluster.uid,
        },
        "type": "Warning",
        "reason": failure.reason,
        "message": failure.message[:1024],
        "firstTimestamp": timestamp(now),
        "lastTimestamp": timestamp(now),
        "count": 1,
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
    }
