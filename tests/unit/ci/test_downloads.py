"""Downloads, from files on this machine: what is kept is what was pinned."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from ci.console import Console, Failure, Step
from ci.downloads import extract, fetch

pytestmark = pytest.mark.unit


@pytest.fixture
def step() -> Step:
    return Step(Console(io.StringIO()), "download")


def test_what_is_pinned_is_kept(tmp_path: Path, step: Step) -> None:
    (tmp_path / "release").write_bytes(b"program")
    fetch((tmp_path / "release").as_uri(), hashlib.sha256(b"program").hexdigest(), tmp_path / "target", step)
    assert (tmp_path / "target").read_bytes() == b"program"


def test_anything_else_is_refused_and_removed(tmp_path: Path, step: Step) -> None:
    (tmp_path / "release").write_bytes(b"something else")
    with pytest.raises(Failure, match=r"is not what versions\.toml pins"):
        fetch((tmp_path / "release").as_uri(), hashlib.sha256(b"program").hexdigest(), tmp_path / "target", step)
    assert not (tmp_path / "target").exists()


def test_a_download_that_fails_is_no_failure_of_the_checksum(tmp_path: Path, step: Step) -> None:
    with pytest.raises(OSError, match="no-such-file"):
        fetch((tmp_path / "no-such-file").as_uri(), "0" * 64, tmp_path / "target", step)


def test_one_file_is_taken_out_of_an_archive(tmp_path: Path) -> None:
    (tmp_path / "helm").write_bytes(b"program")
    with tarfile.open(tmp_path / "archive.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "helm", "linux-amd64/helm")
    extract(tmp_path / "archive.tar.gz", "linux-amd64/helm", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"program"
    with pytest.raises(Failure, match=r"archive\.tar\.gz holds no linux-arm64/helm"):
        extract(tmp_path / "archive.tar.gz", "linux-arm64/helm", tmp_path / "other")
