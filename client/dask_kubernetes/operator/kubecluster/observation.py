"""One cluster and its Pods, as they are now: two watches, for as long as somebody looks, and what Events say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

from dask_kubernetes.exceptions import ApiError, ForbiddenError

from ..api import DASK_CLUSTERS, PODS, Api, Object, Resource
from .diagnosis import is_ready
from .labels import of_cluster

# Pods whose Events are asked for at a time, and how long after the last time: a person looks at them.
_EVENTFUL_PODS = 8
_EVENTS_PAUSE_SECONDS = 1.0


class Observation:
    """What there is of one cluster. Use it as a context manager.

    Attributes:
        cluster: the DaskCluster, None if there is none.
        pods: its Pods by name.
        events: what was last said of Pods that are not ready, by name of the Pod.
    """

    def __init__(self, api: Api, namespace: str, name: str, *, with_events: bool = False) -> None:
        """Nothing is asked for yet.

        Args:
            api: the API server.
            namespace: where the cluster is.
            name: its name.
            with_events: whether somebody wants to see Events; there are none where they may not be listed.
        """
        self._api, self._namespace, self._name = api, namespace, name
        self._with_events = with_events
        self._listening: asyncio.Task[None] | None = None
        self._watches: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._synced: set[str] = set()
        self.cluster: Object | None = None
        self.pods: dict[str, Object] = {}
        self.events: dict[str, str] = {}

    @property
    def is_complete(self) -> bool:
        """Whether all there was has been seen."""
        return len(self._synced) == 2

    async def __aenter__(self) -> Self:
        self._watches = [
            asyncio.create_task(self._watch(DASK_CLUSTERS, name=self._name)),
            asyncio.create_task(self._watch(PODS, labels=of_cluster(self._name))),
        ]
        if self._with_events:
            self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = [*self._watches, self._listening] if self._listening else self._watches
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def change(self, *others: asyncio.Future[Any], at_most_seconds: float) -> None:
        """Wait until something changed, or one of some others is done, or time is over.

        Raises:
            ApiError: there is nothing to be seen, as the API server refuses.
        """
        changed: asyncio.Future[Any] = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait(
                [changed, *self._watches, *others],
                timeout=at_most_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            changed.cancel()
        self._changed.clear()
        for watch in self._watches:
            if watch.done():
                watch.result()

    async def _watch(self, resource: Resource, *, name: str | None = None, labels: str | None = None) -> None:
        async for event in self._api.watch(resource, self._namespace, name=name, labels=labels):
            if event.type == "SYNCED":
                self._synced.add(resource.plural)
            else:
                self._take(resource, event.type == "DELETED", event.object)
            self._changed.set()

    async def _listen(self) -> None:
        while True:
            waiting = [name for name, pod in self.pods.items() if not is_ready(pod)]
            for name in waiting[:_EVENTFUL_PODS]:
                try:
                    found = await self._api.events("Pod", name, self._namespace)
                except ForbiddenError:
                    return
                except ApiError:
                    continue  # it may answer the next time; nothing depends on it
                last = str(found[-1].get("message", "")) if found else ""
                if last != self.events.get(name, ""):
                    self.events[name] = last
                    self._changed.set()
            await asyncio.sleep(_EVENTS_PAUSE_SECONDS)

    def _take(self, resource: Resource, is_gone: bool, body: Object) -> None:
        if resource is DASK_CLUSTERS:
            self.cluster = None if is_gone else body
        elif is_gone:
            self.pods.pop(body["metadata"]["name"], None)
        else:
            self.pods[body["metadata"]["name"]] = body


async def gone(api: Api, namespace: str, name: str, *, uid: str) -> None:
    """Wait until the DaskCluster of a uid is not there any more."""
    there: set[str] = set()
    async with aclosing(api.watch(DASK_CLUSTERS, namespace, name=name)) as events:
        async for event in events:
            if event.type == "DELETED":
                there.discard(event.object["metadata"]["uid"])
            elif event.object:
                there.add(event.object["metadata"]["uid"])
            if event.type in ("SYNCED", "DELETED") and uid not in there:
                return


async def within(seconds: float, awaitable: Awaitable[None]) -> bool:
    """Whether something came to its end in time."""
    try:
        async with asyncio.timeout(seconds):
            await awaitable
    except TimeoutError:
        return False
    return True
