"""Every value of values.yaml does what its comment says, and none is left without a test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from tests.render.chart.helm import (
    ABSENT,
    CHART,
    OF_A_CLUSTER,
    Helm,
    Object,
    job_of_test,
    merge,
    nested,
    pick,
    render,
)

pytestmark = pytest.mark.render

VALUES_FILE = CHART / "values.yaml"
POD = ("spec", "template", "spec")
OPERATOR = (*POD, "containers", 0)
IMAGE = "ghcr.io/dask/dask-kubernetes-operator"
DIGEST = "sha256:" + 64 * "0"
# The chart's own variables come first, and users' after them.
ENV = 5
CRD_ANNOTATIONS = ("metadata", "annotations")
WORKER_ALLOCATION = "DASK_KUBERNETES__CONTROLLER__WORKER_ALLOCATION"
SELECTOR = {"app.kubernetes.io/name": "dask-kubernetes-operator", "app.kubernetes.io/instance": "dask"}
DISRUPTION_BUDGET = {"replicas": 2, "podDisruptionBudget": {"enabled": True}}
POLICY = {"networkPolicy": {"enabled": True}}
RULES = {"metrics": {"rules": {"enabled": True}}}
FIRST_ALERT = ("spec", "groups", 0, "rules", 0)
BOARDS = {"metrics": {"dashboards": {"enabled": True}}}


@dataclass(frozen=True)
class Case:
    """A value, and what a render shows at a path of an object once it is set: the first of its kind, or of a name."""

    value: Any
    kind: str
    path: tuple[str | int, ...]
    expected: Any
    given: Object = field(default_factory=dict)
    name: str = ""

    def found(self, objects: list[Object]) -> Any:
        named = [one for one in objects if self.name in ("", one["metadata"].get("name"))]
        return pick(named, self.kind, *self.path)


def of_pod(value: Any, *path: str, expected: Any = None) -> Case:
    return Case(value, "Deployment", (*POD, *path), value if expected is None else expected)


def of_operator(value: Any, *path: str | int, expected: Any = None) -> Case:
    return Case(value, "Deployment", (*OPERATOR, *path), value if expected is None else expected)


def of_security_context(value: Any, *path: str | int) -> Case:
    return of_operator(value, "securityContext", *path)


def of_test(value: Any, argument: int, expected: str) -> Case:
    return Case(value, "Pod", ("spec", "containers", 0, "args", argument), expected)


def of_monitor(path: str, kind: str, part: str) -> dict[str, Case]:
    """Cases of what all monitors have in common.

    Args:
        path: where the monitor's values are.
        kind: its kind.
        part: the switch that it needs beside its own, if there is one.
    """
    other = nested(part, True) if part else {}
    on = merge(other, nested(f"{path}.enabled", True))
    labels = "targetLabels" if kind == "ServiceMonitor" else "podTargetLabels"
    endpoint = ("spec", "endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints", 0)
    relabelings = [{"action": "labeldrop", "regex": "pod"}]
    of_endpoint: Object = {
        "interval": "1m",
        "scrapeTimeout": "5s",
        "honorLabels": True,
        "relabelings": relabelings,
        "metricRelabelings": relabelings,
    }
    return {
        f"{path}.enabled": Case(True, kind, ("apiVersion",), "monitoring.coreos.com/v1", other),
        f"{path}.namespace": Case("monitoring", kind, ("metadata", "namespace"), "monitoring", on),
        f"{path}.additionalLabels": Case({"a": "b"}, kind, ("metadata", "labels", "a"), "b", on),
        f"{path}.jobLabel": Case("a/b", kind, ("spec", "jobLabel"), "a/b", on),
        f"{path}.{labels}": Case(["a/b"], kind, ("spec", labels), ["a/b"], on),
        **{f"{path}.{key}": Case(value, kind, (*endpoint, key), value, on) for key, value in of_endpoint.items()},
    }


def of_namespaces(path: str, kind: str, part: str) -> dict[str, Case]:
    other = nested(f"{path}.enabled", True)
    at = ("spec", "namespaceSelector")
    names = {"matchNames": ["a"]}
    return {
        part: Case(True, kind, ("apiVersion",), "monitoring.coreos.com/v1", other),
        f"{path}.namespaceSelector": Case(names, kind, at, names, merge(other, nested(part, True))),
    }


SCHEDULER_MONITOR = ("metrics.scheduler.serviceMonitor", "ServiceMonitor", "metrics.scheduler.enabled")
WORKER_MONITOR = ("metrics.worker.podMonitor", "PodMonitor", "metrics.worker.enabled")

CASES: dict[str, Case] = {
    "image.name": of_operator("mirror.test/dask", "image", expected="mirror.test/dask:set-by-chartpress"),
    "image.registry": of_operator(
        "mirror.test:5000", "image", expected="mirror.test:5000/dask/dask-kubernetes-operator:set-by-chartpress"
    ),
    "image.digest": of_operator(DIGEST, "image", expected=f"{IMAGE}:set-by-chartpress@{DIGEST}"),
    "image.tag": of_operator("1.10", "image", expected="ghcr.io/dask/dask-kubernetes-operator:1.10"),
    "image.pullPolicy": of_operator("Always", "imagePullPolicy"),
    "imagePullSecrets": of_pod([{"name": "mirror"}], "imagePullSecrets"),
    "nameOverride": Case("operator", "Deployment", ("metadata", "name"), "dask-operator"),
    "namespaceOverride": Case("mine", "Deployment", ("metadata", "namespace"), "mine"),
    "commonLabels": Case({"team": "x"}, "ClusterRoleBinding", ("metadata", "labels", "team"), "x"),
    "watchNamespaces": of_operator(["a", "b"], "args", expected=["--namespace=a", "--namespace=b"]),
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
    "rbac.aggregate": Case(False, "ClusterRole", (), ABSENT, name="dask-dask-kubernetes-operator-view"),
    "podLabels": Case({"a": "b"}, "Deployment", ("spec", "template", "metadata", "labels", "a"), "b"),
    "extraEnv": of_operator([{"name": "A", "value": "b"}], "env", ENV, expected={"name": "A", "value": "b"}),
    "logging.level": of_operator("debug", "env", ENV, expected={"name": "DASK_OPERATOR_LOG_LEVEL", "value": "debug"}),
    "logging.format": of_operator("json", "env", ENV, expected={"name": "DASK_OPERATOR_LOG_FORMAT", "value": "json"}),
    "workerAllocation.size": of_operator(
        50, "env", ENV, expected={"name": f"{WORKER_ALLOCATION}__BATCH_SIZE", "value": "50"}
    ),
    "workerAllocation.delay": of_operator(
        2.5, "env", ENV, expected={"name": f"{WORKER_ALLOCATION}__DELAY", "value": "2.5"}
    ),
    "startupProbe": of_operator({"failureThreshold": 9}, "startupProbe", "failureThreshold", expected=9),
    "livenessProbe": of_operator({"periodSeconds": 9}, "livenessProbe", "periodSeconds", expected=9),
    "readinessProbe": of_operator({"timeoutSeconds": 9}, "readinessProbe", "timeoutSeconds", expected=9),
    "terminationGracePeriodSeconds": of_pod(60, "terminationGracePeriodSeconds"),
    "topologySpreadConstraints": of_pod(
        [{"topologyKey": "zone", "maxSkew": 1}],
        "topologySpreadConstraints",
        expected=[{"topologyKey": "zone", "maxSkew": 1, "labelSelector": {"matchLabels": SELECTOR}}],
    ),
    "revisionHistoryLimit": Case(3, "Deployment", ("spec", "revisionHistoryLimit"), 3),
    "podDisruptionBudget.enabled": Case(
        True, "PodDisruptionBudget", ("spec", "minAvailable"), 1, given={"replicas": 2}
    ),
    "podDisruptionBudget.minAvailable": Case(
        "50%", "PodDisruptionBudget", ("spec", "minAvailable"), "50%", given=DISRUPTION_BUDGET
    ),
    "podDisruptionBudget.maxUnavailable": Case(
        1, "PodDisruptionBudget", ("spec", "maxUnavailable"), 1, given=DISRUPTION_BUDGET
    ),
    "networkPolicy.enabled": Case(True, "NetworkPolicy", ("spec", "policyTypes"), ["Ingress"]),
    "networkPolicy.from": Case(
        [{"podSelector": {}}], "NetworkPolicy", ("spec", "ingress", 0, "from"), [{"podSelector": {}}], given=POLICY
    ),
    "networkPolicy.egress": Case(
        [{"ports": [{"port": 443}]}], "NetworkPolicy", ("spec", "egress"), [{"ports": [{"port": 443}]}], given=POLICY
    ),
    "extraObjects": Case(
        [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}],
        "ConfigMap",
        ("metadata", "name"),
        "dask-more",
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
    **of_monitor(*SCHEDULER_MONITOR),
    **of_namespaces(*SCHEDULER_MONITOR),
    **of_monitor(*WORKER_MONITOR),
    **of_namespaces(*WORKER_MONITOR),
    "metrics.worker.serviceMonitor.enabled": Case(
        True, "PodMonitor", ("apiVersion",), "monitoring.coreos.com/v1", nested("metrics.worker.enabled", True)
    ),
    **of_monitor("metrics.operator.podMonitor", "PodMonitor", ""),
    "metrics.rules.enabled": Case(True, "PrometheusRule", ("apiVersion",), "monitoring.coreos.com/v1"),
    "metrics.rules.namespace": Case("monitoring", "PrometheusRule", ("metadata", "namespace"), "monitoring", RULES),
    "metrics.rules.additionalLabels": Case({"a": "b"}, "PrometheusRule", ("metadata", "labels", "a"), "b", RULES),
    "metrics.rules.runbookUrl": Case(
        "https://a.test",
        "PrometheusRule",
        (*FIRST_ALERT, "annotations", "runbook_url"),
        "https://a.test#daskoperatordown",
        RULES,
    ),
    "metrics.rules.alerts": Case(
        {"DaskOperatorDown": {"for": "9m"}}, "PrometheusRule", (*FIRST_ALERT, "for"), "9m", RULES
    ),
    "metrics.dashboards.enabled": Case(True, "ConfigMap", ("apiVersion",), "v1"),
    "metrics.dashboards.namespace": Case("grafana", "ConfigMap", ("metadata", "namespace"), "grafana", BOARDS),
    "metrics.dashboards.labels.grafana_dashboard": Case(
        "yes", "ConfigMap", ("metadata", "labels", "grafana_dashboard"), "yes", BOARDS
    ),
    "metrics.dashboards.annotations": Case(
        {"grafana_folder": "Dask"}, "ConfigMap", ("metadata", "annotations"), {"grafana_folder": "Dask"}, BOARDS
    ),
    "tests.image": Case(
        "mirror.test/dask", "DaskJob", ("spec", "job", "spec", "containers", 0, "image"), "mirror.test/dask"
    ),
    "tests.namespace": of_test("team-a", 0, "--namespace=team-a"),
    "tests.timeoutSeconds": of_test(30, 1, "--timeout-seconds=30"),
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
    "metrics.scheduler.enabled": False,
    "metrics.scheduler.serviceMonitor.enabled": False,
    "metrics.scheduler.serviceMonitor.namespace": "",
    "metrics.scheduler.serviceMonitor.namespaceSelector": {},
    "metrics.scheduler.serviceMonitor.additionalLabels": {},
    "metrics.scheduler.serviceMonitor.interval": "15s",
    "metrics.scheduler.serviceMonitor.jobLabel": "",
    "metrics.scheduler.serviceMonitor.targetLabels": ["dask.org/cluster-name"],
    "metrics.scheduler.serviceMonitor.metricRelabelings": [],
    "metrics.worker.enabled": False,
    "metrics.worker.podMonitor.enabled": False,
    "metrics.worker.podMonitor.namespace": "",
    "metrics.worker.podMonitor.namespaceSelector": {},
    "metrics.worker.podMonitor.additionalLabels": {},
    "metrics.worker.podMonitor.interval": "15s",
    "metrics.worker.podMonitor.jobLabel": "",
    "metrics.worker.podMonitor.podTargetLabels": ["dask.org/cluster-name", "dask.org/workergroup-name"],
    "metrics.worker.podMonitor.metricRelabelings": [],
    "workerAllocation.size": None,
    "workerAllocation.delay": None,
}
OWN_VALUES = {
    "commonLabels",
    "crds.annotations",
    "crds.enabled",
    "crds.keep",
    "extraEnv",
    "extraObjects",
    "image.digest",
    "image.registry",
    "livenessProbe",
    "logging.format",
    "logging.level",
    "metrics.dashboards.annotations",
    "metrics.dashboards.enabled",
    "metrics.dashboards.labels.grafana_dashboard",
    "metrics.dashboards.namespace",
    "metrics.operator.podMonitor.additionalLabels",
    "metrics.operator.podMonitor.enabled",
    "metrics.operator.podMonitor.honorLabels",
    "metrics.operator.podMonitor.interval",
    "metrics.operator.podMonitor.jobLabel",
    "metrics.operator.podMonitor.metricRelabelings",
    "metrics.operator.podMonitor.namespace",
    "metrics.operator.podMonitor.podTargetLabels",
    "metrics.operator.podMonitor.relabelings",
    "metrics.operator.podMonitor.scrapeTimeout",
    "metrics.rules.additionalLabels",
    "metrics.rules.alerts",
    "metrics.rules.enabled",
    "metrics.rules.namespace",
    "metrics.rules.runbookUrl",
    "metrics.scheduler.serviceMonitor.honorLabels",
    "metrics.scheduler.serviceMonitor.relabelings",
    "metrics.scheduler.serviceMonitor.scrapeTimeout",
    "metrics.worker.podMonitor.honorLabels",
    "metrics.worker.podMonitor.relabelings",
    "metrics.worker.podMonitor.scrapeTimeout",
    "metrics.worker.serviceMonitor.enabled",
    "namespaceOverride",
    "networkPolicy.egress",
    "networkPolicy.enabled",
    "networkPolicy.from",
    "podDisruptionBudget.enabled",
    "podDisruptionBudget.maxUnavailable",
    "podDisruptionBudget.minAvailable",
    "podLabels",
    "rbac.aggregate",
    "readinessProbe",
    "replicas",
    "revisionHistoryLimit",
    "securityContext.seccompProfile.type",
    "startupProbe",
    "terminationGracePeriodSeconds",
    "tests.image",
    "tests.namespace",
    "tests.timeoutSeconds",
    "topologySpreadConstraints",
    "watchNamespaces",
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
    about_tests = path.startswith("tests.")
    before = defaults
    if about_crds or about_tests:
        before = request.getfixturevalue("defaults_with_crds" if about_crds else "defaults_with_tests")
    values = merge(case.given, nested(path, case.value))
    after = render(values, helm=helm, crds=about_crds, api_versions=OF_A_CLUSTER if about_tests else ())
    if about_tests:
        before, after = ([*objects, job_of_test(objects)] for objects in (before, after))
    assert case.found(before) != case.expected
    assert case.found(after) == case.expected


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
