"""The operators that are measured: each from its own chart, as its own ServiceAccount, in its own environment.

The chart is installed with Helm, so that the rights are the chart's. The Pod that comes of it lies on a node without
a machine and runs nothing; what it says is run here, as a process: the image's command with the Pod's arguments and
environment, and a token of the Pod's ServiceAccount. That way both operators have the same Python, and neither needs
an image or a container engine.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ci import tools
from ci.cache import key
from scripts import environments
from tests import public
from tests.bench.control_plane import (
    OPERATOR_NAMESPACE,
    ControlPlane,
    free_ports,
    process,
    wait_until,
    write_kubeconfig,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench"
RELEASE = "operator"

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Operator:
    """An operator that can be installed.

    Attributes:
        name: of its arm.
        chart: its chart.
        environment: the virtual environment with it.
        entrypoint: what its image starts: a program of the environment and its first arguments.
        port_variable: the environment variable that says where it serves health and metrics; empty if there is none.
    """

    name: str
    chart: pathlib.Path
    environment: pathlib.Path
    entrypoint: tuple[str, ...]
    port_variable: str = ""

    def version(self, package: str) -> str:
        """The version of a package in the operator's environment."""
        program = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
        command = [str(self.environment / "bin" / "python"), "-c", program, package]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True)
class Running:
    """An operator at work.

    Attributes:
        user: who it is to the API server.
        pid: of its process.
    """

    user: str
    pid: int

    def resident_mb(self) -> float:
        """Memory that is resident, in MB of a million bytes."""
        return self._status_mb("VmRSS")

    def peak_resident_mb(self) -> float:
        """The most that ever was."""
        return self._status_mb("VmHWM")

    def cpu_seconds(self) -> float:
        """CPU time since its start, in user and kernel mode."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def _status_mb(self, field: str) -> float:
        found = re.search(rf"{field}:\s+(\d+) kB", pathlib.Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return int(found[1]) * 1024 / 1e6


def ours() -> Operator:
    """The operator of this tree: chart and controller as they are now, also when they change while it is measured."""
    controller = ROOT / "controller"
    folder = environments.ensure("ours", key(controller), _install_controller)
    chart = BUILD / "chart"
    shutil.rmtree(chart, ignore_errors=True)
    shutil.copytree(ROOT / "chart" / "dask-kubernetes-operator", chart)
    entrypoint = re.search(r"^ENTRYPOINT (\[.*\])$", (controller / "Dockerfile").read_text(), re.MULTILINE)
    assert entrypoint, "controller/Dockerfile has no ENTRYPOINT"
    return Operator("ours", chart, folder, tuple(json.loads(entrypoint[1])), "DASK_OPERATOR_HTTP_PORT")


def peer() -> Operator:
    """The public operator, with the chart and the definitions that its wheel brings."""
    entrypoint = ("kopf", "run", "-m", "dask_kubernetes.operator.controller")
    return Operator("peer", public.chart(), public.installed(), entrypoint)


def install(operator: Operator, plane: ControlPlane) -> None:
    """Install an operator's chart, and wait until its Pod is there."""
    helm = str(tools.ensure(["helm"])["helm"])
    environment = {**os.environ, "KUBECONFIG": str(plane.server.kubeconfig)}
    # No tag is built, and none is pulled.
    command = [
        helm,
        "install",
        RELEASE,
        str(operator.chart),
        "--namespace",
        OPERATOR_NAMESPACE,
        "--set=image.tag=bench",
    ]
    subprocess.run([*command, "--wait", "--timeout=60s"], env=environment, check=True, capture_output=True)
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


@contextlib.contextmanager
def running(operator: Operator, plane: ControlPlane, variables: Mapping[str, str]) -> Iterator[Running]:
    """Run what the operator's Pod says, and stop it at the end.

    Args:
        operator: which one.
        plane: where it was installed.
        variables: additional environment variables.

    Raises:
        RuntimeError: it does not say that it is ready; the message names its log.
    """
    pod = _pod(plane)
    (container,) = pod["spec"]["containers"]
    account = pod["spec"]["serviceAccountName"]
    token = plane.service_account_token(account)
    home = plane.folder / f"{operator.name}-home"
    home.mkdir(exist_ok=True)
    port, health_port = free_ports(2)
    environment = {
        "PATH": f"{operator.environment / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "KUBECONFIG": str(write_kubeconfig(home / "kubeconfig", plane.url, token)),
        "PYTHONUNBUFFERED": "1",
        **_container_environment(pod, container),
        **({operator.port_variable: str(port)} if operator.port_variable else {}),
        **variables,
    }
    # Elsewhere the Pod's ports may be taken.
    arguments = [_LIVENESS.sub(rf"\g<1>127.0.0.1:{health_port}/", word) for word in container.get("args", ())]
    has_liveness = arguments != container.get("args", [])
    probe = (container.get("readinessProbe") or container["livenessProbe"])["httpGet"]
    url = f"http://127.0.0.1:{health_port if has_liveness else port}{probe['path']}"
    program, *fixed = operator.entrypoint
    log = plane.folder / f"{operator.name}.log"
    with process([operator.environment / "bin" / program, *fixed, *arguments], log, environment) as started:
        wait_until(lambda: _answers(url), f"{operator.name} is ready, see {log}")
        yield Running(f"system:serviceaccount:{OPERATOR_NAMESPACE}:{account}", started.pid)


# kopf's own endpoint for probes, such as --liveness=http://0.0.0.0:8080/healthz.
_LIVENESS = re.compile(r"^(--liveness=http://)[^/]*/")


def _pod(plane: ControlPlane) -> dict[str, Any]:
    answer = plane.kubectl(
        *("get", "pods", "--namespace", OPERATOR_NAMESPACE, "--output=json"),
        f"--selector=app.kubernetes.io/instance={RELEASE}",
    )
    (pod,) = json.loads(answer)["items"]
    return dict(pod)


def _container_environment(pod: dict[str, Any], container: dict[str, Any]) -> dict[str, str]:
    fields = {f"metadata.{field}": pod["metadata"][field] for field in ("name", "namespace", "uid")}
    return {
        variable["name"]: variable["value"]
        if "value" in variable
        else fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        for variable in container.get("env", ())
    }


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - the chart's own http URL
            return bool(response.status == 200)
    except OSError:
        return False


def _install_controller(environment: environments.Environment) -> None:
    controller = ROOT / "controller"
    environment.pip("sync", "--require-hashes", str(controller / "requirements.txt"))
    wheels = environment.folder / "wheels"
    # Built with what the workspace has, as everything here is built.
    build = ("build", "--wheel", "--no-build-isolation", "--python", sys.executable)
    environment.uv(*build, "--out-dir", str(wheels), str(controller))
    environment.pip("install", "--no-deps", "--compile-bytecode", *map(str, wheels.glob("*.whl")))
