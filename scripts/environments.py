"""Programs from PyPI that have an environment of their own: what they depend on is not what this project does."""

from __future__ import annotations

import sys
from pathlib import Path

from ci.cache import Cache, key
from ci.console import console
from ci.process import run

ROOT = Path(__file__).resolve().parent.parent


def ensure(name: str, cache: Cache | None = None) -> Path:
    """The Python of an environment with what ``requirements/NAME.txt`` pins, made if it is not there.

    Programs in it are started as ``python -m MODULE``: scripts know only where they were installed to.

    Raises:
        Failure: the registry cannot be reached, or a hash is not what is pinned.
    """
    cache = cache or Cache()
    requirements = ROOT / "requirements" / f"{name}.txt"

    def install(folder: Path) -> None:
        python = folder / "bin" / "python"
        uv = [sys.executable, "-m", "uv", "pip", "sync", "--python", str(python), "--require-hashes"]
        log = cache.log(f"environment-{name}")
        with console.step(f"install {name}") as step:
            venv = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
            run(venv, step=step, log=log, what="making a virtual environment")
            run([*uv, str(requirements)], step=step, log=log, what=f"installing {name}")

    return cache.make(name, key(requirements, sys.version), install) / "bin" / "python"
