"""The machine, as far as it decides what is measured."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import subprocess


def describe() -> dict[str, str]:
    """Processor, memory, system and Python."""
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB$", pathlib.Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processor": f"{len(os.sched_getaffinity(0))} x {model[1] if model else platform.machine()}",
        "memory": f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+changes" if _git("status", "--porcelain") else ""),
    }


def load() -> float:
    """How many processes wanted to run in the last minute."""
    return os.getloadavg()[0]


def _git(*arguments: str) -> str:
    answer = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
