"""An event loop whose time passes at once: minutes of back-off in milliseconds, and the same in every run."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class _Leap(selectors.SelectSelector):
    """Instead of waiting for a time, puts the clock forward by it."""

    elapsed_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits, and nothing will ever happen: a wake-up was lost")
        self.elapsed_seconds += max(timeout, 0)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose clock shows only the time that its tasks asked to sleep."""

    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)
        self.errors: list[Mapping[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.errors.append(context))

    def time(self) -> float:
        return self._leap.elapsed_seconds


def simulate(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a story to its end; an exception that nobody looked at fails it."""
    loop = VirtualTimeLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(story())
    assert loop.errors == []
    return result
