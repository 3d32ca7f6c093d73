"""A bound on what happens at once, shared fairly: who asks for much does not make others wait."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairSlots:
    """So many slots; when all are taken, those who wait get the next one in turn, and not in the order of asking.

    Args:
        count: how many there are, at least 1.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def one(self, party: str) -> AsyncIterator[None]:
        """Hold a slot; ``party`` is who takes turns with others, however many slots it asks for."""
        await self._take(party)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, party: str) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(party, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()  # it had just been handed over
            raise

    def _give_back(self) -> None:
        while self._waiting:
            party, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[party] = turns  # behind all others
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
