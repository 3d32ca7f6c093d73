"""Dask in memory: what schedulers know of the workers of a `World`, and which worker holds which result.

It knows what the controller relies on: workers register some time after their Pods run, retiring one moves what it
alone holds to another that is not retired itself, and fails where there is none; a retired worker that lives on
registers again under a new address.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection
from datetime import datetime
from urllib.parse import urlsplit

from dask_kubernetes_operator.resources import PODS, Resource
from dask_kubernetes_operator.scheduler import Endpoint, SchedulerClient, SchedulerError, Worker

from .objects import Object
from .world import World

# What a test makes of a request to a scheduler: it may raise, wait, or do nothing.
SchedulerFault = Callable[[str], None]


class DaskWorld(SchedulerClient):
    """All schedulers of a world, and the client that talks to them.

    Attributes:
        lost: results of which the last copy went while their scheduler was running.
        requests: what schedulers were asked, in order.
        target: what `adaptive_target` answers.
        idle_since: what `idle_since` answers.
        away: nobody answers.
        fault: called with the name of each request before it is answered.
    """

    def __init__(self, world: World, *, seed: int = 0) -> None:
        self.world = world
        self.lost: list[str] = []
        self.requests: list[str] = []
        self.target = 0
        self.idle_since_answer: datetime | None = None
        self.away = False
        self.fault: SchedulerFault = lambda _request: None
        self._random = random.Random(seed)  # noqa: S311
        self._holders: dict[str, set[str]] = {}  # result -> uids of Pods
        self._retired: dict[str, int] = {}  # uid of a Pod -> how often its worker was retired
        self._retiring: set[str] = set()  # uids of Pods
        self._absent: set[str] = set()  # uids of Pods whose worker is starting anew
        self._at_work: set[asyncio.Task[frozenset[str]]] = set()
        world.listeners.append(self._follow)

    def place(self, result: str, pod_name: str) -> None:
        """One worker holds the only copy of a result."""
        self._holders[result] = {self.world.get(PODS, pod_name)["metadata"]["uid"]}

    def holders(self, result: str) -> set[str]:
        """The uids of the Pods that hold a result."""
        return set(self._holders.get(result, ()))

    async def workers(self, at: Endpoint) -> tuple[Worker, ...]:
        cluster = await self._asked("workers", at)
        return tuple(self._worker(pod) for pod in self._registered(cluster))

    async def retire(self, at: Endpoint, addresses: Collection[str], *, timeout_seconds: float) -> frozenset[str]:
        cluster = await self._asked("retire", at)
        work = asyncio.create_task(self._move_data(cluster, addresses, timeout_seconds))
        self._at_work.add(work)
        work.add_done_callback(self._end_work)
        # The scheduler goes on with it, also when nobody waits for its answer any more.
        return await asyncio.shield(work)

    async def _move_data(self, cluster: str, addresses: Collection[str], timeout_seconds: float) -> frozenset[str]:
        scheduler = self._scheduler(cluster)
        leaving = [pod for pod in self._registered(cluster) if self._worker(pod).address in addresses]
        uids = {pod["metadata"]["uid"] for pod in leaving} - self._retiring
        self._retiring |= uids
        confirmed = set()
        try:
            for pod in leaving:
                uid = pod["metadata"]["uid"]
                if uid not in uids:
                    continue
                await asyncio.sleep(min(timeout_seconds, self._random.uniform(0.01, 0.5)))
                if scheduler is None or self._scheduler(cluster) != scheduler:
                    raise SchedulerError("SchedulerUnreachable", "the connection was closed")
                if self._hand_over(cluster, uid):
                    confirmed.add(self._worker(pod).address)
                    self._end_process(uid)
        finally:
            self._retiring -= uids
        return frozenset(confirmed)

    async def adaptive_target(self, at: Endpoint, *, target_duration_seconds: float | None = None) -> int:  # noqa: ARG002
        await self._asked("adaptive_target", at)
        return self.target

    async def idle_since(self, at: Endpoint) -> datetime | None:
        await self._asked("idle_since", at)
        return self.idle_since_answer

    async def close(self) -> None:
        """Nothing is open."""

    async def _asked(self, request: str, at: Endpoint) -> str:
        self.requests.append(request)
        await asyncio.sleep(self._random.uniform(0.001, 0.05))
        self.fault(request)
        cluster = (urlsplit(at.comm).hostname or "").split(".")[0].removesuffix("-scheduler")
        if self.away or self._scheduler(cluster) is None:
            raise SchedulerError("SchedulerUnreachable", f"{at.comm} does not answer")
        return cluster

    def _end_work(self, work: asyncio.Task[frozenset[str]]) -> None:
        self._at_work.discard(work)
        if not work.cancelled():
            work.exception()  # told to whoever still waits for it

    def _scheduler(self, cluster: str) -> str | None:
        """The uid of the Pod in which the scheduler runs."""
        running = [
            pod
            for pod in self._pods(cluster, "scheduler")
            if pod["status"]["phase"] == "Running" and not pod["metadata"].get("deletionTimestamp")
        ]
        uid: str | None = running[0]["metadata"]["uid"] if running else None
        return uid

    def _pods(self, cluster: str, component: str) -> list[Object]:
        return [
            pod
            for pod in self.world.all(PODS)
            if pod["metadata"]["labels"].get("dask.org/cluster-name") == cluster
            and pod["metadata"]["labels"].get("dask.org/component") == component
        ]

    def _registered(self, cluster: str) -> list[Object]:
        return [
            pod
            for pod in self._pods(cluster, "worker")
            if pod["status"]["phase"] == "Running"
            and not pod["metadata"].get("deletionTimestamp")
            and pod["metadata"]["uid"] not in self._absent
        ]

    def _worker(self, pod: Object) -> Worker:
        meta, host = pod["metadata"], pod["status"]["podIP"]
        held = sum(meta["uid"] in holders for holders in self._holders.values())
        port = 40000 + self._retired.get(meta["uid"], 0)
        return Worker(
            address=f"tcp://{host}:{port}",
            host=host,
            name=_given_name(pod),
            managed_bytes=held * 1000,
            tasks=0,
            status="closing_gracefully" if meta["uid"] in self._retiring else "running",
        )

    def _hand_over(self, cluster: str, uid: str) -> bool:
        """Move what only this worker holds; whether that was possible."""
        present = [pod["metadata"]["uid"] for pod in self._registered(cluster)]
        others = [other for other in present if other not in self._retiring]
        unique = [result for result, holders in self._holders.items() if holders == {uid}]
        if unique and not others:
            return False
        for result in unique:
            self._holders[result] = {self._random.choice(others)}
        return True

    def _end_process(self, uid: str) -> None:
        """The worker ends; its container starts another one after a while."""
        for holders in self._holders.values():
            holders.discard(uid)
        self._absent.add(uid)
        self._retired[uid] = self._retired.get(uid, 0) + 1
        asyncio.get_running_loop().call_later(2.0, self._absent.discard, uid)

    def _follow(self, resource: Resource, event: str, body: Object) -> None:
        meta = body["metadata"]
        if resource != PODS or not (event == "DELETED" or meta.get("deletionTimestamp")):
            return
        if meta["labels"].get("dask.org/component") == "scheduler":
            self._holders.clear()  # whatever it knew is lost, and nobody's fault but its own
            return
        for result, holders in list(self._holders.items()):
            holders.discard(meta["uid"])
            if not holders:
                del self._holders[result]
                self.lost.append(result)


def _given_name(pod: Object) -> str:
    """A worker's name is in its environment: that of its Pod, unless another operator made it."""
    containers = pod["spec"].get("containers") or [{}]
    given = [variable["value"] for variable in containers[0].get("env", ()) if variable["name"] == "DASK_WORKER_NAME"]
    return str(given[0] if given else pod["metadata"]["name"])
