"""A fresh cluster for each GitOps tool, with a Git server in it that holds this tree and a team's Dask objects."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from ci import cluster as clusters
from ci import gitops
from scripts import images
from tests.conftest import findings, new_cluster
from tests.platform import Platform, dask_cluster
from tests.render.kustomize.overlays import TREE
from tests.sync import repositories
from tests.sync.argo_cd import ArgoCD
from tests.sync.flux import Flux
from tests.sync.repositories import Repository
from tests.sync.tool import CLUSTER, DEFINITIONS, OPERATOR, TEAM, Tool, part_of

CLUSTER_FILE = f"clusters/{CLUSTER}.yaml"

_WORKERS = 2


@dataclass(frozen=True)
class Site:
    """A cluster with a GitOps tool in it, and what somebody has who works with it.

    Attributes:
        tool: which syncs.
        tree: the repository with the kustomize tree of this one in it.
        team: the repository with a team's Dask objects in it.
        platform: the team's namespace.
        other_image: another reference of the image with Dask.
    """

    tool: Tool
    tree: Repository
    team: Repository
    platform: Platform
    other_image: str

    def findings(self) -> Iterator[tuple[str, str]]:
        """What a person would ask for when a test fails, by title."""
        yield from self.tool.findings()
        yield from findings(self.platform)


@pytest.fixture(scope="module", params=[Flux, ArgoCD], ids=["flux", "argo-cd"])
def site(
    request: pytest.FixtureRequest, built: images.Built, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Both repositories and the tool, which has been asked for nothing yet."""
    if os.environ.get(images.PREFIX_VARIABLE):
        pytest.skip("the images of GitOps tools are loaded into the nodes of a kind cluster, and pushed nowhere")
    kind_of_tool: type[Tool] = request.param
    git_server, tool_image = gitops.git_server(), kind_of_tool.built()
    other_image = f"{built.dask}-other"
    subprocess.run(["docker", "tag", built.dask, other_image], check=True)
    with new_cluster(request, "gitops") as kind:
        clusters.load([built.controller, built.dask, other_image, git_server, tool_image], kind.name)
        tool = kind_of_tool(kind, tool_image)
        for name in (repositories.NAMESPACE, TEAM):
            kind.kubectl("create", "namespace", name)
        server = Platform(kind, repositories.NAMESPACE, built.dask, repositories.NAMESPACE)
        folder = tmp_path_factory.mktemp("repositories")
        with repositories.served(server, git_server, ["tree.git", "team.git"], folder) as (tree, team):
            _fill(tree, built)
            team.write(CLUSTER_FILE, dask_cluster(CLUSTER, built.dask, replicas=_WORKERS))
            team.push("A Dask cluster")
            tool.install()
            yield Site(tool, tree, team, Platform(kind, TEAM, built.dask, OPERATOR), other_image)


def _fill(tree: Repository, built: images.Built) -> None:
    """Push the kustomize tree of this repository, as a release has it: with an image."""
    shutil.copytree(TREE, tree.folder / TREE.name)
    file = tree.folder / TREE.name / "base" / "kustomization.yaml"
    base = yaml.safe_load(file.read_text())
    name, _, tag = built.controller.rpartition(":")
    [image] = base["images"]
    assert image["name"] == name
    image["newTag"] = tag
    file.write_text(yaml.safe_dump(base))
    tree.push("The operator")


@pytest.fixture(scope="module")
def synced(site: Site) -> Site:
    """The definitions, the operator and the team's cluster, all of them as they should be."""
    site.tool.apply(*site.tool.operator(site.tree), *site.tool.team(TEAM, site.team))
    for name, repository in ((DEFINITIONS, site.tree), (OPERATOR, site.tree), (part_of(TEAM), site.team)):
        try:
            site.tool.healthy(name, repository.head())
        except AssertionError as error:
            # Of what fails before a test has begun nothing else is told.
            for title, text in site.findings():
                error.add_note(f"--- {title} ---\n{text}")
            raise
    return site
