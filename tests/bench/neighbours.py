"""A hundred clusters scale to ten workers each while a neighbour scales to five hundred.

A cluster's wait is the time from the request that scales it to the request for its first worker, both as the API
server received them. The same is measured without the neighbour, because a hundred clusters at once are work of their
own.

The clusters are there before, with their schedulers: making a hundred of those is up to kube-controller-manager,
which takes longer for it than any neighbour could.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tests.bench import arms
from tests.bench.api import DASK, PATIENCE_SECONDS, PODS, following, is_running
from tests.bench.arms import Arm
from tests.bench.audit import Request
from tests.bench.control_plane import ADMINISTRATOR
from tests.bench.operators import Operator, Running
from tests.bench.results import Results

NEIGHBOUR = "giant"
NEIGHBOUR_SIZE = 500
CLUSTERS = 100
CLUSTER_SIZE = 10

_CONCURRENCY = 20


async def measure(kubernetes: str, ours: Operator, results: Results) -> None:
    """One round without the neighbour, and one with it."""
    names = [f"c{index:03}" for index in range(CLUSTERS)]
    for measure, neighbour in (("neighbours/longest wait alone", False), ("neighbours/longest wait", True)):
        async with arms.with_operator(kubernetes, ours, [NEIGHBOUR, *names]) as (arm, running):
            await _create(arm, [NEIGHBOUR, *names])
            await arms.calm(arm, running)
            waits = await _waits(arm, running, names, neighbour=neighbour)
        results.add(measure, max(waits), "s")


async def _create(arm: Arm, names: Sequence[str]) -> None:
    """Have the clusters, each with a scheduler and without workers."""
    async with following(arm.api, PODS, arms.SCHEDULERS, is_running) as schedulers:
        for name in names:
            await arm.api.create(f"{DASK}/daskclusters", arms.dask_cluster(name, workers=0))
        await schedulers.reaches(len(names))


async def _waits(arm: Arm, running: Running, names: Sequence[str], *, neighbour: bool) -> list[float]:
    """The seconds that each cluster waited for the request for its first worker."""
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def scale(name: str) -> None:
        async with slots:
            await arms.scale(arm, name, workers=CLUSTER_SIZE)

    mark = arm.audit.mark()
    if neighbour:
        await arms.scale(arm, NEIGHBOUR, workers=NEIGHBOUR_SIZE)
    await asyncio.gather(*map(scale, names))

    def first(is_meant: Callable[[Request], bool]) -> dict[str, float]:
        """When the first such request for each cluster came in; their names begin with the cluster's."""
        times: dict[str, float] = {}
        for request in filter(is_meant, arm.audit.since(mark)):
            name = request.name.partition("-")[0]
            times[name] = min(request.received_at, times.get(name, request.received_at))
        return times

    def is_scaled(request: Request) -> bool:
        return request.user == ADMINISTRATOR and request.resource == "daskworkergroups"

    def is_new_worker(request: Request) -> bool:
        return request.user == running.user and request.verb == "create" and request.resource == "pods"

    async with asyncio.timeout(PATIENCE_SECONDS):
        while not set(names) <= first(is_new_worker).keys():  # noqa: ASYNC110 - a log wakes nobody
            await asyncio.sleep(1)
    scaled, staffed = first(is_scaled), first(is_new_worker)
    return [staffed[name] - scaled[name] for name in names]
