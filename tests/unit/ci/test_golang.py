"""A build says which Go it needs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from ci import golang
from ci.console import Console, Failure, Step

pytestmark = pytest.mark.unit


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "go.mod").write_text("module example\n\ngo 1.26.0\n")
    return tmp_path


def build(module: Path) -> None:
    step = Step(Console(io.StringIO()), "build")
    golang.build(["."], module=module, into=module / "out", step=step, log=module / "log", what="building kubelet")


def test_no_go_is_a_sentence(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "found", lambda: False)
    with pytest.raises(
        Failure, match=r"^building kubelet needs Go 1\.26\.0 or newer and none is on PATH; install it"
    ):
        build(module)


def test_too_old_a_go_is_a_sentence(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = "go: go.mod requires go >= 1.26.0 (running go 1.24.2; GOTOOLCHAIN=local)"
    monkeypatch.setattr(golang, "found", lambda: True)
    monkeypatch.setattr(golang, "output", lambda *_, **__: (1, "", error))
    with pytest.raises(Failure, match=r"needs Go 1\.26\.0 or newer and PATH has 1\.24\.2; install a newer one"):
        build(module)


def test_no_network_is_a_sentence(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        tail = ['go: example: Get "https://proxy/x": dial tcp: lookup proxy: no such host']
        raise Failure("building kubelet failed", module / "log", tail)

    monkeypatch.setattr(golang, "_require_go", lambda *_: None)
    monkeypatch.setattr(golang, "run", fails)
    with pytest.raises(Failure, match="the Go module proxy cannot be reached; connect to a network, or set GOPROXY"):
        build(module)


def test_builds_are_static_pinned_and_free_of_paths(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    variables: list[dict[str, str]] = []

    def note(command: list[str], *, env: dict[str, str], **_: object) -> None:
        commands.append(command)
        variables.append(env)

    monkeypatch.setattr(golang, "_require_go", lambda *_: None)
    monkeypatch.setattr(golang, "run", note)
    build(module)
    assert {"-trimpath", "-mod=readonly"} <= set(commands[0])
    assert variables[0]["CGO_ENABLED"] == "0"
