"""A Kubernetes control plane of its own for every measurement: real programs, nodes without machines.

It starts in seconds, nobody else's load is in it, and two operators whose definitions are in each other's way can
each have one that is the same in everything else.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ci import tools
from ci.cache import Cache
from ci.kubernetes import binaries
from ci.pins import pins
from tests.apiserver.server import ApiServer
from tests.fake_nodes import STAGES

START_SECONDS = 60.0
STOP_SECONDS = 10.0

ADMINISTRATOR = "bench"
OPERATOR_NAMESPACE = "dask-operator"
NAMESPACE = "bench"

NODES = 5
PODS_PER_NODE = 1000

# What the measured operators ask for and what the benchmark itself changes is logged, and nothing else.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "userGroups": [f"system:serviceaccounts:{OPERATOR_NAMESPACE}"]},
        {"level": "Metadata", "users": [ADMINISTRATOR], "verbs": ["create", "patch", "delete"]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True)
class ControlPlane:
    """A control plane that runs, with nodes that are ready and two namespaces: the operator's and the workloads'.

    Attributes:
        server: its API server, as an administrator.
        url: of the API server.
        token: of the administrator.
        audit_log: the API server's audit log, a JSON document a line.
        folder: for the files of whatever runs beside it.
    """

    server: ApiServer
    url: str
    token: str
    audit_log: pathlib.Path
    folder: pathlib.Path

    def kubectl(self, *arguments: str, stdin: Any = None) -> str:
        """Run kubectl as the administrator and return what it prints.

        Raises:
            RuntimeError: it failed; the message is what it said.
        """
        answer = self.server.kubectl(*arguments, stdin=stdin)
        if answer.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {answer.stderr.strip()}")
        return answer.stdout

    def service_account_token(self, name: str) -> str:
        """A token of a ServiceAccount in the operator's namespace, good for a day."""
        return self.kubectl("create", "token", name, "--namespace", OPERATOR_NAMESPACE, "--duration=24h").strip()


@contextlib.contextmanager
def control_plane(folder: pathlib.Path, kubernetes: str) -> Iterator[ControlPlane]:
    """Start etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok; stop them at the end.

    Authorization is RBAC and every rate limit is what it is by default. etcd does not wait for the disk.

    Args:
        folder: an empty directory for data and logs.
        kubernetes: its version.

    Raises:
        RuntimeError: something was not ready in time; the message names its log.
    """
    programs = binaries(pins().kubernetes(kubernetes), Cache())
    kwok = tools.ensure(["kwok"])["kwok"]
    etcd_port, peer_port, port = free_ports(3)
    url = f"https://127.0.0.1:{port}"
    tokens = {
        user: secrets.token_hex(16)
        for user in (ADMINISTRATOR, "system:kube-controller-manager", "system:kube-scheduler", "kwok")
    }
    masters = {ADMINISTRATOR, "kwok"}
    rows = [f"{token},{user},{user},{'system:masters' * (user in masters)}" for user, token in tokens.items()]
    (folder / "tokens").write_text("\n".join(rows), encoding="utf-8")
    (folder / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY), encoding="utf-8")

    def login(user: str) -> pathlib.Path:
        return write_kubeconfig(folder / f"{user}.kubeconfig", url, tokens[user])

    with contextlib.ExitStack() as stack:

        def start(command: Sequence[str | pathlib.Path]) -> None:
            stack.enter_context(process(command, folder / f"{pathlib.Path(command[0]).name}.log"))

        start(_etcd(programs, folder, etcd_port, peer_port))
        start(_apiserver(programs, folder, etcd_port, port))
        server = ApiServer(kubernetes, programs, folder, port, tokens[ADMINISTRATOR])
        plane = ControlPlane(server, url, tokens[ADMINISTRATOR], folder / "audit.log", folder)
        wait_until(server.is_ready, f"kube-apiserver is ready, see {folder}/kube-apiserver.log")
        start(_controller_manager(programs, folder, login("system:kube-controller-manager")))
        start([programs / "kube-scheduler", f"--kubeconfig={login('system:kube-scheduler')}", *_ALONE])
        start(
            [
                *(kwok, f"--kubeconfig={login('kwok')}", "--manage-all-nodes=true", f"--config={STAGES}"),
                "--node-lease-duration-seconds=40",
            ]
        )
        _populate(plane)
        wait_until(lambda: _is_populated(plane), f"the nodes are ready, see {folder}/kwok.log")
        yield plane


@contextlib.contextmanager
def process(
    command: Sequence[str | pathlib.Path], log: pathlib.Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the background, its output appended to a log; end it at the end."""
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=None if environment is None else dict(environment),
            start_new_session=True,  # an interruption is for the benchmark, which then ends its programs in order
        ) as running,
    ):
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)


def wait_until(holds: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Ask until something holds that cannot be waited for.

    Raises:
        RuntimeError: it did not in time.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """TCP ports of the loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def write_kubeconfig(path: pathlib.Path, url: str, token: str) -> pathlib.Path:
    """Write a kubeconfig for the bearer of a token."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        # The server signs for itself, and listens on the loopback only.
        "clusters": [{"name": "bench", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "bench", "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench", "namespace": NAMESPACE}}],
        "current-context": "bench",
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


# One of each, and nobody asks them anything.
_ALONE = ("--leader-elect=false", "--secure-port=0")


def _etcd(programs: pathlib.Path, folder: pathlib.Path, port: int, peer_port: int) -> list[str | pathlib.Path]:
    url, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        programs / "etcd",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=error",
    ]


def _apiserver(programs: pathlib.Path, folder: pathlib.Path, etcd_port: int, port: int) -> list[str | pathlib.Path]:
    key = folder / "apiserver.key"
    return [
        programs / "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={folder / 'tokens'}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/12",
        "--endpoint-reconciler-type=none",
        f"--audit-policy-file={folder / 'audit-policy.json'}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--audit-log-mode=blocking",  # an answer is logged before it is given
    ]


def _controller_manager(
    programs: pathlib.Path, folder: pathlib.Path, kubeconfig: pathlib.Path
) -> list[str | pathlib.Path]:
    return [
        programs / "kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        # As kubeadm has it: every controller has credentials and a rate limit of its own.
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={folder / 'apiserver.key'}",
        f"--root-ca-file={folder / 'apiserver.crt'}",
        *_ALONE,
    ]


def _populate(plane: ControlPlane) -> None:
    room = {"cpu": "4000", "memory": "16Ti", "pods": str(PODS_PER_NODE)}
    objects: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": (name := f"fake-{index}"), "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": room, "capacity": room},
        }
        for index in range(NODES)
    ]
    objects += [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in (OPERATOR_NAMESPACE, NAMESPACE)
    ]
    plane.kubectl("create", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": objects})


def _is_populated(plane: ControlPlane) -> bool:
    """Whether Pods can be made, and would be placed."""
    nodes = json.loads(plane.kubectl("get", "nodes", "-o", "json"))["items"]
    # The controller manager takes the taint away that keeps Pods off a node that is not ready.
    accounts = [
        plane.kubectl("get", "serviceaccount", "default", "--ignore-not-found", "-o", "name", "-n", namespace)
        for namespace in (OPERATOR_NAMESPACE, NAMESPACE)
    ]
    return all(accounts) and not any(node["spec"].get("taints") for node in nodes)
