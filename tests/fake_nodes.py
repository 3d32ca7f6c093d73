"""Nodes without machines: kwok answers for their kubelets, so that many Pods can run where there is room for few."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_kind import KindCluster

from ci import tools

ANNOTATION = {"kwok.x-k8s.io/node": "fake"}
LABEL = {"type": "kwok"}
TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
PODS_PER_NODE = 250
STAGES = Path(__file__).with_suffix(".yaml")


@contextmanager
def fake_nodes(kind: KindCluster, log: Path, *, count: int = 2) -> Iterator[None]:
    """Have kwok keep ``count`` nodes of 250 Pods each for as long as the context lasts.

    Only Pods that `placed` puts there run on them.
    """
    # The node controller remembers nodes by name: one that comes back under the name of one deleted long ago, and is
    # looked at before kwok answers for it, is given up at once.
    run = secrets.token_hex(3)
    names = [f"fake-{run}-{index}" for index in range(count)]
    nodes = [_node(name) for name in names]
    command = [
        str(tools.ensure(["kwok"])["kwok"]),
        f"--kubeconfig={kind.kubeconfig_path}",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        f"--config={STAGES}",
    ]
    with log.open("w") as sink, subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT) as kwok:
        try:
            kind.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes}))
            kind.kubectl("wait", "--for=condition=Ready", *(f"node/{name}" for name in names), "--timeout=60s")
            yield
        finally:
            kind.kubectl("delete", "node", *names, "--ignore-not-found")
            kwok.terminate()


def placed(pod_spec: dict[str, Any]) -> dict[str, Any]:
    """A Pod spec that runs on fake nodes and nowhere else."""
    toleration = {key: TAINT[key] for key in ("key", "value", "effect")}
    return {**pod_spec, "nodeSelector": LABEL, "tolerations": [{**toleration, "operator": "Equal"}]}


def _node(name: str) -> dict[str, Any]:
    room = {"cpu": "256", "memory": "1Ti", "pods": str(PODS_PER_NODE)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": ANNOTATION, "labels": {**LABEL, "kubernetes.io/hostname": name}},
        "spec": {"taints": [TAINT]},
        "status": {"allocatable": room, "capacity": room},
    }
