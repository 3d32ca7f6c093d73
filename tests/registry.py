"""An OCI registry of the tests' own, on this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ci.nodes import Node
from ci.process import output
from ci.registry import program
from tests.platform import eventually

_SETTINGS = "registry.json"


@dataclass(frozen=True)
class Registry:
    """A registry that answers at a port of this machine.

    Attributes:
        port: of 127.0.0.1.
        folder: with all that it keeps, its settings, and its log.
    """

    port: int
    folder: Path

    @property
    def host(self) -> str:
        """The host as references have it."""
        return f"127.0.0.1:{self.port}"

    def tags(self, name: str) -> list[str]:
        """The tags of a repository."""
        with urllib.request.urlopen(f"http://{self.host}/v2/{name}/tags/list", timeout=10) as answer:
            return sorted(json.load(answer)["tags"])


@contextmanager
def serving(folder: Path) -> Iterator[Registry]:
    """A registry for as long as the context lasts.

    Args:
        folder: for what it keeps; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / _SETTINGS).write_text(json.dumps(settings))

    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    with _process([str(program()), "serve", str(folder / _SETTINGS)], folder / "registry.log", answers):
        yield Registry(port, folder)


@contextmanager
def within(node: Node, registry: Registry) -> Iterator[None]:
    """A registry in a node as well, at the same port of the node's own 127.0.0.1, for as long as the context lasts.

    The node then pulls by the references of this machine. containerd speaks plain HTTP to a registry at 127.0.0.1
    without being told so; for one at any other address its configuration would have to be changed, and it started
    again. It is a process over the same files in the node's network, so that no firewall is in between.
    """
    shared = [f"--volume={path}:{path}:ro" for path in (program(), registry.folder)]
    place = [f"--network=container:{node.container}", *shared, f"--entrypoint={program()}", node.image]
    command = ["docker", "run", "--rm", *place, "serve", str(registry.folder / _SETTINGS)]
    ask = ["docker", "exec", node.container, "curl", "--silent", "--fail", f"http://{registry.host}/v2/"]
    with _process(command, registry.folder / f"{node.container}.log", lambda: output(ask)[0] == 0):
        yield


@contextmanager
def _process(command: Sequence[str], log: Path, answers: Callable[[], bool]) -> Iterator[None]:
    with log.open("wb") as sink, subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT) as process:
        try:

            def answers_or_has_ended() -> bool:
                assert process.poll() is None, log.read_text()
                return answers()

            eventually(f"an answer of {command[0]}", answers_or_has_ended, lambda yes: yes, every_seconds=0.05)
            yield
        finally:
            process.terminate()
