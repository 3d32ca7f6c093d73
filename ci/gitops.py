"""Flux and Argo CD, as far as they sync what is in Git, and a Git server: for tests of what is made for them."""

from __future__ import annotations

import shutil
from pathlib import Path

from ci import base_image, golang, programs
from ci.cache import Cache, key
from ci.pins import HERE
from ci.programs import Programs

RECIPES = HERE / "images" / "gitops"

SOURCE_CONTROLLER = Programs(
    "source-controller",
    "Flux's source-controller",
    ("github.com/fluxcd/source-controller",),
    HERE / "go" / "source-controller",
)
KUSTOMIZE_CONTROLLER = Programs(
    "kustomize-controller",
    "Flux's kustomize-controller",
    ("github.com/fluxcd/kustomize-controller",),
    HERE / "go" / "kustomize-controller",
)
ARGO_CD = Programs("argo-cd", "Argo CD", (".",), HERE / "go" / "argo-cd")
# In an image it has to be the one for Linux, whatever the tool of that name is for.
KUSTOMIZE = Programs(
    "kustomize-linux", "kustomize", ("sigs.k8s.io/kustomize/kustomize/v5",), HERE / "go" / "kustomize"
)
GIT_SERVER = Programs("git-server", "the Git server", (".",), HERE / "go" / "git-server")
ALL = (SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER, ARGO_CD, KUSTOMIZE, GIT_SERVER)

FLUX_DEFINITIONS = "flux"
ARGO_CD_DEFINITIONS = "argo-cd"
# Where a module has the definitions of its kinds: the root package of the module that has them, and the place in it.
_PLACES = {
    FLUX_DEFINITIONS: (
        (SOURCE_CONTROLLER, "github.com/fluxcd/source-controller", "config/crd/bases/*.yaml"),
        (KUSTOMIZE_CONTROLLER, "github.com/fluxcd/kustomize-controller", "config/crd/bases/*.yaml"),
    ),
    ARGO_CD_DEFINITIONS: ((ARGO_CD, "github.com/argoproj/argo-cd/v2", "manifests/crds/*-crd.yaml"),),
}


def images(cache: Cache | None = None) -> list[str]:
    """Have all three images, and the definitions with them; the references.

    :raises Failure: there is no engine or no Go, a module cannot be downloaded, or a build failed.
    """
    cache = cache or Cache()
    for tool in _PLACES:
        definitions(tool, cache)
    return [git_server(cache), flux(cache), argo_cd(cache)]


def git_server(cache: Cache | None = None) -> str:
    """An image that serves the repositories which its arguments name, empty at first, over HTTP on port 8080.

    :raises Failure: as for :func:`images`.
    """
    cache = cache or Cache()
    program = GIT_SERVER.build(cache) / "git-server"
    return programs.image(RECIPES / "git-server.Dockerfile", [program], cache, base=base_image.ensure(cache))


def flux(cache: Cache | None = None) -> str:
    """An image with ``source-controller`` and ``kustomize-controller``.

    :raises Failure: as for :func:`images`.
    """
    cache = cache or Cache()
    controllers = [one.build(cache) / one.name for one in (SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER)]
    return programs.image(RECIPES / "flux.Dockerfile", controllers, cache)


def argo_cd(cache: Cache | None = None) -> str:
    """An image that is ``argocd-application-controller`` or ``argocd-repo-server``, as its first argument says.

    It has ``redis-server``, too.

    :raises Failure: as for :func:`images`.
    """
    cache = cache or Cache()
    made = [ARGO_CD.build(cache) / "argo-cd", KUSTOMIZE.build(cache) / "kustomize"]
    return programs.image(RECIPES / "argo-cd.Dockerfile", made, cache, base=git_server(cache))


def is_built(cache: Cache | None = None) -> bool:
    """Whether the cache has all that takes long to build, and nothing is left to download for it."""
    cache = cache or Cache()
    return all(one.are_built(cache) for one in ALL) and cache.path(*_definitions()).is_dir()


def definitions(tool: str, cache: Cache | None = None) -> list[Path]:
    """The definitions of a tool's kinds, a file for each, from its modules.

    :param tool: ``FLUX_DEFINITIONS`` or ``ARGO_CD_DEFINITIONS``.
    :raises Failure: there is no Go, or a module cannot be downloaded.
    """

    def copy(folder: Path) -> None:
        for name, places in _PLACES.items():
            (folder / name).mkdir()
            for built, package, pattern in places:
                for file in golang.sources(package, built.module).glob(pattern):
                    shutil.copy(file, folder / name)

    cache = cache or Cache()
    return sorted((cache.make(*_definitions(), copy) / tool).glob("*.yaml"))


def _definitions() -> tuple[str, str]:
    """The name and the key under which the cache keeps the definitions."""
    places = [(built.module, package, pattern) for each in _PLACES.values() for built, package, pattern in each]
    return "gitops-definitions", key(*(part for place in places for part in place))
