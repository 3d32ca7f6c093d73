"""Slots are shared fairly, and none is lost."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from dask_kubernetes_operator.slots import FairSlots

pytestmark = pytest.mark.unit


class Crowd:
    """Parties that take slots, and the order in which they got them."""

    def __init__(self, count: int) -> None:
        self.slots = FairSlots(count)
        self.served: list[str] = []
        self.at_once = self.most = 0
        self.tasks: deque[asyncio.Task[None]] = deque()
        self._all_here = asyncio.Event()

    async def comes(self, party: str, *, times: int = 1) -> None:
        for _ in range(times):
            self.tasks.append(asyncio.create_task(self._take(party)))
            await asyncio.sleep(0)

    async def is_served(self) -> None:
        self._all_here.set()
        await asyncio.wait_for(asyncio.gather(*self.tasks, return_exceptions=True), timeout=10)

    async def _take(self, party: str) -> None:
        async with self.slots.one(party):
            self.served.append(party)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            try:
                await self._all_here.wait()
                await asyncio.sleep(0)
            finally:
                self.at_once -= 1


async def test_who_comes_late_does_not_wait_for_all_that_another_asked_for() -> None:
    crowd = Crowd(2)
    await crowd.comes("giant", times=100)
    for party in "abc":
        await crowd.comes(party, times=3)
    await crowd.is_served()
    assert crowd.most == 2
    assert crowd.served == ["giant"] * 2 + ["giant", "a", "b", "c"] * 3 + ["giant"] * 95


async def test_one_party_alone_is_served_in_its_order() -> None:
    crowd = Crowd(1)
    order: list[int] = []

    async def take(number: int) -> None:
        async with crowd.slots.one("a"):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*map(take, range(10)))
    assert order == list(range(10))


@pytest.mark.parametrize("victim", range(6))
async def test_whoever_is_cancelled_leaves_its_slot_to_others(victim: int) -> None:
    crowd = Crowd(2)
    await crowd.comes("a", times=3)
    await crowd.comes("b", times=3)
    crowd.tasks[victim].cancel()
    await crowd.is_served()
    await crowd.comes("c", times=5)
    await crowd.is_served()
    assert crowd.most == 2
    assert crowd.served.count("c") == 5


async def test_slot_that_was_just_handed_over_is_not_lost_with_its_taker() -> None:
    slots = FairSlots(1)
    held, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with slots.one("a"):
            held.set()
            await release.wait()

    async def take() -> None:
        async with slots.one("b"):
            pass

    holder, waiter = asyncio.create_task(hold()), asyncio.create_task(take())
    await held.wait()
    await asyncio.sleep(0)
    release.set()
    await holder  # it has handed its slot over, and the waiter does not know yet
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    await asyncio.wait_for(take(), timeout=1)
