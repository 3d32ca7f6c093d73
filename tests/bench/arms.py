"""One arm of a benchmark: a control plane of its own, warmed up, with one operator in it or none."""

from __future__ import annotations

import asyncio
import pathlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from dask_kubernetes.operator import make_cluster_spec, make_worker_spec
from tests.bench import operators
from tests.bench.api import DASK, PATIENCE_SECONDS, PODS, Api, Object, connected, following, is_running, is_there
from tests.bench.audit import AuditLog
from tests.bench.control_plane import ControlPlane, control_plane
from tests.bench.operators import Operator, Running
from tests.bench.schedulers import schedulers

# The scheduler may place 100 Pods at once and 50 a second after that; both arms begin with all of the 100.
SETTLE_SECONDS = 3.0

# An operator that has asked for nothing for so long has nothing left to do.
CALM_SECONDS = 20.0

FOLDER = operators.BUILD / "arms"
IMAGE = "dask"
WORKERS = "dask.org/component=worker"
SCHEDULERS = "dask.org/component=scheduler"


@dataclass(frozen=True)
class Arm:
    """Where something is measured.

    Attributes:
        plane: the control plane.
        api: its API server, as an administrator.
        audit: what its API server was asked for.
    """

    plane: ControlPlane
    api: Api
    audit: AuditLog


@asynccontextmanager
async def without_operator(kubernetes: str) -> AsyncIterator[Arm]:
    """A control plane that has run one Pod."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(dir=FOLDER))
    async with AsyncExitStack() as stack:
        plane = stack.enter_context(control_plane(folder, kubernetes))
        api = await stack.enter_async_context(connected(plane.url, plane.token))
        async with following(api, PODS, WORKERS, is_running) as pods:
            await api.create(PODS, bare_pod("warm-up"))
            await pods.reaches(1)
            await api.delete(f"{PODS}/warm-up")
            await pods.reaches(0)
        yield Arm(plane, api, AuditLog(plane.audit_log))
    shutil.rmtree(folder)  # unless something went wrong, which the logs in it may explain


@asynccontextmanager
async def with_operator(
    kubernetes: str, operator: Operator, clusters: Sequence[str]
) -> AsyncIterator[tuple[Arm, Running]]:
    """A control plane with an operator that has had one cluster with one worker.

    Args:
        kubernetes: its version.
        operator: which one.
        clusters: the names of all clusters that there will be.
    """
    async with (
        without_operator(kubernetes) as arm,
        schedulers(arm.api, ["warm-up", *clusters], arm.plane.folder) as environment,
    ):
        operators.install(operator, arm.plane)
        with operators.running(operator, arm.plane, environment) as running:
            await start_cluster(arm, "warm-up", workers=1)
            await delete_cluster(arm, "warm-up")
            yield arm, running


async def start_cluster(arm: Arm, name: str, *, workers: int) -> None:
    """Create a cluster and wait until its scheduler and its workers run."""
    async with following(arm.api, PODS, f"dask.org/cluster-name={name}", is_running) as pods:
        await arm.api.create(f"{DASK}/daskclusters", dask_cluster(name, workers=workers))
        await pods.reaches(workers + 1)


async def delete_cluster(arm: Arm, name: str) -> None:
    """Delete a cluster and wait until its Pods are gone."""
    async with following(arm.api, PODS, f"dask.org/cluster-name={name}", is_there) as pods:
        await arm.api.delete(f"{DASK}/daskclusters/{name}")
        await pods.reaches(0)


async def scale(arm: Arm, cluster: str, *, workers: int) -> None:
    """Ask for that many workers in a cluster's default group, as ``KubeCluster.scale`` does."""
    await arm.api.patch(f"{DASK}/daskworkergroups/{cluster}-default", {"spec": {"worker": {"replicas": workers}}})


async def settle() -> None:
    """Wait until whatever came before is over."""
    await asyncio.sleep(SETTLE_SECONDS)


async def calm(arm: Arm, running: Running) -> None:
    """Wait until an operator has nothing left to do.

    kube-controller-manager takes minutes to write down that a thousand Deployments are available, and each is news.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            mark = arm.audit.mark()
            await asyncio.sleep(CALM_SECONDS)
            if not any(r.user == running.user and r.resource != "leases" for r in arm.audit.since(mark)):
                return


def dask_cluster(name: str, *, workers: int) -> Object:
    """A DaskCluster as KubeCluster makes it."""
    return make_cluster_spec(name, image=IMAGE, n_workers=workers)


def bare_pod(name: str) -> Object:
    """A worker's Pod that belongs to nobody."""
    labels = {"dask.org/component": "worker"}
    spec = {**make_worker_spec(image=IMAGE)["spec"], "enableServiceLinks": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}
