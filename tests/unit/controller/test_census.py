"""What the metrics tell of a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from dask_kubernetes_operator.reconcile.census import cluster_row
from dask_kubernetes_operator.reconcile.observed import CustomResource, Key, Observed

pytestmark = pytest.mark.unit


def resource(**conditions: str) -> CustomResource:
    """A DaskCluster, or a worker group, by conditions such as ``Ready="False Why"``."""
    stored = [
        dict(zip(("type", "status", "reason"), (kind, *said.split()), strict=True))
        for kind, said in conditions.items()
    ]
    body: dict[str, Any] = {"metadata": {"name": "simple"}, "spec": {}, "status": {"conditions": stored}}
    return CustomResource("simple", "1", 1, body)


def unsettled(cluster: CustomResource, *groups: CustomResource) -> set[tuple[str, str]]:
    row = cluster_row(Observed(Key("default", "simple"), cluster=cluster, groups=groups))
    assert row is not None
    return set(row.unsettled)


def test_cluster_as_it_is_to_be_has_nothing_unsettled() -> None:
    settled = resource(
        Ready="True ClusterReady",
        SchedulerReady="True SchedulerAvailable",
        WorkersReady="True AllWorkersReady",
        Progressing="False Complete",
        Draining="False NotDraining",
        Suspended="False NotSuspended",
        Degraded="False AsExpected",
    )
    assert unsettled(settled, settled) == set()


def test_each_condition_counts_in_the_status_that_tells_of_trouble() -> None:
    cluster = resource(
        Ready="False ComponentsNotReady",
        SchedulerReady="False SchedulerLost",
        WorkersReady="False WorkersNotReady",
        Progressing="True Starting",
        Draining="True HandingOver",
        Degraded="True ImagePullBackOff",
    )
    assert unsettled(cluster) == {
        ("SchedulerReady", "SchedulerLost"),
        ("WorkersReady", "WorkersNotReady"),
        ("Draining", "HandingOver"),
        ("Degraded", "ImagePullBackOff"),
    }


def test_condition_of_any_worker_group_counts_and_once_for_all() -> None:
    cluster = resource(WorkersReady="False WorkersNotReady")
    other = resource(Degraded="True Unschedulable")
    both = {("WorkersReady", "WorkersNotReady"), ("Degraded", "Unschedulable")}
    assert unsettled(cluster, cluster, other) == both


def test_what_is_suspended_is_as_somebody_wanted_it() -> None:
    suspended = resource(SchedulerReady="False Suspended", WorkersReady="False Suspended")
    assert unsettled(suspended, suspended) == set()


def test_cluster_without_a_status_has_nothing_unsettled() -> None:
    bare = CustomResource("simple", "1", 1, {"metadata": {"name": "simple"}, "spec": {}})
    assert unsettled(bare, bare) == set()
