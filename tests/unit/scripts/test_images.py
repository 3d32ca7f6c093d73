"""Builds of older revisions, as far as git goes."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from ci.console import Failure
from scripts import images

pytestmark = pytest.mark.unit


def git(*arguments: str, cwd: pathlib.Path) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=cwd, capture_output=True, check=True, text=True
    ).stdout.strip()


@pytest.fixture
def history(tmp_path: pathlib.Path) -> tuple[pathlib.Path, str]:
    """A repository with two commits, and the first one of them."""
    repository = tmp_path / "whole"
    repository.mkdir()
    git("init", "--quiet", cwd=repository)
    for content in ("old", "new"):
        (repository / "chartpress.yaml").write_text(content)
        git("add", "--all", cwd=repository)
        git("commit", "--quiet", f"--message={content}", cwd=repository)
    return repository, git("rev-parse", "HEAD^", cwd=repository)


def test_older_revision_is_built_as_it_was(
    history: tuple[pathlib.Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, first = history
    (repository / "chartpress.yaml").write_text("being changed")
    monkeypatch.setattr(images, "ROOT", repository)
    with images.snapshot(first) as tree:
        assert (tree / "chartpress.yaml").read_text() == "old"
        assert git("rev-parse", "HEAD", cwd=tree) == first
    with images.snapshot(None) as tree:
        assert (tree / "chartpress.yaml").read_text() == "being changed"


def test_history_that_does_not_reach_back_is_told(
    history: tuple[pathlib.Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    repository, first = history
    shallow = tmp_path / "shallow"
    git("clone", "--quiet", "--depth=1", f"file://{repository}", str(shallow), cwd=tmp_path)
    monkeypatch.setattr(images, "ROOT", shallow)
    with pytest.raises(Failure, match=f"does not reach back to {first}; get all of it with: git fetch --unshallow"):
        images.snapshot(first).__enter__()
