"""Virtual environments beside this one, for what does not depend on what this project does: made once, then kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ci.cache import Cache, key
from ci.console import Step, console
from ci.process import run

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Environment:
    """A virtual environment that is being made.

    Attributes:
        folder: where it is for now.
        step: what the console shows of the making.
        log: where the output of uv goes.
    """

    folder: Path
    step: Step
    log: Path

    def uv(self, *arguments: str) -> None:
        """Run uv.

        Raises:
            Failure: it failed.
        """
        run([sys.executable, "-m", "uv", *arguments], step=self.step, log=self.log, what=self.step.title)

    def pip(self, verb: str, *arguments: str) -> None:
        """Run ``uv pip`` on the environment.

        Raises:
            Failure: it failed: the registry cannot be reached, or a hash is not what is pinned.
        """
        self.uv("pip", verb, "--python", str(self.folder / "bin" / "python"), *arguments)


Installer = Callable[[Environment], None]


def ensure(name: str, content: str, install: Installer, cache: Cache | None = None) -> Path:
    """The folder of an environment, made if it is not there.

    Args:
        name: what the environment is for.
        content: key of what is in it.
        install: puts it there.
        cache: where it is kept; the default one if None.

    Raises:
        Failure: it cannot be made.
    """
    cache = cache or Cache()

    def make(folder: Path) -> None:
        with console.step(f"install {name}") as step:
            environment = Environment(folder, step, cache.log(f"environment-{name}"))
            # The programs in it find their Python wherever the whole is moved to, as it is once it is complete.
            environment.uv("venv", "--relocatable", "--allow-existing", "--python", sys.executable, str(folder))
            install(environment)

    return cache.make(name, key(content, sys.version, "relocatable"), make)


def locked(requirements: Path) -> Installer:
    """What a file of hashed requirements pins."""
    return lambda environment: environment.pip("sync", "--compile-bytecode", "--require-hashes", str(requirements))


def python(name: str, cache: Cache | None = None) -> Path:
    """The Python of an environment with what ``requirements/NAME.txt`` pins.

    Raises:
        Failure: it cannot be made.
    """
    requirements = ROOT / "requirements" / f"{name}.txt"
    return ensure(name, key(requirements), locked(requirements), cache) / "bin" / "python"
