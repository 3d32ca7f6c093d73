"""The client against a real HTTP server: what it sends, and what it makes of whatever comes back."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from dask_kubernetes_operator import kube, passes
from dask_kubernetes_operator.kube import ApiError, Client, verb_and_resource
from dask_kubernetes_operator.metrics import REGISTRY
from dask_kubernetes_operator.resources import DASK_CLUSTERS, DASK_WORKER_GROUPS, DEPLOYMENTS, LEASES, PODS

pytestmark = pytest.mark.unit

# A context costs more to make than any of the tests that need one.
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class Token:
    """Credentials for one server."""

    server: str
    token: str
    proxy_url: str | None = None
    trust_env: bool = False

    def as_http_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def as_ssl_context(self) -> Any:
        return _TLS


@dataclass
class Request:
    """What arrived at the server."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Server:
    """An API server that answers as it is told, and remembers what it was asked."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    logins: int = 0
    tokens: list[str] = field(default_factory=lambda: ["first", "second", "third"])
    answer: Callable[[Request], Awaitable[web.StreamResponse]] = field(default=None)  # type: ignore[assignment]

    async def login(self) -> Token:
        token = self.tokens[min(self.logins, len(self.tokens) - 1)]
        self.logins += 1
        return Token(self.url, token)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        arrived = Request(
            request.method,
            request.path,
            dict(request.query),
            {key.lower(): value for key, value in request.headers.items()},
            json.loads(text) if text else None,
        )
        self.requests.append(arrived)
        return await self.answer(arrived)

    def answers(self, status: int, body: object) -> None:
        """Answer every request with this."""

        async def answer(_request: Request) -> web.StreamResponse:
            if isinstance(body, str):
                return web.Response(status=status, text=body)
            return web.json_response(body, status=status)

        self.answer = answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    server.answers(200, {})
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


Connect = Callable[[Callable[[], Awaitable[Token]]], Client]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes clients, and closes them whatever becomes of the test."""
    clients: list[Client] = []

    def connect(login: Callable[[], Awaitable[Token]]) -> Client:
        clients.append(Client(login))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()


@pytest.fixture
def client(server: Server, connect: Connect) -> Client:
    return connect(server.login)


async def error_of(request: Awaitable[object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await request
    return caught.value


# What is sent ------------------------------------------------------------------------------------------------------


async def test_create(server: Server, client: Client) -> None:
    server.answers(201, {"kind": "Pod", "metadata": {"uid": "u"}})
    answer = await client.create(PODS, "default", {"kind": "Pod", "metadata": {"name": "w"}})
    assert answer == {"kind": "Pod", "metadata": {"uid": "u"}}
    [request] = server.requests
    assert (request.method, request.path, request.query) == ("POST", "/api/v1/namespaces/default/pods", {})
    assert request.body == {"kind": "Pod", "metadata": {"name": "w"}}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Bearer first"
    assert request.headers["user-agent"] == "dask-kubernetes-operator"


async def test_patch_is_a_merge_patch(server: Server, client: Client) -> None:
    await client.patch(DASK_WORKER_GROUPS, "default", "simple-default", {"spec": {"worker": {"replicas": 3}}})
    [request] = server.requests
    path = "/apis/kubernetes.dask.org/v1/namespaces/default/daskworkergroups/simple-default"
    assert (request.method, request.path) == ("PATCH", path)
    assert request.headers["content-type"] == "application/merge-patch+json"
    assert request.body == {"spec": {"worker": {"replicas": 3}}}


async def test_list_of_operations_is_a_json_patch(server: Server, client: Client) -> None:
    await client.patch(PODS, "default", "w", [{"op": "test", "path": "/metadata/uid", "value": "u"}])
    [request] = server.requests
    assert request.headers["content-type"] == "application/json-patch+json"
    assert request.body == [{"op": "test", "path": "/metadata/uid", "value": "u"}]


async def test_get(server: Server, client: Client) -> None:
    server.answers(200, {"kind": "Lease", "metadata": {"name": "one"}})
    assert await client.get(LEASES, "default", "one") == {"kind": "Lease", "metadata": {"name": "one"}}
    [request] = server.requests
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/one"
    assert (request.method, request.path, request.body) == ("GET", path, None)


async def test_kinds_that_are_served(server: Server, client: Client) -> None:
    server.answers(200, {"kind": "APIResourceList", "resources": [{"name": "daskjobs"}, {"name": "daskjobs/status"}]})
    assert await client.served("kubernetes.dask.org", "v1") == {"daskjobs", "daskjobs/status"}
    assert server.requests[0].path == "/apis/kubernetes.dask.org/v1"


async def test_no_kind_of_an_unknown_group_is_served(server: Server, client: Client) -> None:
    server.answers(404, "404 page not found")
    assert await client.served("kubernetes.dask.org", "v1") == frozenset()


async def test_server_that_does_not_say_what_it_serves(server: Server, client: Client) -> None:
    server.answers(503, {"kind": "Status", "message": "starting"})
    assert (await error_of(client.served("kubernetes.dask.org", "v1"))).code == 503


async def test_right_to_list_namespaces(server: Server, client: Client) -> None:
    server.answers(200, {"kind": "NamespaceList", "items": []})
    assert await client.may_list_namespaces()
    assert (server.requests[0].path, server.requests[0].query) == ("/api/v1/namespaces", {"limit": "1"})
    server.answers(403, {"kind": "Status", "message": "namespaces is forbidden"})
    assert not await client.may_list_namespaces()
    server.answers(500, {"kind": "Status"})
    assert (await error_of(client.may_list_namespaces())).code == 500


async def test_status_goes_to_its_subresource(server: Server, client: Client) -> None:
    await client.patch(DASK_CLUSTERS, "default", "simple", {"status": {}}, subresource="status")
    assert server.requests[0].path == "/apis/kubernetes.dask.org/v1/namespaces/default/daskclusters/simple/status"


async def test_delete_names_the_uid(server: Server, client: Client) -> None:
    await client.delete(DEPLOYMENTS, "default", "simple-scheduler", uid="u")
    [request] = server.requests
    assert (request.method, request.path) == (
        "DELETE",
        "/apis/apps/v1/namespaces/default/deployments/simple-scheduler",
    )
    assert request.body["preconditions"] == {"uid": "u"}
    assert request.body["propagationPolicy"] == "Background"


async def test_delete_names_the_version_when_it_matters(server: Server, client: Client) -> None:
    await client.delete(PODS, "default", "w1", uid="u", version=12)
    assert server.requests[0].body["preconditions"] == {"uid": "u", "resourceVersion": "12"}


async def test_delete_collection_names_the_labels(server: Server, client: Client) -> None:
    await client.delete_collection(PODS, "default", label_selector="a=b,c=d")
    [request] = server.requests
    assert (request.method, request.path) == ("DELETE", "/api/v1/namespaces/default/pods")
    assert request.query == {"labelSelector": "a=b,c=d"}


async def test_event_is_written(server: Server, client: Client) -> None:
    await client.create_event("default", {"kind": "Event"})
    assert (server.requests[0].method, server.requests[0].path) == ("POST", "/api/v1/namespaces/default/events")


async def test_list_returns_items_and_version(server: Server, client: Client) -> None:
    server.answers(200, {"kind": "PodList", "metadata": {"resourceVersion": "1234"}, "items": [{"a": 1}]})
    items, version = await client.list(PODS, "default", label_selector="a=b", field_selector="metadata.name=w")
    assert (items, version) == ([{"a": 1}], 1234)
    [request] = server.requests
    assert (request.method, request.path) == ("GET", "/api/v1/namespaces/default/pods")
    assert request.query == {"labelSelector": "a=b", "fieldSelector": "metadata.name=w"}
    assert request.body is None


async def test_list_of_nothing(server: Server, client: Client) -> None:
    server.answers(200, {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": None})
    assert await client.list(PODS, "default") == ([], 7)
    assert server.requests[0].query == {}


async def test_slash_at_the_end_of_the_servers_address_does_no_harm(server: Server, connect: Connect) -> None:
    async def login() -> Token:
        return Token(f"{server.url}/", "first")

    client = connect(login)
    await client.create(PODS, "default", {})
    assert server.requests[0].path == "/api/v1/namespaces/default/pods"


# What comes back ---------------------------------------------------------------------------------------------------

STATUS = {"kind": "Status", "status": "Failure", "reason": "AlreadyExists", "message": 'pods "w" already exists'}


@pytest.mark.parametrize(
    ("code", "body", "reason", "message"),
    [
        (409, STATUS, "AlreadyExists", 'pods "w" already exists'),
        (403, {"message": "exceeded quota: pods"}, "", "exceeded quota: pods"),
        (502, "<html>Bad Gateway</html>", "", "<html>Bad Gateway</html>"),
        (503, "", "", "Service Unavailable"),
        (500, ["not", "an", "object"], "", '["not", "an", "object"]'),
        (500, {"message": None, "reason": None}, "", '{"message": null, "reason": null}'),
    ],
    ids=["a Status", "no reason", "not JSON", "nothing", "a list", "nulls"],
)
async def test_refusal_is_told_whatever_it_looks_like(
    server: Server, client: Client, code: int, body: object, reason: str, message: str
) -> None:
    server.answers(code, body)
    error = await error_of(client.create(PODS, "default", {}))
    assert (error.code, error.reason, error.message) == (code, reason, message)
    assert str(error) == message


@pytest.mark.parametrize("body", ["<html>a captive portal</html>", "", "[]", "null"])
async def test_success_that_is_not_an_object_is_no_answer(server: Server, client: Client, body: str) -> None:
    server.answers(200, body)
    error = await error_of(client.create(PODS, "default", {}))
    assert (error.code, error.transient) == (0, True)


@pytest.mark.parametrize("body", [{}, {"metadata": {}}, {"metadata": {"resourceVersion": "x"}}])
async def test_list_without_a_version_is_no_answer(server: Server, client: Client, body: object) -> None:
    server.answers(200, body)
    error = await error_of(client.list(PODS, "default"))
    assert (error.code, error.transient) == (0, True)


@pytest.mark.parametrize(
    ("code", "transient"),
    [
        *((code, True) for code in (0, 401, 408, 409, 429, 500, 502, 503, 504)),
        *((code, False) for code in (400, 403, 404, 405, 410, 415, 422)),
    ],
)
def test_only_what_may_go_away_by_itself_is_transient(code: int, transient: bool) -> None:
    assert ApiError(code, "", "").transient is transient


async def test_connection_refused_is_a_transient_error(connect: Connect) -> None:
    async def login() -> Token:
        return Token("http://127.0.0.1:1", "first")

    client = connect(login)
    error = await error_of(client.create(PODS, "default", {}))
    assert (error.code, error.reason, error.transient) == (0, "NoAnswer", True)
    assert "POST /api/v1/namespaces/default/pods" in error.message


async def test_connection_that_breaks_in_the_answer_is_a_transient_error(server: Server, client: Client) -> None:
    async def answer(_request: Request) -> web.StreamResponse:
        raise asyncio.CancelledError  # the server hangs up

    server.answer = answer
    error = await error_of(client.create(PODS, "default", {}))
    assert (error.code, error.transient) == (0, True)


async def test_answer_that_is_not_http_is_a_transient_error(connect: Connect) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    other = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]

    async def login() -> Token:
        return Token(f"http://127.0.0.1:{port}", "first")

    client = connect(login)
    error = await error_of(client.create(PODS, "default", {}))
    assert (error.code, error.transient) == (0, True)
    other.close()
    await other.wait_closed()


async def test_server_that_does_not_answer_is_a_transient_error(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "REQUEST_TIMEOUT_SECONDS", 0.05)

    async def answer(_request: Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.json_response({})

    server.answer = answer
    client = connect(server.login)
    error = await error_of(client.create(PODS, "default", {}))
    assert (error.code, error.transient) == (0, True)
    assert "TimeoutError" in error.message


# Logging in --------------------------------------------------------------------------------------------------------


def accepting(server: Server, *tokens: str, delay_seconds: float = 0.0) -> None:
    """Let only these tokens in."""

    async def answer(request: Request) -> web.StreamResponse:
        await asyncio.sleep(delay_seconds)
        if request.headers["authorization"].removeprefix("Bearer ") in tokens:
            return web.json_response({"metadata": {"uid": "u"}})
        return web.json_response({"reason": "Unauthorized"}, status=401)

    server.answer = answer


async def test_one_login_serves_all_requests(server: Server, client: Client) -> None:
    await asyncio.gather(*(client.create(PODS, "default", {}) for _ in range(20)))
    assert server.logins == 1


async def test_refused_token_is_read_again_once_and_the_request_succeeds(server: Server, client: Client) -> None:
    accepting(server, "second")
    assert await client.create(PODS, "default", {"a": 1}) == {"metadata": {"uid": "u"}}
    assert server.logins == 2
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer first", "Bearer second"]
    assert [request.body for request in server.requests] == [{"a": 1}, {"a": 1}]
    await client.create(PODS, "default", {})
    assert server.logins == 2


async def test_token_that_is_refused_again_is_told(server: Server, client: Client) -> None:
    accepting(server)
    error = await error_of(client.create(PODS, "default", {}))
    assert (error.code, error.transient) == (401, True)
    assert len(server.requests) == 2


async def test_later_request_tries_yet_another_token(server: Server, client: Client) -> None:
    accepting(server, "third")
    assert (await error_of(client.create(PODS, "default", {}))).code == 401
    await client.create(PODS, "default", {})


async def test_token_that_expires_under_load_is_read_again_once_and_no_request_is_lost(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "MAX_CONNECTIONS", 3)
    accepting(server, "second", delay_seconds=0.005)
    client = connect(server.login)
    answers = await asyncio.gather(*(client.create(PODS, "default", {}) for _ in range(12)), return_exceptions=True)
    assert answers == [{"metadata": {"uid": "u"}}] * 12
    assert server.logins == 2


async def test_login_that_fails_is_a_transient_error_and_tried_again(server: Server, connect: Connect) -> None:
    attempts = 0

    async def login() -> Token:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise FileNotFoundError("no token")
        return await server.login()

    client = connect(login)
    error = await error_of(client.create(PODS, "default", {}))
    assert (error.code, error.transient) == (0, True)
    assert "no token" in error.message
    await client.create(PODS, "default", {})


# Connections -------------------------------------------------------------------------------------------------------


async def test_requests_at_once_are_bounded_and_waiting_does_not_use_up_their_time(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(kube, "REQUEST_TIMEOUT_SECONDS", 0.2)
    at_once = most = 0

    async def answer(_request: Request) -> web.StreamResponse:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.03)
        at_once -= 1
        return web.json_response({})

    server.answer = answer
    client = connect(server.login)
    await asyncio.gather(*(client.create(PODS, "default", {}) for _ in range(20)))
    assert most == 2


async def test_cancelled_request_frees_its_place(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "MAX_CONNECTIONS", 1)
    hold = asyncio.Event()

    async def answer(_request: Request) -> web.StreamResponse:
        await hold.wait()
        return web.json_response({})

    server.answer = answer
    client = connect(server.login)
    stuck = asyncio.create_task(client.create(PODS, "default", {}))
    await asyncio.sleep(0.02)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    hold.set()
    await asyncio.wait_for(client.create(PODS, "default", {}), timeout=2)


async def test_closing_is_harmless_before_the_first_request_and_twice(server: Server, connect: Connect) -> None:
    client = connect(server.login)
    await client.close()
    await client.create(PODS, "default", {})
    await client.close()
    await client.close()


# One leader --------------------------------------------------------------------------------------------------------


async def test_who_may_not_write_only_reads(server: Server) -> None:
    client = Client(server.login, may_write=lambda: False)
    server.answers(200, {"metadata": {"resourceVersion": "1"}, "items": []})
    await client.list(PODS, "default")
    await client.get(PODS, "default", "w")
    sent = len(server.requests)
    for write in (
        client.create(PODS, "default", {}),
        client.patch(PODS, "default", "w", {}),
        client.delete(PODS, "default", "w", uid="u"),
        client.delete_collection(PODS, "default", label_selector="a=b"),
        client.create_event("default", {}),
    ):
        error = await error_of(write)
        assert (error.reason, error.transient) == ("NotLeading", True)
    assert len(server.requests) == sent
    await client.close()


async def test_right_to_write_is_asked_for_when_the_request_is_sent_and_not_when_it_is_made(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "MAX_CONNECTIONS", 1)
    leads = True
    first_arrived, may_answer = asyncio.Event(), asyncio.Event()

    async def answer(_request: Request) -> web.StreamResponse:
        first_arrived.set()
        await may_answer.wait()
        return web.json_response({})

    server.answer = answer
    client = Client(server.login, may_write=lambda: leads)
    first = asyncio.create_task(client.create(PODS, "default", {}))
    second = asyncio.create_task(error_of(client.create(PODS, "default", {})))
    await first_arrived.wait()
    leads = False
    may_answer.set()
    await first
    assert (await second).reason == "NotLeading"
    await client.close()


# What is counted ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", {}, ("list", "pods")),
        ("GET", "/api/v1/pods", {"watch": "true"}, ("watch", "pods")),
        ("GET", "/api/v1/namespaces/default/pods", {"limit": "500"}, ("list", "pods")),
        ("GET", "/api/v1/namespaces/default/pods/w", {}, ("get", "pods")),
        ("POST", "/api/v1/namespaces/default/pods", {}, ("create", "pods")),
        ("DELETE", "/api/v1/namespaces/default/pods/w", {}, ("delete", "pods")),
        ("DELETE", "/api/v1/namespaces/default/pods", {}, ("deletecollection", "pods")),
        ("PUT", "/api/v1/namespaces/default/pods/w", {}, ("update", "pods")),
        ("GET", "/api/v1/namespaces", {}, ("list", "namespaces")),
        ("GET", "/api/v1/namespaces/default", {}, ("get", "namespaces")),
        ("PATCH", "/apis/kubernetes.dask.org/v1/namespaces/a/daskjobs/b/status", {}, ("patch", "daskjobs/status")),
        ("GET", "/apis/apps/v1/deployments", {"watch": "true"}, ("watch", "deployments")),
        ("GET", "/apis/kubernetes.dask.org/v1", {}, ("get", "other")),
        ("GET", "/apis", {}, ("get", "other")),
        ("GET", "/api", {}, ("get", "other")),
        ("GET", "/api/v1", {}, ("get", "other")),
        ("GET", "/version", {}, ("get", "other")),
    ],
)
def test_request_in_the_words_of_access_rules(
    method: str, path: str, query: dict[str, str], expected: tuple[str, str]
) -> None:
    assert verb_and_resource(method, path, query) == expected


def requests_counted(**labels: str) -> float:
    return REGISTRY.get_sample_value("dask_operator_api_requests_total", labels) or 0


async def test_requests_are_counted_by_what_came_of_them(server: Server, client: Client) -> None:
    created = {"verb": "create", "resource": "pods", "code": "201"}
    forbidden = {"verb": "patch", "resource": "daskclusters/status", "code": "403"}
    before = requests_counted(**created), requests_counted(**forbidden)
    server.answers(201, {})
    await client.create(PODS, "default", {})
    server.answers(403, {"kind": "Status"})
    await error_of(client.patch(DASK_CLUSTERS, "default", "simple", {}, subresource="status"))
    assert (requests_counted(**created), requests_counted(**forbidden)) == (before[0] + 1, before[1] + 1)


async def test_request_without_an_answer_is_counted(connect: Connect) -> None:
    async def login() -> Token:
        return Token("http://127.0.0.1:1", "")

    unanswered = {"verb": "delete", "resource": "deployments", "code": "none"}
    before = requests_counted(**unanswered)
    await error_of(connect(login).delete(DEPLOYMENTS, "default", "d", uid="u"))
    assert requests_counted(**unanswered) == before + 1


async def test_pass_is_not_stuck_as_long_as_a_request_is_under_way(server: Server, client: Client) -> None:
    arrived, may_answer = asyncio.Event(), asyncio.Event()

    async def answer(_request: Request) -> web.StreamResponse:
        arrived.set()
        await may_answer.wait()
        return web.json_response({})

    server.answer = answer
    with passes.reconciling("default/simple"):
        request = asyncio.create_task(client.create(PODS, "default", {}))
        await arrived.wait()
        assert passes.stuck(limit_seconds=-1) == []
        may_answer.set()
        await request
        assert passes.stuck(limit_seconds=-1) == ["default/simple"]
    assert passes.stuck(limit_seconds=-1) == []


# Lists in pieces ---------------------------------------------------------------------------------------------------


async def test_pages_are_read_to_the_end(server: Server, client: Client) -> None:
    asked: list[dict[str, str]] = []

    async def answer(request: Request) -> web.StreamResponse:
        asked.append({"path": request.path, **request.query})
        page = int(request.query.get("continue", "0"))
        meta = {"resourceVersion": "7", **({"continue": str(page + 1)} if page < 2 else {})}
        return web.json_response({"metadata": meta, "items": [{"metadata": {"uid": f"u{page}"}}]})

    server.answer = answer
    pages = [page async for page in client.pages(PODS, None, label_selector="a")]
    assert pages == [([{"metadata": {"uid": f"u{number}"}}], 7) for number in range(3)]
    assert [query.get("continue") for query in asked] == [None, "1", "2"]
    assert {(query["path"], query["labelSelector"], query["limit"]) for query in asked} == {
        ("/api/v1/pods", "a", "500")
    }
    assert [page async for page in client.pages(PODS, "here")]
    assert asked[-1]["path"] == "/api/v1/namespaces/here/pods"


async def test_page_without_a_version_is_no_answer(server: Server, client: Client) -> None:
    server.answers(200, {"items": []})
    with pytest.raises(ApiError, match="list of pods has no version"):
        _ = [page async for page in client.pages(PODS, None)]
