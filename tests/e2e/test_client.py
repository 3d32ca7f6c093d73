"""KubeCluster on a real cluster: from outside through forwarded ports, and from inside under the minimal role."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import distribution, requires
from pathlib import Path
from typing import Any

import dask
import pytest
import yaml
from distributed import Client
from packaging.requirements import Requirement

from dask_kubernetes.exceptions import ClusterNotFoundError, ImagePullError, UnschedulableError
from dask_kubernetes.operator import KubeCluster, make_worker_spec
from tests.platform import PATIENCE_SECONDS, Platform, dask_cluster, eventually

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
ROLE, BINDING = yaml.safe_load_all((ROOT / "examples" / "user-role.yaml").read_text())


@pytest.fixture
def here(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """The test's namespace, as KubeCluster's defaults have it; at the end nothing of any cluster is left in it."""
    monkeypatch.setenv("KUBECONFIG", str(platform.kind.kubeconfig_path))
    defaults = {"namespace": platform.namespace, "image": platform.dask_image, "count.start": 1}
    with dask.config.set({f"kubernetes.{key}": value for key, value in defaults.items()}):
        yield platform
    eventually("all is gone", platform.remains, lambda remains: not remains)


def test_from_outside(here: Platform) -> None:
    threads = set(threading.enumerate())
    with KubeCluster(name="foo") as cluster, Client(cluster) as client:
        assert client.submit(lambda x: x + 1, 10).result(PATIENCE_SECONDS) == 11
        for workers in (2, 10, 2):
            cluster.scale(workers)
            cluster.wait_for_workers(workers, timeout=PATIENCE_SECONDS)
        eventually("scaled down", lambda: here.pods("foo"), lambda pods: len(pods) == 2)
        cluster.scale(1)

        cluster.add_worker_group(name="highmem", n_workers=1, env={"GROUP": "highmem"})
        cluster.wait_for_workers(2, timeout=PATIENCE_SECONDS)
        cluster.scale(2, worker_group="highmem")
        cluster.wait_for_workers(3, timeout=PATIENCE_SECONDS)
        cluster.delete_worker_group(name="highmem")
        worker = make_worker_spec(cluster_name=cluster.name, n_workers=0, image=here.dask_image)
        cluster.add_worker_group(custom_spec=worker)

        logs = cluster.get_logs()
        assert any("Scheduler at" in log for log in logs.values())
        assert any(name.startswith("foo-default-worker-") for name in logs)

        with KubeCluster.from_name("foo") as other, Client(other) as second:
            assert second.submit(sum, [1, 2]).result(PATIENCE_SECONDS) == 3

        cluster.adapt(minimum=2, maximum=3)
        cluster.wait_for_workers(2, timeout=PATIENCE_SECONDS)
        cluster.adapt()
        assert here.get("daskautoscaler", "foo")["spec"]["minimum"] == 0
        cluster.scale(1)
        assert not here.find("daskautoscalers")
    del client, second
    gc.collect()
    left = {thread.name for thread in set(threading.enumerate()) - threads}
    assert not [name for name in left if not name.startswith(("Dask-Offload", "Profile"))]


@pytest.mark.usefixtures("here")
async def test_in_a_running_loop() -> None:
    async with KubeCluster(name="one", asynchronous=True) as one, KubeCluster(name="two", asynchronous=True) as two:
        for cluster in (one, two):
            async with Client(cluster, asynchronous=True) as client:
                assert await client.submit(sum, [1, 2]) == 3
        await one.scale(2)
        await one.adapt(maximum=2)
        assert any("Scheduler at" in log for log in (await two.get_logs()).values())
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in tasks if "dask_kubernetes" in repr(task)]


def test_failures_are_told_in_the_words_of_the_pod(here: Platform) -> None:
    with pytest.raises(ClusterNotFoundError):
        KubeCluster.from_name("nosuch")
    with pytest.raises(ImagePullError, match=r"registry\.invalid/none"):
        KubeCluster(name="foo", image="registry.invalid/none:1", resource_timeout=5)
    with pytest.raises(UnschedulableError, match="Insufficient cpu"):
        KubeCluster(name="bar", resources={"requests": {"cpu": "1000"}}, resource_timeout=5)
    assert not here.find("daskclusters"), "nothing is left behind"


def test_what_fails_meanwhile(here: Platform, tmp_path: Path) -> None:
    with network(here, tmp_path) as cut, KubeCluster(name="foo", kubeconfig=tmp_path / "kubeconfig") as cluster:
        with Client(cluster) as client:
            cut(30)
            assert client.submit(sum, [1, 2]).result(PATIENCE_SECONDS) == 3
        before = cluster.scheduler_info["id"]
        (scheduler,) = here.ready_pods("foo", component="scheduler")
        here.kubectl("delete", "pod", scheduler, "--wait=false")
        eventually(
            "the new scheduler is followed",
            lambda: cluster.scheduler_info.get("id"),
            lambda found: found not in (None, before),
        )
        with Client(cluster, timeout=PATIENCE_SECONDS) as client:
            assert client.submit(sum, [1, 2]).result(PATIENCE_SECONDS) == 3
        operator = ("--namespace", here.operator_namespace, "-l", "app.kubernetes.io/name=dask-kubernetes-operator")
        here.kubectl("delete", "pods", *operator, "--wait=false")
        cluster.scale(2)
        cluster.wait_for_workers(2, timeout=PATIENCE_SECONDS)


def test_encrypted_with_certificates_that_are_made(here: Platform) -> None:
    with KubeCluster(name="private", security=True) as cluster, Client(cluster) as client:
        assert cluster.scheduler_address.startswith("tls://")
        assert client.submit(sum, [1, 2]).result(PATIENCE_SECONDS) == 3
        workers = client.scheduler_info()["workers"]
        assert all(address.startswith("tls://") for address in workers)
        assert len(workers) == 1
        cluster.add_worker_group("more", n_workers=1)
        cluster.wait_for_workers(2, timeout=PATIENCE_SECONDS)
        with KubeCluster.from_name("private") as other, Client(other) as second:
            assert second.submit(sum, [1, 2]).result(PATIENCE_SECONDS) == 3
        assert here.get("secret", "private-tls")["type"] == "kubernetes.io/tls"
    # At once under the same name: the Secret of before may still be on its way out.
    with KubeCluster(name="private", security=True) as cluster, Client(cluster) as client:
        assert client.submit(sum, [1, 2]).result(PATIENCE_SECONDS) == 3
    eventually("the Secret goes with the cluster", lambda: here.find("secrets"), lambda found: not found)


FORSAKEN = """
import time
from dask.distributed import Client
from dask_kubernetes.operator import KubeCluster

cluster = KubeCluster(name="forsaken", client_timeout=15)
assert Client(cluster).submit(sum, [1, 2]).result(120) == 3
print("ready", flush=True)
time.sleep(3600)
"""


def test_a_cluster_goes_when_its_client_was_killed(here: Platform) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "client"),
        "DASK_KUBERNETES__NAMESPACE": here.namespace,
        "DASK_KUBERNETES__IMAGE": here.dask_image,
        "DASK_KUBERNETES__COUNT__START": "1",
    }
    command = [sys.executable, "-c", FORSAKEN]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as client:
        try:
            assert client.stdout is not None
            assert "ready\n" in iter(client.stdout.readline, ""), "it ended before it was killed"
        finally:
            client.kill()
    assert here.find("daskclusters"), "it outlives its client for a while"
    eventually("the cluster is deleted", lambda: here.find("daskclusters"), lambda found: not found)
    reasons = [event["reason"] for event in here.find("events") if event["involvedObject"]["name"] == "forsaken"]
    assert reasons.count("ClientTimeout") == 1


@contextmanager
def network(platform: Platform, folder: Path) -> Iterator[Any]:
    """A way to the API server that can be cut for some seconds, with a kubeconfig that leads along it."""
    config = yaml.safe_load(platform.kind.kubeconfig_path.read_text())
    cluster = config["clusters"][0]["cluster"]
    host, _, port = cluster["server"].removeprefix("https://").rpartition(":")
    open_ = threading.Event()
    open_.set()

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                open_.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                inner, _ = listener.accept()
                outer = socket.create_connection((host, int(port)))
                sockets.extend((inner, outer))
                for pair in ((inner, outer), (outer, inner)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    def cut(seconds: float) -> None:
        open_.clear()
        time.sleep(seconds)  # that is how long the network is away
        open_.set()

    sockets: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cluster["server"] = f"https://127.0.0.1:{listener.getsockname()[1]}"
        cluster["tls-server-name"] = host
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        yield cut
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
    for each in sockets:
        each.close()


# From inside

STORY = """
import os
from distributed import Client
from dask_kubernetes.operator import KubeCluster

with KubeCluster(name="inside", image=os.environ["IMAGE"], n_workers=1) as cluster, Client(cluster) as client:
    assert cluster.scheduler_address == f"tcp://inside-scheduler.{cluster.namespace}.svc:8786"
    assert client.submit(sum, [1, 2]).result(120) == 3
    cluster.scale(2)
    cluster.wait_for_workers(2, timeout=120)
    cluster.adapt(minimum=1, maximum=2)
    cluster.add_worker_group("more", n_workers=1)
    cluster.wait_for_workers(2, timeout=120)
    cluster.delete_worker_group("more")
    print("dashboard", cluster.dashboard_link)
    try:
        cluster.get_logs()
    except Exception as error:
        print(type(error).__name__, error)
print("done")
"""

# The same as the plugin of kubectl would do.
COMMANDS = """
dask() { python -c 'from dask_kubernetes.cli import kubectl_dask; kubectl_dask()' "$@"; }
dask scale typed 2 --wait --timeout 100
dask list
dask describe typed
dask connect typed -- python -c 'from distributed import Client; print("sum:", Client().submit(sum, [1, 2]).result())'
dask delete typed
"""


def test_from_inside_with_the_role_of_the_documentation(here: Platform) -> None:
    role, account = here.namespace, BINDING["subjects"][0]["name"]
    here.apply({**ROLE, "metadata": {"name": role}})
    subject = {**BINDING["subjects"][0], "namespace": here.namespace}
    binding = {**BINDING, "metadata": {"name": "dask"}, "roleRef": {**BINDING["roleRef"], "name": role}}
    try:
        here.kubectl("create", "serviceaccount", account)
        here.apply({**binding, "subjects": [subject]}, notebook(here, account))
        here.wait("condition=Ready", "pod/notebook")
        install_client(here, "notebook")
        environment = ("env", "PYTHONPATH=/tmp/lib", f"IMAGE={here.dask_image}")
        told = here.kubectl("exec", "notebook", "--", *environment, "python", "-c", STORY)
        here.apply(dask_cluster("typed", here.dask_image, replicas=1))
        typed = here.kubectl("exec", "notebook", "--", *environment, "sh", "-euc", COMMANDS)
    finally:
        here.kubectl("delete", "clusterrole", role)
        here.kubectl("delete", "pod", "notebook", "--grace-period=1")
    assert f"dashboard http://inside-scheduler.{here.namespace}.svc:8787/status" in told
    assert "ForbiddenError" in told, "that role does not give logs"
    assert f"{account} lacks the verb 'get' on 'pods/log'" in told
    assert told.strip().endswith("done")
    assert "typed-default has 2 ready workers" in typed
    assert "sum: 3" in typed
    assert typed.strip().endswith("cluster/typed deleted")


def notebook(platform: Platform, account: str) -> dict[str, Any]:
    """A Pod that waits for what is to be run in it."""
    container = {"name": "main", "image": platform.dask_image, "command": ["sleep", "infinity"]}
    spec = {"serviceAccountName": account, "containers": [container], "enableServiceLinks": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "notebook"}, "spec": spec}


def install_client(platform: Platform, pod: str) -> None:
    """Put the client, and what it needs besides Dask, below /tmp/lib of a Pod."""
    target = ("--namespace", platform.namespace, "exec", "-i", pod, "--", "sh", "-c")
    command = [str(platform.kind.kubectl_path), f"--kubeconfig={platform.kind.kubeconfig_path}", *target]
    unpack = "mkdir -p /tmp/lib && tar -x -C /tmp/lib"
    files = sorted({file.parts[0] for name in needed("kubernetes_asyncio", "rich") for file in importable(name)})
    site = Path(str(distribution("kubernetes_asyncio").locate_file("")))
    for folder, names in ((site, files), (ROOT / "client", ["dask_kubernetes"])):
        with subprocess.Popen(
            ["tar", "-c", "--exclude=__pycache__", "-C", str(folder), *names], stdout=subprocess.PIPE
        ) as packed:
            subprocess.run([*command, unpack], stdin=packed.stdout, check=True, timeout=PATIENCE_SECONDS)


def needed(*names: str) -> set[str]:
    """Distributions, and what they require."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            requirements = [Requirement(text) for text in requires(name) or ()]
            todo += [each.name for each in requirements if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


def importable(name: str) -> list[Any]:
    """The files of a distribution that can be imported."""
    return [file for file in distribution(name).files or () if file.parts[0] not in ("..", "/")]
