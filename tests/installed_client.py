"""The client of this tree as people have it: from its wheel, with its programs, and nothing of the sources."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


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
