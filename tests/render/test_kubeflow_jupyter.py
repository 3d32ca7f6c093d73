"""A real Jupyter with the settings of the PodDefault leads to a real Dask scheduler, and to nothing else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from distributed import LocalCluster

from scripts import environments

pytestmark = pytest.mark.render

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "/notebook/team-a/mine"  # what Kubeflow gives a notebook as NB_PREFIX
SCHEDULER = "demo-scheduler.team-a"
_TIMEOUT_SECONDS = 60


@pytest.fixture(scope="module")
def scheduler_port() -> Iterator[int]:
    """The HTTP port of a scheduler."""
    cluster = LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0", silence_logs=50)
    with cluster:
        assert cluster.scheduler is not None
        yield int(cluster.scheduler.http_server.port)


@pytest.fixture(scope="module")
def jupyter(scheduler_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a notebook server that found what the PodDefault mounts."""
    folder = tmp_path_factory.mktemp("jupyter")
    _, settings = yaml.safe_load_all((ROOT / "examples/kubeflow/poddefault.yaml").read_text())
    for name, text in settings["data"].items():
        (folder / name).write_text(text)
    # There is no DNS of a cluster.
    services = folder / "services.json"
    hosts = (SCHEDULER, "demo-other.team-a")
    services.write_text(json.dumps({f"{host}:{scheduler_port}": ["127.0.0.1", scheduler_port] for host in hosts}))
    environment = {
        **os.environ,
        "HOME": str(folder),
        "JUPYTER_CONFIG_PATH": str(folder),
        "PYTHONPATH": str(ROOT / "tests/bench/hosts"),
        "BENCH_SERVICES": str(services),
    }
    with _server(folder, environment) as port:
        yield f"http://127.0.0.1:{port}{PREFIX}"


def test_jupyter_leads_to_the_scheduler(jupyter: str, scheduler_port: int) -> None:
    with urllib.request.urlopen(f"{jupyter}/proxy/{SCHEDULER}:{scheduler_port}/health", timeout=30) as answer:  # noqa: S310
        assert (answer.status, answer.read()) == (200, b"ok")


@pytest.mark.parametrize("host", ["demo-other.team-a", "demo-scheduler-other.team-a", "kubernetes.default"])
def test_jupyter_leads_nowhere_else(jupyter: str, scheduler_port: int, host: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(f"{jupyter}/proxy/{host}:{scheduler_port}/health", timeout=30)  # noqa: S310
    refused.value.close()


@contextmanager
def _server(folder: Path, environment: dict[str, str]) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    python = str(environments.ensure("jupyter"))
    options = [
        *("--allow-root", "--no-browser", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
        *("--IdentityProvider.token=", f"--ServerApp.base_url={PREFIX}", f"--ServerApp.root_dir={folder}"),
    ]
    log = folder / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [python, "-m", "jupyter_server", *options], env=environment, stdout=output, stderr=output
        ) as server,
    ):
        try:
            deadline = time.monotonic() + _TIMEOUT_SECONDS
            while not _listens(port):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)  # it has nothing to wait on before it listens
            yield port
        finally:
            server.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
