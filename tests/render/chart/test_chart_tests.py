"""What `helm test` finds in a release, and what nobody else gets to see of it."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from dask_kubernetes_operator.spec import RestartPolicy, parse_job
from tests.render.chart.helm import (
    ABSENT,
    HELMS,
    OF_A_CLUSTER,
    Helm,
    Object,
    find_helm,
    job_of_test,
    pick,
    render,
)
from tests.render.chart.pod_security import violations

pytestmark = pytest.mark.render

NAME = "dask-dask-kubernetes-operator-test"
HOOK = "helm.sh/hook"


def hooks(objects: list[Object]) -> list[Object]:
    return [one for one in objects if HOOK in one["metadata"].get("annotations", {})]


def installed(helm: Helm, values: Object | None = None, **arguments: Any) -> list[Object]:
    """What Helm finds in the chart when there is a cluster to install it into."""
    return render(values, helm=helm, api_versions=OF_A_CLUSTER, **arguments)


def place(objects: list[Object]) -> str:
    """Where the job is to run."""
    return str(pick(objects, "Pod", "spec", "containers", 0, "args", 0)).removeprefix("--namespace=")


def job_pods(job: Object) -> dict[str, Object]:
    spec = job["spec"]
    cluster = spec["cluster"]["spec"]
    return {
        "job": spec["job"]["spec"],
        "scheduler": cluster["scheduler"]["spec"],
        "worker": cluster["worker"]["spec"],
    }


def test_pipe_into_kubectl_gets_none_of_it(defaults: list[Object]) -> None:
    assert hooks(defaults) == []
    assert pick(defaults, "Pod") == ABSENT


def test_all_of_it_is_hooks_of_one_name(defaults_with_tests: list[Object], defaults: list[Object]) -> None:
    found = hooks(defaults_with_tests)
    assert [one["kind"] for one in found] == ["ServiceAccount", "Role", "RoleBinding", "Pod"]
    assert {one["metadata"]["annotations"][HOOK] for one in found} == {"test"}
    assert {one["metadata"]["name"] for one in found} == {NAME}
    assert [one for one in defaults_with_tests if one not in found] == defaults


def test_rights_are_there_before_the_pod_and_gone_after_it(defaults_with_tests: list[Object]) -> None:
    for one in hooks(defaults_with_tests):
        annotations = one["metadata"]["annotations"]
        policies = annotations["helm.sh/hook-delete-policy"].split(",")
        assert "before-hook-creation" in policies
        assert int(annotations.get("helm.sh/hook-weight", 0)) == (0 if one["kind"] == "Pod" else -1)
        assert ("hook-succeeded" in policies) == (one["kind"] != "Pod")


def test_rights_are_on_jobs_alone(defaults_with_tests: list[Object]) -> None:
    (role,) = (one for one in hooks(defaults_with_tests) if one["kind"] == "Role")
    assert role["rules"] == [
        {"apiGroups": ["kubernetes.dask.org"], "resources": ["daskjobs"], "verbs": ["create", "get", "delete"]}
    ]


def test_nothing_that_selects_the_operators_pods_selects_that_of_the_test(defaults_with_tests: list[Object]) -> None:
    labels = pick(defaults_with_tests, "Pod", "metadata", "labels")
    selector = pick(defaults_with_tests, "Deployment", "spec", "selector", "matchLabels")
    assert not selector.items() <= labels.items()
    assert labels["app.kubernetes.io/instance"] == "dask"


def test_job_is_one_that_the_operator_reads_and_a_program_that_python_reads(
    defaults_with_tests: list[Object],
) -> None:
    job = job_of_test(defaults_with_tests)
    stored = {**job, "metadata": {"name": "helm-test-x", "namespace": "default", "uid": "1"}}
    assert parse_job(stored).runner.restart_policy is RestartPolicy.NEVER
    python, flag, program = job["spec"]["job"]["spec"]["containers"][0]["args"]
    assert (python, flag) == ("python", "-c")
    ast.parse(program)


@pytest.mark.parametrize("values", [{}, {"securityContext": {"runAsUser": None}}], ids=["default", "openshift"])
def test_every_pod_of_it_satisfies_pod_security_restricted(helm: Helm, values: Object) -> None:
    objects = installed(helm, values)
    assert violations(pick(objects, "Pod", "spec")) == []
    for part, spec in job_pods(job_of_test(objects)).items():
        assert violations(spec) == [], part
        assert ("runAsUser" in spec["containers"][0]["securityContext"]) == (not values)


def test_every_pod_of_it_goes_where_the_operator_goes(helm: Helm) -> None:
    where: Object = {
        "imagePullSecrets": ["mirror"],
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "spot"}],
        "podSecurityContext": {"fsGroup": 1000650000},
    }
    objects = installed(helm, where)
    for spec in (pick(objects, "Pod", "spec"), *job_pods(job_of_test(objects)).values()):
        assert spec["imagePullSecrets"] == [{"name": "mirror"}]
        assert spec["nodeSelector"] == {"a": "b"}
        assert spec["tolerations"] == [{"key": "spot"}]
        assert spec["securityContext"] == {"fsGroup": 1000650000}


@pytest.mark.parametrize(
    ("values", "namespace"),
    [
        ({}, "dask-operator"),
        ({"namespaceOverride": "here"}, "here"),
        ({"watchNamespaces": ["team-a", "dask-operator"]}, "dask-operator"),
        ({"watchNamespaces": ["team-a", "team-b"]}, "team-a"),
        ({"watchNamespaces": ["*-prod", "team-b"]}, "team-b"),
        ({"watchNamespaces": ["*-prod"]}, "dask-operator"),
        ({"watchNamespaces": ["*-prod"], "tests": {"namespace": "b-prod"}}, "b-prod"),
        ({"watchNamespaces": ["team-a", "team-b"], "tests": {"namespace": "team-b"}}, "team-b"),
        ({"kopfArgs": ["-n", "team-c"], "rbac": {"cluster": False}}, "team-c"),
        ({"tests": {"namespace": "team-d"}}, "team-d"),
    ],
)
def test_job_runs_where_the_operator_serves_and_the_rights_are_there(
    helm: Helm, values: Object, namespace: str
) -> None:
    objects = installed(helm, values)
    assert place(objects) == namespace
    own = pick(objects, "Deployment", "metadata", "namespace")
    found = {one["kind"]: one["metadata"]["namespace"] for one in hooks(objects)}
    assert found == {"ServiceAccount": own, "Pod": own, "Role": namespace, "RoleBinding": namespace}
    (binding,) = (one for one in hooks(objects) if one["kind"] == "RoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": own}]


def test_where_rights_are_given_by_other_means_it_runs_as_the_operator(helm: Helm) -> None:
    objects = installed(helm, {"rbac": {"create": False}, "serviceAccount": {"name": "mine"}})
    assert [one["kind"] for one in hooks(objects)] == ["Pod"]
    assert pick(objects, "Pod", "spec", "serviceAccountName") == "mine"


def test_job_ends_by_itself_should_the_test_not_end_it(helm: Helm) -> None:
    spec = job_of_test(installed(helm, {"tests": {"timeoutSeconds": 30}}))["spec"]
    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"], spec["backoffLimit"]) == (90, 60, 0)


def test_both_helms_find_the_same() -> None:
    values: Object = {"imagePullSecrets": ["a"], "tests": {"namespace": "b"}, "resources": {"limits": {"cpu": 0.5}}}
    first, second = (installed(find_helm(name), values) for name in HELMS)
    assert first == second


def test_very_long_names_stay_names(helm: Helm) -> None:
    objects = installed(helm, {"nameOverride": "n" * 63}, release="r" * 53)
    for one in hooks(objects):
        assert len(one["metadata"]["name"]) <= 253
        assert {len(value) <= 63 for value in one["metadata"]["labels"].values()} == {True}
