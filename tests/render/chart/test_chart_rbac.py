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


def election(objects: list[Object]) -> list[Object]:
    """What is there for the election of a leader."""
    return [one for one in objects if one["metadata"]["name"].endswith("-leader-election")]


def test_role_grants_exactly_what_the_operator_uses(namespaced: list[Object]) -> None:
    assert set(rights(namespaced, "Role")) == NAMESPACED


def test_cluster_role_grants_the_same_and_discovery(defaults: list[Object]) -> None:
    assert set(rights(defaults, "ClusterRole")) == NAMESPACED | CLUSTER_ONLY


def test_leases_are_granted_in_the_releases_namespace_alone(defaults: list[Object], helm: Helm) -> None:
    elsewhere = render({"rbac": {"cluster": False}, "watchNamespaces": ["a", "b"]}, helm=helm)
    for objects in (defaults, elsewhere):
        [role, binding] = election(objects)
        assert set(rights([role], "Role")) == LEASES
        assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "dask-operator"


def test_each_watched_namespace_has_a_role_and_no_other(helm: Helm) -> None:
    objects = render({"rbac": {"cluster": False}, "watchNamespaces": ["a", "b"]}, helm=helm)
    roles = [one for one in objects if one["kind"] == "Role" and one not in election(objects)]
    assert [role["metadata"]["namespace"] for role in roles] == ["a", "b"]
    for role in roles:
        assert set(rights([role], "Role")) == NAMESPACED
    bindings = [one for one in objects if one["kind"] == "RoleBinding" and one not in election(objects)]
    assert [binding["metadata"]["namespace"] for binding in bindings] == ["a", "b"]
    for binding in bindings:
        assert binding["roleRef"]["name"] == roles[0]["metadata"]["name"]
        assert binding["subjects"][0]["namespace"] == "dask-operator"


def test_both_ways_to_name_one_namespace_are_the_same(helm: Helm, namespaced: list[Object]) -> None:
    assert render({"rbac": {"cluster": False}, "watchNamespaces": ["dask-operator"]}, helm=helm) == namespaced


def test_users_rights_add_to_the_roles_that_kubernetes_and_kubeflow_have(defaults: list[Object]) -> None:
    verbs = {"view": set(READ), "edit": {*CHILD, "update", "deletecollection"}}
    for name, into in (("view", ("view", "edit", "admin")), ("edit", ("edit", "admin"))):
        [role] = [one for one in defaults if one["metadata"]["name"] == f"dask-dask-kubernetes-operator-{name}"]
        aggregated = {key for key in role["metadata"]["labels"] if "aggregate" in key}
        assert aggregated == {
            f"rbac.authorization.{label}-{target}"
            for label in ("k8s.io/aggregate-to", "kubeflow.org/aggregate-to-kubeflow")
            for target in into
        }
        assert set(role["rules"][0]["verbs"]) == verbs[name]
        assert all(rule["apiGroups"] == ["kubernetes.dask.org"] for rule in role["rules"])


def test_only_the_own_lease_can_be_read_and_renewed(defaults: list[Object], namespaced: list[Object]) -> None:
    for objects in (defaults, namespaced):
        rules = pick(election(objects), "Role", "rules")
        assert [(rule["verbs"], rule.get("resourceNames")) for rule in rules] == [
            (["create"], None),
            (["get", "patch"], [pick(objects, "Deployment", "metadata", "name")]),
        ]


def test_rules_of_both_variants_are_equal_but_for_the_cluster_only_ones(
    defaults: list[Object], namespaced: list[Object]
) -> None:
    cluster_rules = pick(defaults, "ClusterRole", "rules")
    role_rules = pick(namespaced, "Role", "rules")
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
