"""The pass over a cluster that the present code is part of: its name for the logs, its time, and how it gets on."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from .metrics import RECONCILE_DURATION, RECONCILE_ERRORS


@dataclass(eq=False, slots=True)
class Pass:
    """One pass over one cluster.

    Attributes:
        cluster: whose it is, as ``namespace/name``.
        id: what tells it from other passes.
        moved_at: when it last asked or was answered, by the event loop's clock.
        requests: how many of its requests to the API server are under way.
    """

    cluster: str
    id: str
    moved_at: float
    requests: int = 0


_current: ContextVar[Pass | None] = ContextVar("pass", default=None)
_running: set[Pass] = set()
_waiting: set[str] = set()


def current() -> Pass | None:
    """The pass that the caller is part of, if it is part of one."""
    return _current.get()


def due(cluster: str) -> None:
    """Take note that a cluster is to have a pass."""
    _waiting.add(cluster)


def forget(cluster: str) -> None:
    """Take note that a cluster needs no pass any more."""
    _waiting.discard(cluster)


def waiting() -> int:
    """How many clusters are to have a pass that has not begun."""
    return len(_waiting)


def stuck(limit_seconds: float) -> list[str]:
    """The clusters whose pass waits for longer than that, and not for the API server.

    A request to the API server has a time limit of its own: as long as one is under way the pass gets on, however
    slow the server is.
    """
    now = _clock()
    return sorted(one.cluster for one in _running if not one.requests and now - one.moved_at > limit_seconds)


@contextmanager
def reconciling(cluster: str) -> Iterator[None]:
    """Make what is inside a pass over a cluster (``namespace/name``); it is timed, and what it raises is counted."""
    _waiting.discard(cluster)
    begun = _clock()
    one = Pass(cluster, secrets.token_hex(4), begun)
    token = _current.set(one)
    _running.add(one)
    try:
        yield
    except Exception as error:
        RECONCILE_ERRORS.labels(getattr(error, "reason", "") or type(error).__name__).inc()
        raise
    finally:
        _running.discard(one)
        _current.reset(token)
        RECONCILE_DURATION.observe(_clock() - begun)


@contextmanager
def asking() -> Iterator[str]:
    """Take note that the present pass waits for the API server as long as it is inside; gives whose pass it is."""
    one = _current.get()
    if one is None:
        yield ""
        return
    one.requests += 1
    one.moved_at = _clock()
    try:
        yield one.cluster
    finally:
        one.requests -= 1
        one.moved_at = _clock()


def _clock() -> float:
    return asyncio.get_running_loop().time()
