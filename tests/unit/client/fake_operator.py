"""What the operator and Kubernetes make of a DaskCluster, with a scheduler of Dask that is real."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Scheduler, Worker
from distributed.security import Security

from .fake_api import FakeApi

Object = dict[str, Any]

LABEL = "dask.org/cluster-name"


class FakeOperator:
    """Takes up every DaskCluster of a `FakeApi`, and follows the scale of its default group.

    Attributes:
        takes_up: whether it sees clusters at all.
        pod_status: what to say of a scheduler's Pod that does not run; None for one that runs.
        conditions: of the DaskCluster's status.
        security: how its schedulers and workers talk; None for not encrypted.
        schedulers: the running schedulers, by cluster.
    """

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.takes_up = True
        self.pod_status: Object | None = None
        self.conditions: list[Object] = []
        self.security: Security | None = None
        self.schedulers: dict[str, Scheduler] = {}
        self.workers: dict[str, list[Worker]] = {}
        self.loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        # One thing after the other: a worker that starts while its scheduler closes looks for it for half a minute.
        self._turn = asyncio.Lock()
        self._thread = threading.Thread(target=self.loop.run_forever, name="fake-operator")

    def start(self) -> None:
        self._thread.start()
        self.api.listeners.append(self._hear)

    def stop(self) -> None:
        self.run(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def run(self, work: Any) -> Any:
        """Run a coroutine in the operator's thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def restart_scheduler(self, name: str) -> None:
        """Its Pod is replaced by another one."""
        self.run(self._end(name))
        self.run(self._begin(name))

    def _hear(self, event: str, plural: str, body: Object) -> None:
        name = body["metadata"]["name"]
        if plural == "daskclusters" and event == "ADDED" and self.takes_up:
            self._later(self._make(body))
        elif plural == "daskclusters" and event == "DELETED":
            self._later(self._end(name, for_good=True))
        elif plural == "daskworkergroups" and event != "DELETED":
            self._later(self._scale(body["spec"]["cluster"], name, body["spec"]["worker"].get("replicas", 0)))

    def _later(self, work: Any) -> None:
        async def in_turn() -> None:
            async with self._turn:
                await work

        def begin() -> None:
            task = self.loop.create_task(in_turn())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self.loop.call_soon_threadsafe(begin)

    async def _put(self, plural: str, body: Object) -> None:
        await asyncio.to_thread(self.api.put, plural, body)

    async def _make(self, cluster: Object) -> None:
        name = cluster["metadata"]["name"]
        status = {"phase": "Created", "conditions": self.conditions}
        await asyncio.to_thread(self.api.patch, "daskclusters", name, {"status": status})
        service = {**cluster["spec"]["scheduler"].get("service", {})}
        await self._put("services", {"metadata": {"name": f"{name}-scheduler"}, "spec": service})
        await self._begin(name)
        worker = cluster["spec"]["worker"]
        group = {"metadata": {"name": f"{name}-default"}, "spec": {"cluster": name, "worker": worker}}
        await self._put("daskworkergroups", group)

    async def _begin(self, name: str) -> None:
        number = len([key for key in self.api.objects if key[0] == "pods"])
        pod_name = f"{name}-scheduler-{number}"
        pod: Object = {
            "metadata": {"name": pod_name, "labels": {LABEL: name, "dask.org/component": "scheduler"}},
            "spec": {"containers": [{"name": "scheduler"}]},
            "status": self.pod_status,
        }
        if self.pod_status is None:
            options: Object = {"port": 0, "host": "127.0.0.1", "dashboard_address": ":0", "dashboard": False}
            if self.security is not None:
                options.update(protocol="tls", security=self.security)
            scheduler = await Scheduler(**options)
            self.schedulers[name] = scheduler
            self.api.ports[pod_name, 8786] = scheduler.port
            self.api.logs[pod_name] = "Scheduler at: somewhere\n"
            pod["status"] = {
                "phase": "Running",
                "containerStatuses": [{"name": "scheduler", "state": {"running": {}}}],
                "conditions": [{"type": "Ready", "status": "True"}],
            }
        await self._put("pods", pod)

    async def _scale(self, cluster: str, group: str, replicas: int) -> None:
        there = self.workers.setdefault(group, [])
        while len(there) > replicas:
            await there.pop().close()
        while len(there) < replicas and cluster in self.schedulers:
            name = f"{group}-worker-{len(there)}"
            options: Object = {"name": name, "nthreads": 1, "dashboard_address": ":0", "security": self.security}
            there.append(await Worker(self.schedulers[cluster].address, **options))

    async def _end(self, name: str, *, for_good: bool = False) -> None:
        for key in [key for key in self.api.objects if key[0] == "pods" and key[2].startswith(f"{name}-")]:
            await asyncio.to_thread(self.api.remove, "pods", key[2])
        if for_good:
            for group in [group for group in self.workers if group.startswith(f"{name}-")]:
                for worker in self.workers.pop(group, ()):
                    await worker.close()
                await asyncio.to_thread(self.api.remove, "daskworkergroups", group)
            await asyncio.to_thread(self.api.remove, "services", f"{name}-scheduler")
        scheduler = self.schedulers.pop(name, None)
        if scheduler is not None:
            await scheduler.close()

    async def _stop(self) -> None:
        async with self._turn:
            for name in list(self.schedulers):
                await self._end(name, for_good=True)
        while others := self._tasks - {asyncio.current_task()}:
            await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def at_work(api: FakeApi) -> Iterator[FakeOperator]:
    """An operator that looks after an API server."""
    operator = FakeOperator(api)
    operator.start()
    try:
        yield operator
    finally:
        operator.stop()
