"""The tree and the chart are one: an overlay is the chart with the matching values, but for what is listed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scripts.render import revision
from tests.render.chart.helm import REPOSITORY, Helm, find_helm, merge, nested, render
from tests.render.kustomize.overlays import COMPONENTS, OVERLAYS, TREE, Object, build, by_id, read, write

pytestmark = pytest.mark.render

NAME = "dask-kubernetes-operator"
NAMESPACE = "dask-operator"
IMAGE = "ghcr.io/dask/dask-kubernetes-operator"
# Chartpress writes the chart's when it packages the chart, a release the tree's.
TAGS = (("set-by-chartpress", revision.of_tree(REPOSITORY)), ("dev", "dev"))

# What Helm says of an object that it installs. A synced tree is no release, and its version is the ref in Git.
HELM_LABELS = {"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"}
# The CRDs of the chart outlive `helm uninstall` by an annotation; in the tree they have a kustomization of their own.
HELM_ANNOTATIONS = {"helm.sh/resource-policy"}


# Places that have a value of their own in the tree, by object: what is there, and why.
Differences = dict[tuple[str, str], dict[tuple[str | int, ...], tuple[Any, str]]]


@dataclass(frozen=True)
class Match:
    """An install in both forms.

    Attributes:
        resources: of a kustomization, below ``kustomize/``.
        components: of it.
        values: of the chart.
        only_in_tree: objects that the chart cannot have, with the reason.
        differences: what is not as in the chart.
    """

    resources: tuple[str, ...]
    values: Object
    components: tuple[str, ...] = ()
    only_in_tree: dict[tuple[str, str], str] = field(default_factory=dict)
    differences: Differences = field(default_factory=dict)


DEPLOYMENT = ("Deployment", NAME)
CONTAINER = ("spec", "template", "spec", "containers", 0)
THE_NAMESPACE = {
    ("Namespace", NAMESPACE): "Helm makes it itself, with `--create-namespace`, and knows no labels for it"
}
OWN_NAMESPACE: Differences = {
    DEPLOYMENT: {
        (*CONTAINER, "args"): (
            ["--namespace=$(POD_NAMESPACE)"],
            "the namespace is set in one place, and no transformer of kustomize reaches into arguments",
        )
    }
}
OPERATOR_MONITOR: Differences = {
    ("PodMonitor", NAME): {
        ("spec", "namespaceSelector"): (None, "a monitor that names no namespace is about its own, whatever that is")
    }
}
MONITORS_OF_ONE: Differences = {
    (kind, f"{NAME}-{name}"): {("spec", "namespaceSelector"): (None, "as for the operator's own monitor")}
    for kind, name in (("ServiceMonitor", "schedulers"), ("PodMonitor", "workers"))
}
MONITORS = {
    "metrics": {
        "scheduler": {"enabled": True, "serviceMonitor": {"enabled": True}},
        "worker": {"enabled": True, "podMonitor": {"enabled": True}},
        "operator": {"podMonitor": {"enabled": True}},
        "rules": {"enabled": True},
    }
}
ONE_NAMESPACE = {"rbac": {"cluster": False}, "watchNamespaces": [NAMESPACE], "crds": {"enabled": False}}
CLUSTER = ("overlays/cluster-install",)

MATCHES = {
    "cluster-install": Match(CLUSTER, {}, only_in_tree=THE_NAMESPACE),
    "namespace-install": Match(("overlays/namespace-install",), ONE_NAMESPACE, differences=OWN_NAMESPACE),
    "operator-only": Match(("overlays/operator-only",), {"crds": {"enabled": False}}, only_in_tree=THE_NAMESPACE),
    "openshift": Match(
        ("overlays/openshift",), nested("securityContext.runAsUser", None), only_in_tree=THE_NAMESPACE
    ),
    "kubeflow": Match(
        ("overlays/kubeflow",), {"podLabels": {"sidecar.istio.io/inject": "false"}}, only_in_tree=THE_NAMESPACE
    ),
    "dev": Match(
        ("overlays/dev",),
        {"image": {"tag": "dev", "pullPolicy": "Never"}, "logging": {"level": "debug"}},
        only_in_tree=THE_NAMESPACE,
    ),
    "with high-availability": Match(
        CLUSTER,
        {
            "replicas": 2,
            "podDisruptionBudget": {"enabled": True},
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "topology.kubernetes.io/zone",
                    "whenUnsatisfiable": "ScheduleAnyway",
                }
            ],
        },
        components=("high-availability",),
        only_in_tree=THE_NAMESPACE,
    ),
    "with dashboards": Match(
        CLUSTER, nested("metrics.dashboards.enabled", True), components=("dashboards",), only_in_tree=THE_NAMESPACE
    ),
    "with network-policy": Match(
        CLUSTER, nested("networkPolicy.enabled", True), components=("network-policy",), only_in_tree=THE_NAMESPACE
    ),
    "with monitoring": Match(
        CLUSTER, MONITORS, components=("monitoring",), only_in_tree=THE_NAMESPACE, differences=OPERATOR_MONITOR
    ),
    "one namespace with monitoring": Match(
        ("base",),
        merge(ONE_NAMESPACE, MONITORS),
        components=("monitoring", "watch-namespace"),
        differences={**OWN_NAMESPACE, **OPERATOR_MONITOR, **MONITORS_OF_ONE},
    ),
}


@pytest.fixture(scope="module")
def helm3() -> Helm:
    """One Helm is enough: that both render the same is shown with the chart."""
    return find_helm("helm3")


@pytest.mark.parametrize("match", [pytest.param(match, id=name) for name, match in MATCHES.items()])
def test_is_the_chart_with_the_matching_values(match: Match, helm3: Helm, tmp_path: Path) -> None:
    folder = write(tmp_path, namespace=NAMESPACE, resources=match.resources, components=match.components)
    tree = by_id(build(folder))
    chart = by_id(
        [
            _of_no_release(one)
            for one in render(match.values, helm=helm3, release=NAME, namespace=NAMESPACE, crds=True)
        ]
    )
    for absent in match.only_in_tree:
        assert absent not in chart, "no longer a difference"
        del tree[absent]
    for key, places in match.differences.items():
        for path, (value, _) in places.items():
            assert _take(chart[key], path) != value, "no longer a difference"
            assert _take(tree[key], path) == value
    images = tuple(_take(objects[DEPLOYMENT], (*CONTAINER, "image")) for objects in (chart, tree))
    assert images in {(f"{IMAGE}:{theirs}", f"{IMAGE}:{ours}") for theirs, ours in TAGS}
    assert tree == chart


def test_every_overlay_and_every_component_is_compared() -> None:
    compared = {resource.removeprefix("overlays/") for match in MATCHES.values() for resource in match.resources}
    assert compared >= set(OVERLAYS)
    within = {"cluster-scope", "pss-restricted"}  # parts of cluster-install
    assert {component for match in MATCHES.values() for component in match.components} | within == set(COMPONENTS)


def test_the_definitions_are_the_same_to_the_byte() -> None:
    flat = (TREE / "install.yaml").read_text()
    for file in sorted((TREE / "crds").glob("dask*.yaml")):
        ours = file.read_text()
        spec = ours[ours.index("\nspec:\n") :]
        chart = REPOSITORY / "chart" / NAME / "templates" / "crds" / file.name
        assert spec.strip() in chart.read_text()
        assert ours in flat


@pytest.mark.parametrize("name", ["install.yaml", "namespace-install.yaml"])
def test_a_flat_manifest_is_its_overlay(name: str) -> None:
    overlay = "cluster-install" if name == "install.yaml" else "namespace-install"
    assert by_id(read(TREE / name)) == by_id(build(TREE / "overlays" / overlay))


def _of_no_release(rendered: Object) -> Object:
    found = copy.deepcopy(rendered)
    for meta in _all_metadata(found):
        for field_, dropped in (("labels", HELM_LABELS), ("annotations", HELM_ANNOTATIONS)):
            kept = {key: value for key, value in meta.pop(field_, {}).items() if key not in dropped}
            meta.update({field_: kept} if kept else {})
    return found


def _all_metadata(one: Object) -> Iterator[Object]:
    yield one["metadata"]
    if one["kind"] == "Deployment":
        yield one["spec"]["template"]["metadata"]


def _take(one: Object, path: tuple[str | int, ...]) -> Any:
    """Takes what is at a path out of an object, and returns it, or None."""
    at: Any = one
    for key in path[:-1]:
        at = at[key]
    return at.pop(path[-1], None)
