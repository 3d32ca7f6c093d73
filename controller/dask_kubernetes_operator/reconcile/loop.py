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
from .observed import Key, Store, key_of
from .plan import UNLIMITED, Allocation

logger = logging.getLogger(__name__)

# A watch that begins anew shows every object again: one fresh listing for all of them will do.
_DISTRUST_INTERVAL_SECONDS = 10.0
_SPREAD_SECONDS = 3.0


class Reconciler:
    """Brings every cluster from what is observed to what is asked for.

    Whoever learns of an object calls `note`, and `changed` when it is time to act on it. No harm is done by
    calling either in vain.

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
        self._leading = leading
        self._complete = False
        self._store = Store()
        self._clusters: dict[Key, ClusterReconciler] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._watched: set[str] = set()
        self._distrusted_at = float("-inf")
        self._doubtful = False

    def note(self, resource: Resource, body: Body) -> None:
        """Take note of an object without acting on it yet."""
        self._store.put(resource, body)

    def changed(self, resource: Resource, body: Body, *, event: str | None) -> None:
        """Take note of a watch event (its type; None for an object that was listed) and reconcile its cluster.

        Not called before all that there was at the start is noted.
        """
        self._complete = True
        uid = body["metadata"]["uid"]
        if event is None and uid in self._watched:
            self._distrust()
        if event == "DELETED":
            self._watched.discard(uid)
            self._store.remove(resource, body)
        elif not self._store.gone(body):
            self._watched.add(uid)
            self._store.put(resource, body)
        key = key_of(resource, body)
        if key is None:
            return
        if self._leading:
            self._reconcile(key)
        elif event == "DELETED" and self._store.observe(key).empty:
            self._store.forget(key)

    @property
    def complete(self) -> bool:
        """Whether all that there was at the start is noted; one that has noted nothing has all there is."""
        return self._complete or not any(True for _ in self._store)

    @property
    def leading(self) -> bool:
        """Whether it acts on what it observes."""
        return self._leading

    def lead(self) -> None:
        """Begin to act: reconcile everything known. What is not known yet, `changed` will bring."""
        self._leading = True
        if not self._complete:
            return
        for key in self._store:
            cluster = self._reconcile(key)
            if self._doubtful:
                cluster.relist(within_seconds=_SPREAD_SECONDS)
        self._doubtful = False

    async def rest(self) -> None:
        """Stop acting, whatever is half done, but go on taking note; `lead` begins anew."""
        self._leading = False
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

    def _reconcile(self, key: Key) -> ClusterReconciler:
        if key not in self._clusters:
            self._clusters[key] = ClusterReconciler(
                key, self._client, self._scheduler, self._store, allocation=self._allocation
            )
            self._tasks[key] = asyncio.create_task(self._keep(self._clusters[key]), name=_name(key))
        cluster = self._clusters[key]
        passes.due(_name(key))
        cluster.wake()
        return cluster

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

    def _distrust(self) -> None:
        """List all objects afresh: a watch began anew, and what was deleted meanwhile it will never tell."""
        now = asyncio.get_running_loop().time()
        if now - self._distrusted_at < _DISTRUST_INTERVAL_SECONDS:
            return
        self._distrusted_at = now
        self._watched.clear()
        self._doubtful = not self._leading
        for cluster in self._clusters.values():
            cluster.relist(within_seconds=_SPREAD_SECONDS)


def _name(key: Key) -> str:
    return f"{key.namespace}/{key.cluster}"
