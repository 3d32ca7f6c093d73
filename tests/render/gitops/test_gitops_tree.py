"""What Argo CD and Flux are told to sync is in the tree, and may be synced."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from scripts.render import revision
from tests.render.kustomize.overlays import COMPONENTS, OVERLAYS, REPOSITORY, TREE, Object, build, write

pytestmark = pytest.mark.render

ARGOCD = TREE / "argocd"
FLUX = TREE / "flux"
REVISION = revision.of_tree(REPOSITORY)
# A digest is not known before there is a release; who pins one writes it.
DIGEST = revision.UNRELEASED
CLUSTER_SCOPED = {"CustomResourceDefinition", "Namespace", "ClusterRole", "ClusterRoleBinding"}


def applications() -> Iterator[Object]:
    """Every Application of the tree that syncs this repository, those that ApplicationSets make among them."""
    for file in ("crds.yaml", "operator.yaml", "applicationset.yaml"):
        for one in yaml.safe_load_all((ARGOCD / file).read_text()):
            yield one["spec"]["template"] if one["kind"] == "ApplicationSet" else one


def project(file: str) -> Object:
    found = (one for one in yaml.safe_load_all((ARGOCD / file).read_text()) if one["kind"] == "AppProject")
    return next(found)


def permitted(body: Object, by: Object) -> bool:
    """Whether a project permits an object, as Argo CD decides it."""
    group = body["apiVersion"].rpartition("/")[0]
    where = "cluster" if body["kind"] in CLUSTER_SCOPED else "namespace"
    return any(
        fnmatch(group, rule["group"]) and fnmatch(body["kind"], rule["kind"])
        for rule in by["spec"][f"{where}ResourceWhitelist"]
    )


@pytest.mark.parametrize("application", list(applications()), ids=lambda one: one["metadata"]["name"])
def test_an_application_syncs_what_its_project_permits(application: Object) -> None:
    spec, by = application["spec"], project("project.yaml")
    assert spec["project"] == by["metadata"]["name"]
    assert spec["source"]["repoURL"] in by["spec"]["sourceRepos"]
    assert spec["destination"]["namespace"] in {each["namespace"] for each in by["spec"]["destinations"]}
    assert spec["source"]["targetRevision"] == REVISION
    refused = [one for one in build(REPOSITORY / spec["source"]["path"]) if not permitted(one, by)]
    assert refused == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_project_permits_every_overlay_with_every_component(overlay: str, tmp_path: Path) -> None:
    parts = {"watch-namespace", "pss-restricted", "cluster-scope"}  # each overlay has its own of these
    write(
        tmp_path,
        namespace="dask-operator",
        resources=(f"overlays/{overlay}",),
        components=tuple(name for name in COMPONENTS if name not in parts),
    )
    refused = [one["kind"] for one in build(tmp_path) if not permitted(one, project("project.yaml"))]
    assert refused == []


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("v1", "Secret"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        ("v1", "Namespace"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("batch/v1", "Job"),
    ],
)
def test_a_team_gives_itself_no_rights(api_version: str, kind: str) -> None:
    by = project("clusters.yaml")
    assert not permitted({"apiVersion": api_version, "kind": kind}, by)
    assert permitted({"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskJob"}, by)


def test_nothing_that_argocd_does_deletes_the_definitions() -> None:
    holding = [one for one in applications() if one["spec"]["source"]["path"] == "kustomize/crds"]
    assert len(holding) == 2
    for application in holding:
        assert "finalizers" not in application["metadata"]
        assert application["spec"]["syncPolicy"]["automated"]["prune"] is False
        annotations = application["spec"]["source"]["kustomize"]["commonAnnotations"]
        assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
    for application in applications():
        if application not in holding:
            objects = build(REPOSITORY / application["spec"]["source"]["path"])
            assert "CustomResourceDefinition" not in {one["kind"] for one in objects}


def test_definitions_come_before_the_operator_and_that_before_clusters() -> None:
    waves = [
        int(one["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for file in ("crds.yaml", "operator.yaml", "clusters.yaml")
        for one in yaml.safe_load_all((ARGOCD / file).read_text())
        if one["kind"] == "Application"
    ]
    assert waves == sorted(set(waves))


@pytest.mark.parametrize(("source", "kind"), [("git", "GitRepository"), ("oci", "OCIRepository")])
def test_flux_syncs_what_is_in_its_source(source: str, kind: str) -> None:
    objects = build(FLUX / source)
    (repository,) = (one for one in objects if one["kind"] == kind)
    syncs = [one for one in objects if one["kind"] == "Kustomization"]
    assert [one["metadata"]["name"] for one in syncs] == ["dask-crds", "dask-operator"]
    for one in syncs:
        assert one["spec"]["sourceRef"] == {"kind": kind, "name": repository["metadata"]["name"]}
        assert build(REPOSITORY / one["spec"]["path"])
    assert repository["spec"]["ref"] == ({"tag": REVISION} if source == "git" else {"digest": DIGEST})


def test_nothing_that_flux_does_deletes_the_definitions() -> None:
    by_name = {one["metadata"]["name"]: one["spec"] for one in build(FLUX / "git") if one["kind"] == "Kustomization"}
    definitions, operator = by_name["dask-crds"], by_name["dask-operator"]
    assert (definitions["prune"], definitions["deletionPolicy"]) == (False, "Orphan")
    assert operator["dependsOn"] == [{"name": "dask-crds"}]
    assert "CustomResourceDefinition" not in {one["kind"] for one in build(REPOSITORY / operator["path"])}
    (team,) = (one for one in build(FLUX / "clusters") if one["kind"] == "Kustomization")
    assert team["spec"]["dependsOn"] == [{"name": "dask-operator"}]


@pytest.mark.parametrize("source", ["helm", "oci"])
def test_what_comes_from_a_registry_is_pinned_and_can_be_verified(source: str, tmp_path: Path) -> None:
    write(tmp_path, resources=(f"flux/{source}",))
    (before,) = (one for one in build(tmp_path) if one["kind"] == "OCIRepository")
    assert before["spec"]["ref"] == {"digest": DIGEST}
    assert "verify" not in before["spec"]
    kustomization = yaml.safe_load((tmp_path / "kustomization.yaml").read_text())
    kustomization["components"] = [kustomization["resources"][0].replace(f"flux/{source}", "flux/verify")]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (after,) = (one for one in build(tmp_path) if one["kind"] == "OCIRepository")
    assert after["spec"]["verify"] == {"provider": "cosign", "secretRef": {"name": "dask-cosign-key"}}


def test_the_chart_is_that_of_its_source() -> None:
    objects = {one["kind"]: one for one in build(FLUX / "helm")}
    chart = objects["HelmRelease"]["spec"]["chartRef"]
    assert chart == {"kind": "OCIRepository", "name": objects["OCIRepository"]["metadata"]["name"]}
