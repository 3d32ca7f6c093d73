"""What resolving the CRDs and rendering the chart takes."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ci import tools

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


@pytest.mark.parametrize("helm", ["helm", "helm4"])
def test_rendering_the_chart(helm: str) -> None:
    command = [str(tools.ensure([helm])[helm]), "template", "dask", str(ROOT / "chart" / "dask-kubernetes-operator")]
    cpu, wall = [], []
    for _ in range(ROUNDS):
        started, before = time.monotonic(), _children_cpu()
        subprocess.run([*command, "--kube-version=1.36.3", "--include-crds"], stdout=subprocess.DEVNULL, check=True)
        wall.append(time.monotonic() - started)
        cpu.append(_children_cpu() - before)
    report(f"rendering the chart with {helm}", cpu, "s of CPU")
    report("its duration, on a machine that may be busy", wall, "s")


def _children_cpu() -> float:
    """Seconds that processes started from here, and ended by now, have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
