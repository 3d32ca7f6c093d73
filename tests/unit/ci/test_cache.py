"""Artifacts are whole or absent, and made once."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from ci.cache import Cache, default_root, key
from ci.console import Failure

pytestmark = pytest.mark.unit


def fill(folder: Path) -> None:
    (folder / "program").write_text("whole")


def test_make_builds_once(cache: Cache) -> None:
    calls: list[Path] = []

    def build(folder: Path) -> None:
        calls.append(folder)
        fill(folder)

    for _ in range(2):
        artifact = cache.make("program", "1", build)
    assert (artifact / "program").read_text() == "whole"
    assert len(calls) == 1


def test_another_key_is_another_artifact(cache: Cache) -> None:
    assert cache.make("program", "1", fill) != cache.make("program", "2", fill)


@pytest.mark.parametrize("interruption", [Failure("it broke"), KeyboardInterrupt(), OSError("disk")])
def test_a_build_that_does_not_end_leaves_nothing(cache: Cache, interruption: BaseException) -> None:
    def breaks(folder: Path) -> None:
        fill(folder)
        raise interruption

    with pytest.raises(type(interruption)):
        cache.make("program", "1", breaks)
    assert not cache.path("program", "1").exists()
    assert list(cache.folder("tmp").iterdir()) == []
    assert (cache.make("program", "1", fill) / "program").is_file()


def test_a_killed_build_is_not_taken_for_whole_and_is_cleared_away(cache: Cache) -> None:
    def killed(folder: Path) -> None:
        fill(folder)
        os._exit(0)

    child = os.fork()
    if child == 0:
        cache.make("killed", "1", killed)
    os.waitpid(child, 0)
    assert not cache.path("killed", "1").exists()
    assert [leftover.name for leftover in cache.folder("tmp").iterdir()] == ["killed-1"]

    cache.make("another", "1", fill)

    assert list(cache.folder("tmp").iterdir()) == []


def test_two_at_once_share_one_build_and_the_second_says_that_it_waits(cache: Cache, said: io.StringIO) -> None:
    built: list[str] = []
    begun, waited = threading.Event(), threading.Event()

    def slow(folder: Path) -> None:
        begun.set()
        assert waited.wait(10)
        built.append("first")
        fill(folder)

    first = threading.Thread(target=cache.make, args=("program", "1", slow))
    first.start()
    assert begun.wait(10)
    second = threading.Thread(target=Cache(cache.root).make, args=("program", "1", lambda _: built.append("second")))
    second.start()
    while "wait for another process" not in said.getvalue():
        assert second.is_alive()
    waited.set()
    first.join(10)
    second.join(10)
    assert built == ["first"]


def test_what_another_process_is_making_is_left_alone(cache: Cache) -> None:
    def look(folder: Path) -> None:
        fill(folder)
        Cache(cache.root).make("another", "1", fill)
        assert (folder / "program").is_file()

    cache.make("program", "1", look)
    assert (cache.path("program", "1") / "program").is_file()


def test_key_follows_the_content_of_files(tmp_path: Path) -> None:
    file = tmp_path / "recipe" / "Dockerfile"
    file.parent.mkdir()
    file.write_text("FROM scratch")
    before = key("1.0", tmp_path / "recipe", file)
    assert key("1.0", tmp_path / "recipe", file) == before
    assert key("1.1", tmp_path / "recipe", file) != before
    file.write_text("FROM debian")
    assert key("1.0", tmp_path / "recipe", file) != before


def test_key_follows_the_names_of_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("same")
    before = key(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert key(tmp_path) != before


def test_key_does_not_run_inputs_together() -> None:
    assert key("ab", "c") != key("a", "bc")


def test_root_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("CI_CACHE_DIR", str(tmp_path / "own"))
    assert default_root() == tmp_path / "own"
    monkeypatch.delenv("CI_CACHE_DIR")
    assert default_root() == tmp_path / "xdg" / "kind-from-anywhere"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".cache" / "kind-from-anywhere"


def test_a_cache_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="set CI_CACHE_DIR"):
        Cache(tmp_path / "file" / "cache").make("program", "1", fill)
