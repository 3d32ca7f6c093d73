"""An OCI registry for tests: the program of Debian's package docker-registry, without that being installed."""

from __future__ import annotations

import shutil
from pathlib import Path

from ci import host
from ci.cache import Cache, key
from ci.console import Failure, console
from ci.process import run

PACKAGE = "docker-registry"
_PROGRAM = Path("usr/bin/docker-registry")


def program(cache: Cache | None = None) -> Path:
    """The registry's program: the one on PATH, else that of the package.

    :raises Failure: there is none and this is no Debian, or its mirror cannot be reached.
    """
    if found := shutil.which(PACKAGE):
        return Path(found)
    cache = cache or Cache()

    def build(folder: Path) -> None:
        if not host.is_debian():
            raise Failure(f"there is no {PACKAGE} here, and only Debian's is fetched; put one of that name on PATH.")
        log = cache.log(PACKAGE)
        with console.step(f"fetch {PACKAGE} from Debian's packages") as step:
            what = f"fetching {PACKAGE}"
            download = ["apt-get", "download", PACKAGE]
            try:
                run(download, step=step, log=log, what=what, cwd=folder)
            except Failure:
                if not host.is_root():
                    raise
                # A machine that never asked what packages there are.
                run(["apt-get", "update"], step=step, log=log, what=what)
                run(download, step=step, log=log, what=what, cwd=folder)
            (archive,) = folder.glob("*.deb")
            run(["dpkg-deb", "--extract", str(archive), str(folder)], step=step, log=log, what=what)
            archive.unlink()

    return cache.make(PACKAGE, key(PACKAGE, host.architecture()), build) / _PROGRAM
