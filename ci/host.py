"""What this machine is and can do."""

from __future__ import annotations

import os
import platform
import shutil
import threading
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path

from ci.console import Failure

CAP_SYS_RESOURCE = 24
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
REACH_SECONDS = 4.0
GIGABYTE = 10**9


def architecture() -> str:
    """``amd64`` or ``arm64``, as Go and Docker call it.

    :raises Failure: the machine is something else.
    """
    machine = platform.machine().lower()
    if machine not in ARCHITECTURES:
        raise Failure(f"{machine} machines are not supported; use an amd64 or arm64 one.")
    return ARCHITECTURES[machine]


def system() -> str:
    """``linux``, ``darwin``, ... as Go calls it."""
    return platform.system().lower()


def is_root() -> bool:
    """Whether this process may do everything."""
    return os.geteuid() == 0


def is_debian(os_release: Path = Path("/etc/os-release")) -> bool:
    """Whether packages are installed with apt-get: Debian, Ubuntu and what says it is like them."""
    if not os_release.is_file() or shutil.which("apt-get") is None:
        return False
    fields = dict(line.split("=", 1) for line in os_release.read_text().splitlines() if "=" in line)
    kinds = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    return "debian" in kinds or "ubuntu" in kinds


def lacks_sys_resource(status: Path = Path("/proc/self/status")) -> bool:
    """Whether CAP_SYS_RESOURCE is missing from the bounding set, so that no container can be given it.

    Where there is no such file (not Linux) the engine runs in a machine of its own, which has it.
    """
    if not status.is_file():
        return False
    for line in status.read_text().splitlines():
        if line.startswith("CapBnd:"):
            return not int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1
    return False


def has_cgroup_v1(cgroup: Path = Path("/sys/fs/cgroup")) -> bool:
    """Whether the controllers are mounted the old way, one hierarchy each."""
    return cgroup.is_dir() and not (cgroup / "cgroup.controllers").exists()


def require_disk(path: Path, gigabytes: float, what: str) -> None:
    """Check the free space of the file system that holds a path, or will hold it.

    :raises Failure: there is less than that.
    """
    existing = path
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free / GIGABYTE
    if free < gigabytes:
        raise Failure(
            f"{what} needs about {gigabytes:g} GB and {existing} has {free:.1f} GB free;"
            " free some space, or set CI_CACHE_DIR, and GOCACHE where Go builds, to another disk."
        )


@cache
def reaches(url: str, timeout_seconds: float = REACH_SECONDS) -> bool:
    """Whether a server can be used, decided within a few seconds; asked once in a process.

    Answers that a server itself would give (200, 401, 404, a redirect) count; those of a proxy in between that
    forbids it (403, 407, 5xx) do not. The thread is for name lookups, which know no timeout.
    """
    verdict: list[bool] = []
    thread = threading.Thread(target=lambda: verdict.append(_answers(url, timeout_seconds)), daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    return bool(verdict) and verdict[0]


def _answers(url: str, timeout_seconds: float) -> bool:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the URLs are ours, all https
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        return error.code in (401, 404, 405)
    except (OSError, ValueError):
        return False
