"""Which cluster to reconcile when: each on its own task, so that none waits for another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from .. import passes
from ..kube import Client
from ..metrics import ClusterRow
from ..resources import Resource
from ..scheduler import SchedulerClient
from ..spec import Body
from .census import cluster_row
from .cluster import ClusterReconciler
from .listings import Listings
from .observed import Key, Store, key_of
from .plan import UNLIMITED, Allocation

logger = logging.getLogger(__name__)


class Reconciler:
    """Brings every cluster from what is observed to what is asked for.

    Whoever watches calls `watching` and `changed`; no harm is done by calling either in vain. Nothing is done about a
    cluster before everything in its namespace was listed.

    Of several replicas one leads and the others rest: all of them take note of everything, but only the one that
    leads acts on it.

    Args:
        client: the API server.
        scheduler: the Dask schedulers.
        allocation: how fast workers may be created.
        leading: whether it leads from the start, as one without peers does.
    """

    def __init__(
        self,
        client: Client,
        scheduler: SchedulerClient,
        *,
        allocation: Allocation = UNLIMITED,
        leading: bool = True,
    ) -> None:
        self._client = client
        self._scheduler = scheduler
        self._allocation = allocation
        self._leading = False
        self._store = Store()
        self._listings = Listings(client, self._store, self._reconcile)
        self._clusters: dict[Key, ClusterReconciler] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        if leading:
            self.lead()

    def watching(self, namespace: str | None) -> None:
        """Everything in a namespace (None: in all of them) is watched from now on, or some of it anew."""
        self._listings.watching(namespace)

    def not_watching(self, namespace: str | None) -> None:
        """It is not watched any more."""
        self._listings.not_watching(namespace)

    def changed(self, resource: Resource, body: Body, *, event: str | None) -> None:
        """Take note of a watch event (its type; None for an object that was listed) and reconcile its cluster."""
        if event == "DELETED":
            self._store.remove(resource, body)
        else:
            self._store.put(resource, body)
        key = key_of(resource, body)
        if key is None:
            return
        if self._listings.knows(key.namespace):
            self._reconcile(key)
        elif event == "DELETED" and self._store.observe(key).empty:
            self._store.forget(key)

    @property
    def complete(self) -> bool:
        """Whether it knows all that it needs to act; one that rests needs nothing."""
        return not self._leading or self._listings.complete

    @property
    def leading(self) -> bool:
        """Whether it acts on what it observes."""
        return self._leading

    def lead(self) -> None:
        """Begin to act: list everything, since another one may have acted a moment ago, and reconcile all of it."""
        self._leading = True
        self._listings.start()

    async def rest(self) -> None:
        """Stop acting, whatever is half done, but go on taking note; `lead` begins anew."""
        self._leading = False
        await self._listings.stop()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for key in list(self._clusters):
            self._drop(key)  # a task that had not even begun has not cleaned up

    async def stop(self) -> None:
        """End all work. Whatever is half done is completed after the next start."""
        await self.rest()
        await self._client.close()
        await self._scheduler.close()

    def rows(self) -> Iterator[ClusterRow]:
        """What the metrics tell of each cluster; nothing while it rests, or else every replica would tell it."""
        if self._leading:
            for key in self._store:
                row = cluster_row(self._store.observe(key))
                if row is not None:
                    yield row

    def _reconcile(self, key: Key) -> None:
        if key not in self._clusters:
            self._clusters[key] = ClusterReconciler(
                key, self._client, self._scheduler, self._store, allocation=self._allocation
            )
            self._tasks[key] = asyncio.create_task(self._keep(self._clusters[key]), name=_name(key))
        self._clusters[key].wake()

    async def _keep(self, cluster: ClusterReconciler) -> None:
        key = cluster.key
        try:
            await cluster.run()
        except Exception:
            # Nobody waits for this task; the next event begins another one.
            logger.exception("%s: reconciliation has ended with an error that is not to be", _name(key))
        finally:
            self._drop(key)
            if self._store.observe(key).empty:
                self._store.forget(key)

    def _drop(self, key: Key) -> None:
        self._clusters.pop(key, None)
        self._tasks.pop(key, None)
        passes.forget(_name(key))


def _name(key: Key) -> str:
    return f"{key.namespace}/{key.cluster}"
