"""What a user can get wrong and a template can tell is refused, in a sentence that names the value."""

from __future__ import annotations

import re

import pytest

from tests.render.chart.helm import Helm, Object, RefusedError, container, nested, pick, render

pytestmark = pytest.mark.render


def refusal(helm: Helm, values: Object) -> str:
    with pytest.raises(RefusedError) as caught:
        render(values, helm=helm)
    return str(caught.value)


WRONG_TYPES = [
    ("image", "dask", "expected map, got string"),
    ("image", None, "expected map, got null"),
    ("image.name", 1, "expected string, got number"),
    ("image.name", None, "expected string, got null"),
    ("image.tag", 1.1, "expected string, got number"),
    ("image.tag", 2026, "expected string, got number"),
    ("image.pullPolicy", True, "expected string, got true or false"),
    ("imagePullSecrets", "one", "expected list of names, got string"),
    ("imagePullSecrets", {"name": "one"}, "expected list of names, got map"),
    ("imagePullSecrets", [1], "expected list of names, got number at 0"),
    ("imagePullSecrets", [{"nam": "one"}], "expected list of names, got map at 0"),
    ("imagePullSecrets", ["one", {"name": 2}], "expected list of names, got map at 1"),
    ("imagePullSecrets", [{"name": "one", "namespace": "b"}], "expected list of names, got map at 0"),
    ("nameOverride", 7, "expected string, got number"),
    ("fullnameOverride", ["a"], "expected string, got list"),
    ("serviceAccount", None, "expected map, got null"),
    ("serviceAccount.create", "false", "expected true or false, got string"),
    ("serviceAccount.annotations", {"a": True}, "expected map of strings, got true or false at a"),
    ("serviceAccount.name", 1, "expected string, got number"),
    ("replicas", "two", "expected whole number, got string"),
    ("replicas", 1.5, "expected whole number, got number"),
    ("replicas", -1, "expected whole number, got number"),
    ("replicas", None, "expected whole number, got null"),
    ("replicas", [1], "expected whole number, got list"),
    ("rbac", True, "expected map, got true or false"),
    ("rbac.create", "no", "expected true or false, got string"),
    ("rbac.cluster", "false", "expected true or false, got string"),
    ("rbac.cluster", None, "expected true or false, got null"),
    ("podAnnotations", "a=b", "expected map of strings, got string"),
    ("podAnnotations", {"a": 1}, "expected map of strings, got number at a"),
    ("podSecurityContext", "restricted", "expected map, got string"),
    ("securityContext", [], "expected map, got list"),
    ("resources", "1Gi", "expected map, got string"),
    ("volumes", {"name": "a"}, "expected list of maps, got map"),
    ("volumes", ["a"], "expected list of maps, got string at 0"),
    ("volumeMounts", ["/a"], "expected list of maps, got string at 0"),
    ("nodeSelector", {"gpu": True}, "expected map of strings, got true or false at gpu"),
    ("tolerations", {"key": "a"}, "expected list of maps, got map"),
    ("affinity", [], "expected map, got list"),
    ("priorityClassName", 100, "expected string, got number"),
    ("kopfArgs", "--all-namespaces", "expected list of strings, got string"),
    ("kopfArgs", {"namespace": "a"}, "expected list of strings, got map"),
    ("kopfArgs", ["--all-namespaces", 1], "expected list of strings, got number at 1"),
    ("kopfArgs", ["--all-namespaces", None], "expected list of strings, got null at 1"),
    ("crds.keep", "true", "expected true or false, got string"),
    ("crds.annotations", {"a": 1}, "expected map of strings, got number at a"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), WRONG_TYPES)
def test_value_of_the_wrong_type_is_refused(helm: Helm, path: str, value: object, sentence: str) -> None:
    assert f"{path}: {sentence}" in refusal(helm, nested(path, value))


WRONG_VALUES = [
    ("image.name", "", "must not be empty"),
    ("image.tag", "", "must not be empty"),
    ("image.pullPolicy", "Sometimes", 'expected Always, IfNotPresent or Never, got "Sometimes"'),
    ("nameOverride", "My_Operator", '"My_Operator" cannot name a Kubernetes object'),
    ("fullnameOverride", "UPPER", '"UPPER" cannot name a Kubernetes object'),
    ("fullnameOverride", "a b", '"a b" cannot name a Kubernetes object'),
    ("fullnameOverride", "---", '"" cannot name a Kubernetes object'),
]


@pytest.mark.parametrize(("path", "value", "sentence"), WRONG_VALUES)
def test_value_that_cannot_work_is_refused(helm: Helm, path: str, value: str, sentence: str) -> None:
    assert f"{path}: {sentence}" in refusal(helm, nested(path, value))


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
    assert "kopfArgs: rbac.cluster=false gives rights in namespace dask-operator alone" in said
    assert "--set kopfArgs='{--namespace=dask-operator}'" in said


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
