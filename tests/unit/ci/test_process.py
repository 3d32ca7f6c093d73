"""Commands: their logs, their failures, their end."""

from __future__ import annotations

import io
import sys
import threading
import time
from pathlib import Path

import pytest

from ci import process
from ci.console import Console, Failure, Step
from ci.process import output, run

pytestmark = pytest.mark.unit


@pytest.fixture
def step() -> Step:
    return Step(Console(io.StringIO()), "do it")


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_output_goes_to_the_log_and_its_last_line_to_the_step(step: Step, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "build.log"
    run(shell("echo one; echo two >&2"), step=step, log=log, what="building")
    assert log.read_text().splitlines()[-2:] == ["one", "two"]
    assert step.last_line == "two"


def test_a_failure_brings_the_log_and_its_last_lines(step: Step, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"^building failed \(exit status 3\)") as caught:
        run(shell("seq 40; exit 3"), step=step, log=tmp_path / "log", what="building")
    assert caught.value.log == tmp_path / "log"
    assert caught.value.tail == [str(number) for number in range(26, 41)]


def test_a_full_disk_is_named(step: Step, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="the disk is full; free some space"):
        run(shell("echo write: No space left on device; exit 1"), step=step, log=tmp_path / "log", what="building")


def test_a_missing_command_is_named(step: Step, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no-such-command is not installed"):
        run(["no-such-command"], step=step, log=tmp_path / "log", what="building")
    with pytest.raises(Failure, match="no-such-command is not installed"):
        output(["no-such-command"])


def test_variables_are_added_to_the_environment(step: Step, tmp_path: Path) -> None:
    run(
        shell('test "$ADDED" = yes && test -n "$PATH"'),
        step=step,
        log=tmp_path / "log",
        what="x",
        env={"ADDED": "yes"},
    )


def test_a_short_command_that_hangs_is_given_up() -> None:
    assert output(["sleep", "60"], timeout_seconds=0.1)[0] == 124


def test_an_interruption_ends_the_child_and_what_it_started(
    step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_stopping", threading.Event())
    marker = tmp_path / "alive"
    # The grandchild proves that it lives by touching a file again and again.
    script = f"sh -c 'while :; do touch {marker}; sleep 0.02; done' & wait"
    raised: list[BaseException] = []

    def work() -> None:
        try:
            run(shell(script), step=step, log=tmp_path / "log", what="building")
        except KeyboardInterrupt as interruption:
            raised.append(interruption)

    worker = threading.Thread(target=work)
    worker.start()
    while not marker.exists():
        assert worker.is_alive()
    process.stop_children()
    worker.join(10)
    assert raised
    marker.unlink()
    time.sleep(0.1)
    assert not marker.exists()
    with pytest.raises(KeyboardInterrupt):
        output([sys.executable, "--version"])
