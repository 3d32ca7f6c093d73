"""An overlay of a user's takes the tree from a ref of a Git repository, and pins the image by digest."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.render.kustomize.overlays import BUILDERS, TREE, Object, RefusedError, build, by_id

pytestmark = pytest.mark.render

NAME = "dask-kubernetes-operator"
IMAGE = "ghcr.io/dask/dask-kubernetes-operator"
DIGEST = f"sha256:{'0' * 64}"
# Nobody's settings of Git have a part in it.
GIT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "tests@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two releases: `first` and `second`, which has five replicas."""
    root = tmp_path_factory.mktemp("repository")
    shutil.copytree(TREE, root / "kustomize")
    _git(root, "init", "--quiet")
    _release(root, "first")
    file = root / "kustomize" / "base" / "deployment.yaml"
    file.write_text(file.read_text().replace("replicas: 1", "replicas: 5"))
    _release(root, "second")
    return root


@pytest.fixture(params=BUILDERS)
def builder(request: pytest.FixtureRequest) -> str:
    """Each program that people build with."""
    return str(request.param)


@pytest.mark.parametrize(("ref", "replicas"), [("first", 1), ("second", 5)])
def test_a_release_is_taken_by_its_tag(
    repository: Path, ref: str, replicas: int, tmp_path: Path, builder: str
) -> None:
    overlay = _overlay(tmp_path, repository, ref, images=[{"name": IMAGE, "digest": DIGEST}])
    spec = _deployment(build(overlay, builder))
    assert spec["replicas"] == replicas
    assert spec["template"]["spec"]["containers"][0]["image"] == f"{IMAGE}@{DIGEST}"


def test_a_release_is_taken_by_its_commit(repository: Path, tmp_path: Path) -> None:
    commit = _git(repository, "rev-parse", "first").strip()
    assert _deployment(build(_overlay(tmp_path, repository, commit)))["replicas"] == 1


def test_components_are_taken_from_there_too(repository: Path, tmp_path: Path) -> None:
    component = _remote(repository, "components/high-availability", "first")
    overlay = _overlay(tmp_path, repository, "first", namespace="dask-operator", components=[component])
    objects = build(overlay)
    assert _deployment(objects)["replicas"] == 2
    assert ("PodDisruptionBudget", NAME) in by_id(objects)


@pytest.mark.parametrize(
    ("path", "ref", "told"),
    [
        ("overlays/namespace-install", "third", "couldn't find remote ref third"),
        ("overlays/namespaced", "first", "overlays/namespaced"),
    ],
)
def test_a_remote_that_is_not_there_is_told(
    repository: Path, path: str, ref: str, told: str, tmp_path: Path, builder: str
) -> None:
    with pytest.raises(RefusedError, match=told):
        build(_overlay(tmp_path, repository, ref, path=path), builder)


def _overlay(
    folder: Path, repository: Path, ref: str, *, path: str = "overlays/namespace-install", **more: object
) -> Path:
    kustomization = {"resources": [_remote(repository, path, ref)], **more}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


def _remote(repository: Path, path: str, ref: str) -> str:
    return f"file://{repository}//kustomize/{path}?ref={ref}"


def _deployment(objects: list[Object]) -> Object:
    return dict(by_id(objects)["Deployment", NAME]["spec"])


def _release(root: Path, tag: str) -> None:
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--message", tag)
    _git(root, "tag", tag)


def _git(root: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=root, env=GIT, capture_output=True, text=True, check=True)
    return done.stdout
