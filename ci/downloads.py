"""Downloads that are what their checksum says."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from ci import host
from ci.console import Failure, Step

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30


def reachable(url: str) -> bool:
    """Whether the server of a URL can be used, decided within seconds."""
    parts = urlsplit(url)
    return host.reaches(f"{parts.scheme}://{parts.netloc}/")


def fetch(url: str, sha256: str, target: Path, step: Step) -> None:
    """Download a file and check it.

    :param sha256: the checksum in hexadecimal.
    :raises OSError: the download failed.
    :raises Failure: what came is not what the checksum says.
    """
    digest = hashlib.sha256()
    done = 0
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as source, target.open("wb") as sink:  # noqa: S310
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            sink.write(chunk)
            done += len(chunk)
            step.progress(f"{done / 1e6:.0f} MB")
    if digest.hexdigest() != sha256:
        target.unlink()
        raise Failure(
            f"{url} is not what versions.toml pins (SHA-256 {digest.hexdigest()}, pinned {sha256});"
            " do not use it, and find out who changed it."
        )


def extract(archive: Path, member: str, target: Path) -> None:
    """Take one file out of a .tar.gz.

    :raises Failure: it is not in there.
    """
    with tarfile.open(archive) as tar:
        try:
            source = tar.extractfile(member)
        except KeyError:
            source = None
        if source is None:
            raise Failure(f"{archive.name} holds no {member}; correct its entry in versions.toml.")
        with source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
