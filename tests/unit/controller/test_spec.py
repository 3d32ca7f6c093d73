"""Reading the custom resources: defaults, and errors that say which field is wrong."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from dask_kubernetes_operator.spec import (
    IdleAction,
    Share,
    SpecError,
    UpdateStrategy,
    UpdateType,
    parse_cluster,
    parse_worker_group,
)

from .objects import Object, cluster, group, owned_by, terminating

pytestmark = pytest.mark.unit


def without(body: Object, *path: str) -> Object:
    copy = deepcopy(body)
    parent = copy
    for part in path[:-1]:
        parent = parent[part]
    del parent[path[-1]]
    return copy


def having(body: Object, value: Any, *path: str) -> Object:
    copy = deepcopy(body)
    parent = copy
    for part in path[:-1]:
        parent = parent[part]
    parent[path[-1]] = value
    return copy


def test_cluster_is_read_whole() -> None:
    read = parse_cluster(
        cluster(replicas=7, meta={"labels": {"a": "b"}, "annotations": {"c": "d"}}, status={"phase": "Pending"})
    )
    assert (read.identity.kind, read.identity.namespace) == ("DaskCluster", "default")
    assert (read.identity.name, read.identity.uid) == ("simple", "uid-simple")
    assert read.generation == 1
    assert read.worker.replicas == 7
    assert dict(read.metadata.labels) == {"a": "b"}
    assert dict(read.metadata.annotations) == {"c": "d"}
    assert dict(read.status) == {"phase": "Pending"}
    assert not read.terminating
    assert parse_cluster(terminating(cluster())).terminating


def test_worker_group_is_read_whole() -> None:
    read = parse_worker_group(group(owners=(cluster(),), replicas=4, version=17))
    assert (read.identity.kind, read.identity.name, read.identity.uid) == (
        "DaskWorkerGroup",
        "simple-default",
        "uid-simple-default",
    )
    assert read.cluster_name == "simple"
    assert read.worker.replicas == 4
    assert read.resource_version == "17"
    assert read.owner_uids == {"uid-simple"}
    assert [dict(reference) for reference in read.owner_references] == [owned_by(cluster())]
    assert parse_worker_group(terminating(group())).terminating


@pytest.mark.parametrize(
    "body",
    [without(cluster(), "spec", "worker", "replicas"), having(cluster(), None, "spec", "worker", "replicas")],
    ids=["left out", "null"],
)
def test_replicas_default_to_one(body: Object) -> None:
    assert parse_cluster(body).worker.replicas == 1


def test_zero_replicas_are_not_the_default() -> None:
    assert parse_cluster(cluster(replicas=0)).worker.replicas == 0


def test_metadata_that_is_null_reads_as_empty() -> None:
    body = cluster(
        meta={"labels": None, "annotations": None},
        worker={"metadata": None},
        scheduler={"metadata": {"labels": None}},
    )
    read = parse_cluster(body)
    assert not read.metadata.labels
    assert not read.metadata.annotations
    assert not read.worker.metadata.labels
    assert not read.scheduler.metadata.labels


QUARTER = Share(25, is_percentage=True)
ROLLING = UpdateStrategy(UpdateType.ROLLING, max_unavailable=QUARTER, max_surge=QUARTER)


@pytest.mark.parametrize("absent", [True, False], ids=["left out", "null"])
def test_what_a_cluster_leaves_out_has_a_default(absent: bool) -> None:
    body = cluster()
    if not absent:
        fields = ("suspend", "idleTimeout", "idleAction", "clientTimeout", "updateStrategy", "drainTimeoutSeconds")
        body["spec"].update(dict.fromkeys(fields))
    read = parse_cluster(body)
    assert not read.suspend
    assert read.idle_timeout_seconds is None
    assert read.idle_action is IdleAction.DELETE
    assert read.client_timeout_seconds is None
    assert read.update_strategy == ROLLING
    assert read.drain_timeout_seconds == 300


@pytest.mark.parametrize(("given", "seconds"), [(0, None), (60, 60)])
def test_a_timeout_of_zero_is_none(given: int, seconds: int | None) -> None:
    assert parse_cluster(having(cluster(), given, "spec", "idleTimeout")).idle_timeout_seconds == seconds
    assert parse_cluster(having(cluster(), given, "spec", "clientTimeout")).client_timeout_seconds == seconds


def test_what_a_cluster_says_is_read() -> None:
    body = cluster()
    body["spec"].update(
        suspend=True,
        idleTimeout=600,
        idleAction="ScaleToZero",
        updateStrategy={"type": "OnDelete"},
        drainTimeoutSeconds=0,
    )
    read = parse_cluster(body)
    assert read.suspend
    assert read.idle_action is IdleAction.SCALE_TO_ZERO
    assert read.update_strategy.type is UpdateType.ON_DELETE
    assert read.drain_timeout_seconds == 0


@pytest.mark.parametrize("value", [0, 3, "0%", "100%"])
def test_shares_are_numbers_or_percentages(value: int | str) -> None:
    expected = Share(int(str(value).rstrip("%")), is_percentage=isinstance(value, str))
    strategy = {"type": "Rolling", "rolling": {"maxUnavailable": value, "maxSurge": None}}
    read = parse_cluster(having(cluster(), strategy, "spec", "updateStrategy")).update_strategy
    assert read == UpdateStrategy(UpdateType.ROLLING, max_unavailable=expected, max_surge=QUARTER)


def test_what_a_group_leaves_out_is_left_to_its_cluster() -> None:
    read = parse_worker_group(group())
    assert read.update_strategy is None
    assert read.drain_timeout_seconds is None


def test_what_a_group_says_stands_whole_in_place_of_its_cluster() -> None:
    body = group()
    body["spec"].update(updateStrategy={"rolling": {"maxSurge": 1}}, drainTimeoutSeconds=0)
    read = parse_worker_group(body)
    surge = Share(1, is_percentage=False)
    assert read.update_strategy == UpdateStrategy(UpdateType.ROLLING, max_unavailable=QUARTER, max_surge=surge)
    assert read.drain_timeout_seconds == 0


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("idleAction", "delete", "spec.idleAction is 'delete': give one of Delete, ScaleToZero, Suspend"),
        (
            "updateStrategy",
            {"type": "RollingUpdate"},
            "spec.updateStrategy.type is 'RollingUpdate': give one of Rolling, Recreate, OnDelete",
        ),
        (
            "updateStrategy",
            {"rolling": {"maxSurge": "some"}},
            "spec.updateStrategy.rolling.maxSurge is 'some': give a number of workers, or a percentage such as 25%",
        ),
        (
            "updateStrategy",
            {"rolling": {"maxUnavailable": -1}},
            "spec.updateStrategy.rolling.maxUnavailable is -1: give a number of workers",
        ),
    ],
)
def test_a_value_that_is_none_is_refused_with_the_remedy(field: str, value: Any, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_cluster(having(cluster(), value, "spec", field))
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (without(cluster(), "spec"), "spec.scheduler is missing"),
        (having(cluster(), None, "spec"), "spec.scheduler is missing"),
        (without(cluster(), "spec", "scheduler"), "spec.scheduler is missing"),
        (without(cluster(), "spec", "worker"), "spec.worker is missing"),
        (having(cluster(), {}, "spec", "worker"), "spec.worker is missing"),
        (without(cluster(), "spec", "worker", "spec"), "spec.worker.spec is missing"),
        (without(cluster(), "spec", "scheduler", "spec"), "spec.scheduler.spec is missing"),
        (without(cluster(), "spec", "scheduler", "service"), "spec.scheduler.service is missing"),
        (having(cluster(), {}, "spec", "scheduler", "service"), "spec.scheduler.service is missing"),
        (having(cluster(), [], "spec", "worker", "spec", "containers"), "spec.worker.spec.containers is empty"),
        (having(cluster(), None, "spec", "worker", "spec", "containers"), "spec.worker.spec.containers is empty"),
        (
            having(cluster(), [], "spec", "scheduler", "spec", "containers"),
            "spec.scheduler.spec.containers is empty",
        ),
        (
            having(cluster(), {"nodeName": "a"}, "spec", "scheduler", "spec"),
            "spec.scheduler.spec.containers is empty",
        ),
    ],
)
def test_unreadable_cluster_is_refused_with_the_field(body: Object, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_cluster(body)
    assert str(caught.value).startswith(field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (without(group(), "spec"), "spec.cluster is missing"),
        (without(group(), "spec", "cluster"), "spec.cluster is missing"),
        (having(group(), "", "spec", "cluster"), "spec.cluster is missing"),
        (without(group(), "spec", "worker"), "spec.worker is missing"),
        (without(group(), "spec", "worker", "spec"), "spec.worker.spec is missing"),
        (having(group(), [], "spec", "worker", "spec", "containers"), "spec.worker.spec.containers is empty"),
    ],
)
def test_unreadable_worker_group_is_refused_with_the_field(body: Object, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_worker_group(body)
    assert str(caught.value).startswith(field)


@pytest.mark.parametrize("parse", [parse_cluster, parse_worker_group])
def test_input_is_not_changed(parse: Callable[[Object], object]) -> None:
    body = cluster() if parse is parse_cluster else group(owners=(cluster(),))
    before = deepcopy(body)
    parse(body)
    assert body == before
