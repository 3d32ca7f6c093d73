"""Overlays build with both programs, follow what a user's overlay says, and tell a user what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.render.chart.pod_security import violations
from tests.render.kustomize.overlays import (
    BUILDERS,
    COMPONENTS,
    OVERLAYS,
    TREE,
    Object,
    RefusedError,
    build,
    by_id,
    write,
)

pytestmark = pytest.mark.render

NAME = "dask-kubernetes-operator"
IMAGE = "ghcr.io/dask/dask-kubernetes-operator"
DIGEST = f"sha256:{'0' * 64}"
CLUSTER_SCOPED = {"CustomResourceDefinition", "Namespace", "ClusterRole", "ClusterRoleBinding"}


@pytest.fixture(scope="module", params=BUILDERS)
def builder(request: pytest.FixtureRequest) -> str:
    """Each program that people build with."""
    return str(request.param)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_builds(overlay: str, builder: str) -> None:
    kinds = {kind for kind, _ in by_id(build(TREE / "overlays" / overlay, builder))}
    assert {"Deployment", "ServiceAccount", "Role", "RoleBinding"} <= kinds


def test_both_programs_build_the_same() -> None:
    overlay = TREE / "overlays" / "cluster-install"
    assert build(overlay, "kubectl") == build(overlay, "kustomize")


def test_namespace_install_has_nothing_cluster_scoped() -> None:
    objects = build(TREE / "overlays" / "namespace-install")
    assert not {one["kind"] for one in objects} & CLUSTER_SCOPED
    assert all(one["metadata"]["namespace"] == "dask-operator" for one in objects)


def test_every_component_at_once(tmp_path: Path) -> None:
    others = tuple(name for name in COMPONENTS if name not in {"watch-namespace", "pss-restricted", "cluster-scope"})
    write(tmp_path, namespace="dask-operator", resources=("overlays/cluster-install",), components=others)
    kinds = {kind for kind, _ in by_id(build(tmp_path))}
    assert {"PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "PodMonitor"} <= kinds


@pytest.mark.parametrize("overlay", ["cluster-install", "namespace-install"])
def test_a_namespace_is_said_once(overlay: str, tmp_path: Path, builder: str) -> None:
    write(tmp_path, namespace="team-a", resources=(f"overlays/{overlay}",))
    objects = build(tmp_path, builder)
    said = {
        *(one["metadata"]["namespace"] for one in objects if one["kind"] not in CLUSTER_SCOPED),
        *(one["metadata"]["name"] for one in objects if one["kind"] == "Namespace"),
        *(subject["namespace"] for one in objects for subject in one.get("subjects", ())),
    }
    assert said == {"team-a"}
    assert "dask-operator" not in yaml.safe_dump_all(
        one for one in objects if one["kind"] != "CustomResourceDefinition"
    ).replace("dask-operator-", "")


def test_a_prefix_reaches_every_reference(tmp_path: Path) -> None:
    write(tmp_path, namePrefix="blue-", resources=("overlays/namespace-install",))
    found = by_id(build(tmp_path))
    deployment = found["Deployment", f"blue-{NAME}"]
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == f"blue-{NAME}"
    binding = found["RoleBinding", f"blue-{NAME}"]
    assert binding["roleRef"]["name"] == f"blue-{NAME}"
    assert [subject["name"] for subject in binding["subjects"]] == [f"blue-{NAME}"]


@pytest.mark.parametrize(
    ("change", "image"),
    [
        ({"newTag": "2026.11.0"}, f"{IMAGE}:2026.11.0"),
        ({"digest": DIGEST}, f"{IMAGE}@{DIGEST}"),
        ({"newName": "mirror.example.com/dask", "newTag": "1"}, "mirror.example.com/dask:1"),
    ],
)
def test_the_image_is_pinned_by_the_users_overlay(change: dict[str, str], image: str, tmp_path: Path) -> None:
    write(tmp_path, resources=("overlays/namespace-install",), images=[{"name": IMAGE, **change}])
    assert _container(build(tmp_path))["image"] == image


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_operator_keeps_the_restricted_standard(overlay: str) -> None:
    (deployment,) = (one for one in build(TREE / "overlays" / overlay) if one["kind"] == "Deployment")
    assert violations(deployment["spec"]["template"]["spec"]) == []


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({"resources": ["missing.yaml"]}, "missing.yaml"),
        ({"components": ["components/missing"]}, "missing"),
        (
            {"patches": [{"target": {"kind": "Deployment"}, "patch": "- {op: remove, path: /spec/nothing}"}]},
            "/spec/nothing",
        ),
        ({"patches": [{"path": "missing.yaml"}]}, "missing.yaml"),
        (
            {"patches": [{"patch": "{apiVersion: apps/v1, kind: Deployment, metadata: {name: other}}"}]},
            "no resource matches strategic merge patch .*other",
        ),
        ({"labelz": []}, "labelz"),
    ],
)
def test_a_broken_overlay_is_told_where(broken: dict[str, object], told: str, tmp_path: Path, builder: str) -> None:
    write(tmp_path, resources=("overlays/namespace-install",))
    file = tmp_path / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    for key, value in broken.items():
        kustomization[key] = [*kustomization.get(key, []), *value] if isinstance(value, list) else value
    file.write_text(yaml.safe_dump(kustomization))
    with pytest.raises(RefusedError, match=told):
        build(tmp_path, builder)


def _container(objects: list[Object]) -> Object:
    (deployment,) = (one for one in objects if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)
