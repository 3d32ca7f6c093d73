"""Artifacts under a key made of their inputs: whole or absent, and made once however many ask at the same time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ci.console import Failure, console

NAME = "kind-from-anywhere"


def default_root() -> Path:
    """``CI_CACHE_DIR``, else ``$XDG_CACHE_HOME/kind-from-anywhere``, else the same below ``~/.cache``."""
    if chosen := os.environ.get("CI_CACHE_DIR"):
        return Path(chosen).absolute()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / NAME


def key(*inputs: object) -> str:
    """A short hash of JSON-like inputs; paths stand for the content of the file, or of every file below a folder."""
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, Path):
            digest.update(_content_hash(item).encode())
        else:
            digest.update(json.dumps(item, sort_keys=True).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _content_hash(path: Path) -> str:
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    listing = [(file.relative_to(path).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


class Cache:
    """One cache directory: ``artifacts/`` are whole, those in ``tmp/`` are being made."""

    def __init__(self, root: Path | None = None) -> None:
        """:param root: the directory; :func:`default_root` unless given. It is made when first written to."""
        self.root = root or default_root()

    def folder(self, name: str) -> Path:
        """A folder of the cache, made if it is not there.

        :raises Failure: it cannot be made.
        """
        path = self.root / name
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failure(
                f"the cache directory {path} cannot be made ({error.strerror}); set CI_CACHE_DIR to one that can."
            ) from error
        return path

    def log(self, name: str) -> Path:
        """A fresh log file for a build."""
        path = self.folder("logs") / f"{name}.log"
        path.write_bytes(b"")
        return path

    def path(self, name: str, key: str) -> Path:
        """Where an artifact is once it is whole."""
        return self.root / "artifacts" / f"{name}-{key}"

    @contextmanager
    def lock(self, name: str, what: str) -> Iterator[None]:
        """Hold a lock that is shared by all processes using this cache; says so when it has to wait.

        :param what: what another process may be busy with ("the build of kubectl").
        """
        path = self.folder("locks") / f"{name}.lock"
        with path.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with console.step(f"wait for another process: {what}"):
                    fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def workspace(self, name: str, what: str) -> Iterator[Path]:
        """An empty directory to make something in, on the cache's file system; it is removed in the end.

        The lock of that name is held meanwhile, so that a directory whose lock is free is a leftover.

        :param what: as for :meth:`lock`.
        """
        with self.lock(name, what):
            self._sweep()
            folder = self.folder("tmp") / name
            _remove(folder)
            folder.mkdir()
            try:
                yield folder
            finally:
                _remove(folder)

    def make(self, name: str, key: str, build: Callable[[Path], None]) -> Path:
        """The artifact of that name and key, built first if it is not there.

        :param build: fills the empty directory it is given. Whatever interrupts it, a part is never taken for the
            whole.
        :returns: the artifact's directory.
        """
        artifact = self.path(name, key)
        if artifact.is_dir():
            return artifact
        with self.workspace(f"{name}-{key}", f"the making of {name}") as folder:
            if not artifact.is_dir():
                whole = folder / "whole"
                whole.mkdir()
                build(whole)
                _flush(whole)
                self.folder("artifacts")
                whole.rename(artifact)
        return artifact

    def _sweep(self) -> None:
        """Remove what interrupted builds left behind: temporaries whose lock nobody holds."""
        for leftover in list(self.folder("tmp").iterdir()):
            with (self.folder("locks") / f"{leftover.name}.lock").open("w") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                _remove(leftover)


def _flush(tree: Path) -> None:
    """Have the content on disk before the name is: a power cut must not leave a whole name on empty files."""
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())


def _remove(tree: Path) -> None:
    """Remove a tree that is ours; one with something mounted in it is left alone."""
    if not tree.exists():
        return
    mounts = Path("/proc/self/mounts")
    if mounts.exists() and any(f" {tree}/" in line for line in mounts.read_text().splitlines()):
        return
    shutil.rmtree(tree, ignore_errors=True)
