"""kopf's side: that what is registered is what the reconciler needs, and nothing that leaves traces on objects."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, cast

import kopf
import pytest

from dask_kubernetes_operator import handlers, naming
from dask_kubernetes_operator.reconcile.loop import Reconciler
from dask_kubernetes_operator.resources import (
    DASK_CLUSTERS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Resource,
)

from .objects import Object, cluster, deployment, group, service, worker

pytestmark = pytest.mark.unit

# kopf types a handler by all the arguments that it could ask for.
called: Any = handlers

BODIES: dict[Resource, Object] = {
    DASK_CLUSTERS: cluster(),
    DASK_WORKER_GROUPS: group(),
    DEPLOYMENTS: deployment(cluster()),
    SERVICES: service(cluster()),
    PODS: worker("w1", group()),
}


def in_kopf(resource: Resource) -> kopf.Resource:
    return kopf.Resource(
        group=resource.group,
        version=resource.version,
        plural=resource.plural,
        kind=resource.kind,
        namespaced=True,
        preferred=True,
        verbs=frozenset({"list", "watch", "patch"}),
    )


@pytest.fixture
def registry() -> Iterator[kopf.OperatorRegistry]:
    """The handlers, registered in a registry of their own."""
    before = kopf.get_default_registry()
    registry = kopf.OperatorRegistry()
    kopf.set_default_registry(registry)
    importlib.reload(handlers)
    yield registry
    kopf.set_default_registry(before)


class Noted(Reconciler):
    """A reconciler that only writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def note(self, resource: Resource, body: Any) -> None:
        self.told.append(("note", resource, body))

    def changed(self, resource: Resource, body: Any, *, event: str | None) -> None:
        self.told.append(("changed", resource, body, event))


@pytest.mark.parametrize("resource", BODIES, ids=lambda resource: resource.kind)
def test_every_kind_is_indexed_and_watched(registry: kopf.OperatorRegistry, resource: Resource) -> None:
    assert registry._indexing.has_handlers(resource=in_kopf(resource))
    assert registry._watching.has_handlers(resource=in_kopf(resource))


@pytest.mark.parametrize("resource", BODIES, ids=lambda resource: resource.kind)
def test_nothing_needs_a_finalizer_or_a_note_on_the_object(
    registry: kopf.OperatorRegistry, resource: Resource
) -> None:
    assert not registry._changing.has_handlers(resource=in_kopf(resource))
    assert not registry._spawning.has_handlers(resource=in_kopf(resource))


def test_no_other_kind_is_watched(registry: kopf.OperatorRegistry) -> None:
    metrics = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics")
    assert not registry._watching.has_handlers(resource=in_kopf(metrics))


@pytest.mark.parametrize("resource", BODIES, ids=lambda resource: resource.kind)
async def test_indexed_object_is_noted(resource: Resource) -> None:
    memo = kopf.Memo(reconciler=Noted())
    result = await called.note(body=kopf.Body(cast(Any, BODIES[resource])), resource=in_kopf(resource), memo=memo)
    assert result is None, "what an index returns, kopf keeps"
    assert memo.reconciler.told == [("note", resource, BODIES[resource])]


@pytest.mark.parametrize("event", [None, "ADDED", "MODIFIED", "DELETED"])
@pytest.mark.parametrize("resource", BODIES, ids=lambda resource: resource.kind)
async def test_event_reaches_the_reconciler(resource: Resource, event: Any) -> None:
    memo = kopf.Memo(reconciler=Noted())
    raw: Any = {"type": event, "object": BODIES[resource]}
    await called.changed(event=raw, resource=in_kopf(resource), memo=memo)
    assert memo.reconciler.told == [("changed", resource, BODIES[resource], event)]


async def test_start_makes_the_reconciler_and_stop_ends_it() -> None:
    settings, memo = kopf.OperatorSettings(), kopf.Memo()
    await called.start(settings=settings, memo=memo)
    assert isinstance(memo.reconciler, Reconciler)
    await called.stop(memo=memo)


@pytest.mark.parametrize(
    ("resource", "selector"),
    [
        (PODS, naming.WORKER_GROUP_NAME_LABEL),
        (DEPLOYMENTS, naming.CLUSTER_NAME_LABEL),
        (SERVICES, naming.CLUSTER_NAME_LABEL),
        (DASK_CLUSTERS, None),
        (DASK_WORKER_GROUPS, None),
    ],
    ids=lambda value: value.kind if isinstance(value, Resource) else "",
)
async def test_watches_of_children_are_filtered_on_the_server(resource: Resource, selector: str | None) -> None:
    settings, memo = kopf.OperatorSettings(), kopf.Memo()
    await called.start(settings=settings, memo=memo)
    found = list(settings.watching.label_selectors.collect(in_kopf(resource)))
    assert found == ([selector] if selector else [])
    await called.stop(memo=memo)


async def test_kopf_keeps_to_itself() -> None:
    settings, memo = kopf.OperatorSettings(), kopf.Memo()
    await called.start(settings=settings, memo=memo)
    assert settings.peering.standalone
    assert not settings.posting.enabled
    await called.stop(memo=memo)
