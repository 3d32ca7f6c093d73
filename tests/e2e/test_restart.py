"""The controller ends in the middle of its work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_nodes import fake_nodes, placed
from tests.platform import Platform, dask_cluster, eventually

pytestmark = pytest.mark.e2e

WORKERS = 50


@pytest.fixture
def room(platform: Platform, tmp_path: Path) -> Iterator[None]:
    """Nodes with room for all the workers."""
    with fake_nodes(platform.kind, tmp_path / "kwok.log"):
        yield


@pytest.mark.usefixtures("room")
def test_completes_a_cluster_of_50_with_exactly_50(platform: Platform) -> None:
    cluster = dask_cluster("half", platform.dask_image, replicas=WORKERS)
    for part in ("scheduler", "worker"):
        cluster["spec"][part]["spec"] = placed(cluster["spec"][part]["spec"])
    platform.apply(cluster)
    begun = eventually("some workers", lambda: platform.pods("half"), lambda pods: len(pods) > 0, every_seconds=0.01)
    force = ("--force", "--grace-period=0", "--wait=false")
    platform.kind.kubectl(
        "delete",
        "pods",
        "--selector=app.kubernetes.io/name=dask-kubernetes-operator",
        "--namespace",
        platform.operator_namespace,
        *force,
    )

    eventually("all workers ready", lambda: platform.ready_pods("half"), lambda names: len(names) == WORKERS)
    time.sleep(3)  # whatever the two controllers had under way has arrived by now
    names = {pod["metadata"]["name"] for pod in platform.find("pods", "dask.org/component=worker")}
    assert len(names) == WORKERS
    assert {pod["metadata"]["name"] for pod in begun} <= names, "what was there is kept"
