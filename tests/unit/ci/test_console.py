"""Steps say what they do, how they get on and how long they took."""

from __future__ import annotations

import io
import time

import pytest

from ci import console as console_module
from ci.console import Console

pytestmark = pytest.mark.unit


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_step_is_announced_and_timed() -> None:
    stream = io.StringIO()
    with Console(stream).step("build it"):
        pass
    assert stream.getvalue().splitlines() == ["- build it ...", "  build it: done in 0.0 s"]


def test_a_step_that_raises_is_not_called_done() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="no"), Console(stream).step("build it"):
        raise ValueError("no")
    assert "build it: failed in" in stream.getvalue()


def test_a_long_step_shows_its_last_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "TICK_SECONDS", 0.005)
    monkeypatch.setattr(console_module, "QUIET_SECONDS", 0.01)
    stream = io.StringIO()
    with Console(stream).step("build it") as step:
        step.progress("compiling this")
        wait_for("compiling this", stream)
    assert "\r" not in stream.getvalue()


def test_a_terminal_gets_one_ticking_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "TICK_SECONDS", 0.005)
    stream = Terminal()
    with Console(stream).step("build it") as step:
        step.started -= 5
        step.progress("compiling this")
        wait_for("compiling this", stream)
    before_the_end = stream.getvalue().split("  build it: done")[0]
    assert before_the_end.endswith("\r\x1b[2K")
    assert before_the_end.count("\n") == 1


def test_details_are_for_those_who_ask() -> None:
    stream = io.StringIO()
    console = Console(stream)
    console.detail("docker build")
    assert stream.getvalue() == ""
    console.verbose = True
    console.detail("docker build")
    assert stream.getvalue() == "  docker build\n"


def wait_for(text: str, stream: io.StringIO) -> None:
    deadline = time.monotonic() + 5
    while text not in stream.getvalue():
        assert time.monotonic() < deadline
        time.sleep(0.002)
