"""The pages on Argo CD and Flux: their commands as they stand there, and the kustomizations that they show."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests import documented
from tests.apiserver.conftest import ROOT
from tests.apiserver.server import ApiServer
from tests.render.kustomize.overlays import build

pytestmark = pytest.mark.apiserver

REMOTE = re.compile(r"https://github\.com/dask/dask-kubernetes//(\S+)\?ref=TAG")
KUSTOMIZATIONS = [
    pytest.param(block, id=f"{page}-{number}")
    for page in ("argocd", "flux")
    for number, block in enumerate(
        re.findall(r"```yaml\n(.*?)```", (ROOT / f"docs/{page}.md").read_text(), re.DOTALL)
    )
]


@pytest.fixture
def environment(gitops_server: ApiServer) -> Iterator[Mapping[str, str]]:
    """What makes kubectl an administrator of the API server; all that commands made goes afterwards."""
    yield {
        "KUBECONFIG": str(gitops_server.kubeconfig),
        "PATH": f"{gitops_server.binaries}:{os.environ['PATH']}",
    }
    for kind in ("applications", "applicationsets", "appprojects", "configmaps", "secrets"):
        for name in gitops_server.kubectl("get", kind, "-n", "argocd", "-o", "name").stdout.split():
            _let_go(gitops_server, name)
            gitops_server.kubectl("delete", "-n", "argocd", name)
    kinds = "kustomizations.kustomize.toolkit.fluxcd.io,gitrepositories,ocirepositories,helmreleases,secrets"
    gitops_server.kubectl("delete", "-n", "flux-system", kinds, "--all")


def names(server: ApiServer, kind: str, namespace: str) -> set[str]:
    """The names of the objects of a kind."""
    found = json.loads(server.kubectl("get", kind, "-n", namespace, "-o", "json").stdout)
    return {one["metadata"]["name"] for one in found["items"]}


def test_argocd_installs_the_operator(gitops_server: ApiServer, environment: Mapping[str, str]) -> None:
    documented.run("docs/argocd.md", "Installing the operator", environment=environment)
    assert names(gitops_server, "applications", "argocd") == {"dask-crds", "dask-operator"}
    assert names(gitops_server, "appprojects", "argocd") == {"dask-operator"}
    # Deleting takes Argo CD, which lets go of an Application once all that it made is gone.
    _let_go(gitops_server, "application/dask-operator")
    documented.run("docs/argocd.md", "Removing", environment=environment)
    assert names(gitops_server, "applications", "argocd") == {"dask-crds"}


def test_argocd_learns_what_is_healthy(gitops_server: ApiServer, environment: Mapping[str, str]) -> None:
    gitops_server.kubectl("create", "configmap", "argocd-cm", "-n", "argocd", "--from-literal=url=https://argocd")
    documented.run("docs/argocd.md", "Health", environment=environment)
    (settings,) = json.loads(gitops_server.kubectl("get", "cm", "-n", "argocd", "-o", "json").stdout)["items"]
    patch = yaml.safe_load((ROOT / "kustomize/argocd/health/argocd-cm.yaml").read_text())
    assert settings["data"] == {"url": "https://argocd", **patch["data"]}


def test_argocd_installs_it_in_many_clusters(gitops_server: ApiServer, environment: Mapping[str, str]) -> None:
    gitops_server.kubectl("create", "secret", "generic", "cluster-edge", "-n", "argocd")
    documented.run("docs/argocd.md", "In many clusters", environment=environment)
    assert names(gitops_server, "applicationsets", "argocd") == {"dask-crds", "dask-operator"}
    sets = json.loads(gitops_server.kubectl("get", "applicationsets", "-n", "argocd", "-o", "json").stdout)["items"]
    for one in sets:
        (generator,) = one["spec"]["generators"]
        selected = ",".join(
            f"{key}={value}" for key, value in generator["clusters"]["selector"]["matchLabels"].items()
        )
        found = gitops_server.kubectl("get", "secrets", "-n", "argocd", "-l", selected, "-o", "name").stdout
        assert found.split() == ["secret/cluster-edge"]


def test_argocd_syncs_a_teams_objects(gitops_server: ApiServer, environment: Mapping[str, str]) -> None:
    documented.run("docs/argocd.md", "Your Dask objects", environment=environment)
    assert names(gitops_server, "applications", "argocd") == {"dask-team-a"}


def test_flux_installs_the_operator(gitops_server: ApiServer, environment: Mapping[str, str]) -> None:
    documented.run("docs/flux.md", "Installing the operator", environment=environment)
    kustomizations = "kustomizations.kustomize.toolkit.fluxcd.io"
    assert names(gitops_server, kustomizations, "flux-system") == {"dask-crds", "dask-operator"}
    documented.run("docs/flux.md", "Your Dask objects", environment=environment)
    documented.run("docs/flux.md", "Removing", environment=environment)
    assert names(gitops_server, kustomizations, "flux-system") == {"dask-crds", "dask-team-a"}


def test_flux_installs_the_chart(gitops_server: ApiServer, environment: Mapping[str, str], tmp_path: Path) -> None:
    documented.run("docs/flux.md", "With Helm", environment=environment)
    (tmp_path / "cosign.pub").write_text("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")
    documented.run("docs/flux.md", "Verifying", environment=environment, folder=tmp_path)
    assert names(gitops_server, "helmreleases", "flux-system") == {"dask-operator"}
    assert names(gitops_server, "secrets", "flux-system") == {"dask-cosign-key"}


def test_flux_installs_it_without_git(gitops_server: ApiServer, environment: Mapping[str, str]) -> None:
    documented.run("docs/flux.md", "From a registry, without Git", environment=environment)
    assert names(gitops_server, "ocirepositories", "flux-system") == {"dask-kubernetes"}
    assert names(gitops_server, "gitrepositories", "flux-system") == set()


@pytest.mark.parametrize("block", KUSTOMIZATIONS)
def test_a_kustomization_that_is_shown_is_admitted(gitops_server: ApiServer, block: str, tmp_path: Path) -> None:
    local, found = REMOTE.subn(lambda match: os.path.relpath(ROOT / match[1], tmp_path), block)
    assert found, "it refers to this repository"
    (tmp_path / "kustomization.yaml").write_text(local)
    objects = build(tmp_path)
    assert objects
    strictly = ("--dry-run=server", "--validate=strict", "--warnings-as-errors")
    applied = gitops_server.kubectl("apply", *strictly, "-f", "-", stdin=yaml.safe_dump_all(objects))
    assert (applied.returncode, applied.stderr) == (0, "")


def _let_go(server: ApiServer, name: str) -> None:
    """What a controller does once nothing is left to do before a deletion."""
    patched = server.kubectl("patch", name, "-n", "argocd", "--type=merge", '--patch={"metadata":{"finalizers":[]}}')
    assert patched.returncode == 0, patched.stderr
