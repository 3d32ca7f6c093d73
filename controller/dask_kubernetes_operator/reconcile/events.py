"""Events: what `kubectl describe` shows a person of a transition."""

from __future__ import annotations

import secrets
from datetime import datetime

from ..builders import Object
from ..spec import API_GROUP, API_VERSION
from .actions import Event
from .conditions import timestamp

_COMPONENT = "dask-kubernetes-operator"
_MAX_MESSAGE_LENGTH = 1024  # of an Event, says its validation


def event_body(event: Event, now: datetime) -> Object:
    """The object to write for a transition of a custom resource."""
    about = event.about
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about.name}.{secrets.token_hex(8)}", "namespace": about.namespace},
        "involvedObject": {
            "apiVersion": f"{API_GROUP}/{API_VERSION}",
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:_MAX_MESSAGE_LENGTH],
        "firstTimestamp": timestamp(now),
        "lastTimestamp": timestamp(now),
        "count": 1,
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
    }
