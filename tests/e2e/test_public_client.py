"""The public client from PyPI works unmodified against our operator, and ours with a cluster that it made."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from distributed import Client

from dask_kubernetes.operator import KubeCluster
from tests import public
from tests.platform import PATIENCE_SECONDS, Platform, eventually

pytestmark = pytest.mark.e2e

BEGIN = """
import asyncio, os, sys
from distributed import Client
from dask_kubernetes.operator import KubeCluster

assert "public" in sys.modules["dask_kubernetes"].__file__, "it is the one from PyPI"
options = {"namespace": os.environ["NAMESPACE"], "image": os.environ["IMAGE"], "n_workers": 1, "quiet": True}
"""

SYNC = """
with KubeCluster(name="sync", **options) as cluster, Client(cluster) as client:
    assert client.submit(sum, [1, 2]).result(100) == 3
    cluster.scale(3)
    client.wait_for_workers(3, timeout=100)
    cluster.scale(1)
    cluster.add_worker_group(name="more", n_workers=1, image=os.environ["IMAGE"])
    client.wait_for_workers(2, timeout=100)
    cluster.scale(2, worker_group="more")
    client.wait_for_workers(3, timeout=100)
    cluster.delete_worker_group(name="more")
    cluster.adapt(minimum=2, maximum=3)
    client.wait_for_workers(2, timeout=100)
    assert any("Scheduler at" in log for log in cluster.get_logs().values())
    other = KubeCluster.from_name("sync", namespace=options["namespace"], quiet=True)
    other.scale(1)
    other.close()
print("done")
"""

ASYNC = """
async def main():
    async with KubeCluster(name="async", asynchronous=True, **options) as cluster:
        async with Client(cluster, asynchronous=True) as client:
            assert await client.submit(sum, [1, 2]) == 3
            await cluster.scale(2)
            await client.wait_for_workers(2, timeout=100)
            await cluster.adapt(minimum=1, maximum=2)
            await cluster.get_logs()

asyncio.run(main())
print("done")
"""

KEEP = """
KubeCluster(name="theirs", shutdown_on_close=False, **options).close()
print("done")
"""


@pytest.fixture(autouse=True)
def credentials(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both clients find the test's cluster."""
    monkeypatch.setenv("KUBECONFIG", str(platform.kind.kubeconfig_path))


@pytest.mark.parametrize("story", [SYNC, ASYNC], ids=["sync", "async"])
def test_the_public_client_works_with_our_operator(
    platform: Platform, seeds_image: str, tmp_path: Path, story: str
) -> None:
    assert run(platform, seeds_image, tmp_path, story).strip().endswith("done")
    eventually("all is gone", platform.remains, lambda remains: not remains)


def test_our_client_works_with_a_cluster_of_the_public_one(
    platform: Platform, seeds_image: str, tmp_path: Path
) -> None:
    run(platform, seeds_image, tmp_path, KEEP)
    with (
        KubeCluster.from_name("theirs", namespace=platform.namespace, shutdown_on_close=True) as cluster,
        Client(cluster) as client,
    ):
        assert client.submit(sum, [1, 2]).result(PATIENCE_SECONDS) == 3
        cluster.add_worker_group("more", n_workers=1)
        cluster.wait_for_workers(2, timeout=PATIENCE_SECONDS)
        cluster.adapt(minimum=2, maximum=2)
        cluster.wait_for_workers(3, timeout=PATIENCE_SECONDS)
        assert any("Scheduler at" in log for log in cluster.get_logs().values())
    eventually("all is gone", platform.remains, lambda remains: not remains)


def run(platform: Platform, image: str, folder: Path, story: str) -> str:
    """Run a program with the public client; returns what it printed."""
    environment = {
        **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        "IMAGE": image,
        "NAMESPACE": platform.namespace,
    }
    python = str(public.installed() / "bin" / "python")
    program = subprocess.run(
        [python, "-W", "ignore", "-c", BEGIN + story],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
        check=False,
    )
    assert program.returncode == 0, program.stderr[-4000:]
    return program.stdout
