"""Metrics: what Prometheus reads, and that the page that explains them leaves none out."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dask_kubernetes_operator import metrics, passes
from dask_kubernetes_operator.metrics import ClusterRow, ClustersCollector

pytestmark = pytest.mark.unit

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
READY = {"Ready": "True", "Degraded": "False"}


def row(name: str, phase: str, conditions: dict[str, str], *counts: int, unsettled: str = "") -> ClusterRow:
    """A row of one DaskCluster; ``unsettled`` is a condition, and its reason is "Why"."""
    reasons = frozenset({(unsettled, "Why")} if unsettled else ())
    return ClusterRow("default", name, phase, conditions, reasons, *counts)


ROWS = [
    row("simple", "Running", READY, 3, 3, 0),
    row("short", "Running", {**READY, "Ready": "False"}, 5, 1, 2, unsettled="WorkersReady"),
    row("new", "", {}, 0, 0, 0),
]


def gauges(rows: list[ClusterRow], waiting: int = 0) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(ClustersCollector(lambda: rows, lambda: waiting))
    lines = generate_latest(registry).decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def test_clusters_are_counted_by_phase() -> None:
    found = gauges(ROWS)
    assert found['dask_operator_clusters{phase="Running"}'] == 2
    assert found['dask_operator_clusters{phase="Created"}'] == 1, "one without a phase is as good as created"
    assert found['dask_operator_clusters{phase="Error"}'] == 0


def test_clusters_are_counted_by_condition() -> None:
    found = gauges(ROWS)
    assert found['dask_operator_cluster_conditions{status="True",type="Ready"}'] == 1
    assert found['dask_operator_cluster_conditions{status="False",type="Ready"}'] == 1
    assert found['dask_operator_cluster_conditions{status="False",type="Degraded"}'] == 2


def test_condition_that_is_not_as_it_is_to_be_is_told_by_cluster() -> None:
    found = {name: value for name, value in gauges(ROWS).items() if "unsettled" in name}
    labels = 'cluster_name="short",cluster_namespace="default",condition="WorkersReady",reason="Why"'
    assert found == {f"dask_operator_cluster_unsettled{{{labels}}}": 1}


def test_workers_are_added_up() -> None:
    found = gauges(ROWS)
    states = ("desired", "ready", "draining")
    assert [found[f"dask_operator_workers_{state}"] for state in states] == [8, 4, 2]


def test_without_clusters_there_are_zeros_instead_of_gaps() -> None:
    found = gauges([])
    assert found['dask_operator_clusters{phase="Running"}'] == 0
    assert found["dask_operator_workers_desired"] == 0


def test_gauges_follow_the_state_of_the_moment() -> None:
    rows = list(ROWS)
    assert gauges(rows)['dask_operator_clusters{phase="Running"}'] == 2
    del rows[0]
    assert gauges(rows)['dask_operator_clusters{phase="Running"}'] == 1


def test_clusters_that_wait_are_the_depth_of_the_queue() -> None:
    assert gauges([], waiting=7)["dask_operator_reconcile_queue_depth"] == 7


def test_state_is_read_once_for_each_scrape() -> None:
    reads = []

    def rows() -> list[ClusterRow]:
        reads.append(1)
        return ROWS

    registry = CollectorRegistry()
    registry.register(ClustersCollector(rows, lambda: 0))
    assert reads == []
    generate_latest(registry)
    assert reads == [1]


# The documentation ---------------------------------------------------------------------------------------------


def documented() -> dict[str, tuple[str, set[str]]]:
    """Name to type and labels, as the page's table has them."""
    rows = re.findall(r"^\| `(dask_operator_\w+)` \| (\w+) \|([^|]*)\|", PAGE.read_text("utf-8"), re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def exposed() -> dict[str, tuple[str, set[str]]]:
    """The same as Prometheus reads it, with a sample of each."""
    for metric in (metrics.API_REQUESTS.labels("get", "pods", "200"), metrics.RECONCILE_ERRORS.labels("Forbidden")):
        metric.inc(0)
    metrics.PLUGIN_LOADED.labels("example").set(1)
    registry = CollectorRegistry()
    registry.register(ClustersCollector(lambda: ROWS, lambda: 0))
    text = generate_latest(metrics.REGISTRY).decode() + generate_latest(registry).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[f"{family.name}_total" if family.type == "counter" else family.name] = (family.type, labels)
    return found


def test_every_metric_is_documented_as_it_is() -> None:
    ours = {name: metric for name, metric in exposed().items() if name.startswith("dask_operator_")}
    assert documented() == ours


def test_every_value_of_a_label_that_is_chosen_here_is_documented() -> None:
    page = PAGE.read_text("utf-8")
    for value in (*metrics.RETIREMENT_OUTCOMES, *metrics.JOB_RESULTS):
        assert f"`{value}`" in page


# Passes --------------------------------------------------------------------------------------------------------


def passes_done() -> float:
    return metrics.REGISTRY.get_sample_value("dask_operator_reconcile_duration_seconds_count") or 0


def errors(reason: str) -> float:
    return metrics.REGISTRY.get_sample_value("dask_operator_reconcile_errors_total", {"reason": reason}) or 0


async def test_pass_is_timed() -> None:
    before = passes_done()
    with passes.reconciling("default/simple"):
        assert passes_done() == before
    assert passes_done() == before + 1


async def test_error_that_ends_a_pass_is_counted_by_what_it_is() -> None:
    before = errors("KeyError")
    with pytest.raises(KeyError), passes.reconciling("default/simple"):
        raise KeyError("a bug")
    assert errors("KeyError") == before + 1


async def test_pass_that_is_given_up_is_no_error() -> None:
    before = errors("CancelledError")
    with pytest.raises(asyncio.CancelledError), passes.reconciling("default/simple"):
        raise asyncio.CancelledError
    assert errors("CancelledError") == before
