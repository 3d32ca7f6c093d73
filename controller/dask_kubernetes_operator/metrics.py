"""What the operator measures of itself, in the form that Prometheus reads; docs/metrics.md explains each.

What can be counted when it happens is counted here, by whoever it happens to. What is a matter of the present state,
such as how many clusters are running, is computed from that state when it is asked for, so that it cannot drift.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# How a worker was taken out of service; docs/metrics.md tells what each means.
RETIREMENT_OUTCOMES = ("retired", "never-ran", "unregistered", "deadline", "unasked")

# The values of a DaskJob's `status.jobStatus` in which it ends.
JOB_RESULTS = ("Successful", "Failed")

_PHASES = ("Created", "Pending", "Running", "Error")
_PASS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_JOB_SECONDS = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)

# Each counter would else come with a second series that says when it was made.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()

RECONCILE_DURATION = Histogram(
    "dask_operator_reconcile_duration_seconds",
    "How long one pass over one cluster takes, the answers of the API server and of the Dask scheduler included.",
    buckets=_PASS_SECONDS,
    registry=REGISTRY,
)
RECONCILE_ERRORS = Counter(
    "dask_operator_reconcile_errors",
    "What went wrong while a cluster was reconciled; it is tried again.",
    ["reason"],
    registry=REGISTRY,
)
API_REQUESTS = Counter(
    "dask_operator_api_requests",
    "Requests to the Kubernetes API server; code is `none` where there was no answer.",
    ["verb", "resource", "code"],
    registry=REGISTRY,
)
WORKER_RETIREMENTS = Counter(
    "dask_operator_worker_retirements",
    "Workers that were taken out of service.",
    ["outcome"],
    registry=REGISTRY,
)
JOB_DURATION = Histogram(
    "dask_operator_job_duration_seconds",
    "From the start of a DaskJob to its end.",
    ["result"],
    buckets=_JOB_SECONDS,
    registry=REGISTRY,
)
LEADER = Gauge(
    "dask_operator_leader",
    "1 in the replica that reconciles, 0 in those that stand by.",
    registry=REGISTRY,
)
PLUGIN_LOADED = Gauge(
    "dask_operator_plugin_loaded",
    "1 for a plugin that is loaded, 0 for one that could not be.",
    ["plugin"],
    registry=REGISTRY,
)
BUILD_INFO = Gauge(
    "dask_operator_build_info",
    "Always 1; the version is in the label.",
    ["version"],
    registry=REGISTRY,
)

# Series that are there before the first event show a rate from the first event on.
for _outcome in RETIREMENT_OUTCOMES:
    WORKER_RETIREMENTS.labels(_outcome)
for _result in JOB_RESULTS:
    JOB_DURATION.labels(_result)

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """What is told of one DaskCluster.

    Attributes:
        namespace: where it is.
        name: its name.
        phase: its `status.phase`; empty as long as it has none.
        conditions: the status (True, False or Unknown) of each of its conditions, by type.
        unsettled: type and reason of each condition, its own or of a worker group, that tells of something not as it
            is to be.
        workers_desired: the replicas of all its worker groups.
        workers_ready: those of its workers that are ready.
        workers_draining: those of its workers that hand over their data before they go.
    """

    namespace: str
    name: str
    phase: str
    conditions: Mapping[str, str]
    unsettled: frozenset[tuple[str, str]]
    workers_desired: int
    workers_ready: int
    workers_draining: int


class ClustersCollector(Collector):
    """The gauges over all clusters, computed anew whenever they are asked for.

    Args:
        rows: gives a row for each DaskCluster; none at all in a replica that does not lead.
        waiting: how many clusters wait for a pass.
    """

    def __init__(self, rows: Callable[[], Iterable[ClusterRow]], waiting: Callable[[], int]) -> None:
        self._rows = rows
        self._waiting = waiting

    def describe(self) -> Iterator[Metric]:
        """The families without samples; asked for once, when the collector is registered."""
        yield from _families().values()

    def collect(self) -> Iterator[Metric]:
        """The families with the samples of the moment."""
        families = _families()
        phases: Tally[str] = Tally(dict.fromkeys(_PHASES, 0))
        conditions: Tally[tuple[str, str]] = Tally()
        workers: Tally[str] = Tally()
        for row in self._rows():
            phases[row.phase or "Created"] += 1
            conditions.update(row.conditions.items())
            workers.update(desired=row.workers_desired, ready=row.workers_ready, draining=row.workers_draining)
            for kind, reason in sorted(row.unsettled):
                families["unsettled"].add_metric([row.namespace, row.name, kind, reason], 1)
        for phase, count in sorted(phases.items()):
            families["clusters"].add_metric([phase], count)
        for (kind, status), count in sorted(conditions.items()):
            families["conditions"].add_metric([kind, status], count)
        for state in ("desired", "ready", "draining"):
            families[state].add_metric([], workers[state])
        families["waiting"].add_metric([], self._waiting())
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        "clusters": GaugeMetricFamily("dask_operator_clusters", "DaskClusters by their phase.", labels=["phase"]),
        "conditions": GaugeMetricFamily(
            "dask_operator_cluster_conditions",
            "DaskClusters by the status of each of their conditions.",
            labels=["type", "status"],
        ),
        # Prometheus gives each series the operator's `namespace`, and `cluster` is often that of Kubernetes.
        "unsettled": GaugeMetricFamily(
            "dask_operator_cluster_unsettled",
            "1 for each condition of a DaskCluster and its worker groups that is not as it is to be.",
            labels=["cluster_namespace", "cluster_name", "condition", "reason"],
        ),
        "desired": GaugeMetricFamily("dask_operator_workers_desired", "Workers that all worker groups ask for."),
        "ready": GaugeMetricFamily("dask_operator_workers_ready", "Workers that are ready."),
        "draining": GaugeMetricFamily(
            "dask_operator_workers_draining", "Workers that hand over their data before they go."
        ),
        "waiting": GaugeMetricFamily(
            "dask_operator_reconcile_queue_depth", "Clusters that have changed and wait for a pass."
        ),
    }


def _version() -> str:
    try:
        return version("dask-kubernetes-operator")
    except PackageNotFoundError:
        return "unknown"  # run from a source tree


BUILD_INFO.labels(_version()).set(1)
