"""Real Dask for the Pods of a `World`: a scheduler or a worker in this process for each of them.

A Pod that is deleted has its worker killed, not closed: what only that worker held is gone. A worker that ends by
itself, as one does that was retired, is started anew by its Pod, as the kubelet does it, and has then nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from distributed import Client, Scheduler, Worker
from distributed.core import Status

from dask_kubernetes_operator.resources import PODS, Resource
from dask_kubernetes_operator.scheduler import Endpoint, SchedulerClient
from dask_kubernetes_operator.scheduler import Worker as Known

from .objects import Object
from .world import World

_COMPONENT = "dask.org/component"
_CLUSTER = "dask.org/cluster-name"
_TICK_SECONDS = 0.1
_SLOWEST_START_SECONDS = 0.5


class LiveDask:
    """The nodes of a world, and what runs on them.

    Attributes:
        schedulers: by the name of the cluster.
        workers: by the uid of their Pod.
    """

    def __init__(self, world: World, folder: Path, *, seed: int) -> None:
        self.world = world
        self.schedulers: dict[str, Any] = {}
        self.workers: dict[str, Any] = {}
        self._folder = str(folder)
        self._random = random.Random(seed)  # noqa: S311
        self._clients: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self._begun: set[str] = set()
        self._gone: set[str] = set()

    async def __aenter__(self) -> LiveDask:
        self.world.listeners.append(self._follow)
        self._go(self._live())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.world.listeners.remove(self._follow)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with AsyncExitStack() as stack:
            for scheduler in self.schedulers.values():
                stack.push_async_callback(scheduler.close)
            for worker in self.workers.values():
                stack.push_async_callback(worker.close, executor_wait=False, nanny=False)
            for client in self._clients.values():
                stack.push_async_callback(client.close)
        if self._errors:
            raise BaseExceptionGroup("something went wrong that no case made go wrong", self._errors)

    def worker_of(self, pod: Object) -> Any:
        """The worker that runs in a Pod."""
        return self.workers[pod["metadata"]["uid"]]

    async def user(self, cluster: str) -> Any:
        """A client of one cluster."""
        if cluster not in self._clients:
            self._clients[cluster] = await Client(self.schedulers[cluster].address, asynchronous=True)
        return self._clients[cluster]

    # Nodes

    async def _live(self) -> None:
        while True:
            self.world.run_nodes(starting=False)
            self.world.collect_garbage()
            for pod in self.world.all(PODS):
                if pod["status"]["phase"] == "Pending" and pod["metadata"]["uid"] not in self._begun:
                    self._begun.add(pod["metadata"]["uid"])
                    self._go(self._start(pod))
            await asyncio.sleep(_TICK_SECONDS)

    async def _start(self, pod: Object) -> None:
        cluster = pod["metadata"]["labels"][_CLUSTER]
        if pod["metadata"]["labels"][_COMPONENT] == "scheduler":
            scheduler = Scheduler(host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0")
            self.schedulers[cluster] = await scheduler
        else:
            await self._run_worker(pod)
        if pod["metadata"]["uid"] not in self._gone:
            self.world.start(self.world.get(PODS, pod["metadata"]["name"]))

    async def _run_worker(self, pod: Object) -> None:
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        await asyncio.sleep(self._random.uniform(0, _SLOWEST_START_SECONDS))
        if uid in self._gone:
            return
        scheduler = self.schedulers[pod["metadata"]["labels"][_CLUSTER]]
        worker = Worker(
            scheduler.address,
            name=name,
            nthreads=1,
            memory_limit=0,
            dashboard=False,
            local_directory=self._folder,
        )
        await worker
        if uid in self._gone:
            await _kill(worker)
            return
        self.workers[uid] = worker
        self._go(self._restart(pod, worker))

    async def _restart(self, pod: Object, worker: Any) -> None:
        """A worker that ends by itself is started again, as long as its Pod is there."""
        await worker.finished()
        if self.workers.get(pod["metadata"]["uid"]) is worker:
            await self._run_worker(pod)

    def _follow(self, resource: Resource, event: str, body: Object) -> None:
        uid = body["metadata"]["uid"]
        if resource != PODS or not (event == "DELETED" or body["metadata"].get("deletionTimestamp")):
            return
        self._gone.add(uid)
        worker = self.workers.pop(uid, None)
        if worker is not None:
            self._go(_kill(worker))

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)


class LiveSchedulers(SchedulerClient):
    """The real client, for which the names of Services lead to the schedulers in this process."""

    def __init__(self, dask: LiveDask) -> None:
        super().__init__()
        self._dask = dask

    async def workers(self, at: Endpoint) -> tuple[Known, ...]:
        return await super().workers(self._real(at))

    async def retire(self, at: Endpoint, addresses: Collection[str], *, timeout_seconds: float) -> frozenset[str]:
        return await super().retire(self._real(at), addresses, timeout_seconds=timeout_seconds)

    async def adaptive_target(self, at: Endpoint, *, target_duration_seconds: float | None = None) -> int:
        return await super().adaptive_target(self._real(at), target_duration_seconds=target_duration_seconds)

    async def idle_since(self, at: Endpoint) -> datetime | None:
        return await super().idle_since(self._real(at))

    def _real(self, at: Endpoint) -> Endpoint:
        if ".svc:" not in at.comm:
            return at  # as the client asks itself
        cluster = at.comm.removeprefix("tcp://").split(".")[0].removesuffix("-scheduler")
        scheduler = self._dask.schedulers.get(cluster)
        # Nobody listens at the port 1.
        return Endpoint("http://127.0.0.1:1", scheduler.address if scheduler else "tcp://127.0.0.1:1")


async def _kill(worker: Any) -> None:
    """End a worker as the kernel does: it says nothing to anybody, its connections break."""
    if worker.status in (Status.closed, Status.closing, Status.failed):
        return
    worker.stop()
    if worker.batched_stream is not None:
        worker.batched_stream.abort()
    for comm in list(worker._comms):
        comm.abort()
    with suppress(Exception):
        await worker.close(timeout=1, executor_wait=False, nanny=False, reason="killed")
