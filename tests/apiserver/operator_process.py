"""The operator as a process, on a real API server."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.apiserver.server import ApiServer

START_SECONDS = 60.0


@dataclass
class OperatorProcess:
    """A running operator.

    Attributes:
        port: where it serves health and metrics.
        log: the file that it logs to.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: pathlib.Path

    def get(self, path: str, port: int | None = None) -> tuple[int, str]:
        """What it answers over HTTP; status 0 when nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError as error:
            return 0, str(error)
        finally:
            connection.close()

    def wait_until(self, path: str, status: int, contains: str = "") -> str:
        """Wait for an answer.

        Raises:
            AssertionError: it has not come in time, or the process has ended; with the end of the log.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            answer = self.get(path)
            if answer[0] == status and contains in answer[1]:
                return answer[1]
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.tail()}"
            assert time.monotonic() < deadline, f"{path} answers {answer}: {self.tail()}"
            time.sleep(0.1)  # there is nothing to wait on

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8")[-4000:]

    def kill(self) -> None:
        """End it without a warning."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as the kubelet does; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextlib.contextmanager
def operator(
    kubeconfig: pathlib.Path,
    log: pathlib.Path,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    site: pathlib.Path | None = None,
) -> Iterator[OperatorProcess]:
    """Run the operator as its image does, and end it whatever becomes of the test.

    Args:
        kubeconfig: the credentials that it uses.
        log: a file to log to.
        arguments: flags of kopf.
        environ: its settings.
        site: a folder with distributions that it is to have, e.g. plugins.
    """
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("DASK_", "KOPF_", "POD_"))},
        "PYTHONPATH": os.pathsep.join([*([str(site)] if site else []), *sys.path]),
        "KUBECONFIG": str(kubeconfig),
        "DASK_OPERATOR_HTTP_PORT": str(port),
        **(environ or {}),
    }
    command = [sys.executable, "-m", "kopf", "run", "--module", "dask_kubernetes_operator.handlers", *arguments]
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stderr=output) as process:
        try:
            yield OperatorProcess(process, port, log)
        finally:
            process.kill()


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def kubeconfig_of(server: ApiServer, namespace: str, account: str, folder: pathlib.Path) -> pathlib.Path:
    """A kubeconfig with the credentials of a ServiceAccount."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    config = json.loads(server.kubeconfig.read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": server.request("POST", path, request).body["status"]["token"]}
    file = folder / f"kubeconfig-{account}"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file
