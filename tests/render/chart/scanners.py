"""Runs scanners of manifests: what each of them finds in a file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ci import tools
from scripts import environments
from tests.render.chart.helm import KUBE_VERSION

#: Findings by file, each as the kind of the object and the check: "Deployment CKV_K8S_43".
Findings = dict[Path, set[str]]

_CRITICAL = 1
_TIMEOUT_SECONDS = 300


class NothingScannedError(Exception):
    """A scanner ran and looked at nothing."""


def kube_score(files: Sequence[Path]) -> Findings:
    """What kube-score calls critical.

    Raises:
        NothingScannedError: a file holds nothing that it knows.
    """
    program = str(tools.ensure(["kube-score"])["kube-score"])
    found = {}
    for file in files:
        version = f"v{KUBE_VERSION.rpartition('.')[0]}"
        command = [program, "score", f"--kubernetes-version={version}", "--output-format=json", str(file)]
        objects = json.loads(_run(command)) or []
        if not any(one["checks"] for one in objects):
            raise NothingScannedError(file)
        found[file] = {
            f"{one['type_meta']['kind']} {check['check']['id']}"
            for one in objects
            for check in one["checks"]
            if check["grade"] == _CRITICAL and not check["skipped"]
        }
    return found


def checkov(files: Sequence[Path]) -> Findings:
    """What checkov fails.

    Raises:
        NothingScannedError: a file holds nothing that it knows.
    """
    python = str(environments.python("checkov"))
    driver = str(Path(__file__).with_name("each_checkov.py"))
    answers = json.loads(_run([python, driver, *map(str, files)]))
    for file, answer in answers.items():
        if not answer["passed"]:
            raise NothingScannedError(file)
    return {Path(file): set(answer["failed"]) for file, answer in answers.items()}


def _run(command: list[str]) -> str:
    # An exit code says only that there are findings.
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    if not done.stdout:
        raise NothingScannedError(done.stderr)
    return done.stdout
