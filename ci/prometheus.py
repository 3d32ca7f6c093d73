"""Prometheus and the Prometheus Operator, from Go modules: for tests of what is made for them."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ci import golang, host, programs
from ci.cache import Cache, key
from ci.console import Failure, console
from ci.pins import HERE
from ci.programs import Programs

RECIPES = HERE / "images" / "prometheus"

MODULE = HERE / "go" / "prometheus"
ROOT_PACKAGE = "github.com/prometheus/prometheus"
PROGRAMS = ("prometheus", "promtool")
# By importing it they can discover targets in two dozen clouds, whose clients are most of the build. Ours are in
# Kubernetes, so it is this that they import.
EVERY_DISCOVERY = f"{ROOT_PACKAGE}/plugins"
DISCOVERY = f"{ROOT_PACKAGE}/discovery/kubernetes"

OPERATOR_ROOT_PACKAGE = "github.com/prometheus-operator/prometheus-operator"
# The second is started beside Prometheus, and has it load what has changed.
OPERATOR_PROGRAMS = ("operator", "prometheus-config-reloader")
OPERATOR = Programs(
    "prometheus-operator",
    "the Prometheus Operator",
    tuple(f"{OPERATOR_ROOT_PACKAGE}/cmd/{program}" for program in OPERATOR_PROGRAMS),
    HERE / "go" / "prometheus-operator",
)
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
    prometheus = [_programs(cache, "linux") / "prometheus"]
    operator = [OPERATOR.build(cache) / name for name in OPERATOR_PROGRAMS]
    return Images(
        prometheus=programs.image(RECIPES / "prometheus.Dockerfile", prometheus, cache),
        version=version(),
        operator=programs.image(RECIPES / "prometheus-operator.Dockerfile", operator, cache),
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
    return sorted((golang.sources(OPERATOR_ROOT_PACKAGE, OPERATOR.module) / CRDS).glob("*.yaml"))


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
            write_module(module, golang.sources(ROOT_PACKAGE, MODULE))
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
