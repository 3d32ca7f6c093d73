"""What is written on children: the precedence table of the documentation, and whose books are never copied."""

from __future__ import annotations

from typing import Literal

import pytest

from .objects import Object, cluster, group
from .test_builders import BUILD, build_pod, stored

pytestmark = pytest.mark.unit

Field = Literal["labels", "annotations"]
FIELDS: tuple[Field, ...] = ("labels", "annotations")


def on_every_child(body: Object, field: Field) -> dict[str, dict[str, str]]:
    """The labels or annotations of all that becomes of a cluster, down to its workers."""
    deployment = BUILD["deployment"](body)
    made_group = BUILD["group"](body)
    return {
        "deployment": deployment["metadata"][field],
        "scheduler pod": deployment["spec"]["template"]["metadata"][field],
        "service": BUILD["service"](body)["metadata"][field],
        "group": made_group["metadata"][field],
        "worker pod": build_pod(stored(made_group))["metadata"][field],
    }


def annotated(top: Object, scheduler: Object, worker: Object, field: Field) -> Object:
    return cluster(
        meta={field: top},
        scheduler={"metadata": {field: scheduler}},
        worker={"metadata": {field: worker}},
    )


@pytest.mark.parametrize("field", FIELDS)
def test_those_of_the_cluster_reach_every_child(field: Field) -> None:
    for child, found in on_every_child(cluster(meta={field: {"hello": "world"}}), field).items():
        assert found.get("hello") == "world", child


@pytest.mark.parametrize("field", FIELDS)
def test_those_of_a_part_reach_that_part_alone(field: Field) -> None:
    found = on_every_child(annotated({"hello": "world"}, {"fizz": "buzz"}, {"foo": "bar"}, field), field)
    carrying = {key: {child for child, values in found.items() if key in values} for key in ("hello", "fizz", "foo")}
    assert carrying == {
        "hello": {"deployment", "scheduler pod", "service", "group", "worker pod"},
        "fizz": {"deployment", "scheduler pod", "service"},
        "foo": {"group", "worker pod"},
    }


@pytest.mark.parametrize("field", FIELDS)
def test_those_of_a_part_win_over_the_clusters(field: Field) -> None:
    found = on_every_child(annotated({"foo": "top"}, {"foo": "scheduler"}, {"foo": "worker"}, field), field)
    assert {child: values["foo"] for child, values in found.items()} == {
        "deployment": "scheduler",
        "scheduler pod": "scheduler",
        "service": "scheduler",
        "group": "worker",
        "worker pod": "worker",
    }


@pytest.mark.parametrize("field", FIELDS)
def test_those_of_a_group_reach_its_workers(field: Field) -> None:
    body = group("simple-highmem", cluster_replicas=None)
    body["metadata"][field] = {"foo": "group", "kept": "yes"}
    body["spec"]["worker"]["metadata"] = {field: {"foo": "worker"}}
    found = build_pod(body)["metadata"][field]
    assert (found["foo"], found["kept"]) == ("worker", "yes")


@pytest.mark.parametrize("level", ["top", "part"])
@pytest.mark.parametrize("key", ["dask.org/component", "dask.org/cluster-name", "dask.org/workergroup-name"])
def test_reserved_labels_win(level: str, key: str) -> None:
    theirs = {key: "superworker"}
    untouched = on_every_child(cluster(), "labels")
    body = annotated(theirs, {}, {}, "labels") if level == "top" else annotated({}, theirs, theirs, "labels")
    for child, found in on_every_child(body, "labels").items():
        reserved = {name: value for name, value in untouched[child].items() if name.startswith("dask.org/")}
        assert reserved.items() <= found.items(), child


def test_group_carries_the_clusters_replicas_whatever_the_user_wrote() -> None:
    theirs = {"dask.org/cluster-replicas": "99"}
    found = on_every_child(annotated(theirs, {}, theirs, "annotations"), "annotations")
    assert found["group"]["dask.org/cluster-replicas"] == "2"


def test_operators_own_annotation_stays_on_the_group() -> None:
    found = on_every_child(cluster(), "annotations")
    assert [child for child, values in found.items() if "dask.org/cluster-replicas" in values] == ["group"]


def test_istio_stays_out_of_pods_unless_the_user_wants_it() -> None:
    plain = on_every_child(cluster(), "labels")
    assert [child for child, labels in plain.items() if labels.get("sidecar.istio.io/inject") == "false"] == [
        "scheduler pod",
        "worker pod",
    ]
    wanted = on_every_child(cluster(meta={"labels": {"sidecar.istio.io/inject": "true"}}), "labels")
    assert wanted["scheduler pod"]["sidecar.istio.io/inject"] == "true"
    assert wanted["worker pod"]["sidecar.istio.io/inject"] == "true"


BOOKKEEPING = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubectl.kubernetes.io/restartedAt",
    "applyset.kubernetes.io/part-of",
    "kopf.zalando.org/last-handled-configuration",
    "meta.helm.sh/release-name",
    "meta.helm.sh/release-namespace",
    "helm.sh/chart",
    "helm.sh/hook",
    "helm.sh/resource-policy",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "argocd.argoproj.io/instance",
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/sync-wave",
    "kustomize.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/namespace",
    "kustomize.toolkit.fluxcd.io/prune",
    "helm.toolkit.fluxcd.io/name",
]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("key", BOOKKEEPING)
def test_bookkeeping_of_tools_is_never_copied(key: str, field: Field) -> None:
    theirs = {key: "books", "kept": "yes"}
    for body in (annotated(theirs, {}, {}, field), annotated({}, theirs, theirs, field)):
        for child, found in on_every_child(body, field).items():
            assert key not in found, child
            assert found["kept"] == "yes", child


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("key", BOOKKEEPING)
def test_bookkeeping_on_a_group_stays_off_its_workers(key: str, field: Field) -> None:
    body = group("simple-highmem")
    body["metadata"][field] = {key: "books", "kept": "yes"}
    body["spec"]["worker"]["metadata"] = {field: {key: "books"}}
    found = build_pod(body)["metadata"][field]
    assert key not in found
    assert found["kept"] == "yes"
