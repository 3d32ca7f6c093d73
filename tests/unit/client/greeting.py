"""In the place of a scheduler: whoever connects is greeted."""

from __future__ import annotations

import socket
import socketserver
from typing import Any

PATIENCE_SECONDS = 60


class Greeter(socketserver.BaseRequestHandler):
    """Answers every connection with the same line, in the place of a scheduler."""

    def handle(self) -> None:
        """Say hello."""
        self.request.sendall(b"hello\n")


def scheduler_pod(ready: str, *arguments: str) -> dict[str, Any]:
    """The Pod of the scheduler of the cluster foo."""
    labels = {"dask.org/cluster-name": "foo", "dask.org/component": "scheduler"}
    return {
        "metadata": {"name": "foo-scheduler-1", "labels": labels},
        "spec": {"containers": [{"name": "scheduler", "args": ["dask", "scheduler", *arguments]}]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def greeting(address: str) -> bytes:
    """What is answered at an address."""
    host, port = address.split("://")[1].split("/")[0].split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        return connection.recv(100)
