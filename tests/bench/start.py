"""One group from 0 to 300 workers, what that costs in requests, and how soon all of it is gone again.

Three arms: our operator, the public one, and the floor, 300 Pods posted by a loop that does nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from statistics import median

from tests.bench import arms
from tests.bench.api import DASK, PODS, connected, following, is_leaving, is_running
from tests.bench.arms import WORKERS, Arm
from tests.bench.control_plane import OPERATOR_NAMESPACE
from tests.bench.operators import Operator
from tests.bench.results import Results

SIZE = 300
CREATED_CLUSTERS = 20

# More at once are not faster, see the notes on method in docs/benchmarks.md.
_FLOOR_CONCURRENCY = 20
# Status updates that follow the last worker count as well.
_AFTERMATH_SECONDS = 5.0


async def measure(kubernetes: str, ours: Operator, peer: Operator, results: Results) -> None:
    """One round of the three arms, one after the other."""
    floor_seconds = await _floor(kubernetes)
    results.add("start/floor", floor_seconds, "s")
    our_seconds = await _operator(kubernetes, ours, results)
    peer_seconds = await _operator(kubernetes, peer, results)
    results.add("start/speed against the peer", peer_seconds / our_seconds, "x")
    results.add("start/speed against the floor", floor_seconds / our_seconds, "x")


async def _floor(kubernetes: str) -> float:
    async with arms.without_operator(kubernetes) as arm:
        # A ServiceAccount as an operator is one: administrators are spared the API server's fairness.
        arm.plane.kubectl("create", "serviceaccount", "floor", "--namespace", OPERATOR_NAMESPACE)
        arm.plane.kubectl(
            *("create", "clusterrolebinding", "floor", "--clusterrole=cluster-admin"),
            f"--serviceaccount={OPERATOR_NAMESPACE}:floor",
        )
        slots = asyncio.Semaphore(_FLOOR_CONCURRENCY)
        async with (
            connected(arm.plane.url, arm.plane.service_account_token("floor")) as api,
            following(arm.api, PODS, WORKERS, is_running) as pods,
        ):

            async def create(index: int) -> None:
                async with slots:
                    await api.create(PODS, arms.bare_pod(f"bare-{index}"))

            await arms.settle()
            started = time.perf_counter()
            await asyncio.gather(*map(create, range(SIZE)))
            return await pods.reaches(SIZE) - started


async def _operator(kubernetes: str, operator: Operator, results: Results) -> float:
    """One operator's arm; returns the seconds until all workers run."""
    small = [f"small-{index}" for index in range(CREATED_CLUSTERS)]
    async with arms.with_operator(kubernetes, operator, ["large", *small]) as (arm, running):
        await arms.start_cluster(arm, "large", workers=0)
        await arms.settle()
        async with following(arm.api, PODS, WORKERS, is_running) as pods:
            mark = arm.audit.mark()
            started = time.perf_counter()
            await arms.scale(arm, "large", workers=SIZE)
            seconds = await pods.reaches(SIZE) - started
        await asyncio.sleep(_AFTERMATH_SECONDS)
        # The Lease by which an operator says that it is there has nothing to do with workers.
        requests = [r for r in arm.audit.since(mark) if r.user == running.user and r.resource != "leases"]
        async with following(arm.api, PODS, WORKERS, is_leaving) as leaving:
            started = time.perf_counter()
            await arm.api.delete(f"{DASK}/daskclusters/large")
            deleted_seconds = await leaving.reaches(SIZE) - started
        results.add(f"start/{operator.name}", seconds, "s")
        results.add(f"start/requests per worker/{operator.name}", len(requests) / SIZE, "")
        results.add(f"start/deletion/{operator.name}", deleted_seconds, "s")
        waits = [wait async for wait in _waits_for_scheduler(arm, small)]
        results.add(f"start/creation p50/{operator.name}", median(waits) * 1000, "ms")
    return seconds


async def _waits_for_scheduler(arm: Arm, names: Sequence[str]) -> AsyncIterator[float]:
    """The seconds from a cluster's creation to the request for its scheduler's Deployment, for cluster by cluster."""
    for name in names:
        mark = arm.audit.mark()
        await arms.start_cluster(arm, name, workers=0)
        created, asked = (
            min(
                request.received_at
                for request in arm.audit.since(mark)
                if (request.verb, request.resource, request.name) == ("create", resource, called)
            )
            for resource, called in (("daskclusters", name), ("deployments", f"{name}-scheduler"))
        )
        yield asked - created
