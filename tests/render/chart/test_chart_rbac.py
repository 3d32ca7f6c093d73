"""What the operator may do: the least that works, and the same in both variants."""

from __future__ import annotations

import pytest

from tests.render.chart.helm import ABSENT, Helm, Object, pick, render

pytestmark = pytest.mark.render

Right = tuple[str, str, str]

READ = ("get", "list", "watch")
CHILD = (*READ, "create", "patch", "delete")


def of(group: str, resource: str, *verbs: str) -> set[Right]:
    return {(group, resource, verb) for verb in verbs}


NAMESPACED = {
    *of("kubernetes.dask.org", "daskclusters", *CHILD),
    *of("kubernetes.dask.org", "daskclusters/status", "patch"),
    *of("kubernetes.dask.org", "daskclusters/finalizers", "update"),
    *of("kubernetes.dask.org", "daskworkergroups", *CHILD),
    *of("kubernetes.dask.org", "daskworkergroups/status", "patch"),
    *of("kubernetes.dask.org", "daskworkergroups/finalizers", "update"),
    *of("kubernetes.dask.org", "daskjobs", *READ, "delete"),
    *of("kubernetes.dask.org", "daskjobs/status", "patch"),
    *of("kubernetes.dask.org", "daskjobs/finalizers", "update"),
    *of("kubernetes.dask.org", "daskautoscalers", *READ, "patch"),
    *of("kubernetes.dask.org", "daskautoscalers/status", "patch"),
    *of("", "pods", *CHILD, "deletecollection"),
    *of("", "services", *CHILD),
    *of("apps", "deployments", *CHILD),
    *of("", "events", "create", "patch"),
}
CLUSTER_ONLY = {
    *of("", "namespaces", "list", "watch"),
    *of("apiextensions.k8s.io", "customresourcedefinitions", "list", "watch"),
}


LEASES = of("coordination.k8s.io", "leases", "create", "get", "patch")


def rights(objects: list[Object], kind: str) -> list[Right]:
    """Return every right that a role grants, once for each time that it is granted."""
    return [
        (group, resource, verb)
        for rule in pick(objects, kind, "rules")
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def test_role_grants_exactly_what_the_operator_uses(namespaced: list[Object]) -> None:
    assert set(rights(namespaced, "Role")) == NAMESPACED | LEASES


def test_cluster_role_grants_the_same_and_discovery(defaults: list[Object]) -> None:
    assert set(rights(defaults, "ClusterRole")) == NAMESPACED | CLUSTER_ONLY


def test_leases_are_granted_in_the_releases_namespace_alone(defaults: list[Object]) -> None:
    assert set(rights(defaults, "Role")) == LEASES
    assert pick(defaults, "Role", "metadata", "namespace") == "dask-operator"
    assert pick(defaults, "RoleBinding", "metadata", "namespace") == "dask-operator"


def test_only_the_own_lease_can_be_read_and_renewed(defaults: list[Object], namespaced: list[Object]) -> None:
    for objects in (defaults, namespaced):
        rules = [rule for rule in pick(objects, "Role", "rules") if rule["resources"] == ["leases"]]
        assert [(rule["verbs"], rule.get("resourceNames")) for rule in rules] == [
            (["create"], None),
            (["get", "patch"], [pick(objects, "Deployment", "metadata", "name")]),
        ]


def test_rules_of_both_variants_are_equal_but_for_the_cluster_only_ones(
    defaults: list[Object], namespaced: list[Object]
) -> None:
    cluster_rules = pick(defaults, "ClusterRole", "rules")
    role_rules = [rule for rule in pick(namespaced, "Role", "rules") if rule["resources"] != ["leases"]]
    assert cluster_rules[: len(role_rules)] == role_rules
    rest = [rule["resources"] for rule in cluster_rules[len(role_rules) :]]
    assert rest == [["namespaces"], ["customresourcedefinitions"]]


@pytest.mark.parametrize("kind", ["Role", "ClusterRole"])
def test_nothing_is_granted_twice(defaults: list[Object], namespaced: list[Object], kind: str) -> None:
    granted = rights(defaults if kind == "ClusterRole" else namespaced, kind)
    assert len(granted) == len(set(granted))


@pytest.mark.parametrize("kind", ["Role", "ClusterRole"])
def test_rules_name_only_resources_and_no_wildcard(
    defaults: list[Object], namespaced: list[Object], kind: str
) -> None:
    for rule in pick(defaults if kind == "ClusterRole" else namespaced, kind, "rules"):
        assert set(rule) - {"resourceNames"} == {"apiGroups", "resources", "verbs"}
        assert not any("*" in entry for entries in rule.values() for entry in entries)


def test_single_namespace_has_nothing_cluster_scoped_but_crds(helm: Helm) -> None:
    values = {"rbac": {"cluster": False}, "kopfArgs": ["--namespace=dask-operator"]}
    objects = render(values, helm=helm, crds=True)
    without_namespace = {one["kind"] for one in objects if "namespace" not in one["metadata"]}
    assert without_namespace <= {"CustomResourceDefinition"}


@pytest.mark.parametrize(("cluster", "kind"), [(True, "ClusterRole"), (True, "Role"), (False, "Role")])
def test_binding_names_the_role_and_the_account(
    defaults: list[Object], namespaced: list[Object], cluster: bool, kind: str
) -> None:
    objects = defaults if cluster else namespaced
    assert pick(objects, f"{kind}Binding", "roleRef") == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": kind,
        "name": pick(objects, kind, "metadata", "name"),
    }
    assert pick(objects, f"{kind}Binding", "subjects") == [
        {
            "kind": "ServiceAccount",
            "name": pick(objects, "ServiceAccount", "metadata", "name"),
            "namespace": "dask-operator",
        }
    ]


@pytest.mark.parametrize("cluster", [True, False])
def test_no_role_and_no_binding_when_not_wanted(helm: Helm, cluster: bool) -> None:
    objects = render({"rbac": {"create": False, "cluster": cluster}}, helm=helm)
    for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"):
        assert pick(objects, kind) == ABSENT
