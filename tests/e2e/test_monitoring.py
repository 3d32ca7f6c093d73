"""A real Prometheus scrapes schedulers, workers and the operator through what the chart installs for it.

It is looked after by a real Prometheus Operator, and asked what Grafana would ask.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack

import dask.array as da
import pytest
from distributed import wait
from pytest_kind import KindCluster

from ci import cluster as clusters
from ci import prometheus
from scripts import images
from tests.conftest import own_namespace, reconfigured
from tests.monitoring import SELECTED_BY, Monitoring, asked, definitions, running, wait_until_ready
from tests.platform import Object, Platform, dask_cluster, eventually
from tests.render.chart.dashboards import choices, filled, queries
from tests.render.chart.helm import merge, nested

pytestmark = pytest.mark.e2e

HEALTHY = "watched"
REFUSED = "refused"
WORKERS = 2
MONITORS = ("scheduler.serviceMonitor", "worker.podMonitor", "operator.podMonitor")
MONITOR = {"enabled": True, "interval": "2s", "additionalLabels": SELECTED_BY}
VALUES = merge(
    nested("metrics.scheduler.enabled", True),
    nested("metrics.worker.enabled", True),
    *(nested(f"metrics.{monitor}", MONITOR) for monitor in MONITORS),
    nested("metrics.rules", {"enabled": True, "additionalLabels": SELECTED_BY}),
    nested("metrics.dashboards.enabled", True),
)
DASHBOARDS = ("cluster", "clusters", "operator")


@pytest.fixture(scope="module")
def platform(request: pytest.FixtureRequest, kind_cluster: KindCluster, built: images.Built) -> Iterator[Platform]:
    """A namespace for the whole module: a Prometheus takes too long to start for one to each test."""
    with own_namespace(request, kind_cluster, built) as platform:
        yield platform


@pytest.fixture(scope="module")
def monitoring(platform: Platform, built: images.Built) -> Iterator[Monitoring]:
    """A Prometheus, the chart with all that it has for one, and a cluster that has computed something."""
    if os.environ.get(images.PREFIX_VARIABLE):
        pytest.skip("the images of Prometheus are loaded into the nodes of a kind cluster, and pushed nowhere")
    programs = prometheus.images()
    clusters.load([programs.prometheus, programs.operator], platform.kind.name)
    cluster = dask_cluster(HEALTHY, platform.dask_image, replicas=WORKERS)
    _worker(cluster)["args"] += ["--memory-limit", "400MB"]  # so that something is spilled
    platform.apply(cluster)
    with ExitStack() as stack:
        stack.enter_context(definitions(platform))
        stack.enter_context(running(platform, programs))
        stack.enter_context(reconfigured(platform, built, VALUES))
        platform.wait("condition=Ready", f"daskcluster/{HEALTHY}")
        wait_until_ready(platform)
        monitoring = stack.enter_context(asked(platform))
        stack.enter_context(platform.client(HEALTHY))
        eventually("all targets found and scraped", monitoring.targets, _are_scraped)
        numbers = da.random.default_rng(0).random((70, 1_000_000), chunks=(1, 1_000_000)).persist()
        wait(numbers)
        numbers.sum().compute()
        yield monitoring


def _worker(cluster: Object) -> Object:
    """The container of a cluster's workers."""
    worker: Object
    [worker] = cluster["spec"]["worker"]["spec"]["containers"]
    return worker


def _are_scraped(targets: list[Object]) -> bool:
    """Whether these are the scheduler, the workers and the operator, and all answer."""
    return len(targets) == WORKERS + 2 and {target["health"] for target in targets} == {"up"}


def test_schedulers_workers_and_the_operator_are_scraped(platform: Platform, monitoring: Monitoring) -> None:
    labels = [target["labels"] for target in monitoring.targets()]
    [scheduler] = [one for one in labels if one.get("service") == f"{HEALTHY}-scheduler"]
    workers = [one for one in labels if one["job"].endswith("-workers")]
    [operator] = [one for one in labels if one not in (scheduler, *workers)]
    assert {one["pod"] for one in workers} == set(platform.ready_pods(HEALTHY))
    assert operator["namespace"] == platform.operator_namespace
    for one in (scheduler, *workers):
        assert (one["namespace"], one["dask_org_cluster_name"]) == (platform.namespace, HEALTHY)
        assert one.get("dask_org_workergroup_name") == (f"{HEALTHY}-default" if one in workers else None)


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        ("dask_scheduler_workers", {"dask_org_cluster_name": HEALTHY}),
        (
            "dask_worker_memory_bytes",
            {"dask_org_cluster_name": HEALTHY, "dask_org_workergroup_name": f"{HEALTHY}-default"},
        ),
    ],
)
def test_series_say_whose_they_are(monitoring: Monitoring, metric: str, labels: dict[str, str]) -> None:
    found = monitoring.query(metric)
    assert found
    for series in found:
        told = {key: value for key, value in series["metric"].items() if key.startswith("dask_org_")}
        assert told == labels


def test_no_alert_is_even_pending_while_all_is_well(monitoring: Monitoring) -> None:
    alerts = eventually("all alerts evaluated, and inactive", monitoring.alerts, _are_quiet)
    assert len(alerts) >= 10
    assert [alert for alert in alerts if alert["health"] != "ok" or alert.get("lastError")] == []


def _are_quiet(alerts: list[Object]) -> bool:
    return bool(alerts) and {(alert["state"], alert["health"]) for alert in alerts} == {("inactive", "ok")}


@pytest.fixture(scope="module")
def trouble(platform: Platform, monitoring: Monitoring) -> None:
    """A cluster beside the other whose workers the API server refuses, and the operator's metrics of it."""
    cluster = dask_cluster(REFUSED, platform.dask_image, replicas=1)
    _worker(cluster)["resources"] = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
    platform.apply(cluster)
    told = f'dask_operator_cluster_unsettled{{cluster_name="{REFUSED}",condition="Degraded"}}'
    eventually("the operator's metrics of it", lambda: monitoring.query(told), bool)


@pytest.mark.usefixtures("trouble")
def test_alert_names_the_cluster_that_it_is_about(platform: Platform, monitoring: Monitoring) -> None:
    def raised() -> list[Object]:
        return [
            one for alert in monitoring.alerts() if alert["name"] == "DaskClusterDegraded" for one in alert["alerts"]
        ]

    [alert] = eventually("an alert about the cluster", raised, bool)
    assert alert["labels"]["cluster_namespace"] == platform.namespace
    assert alert["labels"]["cluster_name"] == REFUSED
    assert alert["annotations"]["summary"] == f"The Dask cluster {platform.namespace}/{REFUSED} is degraded."


@pytest.mark.usefixtures("trouble")
@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_query_of_a_dashboard_gives_something(platform: Platform, monitoring: Monitoring, name: str) -> None:
    dashboard = delivered(platform)[f"dask-{name}.json"]
    namespace = platform.operator_namespace if name == "operator" else platform.namespace
    # Those of Grafana's own: for a time range of an hour it makes a minute of this one.
    values = {"namespace": namespace, "cluster": HEALTHY, "group": ".*", "__rate_interval": "1m"}
    for variable, series, label in choices(dashboard):
        chosen = {each["metric"][label] for each in monitoring.query(filled(series, values))}
        assert values[variable] in chosen | {".*"}
        assert chosen

    def empty() -> list[str]:
        return [
            title for title, query in queries(dashboard).items() if not _has_values(monitoring, filled(query, values))
        ]

    eventually("every query gives something", empty, lambda titles: not titles)


def _has_values(monitoring: Monitoring, query: str) -> bool:
    return any(series["value"][1] != "NaN" for series in monitoring.query(query))


def delivered(platform: Platform) -> dict[str, Object]:
    """The dashboards as the sidecar of Grafana finds them, by file."""
    place = ("--namespace", platform.operator_namespace, "-l", "grafana_dashboard=1")
    found = json.loads(platform.kubectl("get", "configmaps", *place, "-o", "json"))["items"]
    return {file: json.loads(text) for one in found for file, text in one["data"].items()}
