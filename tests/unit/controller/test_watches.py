"""What is known of kopf's watches from their requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import web

from dask_kubernetes_operator.resources import DASK_CLUSTERS, PODS
from dask_kubernetes_operator.watches import Watches

pytestmark = pytest.mark.unit

PODS_PATH = "/api/v1/pods"
CLUSTERS_PATH = "/apis/kubernetes.dask.org/v1/daskclusters"


class Kopf:
    """Lists and watches as kopf does: each collection in a task of its own, over one session."""

    def __init__(self, url: str, watches: Watches) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(trace_configs=[watches.trace()])
        self.tasks: list[asyncio.Task[None]] = []

    def watch(self, path: str) -> tuple[asyncio.Event, asyncio.Task[None]]:
        """Begin a watch; the event tells that it has begun."""
        begun = asyncio.Event()

        async def follow() -> None:
            await self._get(path)
            while True:
                async with self._session.get(self._url + path, params={"watch": "true"}) as response:
                    begun.set()
                    async for _ in response.content:
                        pass

        self.tasks.append(asyncio.create_task(follow()))
        return begun, self.tasks[-1]

    async def _get(self, path: str) -> None:
        async with self._session.get(self._url + path, params={"limit": "500"}) as response:
            await response.read()

    async def list_only(self, path: str) -> None:
        task = asyncio.create_task(self._get(path))
        self.tasks.append(task)
        await task

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self._session.close()


Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def hold_watches(request: web.Request) -> web.StreamResponse:
    """Lists are empty, watches last until they are given up."""
    if "watch" not in request.query:
        return web.json_response({"items": []})
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(asyncio.CancelledError, ConnectionError):
        await asyncio.Event().wait()
    return response


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Serve], Awaitable[str]]]:
    """Starts a server; returns its address."""
    runners: list[web.AppRunner] = []

    async def start(handler: Serve) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def watches() -> Watches:
    return Watches()


Start = Callable[[Serve], Awaitable[str]]


async def test_watch_is_missing_until_it_has_begun(serve: Start, watches: Watches) -> None:
    assert watches.missing([PODS], each=1) == ["0 of 1 watches of pods have begun"]
    kopf = Kopf(await serve(hold_watches), watches)
    begun, _ = kopf.watch(PODS_PATH)
    await begun.wait()
    assert watches.missing([PODS], each=1) == []
    assert watches.missing([PODS, DASK_CLUSTERS], each=1) == ["0 of 1 watches of daskclusters have begun"]
    await kopf.close()


async def test_each_namespace_has_a_watch_of_its_own(serve: Start, watches: Watches) -> None:
    kopf = Kopf(await serve(hold_watches), watches)
    for namespace in ("a", "b"):
        begun, _ = kopf.watch(f"/api/v1/namespaces/{namespace}/pods")
        await begun.wait()
    assert watches.missing([PODS], each=2) == []
    assert watches.missing([PODS], each=3) == ["2 of 3 watches of pods have begun"]
    await kopf.close()


async def test_list_that_is_not_over_is_missing_wherever_it_is(serve: Start, watches: Watches) -> None:
    asked = asyncio.Event()

    async def think(_request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        return web.Response()

    kopf = Kopf(await serve(think), watches)
    kopf.watch("/api/v1/namespaces/new/pods")
    await asked.wait()
    assert watches.missing([PODS], each=0) == ["/api/v1/namespaces/new/pods is not listed yet"]
    await kopf.close()


async def test_refusal_to_list_is_told(serve: Start, watches: Watches) -> None:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"kind": "Status"}, status=403)

    kopf = Kopf(await serve(refuse), watches)

    async def keep_trying() -> None:
        await kopf._get(PODS_PATH)
        refused.set()
        await asyncio.Event().wait()

    refused = asyncio.Event()
    kopf.tasks.append(asyncio.create_task(keep_trying()))
    await refused.wait()
    assert watches.missing([PODS], each=0) == [f"{PODS_PATH} is not listed yet: the API server answers 403"]
    await kopf.close()


async def test_what_plugins_watch_is_not_waited_for(serve: Start, watches: Watches) -> None:
    asked = asyncio.Event()

    async def think(_request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        return web.Response()

    kopf = Kopf(await serve(think), watches)
    kopf.watch("/apis/networking.istio.io/v1/virtualservices")
    await asked.wait()
    assert watches.missing([PODS], each=0) == []
    assert len(watches.silent(-1)) == 1
    await kopf.close()


async def test_watch_that_begins_anew_is_not_missing_meanwhile(serve: Start, watches: Watches) -> None:
    over = asyncio.Event()
    watched = 0

    async def end_first_watch(request: web.Request) -> web.StreamResponse:
        nonlocal watched
        if "watch" in request.query:
            watched += 1
            if watched == 1:
                return web.Response()
            over.set()
        return await hold_watches(request)

    kopf = Kopf(await serve(end_first_watch), watches)
    kopf.watch(PODS_PATH)
    await over.wait()
    assert watches.missing([PODS], each=1) == []
    await kopf.close()


async def test_watch_that_was_given_up_is_neither_missing_nor_silent(serve: Start, watches: Watches) -> None:
    kopf = Kopf(await serve(hold_watches), watches)
    begun, task = kopf.watch("/api/v1/namespaces/deleted/pods")
    await begun.wait()
    assert len(watches.silent(-1)) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert watches.silent(-1) == []
    assert watches.missing([PODS], each=0) == []
    await kopf.close()


async def test_watch_that_asks_for_nothing_any_more_is_silent(serve: Start, watches: Watches) -> None:
    kopf = Kopf(await serve(hold_watches), watches)
    begun, _ = kopf.watch(CLUSTERS_PATH)
    await begun.wait()
    assert watches.silent(60) == []
    assert watches.silent(-1) == [f"the watch of {CLUSTERS_PATH} is silent for 0 s"]
    await kopf.close()


async def test_attempts_without_an_answer_are_no_silence(watches: Watches) -> None:
    kopf = Kopf("http://127.0.0.1:1", watches)
    attempted = asyncio.Event()

    async def keep_trying() -> None:
        for _ in range(2):
            with suppress(aiohttp.ClientError):
                await kopf._get(PODS_PATH)
        attempted.set()
        await asyncio.Event().wait()

    kopf.tasks.append(asyncio.create_task(keep_trying()))
    await attempted.wait()
    assert watches.silent(60) == []
    assert watches.missing([PODS], each=0) == [f"{PODS_PATH} is not listed yet"]
    await kopf.close()


@pytest.mark.parametrize("path", ["/apis", "/apis/kubernetes.dask.org/v1", "/api/v1/namespaces/a/pods/w"])
async def test_other_requests_are_no_watches(serve: Start, watches: Watches, path: str) -> None:
    kopf = Kopf(await serve(hold_watches), watches)
    await kopf.list_only(path)
    assert watches._streams == {}
    await kopf.close()


async def test_scope_is_told_when_all_its_kinds_are_watched_and_when_one_begins_anew(serve: Start) -> None:
    began: list[str | None] = []
    ended: list[str | None] = []
    watches = Watches([PODS, DASK_CLUSTERS], began=began.append, ended=ended.append)
    kopf = Kopf(await serve(hold_watches), watches)
    pods, task = kopf.watch("/api/v1/namespaces/a/pods")
    await pods.wait()
    assert began == [], "one of two"
    clusters, _ = kopf.watch("/apis/kubernetes.dask.org/v1/namespaces/a/daskclusters")
    await clusters.wait()
    assert began == ["a"]
    everywhere, _ = kopf.watch(PODS_PATH)
    await everywhere.wait()
    assert began == ["a"], "another scope"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ended == ["a"]
    anew, _ = kopf.watch("/api/v1/namespaces/a/pods")
    await anew.wait()
    assert began == ["a", "a"]
    await kopf.close()


async def test_watch_that_is_only_renewed_begins_nothing_anew_and_one_that_was_listed_does(serve: Start) -> None:
    began: list[str | None] = []
    watches = Watches([PODS], began=began.append)
    rounds = asyncio.Queue[None]()

    async def end_watches(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"items": []})

    kopf = Kopf(await serve(end_watches), watches)

    async def follow(*queries: str) -> None:
        for query in queries:
            async with kopf._session.get(kopf._url + PODS_PATH + query) as response:
                await response.read()
            rounds.put_nowait(None)
        await asyncio.Event().wait()

    queries = ("?limit=500", "?watch=true", "?watch=true", "?limit=500", "?watch=true")
    kopf.tasks.append(asyncio.create_task(follow(*queries)))
    told = []
    for _ in queries:
        await rounds.get()
        told.append(len(began))
    assert told == [0, 1, 1, 1, 2]
    assert began == [None, None]
    await kopf.close()
