"""The command line on a real cluster, as somebody types it: ``kubectl dask`` and ``dask kubernetes``."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dask_kubernetes.cli.failures import ExitCode
from tests.installed_client import install_client, with_client
from tests.platform import PATIENCE_SECONDS, Platform

pytestmark = pytest.mark.e2e

NOTEBOOK = Path(__file__).parents[2] / "examples" / "getting-started.ipynb"

COMPUTE = """
from dask.distributed import Client

with Client() as client:
    print("sum:", client.submit(sum, range(10)).result())
"""


class Shell:
    """A terminal in which the client is installed, on one cluster."""

    def __init__(self, platform: Platform, environment: Mapping[str, str]) -> None:
        self._platform = platform
        self._environment = environment

    def run(self, *words: str, code: int = 0) -> str:
        """What a command prints on stdout, or on stderr if it is to fail."""
        done = subprocess.run(
            words, env=self._environment, capture_output=True, text=True, timeout=2 * PATIENCE_SECONDS, check=False
        )
        assert done.returncode == code, f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr if code else done.stdout

    def dask(self, *words: str, code: int = 0) -> str:
        """``kubectl dask``, in the namespace of the test."""
        verb, *rest = words
        kubectl = str(self._platform.kind.kubectl_path)
        return self.run(kubectl, "dask", verb, "--namespace", self._platform.namespace, *rest, code=code)


@pytest.fixture
def shell(platform: Platform, tmp_path: Path) -> Shell:
    """A terminal."""
    install_client(tmp_path)
    return Shell(platform, with_client(tmp_path, platform.kind.kubeconfig_path))


def test_a_cluster_from_its_manifest_to_its_end(platform: Platform, shell: Shell) -> None:
    words = ["--name", "cli", "--image", platform.dask_image, "--n-workers", "1"]
    platform.kubectl("apply", "-f", "-", input=shell.run("dask", "kubernetes", "gen", "cluster", *words))
    platform.wait("condition=Ready", "daskcluster/cli")

    assert shell.dask("scale", "cli", "2", "--wait", "--timeout", "100").splitlines() == [
        "workergroup/cli-default scaled to 2",
        "workergroup/cli-default has 2 ready workers",
    ]
    header, line = shell.dask("list").splitlines()
    assert header.split() == ["NAME", "PHASE", "READY", "AGE"]
    assert line.split()[:3] == ["cli", "Running", "2/2"]
    (listed,) = json.loads(shell.dask("list", "-o", "json"))["items"]
    assert listed == without_managed_fields(platform.get("daskcluster", "cli"))

    described = shell.dask("describe", "cli")
    for pod in platform.ready_pods("cli") + platform.ready_pods("cli", component="scheduler"):
        assert pod in described
    assert "tcp://cli-scheduler" in described

    assert "Scheduler at:" in shell.dask("logs", "cli", "--component", "scheduler")
    assert shell.dask("connect", "cli", "--", "python", "-c", COMPUTE) == "sum: 45\n"

    assert shell.dask("delete", "cli") == "cluster/cli deleted\n"
    assert "not found" in shell.dask("describe", "cli", code=ExitCode.NOT_FOUND)
    assert platform.find("daskclusters") == []


def test_the_notebook_runs_from_its_first_cell_to_its_last(platform: Platform, shell: Shell) -> None:
    settings = {"DASK_KUBERNETES__IMAGE": platform.dask_image, "DASK_KUBERNETES__NAMESPACE": platform.namespace}
    words = [f"{name}={value}" for name, value in settings.items()]
    shell.run("env", *words, "python", "-m", "tests.notebooks", str(NOTEBOOK))
    assert platform.find("daskclusters") == []


def without_managed_fields(body: dict[str, Any]) -> dict[str, Any]:
    """An object as the commands print it; kubectl leaves them out as well."""
    return {**body, "metadata": {k: v for k, v in body["metadata"].items() if k != "managedFields"}}
