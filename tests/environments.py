"""Virtual environments beside the workspace's own, kept by what is in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_ENVIRONMENTS = _ROOT / "build" / "environments"


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


def install_client(folder: Path) -> None:
    """Install the client of this tree from its wheel, beside what the workspace's own environment has."""
    wheel = [*("--no-deps", "--no-build-isolation", "--offline"), *("--target", str(folder)), str(_ROOT / "client")]
    subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--quiet", *wheel], check=True)


def with_client(folder: Path, kubeconfig: Path | str) -> Mapping[str, str]:
    """The environment variables of a shell in which the client that was installed there is to be had.

    Args:
        folder: what `install_client` was given.
        kubeconfig: what KUBECONFIG is to be.
    """
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PYTHONPATH": str(folder), "PATH": path, "KUBECONFIG": str(kubeconfig)}
