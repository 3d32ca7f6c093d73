"""Which engine is used, and what is said where there is none."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from ci import engine, host
from ci.cache import Cache
from ci.console import Failure

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("no_engine")]

NONE_RUNS = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine, on a Debian, as root; nothing may be installed."""
    monkeypatch.setattr(engine, "output", lambda *_, **__: (1, "", NONE_RUNS))
    monkeypatch.setattr(engine, "_install", lambda _: pytest.fail("something was installed"))
    monkeypatch.setattr(host, "system", lambda: "linux")
    monkeypatch.setattr(host, "is_root", lambda: True)
    monkeypatch.setattr(host, "is_debian", lambda: True)


def test_an_engine_that_runs_is_used(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "output", lambda *_, **__: (0, "28.1.0\n", ""))
    assert engine.ensure(cache) == "28.1.0"
    assert engine.runs()


def test_a_client_without_an_engine_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    # Some versions of the client end with status 0 when the engine does not answer.
    monkeypatch.setattr(engine, "output", lambda *_, **__: (0, "\n", NONE_RUNS))
    assert not engine.runs()


def test_no_permission_on_the_socket(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "permission denied while trying to connect to the Docker daemon socket"
    monkeypatch.setattr(engine, "output", lambda *_, **__: (1, "", said))
    with pytest.raises(Failure, match=r"add yourself to the group docker"):
        engine.ensure(cache)


def test_the_engine_of_docker_host_is_not_replaced_by_another(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    with pytest.raises(Failure, match=r"DOCKER_HOST=tcp://10\.0\.0\.1:2375; start it or unset"):
        engine.ensure(cache)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("system", "darwin", "start Docker Desktop"),
        ("is_root", False, "sudo systemctl start docker"),
        ("is_debian", False, "install Docker, start it"),
    ],
)
def test_where_none_can_be_started(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, name: str, value: object, sentence: str
) -> None:
    monkeypatch.setattr(host, name, lambda: value)
    with pytest.raises(Failure, match=f"^no Docker engine runs.*{sentence}"):
        engine.ensure(cache)


def test_an_engine_with_containers_is_left_running(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, said: io.StringIO
) -> None:
    monkeypatch.setattr(engine, "_our_daemon", lambda _: os.getpid())
    monkeypatch.setattr(engine, "output", lambda *_, **__: (0, "dev-control-plane\nother\n", ""))
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("it was stopped"))
    assert not engine.stop(cache)
    assert said.getvalue() == "the Docker engine is left running for its containers: dev-control-plane, other\n"


@pytest.mark.usefixtures("said")
def test_only_an_engine_of_ours_is_stopped(cache: Cache) -> None:
    assert not engine.stop(cache)
    pid_file = cache.folder("engine") / "dockerd.pid"
    # The number of some process that is alive, as after a reboot.
    pid_file.write_text(str(os.getpid()))
    assert not engine.stop(cache)
    pid_file.write_text("not a number")
    assert not engine.stop(cache)


def test_an_engine_that_does_not_start_shows_its_log(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    daemon = tmp_path / "dockerd"
    daemon.write_text("#!/bin/sh\necho 'no space left on device'\nexit 1\n")
    daemon.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(engine, "_version", lambda: ("", NONE_RUNS))
    monkeypatch.setattr(engine, "_has_systemd", lambda: False)
    monkeypatch.setattr(host, "lacks_sys_resource", lambda: False)
    with pytest.raises(Failure, match="does not start; its log says why") as caught:
        engine._start(cache)
    assert caught.value.tail == ["no space left on device"]
