"""Asks promtool, of the Prometheus that the tests on a cluster run."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Any

import yaml

from ci import prometheus

_TIMEOUT_SECONDS = 60


@functools.cache
def _promtool() -> Path:
    return prometheus.promtool()


def check_rules(groups: list[dict[str, Any]], folder: Path) -> str:
    """What promtool has to say of rules; nothing if all is well.

    Args:
        groups: as in a file of rules.
        folder: for the file.
    """
    return _ask("check", "rules", "--lint-fatal", _written(folder / "rules.yaml", {"groups": groups}))


def check_tests(groups: list[dict[str, Any]], tests: list[dict[str, Any]], folder: Path) -> str:
    """What promtool has to say of rules when it plays tests of its own form; nothing if all is well."""
    _written(folder / "rules.yaml", {"groups": groups})
    file = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    return _ask("test", "rules", _written(folder / "tests.yaml", file))


def _written(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def _ask(*arguments: object) -> str:
    command = [str(_promtool()), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    return done.stderr + done.stdout if done.returncode else ""
