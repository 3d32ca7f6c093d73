"""Build the images and package the chart with chartpress, without touching the working tree.

chartpress writes the tags it derives from git history into the chart's files. It therefore works on a clone: of an
older revision, or with the working tree's uncommitted changes committed to it. An interrupted build leaves nothing
behind, what is built is what is on disk, and its tag names it. The commit is made of nothing but contents and the
parent's date, so that the same contents have the same tag.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import chartpress
import yaml

from ci import base_image, cluster, tools
from ci.cache import Cache
from ci.cli import guarded
from ci.console import Failure, console
from ci.process import output, run
from scripts.git import git

ROOT = Path(__file__).resolve().parent.parent
CHART = "chart/dask-kubernetes-operator"
CONTROLLER_IMAGE = "dask-kubernetes-operator"
DEMO_IMAGE = "dask-kubernetes-operator-demo"

# What the tests upgrade from and roll back to: with each release it becomes the tag of that release. Nothing is
# released yet; this one has definitions of an older schema, and a controller that knows less.
PREVIOUS_RELEASE = "9a67c20a410ef5bf171401ecc149cc8b106296ca"

# Images are pushed nowhere unless this names where to: for a cluster that is not a kind cluster on this machine.
PREFIX_VARIABLE = "IMAGE_PREFIX"

# All that the images and the chart are made of. What else changed gives no new tag.
SOURCES = ("chartpress.yaml", "chart", "controller", "examples/image")


@dataclass(frozen=True)
class Built:
    """What a build leaves.

    Attributes:
        chart: the packaged chart, whose values name the controller image.
        controller: reference of the controller image.
        dask: reference of the Dask image of the demo and the tests.
    """

    chart: Path
    controller: str
    dask: str


def build(revision: str | None = None) -> Built:
    """Build what is not built yet.

    Args:
        revision: of git, such as ``PREVIOUS_RELEASE``; None for what is on disk.

    Raises:
        Failure: this is no git checkout, the revision is not in its history, or a build failed.
    """
    base = base_image.ensure()
    helm = tools.ensure(["helm"])["helm"]
    log = Cache().log("images")
    what = f" of {revision}" if revision else ""
    with snapshot(revision) as tree, console.step(f"build the images and package the chart{what}") as step:
        environment = {"BASE_IMAGE": base, **_builder_environment()}
        build_all = [sys.executable, "-m", "chartpress", *_registry_options()]
        run(build_all, step=step, log=log, what="chartpress", cwd=tree, env=environment)
        # chartpress remembers for as long as its process lives what it once read from git, of whatever tree.
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as apart:
            references = apart.submit(_references, tree).result()
        target = ROOT / "build" / "charts" / (revision or "tree")
        shutil.rmtree(target, ignore_errors=True)
        package = [str(helm), "package", CHART, "--destination", str(target)]
        run(package, step=step, log=log, what="helm package", cwd=tree)
    (chart,) = target.glob("*.tgz")
    return Built(chart=chart, controller=references[CONTROLLER_IMAGE], dask=references[DEMO_IMAGE])


def load(built: Built, cluster_name: str) -> None:
    """Have a cluster's nodes hold the images; those of a registry of the user's they pull themselves."""
    if not os.environ.get(PREFIX_VARIABLE):
        cluster.load([built.controller, built.dask], cluster_name)


def size_mb(image: str, *, beyond: str) -> float:
    """Compressed size in MB of the layers that an image adds to its base.

    Raises:
        Failure: one of them is not there.
    """
    with tempfile.TemporaryDirectory() as directory:
        return max(0.0, _compressed_mb(image, Path(directory)) - _compressed_mb(beyond, Path(directory)))


def _compressed_mb(image: str, directory: Path) -> float:
    archive = directory / "image.tar.gz"
    with archive.open("wb") as sink, subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
        subprocess.run(["gzip", "-6"], stdin=save.stdout, stdout=sink, check=True)
    if save.returncode:
        raise Failure(f"docker save {image} failed; build it with: make image")
    return archive.stat().st_size / 1e6


def _references(tree: Path) -> dict[str, str]:
    """The images' references by name. ``chartpress --list-images`` leaves out those that the chart does not name."""
    (chart,) = yaml.safe_load((tree / "chartpress.yaml").read_text())["charts"]
    images = {name: {**options, "valuesPath": name} for name, options in chart["images"].items()}
    prefix = os.environ.get(PREFIX_VARIABLE) or chart["imagePrefix"]
    with chdir(tree):
        found = chartpress.build_images(prefix, images, skip_build=True)
    return {name: f"{image['repository']}:{image['tag']}" for name, image in found.items()}


def _registry_options() -> list[str]:
    prefix = os.environ.get(PREFIX_VARIABLE)
    return ["--image-prefix", prefix, "--push"] if prefix else []


def _builder_environment() -> dict[str, str]:
    """Debian's Docker has no buildx; its client then needs to be told to use the classic builder."""
    status, _, _ = output(["docker", "buildx", "version"])
    return {} if status == 0 else {"DOCKER_BUILDKIT": "0"}


@contextmanager
def snapshot(revision: str | None) -> Iterator[Path]:
    """A clone of the repository at a revision, or at what is on disk.

    Raises:
        Failure: this is no git checkout, or the revision is not in its history.
    """
    if not (ROOT / ".git").exists():
        raise Failure("This is no git checkout, and versions come from git history; clone the repository with git.")
    with tempfile.TemporaryDirectory(prefix="snapshot-") as directory:
        tree = Path(directory) / "tree"
        git("clone", "--quiet", "--shared", str(ROOT), str(tree), cwd=ROOT)
        if revision:
            _check_out(revision, tree)
        else:
            _commit_what_is_on_disk(tree)
        yield tree


def _check_out(revision: str, tree: Path) -> None:
    try:
        git("checkout", "--quiet", "--detach", revision, cwd=tree)
    except Failure as failure:
        raise Failure(
            f"The history of this checkout does not reach back to {revision}; get all of it with:"
            " git fetch --unshallow"
        ) from failure


def _commit_what_is_on_disk(tree: Path) -> None:
    changed = git("diff", "--name-only", "-z", "HEAD", "--", *SOURCES, cwd=ROOT)
    untracked = git("ls-files", "--others", "--exclude-standard", "-z", "--", *SOURCES, cwd=ROOT)
    for name in filter(None, (changed + untracked).split("\0")):
        _carry_over(ROOT / name, tree / name)
    git("add", "--all", cwd=tree)
    if git("status", "--porcelain", cwd=tree):
        date = git("log", "-1", "--format=%cI", cwd=tree).strip()
        who = {"NAME": "snapshot", "EMAIL": "snapshot@localhost", "DATE": date}
        environment = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        git("commit", "--quiet", "--no-verify", "--message", "snapshot", cwd=tree, env=environment)


def _carry_over(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    else:
        target.unlink(missing_ok=True)


def main() -> None:
    """Build the images, print their references and the controller's size beyond its base."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    built = build()
    with console.step("measure the controller image"):
        size = size_mb(built.controller, beyond=base_image.ensure())
    console.say(f"controller image: {size:.1f} MB compressed beyond its base")
    print(built.controller, built.dask, built.chart, sep="\n")


if __name__ == "__main__":
    sys.exit(guarded(main))
