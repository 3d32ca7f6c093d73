"""How long clusters take to start, and how that compares to what the same cluster can do at all."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kopf
import pytest
from pytest_kind import KindCluster

from dask_kubernetes_operator.kube import Client, Credentials
from dask_kubernetes_operator.resources import DASK_CLUSTERS, PODS
from tests.fake_nodes import fake_nodes, placed
from tests.platform import Platform, dask_cluster, eventually, is_ready

from .report import report

pytestmark = pytest.mark.bench

WORKERS = 50
ROUNDS = 5


def test_three_pods(platform: Platform) -> None:
    seconds = []
    for round_ in range(ROUNDS):
        name = f"small-{round_}"
        cluster = dask_cluster(name, platform.dask_image, replicas=2)
        started = time.monotonic()
        platform.apply(cluster)
        eventually(
            "a ready scheduler and two ready workers",
            lambda name=name: [*platform.ready_pods(name), *platform.ready_pods(name, component="scheduler")],  # type: ignore[misc]
            lambda names: len(names) == 3,
            every_seconds=0.05,
        )
        seconds.append(time.monotonic() - started)
        platform.kubectl("delete", "daskcluster", name)
        eventually("nothing left", lambda: platform.find("pods"), lambda pods: not pods)
    report("kubectl apply to 1 scheduler and 2 workers ready", seconds, "s")


@pytest.fixture
def room(kind_cluster: KindCluster, tmp_path: Path) -> Iterator[None]:
    """Nodes with room for all the workers."""
    with fake_nodes(kind_cluster, tmp_path / "kwok.log"):
        yield


@pytest.mark.usefixtures("room")
async def test_50_workers_against_50_bare_pods(platform: Platform) -> None:
    cluster = dask_cluster("large", platform.dask_image, replicas=WORKERS)
    for part in ("scheduler", "worker"):
        cluster["spec"][part]["spec"] = placed(cluster["spec"][part]["spec"])
    pod_spec = cluster["spec"]["worker"]["spec"]
    ours, floor = [], []
    async with api(platform.kind.kubeconfig_path) as client:
        for _ in range(ROUNDS):
            floor.append(await start_bare_pods(client, platform.namespace, pod_spec))
            await gone(client, platform.namespace)
            started = time.monotonic()
            await client.create(DASK_CLUSTERS, platform.namespace, cluster)
            await ready(client, platform.namespace, "dask.org/component=worker")
            ours.append(time.monotonic() - started)
            platform.kubectl("delete", "daskcluster", "large")
            await gone(client, platform.namespace)
    report(f"{WORKERS} workers ready", ours, "s")
    report(f"{WORKERS} bare Pods ready", floor, "s")
    report("ratio", [mine / bare for mine, bare in zip(ours, floor, strict=True)], "x")


async def start_bare_pods(client: Client, namespace: str, pod_spec: dict[str, Any]) -> float:
    """Create the Pods of as many workers with nothing but requests; returns the seconds until all are ready."""
    slots = asyncio.Semaphore(20)

    async def create(index: int) -> None:
        metadata = {"name": f"bare-{index}", "namespace": namespace, "labels": {"bench": "bare"}}
        async with slots:
            await client.create(
                PODS, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec}
            )

    started = time.monotonic()
    await asyncio.gather(*(create(index) for index in range(WORKERS)))
    await ready(client, namespace, "bench=bare")
    seconds = time.monotonic() - started
    await client.delete_collection(PODS, namespace, label_selector="bench=bare")
    return seconds


async def ready(client: Client, namespace: str, selector: str) -> None:
    """Wait until all the workers' Pods are ready."""
    while True:
        pods, _ = await client.list(PODS, namespace, label_selector=selector)
        if sum(map(is_ready, pods)) == WORKERS:
            return
        await asyncio.sleep(0.05)


async def gone(client: Client, namespace: str) -> None:
    """Wait until no Pod is left."""
    while (await client.list(PODS, namespace))[0]:  # noqa: ASYNC110 - nothing here knows when
        await asyncio.sleep(0.2)


@asynccontextmanager
async def api(kubeconfig: Path) -> AsyncIterator[Client]:
    """The API server, as whoever the kubeconfig names."""
    os.environ["KUBECONFIG"] = str(kubeconfig)

    async def login() -> Credentials:
        credentials = kopf.login_with_kubeconfig(settings=kopf.OperatorSettings())
        assert credentials is not None
        return credentials

    client = Client(login)
    try:
        yield client
    finally:
        await client.close()
