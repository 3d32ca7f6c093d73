"""The reconciler with the world around it: watches that lag, nodes that run, and restarts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any

from dask_kubernetes_operator.reconcile.loop import Reconciler
from dask_kubernetes_operator.resources import Resource
from dask_kubernetes_operator.scheduler import SchedulerClient

from .dask_world import DaskWorld
from .objects import Object
from .world import FakeClient, World

Clock = Callable[[], datetime]


class Operator:
    """A running controller: a `Reconciler` fed by watches, with schedulers that outlive it where ``dask`` is given.

    Events come late, each object's in order. ``deaf_to`` names the kinds of which no event comes at all. One that is
    not ``leading`` watches only.
    """

    def __init__(
        self,
        world: World,
        *,
        seed: int = 0,
        deaf_to: frozenset[str] = frozenset(),
        dask: SchedulerClient | None = None,
        client: FakeClient | None = None,
        leading: bool = True,
    ) -> None:
        self.world = world
        self.client = client or FakeClient(world, seed=seed)
        self.dask = dask if isinstance(dask, DaskWorld) else DaskWorld(world, seed=seed)
        self.reconciler = Reconciler(self.client, dask or self.dask, leading=leading)
        self.deaf_to = deaf_to
        self._random = random.Random(seed)  # noqa: S311
        self._due: dict[str, float] = {}
        self._deliveries: set[asyncio.TimerHandle] = set()

    def start(self) -> None:
        """Show all there is, then follow the changes."""
        for resource, body in self.world.watched():
            self.reconciler.changed(resource, body, event=None)
        self.world.listeners.append(self._deliver)
        self.reconciler.watching(None)

    async def stop(self) -> None:
        """End it, as kopf does: first the watches, then the work."""
        self.world.listeners.remove(self._deliver)
        for delivery in self._deliveries:
            delivery.cancel()
        await asyncio.wait_for(self.reconciler.stop(), timeout=60)

    def _deliver(self, resource: Resource, event: str, body: Object) -> None:
        if resource.kind not in self.deaf_to:
            self._send(resource, event, body)

    def _send(self, resource: Resource, event: str, body: Object, *, late_seconds: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        uid = body["metadata"]["uid"]
        due = loop.time() + self._random.uniform(0.001, 0.3) + late_seconds
        due = max(self._due.get(uid, 0.0) + 0.000_001, due)
        self._due[uid] = due
        self._deliveries.add(loop.call_at(due, lambda: self.reconciler.changed(resource, body, event=event)))


async def play(
    world: World,
    clock: Clock,
    story: Callable[[], Coroutine[Any, Any, None]],
    *,
    starting: bool = True,
) -> None:
    """Run a story while nodes and garbage collection do their part."""
    world.now = clock

    async def live() -> None:
        while True:
            await asyncio.sleep(0.5)
            world.run_nodes(starting=starting)
            world.collect_garbage()

    life = asyncio.create_task(live())
    try:
        await story()
    finally:
        life.cancel()
        with suppress(asyncio.CancelledError):
            await life
