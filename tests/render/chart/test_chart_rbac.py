"""What the operator may do: the least that works, and the same in both variants."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.render.chart.helm import ABSENT, REPOSITORY, Helm, Object, pick, render

pytestmark = pytest.mark.render

Right = tuple[str, str, str]

READ = ("list", "watch")
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
    *of("", "events", "create"),
}
PATTERNS_ONLY = {
    *of("", "namespaces", "list", "watch"),
    *of("apiextensions.k8s.io", "customresourcedefinitions", "list", "watch"),
}


LEASES = of("coordination.k8s.io", "leases", "create", "get", "patch")


def rights(objects: list[Object], kind: str) -> list[Right]:
    """Return every right that the first role of a kind grants, once for each time that it is granted."""
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


def test_cluster_role_grants_the_same(defaults: list[Object], namespaced: list[Object]) -> None:
    assert pick(defaults, "ClusterRole", "rules") == pick(namespaced, "Role", "rules")


@pytest.mark.parametrize(
    "values",
    [
        {"watchNamespaces": ["a", "team-*"]},
        {"watchNamespaces": ["team-?"]},
        {"watchNamespaces": ["!kube-system"]},
        {"kopfArgs": ["--namespace=team-*"]},
    ],
)
def test_namespaces_named_by_a_pattern_have_to_be_found(helm: Helm, values: Object) -> None:
    assert set(rights(render(values, helm=helm), "ClusterRole")) == NAMESPACED | PATTERNS_ONLY


@pytest.mark.parametrize("values", [{"watchNamespaces": ["a", "b"]}, {"kopfArgs": ["--namespace=a"]}])
def test_namespaces_named_each_are_not_looked_for(helm: Helm, values: Object) -> None:
    assert set(rights(render(values, helm=helm), "ClusterRole")) == NAMESPACED


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
    verbs = {"view": {"get", *READ}, "edit": {"get", *CHILD, "update", "deletecollection"}}
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


def test_the_page_on_rights_tells_of_each_and_of_no_other() -> None:
    words = r"((?:`[^`]+` ?)+)"
    page = (REPOSITORY / "docs" / "rights.md").read_text(encoding="utf-8")
    table = page[page.index("| API group |") : page.index("No wildcard")]
    rows = re.findall(rf"^\| (?:`([^`]+)` )?\| {words}\| {words}\| \S", table, re.MULTILINE)
    assert len(rows) == table.count("\n| "), "each row but the heading and its line is read"
    told = [
        (group, resource, verb)
        for group, resources, verbs in rows
        for resource in re.findall("`(.+?)`", resources)
        for verb in re.findall("`(.+?)`", verbs)
    ]
    assert sorted(told) == sorted(NAMESPACED | LEASES | PATTERNS_ONLY)


def test_the_documented_role_of_users_is_that_of_the_public_documentation(defaults: list[Object]) -> None:
    example = list(yaml.safe_load_all((REPOSITORY / "examples" / "user-role.yaml").read_text(encoding="utf-8")))
    documented = rights(example, "ClusterRole")
    kinds = ("daskclusters", "daskworkergroups", "daskworkergroups/scale", "daskjobs", "daskautoscalers")
    dask = {right for kind in kinds for right in of("kubernetes.dask.org", kind, "get", *CHILD)}
    others = {right for kind in ("pods", "pods/status", "services") for right in of("", kind, "get", *READ)}
    assert sorted(documented) == sorted(dask | others)
    assert pick(example, "RoleBinding", "roleRef", "name") == pick(example, "ClusterRole", "metadata", "name")
    edit = [one for one in defaults if one["metadata"]["name"].endswith("-edit")]
    # Of a scale the API serves no more verbs than these.
    meaningless = of("kubernetes.dask.org", "daskworkergroups/scale", "list", "watch", "create", "delete")
    assert dask - meaningless <= set(rights(edit, "ClusterRole"))
