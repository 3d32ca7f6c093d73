"""Virtual environments beside the workspace's own, kept by what is in them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_ENVIRONMENTS = Path(__file__).resolve().parent.parent / "build" / "environments"


def environment(name: str, content: str, install_into: Callable[[Path], None]) -> Path:
    """A virtual environment of that content, made unless it is there."""
    folder = _ENVIRONMENTS / f"{name}-{content}"
    whole = folder / ".whole"
    if not whole.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        install_into(folder)
        whole.touch()
    return folder


def uv_pip(verb: str, folder: Path, *arguments: str) -> None:
    """Run ``uv pip`` on one of them."""
    python = str(folder / "bin" / "python")
    subprocess.run([sys.executable, "-m", "uv", "pip", verb, "--quiet", "--python", python, *arguments], check=True)
