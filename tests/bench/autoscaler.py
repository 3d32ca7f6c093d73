"""What an autoscaled cluster with nothing to do costs the API server."""

from __future__ import annotations

import asyncio
import time

from tests.bench import arms
from tests.bench.api import DASK, Object
from tests.bench.operators import Operator
from tests.bench.results import Results
from tests.bench.thousand import IDLE_SECONDS_PER_ROUND

CLUSTERS = 10


async def measure(kubernetes: str, ours: Operator, rounds: int, results: Results) -> None:
    """Requests for each cluster in an idle while; watches, and the Lease of the operator itself, are none of them."""
    names = [f"idle-{index}" for index in range(CLUSTERS)]
    async with arms.with_operator(kubernetes, ours, names) as (arm, running):
        for name in names:
            await arms.start_cluster(arm, name, workers=1)
            await arm.api.create(f"{DASK}/daskautoscalers", _autoscaler(name))
        await arms.calm(arm, running)
        for name in names:
            autoscaler = await arm.api.get(f"{DASK}/daskautoscalers/{name}")
            if "desiredReplicas" not in autoscaler.get("status", {}):
                raise RuntimeError(
                    f"the autoscaler of {name} does not scale; its status is {autoscaler.get('status')}"
                )
        for _ in range(rounds):
            mark, started = arm.audit.mark(), time.perf_counter()
            await asyncio.sleep(IDLE_SECONDS_PER_ROUND)
            seconds = time.perf_counter() - started
            requests = [request for request in arm.audit.since(mark) if request.user == running.user]
            for_clusters = sum(request.resource != "leases" for request in requests)
            results.add("autoscaler/requests per cluster", for_clusters / seconds / CLUSTERS, "/s")


def _autoscaler(cluster: str) -> Object:
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskAutoscaler",
        "metadata": {"name": cluster},
        "spec": {"cluster": cluster, "minimum": 1, "maximum": 10},
    }
