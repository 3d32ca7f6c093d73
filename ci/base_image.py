"""The Python base image: pulled by digest where Docker Hub can be reached, bootstrapped from Debian elsewhere."""

from __future__ import annotations

import shutil

from ci import debian, downloads, engine
from ci.cache import NAME, Cache, key
from ci.console import Failure, console
from ci.pins import HERE, pins
from ci.process import run

DOCKER_HUB = "https://registry-1.docker.io/v2/"
RECIPE = HERE / "images" / "base"


def ensure(cache: Cache | None = None) -> str:
    """The reference of a Python base image that the engine holds.

    :raises Failure: no engine, or the image can neither be pulled nor built.
    """
    cache = cache or Cache()
    engine.ensure(cache)
    return pull(pins().python_image, cache) or _build(cache)


def pull(reference: str, cache: Cache) -> str | None:
    """An image pinned by digest: the engine's own, or pulled; None where that cannot be done here."""
    if debian.has_image(reference):
        return reference
    if not downloads.reachable(DOCKER_HUB):
        return None
    with cache.lock("pull", f"the pull of {reference}"):
        try:
            with console.step(f"pull {reference}") as step:
                what = f"pulling {reference}"
                run(["docker", "pull", reference], step=step, log=cache.log("pull"), what=what)
        except Failure as failure:
            console.say(f"  {failure.sentence} It is built instead.")
            return None
    return reference


def _build(cache: Cache) -> str:
    certificates = debian.host_certificates(debian.rootfs(cache))
    # What apt installs changes with time and the tag does not: the image serves this machine and is never published.
    identity = key(RECIPE, certificates, debian.identity())
    reference = f"{NAME}/python:{pins().debian_suite}-{identity}"
    if debian.has_image(reference):
        return reference
    with cache.workspace("image-python", "the build of the Python base image") as context:
        if not debian.has_image(reference):
            shutil.copy(RECIPE / "Dockerfile", context)
            debian.write_certificates(certificates, context / "certificates")
            debian.build_image(context, "Dockerfile", reference, {"DEBIAN": debian.image(cache)}, cache)
    return reference
