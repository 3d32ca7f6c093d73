"""What the public operator has left behind is cleared away, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dask_kubernetes_operator.reconcile.actions import Patch
from dask_kubernetes_operator.resources import DASK_AUTOSCALERS, DASK_CLUSTERS

from .objects import Object, cluster, group, metadata
from .operator import Clock, Operator, play
from .planning import actions
from .virtual_time import simulate
from .world import World

pytestmark = pytest.mark.unit

MARKER = "kopf.zalando.org/KopfFinalizerMarker"


def autoscaler(meta: Object) -> Object:
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskAutoscaler",
        "metadata": {**metadata("simple", uid="uid-a", version=7), "generation": 1, **meta},
        "spec": {"cluster": "simple", "minimum": 1, "maximum": 3},
    }


def patches(*bodies: Object) -> list[Patch]:
    found = [action for action in actions(*bodies) if isinstance(action, Patch)]
    return [patch for patch in found if "finalizers" in dict(patch.patch).get("metadata", {})]  # type: ignore[arg-type]


@pytest.mark.parametrize("left", [[], ["foregroundDeletion"], ["example.org/mine", "orphan"]])
@pytest.mark.parametrize("terminating", [False, True])
def test_finalizer_of_kopf_goes_and_others_stay(left: list[str], terminating: bool) -> None:
    meta: Any = {"finalizers": [MARKER, *left]} | (
        {"deletionTimestamp": "2026-01-01T00:00:00Z"} if terminating else {}
    )
    bodies = {DASK_CLUSTERS: cluster(uid="uid-c", version=7, meta=meta), DASK_AUTOSCALERS: autoscaler(meta)}
    expected = [
        Patch(
            resource,
            "simple",
            {"metadata": {"uid": body["metadata"]["uid"], "resourceVersion": "7", "finalizers": left}},
        )
        for resource, body in bodies.items()
    ]
    assert patches(*bodies.values()) == expected


def test_finalizers_of_others_are_left_alone() -> None:
    meta = {"finalizers": ["example.org/mine", "foregroundDeletion"]}
    assert patches(cluster(meta=meta), autoscaler(meta), group()) == []


def test_finalizer_goes_once(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(meta={"finalizers": [MARKER]}))

    async def story() -> None:
        operator = Operator(world)
        operator.start()
        await asyncio.sleep(60)
        requests = [request for request in operator.client.requests if request == "PATCH daskclusters/simple"]
        assert len(requests) == 1
        assert world.get(DASK_CLUSTERS, "simple")["metadata"]["finalizers"] == []
        await operator.stop()

    simulate(lambda: play(world, clock, story))
