"""What people see: steps with their elapsed time, progress, and failures of one sentence. All of it on stderr."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

QUIET_SECONDS = 10.0
"""Seconds between two progress lines where the output is not a terminal."""

TICK_SECONDS = 0.5
"""Seconds between two updates of the ticking line on a terminal."""


class Failure(Exception):
    """A foreseeable problem: one sentence that names it and its remedy, and the log of the command, if any."""

    def __init__(self, sentence: str, log: Path | None = None, tail: list[str] | None = None) -> None:
        """:param tail: the last lines of the log, shown below the sentence."""
        super().__init__(sentence)
        self.sentence = sentence
        self.log = log
        self.tail = tail or []


class Step:
    """One thing that takes a while; :meth:`progress` may be called from any thread."""

    def __init__(self, console: Console, title: str) -> None:
        """:param title: what is being done, in the infinitive ("build kubelet")."""
        self.console = console
        self.title = title
        self.started = time.monotonic()
        self.last_shown = self.started
        self.last_line = ""

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.started

    def progress(self, line: str) -> None:
        """Remember the latest thing the step said; it is shown with the next tick."""
        self.last_line = line.strip() or self.last_line


class Console:
    """Writes steps to a stream; several may run at once."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """:param stream: where to write; stderr, looked up at each write, unless given."""
        self._stream = stream
        self._lock = threading.RLock()
        self._active: list[Step] = []
        self._ticking = False
        self.verbose = False

    @property
    def stream(self) -> TextIO:
        """The stream written to."""
        return self._stream or sys.stderr

    def say(self, line: str) -> None:
        """Write one line."""
        with self._lock:
            self._clear()
            print(line, file=self.stream, flush=True)

    def detail(self, line: str) -> None:
        """Write one line where more was asked for."""
        if self.verbose:
            self.say(f"  {line}")

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Announce a step, show how it gets on, and how long it took. An exception passes through."""
        step = Step(self, title)
        with self._lock:
            self._clear()
            print(f"- {title} ...", file=self.stream, flush=True)
            self._active.append(step)
            if len(self._active) == 1:
                threading.Thread(target=self._tick, daemon=True).start()
        outcome = "failed"
        try:
            yield step
            outcome = "done"
        finally:
            with self._lock:
                self._active.remove(step)
                self.say(f"  {title}: {outcome} in {step.elapsed_seconds:.1f} s")

    def _tick(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            with self._lock:
                if not self._active:
                    return
                if self.stream.isatty():
                    self._draw(self._active[-1])
                else:
                    for step in self._active:
                        self._report(step)

    def _report(self, step: Step) -> None:
        now = time.monotonic()
        if now - step.last_shown >= QUIET_SECONDS:
            step.last_shown = now
            said = f": {step.last_line}" if step.last_line else ""
            print(f"  {step.title}, {step.elapsed_seconds:.0f} s{said}"[:200], file=self.stream, flush=True)

    def _draw(self, step: Step) -> None:
        if step.elapsed_seconds < 1:
            return
        width = shutil.get_terminal_size().columns - 1
        others = f" (+{len(self._active) - 1})" if len(self._active) > 1 else ""
        line = f"  {step.elapsed_seconds:4.0f} s {step.title}{others}: {step.last_line}"
        self.stream.write(f"\r\x1b[2K{line[:width]}")
        self.stream.flush()
        self._ticking = True

    def _clear(self) -> None:
        if self._ticking:
            self.stream.write("\r\x1b[2K")
            self._ticking = False


console = Console()
"""The console of this process."""
