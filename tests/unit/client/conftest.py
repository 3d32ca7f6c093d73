"""The client's tests: a small API server over real HTTP, and nothing of the machine's own configuration."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .fake_api import FakeApi, running
from .greeting import Greeter, scheduler_pod


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """An API server that KUBECONFIG leads to."""
    with running(tmp_path) as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
        yield api


@pytest.fixture
def scheduler(server: FakeApi) -> Iterator[FakeApi]:
    """A scheduler that runs, behind the API server."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter) as greeter:
        threading.Thread(target=greeter.serve_forever, daemon=True).start()
        server.put("pods", scheduler_pod("True"))
        for port in (8786, 8787):
            server.ports["foo-scheduler-1", port] = greeter.server_address[1]
        yield server
        greeter.shutdown()
