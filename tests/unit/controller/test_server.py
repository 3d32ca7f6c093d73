"""The answers to probes and to Prometheus, over HTTP as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest

from dask_kubernetes_operator.server import Server

pytestmark = pytest.mark.unit


@dataclass
class Process:
    """A process with a server, and what ails it or is waited for."""

    ailments: list[str] = field(default_factory=list)
    waits_for: list[str] = field(default_factory=list)
    url: str = ""

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path, headers=headers) as response:
            return response.status, await response.text()


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    process = Process()
    server = Server(alive=lambda: process.ailments, ready=lambda: process.waits_for)
    port = await server.start(0, host="127.0.0.1")
    process.url = f"http://127.0.0.1:{port}"
    yield process
    await server.stop()


async def test_process_that_is_well_is_alive_and_ready(process: Process) -> None:
    assert await process.get("/healthz") == (200, "ok\n")
    assert await process.get("/readyz") == (200, "ok\n")


async def test_ailment_fails_liveness_and_is_told(process: Process) -> None:
    process.ailments += ["a watch is silent", "a pass is stuck"]
    assert await process.get("/healthz") == (503, "a watch is silent\na pass is stuck\n")
    assert (await process.get("/readyz"))[0] == 200


async def test_what_is_waited_for_fails_readiness_alone(process: Process) -> None:
    process.waits_for.append("no CRDs")
    assert await process.get("/readyz") == (503, "no CRDs\n")
    assert (await process.get("/healthz"))[0] == 200
    process.waits_for.clear()
    assert (await process.get("/readyz"))[0] == 200


async def test_metrics_are_in_the_form_of_prometheus(process: Process) -> None:
    status, text = await process.get("/metrics")
    assert status == 200
    assert "# TYPE dask_operator_api_requests_total counter" in text.splitlines()
    assert "process_resident_memory_bytes" in text


async def test_nothing_else_is_served(process: Process) -> None:
    assert (await process.get("/"))[0] == 404


async def test_port_that_is_taken_is_an_error(process: Process) -> None:
    port = int(process.url.rsplit(":", 1)[1])
    second = Server(alive=list, ready=list)
    with pytest.raises(OSError, match="in use"):
        await second.start(port, host="127.0.0.1")
    await second.stop()


async def test_stop_is_harmless_before_the_start() -> None:
    await Server(alive=list, ready=list).stop()
