"""A thousand clusters of three Pods: what the operator weighs, how idle it is, and how it comes back.

For every restart a few clusters are changed while the operator is away. It has caught up when all of those have their
worker; what it writes to the others is for nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence

from tests.bench import arms, operators
from tests.bench.api import DASK, PODS, following, is_running
from tests.bench.arms import Arm
from tests.bench.audit import Request
from tests.bench.operators import Operator, Running
from tests.bench.results import Results
from tests.bench.schedulers import schedulers

CLUSTERS = 1000
WORKERS = 2
CHANGED_CLUSTERS = 50

# Five rounds are as long as the operator lets pass at most before it lists everything anew.
IDLE_SECONDS_PER_ROUND = 120.0
_CONCURRENCY = 10
_EVERYTHING = "dask.org/cluster-name"


async def measure(kubernetes: str, ours: Operator, rounds: int, results: Results) -> None:
    """Make the clusters once; then an idle while and a restart for every round."""
    names = [f"c{index:04}" for index in range(CLUSTERS)]
    async with (
        arms.without_operator(kubernetes) as arm,
        schedulers(arm.api, names, arm.plane.folder) as environment,
    ):
        operators.install(ours, arm.plane)
        with operators.running(ours, arm.plane, environment) as running:
            started = time.perf_counter()
            await _create(arm, names)
            results.add("thousand/all running", time.perf_counter() - started, "s")
            await arms.calm(arm, running)
            # In one piece, because what comes every few minutes belongs to it.
            for _ in range(rounds):
                await _idle(arm, running, results)
            results.add("thousand/peak memory", running.peak_resident_mb(), "MB")
        chosen = random.Random(0).sample(names, CHANGED_CLUSTERS * rounds)  # noqa: S311
        for index in range(rounds):
            changed = chosen[index * CHANGED_CLUSTERS : (index + 1) * CHANGED_CLUSTERS]
            pods = CLUSTERS * (WORKERS + 1) + CHANGED_CLUSTERS * (index + 1)
            await _restart(arm, ours, environment, changed, pods, results)


async def _create(arm: Arm, names: Sequence[str]) -> None:
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def create(name: str) -> None:
        async with slots:
            await arm.api.create(f"{DASK}/daskclusters", arms.dask_cluster(name, workers=WORKERS))

    async with following(arm.api, PODS, _EVERYTHING, is_running) as pods:
        await asyncio.gather(*map(create, names))
        await pods.reaches(len(names) * (WORKERS + 1))


async def _idle(arm: Arm, running: Running, results: Results) -> None:
    mark, before = arm.audit.mark(), running.cpu_seconds()
    started = time.perf_counter()
    await asyncio.sleep(IDLE_SECONDS_PER_ROUND)
    seconds = time.perf_counter() - started
    results.add("thousand/idle CPU", (running.cpu_seconds() - before) / seconds * 100, "% of a core")
    requests = sum(request.user == running.user for request in arm.audit.since(mark))
    results.add("thousand/idle requests", requests / seconds, "/s")
    results.add("thousand/memory", running.resident_mb(), "MB")


async def _restart(
    arm: Arm,
    ours: Operator,
    environment: Mapping[str, str],
    changed: Sequence[str],
    expected_pods: int,
    results: Results,
) -> None:
    for name in changed:
        await arms.scale(arm, name, workers=WORKERS + 1)
    mark, started = arm.audit.mark(), time.time()
    with operators.running(ours, arm.plane, environment) as running:
        async with following(arm.api, PODS, _EVERYTHING, is_running) as pods:
            await pods.reaches(expected_pods)
        await arms.calm(arm, running)
        results.add("thousand/memory after a restart", running.resident_mb(), "MB")
    writes = list(_writes(arm, mark, running))
    caught_up_at = max(request.received_at for request in writes if request.resource == "pods")
    results.add("thousand/caught up", caught_up_at - started, "s")
    for_nothing = [request for request in writes if request.name[: len(changed[0])] not in changed]
    results.add("thousand/writes for nothing", len(for_nothing), "")


def _writes(arm: Arm, mark: int, running: Running) -> Iterator[Request]:
    """What the operator wrote, but for the Lease by which it says that it is there."""
    for request in arm.audit.since(mark):
        if request.user == running.user and request.is_write and request.resource != "leases":
            yield request
