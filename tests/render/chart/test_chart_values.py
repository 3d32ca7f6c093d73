"""Every value of values.yaml does what its comment says, and none is left without a test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from tests.render.chart.helm import ABSENT, CHART, Helm, Object, merge, nested, pick, render

pytestmark = pytest.mark.render

VALUES_FILE = CHART / "values.yaml"
POD = ("spec", "template", "spec")
OPERATOR = (*POD, "containers", 0)
CRD_ANNOTATIONS = ("metadata", "annotations")


@dataclass(frozen=True)
class Case:
    """A value, and what a render shows at a path of an object once it is set."""

    value: Any
    kind: str
    path: tuple[str | int, ...]
    expected: Any
    given: Object = field(default_factory=dict)


def of_pod(value: Any, *path: str, expected: Any = None) -> Case:
    return Case(value, "Deployment", (*POD, *path), value if expected is None else expected)


def of_operator(value: Any, *path: str | int, expected: Any = None) -> Case:
    return Case(value, "Deployment", (*OPERATOR, *path), value if expected is None else expected)


def of_security_context(value: Any, *path: str | int) -> Case:
    return of_operator(value, "securityContext", *path)


CASES: dict[str, Case] = {
    "image.name": of_operator("mirror.test/dask", "image", expected="mirror.test/dask:set-by-chartpress"),
    "image.tag": of_operator("1.10", "image", expected="ghcr.io/dask/dask-kubernetes-operator:1.10"),
    "image.pullPolicy": of_operator("Always", "imagePullPolicy"),
    "imagePullSecrets": of_pod([{"name": "mirror"}], "imagePullSecrets"),
    "nameOverride": Case("operator", "Deployment", ("metadata", "name"), "dask-operator"),
    "fullnameOverride": Case("mine", "Deployment", ("metadata", "name"), "mine"),
    "serviceAccount.create": Case(False, "ServiceAccount", (), ABSENT),
    "serviceAccount.annotations": Case(
        {"eks.amazonaws.com/role-arn": "arn"},
        "ServiceAccount",
        ("metadata", "annotations"),
        {"eks.amazonaws.com/role-arn": "arn"},
    ),
    "serviceAccount.name": Case("mine", "ServiceAccount", ("metadata", "name"), "mine"),
    "rbac.create": Case(False, "ClusterRole", (), ABSENT),
    "rbac.cluster": Case(
        False,
        "ClusterRoleBinding",
        (),
        ABSENT,
        given={"kopfArgs": ["--namespace=dask-operator"]},
    ),
    "podAnnotations": Case(
        {"a/b": "true"},
        "Deployment",
        ("spec", "template", "metadata", "annotations"),
        {"a/b": "true"},
    ),
    "podSecurityContext": of_pod({"fsGroup": 1000}, "securityContext"),
    "securityContext.capabilities.drop": of_security_context(["NET_RAW"], "capabilities", "drop"),
    "securityContext.runAsNonRoot": of_security_context(False, "runAsNonRoot"),
    "securityContext.runAsUser": of_security_context(4711, "runAsUser"),
    "securityContext.allowPrivilegeEscalation": of_security_context(True, "allowPrivilegeEscalation"),
    "securityContext.readOnlyRootFilesystem": of_security_context(False, "readOnlyRootFilesystem"),
    "securityContext.seccompProfile.type": of_security_context("Unconfined", "seccompProfile", "type"),
    "resources": of_operator({"limits": {"cpu": 0.5, "memory": "1Gi"}}, "resources"),
    "volumes": Case(
        [{"name": "plugins", "emptyDir": {}}],
        "Deployment",
        (*POD, "volumes", 1),
        {"name": "plugins", "emptyDir": {}},
    ),
    "volumeMounts": Case(
        [{"name": "plugins", "mountPath": "/plugins"}],
        "Deployment",
        (*OPERATOR, "volumeMounts", 1),
        {"name": "plugins", "mountPath": "/plugins"},
    ),
    "nodeSelector": of_pod({"kubernetes.io/arch": "arm64"}, "nodeSelector"),
    "tolerations": of_pod([{"key": "spot", "operator": "Exists"}], "tolerations"),
    "affinity": of_pod({"podAntiAffinity": {}}, "affinity"),
    "priorityClassName": of_pod("system-cluster-critical", "priorityClassName"),
    "kopfArgs": of_operator(["--namespace=x"], "args", 0, expected="--namespace=x"),
    "replicas": Case(2, "Deployment", ("spec", "replicas"), 2),
    "crds.enabled": Case(False, "CustomResourceDefinition", (), ABSENT),
    "crds.keep": Case(
        False,
        "CustomResourceDefinition",
        (*CRD_ANNOTATIONS, "helm.sh/resource-policy"),
        ABSENT,
    ),
    "crds.annotations": Case(
        {"argocd.argoproj.io/sync-options": "ServerSideApply=true"},
        "CustomResourceDefinition",
        (*CRD_ANNOTATIONS, "argocd.argoproj.io/sync-options"),
        "ServerSideApply=true",
    ),
}

#: The defaults of the public chart's reference for what this chart has of it.
PUBLIC_DEFAULTS: dict[str, Any] = {
    "image.name": "ghcr.io/dask/dask-kubernetes-operator",
    "image.tag": "set-by-chartpress",
    "image.pullPolicy": "IfNotPresent",
    "imagePullSecrets": [],
    "nameOverride": "",
    "fullnameOverride": "",
    "serviceAccount.create": True,
    "serviceAccount.annotations": {},
    "serviceAccount.name": "",
    "rbac.create": True,
    "rbac.cluster": True,
    "podAnnotations": {},
    "podSecurityContext": {},
    "securityContext.capabilities.drop": ["ALL"],
    "securityContext.runAsNonRoot": True,
    "securityContext.runAsUser": 1000,
    "securityContext.allowPrivilegeEscalation": False,
    "securityContext.readOnlyRootFilesystem": True,
    "resources": {},
    "volumes": [],
    "volumeMounts": [],
    "nodeSelector": {},
    "tolerations": [],
    "affinity": {},
    "priorityClassName": None,
    "kopfArgs": ["--all-namespaces"],
}
OWN_VALUES = {
    "crds.enabled",
    "crds.keep",
    "crds.annotations",
    "replicas",
    "securityContext.seccompProfile.type",
}


def leaves(values: Object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walk a values file; a list and an empty map are leaves."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def default_values() -> dict[str, Any]:
    return dict(leaves(yaml.safe_load(VALUES_FILE.read_text())))


def undocumented(node: yaml.MappingNode, lines: list[str], prefix: str = "") -> Iterator[str]:
    """Walk the keys that have no ``# --`` comment above them and are not part of a value that has one."""
    for key, value in node.value:
        above = key.start_mark.line - 1
        while above >= 0 and lines[above].strip().startswith("#"):
            if lines[above].strip().startswith("# -- "):
                break
            above -= 1
        else:
            if isinstance(value, yaml.MappingNode) and value.value:
                yield from undocumented(value, lines, f"{prefix}{key.value}.")
            else:
                yield f"{prefix}{key.value}"


def test_table_of_cases_covers_every_value() -> None:
    assert set(CASES) == set(default_values())


def test_defaults_are_those_of_the_public_chart() -> None:
    values = default_values()
    assert {path: values[path] for path in PUBLIC_DEFAULTS} == PUBLIC_DEFAULTS
    assert set(values) - set(PUBLIC_DEFAULTS) == OWN_VALUES


def test_every_value_is_documented_by_a_comment() -> None:
    text = VALUES_FILE.read_text()
    node = yaml.compose(text)
    assert isinstance(node, yaml.MappingNode)
    assert list(undocumented(node, text.splitlines())) == []


@pytest.mark.parametrize("path", CASES)
def test_value_has_the_documented_effect(
    helm: Helm, path: str, defaults: list[Object], request: pytest.FixtureRequest
) -> None:
    case = CASES[path]
    about_crds = path.startswith("crds.")
    before = request.getfixturevalue("defaults_with_crds") if about_crds else defaults
    after = render(merge(case.given, nested(path, case.value)), helm=helm, crds=about_crds)
    assert pick(before, case.kind, *case.path) != case.expected
    assert pick(after, case.kind, *case.path) == case.expected


NULLABLE = sorted(path for path, value in PUBLIC_DEFAULTS.items() if value in ([], {}, "", None))


@pytest.mark.parametrize("path", NULLABLE)
def test_null_is_as_good_as_empty(helm: Helm, defaults: list[Object], path: str) -> None:
    assert render(nested(path, None), helm=helm) == defaults


def test_crds_keep_and_annotations_meet_on_every_crd(helm: Helm) -> None:
    objects = render({"crds": {"annotations": {"a": "b"}}}, helm=helm, crds=True)
    crds = [one for one in objects if one["kind"] == "CustomResourceDefinition"]
    assert crds
    for crd in crds:
        annotations = crd["metadata"]["annotations"]
        assert (annotations["a"], annotations["helm.sh/resource-policy"]) == ("b", "keep")
