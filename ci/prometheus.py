"""Prometheus, of Debian, and the Prometheus Operator, from Go modules: for tests of what is made for them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ci import base_image, debian, golang, host
from ci.cache import NAME, Cache, key
from ci.console import Failure, console
from ci.pins import HERE
from ci.process import output

MODULE = HERE / "go" / "prometheus-operator"
RECIPES = HERE / "images" / "prometheus"
PROMETHEUS_RECIPE = RECIPES / "prometheus.Dockerfile"
OPERATOR_RECIPE = RECIPES / "operator.Dockerfile"
ROOT_PACKAGE = "github.com/prometheus-operator/prometheus-operator"
# The second is started beside Prometheus, and has it load what has changed.
PROGRAMS = ("operator", "prometheus-config-reloader")
CRDS = Path("example/prometheus-operator-crd")
DOWNLOAD_SECONDS = 300


@dataclass(frozen=True)
class Images:
    """References of images that the engine holds, with programs to match.

    Attributes:
        prometheus: its entry point is Prometheus.
        version: of that Prometheus, such as ``2.42.0``.
        operator: has ``operator`` and ``prometheus-config-reloader`` in ``/bin``; the latter is its entry point.
    """

    prometheus: str
    version: str
    operator: str


def images(cache: Cache | None = None) -> Images:
    """Have the images.

    :raises Failure: no engine, no way to get a base image, or a build failed.
    """
    cache = cache or Cache()
    prometheus = _prometheus(cache)
    # Which one it is depends on the base image's Debian, and the Prometheus Operator has to be told.
    told = _output_of(["docker", "run", "--rm", "--network", "none", prometheus, "--version"])
    return Images(prometheus=prometheus, version=version_of(told), operator=_operator(cache))


def promtool(cache: Cache | None = None) -> Path:
    """The promtool that belongs to the Prometheus of the image. It needs no more of this machine than its libc.

    :raises Failure: as for :func:`images`.
    """
    cache = cache or Cache()
    image = _prometheus(cache)

    def extract(folder: Path) -> None:
        container = _output_of(["docker", "create", image])
        try:
            _output_of(["docker", "cp", f"{container}:/usr/bin/promtool", str(folder / "promtool")])
        finally:
            subprocess.run(["docker", "rm", container], capture_output=True, check=False)

    return cache.make("promtool", key(image), extract) / "promtool"


def crds() -> list[Path]:
    """The definitions of the Prometheus Operator's kinds, a file for each, from its module.

    :raises Failure: there is no Go, or the module cannot be downloaded.
    """
    status, answer, error = output(
        ["go", "mod", "download", "-json", ROOT_PACKAGE], cwd=MODULE, timeout_seconds=DOWNLOAD_SECONDS
    )
    if status:
        raise Failure(
            f"{ROOT_PACKAGE} cannot be downloaded ({_last_line(error)}); connect to a network, or set GOPROXY."
        )
    return sorted((Path(json.loads(answer)["Dir"]) / CRDS).glob("*.yaml"))


def version_of(told: str) -> str:
    """The number in what ``prometheus --version`` says, without what Debian adds to it.

    :raises Failure: there is none.
    """
    found = re.match(r"prometheus, version (\d+\.\d+\.\d+)", told)
    if not found:
        raise Failure(f"the Prometheus of the image says no version ({told[:80]!r}); remove the image and try again.")
    return found.group(1)


def _prometheus(cache: Cache) -> str:
    base = base_image.ensure(cache)
    reference = f"{NAME}/prometheus:{key(base, PROMETHEUS_RECIPE)}"
    if not debian.has_image(reference):
        with cache.workspace("image-prometheus", "the build of the Prometheus image") as context:
            if not debian.has_image(reference):
                shutil.copy(PROMETHEUS_RECIPE, context)
                debian.build_image(context, PROMETHEUS_RECIPE.name, reference, {"BASE": base}, cache)
    return reference


def _operator(cache: Cache) -> str:
    programs = _programs(cache)
    reference = f"{NAME}/prometheus-operator:{key(programs.name, OPERATOR_RECIPE)}"
    if not debian.has_image(reference):
        with cache.workspace("image-prometheus-operator", "the build of the Prometheus Operator's image") as context:
            if not debian.has_image(reference):
                shutil.copytree(programs, context / "bin")
                shutil.copy(OPERATOR_RECIPE, context)
                debian.build_image(context, OPERATOR_RECIPE.name, reference, {}, cache)
    return reference


def _programs(cache: Cache) -> Path:
    def build(folder: Path) -> None:
        with console.step("build the Prometheus Operator from Go modules") as step:
            golang.build(
                [f"{ROOT_PACKAGE}/cmd/{program}" for program in PROGRAMS],
                module=MODULE,
                into=folder,
                step=step,
                log=cache.log("build-prometheus-operator"),
                what="building the Prometheus Operator",
                system="linux",
            )

    return cache.make("prometheus-operator", key(MODULE, PROGRAMS, host.architecture()), build)


def _output_of(command: list[str]) -> str:
    status, answer, error = output(command)
    if status:
        raise Failure(f"{' '.join(command[:2])} failed ({_last_line(error)}); restart the Docker engine.")
    return answer.strip()


def _last_line(error: str) -> str:
    return (error.strip().splitlines() or ["no reason given"])[-1]
