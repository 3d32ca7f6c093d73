"""Whether a cluster can be used: its nodes, its service accounts, its DNS."""

from __future__ import annotations

import calendar
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ci.console import Failure, Step
from ci.nodes import Node
from ci.process import output

ANSWER_SECONDS = 10


def kubectl_command(kubeconfig: Path, kubectl: Path, *arguments: str) -> list[str]:
    """A command of kubectl's that does not wait long for an API server which does not answer."""
    return [str(kubectl), "--kubeconfig", str(kubeconfig), "--request-timeout", "5s", *arguments]


def wait(kubeconfig: Path, kubectl: Path, nodes: Sequence[Node], step: Step, limit_seconds: float) -> None:
    """Wait until pods can be made and names resolve.

    :raises Failure: that took longer than the limit.
    """
    deadline = time.monotonic() + limit_seconds
    while not is_ready(kubeconfig, kubectl, nodes):
        if time.monotonic() > deadline:
            raise Failure(f"the cluster is not ready after {limit_seconds:.0f} s; remove it and make it again.")
        step.progress("waiting for the node, the default service account and DNS")
        time.sleep(0.5)


def is_ready(kubeconfig: Path, kubectl: Path, nodes: Sequence[Node]) -> bool:
    """Whether the nodes are Ready, the default service account is there and DNS has a ready pod.

    Nodes that are no containers of the cluster's do not count: tests make fake ones. What was said before a node was
    last started does not count either: the API server repeats it until the kubelet has something new to say.
    """
    started = {node.container: node.started for node in nodes}
    found = _get(kubeconfig, kubectl, "nodes")
    ours = [node for node in found["items"] if node["metadata"]["name"] in started] if found else []
    if not ours or not all(_node_is_ready(node, started[node["metadata"]["name"]]) for node in ours):
        return False
    if not _get(kubeconfig, kubectl, "serviceaccount", "default", "--namespace", "default"):
        return False
    pods = _get(kubeconfig, kubectl, "pods", "--namespace", "kube-system", "--selector", "k8s-app=kube-dns")
    return bool(pods) and any(_pod_is_ready(pod, started) for pod in pods["items"])


def _pod_is_ready(pod: Any, started: Mapping[str, float]) -> bool:
    node = pod["spec"].get("nodeName")
    for container in pod["status"].get("containerStatuses", []):
        running = container["state"].get("running")
        if node in started and container["ready"] and running and _is_after(running["startedAt"], started[node]):
            return True
    return False


def _node_is_ready(node: Any, started: float) -> bool:
    for condition in node["status"].get("conditions", []):
        if condition["type"] == "Ready" and condition["status"] == "True":
            return _is_after(condition["lastHeartbeatTime"], started)
    return False


def _is_after(timestamp: str, moment: float) -> bool:
    """Whether an API timestamp is at or after a moment, in seconds since the epoch."""
    return calendar.timegm(time.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ")) >= int(moment)


def _get(kubeconfig: Path, kubectl: Path, *what: str) -> Any:
    """An object as JSON, or None where it is not there or nothing answers."""
    command = kubectl_command(kubeconfig, kubectl, "get", *what, "--output", "json")
    status, answer, _ = output(command, timeout_seconds=ANSWER_SECONDS)
    return None if status else json.loads(answer)


def describe(kubeconfig: Path, kubectl: Path) -> list[str]:
    """The nodes, a line each, or that nothing answers."""
    status, answer, error = output(
        kubectl_command(kubeconfig, kubectl, "get", "nodes"), timeout_seconds=ANSWER_SECONDS
    )
    return answer.splitlines() if not status else [f"state: the API server does not answer ({error.strip()})"]
