"""What the chart installs: which objects, under which names and labels, and how the operator's pod is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dask_kubernetes_operator.settings import read_settings
from tests.render.chart.helm import (
    ABSENT,
    CHART,
    HELMS,
    Helm,
    Object,
    container,
    find_helm,
    pick,
    pod_spec,
    render,
)
from tests.render.chart.pod_security import violations

pytestmark = pytest.mark.render

NAME = "dask-dask-kubernetes-operator"
LONGEST_RELEASE = "r" * 53  # Helm's own limit


def names(objects: list[Object]) -> set[tuple[str, str]]:
    return {(one["kind"], one["metadata"]["name"]) for one in objects}


def crd_names() -> set[tuple[str, str]]:
    plurals = [path.stem for path in (CHART / "templates" / "crds").glob("*.yaml")]
    return {("CustomResourceDefinition", f"{plural}.kubernetes.dask.org") for plural in plurals}


def test_default_installs_exactly_these_objects(defaults_with_crds: list[Object]) -> None:
    assert names(defaults_with_crds) == {
        ("ServiceAccount", NAME),
        ("ClusterRole", NAME),
        ("ClusterRoleBinding", NAME),
        ("ClusterRole", f"{NAME}-view"),
        ("ClusterRole", f"{NAME}-edit"),
        ("Role", f"{NAME}-leader-election"),
        ("RoleBinding", f"{NAME}-leader-election"),
        ("Deployment", NAME),
        *crd_names(),
    }


def test_single_namespace_installs_exactly_these_objects(namespaced: list[Object]) -> None:
    assert names(namespaced) == {
        ("ServiceAccount", NAME),
        ("Role", NAME),
        ("RoleBinding", NAME),
        ("Role", f"{NAME}-leader-election"),
        ("RoleBinding", f"{NAME}-leader-election"),
        ("Deployment", NAME),
    }


def test_no_object_is_rendered_twice(defaults_with_crds: list[Object]) -> None:
    assert len(names(defaults_with_crds)) == len(defaults_with_crds)


@pytest.mark.parametrize("plural", ["daskclusters", "daskworkergroups", "daskjobs", "daskautoscalers"])
def test_kind_the_operator_serves_is_installed(defaults_with_crds: list[Object], plural: str) -> None:
    assert ("CustomResourceDefinition", f"{plural}.kubernetes.dask.org") in names(defaults_with_crds)


def test_crds_disabled_installs_no_crd(defaults: list[Object]) -> None:
    assert pick(defaults, "CustomResourceDefinition") == ABSENT


def test_every_namespaced_object_names_the_releases_namespace(helm: Helm) -> None:
    objects = render({"rbac": {"cluster": False}, "kopfArgs": ["--namespace=here"]}, helm=helm, namespace="here")
    assert {one["metadata"].get("namespace") for one in objects} == {"here"}


def test_render_is_the_same_every_time(helm: Helm) -> None:
    assert render(helm=helm) == render(helm=helm)


@pytest.mark.parametrize(
    ("release", "values", "expected"),
    [
        ("dask", {}, "dask-dask-kubernetes-operator"),
        ("dask-kubernetes-operator", {}, "dask-kubernetes-operator"),
        ("dask-kubernetes-operator-1666875935", {}, "dask-kubernetes-operator-1666875935"),
        ("dask", {"nameOverride": "operator"}, "dask-operator"),
        ("dask", {"nameOverride": "dask"}, "dask"),
        ("dask", {"fullnameOverride": "mine"}, "mine"),
        ("dask", {"fullnameOverride": None, "nameOverride": None}, "dask-dask-kubernetes-operator"),
        (LONGEST_RELEASE, {}, f"{LONGEST_RELEASE}-dask-kube"),
        (LONGEST_RELEASE, {"nameOverride": "twelve-ab-cd"}, f"{LONGEST_RELEASE}-twelve-ab"),
        ("dask", {"fullnameOverride": "f" * 62 + "-x"}, "f" * 62),
    ],
)
def test_name_of_what_is_installed(helm: Helm, release: str, values: Object, expected: str) -> None:
    objects = render(values, helm=helm, release=release)
    # Those of roles may be longer.
    suffixes = {name.removeprefix(expected) for _, name in names(objects)}
    assert suffixes == {"", "-leader-election", "-view", "-edit"}
    assert len(expected) <= 63


def scalars(value: Any) -> Iterator[Any]:
    """Walk every scalar that is somewhere in a value."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from scalars(each)
    else:
        yield value


@pytest.mark.parametrize("word", ["1234", "1e3", "0x10"])
def test_name_that_looks_like_a_number_stays_a_string(helm: Helm, word: str) -> None:
    values = {
        "fullnameOverride": word,
        "nameOverride": word,
        "serviceAccount": {"name": word, "annotations": {"a": word}},
        "image": {"name": word, "tag": word},
        "imagePullSecrets": [word, {"name": word}],
        "podAnnotations": {"a": word},
        "nodeSelector": {"a": word},
        "priorityClassName": word,
        "kopfArgs": [word],
    }
    objects = render(values, helm=helm, release=word, namespace=word)
    for one in objects:
        assert {type(each) for each in scalars(one["metadata"])} == {str}
    operator = container(objects)
    spec = pod_spec(objects)
    assert operator["image"] == f"{word}:{word}"
    assert operator["args"] == [word]
    assert {spec["serviceAccountName"], spec["priorityClassName"], spec["nodeSelector"]["a"]} == {word}
    assert spec["imagePullSecrets"] == [{"name": word}, {"name": word}]
    assert pick(objects, "ClusterRoleBinding", "roleRef", "name") == word
    assert pick(objects, "ClusterRoleBinding", "subjects", 0, "namespace") == word


def label_sets(objects: list[Object]) -> list[dict[str, str]]:
    pods = pick(objects, "Deployment", "spec", "template", "metadata", "labels")
    return [one["metadata"]["labels"] for one in objects] + [pods]


def test_labels_of_every_object(defaults: list[Object]) -> None:
    for one in defaults:
        labels = {key: value for key, value in one["metadata"]["labels"].items() if "/aggregate-to-" not in key}
        assert labels == {
            "app.kubernetes.io/name": "dask-kubernetes-operator",
            "app.kubernetes.io/instance": "dask",
            "app.kubernetes.io/version": "set-by-chartpress",
            "app.kubernetes.io/component": "controller",
            "app.kubernetes.io/part-of": "dask",
            "app.kubernetes.io/managed-by": "Helm",
            "helm.sh/chart": "dask-kubernetes-operator-0.0.1-set.by.chartpress",
        }


def test_selector_holds_only_what_never_changes(defaults: list[Object]) -> None:
    assert pick(defaults, "Deployment", "spec", "selector") == {
        "matchLabels": {
            "app.kubernetes.io/name": "dask-kubernetes-operator",
            "app.kubernetes.io/instance": "dask",
        }
    }


def test_pods_carry_what_the_selector_asks_and_not_the_chart_version(defaults: list[Object]) -> None:
    labels = pick(defaults, "Deployment", "spec", "template", "metadata", "labels")
    selector = pick(defaults, "Deployment", "spec", "selector", "matchLabels")
    assert selector.items() <= labels.items()
    assert "helm.sh/chart" not in labels


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("2026.11.0", "2026.11.0"),
        ("t" * 128, "t" * 63),
        ("_private_", "private"),
        ("t" * 62 + "-x", "t" * 62),
    ],
)
def test_version_label_is_a_valid_label_whatever_the_tag(helm: Helm, tag: str, expected: str) -> None:
    objects = render({"image": {"tag": tag}}, helm=helm)
    assert {labels["app.kubernetes.io/version"] for labels in label_sets(objects)} == {expected}
    assert container(objects)["image"] == f"ghcr.io/dask/dask-kubernetes-operator:{tag}"


def test_single_operator_is_gone_before_another_one_starts(defaults: list[Object]) -> None:
    assert pick(defaults, "Deployment", "spec", "replicas") == 1
    assert pick(defaults, "Deployment", "spec", "strategy") == {"type": "Recreate"}


def test_of_several_operators_some_stay_during_an_upgrade(helm: Helm) -> None:
    objects = render({"replicas": 2}, helm=helm)
    assert pick(objects, "Deployment", "spec", "strategy") == {"type": "RollingUpdate"}


def test_operator_is_started_with_the_flags_of_the_user(helm: Helm) -> None:
    objects = render({"kopfArgs": ["-n", "one", "--dev"]}, helm=helm)
    assert container(objects)["args"] == ["-n", "one", "--dev"]
    assert "command" not in container(objects)


@pytest.mark.parametrize("arguments", [None, []])
def test_operator_without_flags_is_started_with_those_of_the_image(helm: Helm, arguments: Any) -> None:
    assert "args" not in container(render({"kopfArgs": arguments}, helm=helm))


@pytest.mark.parametrize(
    ("probe", "path"),
    [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")],
)
def test_probe_asks_the_port_that_the_operator_listens_on(defaults: list[Object], probe: str, path: str) -> None:
    operator = container(defaults)
    assert operator[probe]["httpGet"] == {"path": path, "port": "http"}
    assert operator["ports"] == [{"name": "http", "containerPort": read_settings({}).http_port, "protocol": "TCP"}]


def environment(objects: list[Object]) -> dict[str, str]:
    return {
        each["name"]: each["value"] if "value" in each else each["valueFrom"]["fieldRef"]["fieldPath"]
        for each in container(objects)["env"]
    }


def test_operator_knows_its_pod_and_its_lease(defaults: list[Object]) -> None:
    assert environment(defaults) == {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_UID": "metadata.uid",
        "DASK_OPERATOR_LEADER_ELECTION": "true",
        "DASK_OPERATOR_LEASE_NAME": NAME,
    }


def test_election_is_not_insisted_on_where_the_chart_does_not_give_the_right(helm: Helm) -> None:
    objects = render({"rbac": {"create": False}}, helm=helm)
    assert "DASK_OPERATOR_LEADER_ELECTION" not in environment(objects)


def test_environment_is_what_the_operator_reads(defaults: list[Object]) -> None:
    settings = read_settings(environment(defaults), command_line={}, dask_folders=())
    assert settings.election is not None
    assert (settings.election.name, settings.election.insisted_on) == (NAME, True)


def test_every_setting_of_the_chart_is_one_that_the_operator_reads(helm: Helm) -> None:
    values = {"logging": {"level": "debug", "format": "json"}, "workerAllocation": {"size": 5, "delay": 0.5}}
    settings = read_settings(environment(render(values, helm=helm)), command_line={}, dask_folders=())
    assert (settings.log_level, settings.log_format) == ("DEBUG", "json")
    assert (settings.batch_size, settings.batch_delay_seconds) == (5, 0.5)


def test_token_is_mounted_by_the_pod_and_not_by_the_account(defaults: list[Object]) -> None:
    assert pod_spec(defaults)["automountServiceAccountToken"] is True
    assert pick(defaults, "ServiceAccount", "automountServiceAccountToken") is False


def test_pod_gets_no_service_environment(defaults: list[Object]) -> None:
    assert pod_spec(defaults)["enableServiceLinks"] is False


def test_default_satisfies_pod_security_restricted(defaults: list[Object]) -> None:
    assert violations(pod_spec(defaults)) == []
    assert container(defaults)["securityContext"]["readOnlyRootFilesystem"] is True


def test_restricted_without_a_fixed_user(helm: Helm) -> None:
    objects = render({"securityContext": {"runAsUser": None}}, helm=helm)
    assert "runAsUser" not in container(objects)["securityContext"]
    assert violations(pod_spec(objects)) == []


@pytest.mark.parametrize(
    ("values", "violation"),
    [
        ({"securityContext": {"privileged": True}}, "container operator: privileged"),
        ({"securityContext": {"seccompProfile": None}}, "container operator: no seccompProfile"),
        ({"securityContext": {"runAsUser": 0}}, "container operator: runAsUser is 0"),
        (
            {"securityContext": {"capabilities": {"drop": []}}},
            "container operator: capability ALL is not dropped",
        ),
        (
            {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]},
            "volume host is of type ['hostPath']",
        ),
    ],
)
def test_user_can_leave_restricted_behind(helm: Helm, values: Object, violation: str) -> None:
    assert violations(pod_spec(render(values, helm=helm))) == [violation]


def test_user_id_of_openshift_is_not_written_as_a_float(helm: Helm) -> None:
    objects = render({"securityContext": {"runAsUser": 1000650000}}, helm=helm)
    assert repr(container(objects)["securityContext"]["runAsUser"]) == "1000650000"


OWN_TMP = {"name": "operator-tmp", "mountPath": "/tmp"}  # noqa: S108


def test_tmp_is_writable(defaults: list[Object]) -> None:
    assert container(defaults)["volumeMounts"] == [OWN_TMP]
    assert pod_spec(defaults)["volumes"] == [{"name": "operator-tmp", "emptyDir": {}}]


def test_users_volumes_stand_beside_tmp(helm: Helm) -> None:
    volume = {"name": "tmp", "secret": {"secretName": "plugins"}}
    mount = {"name": "tmp", "mountPath": "/plugins"}
    objects = render({"volumes": [volume], "volumeMounts": [mount]}, helm=helm)
    assert pod_spec(objects)["volumes"] == [{"name": "operator-tmp", "emptyDir": {}}, volume]
    assert container(objects)["volumeMounts"] == [OWN_TMP, mount]


@pytest.mark.parametrize("path", ["/tmp", "/tmp/"])  # noqa: S108
def test_users_volume_at_tmp_takes_the_place_of_the_charts(helm: Helm, path: str) -> None:
    volume = {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}
    mount = {"name": "scratch", "mountPath": path}
    objects = render({"volumes": [volume], "volumeMounts": [mount]}, helm=helm)
    assert pod_spec(objects)["volumes"] == [volume]
    assert container(objects)["volumeMounts"] == [mount]


@pytest.mark.parametrize(
    "secrets",
    [["one", "two"], [{"name": "one"}, {"name": "two"}], ["one", {"name": "two"}]],
)
def test_image_pull_secrets_are_names_or_objects(helm: Helm, secrets: list[Any]) -> None:
    objects = render({"imagePullSecrets": secrets}, helm=helm)
    assert pod_spec(objects)["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]


@pytest.mark.parametrize(
    ("values", "account"),
    [
        ({}, NAME),
        ({"name": "mine"}, "mine"),
        ({"create": False, "name": "mine"}, "mine"),
        ({"create": False}, "default"),
    ],
)
def test_binding_and_pod_use_the_same_account(helm: Helm, values: Object, account: str) -> None:
    objects = render({"serviceAccount": values}, helm=helm)
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "dask-operator"}
    assert pod_spec(objects)["serviceAccountName"] == account
    assert pick(objects, "ClusterRoleBinding", "subjects") == [subject]
    created = values.get("create", True)
    assert pick(objects, "ServiceAccount", "metadata", "name") == (account if created else ABSENT)


MONITOR: Object = {
    "enabled": True,
    "namespace": "monitoring",
    "additionalLabels": {"release": "prometheus", "team": "y"},
    "interval": "1m30s",
    "scrapeTimeout": "10s",
    "honorLabels": True,
    "jobLabel": "team",
    "relabelings": [{"targetLabel": "cluster", "replacement": "$1"}],
    "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "python_.*"}],
}

EVERYTHING: Object = {
    "image": {
        "name": "a/b",
        "registry": "mirror.test",
        "tag": "1",
        "digest": "sha256:" + 64 * "0",
        "pullPolicy": "Always",
    },
    "imagePullSecrets": ["one", {"name": "two"}],
    "replicas": 3,
    "watchNamespaces": ["a", "b"],
    "nameOverride": "operator",
    "fullnameOverride": "whole",
    "namespaceOverride": "elsewhere",
    "commonLabels": {"team": "x", "app.kubernetes.io/name": "never"},
    "serviceAccount": {"create": True, "annotations": {"a": "b"}, "name": "account"},
    "rbac": {"create": True, "cluster": False, "aggregate": False},
    "podLabels": {"a": "1", "app.kubernetes.io/instance": "never"},
    "podAnnotations": {"a": "b"},
    "podSecurityContext": {"fsGroup": 1000650000},
    "securityContext": {"runAsUser": 1000650000, "runAsGroup": 0},
    "resources": {"limits": {"cpu": 0.5, "memory": "1Gi"}},
    "extraEnv": [{"name": "A", "value": "1"}],
    "volumes": [{"name": "plugins", "configMap": {"name": "plugins", "defaultMode": 0o444}}],
    "volumeMounts": [{"name": "plugins", "mountPath": "/plugins"}],
    "startupProbe": {"httpGet": {"path": "/readyz"}},
    "livenessProbe": {"periodSeconds": 30},
    "readinessProbe": {"timeoutSeconds": 10},
    "terminationGracePeriodSeconds": 60,
    "nodeSelector": {"a": "true"},
    "tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 30}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"topologyKey": "a", "maxSkew": 1}, {"topologyKey": "b", "labelSelector": {}}],
    "priorityClassName": "high",
    "revisionHistoryLimit": 2,
    "kopfArgs": ["--all-namespaces", "--verbose"],
    "logging": {"level": "debug", "format": "json"},
    "workerAllocation": {"size": 5, "delay": 0.5},
    "podDisruptionBudget": {"enabled": True, "maxUnavailable": "50%"},
    "networkPolicy": {"enabled": True, "from": [{"podSelector": {}}], "egress": [{}]},
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-a"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-b}",
    ],
    "metrics": {
        "scheduler": {
            "enabled": True,
            "serviceMonitor": {**MONITOR, "namespaceSelector": {"matchNames": ["a"]}, "targetLabels": ["team"]},
        },
        "worker": {
            "enabled": True,
            "podMonitor": {**MONITOR, "namespaceSelector": {"any": True}, "podTargetLabels": ["team"]},
        },
        "operator": {"podMonitor": {**MONITOR, "podTargetLabels": ["team"]}},
        "rules": {"enabled": True, "namespace": "monitoring", "alerts": {"DaskOperatorDown": {"for": "9m"}}},
        "dashboards": {"enabled": True, "namespace": "grafana", "annotations": {"a": "b"}},
    },
    "tests": {"image": "mirror.test/dask:1", "namespace": "a", "timeoutSeconds": 30},
    "crds": {"enabled": True, "keep": False, "annotations": {"a": "b"}},
}


def test_everything_has_all_sections() -> None:
    assert EVERYTHING.keys() == yaml.safe_load((CHART / "values.yaml").read_text()).keys()


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_both_helms_render_the_same_objects(values: Object) -> None:
    first, second = (render(values, helm=find_helm(name), crds=True) for name in HELMS)
    assert first == second


def test_labels_that_users_add_do_not_take_the_place_of_the_charts(helm: Helm) -> None:
    objects = render(EVERYTHING, helm=helm)
    labels = pick(objects, "Deployment", "spec", "template", "metadata", "labels")
    assert labels | pick(objects, "Deployment", "spec", "selector", "matchLabels") == labels
    assert (labels["team"], labels["a"]) == ("x", "1")
    for one in objects:
        if one["kind"] == "ConfigMap":
            continue
        assert one["metadata"]["labels"]["app.kubernetes.io/name"] == "operator"
        # No selector rests on the labels of a monitor.
        assert one["metadata"]["labels"]["team"] == ("y" if one["kind"].endswith("Monitor") else "x")


def test_everything_moves_with_the_namespace(helm: Helm) -> None:
    objects = render({"namespaceOverride": "elsewhere"}, helm=helm)
    assert {one["metadata"]["namespace"] for one in objects if "namespace" in one["metadata"]} == {"elsewhere"}
    assert pick(objects, "ClusterRoleBinding", "subjects", 0, "namespace") == "elsewhere"


@pytest.mark.parametrize(
    ("name", "registry", "image"),
    [
        ("ghcr.io/dask/operator", "mirror:5000", "mirror:5000/dask/operator"),
        ("localhost/operator", "mirror.test/", "mirror.test/operator"),
        ("dask/operator", "mirror.test", "mirror.test/dask/operator"),
        ("operator", "mirror.test/team", "mirror.test/team/operator"),
        ("localhost:5000/operator", "", "localhost:5000/operator"),
    ],
)
def test_registry_takes_the_place_of_the_images_own(helm: Helm, name: str, registry: str, image: str) -> None:
    objects = render({"image": {"name": name, "registry": registry, "tag": "1"}}, helm=helm)
    assert container(objects)["image"] == f"{image}:1"


def test_other_flags_stay_when_namespaces_are_named(helm: Helm) -> None:
    values = {"kopfArgs": ["-A", "--verbose", "--log-format=json"], "watchNamespaces": ["a", "b", "a"]}
    arguments = container(render(values, helm=helm))["args"]
    assert arguments == ["--verbose", "--log-format=json", "--namespace=a", "--namespace=b"]


def test_very_long_names_are_cut_where_a_name_ends(helm: Helm) -> None:
    objects = render(helm=helm, release="r" * 53)
    for one in objects:
        assert len(one["metadata"]["labels"]["app.kubernetes.io/name"]) <= 63
        if one["kind"] in ("Deployment", "ServiceAccount"):
            assert len(one["metadata"]["name"]) <= 63
