"""The installed programs: ``dask kubernetes``, ``kubectl-dask`` and completion, each in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

import pytest

from dask_kubernetes.cli import kubectl_complete, kubectl_dask, main
from dask_kubernetes.operator import make_cluster_spec
from tests.environments import install_client, with_client

from .fake_api import FakeApi
from .greeting import greeting

pytestmark = pytest.mark.unit

CLIENT = Path(__file__).parents[3] / "client"
CLI = "dask_kubernetes.cli:"
# Only bounds how long a failure takes: to import what talks to Kubernetes takes a busy machine its time.
PATIENCE_SECONDS = 240


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, installed from its wheel into a folder."""
    folder = tmp_path_factory.mktemp("installed")
    install_client(folder)
    return folder


@pytest.fixture
def environment(installed: Path, server: FakeApi) -> Mapping[str, str]:
    """A shell in which the client is installed, and KUBECONFIG leads to a server with the cluster foo."""
    server.put("daskclusters", make_cluster_spec("foo"))
    return with_client(installed, server.kubeconfig)


def run(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """A program to its end."""
    return subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def test_the_wheel_has_what_is_no_module(installed: Path) -> None:
    for name in ("kubernetes.yaml", "py.typed"):
        assert (installed / "dask_kubernetes" / name).read_bytes() == (CLIENT / "dask_kubernetes" / name).read_bytes()


def test_dask_has_the_commands(environment: Mapping[str, str]) -> None:
    done = run(environment, "dask", "kubernetes", "list", "-o", "name")
    assert (done.returncode, done.stdout) == (0, "cluster/foo\n"), done.stderr


def test_every_program_of_the_wheel_is_there(installed: Path) -> None:
    (distribution,) = distributions(path=[str(installed)])
    loaded = {point.name: point.load() for point in distribution.entry_points if point.value.startswith(CLI)}
    assert loaded == {"kubernetes": main, "kubectl-dask": kubectl_dask, "kubectl_complete-dask": kubectl_complete}
    assert sorted(path.name for path in (installed / "bin").iterdir()) == ["kubectl-dask", "kubectl_complete-dask"]


def test_the_commands_are_there_without_what_takes_long_to_import(environment: Mapping[str, str]) -> None:
    slow = "{'distributed', 'kubernetes_asyncio', 'aiohttp'}"
    code = f"import sys, dask_kubernetes.cli; print({slow} & set(sys.modules))"
    done = run(environment, sys.executable, "-c", code)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.usefixtures("scheduler")
def test_ports_are_forwarded_until_ctrl_c(environment: Mapping[str, str]) -> None:
    words = ["kubectl-dask", "connect", "foo", "-o", "json"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = "".join(process.stdout.readline() for _ in range(4))
        addresses = json.loads(printed)
        assert greeting(addresses["scheduler"]) == b"hello\n"
        assert addresses["scheduler"].startswith("tcp://127.0.0.1:")
        assert greeting(addresses["dashboard"]) == b"hello\n"
        assert addresses["dashboard"].endswith("/status")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
