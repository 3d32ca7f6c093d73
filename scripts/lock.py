"""Resolve what is asked for into hashed requirements files, for every Python that is supported.

Run as ``make lock``. Hashes pin the contents; no file names the registry it was resolved against.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

LOCKS = {
    "requirements/bootstrap.in": "requirements/bootstrap.txt",
    "requirements/dev.in": "requirements/dev.txt",
    "requirements/checkov.in": "requirements/checkov.txt",
    "requirements/jupyter.in": "requirements/jupyter.txt",
    "requirements/scan.in": "requirements/scan.txt",
    "controller/pyproject.toml": "controller/requirements.txt",
    "controller/requirements-build.in": "controller/requirements-build.txt",
    "examples/image/requirements.in": "examples/image/requirements.txt",
    "tests/public/requirements.in": "tests/public/requirements.txt",
    "tests/seeds/requirements.in": "tests/seeds/requirements.txt",
}
OLDEST_PYTHON = "3.11"


def main() -> None:
    """Write every lock file anew; versions move only with ``--upgrade``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    upgrade = ["--upgrade"] if parser.parse_args().upgrade else []
    root = Path(__file__).resolve().parent.parent
    for source, target in LOCKS.items():
        print(f"{source} -> {target}", file=sys.stderr)
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--no-header"),
            *("--python-version", OLDEST_PYTHON, "--generate-hashes", *upgrade, source, "--output-file", target),
        ]
        subprocess.run(command, cwd=root, check=True)


if __name__ == "__main__":
    main()
