"""The API server as the benchmark uses it: plain requests, and collections followed through a watch."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.bench.control_plane import NAMESPACE

Object = dict[str, Any]

DASK = f"/apis/kubernetes.dask.org/v1/namespaces/{NAMESPACE}"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"

# Longer than anything that is measured, an operator that needs ten times the goal included.
PATIENCE_SECONDS = 600.0

# A Pod with its managed fields is a few kilobytes, a DaskCluster a few dozen; the default line is shorter.
_LINE_BYTES = 4 * 1024 * 1024


class Api:
    """Requests of one user over connections that are kept.

    Args:
        session: with the user's credentials, see `connected`.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str) -> Object:
        """Read an object or a collection."""
        return await self._request("GET", path)

    async def create(self, path: str, body: Object) -> Object:
        """Create an object in a collection."""
        return await self._request("POST", path, body)

    async def patch(self, path: str, body: Object) -> Object:
        """Apply a JSON merge patch."""
        return await self._request("PATCH", path, body, "application/merge-patch+json")

    async def delete(self, path: str) -> Object:
        """Delete an object; what it owns goes in the background, as with ``kubectl delete``."""
        return await self._request("DELETE", path, {"propagationPolicy": "Background"})

    async def list(self, path: str, selector: str) -> tuple[list[Object], str]:
        """The objects that a label selector names, and the version at which that was so."""
        collection = await self._request("GET", path, parameters={"labelSelector": selector})
        return collection["items"], collection["metadata"]["resourceVersion"]

    async def watch(self, path: str, selector: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        """What becomes of those objects after that version: the type of the event and the object.

        Raises:
            RuntimeError: the API server no longer has what happened since the watch was interrupted.
        """
        while True:  # a busy API server ends watches whose reader it finds slow
            parameters = {"watch": "true", "labelSelector": selector, "resourceVersion": version}
            async with self._session.get(path, params=parameters) as response:
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise RuntimeError(f"watch of {path}: {event['object'].get('message')}")
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event["type"], event["object"]

    async def _request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        content_type: str = "application/json",
        parameters: Mapping[str, str] | None = None,
    ) -> Object:
        data, headers = None if body is None else json.dumps(body), {"Content-Type": content_type}
        async with self._session.request(method, path, data=data, headers=headers, params=parameters) as response:
            answer: Object = await response.json()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.get('message')}")
        return answer


@asynccontextmanager
async def connected(url: str, token: str) -> AsyncIterator[Api]:
    """The API server as the bearer of a token."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE  # the server signs for itself, and listens on the loopback only
    session = aiohttp.ClientSession(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        connector=aiohttp.TCPConnector(ssl=trusting, limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        read_bufsize=_LINE_BYTES,
    )
    async with session:
        yield Api(session)


class Followed:
    """A collection that is watched: how many of its objects are as asked, and since when.

    Args:
        what: is counted, for people.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._names: set[str] = set()
        self._changed = asyncio.Event()
        self._changed_at = time.perf_counter()

    def take(self, name: str, *, holds: bool) -> None:
        """Note what an event said of an object."""
        (self._names.add if holds else self._names.discard)(name)
        self._changed_at = time.perf_counter()
        self._changed.set()

    def names(self, prefix: str) -> set[str]:
        """The names that begin with the prefix, of those that are as asked."""
        return {name for name in self._names if name.startswith(prefix)}

    async def reaches(self, count: int) -> float:
        """Wait until that many are as asked; returns when they were, in seconds of ``time.perf_counter``.

        Raises:
            RuntimeError: they never were.
        """
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(self._names) != count:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            what = f"{self._what}: {len(self._names)} instead of {count}"
            raise RuntimeError(f"not within {PATIENCE_SECONDS:.0f} s: {what}") from error
        return self._changed_at


@asynccontextmanager
async def following(
    api: Api, path: str, selector: str, holds: Callable[[str, Object], bool]
) -> AsyncIterator[Followed]:
    """Follow the objects that a label selector names, and keep count of those of which something holds.

    Args:
        api: whom to ask.
        path: of the collection.
        selector: a label selector.
        holds: is given the type of each event and its object.
    """
    followed = Followed(f"{path} {selector} {holds.__name__}")
    items, version = await api.list(path, selector)
    for item in items:
        followed.take(item["metadata"]["name"], holds=holds("ADDED", item))

    async def follow() -> None:
        async for kind, resource in api.watch(path, selector, version):
            followed.take(resource["metadata"]["name"], holds=holds(kind, resource))

    # A group, so that a watch that fails ends the wait for what it would have shown.
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(follow())
        try:
            yield followed
        finally:
            task.cancel()


def is_running(kind: str, pod: Object) -> bool:
    """Whether a Pod runs and is to stay."""
    return kind != "DELETED" and pod["status"].get("phase") == "Running" and not _is_leaving(pod)


def is_leaving(kind: str, resource: Object) -> bool:
    """Whether an object is marked as deleted, or gone already."""
    return kind == "DELETED" or _is_leaving(resource)


def is_there(kind: str, _: Object) -> bool:
    """Whether an object exists."""
    return kind != "DELETED"


def _is_leaving(resource: Object) -> bool:
    return "deletionTimestamp" in resource["metadata"]
