"""Building programs from Go modules whose versions are pinned by a committed go.sum."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ci import host
from ci.console import Failure, Step
from ci.process import output, run

DOWNLOAD_SECONDS = 300


def found() -> bool:
    """Whether there is a Go on PATH, of whatever version."""
    return shutil.which("go") is not None


def sources(package: str, module: Path) -> Path:
    """The folder, in Go's module cache, of the module that a package is the root of.

    :param module: the directory of the go.mod that pins it.
    :raises Failure: it cannot be downloaded.
    """
    status, answer, error = output(
        ["go", "mod", "download", "-json", package], cwd=module, timeout_seconds=DOWNLOAD_SECONDS
    )
    if status:
        last = (error.strip().splitlines() or ["no reason given"])[-1]
        raise Failure(f"{package} cannot be downloaded ({last}); connect to a network, or set GOPROXY.")
    return Path(json.loads(answer)["Dir"])


def build_cache() -> Path:
    """Where Go keeps what it compiled, which is most of what a build needs of a disk."""
    status, answer, _ = output(["go", "env", "GOCACHE"]) if found() else (1, "", "")
    return Path(answer.strip()) if not status and answer.strip() else Path.home()


def _require_go(module: Path, what: str) -> None:
    """Check that there is a Go that builds a module.

    Its version is no part of a key: go.sum pins the sources, and what an older Go built of them is as good.

    :raises Failure: there is no Go, or it is older than the module asks for.
    """
    wanted = _wanted_version(module)
    if not found():
        raise Failure(f"building {what} needs Go {wanted} or newer and none is on PATH; install it from go.dev.")
    status, _, error = output(["go", "env", "GOVERSION"], cwd=module)
    if status:
        running = re.search(r"running go (\S+?)[;)]", error)
        raise Failure(
            f"building {what} needs Go {wanted} or newer and PATH has {running.group(1) if running else 'an older'};"
            " install a newer one, or set GOTOOLCHAIN=auto to have it fetched."
        )


def _wanted_version(module: Path) -> str:
    directive = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    return directive.group(1) if directive else "1.24"


def build(
    packages: Sequence[str],
    *,
    module: Path,
    into: Path,
    step: Step,
    log: Path,
    what: str,
    symbols: Mapping[str, str] | None = None,
    tags: str = "",
    system: str | None = None,
) -> None:
    """Build static, reproducible programs; several packages in one go share the work.

    :param module: the directory of the go.mod.
    :param into: the directory for the programs, each named after the last part of its package.
    :param symbols: Go variables and the values to link in.
    :param system: what the programs run on, as Go calls it; this machine unless given.
    :raises Failure: no Go, too old a Go, the build failed, or the module proxy cannot be reached.
    """
    _require_go(module, what.removeprefix("building "))
    flags = " ".join(["-s -w", *(f"-X {name}={value}" for name, value in sorted((symbols or {}).items()))])
    command = ["go", "build", "-v", "-trimpath", "-tags", tags, "-ldflags", flags, "-o", f"{into}{os.sep}", *packages]
    # -mod=readonly is Go's default, but GOFLAGS may say otherwise, and nothing may loosen what go.sum pins.
    command.insert(2, "-mod=readonly")
    try:
        run(
            command,
            step=step,
            log=log,
            what=what,
            cwd=module,
            env={"CGO_ENABLED": "0", "GOOS": system or host.system()},
        )
    except Failure as failure:
        if any("dial tcp" in line or "no such host" in line for line in failure.tail):
            raise Failure(
                f"{what} failed because the Go module proxy cannot be reached; connect to a network, or set GOPROXY.",
                failure.log,
                failure.tail,
            ) from failure
        raise
