"""Prometheus and the Prometheus Operator, from Go modules: for tests of what is made for them."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ci import debian, golang, host
from ci.cache import NAME, Cache, key
from ci.console import Failure, console
from ci.pins import HERE
from ci.process import output

RECIPES = HERE / "images" / "prometheus"
DOWNLOAD_SECONDS = 300

MODULE = HERE / "go" / "prometheus"
ROOT_PACKAGE = "github.com/prometheus/prometheus"
PROGRAMS = ("prometheus", "promtool")
# By importing it they can discover targets in two dozen clouds, whose clients are most of the build. Ours are in
# Kubernetes, so it is this that they import.
EVERY_DISCOVERY = f"{ROOT_PACKAGE}/plugins"
DISCOVERY = f"{ROOT_PACKAGE}/discovery/kubernetes"

OPERATOR_MODULE = HERE / "go" / "prometheus-operator"
OPERATOR_ROOT_PACKAGE = "github.com/prometheus-operator/prometheus-operator"
# The second is started beside Prometheus, and has it load what has changed.
OPERATOR_PROGRAMS = ("operator", "prometheus-config-reloader")
CRDS = Path("example/prometheus-operator-crd")


@dataclass(frozen=True)
class Images:
    """References of images that the engine holds, with programs to match.

    Attributes:
        prometheus: its entry point is Prometheus.
        version: of that Prometheus, such as ``3.7.3``.
        operator: has ``operator`` and ``prometheus-config-reloader`` in ``/bin``; the latter is its entry point.
    """

    prometheus: str
    version: str
    operator: str


def images(cache: Cache | None = None) -> Images:
    """Have the images.

    :raises Failure: there is no engine or no Go, a module cannot be downloaded, or a build failed.
    """
    cache = cache or Cache()
    return Images(
        prometheus=_image("prometheus", [_programs(cache, "linux") / "prometheus"], cache),
        version=version(),
        operator=_image("prometheus-operator", [_operator(cache) / name for name in OPERATOR_PROGRAMS], cache),
    )


def promtool(cache: Cache | None = None) -> Path:
    """The promtool that belongs to the Prometheus of the image, for this machine.

    :raises Failure: there is no Go, a module cannot be downloaded, or the build failed.
    """
    return _programs(cache or Cache(), host.system()) / "promtool"


def crds() -> list[Path]:
    """The definitions of the Prometheus Operator's kinds, a file for each, from its module.

    :raises Failure: there is no Go, or the module cannot be downloaded.
    """
    return sorted((_sources(OPERATOR_ROOT_PACKAGE, OPERATOR_MODULE) / CRDS).glob("*.yaml"))


def version() -> str:
    """Of Prometheus: 3.7.3 is version 0.307.3 of its module, whose path would have to say so if it were version 3."""
    found = re.search(rf"^\t{ROOT_PACKAGE} v0\.(\d+)(\d\d)\.(\d+)\b", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if not found:
        raise Failure(f"{MODULE / 'go.mod'} names no version of {ROOT_PACKAGE}; take it from a fresh checkout.")
    return ".".join(str(int(part)) for part in found.groups())


def _programs(cache: Cache, system: str) -> Path:
    def build(folder: Path) -> None:
        with (
            cache.workspace("prometheus-mains", "the build of Prometheus") as module,
            console.step("build Prometheus from Go modules") as step,
        ):
            write_module(module, _sources(ROOT_PACKAGE, MODULE))
            golang.build(
                [f"./{name}" for name in PROGRAMS],
                module=module,
                into=folder,
                step=step,
                log=cache.log("build-prometheus"),
                what="building Prometheus",
                symbols={"github.com/prometheus/common/version.Version": version()},
                system=system,
            )

    return cache.make("prometheus", key(MODULE, PROGRAMS, DISCOVERY, system, host.architecture()), build)


def write_module(folder: Path, sources: Path) -> None:
    """Write a module of Prometheus' programs, with one way to discover targets; all else they import is as pinned.

    Go does not let an overlay stand in for files of its module cache, so the programs' own files are copied.

    :param folder: an empty one.
    :param sources: the module of Prometheus.
    """
    for name in ("go.mod", "go.sum"):
        shutil.copy(MODULE / name, folder)
    for program in PROGRAMS:
        (folder / program).mkdir()
        for file in sorted((sources / "cmd" / program).glob("*.go")):
            if not file.name.endswith("_test.go"):
                text = file.read_text().replace(f'"{EVERY_DISCOVERY}"', f'"{DISCOVERY}"')
                (folder / program / file.name).write_text(text)


def _operator(cache: Cache) -> Path:
    def build(folder: Path) -> None:
        with console.step("build the Prometheus Operator from Go modules") as step:
            golang.build(
                [f"{OPERATOR_ROOT_PACKAGE}/cmd/{program}" for program in OPERATOR_PROGRAMS],
                module=OPERATOR_MODULE,
                into=folder,
                step=step,
                log=cache.log("build-prometheus-operator"),
                what="building the Prometheus Operator",
                system="linux",
            )

    return cache.make("prometheus-operator", key(OPERATOR_MODULE, OPERATOR_PROGRAMS, host.architecture()), build)


def _image(name: str, programs: list[Path], cache: Cache) -> str:
    """An image of programs that need nothing beside them, made by the recipe of its name."""
    recipe = RECIPES / f"{name}.Dockerfile"
    reference = f"{NAME}/{name}:{key([program.parent.name for program in programs], recipe)}"
    if not debian.has_image(reference):
        with cache.workspace(f"image-{name}", f"the build of the image of {name}") as context:
            if not debian.has_image(reference):
                (context / "bin").mkdir()
                for program in programs:
                    shutil.copy(program, context / "bin")
                shutil.copy(recipe, context)
                debian.build_image(context, recipe.name, reference, {}, cache)
    return reference


def _sources(package: str, module: Path) -> Path:
    """The folder of the module that a package is the root of, as another module pins it."""
    status, answer, error = output(
        ["go", "mod", "download", "-json", package], cwd=module, timeout_seconds=DOWNLOAD_SECONDS
    )
    if status:
        last = (error.strip().splitlines() or ["no reason given"])[-1]
        raise Failure(f"{package} cannot be downloaded ({last}); connect to a network, or set GOPROXY.")
    return Path(json.loads(answer)["Dir"])
