"""A process of the operator, kopf aside: how it starts, what it tells probes, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from dask_kubernetes_operator import controller as module
from dask_kubernetes_operator import passes
from dask_kubernetes_operator.controller import WATCHED, Controller, StartError
from dask_kubernetes_operator.metrics import REGISTRY
from dask_kubernetes_operator.plugins import Plugin
from dask_kubernetes_operator.resources import DASK_CLUSTERS
from dask_kubernetes_operator.settings import Election, Settings

from .objects import cluster

pytestmark = pytest.mark.unit

_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

KINDS = ("daskclusters", "daskworkergroups", "daskjobs", "daskautoscalers")
PLUGIN = Plugin("a-plugin", "a-plugin 1.0")
BROKEN_PLUGIN = Plugin("broken", "broken 1.0", "RuntimeError: no database")


@dataclass
class Api:
    """An API server as far as the start needs one."""

    url: str = ""
    served: list[str] = field(default_factory=lambda: list(KINDS))
    status: int = 200
    may_list_namespaces: bool = True
    lease: dict[str, Any] | None = None
    version: int = 0
    asked: list[str] = field(default_factory=list)
    proxy_url: str | None = None
    trust_env: bool = False
    holding: asyncio.Event | None = None

    @property
    def server(self) -> str:
        return self.url

    def as_http_headers(self) -> dict[str, str]:
        return {}

    def as_ssl_context(self) -> Any:
        return _TLS

    async def log_in(self) -> Api:
        return self

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if self.status != 200:
            return web.json_response({"kind": "Status", "message": "not now"}, status=self.status)
        if request.path == "/apis/kubernetes.dask.org/v1":
            return web.json_response({"resources": [{"name": name} for name in self.served]})
        if request.path == "/api/v1/namespaces":
            return web.json_response({"items": []}, status=200 if self.may_list_namespaces else 403)
        if "/leases" in request.path:
            return await self._answer_for_lease(request)
        if self.holding and "limit" in request.query:
            await self.holding.wait()
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    async def _answer_for_lease(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response(self.lease or {"kind": "Status"}, status=200 if self.lease else 404)
        body = await request.json()
        if self.lease and body["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
            return web.json_response({"kind": "Status", "reason": "Conflict"}, status=409)
        return web.json_response(self._store(body["spec"]))

    def held_by(self, holder: str) -> None:
        """The Lease is in somebody's hand for an hour."""
        self._store({"holderIdentity": holder, "leaseDurationSeconds": 3600})

    def _store(self, spec: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = {"metadata": {"resourceVersion": str(self.version)}, "spec": spec}
        return self.lease


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield api
    await runner.cleanup()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here needs the pauses between attempts."""
    monkeypatch.setattr(module, "_FIRST_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(module, "_LAST_RETRY_SECONDS", 0.01)


ELECTION = Election("operators", "the-lease", "this-one")


def controller(api: Api, settings: Settings = Settings(), *plugins: Plugin) -> Controller:  # noqa: B008 - frozen
    def give_up() -> None:
        raise AssertionError("the process would have ended")

    return Controller(settings, plugins, api.log_in, give_up=give_up)


@asynccontextmanager
async def started(one: Controller) -> AsyncIterator[Controller]:
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it has no event of its own
            await asyncio.sleep(0.005)


@dataclass
class Kopf:
    """What kopf does for a controller: it watches, and tells of what it sees."""

    controller: Controller
    api: Api

    async def watch(self, *paths: str) -> Callable[[], Awaitable[None]]:
        """Begin watches; returns what ends them."""
        session = aiohttp.ClientSession(trace_configs=[self.controller.watches.trace()])
        done = asyncio.Event()
        begun = [asyncio.Event() for _ in paths]

        async def follow(path: str, has_begun: asyncio.Event) -> None:
            for query in ("", "?watch=true"):
                async with session.get(self.api.url + path + query) as response:
                    await response.read()
            has_begun.set()
            await done.wait()

        tasks = [asyncio.create_task(follow(path, event)) for path, event in zip(paths, begun, strict=True)]
        async with asyncio.timeout(10):
            await asyncio.gather(*(event.wait() for event in begun))

        async def end() -> None:
            done.set()
            await asyncio.gather(*tasks)
            await session.close()

        return end


def paths(namespace: str | None = None) -> list[str]:
    """The collections that kopf watches."""
    where = f"/namespaces/{namespace}" if namespace else ""
    roots = (
        (f"/apis/{one.group}" if one.group else "/api") + f"/{one.version}{where}/{one.plural}" for one in WATCHED
    )
    return list(roots)


# The start -----------------------------------------------------------------------------------------------------


async def test_start_waits_until_the_kinds_are_served(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.served = ["daskclusters"]
    one = controller(api)
    starting = asyncio.create_task(one.start())
    await eventually(lambda: len(api.asked) > 5)
    assert not starting.done()
    assert list(one.unready()) == [
        "install the custom resource definitions of kubernetes.dask.org; "
        "not served are daskworkergroups, daskjobs, daskautoscalers"
    ]
    assert list(one.ailments()) == []
    assert caplog.text.count("daskworkergroups, daskjobs, daskautoscalers") == 1, "told once"
    api.served = list(KINDS)
    await starting
    await one.stop()


async def test_start_waits_for_an_api_server_that_is_away(api: Api) -> None:
    api.status = 503
    one = controller(api)
    starting = asyncio.create_task(one.start())
    await eventually(lambda: len(api.asked) > 5)
    assert list(one.unready()) == ["the API server does not say which kinds it serves: not now"]
    assert list(one.ailments()) == []
    api.status = 200
    await starting
    await one.stop()


async def test_start_that_is_cancelled_leaves_nothing_behind(api: Api) -> None:
    api.served = []
    one = controller(api, Settings(election=ELECTION))
    starting = asyncio.create_task(one.start())
    await eventually(lambda: len(api.asked) > 5)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    api.served = list(KINDS)
    async with started(controller(api)):
        pass


async def test_port_that_is_taken_stops_the_start_with_a_remedy(api: Api) -> None:
    port = int(api.url.rsplit(":", 1)[1])
    with pytest.raises(StartError, match=f"DASK_OPERATOR_HTTP_PORT: .* port {port}: .*set it to another port"):
        await controller(api, Settings(http_port=port)).start()


async def test_pattern_of_namespaces_needs_the_right_to_list_them(api: Api) -> None:
    api.may_list_namespaces = False
    with pytest.raises(StartError, match=r'--namespace=a,team-\* is a pattern: .*"list" and "watch" on "namespaces"'):
        await controller(api, Settings(namespaces=("a", "team-*"))).start()
    api.may_list_namespaces = True
    async with started(controller(api, Settings(namespaces=("a", "team-*")))):
        pass


@pytest.mark.parametrize("namespaces", [None, ("a", "b")])
async def test_namespaces_that_are_known_by_name_need_no_right_to_list_them(
    api: Api, namespaces: tuple[str, ...] | None
) -> None:
    api.may_list_namespaces = False
    async with started(controller(api, Settings(namespaces=namespaces))):
        assert "GET /api/v1/namespaces" not in api.asked


async def test_health_and_metrics_are_served_before_anything_else(api: Api, unused_tcp_port: int) -> None:
    api.served = []
    one = controller(api, Settings(http_port=unused_tcp_port))
    starting = asyncio.create_task(one.start())
    await eventually(lambda: api.asked)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as session:
        answers = [(await session.get(path)).status for path in ("/healthz", "/readyz", "/metrics")]
    assert answers == [200, 503, 200]
    api.served = list(KINDS)
    await starting
    await one.stop()


# Readiness -----------------------------------------------------------------------------------------------------


async def test_ready_when_all_watches_have_begun_and_all_is_listed(api: Api) -> None:
    async with started(controller(api)) as one:
        assert len(list(one.unready())) == len(WATCHED)
        api.holding = asyncio.Event()
        end = await Kopf(one, api).watch(*paths())
        assert list(one.unready()) == ["objects are being listed"]
        api.holding.set()
        await eventually(lambda: not list(one.unready()))
        await end()


async def test_ready_when_each_namespace_is_watched(api: Api) -> None:
    async with started(controller(api, Settings(namespaces=("a", "b")))) as one:
        end_first = await Kopf(one, api).watch(*paths("a"))
        assert "1 of 2 watches of pods have begun" in list(one.unready())
        end_second = await Kopf(one, api).watch(*paths("b"))
        await eventually(lambda: not list(one.unready()))
        await end_first()
        await end_second()


async def test_ready_when_no_namespace_matches_yet(api: Api) -> None:
    async with started(controller(api, Settings(namespaces=("team-*",)))) as one:
        assert list(one.unready()) == ["0 of 1 watches of namespaces have begun"]
        end = await Kopf(one, api).watch("/api/v1/namespaces")
        assert list(one.unready()) == []
        await end()


async def test_standby_is_ready_too(api: Api) -> None:
    api.held_by("another")
    async with started(controller(api, Settings(election=ELECTION))) as one:
        end = await Kopf(one, api).watch(*paths())
        assert list(one.unready()) == []
        assert not one.reconciler.leading
        await end()


# Liveness ------------------------------------------------------------------------------------------------------


async def test_watch_that_is_silent_is_an_ailment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(controller(api)) as one:
        end = await Kopf(one, api).watch("/api/v1/pods")
        assert list(one.ailments()) == []
        monkeypatch.setattr(module, "_SILENCE_SECONDS", -1.0)
        assert list(one.ailments()) == ["the watch of /api/v1/pods is silent for 0 s"]
        await end()


async def test_pass_that_is_stuck_is_an_ailment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STUCK_SECONDS", -1.0)
    async with started(controller(api)) as one:
        assert list(one.ailments()) == []
        with passes.reconciling("default/simple"):
            assert list(one.ailments()) == ["the reconciliation of default/simple is stuck"]


async def test_election_that_has_ended_is_an_ailment(api: Api) -> None:
    async with started(controller(api, Settings(election=ELECTION))) as one:
        assert list(one.ailments()) == []
        assert one._campaign is not None
        one._campaign.cancel()
        await asyncio.gather(one._campaign, return_exceptions=True)
        assert list(one.ailments()) == ["this replica does not take part in leader election any more"]


async def test_api_server_that_is_away_is_no_ailment(api: Api) -> None:
    async with started(controller(api, Settings(election=ELECTION))) as one:
        api.status = 503
        asked = len(api.asked)
        await eventually(lambda: len(api.asked) > asked)
        assert list(one.ailments()) == []


# Leading -------------------------------------------------------------------------------------------------------


async def test_without_an_election_it_leads(api: Api) -> None:
    async with started(controller(api)) as one:
        assert one.reconciler.leading
        assert not any("leases" in ask for ask in api.asked)


async def test_lead_is_given_back_at_the_end(api: Api) -> None:
    async with started(controller(api, Settings(election=ELECTION))) as one:
        await eventually(lambda: one.reconciler.leading)
        assert api.lease is not None
        assert api.lease["spec"]["holderIdentity"] == "this-one"
    assert api.lease["spec"]["holderIdentity"] == ""
    assert not one.reconciler.leading


async def test_standby_does_not_act(api: Api) -> None:
    api.held_by("another")
    async with started(controller(api, Settings(election=ELECTION))) as one:
        one.reconciler.changed(DASK_CLUSTERS, cluster(), event="ADDED")
        await eventually(lambda: any("leases" in ask for ask in api.asked))
        assert not any(ask.startswith(("POST", "PATCH", "DELETE")) for ask in api.asked)


# Plugins -------------------------------------------------------------------------------------------------------


async def test_with_plugins_a_standby_does_not_watch_before_it_leads(api: Api) -> None:
    api.held_by("another")
    one = controller(api, Settings(election=Election("operators", "the-lease", "this-one", 3.0)), PLUGIN)
    starting = asyncio.create_task(one.start())
    await eventually(lambda: any("leases" in ask for ask in api.asked))
    assert not starting.done()
    assert list(one.unready()) == [], "it stands by, which is all that is asked of it"
    api.held_by("")
    await starting
    assert one.reconciler.leading
    assert list(one.unready()) != [], "now it has to watch"
    await one.stop()


async def test_plugin_that_is_left_out_changes_nothing(api: Api) -> None:
    api.held_by("another")
    async with started(controller(api, Settings(election=ELECTION), BROKEN_PLUGIN)):
        pass


async def test_with_plugins_a_leader_that_loses_the_lead_ends(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    given_up = asyncio.Event()
    election = Election("operators", "the-lease", "this-one", 3.0)
    one = Controller(Settings(election=election), (PLUGIN,), api.log_in, give_up=given_up.set)
    async with started(one):
        api.held_by("another")
        with caplog.at_level(logging.ERROR):
            await asyncio.wait_for(given_up.wait(), timeout=10)
        assert not one.reconciler.leading
    assert "handlers of plugins cannot be paused" in caplog.text


async def test_with_plugins_a_leader_that_is_stopped_ends_as_others_do(api: Api) -> None:
    async with started(controller(api, Settings(election=ELECTION), PLUGIN)) as one:
        assert one.reconciler.leading
    assert api.lease is not None
    assert api.lease["spec"]["holderIdentity"] == ""


# Metrics -------------------------------------------------------------------------------------------------------


async def test_clusters_are_in_the_metrics_as_long_as_it_runs(api: Api) -> None:
    def desired() -> float | None:
        return REGISTRY.get_sample_value("dask_operator_workers_desired")

    assert desired() is None
    async with started(controller(api)):
        assert desired() == 0
    assert desired() is None
