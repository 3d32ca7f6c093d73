"""ServiceMonitors and PodMonitors: what they select, where, and when they are refused.

What each value changes in them is in the table of ``test_chart_values.py``.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dask_kubernetes.operator import make_cluster_spec
from dask_kubernetes_operator import builders
from dask_kubernetes_operator.spec import parse_cluster, parse_worker_group
from tests.render.chart.helm import (
    CHART,
    HELMS,
    KUBE_VERSION,
    Helm,
    Object,
    RefusedError,
    container,
    find_helm,
    merge,
    nested,
    pick,
    pod_spec,
    render,
)

pytestmark = pytest.mark.render

NAME = "dask-dask-kubernetes-operator"
SCHEDULERS = {"metrics": {"scheduler": {"enabled": True, "serviceMonitor": {"enabled": True}}}}
WORKERS = {"metrics": {"worker": {"enabled": True, "podMonitor": {"enabled": True}}}}
OPERATOR = {"metrics": {"operator": {"podMonitor": {"enabled": True}}}}
ALL = merge(SCHEDULERS, WORKERS, OPERATOR)
RULES = {"metrics": {"rules": {"enabled": True}}}

SERVICE_MONITOR = "metrics.scheduler.serviceMonitor"
POD_MONITOR = "metrics.worker.podMonitor"
OPERATOR_MONITOR = "metrics.operator.podMonitor"
OF_DASK = [(SERVICE_MONITOR, SCHEDULERS), (POD_MONITOR, WORKERS)]
MONITORS = [*OF_DASK, (OPERATOR_MONITOR, OPERATOR)]


def monitors(objects: list[Object]) -> list[Object]:
    return [one for one in objects if one["apiVersion"] == "monitoring.coreos.com/v1"]


def only_monitor(values: Object, helm: Helm, **options: Any) -> Object:
    [monitor] = monitors(render(values, helm=helm, **options))
    return monitor


def endpoint(monitor: Object) -> Object:
    [only] = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
    result: Object = only
    return result


def refusal(helm: Helm, values: Object) -> str:
    with pytest.raises(RefusedError) as caught:
        render(values, helm=helm)
    return str(caught.value)


def pointer(path: str) -> str:
    """A value's path as refusals by the schema have it."""
    return "/" + path.replace(".", "/")


def test_default_has_no_monitor(defaults: list[Object]) -> None:
    assert monitors(defaults) == []


def test_service_monitor_of_schedulers(helm: Helm, defaults: list[Object]) -> None:
    assert only_monitor(SCHEDULERS, helm) == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {
            "name": f"{NAME}-schedulers",
            "namespace": "dask-operator",
            "labels": pick(defaults, "Deployment", "metadata", "labels"),
        },
        "spec": {
            "targetLabels": ["dask.org/cluster-name"],
            "namespaceSelector": {"any": True},
            "selector": {"matchLabels": {"dask.org/component": "scheduler"}},
            "endpoints": [
                {"port": "http-dashboard", "path": "/metrics", "interval": "15s", "honorLabels": False},
            ],
        },
    }


def test_pod_monitor_of_workers(helm: Helm, defaults: list[Object]) -> None:
    assert only_monitor(WORKERS, helm) == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {
            "name": f"{NAME}-workers",
            "namespace": "dask-operator",
            "labels": pick(defaults, "Deployment", "metadata", "labels"),
        },
        "spec": {
            "podTargetLabels": ["dask.org/cluster-name", "dask.org/workergroup-name"],
            "namespaceSelector": {"any": True},
            "selector": {"matchLabels": {"dask.org/component": "worker"}},
            "podMetricsEndpoints": [
                {"port": "http-dashboard", "path": "/metrics", "interval": "15s", "honorLabels": False},
            ],
        },
    }


def test_pod_monitor_of_the_operator(helm: Helm, defaults: list[Object]) -> None:
    assert only_monitor(OPERATOR, helm) == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {
            "name": NAME,
            "namespace": "dask-operator",
            "labels": pick(defaults, "Deployment", "metadata", "labels"),
        },
        "spec": {
            "namespaceSelector": {"matchNames": ["dask-operator"]},
            "selector": pick(defaults, "Deployment", "spec", "selector"),
            "podMetricsEndpoints": [
                {"port": "http", "path": "/metrics", "interval": "30s", "honorLabels": False},
            ],
        },
    }


def test_monitors_add_nothing_but_themselves(helm: Helm, defaults: list[Object]) -> None:
    objects = render(ALL, helm=helm)
    assert [one for one in objects if one not in monitors(objects)] == defaults
    assert len({(one["kind"], one["metadata"]["name"]) for one in objects}) == len(objects) == len(defaults) + 3


def test_both_helms_render_the_same_monitors() -> None:
    values = merge(
        ALL,
        *(nested(f"{path}.relabelings", [{"targetLabel": "a", "replacement": "1"}]) for path, _ in MONITORS),
        *(nested(f"{path}.additionalLabels", {"release": "1"}) for path, _ in MONITORS),
    )
    first, second = (monitors(render(values, helm=find_helm(name))) for name in HELMS)
    assert first == second


CLUSTER = make_cluster_spec("simple") | {"metadata": {"name": "simple", "namespace": "a", "uid": "1"}}


def scheduler_service() -> Object:
    """What the operator makes of a cluster that the client made."""
    return builders.build_scheduler_service(parse_cluster(CLUSTER))


def worker_pod() -> Object:
    cluster = parse_cluster(CLUSTER)
    group = builders.build_default_worker_group(cluster)
    group["metadata"]["uid"] = "2"
    return builders.build_worker_pod(parse_worker_group(group), suffix="0", cluster=cluster)


def test_schedulers_are_found_by_what_the_operator_puts_on_their_service(helm: Helm) -> None:
    monitor, service = only_monitor(SCHEDULERS, helm), scheduler_service()
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert set(monitor["spec"]["targetLabels"]) <= set(service["metadata"]["labels"])
    assert endpoint(monitor)["port"] in [port["name"] for port in service["spec"]["ports"]]


def test_workers_are_found_by_what_the_operator_puts_on_their_pods(helm: Helm) -> None:
    monitor, pod = only_monitor(WORKERS, helm), worker_pod()
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert set(monitor["spec"]["podTargetLabels"]) <= set(pod["metadata"]["labels"])
    [worker] = pod["spec"]["containers"]
    assert endpoint(monitor)["port"] in [port["name"] for port in worker["ports"]]


def test_neither_monitor_finds_what_is_of_the_other(helm: Helm) -> None:
    of_schedulers, of_workers = only_monitor(SCHEDULERS, helm), only_monitor(WORKERS, helm)
    labels = of_schedulers["spec"]["selector"]["matchLabels"]
    assert not labels.items() <= worker_pod()["metadata"]["labels"].items()
    labels = of_workers["spec"]["selector"]["matchLabels"]
    assert not labels.items() <= scheduler_service()["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("values", "namespace"), [({}, "dask-operator"), ({"namespaceOverride": "elsewhere"}, "elsewhere")]
)
def test_operator_is_found_where_it_is_installed(helm: Helm, values: Object, namespace: str) -> None:
    in_another = nested(f"{OPERATOR_MONITOR}.namespace", "monitoring")
    objects = render(merge(OPERATOR, in_another, values), helm=helm)
    [monitor] = monitors(objects)
    assert monitor["metadata"]["namespace"] == "monitoring"
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [namespace]}
    assert pick(objects, "Deployment", "metadata", "namespace") == namespace
    assert pod_spec(objects)
    assert endpoint(monitor)["port"] in [port["name"] for port in container(objects)["ports"]]


@pytest.mark.parametrize(
    ("values", "selector"),
    [
        ({}, {"any": True}),
        ({"kopfArgs": ["-A"]}, {"any": True}),
        ({"kopfArgs": []}, {"any": True}),
        ({"kopfArgs": None}, {"any": True}),
        ({"kopfArgs": ["--namespace=a"]}, {"matchNames": ["a"]}),
        ({"kopfArgs": ["-n", "a", "--namespace", "b", "-na"]}, {"matchNames": ["a", "b"]}),
        ({"watchNamespaces": ["a", "b"]}, {"matchNames": ["a", "b"]}),
        ({"watchNamespaces": ["a", "b"], "rbac": {"cluster": False}}, {"matchNames": ["a", "b"]}),
        ({"watchNamespaces": ["team-*"]}, {"any": True}),
        ({"watchNamespaces": ["a", "team-*"]}, {"any": True}),
        ({"watchNamespaces": ["team-*", "a"]}, {"any": True}),
        ({"kopfArgs": ["--namespace=team-?"]}, {"any": True}),
        ({"kopfArgs": ["--namespace=!a"]}, {"any": True}),
        ({"kopfArgs": ["--namespace=a,b"]}, {"any": True}),
    ],
)
def test_namespaces_are_those_that_the_operator_serves(helm: Helm, values: Object, selector: Object) -> None:
    found = monitors(render(merge(SCHEDULERS, WORKERS, values), helm=helm))
    assert [one["spec"]["namespaceSelector"] for one in found] == [selector, selector]


@pytest.mark.parametrize(("path", "enabled"), OF_DASK)
@pytest.mark.parametrize("selector", [{"any": True}, {"any": False}, {"matchNames": ["b", "c"]}])
def test_namespaces_of_the_user_win(helm: Helm, path: str, enabled: Object, selector: Object) -> None:
    values = merge(enabled, nested(f"{path}.namespaceSelector", selector), {"watchNamespaces": ["a"]})
    assert only_monitor(values, helm)["spec"]["namespaceSelector"] == selector


@pytest.mark.parametrize(("path", "enabled"), MONITORS)
def test_labels_of_a_monitor_win_over_those_of_everything(helm: Helm, path: str, enabled: Object) -> None:
    values = merge(
        enabled,
        nested(f"{path}.additionalLabels", {"release": "own", "app.kubernetes.io/part-of": "monitoring"}),
        {"commonLabels": {"release": "common", "team": "1"}},
    )
    objects = render(values, helm=helm)
    everywhere = pick(objects, "Deployment", "metadata", "labels")
    [monitor] = monitors(objects)
    assert monitor["metadata"]["labels"] == everywhere | {"release": "own", "app.kubernetes.io/part-of": "monitoring"}
    assert (everywhere["release"], everywhere["team"]) == ("common", "1")


@pytest.mark.parametrize(("path", "enabled"), MONITORS)
def test_null_is_as_good_as_empty(helm: Helm, path: str, enabled: Object) -> None:
    labels = {SERVICE_MONITOR: "targetLabels"}.get(path, "podTargetLabels")
    selector: Object = {} if path == OPERATOR_MONITOR else {"namespaceSelector": {}}
    empty = {
        "namespace": "",
        "additionalLabels": {},
        "scrapeTimeout": "",
        "jobLabel": "",
        "relabelings": [],
        "metricRelabelings": [],
        labels: [],
        **selector,
    }
    without = only_monitor(merge(enabled, nested(path, empty)), helm)
    assert only_monitor(merge(enabled, nested(path, dict.fromkeys(empty))), helm) == without
    assert labels not in without["spec"]


@pytest.mark.parametrize(("path", "enabled"), MONITORS)
def test_interval_can_be_left_to_prometheus(helm: Helm, path: str, enabled: Object) -> None:
    values = merge(enabled, nested(f"{path}.interval", ""), nested(f"{path}.scrapeTimeout", "1h"))
    scraped = endpoint(only_monitor(values, helm))
    assert "interval" not in scraped
    assert scraped["scrapeTimeout"] == "1h"


@pytest.mark.parametrize(("path", "enabled"), MONITORS)
@pytest.mark.parametrize(
    ("interval", "timeout"), [("15s", "16s"), ("1m", "61s"), ("1m30s", "2m"), ("999ms", "1s"), ("1d", "25h")]
)
def test_timeout_longer_than_the_interval_is_refused(
    helm: Helm, path: str, enabled: Object, interval: str, timeout: str
) -> None:
    said = refusal(helm, merge(enabled, nested(path, {"interval": interval, "scrapeTimeout": timeout})))
    assert f"{path}.scrapeTimeout: {timeout} is longer than the interval, {interval};" in said


@pytest.mark.parametrize(("interval", "timeout"), [("15s", "15s"), ("1m", "60s"), ("1m30s", "89s"), ("1w", "7d")])
def test_timeout_within_the_interval_is_accepted(helm: Helm, interval: str, timeout: str) -> None:
    values = merge(WORKERS, nested(POD_MONITOR, {"interval": interval, "scrapeTimeout": timeout}))
    scraped = endpoint(only_monitor(values, helm))
    assert (scraped["interval"], scraped["scrapeTimeout"]) == (interval, timeout)


ONE_SWITCH = [
    (f"{SERVICE_MONITOR}.enabled", "metrics.scheduler.enabled", "schedulers"),
    ("metrics.scheduler.enabled", f"{SERVICE_MONITOR}.enabled", "schedulers"),
    (f"{POD_MONITOR}.enabled", "metrics.worker.enabled", "workers"),
    ("metrics.worker.enabled", f"{POD_MONITOR}.enabled", "workers"),
]


@pytest.mark.parametrize(("on", "off", "what"), ONE_SWITCH)
def test_one_switch_of_two_is_refused_and_the_other_is_named(helm: Helm, on: str, off: str, what: str) -> None:
    said = refusal(helm, nested(on, True))
    assert f"{on}: has no effect while {off} is false; set both to true to scrape {what}, or both to false" in said


def test_other_name_of_the_pod_monitor_takes_the_other_switch_too(helm: Helm) -> None:
    said = refusal(helm, nested("metrics.worker.serviceMonitor.enabled", True))
    assert f"{POD_MONITOR}.enabled: has no effect while metrics.worker.enabled is false" in said


def test_values_of_the_public_documentation_render_both_monitors(helm: Helm) -> None:
    both = {"enabled": True, "serviceMonitor": {"enabled": True}}
    documented = render({"metrics": {"scheduler": both, "worker": both}}, helm=helm)
    assert documented == render(merge(SCHEDULERS, WORKERS), helm=helm)


WRONG = [
    ("namespace", ["monitoring"]),
    ("additionalLabels", {"release": 1}),
    ("interval", 15),
    ("interval", "15"),
    ("interval", "15 s"),
    ("interval", "15S"),
    ("interval", None),
    ("scrapeTimeout", 10),
    ("scrapeTimeout", "10sec"),
    ("scrapeTimeout", "-1s"),
    ("honorLabels", "true"),
    ("jobLabel", ["a"]),
    ("relabelings", {"action": "drop"}),
    ("relabelings", ["drop"]),
    ("metricRelabelings", {"action": "drop"}),
    ("metricRelabelings", ["drop"]),
    ("enabled", "true"),
]
WRONG_SELECTORS = [
    "team-a",
    ["team-a"],
    {"matchLabels": {"team": "a"}},
    {"matchNames": "team-a"},
    {"any": "true"},
]
WRONG_LABELS = ["dask.org/cluster-name", [1], {"team": "a"}]


@pytest.mark.parametrize(("key", "value"), WRONG, ids=str)
def test_wrong_value_is_refused_by_its_name(helm: Helm, key: str, value: object) -> None:
    said = refusal(helm, merge(*(nested(f"{path}.{key}", value) for path, _ in MONITORS)))
    for path, _ in MONITORS:
        where = pointer(path)
        assert (f"at '{where}': missing property '{key}'" if value is None else f"at '{where}/{key}") in said


@pytest.mark.parametrize("value", WRONG_SELECTORS, ids=str)
def test_wrong_namespaces_are_refused_by_their_name(helm: Helm, value: object) -> None:
    paths = [f"{path}.namespaceSelector" for path, _ in OF_DASK]
    said = refusal(helm, merge(*(nested(path, value) for path in paths)))
    for path in paths:
        assert f"at '{pointer(path)}" in said


@pytest.mark.parametrize("value", WRONG_LABELS, ids=str)
def test_wrong_target_labels_are_refused_by_their_name(helm: Helm, value: object) -> None:
    paths = [
        f"{SERVICE_MONITOR}.targetLabels",
        f"{POD_MONITOR}.podTargetLabels",
        f"{OPERATOR_MONITOR}.podTargetLabels",
    ]
    said = refusal(helm, merge(*(nested(path, value) for path in paths)))
    for path in paths:
        assert f"at '{pointer(path)}" in said


def test_value_that_there_is_not_is_refused(helm: Helm) -> None:
    paths = [
        f"{POD_MONITOR}.targetLabels",
        f"{SERVICE_MONITOR}.podTargetLabels",
        f"{OPERATOR_MONITOR}.namespaceSelector",
        "metrics.operator.enabled",
        "metrics.worker.serviceMonitor.interval",
        "metrics.workers",
    ]
    said = refusal(helm, merge(*(nested(path, True) for path in paths)))
    for path in paths:
        parent, key = path.rsplit(".", 1)
        assert f"at '{pointer(parent)}': additional properties '{key}' not allowed" in said


@pytest.mark.parametrize(
    "known",
    [
        [],
        ["monitoring.coreos.com/v1"],
        ["monitoring.coreos.com/v1", "monitoring.coreos.com/v1/PodMonitor"],
        ["apps/v1", "batch/v1"],
    ],
)
def test_helm_template_renders_monitors_whatever_apis_it_is_told_of(helm: Helm, known: list[str]) -> None:
    arguments = ["template", "dask", str(CHART), f"--kube-version={KUBE_VERSION}", "--values=-"]
    text = helm.run(*arguments, *(f"--api-versions={each}" for each in known), stdin=json.dumps(ALL))
    assert text.count("\napiVersion: monitoring.coreos.com/v1\n") == 3


@pytest.mark.parametrize(("path", "enabled"), MONITORS)
def test_all_apis_of_a_cluster_without_monitors_are_a_refusal(helm: Helm, path: str, enabled: Object) -> None:
    """Argo CD and others render with ``helm template`` and tell all that the cluster has."""
    arguments = ["template", "dask", str(CHART), f"--kube-version={KUBE_VERSION}", "--values=-"]
    with pytest.raises(RefusedError, match=f"{path}.enabled: the cluster has no kind"):
        helm.run(*arguments, "--api-versions=v1", "--api-versions=v1/Namespace", stdin=json.dumps(enabled))


KINDS = {
    "v1": ["Namespace", "ServiceAccount"],
    "apps/v1": ["Deployment"],
    "rbac.authorization.k8s.io/v1": ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
}
_CLUSTER_SCOPED = {"Namespace", "ClusterRole", "ClusterRoleBinding"}


@contextmanager
def api_server(monitor_kinds: list[str]) -> Iterator[str]:
    """Answer what Helm asks of a cluster before it installs: which kinds there are. Nothing is installed in it."""
    kinds = {**KINDS, **({"monitoring.coreos.com/v1": monitor_kinds} if monitor_kinds else {})}
    groups = [{"groupVersion": each, "version": "v1"} for each in kinds if "/" in each]
    answers: dict[str, Object] = {
        "/version": {"major": "1", "minor": "34", "gitVersion": f"v{KUBE_VERSION}"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "groups": [
                {"name": each["groupVersion"].split("/")[0], "versions": [each], "preferredVersion": each}
                for each in groups
            ],
        },
    }
    for version, names in kinds.items():
        answers[f"/apis/{version}" if "/" in version else f"/api/{version}"] = {
            "kind": "APIResourceList",
            "groupVersion": version,
            "resources": [
                {
                    "name": f"{name.lower()}s",
                    "kind": name,
                    "namespaced": name not in _CLUSTER_SCOPED,
                    "verbs": ["create", "get"],
                }
                for name in names
            ],
        }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            body = json.dumps(answer or {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def install(helm: Helm, values: Object, server: str) -> str:
    return helm.run(
        "install",
        "dask",
        str(CHART),
        "--dry-run=server",
        "--disable-openapi-validation",
        "--kubeconfig=",
        f"--kube-apiserver={server}",
        "--set=crds.enabled=false",
        "--values=-",
        stdin=json.dumps(values),
    )


@pytest.fixture
def no_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep Helm from the kubeconfig of whoever runs the tests, and from what it remembers of other clusters."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))


@pytest.mark.usefixtures("no_user")
@pytest.mark.parametrize(
    ("path", "enabled", "kind", "there"),
    [
        (SERVICE_MONITOR, SCHEDULERS, "ServiceMonitor", []),
        (SERVICE_MONITOR, SCHEDULERS, "ServiceMonitor", ["PodMonitor"]),
        (POD_MONITOR, WORKERS, "PodMonitor", []),
        (POD_MONITOR, WORKERS, "PodMonitor", ["ServiceMonitor"]),
        (OPERATOR_MONITOR, OPERATOR, "PodMonitor", []),
        ("metrics.rules", RULES, "PrometheusRule", ["PodMonitor", "ServiceMonitor"]),
    ],
)
def test_install_into_a_cluster_without_the_kind_is_refused(
    helm: Helm, path: str, enabled: Object, kind: str, there: list[str]
) -> None:
    with api_server(there) as server, pytest.raises(RefusedError) as caught:
        install(helm, enabled, server)
    assert f"{path}.enabled: the cluster has no kind {kind} in monitoring.coreos.com/v1" in str(caught.value)
    assert "install the Prometheus Operator first" in str(caught.value)


@pytest.mark.usefixtures("no_user")
def test_install_into_a_cluster_with_the_kinds_goes_on(helm: Helm) -> None:
    with api_server(["PodMonitor", "PrometheusRule", "ServiceMonitor"]) as server:
        installed = install(helm, merge(ALL, RULES), server)
        assert installed.count("\napiVersion: monitoring.coreos.com/v1\n") == 4


@pytest.mark.usefixtures("no_user")
def test_install_without_monitors_asks_for_no_such_kind(helm: Helm) -> None:
    with api_server([]) as server:
        assert "monitoring.coreos.com" not in install(helm, {}, server)
