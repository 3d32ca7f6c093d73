"""Reading the custom resources: defaults, and errors that say which field is wrong."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from dask_kubernetes_operator.spec import SpecError, parse_cluster, parse_worker_group

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
