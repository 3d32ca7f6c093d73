"""The command line: one sentence, the right exit status, results alone on stdout."""

from __future__ import annotations

import errno
import io
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ci import cli, cluster, gitops, process
from ci.cluster import Cluster
from ci.console import Failure

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def raises(error: BaseException) -> object:
    def ensure(*_: object) -> None:
        raise error

    return ensure


def test_the_result_is_all_there_is_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = Cluster("dev", tmp_path / "kubeconfig", tmp_path, None, None, None)
    monkeypatch.setattr(cluster, "ensure", lambda *_: found)
    assert cli.main(["cluster", "up"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'kubeconfig'}\n"


def test_a_failure_is_one_sentence_after_its_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: io.StringIO
) -> None:
    monkeypatch.setattr(cluster, "ensure", raises(Failure("it broke; mend it.", Path("build.log"), ["last line"])))
    assert cli.main(["cluster", "up"]) == 1
    assert capsys.readouterr().out == ""
    assert said.getvalue().splitlines() == ["  | last line", "  log: build.log", "error: it broke; mend it."]


def test_an_unknown_kubernetes_is_said_before_anything_is_done(said: io.StringIO) -> None:
    assert cli.main(["cluster", "up", "--kubernetes", "1.2.3"]) == 1
    assert said.getvalue() == "error: Kubernetes 1.2.3 is not known here; use one of 1.34.4 and 1.36.3.\n"


def test_images_that_take_long_are_not_built_when_that_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch, said: io.StringIO
) -> None:
    monkeypatch.setattr(gitops, "images", lambda _: pytest.fail("they were built"))
    assert cli.main(["gitops-images", "--if-built"]) == 1
    expected = "error: Flux and Argo CD are not built yet; have that done with: python3 -m ci gitops-images\n"
    assert said.getvalue() == expected


def test_a_full_disk_is_a_sentence(monkeypatch: pytest.MonkeyPatch, said: io.StringIO) -> None:
    monkeypatch.setattr(cluster, "ensure", raises(OSError(errno.ENOSPC, "No space left on device")))
    assert cli.main(["cluster", "up"]) == 1
    assert "the disk is full; free some space" in said.getvalue()


def test_what_was_not_foreseen_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ensure", raises(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"):
        cli.main(["cluster", "up"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, said: io.StringIO, number: signal.Signals
) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr(cli, "stop_children", lambda: stopped.append(True))
    monkeypatch.setattr(cluster, "ensure", lambda *_: signal.raise_signal(number))
    assert cli.main(["cluster", "up"]) == 130
    assert stopped == [True]
    assert said.getvalue() == "interrupted; running the same command again continues\n"


def test_a_verb_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
    assert "VERB" in capsys.readouterr().err


def test_stopping_is_not_left_over_from_another_test() -> None:
    assert not process._stopping.is_set()
