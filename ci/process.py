"""Child processes: their output in a log file, their last line on the console, their end when we are interrupted."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci.console import Failure, Step, console

TAIL_LINES = 15
GRACE_SECONDS = 5.0

_running: set[subprocess.Popen[bytes]] = set()
# Taken in a signal handler too, which may interrupt its own thread while that one holds it.
_running_lock = threading.RLock()
_stopping = threading.Event()


def stop_children() -> None:
    """End every child that is still running, and start no more. Called once, when the program was interrupted."""
    _stopping.set()
    with _running_lock:
        children = list(_running)
    for child in children:
        _signal_group(child, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(child.poll() is None for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in children:
        _signal_group(child, signal.SIGKILL)


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _start(
    command: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None, stdin: int | None
) -> subprocess.Popen[bytes]:
    # Started and noted in one go: stop_children, in another thread, must not miss a child that has just begun.
    with _running_lock:
        if _stopping.is_set():
            raise KeyboardInterrupt
        try:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=None if env is None else {**os.environ, **env},
                cwd=cwd,
                start_new_session=True,  # a group of its own, so that what the child starts can be ended with it
            )
        except FileNotFoundError as error:
            if cwd is not None and not cwd.exists():
                raise
            raise Failure(f"{command[0]} is not installed; install it and run the command again.") from error
        _running.add(child)
    return child


def run(
    command: Sequence[str],
    *,
    step: Step,
    log: Path,
    what: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | None = None,
) -> None:
    """Run a command to its end, its output appended to a log file.

    :param what: what the command does, for the sentence when it fails: "<what> failed".
    :param env: variables set on top of this process's own.
    :param stdin: a file descriptor to read from; nothing unless given.
    :raises Failure: the command is missing, or ended with another status than 0; the log's last lines come with it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    console.detail(f"{' '.join(command)}  (log: {log})")
    with log.open("ab") as sink:
        sink.write(f"$ {' '.join(command)}\n".encode())
        child = _start(command, env, cwd, stdin)
        assert child.stdout is not None
        try:
            for raw in child.stdout:
                sink.write(raw)
                line = raw.decode(errors="replace").rstrip()
                if line:
                    tail.append(line)
                    step.progress(line)
            status = child.wait()
        except BaseException:
            _end(child)
            raise
        finally:
            child.stdout.close()
            with _running_lock:
                _running.discard(child)
    if _stopping.is_set():
        raise KeyboardInterrupt
    if status:
        if any("No space left on device" in line or "no space left on device" in line for line in tail):
            raise Failure(disk_full_sentence(what), log, list(tail))
        raise Failure(f"{what} failed (exit status {status}); the log says why.", log, list(tail))


def _end(child: subprocess.Popen[bytes]) -> None:
    _signal_group(child, signal.SIGTERM)
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _signal_group(child, signal.SIGKILL)
        child.wait()


def output(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float = 60,
) -> tuple[int, str, str]:
    """Run a short command for its answer.

    :returns: exit status (124: it took longer than the time allowed), stdout, stderr.
    :raises Failure: the command is not installed.
    """
    if _stopping.is_set():
        raise KeyboardInterrupt
    try:
        answer = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            timeout=timeout_seconds,
        )
    except FileNotFoundError as error:
        raise Failure(f"{command[0]} is not installed; install it and run the command again.") from error
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer in {timeout_seconds:.0f} s"
    return answer.returncode, answer.stdout.decode(errors="replace"), answer.stderr.decode(errors="replace")


def disk_full_sentence(what: str) -> str:
    """The sentence for a full disk."""
    return f"{what} stopped because the disk is full; free some space (a cold start needs about 15 GB) and try again."


def is_disk_full(error: OSError) -> bool:
    """Whether an error says that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
