"""The main job, end to end: a cluster, the operator installed from the chart, a DaskCluster, a computation on it."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dask.array as da
import yaml
from distributed import Client
from distributed.versions import VersionMismatchWarning

from ci import cluster as clusters
from ci import tools
from ci.cache import Cache
from ci.cli import guarded
from ci.console import Failure, Step, console
from ci.process import output, run
from scripts import images

NAMESPACE = "dask-operator"
RELEASE = "dask-kubernetes-operator"
EXAMPLE = images.ROOT / "examples" / "cluster.yaml"
READY_TIMEOUT = "180s"

# 3 GB in pieces of 8 MB: some seconds of work for two workers, of which none ever holds more than a few pieces.
ARRAY_SHAPE = (20_000, 20_000)
CHUNKS = (1_000, 1_000)


@dataclass(frozen=True)
class Tools:
    """kubectl and helm, bound to one cluster."""

    kubeconfig: Path
    kubectl_path: Path
    helm_path: Path
    log: Path

    def kubectl(self, *args: str, timeout_seconds: float = 60) -> str:
        """Run kubectl and return what it prints.

        Raises:
            Failure: it failed.
        """
        command = [str(self.kubectl_path), *args]
        status, answer, problem = output(command, env=self.environment, timeout_seconds=timeout_seconds)
        if status:
            raise Failure(f"kubectl {' '.join(args[:3])} failed: {problem.strip()}")
        return answer

    def helm(self, *args: str, step: Step) -> None:
        """Run helm, its output in the log."""
        command = [str(self.helm_path), *args]
        run(command, step=step, log=self.log, what=f"helm {args[0]}", env=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """What makes either find the cluster."""
        return {"KUBECONFIG": str(self.kubeconfig)}


def install(cluster_name: str, kubernetes: str | None) -> tuple[Tools, images.Built]:
    """Bring up the cluster and install the operator from the chart of this tree; again is an upgrade."""
    cluster = clusters.ensure(name=cluster_name, kubernetes=kubernetes)
    built = images.build()
    images.load(built, cluster.name)
    helm = tools.ensure(["helm"])["helm"]
    cli = Tools(cluster.kubeconfig, cluster.kubectl, helm, Cache().log("demo"))
    with console.step("install the chart") as step:
        flags = ["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", READY_TIMEOUT]
        cli.helm("upgrade", "--install", RELEASE, str(built.chart), *flags, step=step)
    return cli, built


def create_cluster(cli: Tools, image: str) -> tuple[str, int]:
    """Apply the example's DaskCluster with an image that the local cluster holds; returns its name and workers."""
    manifest = yaml.safe_load(EXAMPLE.read_text())
    name = str(manifest["metadata"]["name"])
    for part in ("scheduler", "worker"):
        for container in manifest["spec"][part]["spec"]["containers"]:
            container["image"] = image
    path = images.ROOT / "build" / "demo-cluster.yaml"
    path.write_text(yaml.safe_dump(manifest, sort_keys=False))
    with console.step(f"create the DaskCluster {name!r}"):
        cli.kubectl("apply", "--filename", str(path))
        cli.kubectl(
            *("wait", "--for=condition=Ready", f"daskcluster/{name}", f"--timeout={READY_TIMEOUT}"),
            timeout_seconds=240,
        )
    return name, int(manifest["spec"]["worker"]["replicas"])


def compute(address: str, workers: int) -> tuple[float, float]:
    """The mean of a large random array, computed when all workers are there; returns it and the seconds it took."""
    # Another patch release of Python here than in the image is no harm: nothing of ours is sent but calls of NumPy.
    warnings.simplefilter("ignore", VersionMismatchWarning)
    with Client(address, timeout=60) as client:
        client.wait_for_workers(workers, timeout=60)
        mean = da.random.default_rng(2026).random(ARRAY_SHAPE, chunks=CHUNKS).mean()
        started = time.monotonic()
        result = float(client.compute(mean, sync=True))
        return result, time.monotonic() - started


@contextmanager
def port_forward(cli: Tools, target: str, *ports: int) -> Iterator[list[int]]:
    """Forward free local ports to a Service's; yields the local ones."""
    command = [str(cli.kubectl_path), "port-forward", target, *(f":{port}" for port in ports)]
    environment = {**os.environ, **cli.environment}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield [_local_port(process, port) for port in ports]
        finally:
            process.terminate()


def _local_port(process: subprocess.Popen[str], remote: int) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        match = re.match(rf"Forwarding from 127\.0\.0\.1:(\d+) -> {remote}$", line.strip())
        if match:
            return int(match[1])
    raise Failure("kubectl port-forward ended; look at the scheduler: kubectl describe pods")


def main() -> None:
    """Bring up a cluster, the operator and a DaskCluster, compute the mean of a large array, and say how to go on."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--cluster", default="dask-operator", help="name of the kind cluster")
    parser.add_argument("--kubernetes", default=None, help="Kubernetes version")
    parser.add_argument("--install-only", action="store_true", help="stop once the operator is installed")
    options = parser.parse_args()
    started = time.monotonic()

    cli, built = install(options.cluster, options.kubernetes)
    if options.install_only:
        print(f"export KUBECONFIG={cli.kubeconfig}")
        return
    name, workers = create_cluster(cli, built.dask)
    service = f"service/{name}-scheduler"
    with port_forward(cli, service, 8786, 8787) as (comm, dashboard):
        rows, columns = ARRAY_SHAPE
        console.say(f"- while it lasts, watch the computation at http://127.0.0.1:{dashboard}/status")
        with console.step(f"compute the mean of {rows:,} x {columns:,} random numbers"):
            result, seconds = compute(f"tcp://127.0.0.1:{comm}", workers)
    if abs(result - 0.5) > 1e-3:
        raise Failure(f"The mean is {result}, and should be 0.5: the computation is wrong; please report this.")

    selector = f"dask.org/cluster-name={name}"
    print(cli.kubectl("get", "pods", "--selector", selector))
    print(f"mean of {rows:,} x {columns:,} random numbers: {result:.6f}")
    print(f"computed in {seconds:.1f} s on {workers} workers; {time.monotonic() - started:.0f} s since the start")
    print(f"""
Go on:
  export KUBECONFIG={cli.kubeconfig}
  export PATH={tools.directory(["kubectl", "helm"])}:$PATH
  kubectl get daskclusters,daskworkergroups,pods
  kubectl scale daskworkergroup {name}-default --replicas=4
  kubectl port-forward {service} 8786 8787
    Python: Client("tcp://127.0.0.1:8786")    dashboard: http://127.0.0.1:8787/status
Clean up:
  kubectl delete daskcluster {name}
  {"helm uninstall --namespace " + NAMESPACE + " " + RELEASE if clusters.is_existing() else "make demo-down"}""")


if __name__ == "__main__":
    sys.exit(guarded(main))
