"""What a user can get wrong and a template can tell is refused, in a sentence that names the value."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.render.chart.helm import Helm, Object, RefusedError, container, nested, pick, render

pytestmark = pytest.mark.render


def refusal(helm: Helm, values: Object) -> str:
    with pytest.raises(RefusedError) as caught:
        render(values, helm=helm)
    return str(caught.value)


DIGEST = "sha256:" + 64 * "0"

#: A value, something that it cannot be, and the place that the refusal names where that is not the value itself.
WRONG: list[tuple[Any, ...]] = [
    ("image", "dask"),
    ("image", None, "missing property 'image'"),
    ("image.name", 1),
    ("image.name", ""),
    ("image.name", None, "at '/image': missing property 'name'"),
    ("image.nmae", "dask", "at '/image': additional properties 'nmae' not allowed"),
    ("image.registry", ["mirror"]),
    ("image.tag", 1.1),
    ("image.tag", 2026),
    ("image.tag", ""),
    ("image.digest", "latest"),
    ("image.digest", DIGEST.upper()),
    ("image.digest", DIGEST[:-1]),
    ("image.pullPolicy", True),
    ("image.pullPolicy", "Sometimes"),
    ("imagePullSecrets", "one"),
    ("imagePullSecrets", {"name": "one"}),
    ("imagePullSecrets", [1]),
    ("imagePullSecrets", [{"nam": "one"}]),
    ("imagePullSecrets", ["one", {"name": 2}]),
    ("imagePullSecrets", [{"name": "one", "namespace": "b"}]),
    ("watchNamespaces", "team-a"),
    ("watchNamespaces", ["Team"]),
    ("watchNamespaces", ["team_a"]),
    ("nameOverride", 7),
    ("fullnameOverride", ["a"]),
    ("namespaceOverride", 1),
    ("commonLabels", {"a": 1}),
    ("serviceAccount", None, "missing property 'serviceAccount'"),
    ("serviceAccount.create", "false"),
    ("serviceAccount.annotations", {"a": True}),
    ("serviceAccount.name", 1),
    ("replicas", "two"),
    ("replicas", 1.5),
    ("replicas", -1),
    ("replicas", None, "missing property 'replicas'"),
    ("replicas", [1]),
    ("rbac", True),
    ("rbac.create", "no"),
    ("rbac.cluster", "false"),
    ("rbac.cluster", None, "at '/rbac': missing property 'cluster'"),
    ("rbac.aggregate", "view"),
    ("podLabels", ["a"]),
    ("podAnnotations", "a=b"),
    ("podAnnotations", {"a": 1}),
    ("podSecurityContext", "restricted"),
    ("securityContext", []),
    ("resources", "1Gi"),
    ("extraEnv", {"A": "b"}),
    ("extraEnv", [{"value": "b"}]),
    ("volumes", {"name": "a"}),
    ("volumes", ["a"]),
    ("volumeMounts", ["/a"]),
    ("startupProbe", False),
    ("livenessProbe", 10),
    ("readinessProbe", "off"),
    ("terminationGracePeriodSeconds", -1),
    ("nodeSelector", {"gpu": True}),
    ("tolerations", {"key": "a"}),
    ("affinity", []),
    ("topologySpreadConstraints", [{"maxSkew": 1}]),
    ("priorityClassName", 100),
    ("revisionHistoryLimit", "all"),
    ("kopfArgs", "--all-namespaces"),
    ("kopfArgs", {"namespace": "a"}),
    ("kopfArgs", ["--all-namespaces", 1]),
    ("kopfArgs", ["--all-namespaces", None]),
    ("logging.level", "loud"),
    ("logging.format", "JSON"),
    ("workerAllocation.size", 0),
    ("workerAllocation.size", "many"),
    ("workerAllocation.delay", -1),
    ("workerAllocation.delay", "5s"),
    ("podDisruptionBudget.enabled", 1),
    ("podDisruptionBudget.minAvailable", "half"),
    ("podDisruptionBudget.maxUnavailable", -1),
    ("networkPolicy.enabled", "yes"),
    ("networkPolicy.from", {"podSelector": {}}),
    ("networkPolicy.egress", ["443"]),
    ("extraObjects", {"kind": "ConfigMap"}),
    ("extraObjects", [1]),
    ("tests.image", ""),
    ("tests.namespace", "team-*"),
    ("tests.timeoutSeconds", 0),
    ("crds.keep", "true"),
    ("crds.annotations", {"a": 1}),
    ("crds.annotation", {}, "at '/crds': additional properties 'annotation' not allowed"),
    ("kopOfArgs", ["-A"], "additional properties 'kopOfArgs' not allowed"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong[0]}-{wrong[1]}")
def test_wrong_value_is_refused_by_its_name(helm: Helm, wrong: tuple[Any, ...]) -> None:
    path, value, *named = wrong
    said = refusal(helm, nested(path, value))
    assert (named[0] if named else f"at '/{path.replace('.', '/')}") in said


WRONG_TOGETHER = [
    ({"nameOverride": "My_Operator"}, 'nameOverride: "My_Operator" cannot name a Kubernetes object'),
    ({"fullnameOverride": "UPPER"}, 'fullnameOverride: "UPPER" cannot name a Kubernetes object'),
    ({"fullnameOverride": "a b"}, 'fullnameOverride: "a b" cannot name a Kubernetes object'),
    ({"fullnameOverride": "---"}, 'fullnameOverride: "" cannot name a Kubernetes object'),
    (
        {"watchNamespaces": ["a"], "kopfArgs": ["--namespace=b"]},
        "watchNamespaces: kopfArgs name namespaces too; name them in one place",
    ),
    (
        {"watchNamespaces": ["team-*"], "rbac": {"cluster": False}},
        'watchNamespaces: "team-*" is a pattern, and takes rights in every namespace: rbac.cluster=true',
    ),
    (
        {"podDisruptionBudget": {"enabled": True}},
        "podDisruptionBudget.enabled: with one pod no node could be drained; set replicas to 2 or more",
    ),
    (
        {"podDisruptionBudget": {"enabled": True, "minAvailable": 1, "maxUnavailable": 1}, "replicas": 2},
        "podDisruptionBudget: minAvailable and maxUnavailable exclude each other",
    ),
    (
        {"watchNamespaces": ["a", "b"], "tests": {"namespace": "c"}},
        "tests.namespace: the operator does not serve c, but a, b",
    ),
]


@pytest.mark.parametrize(("values", "sentence"), WRONG_TOGETHER)
def test_values_that_cannot_work_are_refused(helm: Helm, values: Object, sentence: str) -> None:
    assert sentence in refusal(helm, values)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--all-namespaces", "--namespace=a"],
        ["-A", "-n", "a"],
        ["-na", "--all-namespaces"],
        ["--namespace", "a", "-A"],
    ],
)
def test_watching_everything_and_one_namespace_is_refused(helm: Helm, arguments: list[str]) -> None:
    assert "kopfArgs: --all-namespaces and --namespace exclude" in refusal(helm, {"kopfArgs": arguments})


@pytest.mark.parametrize("arguments", [["--all-namespaces"], ["-A"], [], ["--verbose"], None])
def test_rights_in_one_namespace_for_an_operator_that_watches_all_is_refused(
    helm: Helm, arguments: list[str] | None
) -> None:
    said = refusal(helm, {"rbac": {"cluster": False}, "kopfArgs": arguments})
    assert "watchNamespaces: rbac.cluster=false gives rights in the namespaces that are named, and none is" in said
    assert "--set watchNamespaces='{dask-operator}'" in said


@pytest.mark.parametrize(
    "arguments",
    [["--namespace=dask-operator"], ["--namespace", "dask-operator"], ["-n", "dask-operator"]],
)
def test_every_spelling_of_the_namespace_is_understood(helm: Helm, arguments: list[str]) -> None:
    objects = render({"rbac": {"cluster": False}, "kopfArgs": arguments}, helm=helm)
    assert container(objects)["args"] == arguments
    assert pick(objects, "Role", "metadata", "namespace") == "dask-operator"


def test_rights_given_by_other_means_are_the_users_business(helm: Helm) -> None:
    objects = render({"rbac": {"create": False, "cluster": False}}, helm=helm)
    assert container(objects)["args"] == ["--all-namespaces"]


def test_kubernetes_that_is_too_old_is_refused(helm: Helm) -> None:
    with pytest.raises(RefusedError, match=re.escape("requires kubeVersion: >=1.31.0-0")):
        render(helm=helm, kube_version="1.30.14")


@pytest.mark.parametrize("version", ["1.31.0", "1.31.2-eks-7f9249a", "v1.33.1-gke.1386000", "1.34.1+k3s1"])
def test_kubernetes_of_a_vendor_is_accepted(helm: Helm, version: str) -> None:
    assert render(helm=helm, kube_version=version)
