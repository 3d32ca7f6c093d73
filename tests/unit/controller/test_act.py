"""Requests of a plan: what counts as success, and that none goes on unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from dask_kubernetes_operator import builders
from dask_kubernetes_operator.kube import ApiError
from dask_kubernetes_operator.reconcile.act import carry_out
from dask_kubernetes_operator.reconcile.actions import Action, Create, Delete, DeleteCollection, Event, Patch
from dask_kubernetes_operator.reconcile.observed import Store
from dask_kubernetes_operator.resources import DASK_CLUSTERS, DASK_WORKER_GROUPS, DEPLOYMENTS, EVENTS, PODS
from dask_kubernetes_operator.spec import Identity, parse_cluster

from .objects import KEY, NOW, Object, cluster, deployment, group, worker
from .virtual_time import simulate
from .world import FakeClient, Fault, World, no_fault, store_of

pytestmark = pytest.mark.unit


def carried_out(
    world: World, store: Store, *actions: Action, fault: Fault = no_fault
) -> list[tuple[Action, ApiError]]:
    """What was refused of some actions."""

    async def story() -> list[tuple[Action, ApiError]]:
        client = FakeClient(world)
        client.fault = fault
        return await carry_out(client, store, KEY, actions, NOW)

    return simulate(story)


def a_world() -> World:
    world = World()
    owner = world.put(DASK_CLUSTERS, cluster())
    world.put(DEPLOYMENTS, deployment(owner))
    made = world.put(DASK_WORKER_GROUPS, group(owners=(owner,)))
    for name in ("w1", "w2"):
        world.put(PODS, worker(name, made))
    return world


def test_nothing_to_do_is_nothing_asked() -> None:
    assert carried_out(World(), Store()) == []


def test_what_was_created_is_known_at_once() -> None:
    world = World()
    store = Store()
    body = builders.build_default_worker_group(parse_cluster(cluster()))
    assert carried_out(world, store, Create(DASK_WORKER_GROUPS, body)) == []
    [known] = store.observe(KEY).groups
    assert known.uid == world.get(DASK_WORKER_GROUPS, "simple-default")["metadata"]["uid"]


def test_what_was_patched_is_known_at_once() -> None:
    world = a_world()
    store = store_of(world)
    patch = Patch(DASK_WORKER_GROUPS, "simple-default", {"spec": {"worker": {"replicas": 9}}})
    assert carried_out(world, store, patch) == []
    [known] = store.observe(KEY).groups
    assert known.body["spec"]["worker"]["replicas"] == 9


def test_status_goes_to_the_status_subresource() -> None:
    world = a_world()
    store = store_of(world)
    patch = Patch(DASK_CLUSTERS, "simple", {"status": {"phase": "Running"}}, subresource="status")
    assert carried_out(world, store, patch) == []
    assert world.get(DASK_CLUSTERS, "simple")["status"] == {"phase": "Running"}


def test_json_patch_is_applied_as_one() -> None:
    world = a_world()
    store = store_of(world)
    meta = world.get(DEPLOYMENTS, "simple-scheduler")["metadata"]
    patch = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
        {"op": "replace", "path": "/spec/replicas", "value": 0},
        {"op": "add", "path": "/metadata/annotations/example.com~1note", "value": "x"},
    ]
    assert carried_out(world, store, Patch(DEPLOYMENTS, "simple-scheduler", patch)) == []
    [known] = store.observe(KEY).deployments
    assert known.annotations["example.com/note"] == "x"
    assert world.get(DEPLOYMENTS, "simple-scheduler")["spec"]["replicas"] == 0
    [(_, error)] = carried_out(world, store, Patch(DEPLOYMENTS, "simple-scheduler", patch))
    assert error.reason == "Conflict", "what was read is not what is there"


# Events -----------------------------------------------------------------------------------------------------------

TOLD = Event(Identity("DaskCluster", "default", "simple", "uid-simple"), "Warning", "Reason", "message " * 500)
TELLING: dict[str, Action] = {
    "create": Create(PODS, worker("w3", None), events=(TOLD,)),
    "patch": Patch(DASK_WORKER_GROUPS, "simple-default", {"spec": {"cluster": "simple"}}, events=(TOLD,)),
    "delete": Delete(DEPLOYMENTS, "simple-scheduler", "uid-deployment", events=(TOLD,)),
}


@pytest.mark.parametrize("action", TELLING.values(), ids=TELLING)
def test_what_succeeded_is_told(action: Action) -> None:
    world = a_world()
    assert carried_out(world, store_of(world), action) == []
    [event] = world.all(EVENTS)
    assert len(event["message"]) == 1024, "the longest that the API server takes"
    assert event["involvedObject"] == {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "namespace": "default",
        "name": "simple",
        "uid": "uid-simple",
    }
    assert (event["type"], event["reason"], event["count"]) == ("Warning", "Reason", 1)
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-11-21T12:00:00Z"


@pytest.mark.parametrize("action", TELLING.values(), ids=TELLING)
def test_what_was_refused_is_not_told(action: Action) -> None:
    world = a_world()

    def fault(_number: int, _request: str, _act: Callable[[], Object]) -> Object:
        raise ApiError(403, "Forbidden", "no")

    assert len(carried_out(world, store_of(world), action, fault=fault)) == 1
    assert world.all(EVENTS) == []


def test_event_that_is_lost_takes_nothing_with_it() -> None:
    world = a_world()

    def fault(_number: int, request: str, act: Callable[[], Object]) -> Object:
        if request.startswith("POST events"):
            raise ApiError(403, "Forbidden", "no")
        return act()

    store = store_of(world)
    assert carried_out(world, store, TELLING["delete"], fault=fault) == []
    assert store.observe(KEY).deployments == ()


# Deletions --------------------------------------------------------------------------------------------------------


def test_what_was_deleted_at_once_is_known_to_be_gone() -> None:
    world = a_world()
    store = store_of(world)
    assert carried_out(world, store, Delete(DEPLOYMENTS, "simple-scheduler", "uid-deployment")) == []
    assert store.observe(KEY).deployments == ()


def test_pod_that_takes_its_time_to_end_is_known_to_be_terminating() -> None:
    world = a_world()
    store = store_of(world)
    assert carried_out(world, store, Delete(PODS, "w1", "uid-w1")) == []
    assert {pod.name: pod.terminating for pod in store.observe(KEY).pods} == {"w1": True, "w2": False}


def test_deleting_what_is_gone_already_is_success() -> None:
    world = a_world()
    store = store_of(world)
    world.drop(PODS, "w1")
    assert carried_out(world, store, Delete(PODS, "w1", "uid-w1")) == []
    assert [pod.name for pod in store.observe(KEY).pods] == ["w2"]


@pytest.mark.parametrize(
    "outdated",
    [
        Delete(DEPLOYMENTS, "simple-scheduler", "uid-of-a-former-one"),
        Delete(DEPLOYMENTS, "simple-scheduler", "uid-deployment", 1),
    ],
    ids=["another of its name", "changed since"],
)
def test_object_that_is_not_the_one_that_was_meant_survives(outdated: Delete) -> None:
    world = a_world()
    store = store_of(world)
    [(action, error)] = carried_out(world, store, outdated)
    assert (action, error.reason) == (outdated, "Conflict")
    assert world.get(DEPLOYMENTS, "simple-scheduler")["metadata"]["uid"] == "uid-deployment"
    assert [known.uid for known in store.observe(KEY).deployments] == ["uid-deployment"]


def test_collection_is_deleted_in_one_request() -> None:
    world = a_world()
    selector = "dask.org/cluster-name=simple,dask.org/component=worker,dask.org/workergroup-name=simple-default"
    assert carried_out(world, store_of(world), DeleteCollection(PODS, selector)) == []
    assert world.live_pods() == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [(0, "NoAnswer"), (403, "Forbidden"), (409, "AlreadyExists"), (422, "Invalid"), (500, "InternalError")],
)
def test_what_is_refused_is_told_and_the_rest_is_done(code: int, reason: str) -> None:
    world = a_world()
    refusal = ApiError(code, reason, "no")

    def fault(_number: int, request: str, act: Callable[[], Object]) -> Object:
        if request == "DELETE pods/w1":
            raise refusal
        return act()

    actions = [Delete(PODS, name, f"uid-{name}") for name in ("w1", "w2")]
    assert carried_out(world, store_of(world), *actions, fault=fault) == [(actions[0], refusal)]
    assert [pod["metadata"]["name"] for pod in world.live_pods()] == ["w1"]


def test_patching_what_is_gone_is_told() -> None:
    patch = Patch(DASK_WORKER_GROUPS, "gone", {})
    [(action, error)] = carried_out(a_world(), Store(), patch)
    assert (action, error.code) == (patch, 404)


def test_after_a_bug_no_request_goes_on_unseen() -> None:
    world = a_world()

    def fault(number: int, _request: str, act: Callable[[], Object]) -> Object:
        if number == 1:
            raise RuntimeError("a bug")
        return act()

    async def story() -> None:
        client = FakeClient(world)
        client.fault = fault
        pods = [Create(PODS, worker(f"n{number}", None)) for number in range(60)]
        with pytest.raises(RuntimeError, match="a bug"):
            await carry_out(client, Store(), KEY, pods, NOW)
        assert client.in_flight == 0
        seen = len(world.all(PODS))
        await asyncio.sleep(60)
        assert len(world.all(PODS)) == seen

    simulate(story)


def test_cancellation_ends_every_request() -> None:
    world = a_world()

    async def story() -> None:
        client = FakeClient(world)
        pods = [Create(PODS, worker(f"n{number}", None)) for number in range(60)]
        task = asyncio.create_task(carry_out(client, Store(), KEY, pods, NOW))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.in_flight == 0

    simulate(story)
