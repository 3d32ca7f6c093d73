"""The page on clusters without a connection to the outside: its commands as they stand there."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml

from ci import tools
from tests import documented
from tests.apiserver.conftest import ROOT
from tests.apiserver.server import ApiServer
from tests.render.kustomize.overlays import RefusedError, build

pytestmark = pytest.mark.apiserver

IMAGE = "ghcr.io/dask/dask-kubernetes-operator"
# A Git that fetches nothing, and says so.
NO_GIT = "#!/bin/sh\necho 'git is not to be asked' >&2\nexit 1\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the commands name, so that they may write beside it."""
    for name in ("chart", "kustomize"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def environment(server: ApiServer) -> Mapping[str, str]:
    """What makes kubectl and helm administrators of an API server."""
    helm = tools.ensure(["helm"])["helm"].parent
    return {"KUBECONFIG": str(server.kubeconfig), "PATH": f"{server.binaries}:{helm}:{os.environ['PATH']}"}


def test_images_are_listed_and_replaced(server: ApiServer, checkout: Path) -> None:
    there = environment(server)
    listed = documented.run("docs/air-gapped.md", "What it takes", environment=there, folder=checkout)
    assert all(re.search(rf"image: \"?{IMAGE}:", output) for output in listed)
    (moved,) = documented.run("docs/air-gapped.md", "Moving the images", environment=there, folder=checkout)
    assert re.search(rf"image: \"?registry.internal/dask/operator:[^@ ]+@sha256:{'1' * 64}\"?\n", moved)


def test_one_file_installs_it(start_server: Callable[[], AbstractContextManager[ApiServer]], checkout: Path) -> None:
    with start_server() as server:
        documented.run(
            "docs/air-gapped.md", "Installing with kubectl", environment=environment(server), folder=checkout
        )
        assert _has_operator(server)


def test_a_package_installs_it(start_server: Callable[[], AbstractContextManager[ApiServer]], checkout: Path) -> None:
    with start_server() as server:
        documented.run("docs/air-gapped.md", "Installing with Helm", environment=environment(server), folder=checkout)
        assert _has_operator(server)


def test_the_tree_is_built_without_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = checkout / "programs"
    programs.mkdir()
    (programs / "git").write_text(NO_GIT)
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    folders = [file.parent for file in (checkout / "kustomize").rglob("kustomization.yaml")]
    kustomizations = [folder for folder in folders if _kind(folder) == "Kustomization"]
    assert len(kustomizations) > 10
    for folder in kustomizations:
        assert build(folder)
    (checkout / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["https://git.invalid/a/b//c?ref=d"]}))
    with pytest.raises(RefusedError, match="git is not to be asked"):
        build(checkout)


def _kind(folder: Path) -> str:
    return str(yaml.safe_load((folder / "kustomization.yaml").read_text())["kind"])


def _has_operator(server: ApiServer) -> bool:
    label = "app.kubernetes.io/name=dask-kubernetes-operator"
    found = server.kubectl("get", "deployment", "-n", "dask-operator", "-l", label, "-o", "name").stdout
    return len(found.split()) == 1
