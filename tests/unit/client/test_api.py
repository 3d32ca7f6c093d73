"""Requests to the API server: what is sent, and what is made of whatever comes back."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dask_kubernetes.exceptions import (
    ApiError,
    ApiUnreachableError,
    ConflictError,
    CredentialsError,
    ForbiddenError,
    InvalidObjectError,
    NotFoundError,
    NotInstalledError,
    QuotaExceededError,
    SchedulerConnectionError,
    UnauthorizedError,
    ValidationError,
)
from dask_kubernetes.operator.api import (
    ALL_NAMESPACES,
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_WORKER_GROUPS,
    NODES,
    PODS,
    Api,
    PortForward,
    WatchEvent,
    login,
)
from dask_kubernetes.operator.api.errors import error_of

from .fake_api import FakeApi, kubeconfig, refusal

pytestmark = pytest.mark.unit


@pytest.fixture
async def api(server: FakeApi) -> AsyncIterator[Api]:
    async with await Api.connect() as api:
        assert server.url == api.server
        yield api


def cluster(name: str, **labels: str) -> dict[str, object]:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"worker": {"replicas": 1}}}


# Objects


async def test_objects_come_and_go(api: Api, server: FakeApi) -> None:
    made = await api.create(DASK_CLUSTERS, cluster("a", owner="me"))
    await api.create(DASK_CLUSTERS, cluster("b"), "elsewhere")
    assert made["metadata"]["uid"]
    assert (await api.get(DASK_CLUSTERS, "a"))["metadata"]["labels"] == {"owner": "me"}
    assert [found["metadata"]["name"] for found in await api.list(DASK_CLUSTERS)] == ["a"]
    assert len(await api.list(DASK_CLUSTERS, ALL_NAMESPACES)) == 2
    assert await api.list(DASK_CLUSTERS, labels="owner=you") == []
    await api.patch(DASK_CLUSTERS, "a", {"spec": {"idleTimeout": 5}})
    await api.scale(DASK_CLUSTERS, "a", 7)
    assert server.objects["daskclusters", "default", "a"]["spec"] == {"worker": {"replicas": 7}, "idleTimeout": 5}
    await api.delete(DASK_CLUSTERS, "a")
    await api.delete(DASK_CLUSTERS, "a")
    assert server.named("daskclusters") == ["b"]


async def test_a_list_has_kinds_and_comes_in_pages(
    api: Api, server: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dask_kubernetes.operator.api.client.PAGE", 2)
    for number in range(5):
        server.put("pods", {"metadata": {"name": f"pod-{number}"}})
    found = await api.list(PODS)
    assert [pod["metadata"]["name"] for pod in found] == [f"pod-{number}" for number in range(5)]
    assert {pod["kind"] for pod in found} == {"Pod"}
    assert server.count("list", "/pods") == 3


async def test_another_object_of_the_same_name_is_not_deleted(api: Api, server: FakeApi) -> None:
    server.put("daskclusters", cluster("a"))
    with pytest.raises(ConflictError):
        await api.delete(DASK_CLUSTERS, "a", uid="that of another one")
    assert server.named("daskclusters") == ["a"]


async def test_creating_twice_is_a_conflict(api: Api) -> None:
    await api.create(DASK_CLUSTERS, cluster("a"))
    with pytest.raises(ConflictError, match=r"cannot create daskclusters/a in the namespace 'default': .*exists"):
        await api.create(DASK_CLUSTERS, cluster("a"))


async def test_what_may_be_done_is_asked_and_not_tried(api: Api, server: FakeApi) -> None:
    server.refusals["delete", "daskclusters"] = refusal(403, "Forbidden", "no")
    assert await api.may("create", DASK_CLUSTERS)
    assert not await api.may("delete", DASK_CLUSTERS)
    assert await api.may("list", NODES)
    assert server.count("delete") == 0


# Refusals


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidObjectError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, InvalidObjectError),
        (418, ApiError),
        (500, ApiError),
    ],
)
def test_a_refusal_says_what_was_asked(status: int, kind: type[ApiError]) -> None:
    body = json.dumps(refusal(status, "Because", "that is why", {"name": "a"})[1])
    error = error_of(status, body, request="get daskclusters/a in the namespace 'x'")
    assert type(error) is kind
    assert (error.status, error.reason) == (status, "Because")
    assert str(error).startswith("cannot get daskclusters/a in the namespace 'x': ")


@pytest.mark.parametrize("body", ["", "<html>bad gateway</html>", b"\xff\xfe", "[]", "null", '{"message": null}'])
def test_a_refusal_of_something_else_than_an_api_server_is_told(body: bytes | str) -> None:
    assert "cannot list pods: " in str(error_of(502, body, request="list pods"))


def test_the_missing_verb_is_named() -> None:
    message = (
        'daskclusters.kubernetes.dask.org is forbidden: User "system:serviceaccount:a:b" cannot create resource '
        '"daskclusters" in API group "kubernetes.dask.org" in the namespace "a"'
    )
    error = error_of(403, json.dumps({"message": message}), request="create daskclusters/x in the namespace 'a'")
    assert "system:serviceaccount:a:b lacks the verb 'create' on 'daskclusters' of kubernetes.dask.org" in str(error)


def test_a_quota_is_no_missing_right() -> None:
    message = 'pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2'
    assert isinstance(error_of(403, json.dumps({"message": message}), request="create pods/x"), QuotaExceededError)


async def test_unknown_kinds_are_an_operator_that_is_not_installed(api: Api, server: FakeApi) -> None:
    server.refusals["list", "daskclusters"] = refusal(404, "NotFound", "the server could not find the resource")
    with pytest.raises(NotInstalledError, match="install the operator's chart"):
        await api.list(DASK_CLUSTERS)


async def test_a_busy_server_is_asked_again(api: Api, server: FakeApi) -> None:
    await api.list(PODS)
    server.refusals["list", "daskautoscalers"] = refusal(429, "TooManyRequests", "slow down")
    asked = asyncio.create_task(api.list(DASK_AUTOSCALERS))
    await becomes(lambda: server.count("list", "daskautoscalers") >= 2)
    del server.refusals["list", "daskautoscalers"]
    assert await asked == []


async def test_what_was_perhaps_created_is_not_created_twice(api: Api, server: FakeApi) -> None:
    await api.list(PODS)
    server.refusals["create", "daskclusters"] = refusal(500, "InternalError", "etcd was lost")
    with pytest.raises(ApiError, match="etcd was lost"):
        await api.create(DASK_CLUSTERS, cluster("a"))
    assert server.count("create", "daskclusters") == 1


async def test_a_server_that_was_never_there_is_not_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    path = kubeconfig(tmp_path / "config", f"http://127.0.0.1:{port}", {"token": "x"})
    async with await Api.connect(str(path)) as api:
        with pytest.raises(ApiUnreachableError, match=f"the API server at http://127.0.0.1:{port} .*'test'"):
            await asyncio.wait_for(api.list(PODS), 5)


# Credentials


async def test_no_credentials_are_told_with_where_they_were_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(login, "SERVICE_ACCOUNT", tmp_path / "no-pod")
    with pytest.raises(CredentialsError, match=f"no kubeconfig at {tmp_path}/none"):
        await Api.connect()


@pytest.mark.usefixtures("server")
async def test_a_context_that_is_not_there() -> None:
    with pytest.raises(CredentialsError, match=r"context 'production' of .* cannot be used"):
        await Api.connect(context="production")


@pytest.mark.parametrize("content", ["", "just words", "a: [", "{}", "apiVersion: v1\nkind: Config\ncontexts: []"])
async def test_a_kubeconfig_that_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(CredentialsError, match="cannot be used"):
        await Api.connect(str(path))


async def test_a_token_that_was_replaced_is_read_anew(api: Api, server: FakeApi) -> None:
    await api.list(PODS)
    server.token = "another"  # noqa: S105
    kubeconfig(server.kubeconfig, server.url, {"token": "another"})
    assert await api.list(PODS) == []


async def test_credentials_that_are_refused_are_refused_once(api: Api, server: FakeApi) -> None:
    server.token = "another"  # noqa: S105
    with pytest.raises(UnauthorizedError, match="log in again"):
        await api.list(PODS)
    assert server.count("list") == 2


def plugin(folder: Path, status: dict[str, object], version: str = "v1", code: int = 0) -> dict[str, object]:
    """An exec plugin that counts how often it is run."""
    script = folder / "plugin"
    answer = {"apiVersion": f"client.authentication.k8s.io/{version}", "kind": "ExecCredential", "status": status}
    script.write_text(
        f"#!{sys.executable}\n"
        f"open({str(folder / 'runs')!r}, 'a').write('x')\n"
        f"print({json.dumps(answer)!r})\n"
        f"raise SystemExit({code})\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    api_version = f"client.authentication.k8s.io/{version}"
    return {"exec": {"apiVersion": api_version, "command": str(script), "interactiveMode": "Never"}}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_an_exec_plugin_is_run_once(server: FakeApi, tmp_path: Path, version: str) -> None:
    kubeconfig(server.kubeconfig, server.url, plugin(tmp_path, {"token": server.token}, version))
    async with await Api.connect() as api:
        await api.list(PODS)
        await api.list(PODS)
    assert (tmp_path / "runs").read_text() == "x"


async def test_a_token_that_expires_is_renewed(server: FakeApi, tmp_path: Path) -> None:
    status: dict[str, object] = {"token": server.token, "expirationTimestamp": "2020-01-01T00:00:00Z"}
    kubeconfig(server.kubeconfig, server.url, plugin(tmp_path, status))
    async with await Api.connect() as api:
        await api.list(PODS)
    assert (tmp_path / "runs").read_text() == "xx"


async def test_an_exec_plugin_that_fails_is_told(server: FakeApi, tmp_path: Path) -> None:
    kubeconfig(server.kubeconfig, server.url, plugin(tmp_path, {"token": "x"}, code=3))
    with pytest.raises(CredentialsError, match="process returned 3"):
        await Api.connect()


async def test_a_pod_uses_its_own_namespace(server: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "namespace").write_text("team\n")
    (tmp_path / "token").write_text(server.token)
    monkeypatch.setattr(login, "SERVICE_ACCOUNT", tmp_path)
    kubeconfig(server.kubeconfig, server.url, {"token": server.token}, namespace="")
    async with await Api.connect() as api:
        assert (api.namespace, api.in_cluster) == ("team", False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    async with await Api.connect() as api:
        assert (api.namespace, api.in_cluster) == ("team", True)


# Watches


async def test_a_watch_tells_what_there_is_and_every_change(api: Api, server: FakeApi) -> None:
    server.put("daskclusters", cluster("a"))
    told = api.watch(DASK_CLUSTERS)
    assert await _next(told) == ("ADDED", "a")
    assert (await anext(told)).type == "SYNCED"
    server.put("daskclusters", cluster("b"))
    assert await _next(told) in (("ADDED", "b"), ("MODIFIED", "b"))
    server.remove("daskclusters", "a")
    assert await _next(told) == ("DELETED", "a")
    await told.aclose()


async def test_a_watch_that_was_cut_off_tells_what_it_missed(api: Api, server: FakeApi) -> None:
    server.put("daskclusters", cluster("a"))
    told = api.watch(DASK_CLUSTERS)
    assert await _next(told) == ("ADDED", "a")
    await anext(told)
    missed = asyncio.ensure_future(_next(told))
    await becomes(lambda: bool(server._watches))
    # Nobody was told, and the API server does not know any more what happened since.
    server.refusals["watch", "daskclusters"] = refusal(410, "Expired", "too old")
    server.run(lambda: server.objects.pop(("daskclusters", "default", "a")))
    server.cut()
    assert await missed == ("DELETED", "a")
    await told.aclose()


async def test_a_watch_that_is_forbidden_ends(api: Api, server: FakeApi) -> None:
    server.refusals["watch", "daskclusters"] = refusal(403, "Forbidden", "no")
    told = api.watch(DASK_CLUSTERS)
    assert (await anext(told)).type == "SYNCED"
    with pytest.raises(ForbiddenError):
        await anext(told)


async def _next(told: AsyncIterator[WatchEvent]) -> tuple[str, str]:
    event = await asyncio.wait_for(anext(told), 5)
    return event.type, event.object["metadata"]["name"]


# Logs and ports


async def test_logs(api: Api, server: FakeApi) -> None:
    server.logs.update({"a": "one\ntwo\nthree\n", "a/previous": "before\n"})
    assert await api.logs("a") == "one\ntwo\nthree\n"
    assert await api.logs("a", tail_lines=1) == "three\n"
    assert await api.logs("a", previous=True) == "before\n"
    assert [line async for line in api.follow_logs("a")] == ["one", "two", "three"]
    with pytest.raises(NotFoundError):
        await api.logs("b")


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A port that sends back what it gets."""
    answers = set[asyncio.Task[None]]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers.add(asyncio.create_task(answer(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    # The other end may be told later than this event loop lives.
    for one in answers:
        one.cancel()
    await asyncio.gather(*answers, return_exceptions=True)


async def test_a_port_forward_carries_what_it_gets(api: Api, server: FakeApi, echo: int) -> None:
    server.put("pods", {"metadata": {"name": "a"}})
    server.ports["a", 8786] = echo
    data = bytes(range(256)) * 40_000
    async with PortForward(api, "default", lambda: _named("a"), 8786) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.port)
        writer.write(data)
        assert await asyncio.wait_for(reader.readexactly(len(data)), 20) == data
        writer.close()
    await becomes(lambda: not server.open_streams)


async def test_a_port_forward_finds_the_pod_that_took_over(api: Api, server: FakeApi, echo: int) -> None:
    server.put("pods", {"metadata": {"name": "b"}})
    server.ports["b", 8786] = echo
    names = iter(["gone", "b"])
    async with PortForward(api, "default", lambda: _named(next(names)), 8786) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.port)
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"
        writer.close()


async def test_a_port_forward_outlives_a_cut(api: Api, server: FakeApi, echo: int) -> None:
    server.put("pods", {"metadata": {"name": "a"}})
    server.ports["a", 8786] = echo
    async with PortForward(api, "default", lambda: _named("a"), 8786) as forward:
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", forward.port)
            writer.write(b"hello")
            assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"
            server.cut()
            assert await asyncio.wait_for(reader.read(), 10) == b"", "whoever is connected learns of it"
            writer.close()


async def test_a_port_forward_that_is_forbidden_says_so(
    api: Api, server: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    server.put("pods", {"metadata": {"name": "a"}})
    server.refusals["get", "pods/portforward"] = refusal(403, "Forbidden", "no")
    async with PortForward(api, "default", lambda: _named("a"), 8786) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    assert "lack the verbs 'get' and 'create' on 'pods/portforward'" in caplog.text


async def test_a_local_port_that_is_taken_is_told(api: Api, echo: int) -> None:
    with pytest.raises(ValidationError, match=f"scheduler_forward_port is {echo}"):
        await PortForward(api, "default", lambda: _named("a"), 8787, echo).start()


async def test_closing_a_port_forward_ends_connections_that_wait(api: Api) -> None:
    async def nobody() -> str:
        raise SchedulerConnectionError("there is none")

    forward = await PortForward(api, "default", nobody, 8786).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", forward.port)
    await asyncio.sleep(0)
    await forward.close()
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    assert not forward._connections


async def _named(name: str) -> str:
    return name


async def becomes(holds: Callable[[], bool]) -> None:
    """Wait until something holds that another thread brings about."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_a_path_for_each_place() -> None:
    assert DASK_WORKER_GROUPS.path("x", "a") == "/apis/kubernetes.dask.org/v1/namespaces/x/daskworkergroups/a"
    assert PODS.path(None) == "/api/v1/pods"
    assert PODS.path("x", "a", "log") == "/api/v1/namespaces/x/pods/a/log"
    assert NODES.path("x") == "/api/v1/nodes"
