"""What resolving the CRDs takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .report import report

pytestmark = pytest.mark.bench

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5

# VmHWM and not ru_maxrss: that one also counts the process that started this one.
SCRIPT = """
import pathlib, re, sys, time
from scripts.render import crds
crds.render(pathlib.Path(sys.argv[1]))
peak = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
print(time.process_time(), int(peak[1]) / 1024)
"""


def test_resolving_all_crds() -> None:
    rounds = []
    for _ in range(ROUNDS):
        answer = subprocess.run([sys.executable, "-c", SCRIPT, str(ROOT)], cwd=ROOT, capture_output=True, check=True)
        rounds.append([float(figure) for figure in answer.stdout.split()])
    report("resolving all CRDs, imports included", [seconds for seconds, _ in rounds], "s of CPU")
    report("its peak memory", [megabytes for _, megabytes in rounds], "MiB")
