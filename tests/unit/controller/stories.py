"""What stories of a running operator have in common: how they begin, what is asked for, and how it looks then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from dask_kubernetes_operator.kube import ApiError
from dask_kubernetes_operator.resources import (
    DASK_CLUSTERS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    EVENTS,
    PODS,
    SERVICES,
)

from .dask_world import DaskWorld
from .objects import Object
from .operator import Operator
from .world import World

# Within this time after the last trouble everything is as asked for, and lost children are back.
CONVERGED_SECONDS = 30
REPAIRED_SECONDS = 5
# After this time everything was listed afresh, whatever the watches told.
RELISTED_SECONDS = 750


# What becomes of a request (its first argument) instead of its being carried out (its second).
Trouble = Callable[[str, Callable[[], Object]], Object]


def scale(replicas: int) -> Callable[[Object], None]:
    """An edit of how many workers there are to be."""

    def change(body: Object) -> None:
        body["spec"]["worker"]["replicas"] = replicas

    return change


def set_status(status: Object) -> Callable[[Object], None]:
    """What a node or the operator writes, whatever it was before."""

    def change(body: Object) -> None:
        body["status"] = status

    return change


def condition(world: World, kind: str, name: str = "simple") -> dict[str, Any]:
    """A condition of a DaskCluster as it is stored."""
    conditions = world.get(DASK_CLUSTERS, name)["status"]["conditions"]
    found: dict[str, Any] = next(entry for entry in conditions if entry["type"] == kind)
    return found


def new_image(body: Object) -> None:
    """An edit of the image of workers."""
    body["spec"]["worker"]["spec"]["containers"][0]["image"] = "ghcr.io/dask/dask:2026.8.0"


def suspend(suspended: bool) -> Callable[[Object], None]:
    """An edit that suspends a cluster or resumes it."""
    return lambda body: body["spec"].update(suspend=suspended)


def warnings(world: World) -> list[str]:
    """The reasons of all that people were warned of."""
    return [event["reason"] for event in world.all(EVENTS) if event["type"] == "Warning"]


def give_each_worker_a_result(dask: DaskWorld) -> list[str]:
    """Every worker holds the only copy of a result, which bears its name."""
    names = [pod["metadata"]["name"] for pod in dask.world.live_pods()]
    for name in names:
        dask.place(name, name)
    return names


def nothing_left(world: World) -> bool:
    """Whether no child of any cluster is there."""
    return not any(world.all(resource) for resource in (DASK_WORKER_GROUPS, DEPLOYMENTS, SERVICES, PODS))


def all_there(world: World, replicas: int) -> None:
    """Assert that the cluster is exactly what was asked for."""
    assert len(world.all(DEPLOYMENTS)) == len(world.all(SERVICES)) == len(world.all(DASK_WORKER_GROUPS)) == 1
    assert len(world.live_pods()) == len(world.all(PODS)) - 1 == replicas, "and the Pod of the scheduler"
    [owner] = world.all(DASK_WORKER_GROUPS)
    for pod in world.live_pods():
        assert [reference["uid"] for reference in pod["metadata"]["ownerReferences"]] == [owner["metadata"]["uid"]]
    status = world.get(DASK_CLUSTERS, "simple")["status"]
    assert (status["phase"], status["replicas"]) == ("Running", replicas)
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Degraded")["status"] == condition(world, "Progressing")["status"] == "False"


async def converged(world: World, done: Callable[[World], None]) -> None:
    """Wait until all is as it should be, for as long as that may take; then see that it stays so."""
    for _ in range(CONVERGED_SECONDS):
        await asyncio.sleep(1)
        with suppress(AssertionError, KeyError, StopIteration, ApiError):
            done(world)
            break
    await asyncio.sleep(3)
    done(world)


async def settled(
    world: World, *, seed: int = 0, seconds: float = CONVERGED_SECONDS, dask: DaskWorld | None = None
) -> Operator:
    """An operator that had its time."""
    operator = Operator(world, seed=seed, dask=dask)
    operator.start()
    await asyncio.sleep(seconds)
    return operator


def refused(code: int, reason: str, message: str = "no") -> Trouble:
    """A refusal by the API server."""

    def trouble(request: str, act: Callable[[], Object]) -> Object:
        if request.startswith("DELETE") and code in (404, 409):
            act()  # only what somebody else deleted a moment ago is answered like this
        raise ApiError(code, reason, message)

    return trouble


def always(trouble: Trouble, *requests: str) -> Callable[[int, str, Callable[[], Object]], Object]:
    """Trouble with every request that begins like one of these."""

    def fault(_number: int, request: str, act: Callable[[], Object]) -> Object:
        return trouble(request, act) if request.startswith(requests) else act()

    return fault
