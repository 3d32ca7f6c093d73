"""Images that tests alone need, each of a folder with a Dockerfile and hashed requirements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ci import debian
from ci.cache import Cache, key


def ensure(repository: str, folder: Path, arguments: Mapping[str, str]) -> str:
    """Reference of an image that the engine holds, built unless it is there; its tag tells what it is made of.

    Args:
        repository: its name without the tag.
        folder: with its ``Dockerfile`` and ``requirements.txt``.
        arguments: build arguments.

    Raises:
        Failure: it cannot be built.
    """
    cache = Cache()
    files = [folder / name for name in ("Dockerfile", "requirements.txt")]
    reference = f"{repository}:{key(*files, *arguments.values())}"
    with cache.workspace(f"image-{folder.name}", f"the build of {repository}") as context:
        for file in files:
            (context / file.name).write_bytes(file.read_bytes())
        if not debian.has_image(reference):
            debian.build_image(context, files[0].name, reference, arguments, cache)
    return reference
