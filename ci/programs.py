"""Programs that run in images: built from Go modules for Linux, and put into an image by a recipe."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ci import debian, golang, host
from ci.cache import NAME, Cache, key
from ci.console import console


@dataclass(frozen=True)
class Programs:
    """Programs that are built in one go.

    Attributes:
        name: of what the cache keeps.
        title: what people call them.
        packages: the Go packages, each of one program.
        module: the directory of the go.mod that pins them.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    module: Path

    def are_built(self, cache: Cache) -> bool:
        """Whether the cache has them."""
        return cache.path(self.name, self._key()).is_dir()

    def build(self, cache: Cache) -> Path:
        """The directory with the programs, each named after the last part of its package, built if it is not there.

        :raises Failure: no Go, too old a Go, or the build failed.
        """

        def build(folder: Path) -> None:
            with console.step(f"build {self.title} from Go modules") as step:
                golang.build(
                    self.packages,
                    module=self.module,
                    into=folder,
                    step=step,
                    log=cache.log(f"build-{self.name}"),
                    what=f"building {self.title}",
                    system="linux",
                )

        return cache.make(self.name, self._key(), build)

    def _key(self) -> str:
        return key(self.module, self.packages, host.architecture())


def image(recipe: Path, programs: Sequence[Path], cache: Cache, *, base: str = "") -> str:
    """The reference of an image that the engine holds, with programs in its ``bin``; built if it is not there.

    :param recipe: ``NAME.Dockerfile``, which gives the image its name.
    :param base: the reference of the image that the recipe's argument ``BASE`` stands for, where it has one.
    :raises Failure: there is no engine, or the build failed.
    """
    name = recipe.name.removesuffix(".Dockerfile")
    folders = [program.parent.name for program in programs]
    reference = f"{NAME}/{name}:{key(folders, recipe, *([base] if base else []))}"
    if not debian.has_image(reference):
        with cache.workspace(f"image-{name}", f"the build of the image of {name}") as context:
            if not debian.has_image(reference):
                (context / "bin").mkdir()
                for program in programs:
                    shutil.copy(program, context / "bin")
                shutil.copy(recipe, context)
                debian.build_image(context, recipe.name, reference, {"BASE": base} if base else {}, cache)
    return reference
