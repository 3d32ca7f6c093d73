"""A Git server in the cluster, and repositories on it that somebody pushes to from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.platform import Object, Platform

NAMESPACE = "git"

_NAME = "git-server"
_PORT = 8080
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Repository:
    """A work tree, and where it is pushed to.

    Attributes:
        folder: of the work tree.
        url: of the repository, for those in the cluster.
        remote: of the same, for those outside.
    """

    folder: Path
    url: str
    remote: str

    def write(self, path: str, *objects: Object) -> None:
        """Write objects into a file; it is pushed with the next commit."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump_all(objects))

    def remove(self, path: str) -> None:
        """Remove a file."""
        (self.folder / path).unlink()

    def push(self, message: str, branch: str = "main") -> str:
        """Commit what is in the work tree and push it.

        Returns:
            The hash of the commit.
        """
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        self._git("push", "--quiet", "--force", self.remote, f"HEAD:refs/heads/{branch}")
        return self.head()

    def head(self) -> str:
        """The hash of the last commit."""
        return self._git("rev-parse", "HEAD").strip()

    @contextmanager
    def branch(self, name: str) -> Iterator[None]:
        """Work on another branch meanwhile."""
        self._git("checkout", "--quiet", "-B", name)
        try:
            yield
        finally:
            self._git("checkout", "--quiet", "--force", "main")

    def _git(self, *arguments: str) -> str:
        # Nobody's configuration: neither signatures, nor hooks, nor a proxy on the way to the port that is forwarded.
        ours = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "NO_PROXY": "*", "no_proxy": "*"}
        who = {f"GIT_{role}_{key}": "tests" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env={**os.environ, **ours, **who},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout


@contextmanager
def served(platform: Platform, image: str, names: Sequence[str], folder: Path) -> Iterator[list[Repository]]:
    """Empty repositories of these names, each with a work tree below a folder.

    Args:
        platform: whose namespace the server is in.
        image: of the server.
        names: of the repositories.
        folder: where the work trees are made.
    """
    platform.apply(*_server(platform.namespace, image, names))
    platform.wait("condition=Available", f"deployment/{_NAME}")
    with platform.forwarded(f"deployment/{_NAME}", _PORT) as port:
        repositories = [
            Repository(
                folder / name,
                url=f"http://{_NAME}.{platform.namespace}.svc:{_PORT}/{name}",
                remote=f"http://127.0.0.1:{port}/{name}",
            )
            for name in names
        ]
        for repository in repositories:
            shutil.rmtree(repository.folder, ignore_errors=True)
            repository.folder.mkdir(parents=True)
            repository._git("init", "--quiet", "--initial-branch=main")
        yield repositories


def _server(namespace: str, image: str, names: Sequence[str]) -> list[Object]:
    labels = {"app": _NAME}
    metadata = {"name": _NAME, "namespace": namespace}
    container = {
        "name": _NAME,
        "image": image,
        "args": list(names),
        "readinessProbe": {"tcpSocket": {"port": _PORT}, "periodSeconds": 1},
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [container], "enableServiceLinks": False},
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": _PORT}]},
        },
    ]
