"""Runs git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ci.console import Failure


def git(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """What git prints.

    Args:
        arguments: of git.
        cwd: where it runs.
        env: variables on top of this process's own.

    Raises:
        Failure: it failed; with what it said.
    """
    answer = subprocess.run(
        ["git", *arguments], cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise Failure(f"git {arguments[0]} failed: {answer.stderr.strip()}")
    return answer.stdout
