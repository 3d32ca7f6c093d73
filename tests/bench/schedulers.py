"""Stand-ins for Dask schedulers: nodes without machines run none, and an operator that misses them does other work.

They speak Dask's RPC by means of ``distributed`` itself, say that every worker is registered whose Pod runs, and have
nothing to do. Each cluster's has an address of its own on the loopback.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from distributed.comm.core import Comm
from distributed.core import Server, Status
from distributed.scheduler import WorkerState

from tests.bench.api import PODS, Api, following, is_running
from tests.bench.control_plane import NAMESPACE, free_ports

_HOSTS = pathlib.Path(__file__).parent / "hosts"
_RPC_PORT = 8786
_ADDRESSES_PER_NET = 250


@asynccontextmanager
async def schedulers(api: Api, clusters: Sequence[str], folder: pathlib.Path) -> AsyncIterator[Mapping[str, str]]:
    """Answer for the schedulers of these clusters.

    Yields:
        The environment in which a Python process finds them.
    """
    hosts = {
        name: f"127.77.{index // _ADDRESSES_PER_NET}.{1 + index % _ADDRESSES_PER_NET}"
        for index, name in enumerate(clusters)
    }
    (port,) = free_ports(1)
    services = {f"{name}-scheduler.{NAMESPACE}.svc:{_RPC_PORT}": (host, port) for name, host in hosts.items()}
    file = folder / "services.json"
    file.write_text(json.dumps(services), encoding="utf-8")
    clusters_by_host = {host: name for name, host in hosts.items()}
    started = time.time()

    async with following(api, PODS, "dask.org/component=worker", is_running) as pods:

        def identity(comm: Comm) -> dict[str, Any]:
            cluster = clusters_by_host[comm.local_address.removeprefix("tcp://").partition(":")[0]]
            return {"type": "Scheduler", "workers": _workers(sorted(pods.names(f"{cluster}-")))}

        def check_idle() -> float:
            return started

        def adaptive_target(**_: object) -> int:
            return 0

        server = Server(
            {"identity": identity, "check_idle": check_idle, "adaptive_target": adaptive_target},
            needs_workdir=False,
        )
        await server
        try:
            await asyncio.gather(*(server.listen(f"tcp://{host}:{port}") for host in hosts.values()))
            yield {"PYTHONPATH": str(_HOSTS), "BENCH_SERVICES": str(file)}
        finally:
            await server.close()


def _workers(names: Sequence[str]) -> dict[str, Any]:
    """What a scheduler says of its workers."""
    workers = {}
    for index, name in enumerate(names):
        address = f"tcp://10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}:40000"
        worker = WorkerState(
            address=address,
            name=name,
            status=Status.running,
            pid=1,
            nthreads=1,
            memory_limit=2**30,
            local_directory="",
            nanny=None,
            server_id=name,
        )
        workers[address] = worker.identity()
    return workers
