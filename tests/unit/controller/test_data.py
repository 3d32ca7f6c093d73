"""Real schedulers, real workers, and results of which there is one copy: however groups shrink, none is lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import dask.config
import pytest

from dask_kubernetes_operator.resources import DASK_CLUSTERS, DASK_WORKER_GROUPS

from . import objects
from .live_dask import LiveDask, LiveSchedulers
from .objects import Object
from .operator import Operator
from .world import World

pytestmark = pytest.mark.unit

CLUSTERS = 10
GROUPS = ("default", "extra")

# Only bounds how long a failure takes to be told.
PATIENCE_SECONDS = 60.0

# Dozens of servers in one process need not watch themselves.
QUIETER = {
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.scheduler.work-stealing": False,
}

# Which group shrinks first, how many workers of each group are left, how it is asked for, and what there is to lose:
# of each group one worker that holds a result, or several, of which that one holds the least or the most.
FIRST = ("default", "extra", "both at once")
LEFT = ((1, 1), (1, 0), (0, 1))
WAYS = ("in one step", "in several steps", "twice in a row", "while it grows")
HOLDERS = ("one holds something", "one holds the least", "one holds the most")
Case = tuple[str, tuple[int, int], str, str]
CASES: list[Case] = list(product(FIRST, LEFT, WAYS, HOLDERS))

_executions: Counter[str] = Counter()


def compute(name: str, size: int) -> bytes:
    """A result; remembers that it was computed."""
    _executions[name] += 1
    return name.encode().ljust(size)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what happens in other processes in real life."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if holds():
                return
            await asyncio.sleep(0.05)


class Cluster:
    """One of the clusters, on which one case is played after the other."""

    def __init__(self, name: str, world: World, live: LiveDask) -> None:
        self.name = name
        self._world = world
        self._live = live
        self._random = random.Random(name)  # noqa: S311
        self._cases = 0

    async def play(self, case: Case) -> None:
        """Grow, compute, shrink, and look at what is left."""
        first, left, way, holders = case
        self._cases += 1
        present = {group: self._random.randint(2, 3) for group in GROUPS}
        for group, replicas in present.items():
            self._scale(group, replicas)
        await self._settled(present)
        results = {name: future for group in GROUPS for name, future in await self._compute(group, holders)}
        order = ("extra", "default") if first == "extra" else GROUPS
        wanted = dict(zip(GROUPS, left, strict=True))
        shrinking = [self._shrink(group, present[group], wanted[group], way) for group in order]
        if first == "both at once":
            await asyncio.gather(*shrinking)
        else:
            for step in shrinking:
                await step
                await asyncio.sleep(self._random.uniform(0, 1))
        await self._settled(wanted)
        await self._check(results)

    async def _compute(self, group: str, holders: str) -> list[tuple[str, Any]]:
        """Have results computed, each by one worker of the group."""
        user = await self._live.user(self.name)
        pods = self._pods(group)
        chosen = self._random.choice(pods)
        size = {"one holds the least": 1_000, "one holds the most": 10_000}.get(holders, 5_000)
        results = []
        for pod in pods:
            if pod is not chosen and holders == "one holds something":
                continue
            name = f"{pod['metadata']['name']}-{self._cases}"
            address = self._live.worker_of(pod).address
            # Computed elsewhere rather than never, should it be lost: that is told by the count.
            place = {"workers": [address], "allow_other_workers": True}
            future = user.submit(compute, name, size if pod is chosen else 5_000, key=name, pure=False, **place)
            await future
            holding = self._live.schedulers[self.name].tasks[name].who_has
            assert [worker.address for worker in holding] == [address]
            results.append((name, future))
        return results

    async def _shrink(self, group: str, present: int, wanted: int, way: str) -> None:
        if way == "in several steps":
            for replicas in range(present - 1, wanted, -1):
                self._scale(group, replicas)
                await asyncio.sleep(self._random.uniform(0, 1))
        elif way == "twice in a row":
            self._scale(group, present - 1)
            await asyncio.sleep(0)
        elif way == "while it grows":
            self._scale(group, present + 2)
            await asyncio.sleep(self._random.uniform(0, 1))
        self._scale(group, wanted)

    async def _check(self, results: dict[str, Any]) -> None:
        for name, future in results.items():
            assert future.status == "finished", f"{name} is lost"
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await future
            assert found.decode().rstrip() == name
            assert _executions[name] == 1, f"{name} was computed {_executions[name]} times"

    def _scale(self, group: str, replicas: int) -> None:
        def change(body: Object) -> None:
            body["spec"]["worker"]["replicas"] = replicas

        self._world.change(DASK_WORKER_GROUPS, f"{self.name}-{group}", change)

    async def _settled(self, wanted: dict[str, int]) -> None:
        """Wait until there are as many workers as asked for, and all of them known to the scheduler."""
        await until(lambda: self._as_wanted(wanted))

    def _as_wanted(self, wanted: dict[str, int]) -> bool:
        pods = [pod for group in GROUPS for pod in self._pods(group)]
        if Counter(pod["metadata"]["labels"]["dask.org/workergroup-name"] for pod in pods) != Counter(
            {f"{self.name}-{group}": replicas for group, replicas in wanted.items() if replicas}
        ):
            return False
        workers = [self._live.workers.get(pod["metadata"]["uid"]) for pod in pods]
        known = self._live.schedulers[self.name].workers
        return len(known) == len(pods) and all(worker and worker.address in known for worker in workers)

    def _pods(self, group: str) -> list[Object]:
        return self._world.live_pods(f"{self.name}-{group}")


@pytest.fixture
def _quieter(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.CRITICAL, "distributed")
    with dask.config.set(QUIETER):
        yield


@pytest.mark.usefixtures("_quieter")
async def test_results_are_neither_lost_nor_computed_again_when_groups_shrink(tmp_path: Path) -> None:
    world = World()
    world.now = lambda: datetime.now(UTC)
    failures: list[str] = []

    async def play(name: str, cases: list[Case], live: LiveDask) -> None:
        await until(lambda: name in live.schedulers)
        cluster = Cluster(name, world, live)
        for case in cases:
            try:
                await cluster.play(case)
            except (AssertionError, TimeoutError, asyncio.CancelledError) as error:
                failures.append(f"{name}, {case}: {type(error).__name__} {error}")
                return

    async with LiveDask(world, tmp_path, seed=0) as live:
        operator = Operator(world, dask=LiveSchedulers(live))
        operator.start()
        async with asyncio.TaskGroup() as playing:
            for number in range(CLUSTERS):
                name = f"c{number}"
                world.create(DASK_CLUSTERS, "default", _fresh(objects.cluster(name, replicas=1)))
                extra = objects.group(f"{name}-extra", cluster_name=name, replicas=1, cluster_replicas=None)
                world.create(DASK_WORKER_GROUPS, "default", _fresh(extra))
                playing.create_task(play(name, CASES[number::CLUSTERS], live))
        await operator.stop()
    assert not failures, "\n".join(failures)


def _fresh(body: Object) -> Object:
    return {**body, "metadata": {"name": body["metadata"]["name"]}}
