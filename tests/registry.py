"""An OCI registry of the tests' own, on this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ci import registry
from tests.platform import eventually


@dataclass(frozen=True)
class Registry:
    """A registry that answers at a port of this machine.

    Attributes:
        port: of 127.0.0.1, and of the other addresses that it was asked to serve.
        folder: with all that it keeps, and its log.
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
def serving(folder: Path, *addresses: str) -> Iterator[Registry]:
    """A registry for as long as the context lasts.

    Args:
        folder: for what it keeps; made if it is not there.
        addresses: of this machine where it is to be reached besides 127.0.0.1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ExitStack() as stack:
        # One process for each address, over the same files: nobody else is served.
        for address in ("127.0.0.1", *addresses):
            stack.enter_context(_process(folder, address, port))
        yield Registry(port, folder)


@contextmanager
def _process(folder: Path, address: str, port: int) -> Iterator[None]:
    configuration = folder / f"{address}.json"
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"{address}:{port}"},
    }
    configuration.write_text(json.dumps(settings))
    command = [str(registry.program()), "serve", str(configuration)]
    log = folder / f"{address}.log"
    with log.open("wb") as sink, subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT) as process:
        try:

            def answers() -> bool:
                assert process.poll() is None, log.read_text()
                with socket.socket() as client:
                    return client.connect_ex((address, port)) == 0

            eventually(f"a registry at {address}:{port}", answers, lambda yes: yes, every_seconds=0.05)
            yield
        finally:
            process.terminate()
