"""What autoscaling takes for granted of `Scheduler.adaptive_target`, asked of a real scheduler."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import Client, Scheduler, Worker

pytestmark = pytest.mark.unit

# Generous, because it only bounds how long a failure takes to be told.
PATIENCE_SECONDS = 30.0

gate = threading.Event()


def wait(_number: int = 0) -> None:
    gate.wait(PATIENCE_SECONDS)


async def until(holds: Callable[[], object]) -> None:
    """Wait for something that happens by itself."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.01)


class Cluster:
    """A scheduler and a user of it, in this process."""

    def __init__(self, stack: AsyncExitStack, scheduler: Any, user: Any) -> None:
        self.scheduler, self.user = scheduler, user
        self._stack = stack

    async def add_worker(self, **options: Any) -> Any:
        worker = Worker(self.scheduler.address, nthreads=1, **options)
        return await self._stack.enter_async_context(worker)

    @property
    def target(self) -> int:
        return int(self.scheduler.adaptive_target())


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[Cluster]:
    gate.clear()
    quiet = {"temporary_directory": str(tmp_path), "distributed.admin.low-level-log-length": 0}
    with dask.config.set(quiet):
        async with AsyncExitStack() as stack:
            starting = Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0", dashboard=False)
            scheduler = await stack.enter_async_context(starting)
            user = await stack.enter_async_context(Client(scheduler.address, asynchronous=True))
            try:
                yield Cluster(stack, scheduler, user)
            finally:
                gate.set()


async def test_nothing_to_do_and_no_workers_is_a_target_of_none(real: Cluster) -> None:
    assert real.target == 0


async def test_one_task_and_no_workers_is_a_target_of_one(real: Cluster) -> None:
    task = real.user.submit(wait)
    await until(lambda: real.scheduler.queued)
    assert real.target == 1
    task.release()


async def test_task_that_needs_a_resource_counts_while_there_are_no_workers(real: Cluster) -> None:
    task = real.user.submit(wait, resources={"GPU": 1})
    await until(lambda: real.scheduler.unrunnable)
    assert real.target == 1
    task.release()


async def test_idle_workers_are_not_wanted(real: Cluster) -> None:
    await real.add_worker()
    await real.add_worker()
    assert real.target == 0


async def test_worker_with_a_result_is_wanted(real: Cluster) -> None:
    """So an idle cluster is never scaled to zero under a result that somebody holds."""
    await real.add_worker()
    result = real.user.submit(bytes, 1000)
    await result
    assert real.target == 1


async def test_workers_at_work_are_wanted(real: Cluster) -> None:
    for _ in range(3):
        await real.add_worker()
    tasks = real.user.map(wait, range(2), pure=False)
    await until(lambda: sum(bool(w.processing) for w in real.scheduler.workers.values()) == len(tasks))
    assert real.target == 2


async def test_task_that_needs_a_resource_does_not_count_beside_idle_workers(real: Cluster) -> None:
    """Why a group for such tasks beside other groups needs a minimum of one."""
    await real.add_worker()
    await real.add_worker()
    task = real.user.submit(wait, resources={"GPU": 1})
    await until(lambda: real.scheduler.unrunnable)
    assert real.target == 0
    # With one worker that can do it, more of them are asked for.
    gpu = await real.add_worker(resources={"GPU": 1})
    more = real.user.map(wait, range(1000), resources={"GPU": 1}, pure=False)
    await until(lambda: len(real.scheduler.workers[gpu.address].processing) == len(more) + 1)
    assert real.target > len(real.scheduler.workers)
    task.release()
