"""Lists of everything that is watched: a watch tells what changes, but not that it has told all there was.

kopf's own first lists are not enough. They may be from a cache that does not know yet what an earlier leader did
last, nothing tells when all of them are read, and of what was deleted while a watch was interrupted they say nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from .. import naming
from ..kube import ApiError, Client
from ..resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_JOBS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
)
from .backoff import backoff_seconds
from .observed import Key, Store

logger = logging.getLogger(__name__)

# A watch can lose an event for good; what it lost is noticed after this long at the latest.
RELIST_SECONDS = 600.0
# Watches that are interrupted together begin anew one after the other: one list will do for all of them.
_PAUSE_SECONDS = 10.0
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 15.0

# Children first, so that an owner missing from a later list is truly gone.
_LISTED = (
    (PODS, naming.CLUSTER_NAME_LABEL),
    (SERVICES, naming.CLUSTER_NAME_LABEL),
    (DEPLOYMENTS, naming.CLUSTER_NAME_LABEL),
    (DASK_WORKER_GROUPS, None),
    (DASK_AUTOSCALERS, None),
    (DASK_CLUSTERS, None),
    (DASK_JOBS, None),
)

Scope = str | None


@dataclass(slots=True)
class _State:
    """Of one scope: when it is listed next, when it was last begun, and how often in a row that failed.

    ``known`` tells that all of it was listed since this process acts on it.
    """

    due_at: float
    begun_at: float = -inf
    failures: int = 0
    known: bool = False


class Listings:
    """Keeps a store complete.

    A scope is a namespace, or None for all of them: as the watches are.

    Args:
        client: the API server.
        store: what is listed is put there, and what is gone is removed.
        listed: is called with each cluster of which a list told something new, and with a scope's every cluster when
            it was listed for the first time since `start`.
    """

    def __init__(self, client: Client, store: Store, listed: Callable[[Key], None]) -> None:
        self._client = client
        self._store = store
        self._listed = listed
        self._states: dict[Scope, _State] = {}
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def watching(self, scope: Scope) -> None:
        """All kinds are watched there from now on, or one of them anew: what happened before is to be listed."""
        state = self._states.setdefault(scope, _State(inf))
        state.due_at = max(_clock(), state.begun_at + _PAUSE_SECONDS)
        self._news.set()

    def not_watching(self, scope: Scope) -> None:
        """That is not watched any more."""
        self._states.pop(scope, None)
        self._news.set()

    def start(self) -> None:
        """List everything, and keep it up."""
        for state in self._states.values():
            state.due_at, state.known = _clock(), False
        if self._task is None:
            self._task = asyncio.create_task(self._keep_up(), name="listings")

    async def stop(self) -> None:
        """List nothing any more; what was known may be out of date from now on."""
        for state in self._states.values():
            state.known = False
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def knows(self, namespace: str) -> bool:
        """Whether everything in a namespace was listed since `start`."""
        return any(self._states[scope].known for scope in (None, namespace) if scope in self._states)

    @property
    def complete(self) -> bool:
        """Whether that is so wherever anything is watched."""
        return all(state.known for state in self._states.values())

    async def _keep_up(self) -> None:
        while True:
            self._news.clear()
            scope = min(self._states, key=lambda scope: self._states[scope].due_at, default=None)
            due_at = self._states[scope].due_at if scope in self._states else inf
            if due_at > _clock():
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due_at if due_at < inf else None):
                        await self._news.wait()
                continue
            await self._list(scope, self._states[scope])

    async def _list(self, scope: Scope, state: _State) -> None:
        state.begun_at = _clock()
        state.due_at = state.begun_at + RELIST_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311
        try:
            news = await self._read(scope)
        except Exception as error:
            state.failures += 1
            pause_seconds = backoff_seconds(
                state.failures, first=_FIRST_BACKOFF_SECONDS, longest=_LONGEST_BACKOFF_SECONDS
            )
            state.due_at = _clock() + pause_seconds
            about = f"namespace {scope}" if scope else "all namespaces"
            expected = isinstance(error, ApiError)
            logger.warning("cannot list the objects of %s: %s", about, error, exc_info=None if expected else error)
            return
        state.failures = 0
        if self._states.get(scope) is not state:
            return  # nobody watches there any more
        if not state.known:
            state.known = True
            news.update(key for key in self._store if scope in (None, key.namespace))
        for key in news:
            self._listed(key)

    async def _read(self, scope: Scope) -> set[Key]:
        """List all kinds; returns the clusters of which something was not known."""
        news: set[Key] = set()
        for resource, selector in _LISTED:
            present: set[str] = set()
            listed_at = 0
            async for bodies, version in self._client.pages(resource, scope, label_selector=selector):
                listed_at = version
                present.update(body["metadata"]["uid"] for body in bodies)
                news.update(key for body in bodies if (key := self._store.put(resource, body)) is not None)
            news |= self._store.sweep(resource, scope, present, version=listed_at)
        return news


def _clock() -> float:
    return asyncio.get_running_loop().time()
