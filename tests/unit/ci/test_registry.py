"""Where the registry's program comes from, as far as no mirror is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci import debian, host, registry
from ci.cache import Cache
from ci.console import Failure

pytestmark = pytest.mark.unit


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of one empty folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str) -> Path:
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def test_the_program_on_path_is_taken(cache: Cache, path: Path) -> None:
    there = program(path, "docker-registry")
    assert registry.program(cache) == there


def test_elsewhere_than_on_debian_it_is_asked_for(cache: Cache, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "is_debian", lambda: False)
    with pytest.raises(Failure, match=r"there is no docker-registry here.*put one of that name on PATH"):
        registry.program(cache)
    assert list(path.iterdir()) == []


def test_program_that_is_there_is_not_installed(cache: Cache, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "gpg")
    monkeypatch.setattr(host, "is_root", lambda: False)
    debian.install_program("gpg", "gnupg", cache)


@pytest.mark.parametrize(("root", "is_debian"), [(False, True), (True, False)])
def test_program_that_cannot_be_installed_is_asked_for(
    cache: Cache, path: Path, monkeypatch: pytest.MonkeyPatch, root: bool, is_debian: bool
) -> None:
    monkeypatch.setattr(host, "is_root", lambda: root)
    monkeypatch.setattr(host, "is_debian", lambda: is_debian)
    with pytest.raises(Failure, match="gpg is not installed; install it and run the command again"):
        debian.install_program("gpg", "gnupg", cache)
    assert list(path.iterdir()) == []
