"""Which cluster to reconcile when: each on its own task, so that none waits for another."""

from __future__ import annotations

import asyncio

from ..kube import Client
from ..resources import Resource
from ..spec import Body
from .cluster import ClusterReconciler
from .observed import Key, Store, key_of

# A watch that begins anew shows every object again: one fresh listing for all of them will do.
_DISTRUST_INTERVAL_SECONDS = 10.0
_SPREAD_SECONDS = 3.0


class Reconciler:
    """Brings every cluster from what is observed to what is asked for.

    Whoever learns of an object calls `note`, and `changed` when it is time to act on it. No harm is done by
    calling either in vain.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._store = Store()
        self._clusters: dict[Key, ClusterReconciler] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._watched: set[str] = set()
        self._distrusted_at = float("-inf")

    def note(self, resource: Resource, body: Body) -> None:
        """Take note of an object without acting on it yet."""
        self._store.put(resource, body)

    def changed(self, resource: Resource, body: Body, *, event: str | None) -> None:
        """Take note of a watch event (its type; None for an object that was listed) and reconcile its cluster."""
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
        if key is not None:
            self._cluster(key).wake()

    async def stop(self) -> None:
        """End all work. Whatever is half done is completed after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def _cluster(self, key: Key) -> ClusterReconciler:
        if key not in self._clusters:
            self._clusters[key] = cluster = ClusterReconciler(key, self._client, self._store)
            self._tasks[key] = asyncio.create_task(self._keep(cluster), name=f"{key.namespace}/{key.cluster}")
        return self._clusters[key]

    async def _keep(self, cluster: ClusterReconciler) -> None:
        try:
            await cluster.run()
        finally:
            del self._clusters[cluster.key]
            del self._tasks[cluster.key]
            if self._store.observe(cluster.key).empty:
                self._store.forget(cluster.key)

    def _distrust(self) -> None:
        """List all objects afresh: a watch began anew, and what was deleted meanwhile it will never tell."""
        now = asyncio.get_running_loop().time()
        if now - self._distrusted_at < _DISTRUST_INTERVAL_SECONDS:
            return
        self._distrusted_at = now
        self._watched.clear()
        for cluster in self._clusters.values():
            cluster.relist(within_seconds=_SPREAD_SECONDS)
