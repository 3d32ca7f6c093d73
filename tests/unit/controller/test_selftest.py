"""What `helm test` runs, against a real HTTP server that plays an API server with an operator behind it."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from dask_kubernetes_operator import selftest
from dask_kubernetes_operator.kube import Client
from dask_kubernetes_operator.selftest import SelfTestError, run

pytestmark = pytest.mark.unit

_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
JOB = {"kind": "DaskJob", "metadata": {"generateName": "helm-test-"}, "spec": {}}
JOBS = "/apis/kubernetes.dask.org/v1/namespaces/team-a/daskjobs"


@dataclass
class Token:
    """Credentials for one server."""

    server: str
    proxy_url: str | None = None
    trust_env: bool = False

    def as_http_headers(self) -> dict[str, str]:
        return {}

    def as_ssl_context(self) -> Any:
        return _TLS


def refused(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message}, status=code)


@dataclass
class Cluster:
    """An API server; each read of the job is answered with the next status, or refused as it says."""

    statuses: list[Any] = field(default_factory=list)
    create: web.Response | None = None
    delete: web.Response | None = None
    deleted: list[Any] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        meta = {"name": "helm-test-x", "namespace": "team-a", "uid": "1"}
        if request.method == "POST":
            assert (request.path, await request.json()) == (JOBS, JOB)
            return self.create or web.json_response({**JOB, "metadata": meta}, status=201)
        assert request.path == f"{JOBS}/helm-test-x"
        if request.method == "DELETE":
            self.deleted.append(json.loads(await request.text())["preconditions"])
            return self.delete or web.json_response({"kind": "Status"})
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(status, int):
            return refused(status, "no")
        return web.json_response({"metadata": meta, "status": status})


@pytest.fixture
async def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def client(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr(selftest, "_POLL_SECONDS", 0.001)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", cluster.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]

    async def log_in() -> Token:
        return Token(f"http://{host}:{port}")

    client = Client(log_in)
    yield client
    await client.close()
    await runner.cleanup()


async def failure(client: Client, timeout_seconds: float = 10.0) -> str:
    with pytest.raises(SelfTestError) as caught:
        await run(client, "team-a", JOB, timeout_seconds=timeout_seconds)
    return str(caught.value)


def trouble(kind: str, reason: str, message: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


async def test_waits_for_the_result_and_deletes_that_very_job(cluster: Cluster, client: Client) -> None:
    cluster.statuses = [{}, {"jobStatus": "JobCreated"}, 500, {"jobStatus": "Running"}, {"jobStatus": "Successful"}]
    assert await run(client, "team-a", JOB, timeout_seconds=10) == "helm-test-x"
    assert cluster.statuses == [{"jobStatus": "Successful"}]
    assert cluster.deleted == [{"uid": "1"}]


async def test_failed_job_is_told_with_its_reason(cluster: Cluster, client: Client) -> None:
    failed = trouble("Failed", "RunnerFailed", "exit code 1: No module named 'dask'")
    cluster.statuses = [{"jobStatus": "Failed", "conditions": [failed]}]
    assert await failure(client) == (
        "DaskJob team-a/helm-test-x failed.\nFailed: RunnerFailed: exit code 1: No module named 'dask'"
    )
    assert cluster.deleted


async def test_image_that_cannot_be_pulled_is_told_with_its_remedy(cluster: Cluster, client: Client) -> None:
    degraded = trouble("Degraded", "ImagePullBackOff", "no such host")
    healthy = {**trouble("Failed", "NotFailed", ""), "status": "False"}
    cluster.statuses = [{"jobStatus": "ClusterCreated", "conditions": [healthy, degraded]}]
    first, second, remedy = (await failure(client, timeout_seconds=0.1)).splitlines()
    assert first == "DaskJob team-a/helm-test-x has not ended within 0.1 s; it is ClusterCreated."
    assert second == "Degraded: ImagePullBackOff: no such host"
    assert remedy.startswith("Set tests.image to an image with Dask that the nodes can pull")
    assert cluster.deleted


async def test_slow_job_may_have_more_time(cluster: Cluster, client: Client) -> None:
    cluster.statuses = [{"jobStatus": "Running"}]
    assert "it is Running.\nNothing is wrong so far; give it more time with tests.timeoutSeconds" in await failure(
        client, timeout_seconds=0.1
    )


async def test_namespace_that_nobody_serves_is_told(cluster: Cluster, client: Client) -> None:
    cluster.statuses = [{}]
    said = await failure(client, timeout_seconds=0.1)
    assert said.startswith("Within 0.1 s no operator has taken up DaskJob team-a/helm-test-x.")
    assert "set tests.namespace to one of them" in said
    assert cluster.deleted


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (404, "Are the custom resource definitions installed"),
        (403, "may have to be given rights on daskjobs"),
        (422, ""),
    ],
)
async def test_job_that_is_not_taken_is_told(cluster: Cluster, client: Client, code: int, remedy: str) -> None:
    cluster.create = refused(code, "not so")
    said = await failure(client)
    assert said.startswith("The API server takes no DaskJob in namespace team-a: not so")
    assert remedy in said
    assert cluster.deleted == []


async def test_job_that_somebody_deletes_is_told(cluster: Cluster, client: Client) -> None:
    cluster.statuses, cluster.delete = [404], refused(404, "gone")
    assert await failure(client) == "DaskJob team-a/helm-test-x cannot be read: no"


async def test_job_that_cannot_be_deleted_is_told(
    cluster: Cluster, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.statuses, cluster.delete = [{"jobStatus": "Successful"}], refused(403, "you may not")
    await run(client, "team-a", JOB, timeout_seconds=10)
    assert capsys.readouterr().out == "DaskJob team-a/helm-test-x is left behind: you may not\n"
