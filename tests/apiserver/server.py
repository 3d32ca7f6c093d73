"""A real API server with a real etcd, nothing else: no nodes, no controllers."""

from __future__ import annotations

import contextlib
import json
import pathlib
import secrets
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

START_SECONDS = 60.0
GROUP_PATH = "/apis/kubernetes.dask.org/v1"


@dataclass(frozen=True)
class Answer:
    """What the API server answered.

    Attributes:
        status: HTTP status code.
        body: the parsed JSON body.
        warnings: its ``Warning`` headers.
    """

    status: int
    body: dict[str, Any]
    warnings: tuple[str, ...]

    @property
    def message(self) -> str:
        """Message of the Status object that a refusal is."""
        return str(self.body.get("message", ""))


class ApiServer:
    """A running API server.

    Attributes:
        version: such as ``1.36.3``.
        kubeconfig: a file that makes kubectl an administrator of it.
        binaries: the directory with kubectl of the same version.
    """

    def __init__(self, version: str, binaries: pathlib.Path, folder: pathlib.Path, port: int, token: str) -> None:
        self.version = version
        self.kubeconfig = folder / "kubeconfig"
        self.binaries = binaries
        self._url = f"https://127.0.0.1:{port}"
        self._token = token
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE  # it signs for itself, and listens on the loopback only
        self.kubeconfig.write_text(json.dumps(_kubeconfig(self._url, token)), encoding="utf-8")

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        **parameters: str,
    ) -> Answer:
        """Sends a request, its body as JSON unless it is bytes; a refusal is an answer like any other."""
        url = f"{self._url}{path}" + (f"?{urllib.parse.urlencode(parameters)}" if parameters else "")
        request = urllib.request.Request(  # noqa: S310 - always https
            url,
            data=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": content_type},
        )
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as response:  # noqa: S310
                return _answer(response.status, response.read(), response.headers.get_all("Warning"))
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.read(), error.headers.get_all("Warning"))

    def kubectl(self, *arguments: str, stdin: Any = None) -> subprocess.CompletedProcess[str]:
        """Runs kubectl of the same version; `stdin` is sent as JSON unless it is text."""
        text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
        command = [str(self.binaries / "kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False)

    def is_ready(self) -> bool:
        """Whether it answers and says that it is ready."""
        try:
            return self.request("GET", "/readyz").status == 200
        except (urllib.error.URLError, ConnectionError, ssl.SSLError, json.JSONDecodeError):
            return False


def resource_path(resource: dict[str, Any], namespace: str = "default", named: bool = False) -> str:
    """Path of the collection that a custom resource belongs to, or of the resource itself."""
    collection = f"{GROUP_PATH}/namespaces/{namespace}/{resource['kind'].lower()}s"
    return f"{collection}/{resource['metadata']['name']}" if named else collection


@contextlib.contextmanager
def running(version: str, binaries: pathlib.Path, folder: pathlib.Path, *flags: str) -> Iterator[ApiServer]:
    """Starts etcd and an API server on free ports; stops both at the end.

    Args:
        version: of the binaries, for people.
        binaries: a directory with etcd, kube-apiserver and kubectl.
        folder: an empty directory for their data and logs.
        flags: more of them for the API server.

    Raises:
        RuntimeError: it was not ready in time; the message has the end of its log.
    """
    etcd_port, peer_port, port = _free_ports(3)
    token = secrets.token_hex(16)
    (folder / "tokens").write_text(f"{token},admin,admin,system:masters\n", encoding="utf-8")
    etcd = _etcd_command(binaries, folder, etcd_port, peer_port)
    apiserver = [*_apiserver_command(binaries, folder, etcd_port, port), *flags]
    with _process(etcd, folder / "etcd.log"), _process(apiserver, folder / "apiserver.log") as process:
        server = ApiServer(version, binaries, folder, port, token)
        deadline = time.monotonic() + START_SECONDS
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                log = (folder / "apiserver.log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"kube-apiserver {version} is not ready:\n{log[-2000:]}")
            time.sleep(0.05)  # it has nothing to wait on before it listens
        yield server


def _etcd_command(binaries: pathlib.Path, folder: pathlib.Path, port: int, peer_port: int) -> list[str]:
    url, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        str(binaries / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=error",
    ]


def _apiserver_command(binaries: pathlib.Path, folder: pathlib.Path, etcd_port: int, port: int) -> list[str]:
    # Its own serving key signs service account tokens too: nobody asks for one here, and it insists on having a key.
    key = folder / "apiserver.key"
    return [
        str(binaries / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={folder / 'tokens'}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--endpoint-reconciler-type=none",
    ]


@contextlib.contextmanager
def _process(command: list[str], log: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _kubeconfig(url: str, token: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }


def _answer(status: int, content: bytes, warnings: list[str] | None) -> Answer:
    body = json.loads(content) if content.startswith(b"{") else {"message": content.decode(errors="replace")}
    return Answer(status, body, tuple(warnings or ()))
