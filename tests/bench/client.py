"""From ``KubeCluster()`` to the first result: our client and operator, and the public ones, on nodes that run Pods.

Both have the same kind cluster, one after the other, and the same image with Dask, which the node holds. A round
installs an operator with its own definitions, has its client start a cluster with one worker, and removes everything.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ci import cluster as clusters
from ci import engine, tools
from ci.cluster import Cluster
from scripts import images
from tests import public
from tests.bench.control_plane import OPERATOR_NAMESPACE, wait_until
from tests.bench.operators import RELEASE
from tests.bench.results import Results

NAME = "dask-operator-bench"
PATIENCE_SECONDS = 300
_OPERATOR_LOG = ("logs", f"--namespace={OPERATOR_NAMESPACE}", "--selector=app.kubernetes.io/name", "--tail=50")

# The public client starts its scheduler and its workers with programs that Dask does not have any more.
PROGRAM = """
import os, time
from distributed import Client
from dask_kubernetes.operator import KubeCluster, make_cluster_spec

spec = make_cluster_spec("start", image=os.environ["IMAGE"], n_workers=1, worker_command=["dask", "worker"])
arguments = spec["spec"]["scheduler"]["spec"]["containers"][0]["args"]
if arguments[0] == "dask-scheduler":
    arguments[0:1] = ["dask", "scheduler"]
began = time.perf_counter()
with KubeCluster(custom_cluster_spec=spec, namespace="default", quiet=True) as cluster:
    connected = time.perf_counter()
    with Client(cluster) as client:
        assert client.submit(sum, [1, 2]).result() == 3
        done = time.perf_counter()
print(connected - began, done - began)
"""


@dataclass(frozen=True)
class Pair:
    """An operator and the client that comes with it.

    Attributes:
        name: of its arm.
        chart: of the operator.
        values: for the chart, with its image.
        python: the interpreter that has the client.
        says: what its log has once it is at work, for a chart whose Pods are ready before.
        phase: what its clusters are left in although they run, if so.
    """

    name: str
    chart: Path
    values: tuple[str, ...]
    python: Path
    says: str = ""
    phase: str = ""


async def measure(kubernetes: str, rounds: int, results: Results) -> None:
    """Rounds on a cluster of their own, after one that warms it up."""
    await asyncio.to_thread(_measure, kubernetes, rounds, results)


def _measure(kubernetes: str, rounds: int, results: Results) -> None:
    runs_before = engine.runs()
    try:
        cluster = clusters.ensure(NAME, kubernetes)
        built, (repository, tag) = images.build(), public.image()
        clusters.load([built.controller, built.dask, f"{repository}:{tag}"], NAME)
        peer = Pair(
            "peer",
            public.chart(),
            (f"--set=image.name={repository},image.tag={tag}",),
            public.installed() / "bin/python",
            says="GET /healthz",
            phase="Pending",
        )
        pairs = (Pair("ours", built.chart, (), Path(sys.executable)), peer)
        for index in range(rounds + 1):
            seconds = {pair.name: _start(cluster, pair, built.dask) for pair in pairs}
            if index == 0:
                continue
            for name, (connected, done) in seconds.items():
                results.add(f"client/connected/{name}", connected, "s")
                results.add(f"client/first result/{name}", done, "s")
            results.add("client/first result against the peer", seconds["ours"][1] / seconds["peer"][1], "x")
    finally:
        clusters.down(NAME)
        if not runs_before:
            engine.stop()


def _start(cluster: Cluster, pair: Pair, image: str) -> tuple[float, float]:
    """Seconds from the call until the client is connected, and until it has a result."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"KUBECONFIG": str(cluster.kubeconfig), "IMAGE": image}
    with _installed(cluster, pair), _helped(cluster, pair.phase):
        command = [str(pair.python), "-W", "ignore", "-c", PROGRAM]
        # Not from here, where a folder of that name may be.
        program = subprocess.run(
            command,
            env=environment,
            cwd=cluster.kubeconfig.parent,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if program.returncode:
            log = _run(cluster, cluster.kubectl, *_OPERATOR_LOG)
            raise RuntimeError(f"the client of {pair.name} failed: {program.stderr[-2000:]}\nits operator: {log}")
        gone = ("wait", "--for=delete", "pods", "--all", "--namespace=default", f"--timeout={PATIENCE_SECONDS}s")
        _run(cluster, cluster.kubectl, *gone)
    connected, done = map(float, program.stdout.split())
    return connected, done


@contextmanager
def _helped(cluster: Cluster, phase: str) -> Iterator[None]:
    """Say that a cluster runs as soon as it is in a phase.

    Two handlers of the public operator write the phase (its issue #968). Where the one that writes Pending is last,
    as on a node that is quick to start Pods, its client gives up; this gives it what the other one would have.
    """
    if not phase:
        yield
        return
    kubectl = f"{cluster.kubectl} --kubeconfig {cluster.kubeconfig} --namespace default"
    wait = f"{kubectl} wait daskcluster/start --timeout={PATIENCE_SECONDS}s"
    patch = f"""{kubectl} patch daskcluster start --type=merge --patch='{{"status": {{"phase": "Running"}}}}'"""
    helper = f"{wait} --for=create && {wait} --for=jsonpath='{{.status.phase}}'={phase} && {patch}"
    with subprocess.Popen(["/bin/sh", "-c", helper], stdout=subprocess.DEVNULL) as helping:
        try:
            yield
        finally:
            helping.terminate()


@contextmanager
def _installed(cluster: Cluster, pair: Pair) -> Iterator[None]:
    """An operator and its definitions, for as long as the context lasts."""
    helm = tools.ensure(["helm"])["helm"]
    place = (f"--namespace={OPERATOR_NAMESPACE}", "--wait", f"--timeout={PATIENCE_SECONDS}s")
    _run(cluster, helm, "install", RELEASE, str(pair.chart), "--create-namespace", *place, *pair.values)
    try:
        wait_until(lambda: pair.says in _run(cluster, cluster.kubectl, *_OPERATOR_LOG), f"{pair.name} is at work")
        yield
    finally:
        _run(cluster, helm, "uninstall", RELEASE, *place)
        definitions = _run(cluster, cluster.kubectl, "get", "customresourcedefinitions", "--output=name").split()
        _run(cluster, cluster.kubectl, "delete", *definitions, f"--timeout={PATIENCE_SECONDS}s")
        # Its rights went before it could give up the lead, for which the next one would wait.
        _run(cluster, cluster.kubectl, "delete", "leases", "--all", f"--namespace={OPERATOR_NAMESPACE}")


def _run(cluster: Cluster, program: Path, *arguments: str) -> str:
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    done = subprocess.run([str(program), *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program.name} {' '.join(arguments)} failed: {done.stderr}")
    return done.stdout
