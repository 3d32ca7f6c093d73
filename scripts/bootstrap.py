"""Make the virtual environment in which everything else runs, from hashed requirements.

Runs with the system's Python and the standard library alone, because nothing else is there yet.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

from ci.cache import Cache
from ci.cli import guarded
from ci.console import Failure, Step, console
from ci.process import run

OLDEST_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parent.parent


def main(venv: Path) -> None:
    """Make the virtual environment, or bring it up to date.

    Raises:
        Failure: Python is too old, or cannot make virtual environments and this is no Debian to install that on.
    """
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        raise Failure(
            f"Python {found} is too old; install Python 3.11 or newer and name it: make PYTHON=python3.12 ..."
        )
    log = Cache().log("bootstrap")
    with console.step("prepare the Python environment") as step:
        python = venv / "bin" / "python"
        if not python.exists():
            shutil.rmtree(venv, ignore_errors=True)
            _ensure_venv_module(step, log)
            run([sys.executable, "-m", "venv", str(venv)], step=step, log=log, what="making a virtual environment")
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes"]
        run([*pip, "--requirement", "requirements/bootstrap.txt"], step=step, log=log, what="installing uv", cwd=ROOT)
        uv = [str(python), "-m", "uv", "pip"]
        target = ["--python", str(python)]
        run(
            [*uv, "sync", *target, "--require-hashes", "requirements/dev.txt"],
            step=step,
            log=log,
            what="installing the development requirements",
            cwd=ROOT,
        )
        packages = ["--no-deps", "--no-build-isolation", "--editable", "controller", "--editable", "client"]
        run(
            [*uv, "install", *target, *packages],
            step=step,
            log=log,
            what="installing the packages of this tree",
            cwd=ROOT,
        )
    (venv / ".ready").touch()


def _ensure_venv_module(step: Step, log: Path) -> None:
    """Debian's Python comes without what ``venv`` needs."""
    bundled = Path(sysconfig.get_paths()["stdlib"]) / "ensurepip" / "__init__.py"
    if bundled.exists():
        return
    if shutil.which("apt-get") is None:
        raise Failure(
            "This Python has no ensurepip; install it (on Debian: apt-get install python3-venv) and try again."
        )
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", "python3-venv"],
    ):
        run(command, step=step, log=log, what="installing python3-venv", env={"DEBIAN_FRONTEND": "noninteractive"})


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(Path(sys.argv[1]))))
