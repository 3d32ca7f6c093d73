"""What the machine is and can do, from files and answers made for it."""

from __future__ import annotations

import email.message
import platform
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci import host
from ci.console import Failure

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("bounding_set", "lacks"),
    [("000001fffeffffff", True), ("000001ffffffffff", False), ("0000000001000000", False), ("0", True)],
)
def test_the_bounding_set_says_whether_the_capability_is_there(
    tmp_path: Path, bounding_set: str, lacks: bool
) -> None:
    status = tmp_path / "status"
    # The effective set is another line, which says nothing about what a container can be given.
    status.write_text(f"Name:\tpython\nCapEff:\t000001ffffffffff\nCapBnd:\t{bounding_set}\n")
    assert host.lacks_sys_resource(status) is lacks


def test_a_machine_without_that_file_lacks_nothing(tmp_path: Path) -> None:
    assert not host.lacks_sys_resource(tmp_path / "none")


def test_cgroup_versions_are_told_apart(tmp_path: Path) -> None:
    assert host.has_cgroup_v1(tmp_path)
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    assert not host.has_cgroup_v1(tmp_path)
    assert not host.has_cgroup_v1(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ID=debian\n", True),
        ('ID=ubuntu\nID_LIKE="debian"\n', True),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
        ('ID=fedora\nPRETTY_NAME="not debian"\n', False),
    ],
)
def test_debian_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    release = tmp_path / "os-release"
    release.write_text(text)
    assert host.is_debian(release) is expected


def test_without_apt_get_it_is_no_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    (tmp_path / "os-release").write_text("ID=debian\n")
    assert not host.is_debian(tmp_path / "os-release")


def test_a_disk_without_room_is_a_sentence(tmp_path: Path) -> None:
    host.require_disk(tmp_path / "not" / "made" / "yet", 0, "building")
    with pytest.raises(Failure, match=r"^building needs about 1e\+06 GB and .* GB free; free some space"):
        host.require_disk(tmp_path / "not" / "made" / "yet", 10**6, "building")


def test_an_unknown_machine_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(Failure, match="riscv64 machines are not supported"):
        host.architecture()


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    host.reaches.cache_clear()
    yield
    host.reaches.cache_clear()


@pytest.mark.parametrize(
    ("status", "expected"), [(401, True), (404, True), (403, False), (407, False), (502, False), (503, False)]
)
def test_only_the_server_itself_counts_as_reached(
    monkeypatch: pytest.MonkeyPatch, status: int, expected: bool
) -> None:
    def answer(*_: object, **__: object) -> None:
        raise urllib.error.HTTPError("https://example", status, "", email.message.Message(), None)

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    assert host.reaches(f"https://example/{status}") is expected


def test_a_name_that_does_not_resolve_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    assert not host.reaches("https://example/")


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hang(*_: object) -> bool:
        return answered.wait(30)

    monkeypatch.setattr(host, "_answers", hang)
    assert not host.reaches("https://example/", 0.05)
    answered.set()


def test_a_server_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(url: str, _: float) -> bool:
        asked.append(url)
        return True

    monkeypatch.setattr(host, "_answers", answer)
    assert host.reaches("https://example/")
    assert host.reaches("https://example/")
    assert asked == ["https://example/"]
