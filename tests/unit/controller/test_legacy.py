"""What the public operator has left behind: marks are cleared away, workers and schedulers taken over as they run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dask_kubernetes_operator import builders
from dask_kubernetes_operator.reconcile.actions import Action, Delete, DeleteCollection, Patch
from dask_kubernetes_operator.resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
)
from dask_kubernetes_operator.spec import parse_cluster, parse_worker_group

from . import public
from .dask_world import DaskWorld
from .objects import NOW, Object, cluster, group, metadata, owned_by, terminating, worker
from .operator import Clock, Operator, play
from .planning import CLUSTER, FRAME, GROUP, WORKERS, actions
from .stories import all_there, give_each_worker_a_result, scale
from .virtual_time import simulate
from .world import World

pytestmark = pytest.mark.unit

MARKER = public.MARKER
LABELS = {
    "dask.org/cluster-name": "simple",
    "dask.org/component": "worker",
    "dask.org/workergroup-name": "simple-default",
    "sidecar.istio.io/inject": "false",
}
HASH = builders.worker_hash(parse_worker_group(GROUP), parse_cluster(CLUSTER))


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


# Workers -----------------------------------------------------------------------------------------------------------


def replica_set(name: str) -> Object:
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name}-5d4f", "uid": f"uid-rs-{name}"}
    return {**reference, "controller": True, "blockOwnerDeletion": True}


def of_deployment(name: str, *owners: Object, spec_hash: str | None = None, **fields: Any) -> Object:
    """The Pod of a worker that has a Deployment, with more owners than its ReplicaSet."""
    annotations = {} if spec_hash is None else {"dask.org/spec-hash": spec_hash}
    meta = {"annotations": annotations, "ownerReferences": [replica_set(name), *owners], "labels": dict(LABELS)}
    return worker(f"{name}-5d4f-x", None, uid=f"uid-{name}-pod", meta=meta, **fields)


def deployed(name: str, owner: Object = GROUP) -> Object:
    return public.worker_deployment(owner, name, LABELS)


def reference(*, controller: bool) -> Object:
    found = {**owned_by(GROUP), "blockOwnerDeletion": True}
    return found if controller else {key: value for key, value in found.items() if key != "controller"}


def about_workers(*bodies: Object, owner: Object = GROUP) -> list[Action]:
    """What is done about workers, the frame of the cluster being as it should."""
    return actions(*FRAME, owner, *bodies)


TWO = (deployed("a"), deployed("b"))


def test_pods_of_deployments_count_and_are_given_to_their_group_first() -> None:
    assert about_workers(*TWO, of_deployment("a"), of_deployment("b")) == [
        Patch(
            PODS,
            f"{name}-5d4f-x",
            {
                "metadata": {
                    "uid": f"uid-{name}-pod",
                    "resourceVersion": "1",
                    "ownerReferences": [replica_set(name), reference(controller=False)],
                    "annotations": {"dask.org/spec-hash": HASH},
                }
            },
        )
        for name in ("a", "b")
    ]


def test_deployments_go_when_their_pods_have_another_owner() -> None:
    given = of_deployment("a", reference(controller=False), spec_hash=HASH)
    deleted = [action for action in about_workers(*TWO, given, of_deployment("b")) if isinstance(action, Delete)]
    assert [(action.resource, action.name, action.uid) for action in deleted] == [
        (DEPLOYMENTS, "a", "uid-Deployment-a")
    ]
    assert [event.reason for event in deleted[0].events] == ["WorkersTakenOver"]


def test_labels_of_a_pod_are_left_alone_while_a_replica_set_looks_for_them() -> None:
    given = [of_deployment(name, reference(controller=False), spec_hash=HASH) for name in ("a", "b")]
    owner = group(owners=(CLUSTER,), meta={"labels": {"team": "blue"}})
    found = actions(*FRAME, owner, *given)
    assert [action for action in found if getattr(action, "resource", None) == PODS] == []


def test_group_becomes_the_controller_of_what_has_no_other_owner() -> None:
    taken = [
        worker(name, GROUP, uid=f"uid-{name}", meta={"ownerReferences": [reference(controller=False)]})
        for name in ("a", "b")
    ]
    assert about_workers(*taken) == [
        Patch(
            PODS,
            name,
            {
                "metadata": {
                    "uid": f"uid-{name}",
                    "resourceVersion": "1",
                    "ownerReferences": [reference(controller=True)],
                }
            },
        )
        for name in ("a", "b")
    ]


@pytest.mark.parametrize(
    "pods",
    [
        [],
        [terminating(of_deployment("a"))],
        [of_deployment("a", finished_at=NOW)],
        [of_deployment("a", reference(controller=False), spec_hash=HASH, phase="Pending")],
    ],
    ids=["none", "terminating", "finished", "given away"],
)
def test_deployment_that_keeps_nothing_alive_goes(pods: list[Object]) -> None:
    found = about_workers(*WORKERS, deployed("a"), *pods)
    assert (DEPLOYMENTS, "a") in [(a.resource, a.name) for a in found if isinstance(a, Delete)]


def test_worker_of_a_deployment_does_not_go_before_it_is_taken_over() -> None:
    owner = group(owners=(CLUSTER,), replicas=0)
    found = actions(*FRAME, owner, *TWO, of_deployment("a"), of_deployment("b", phase="Pending"))
    assert [action for action in found if isinstance(action, (Delete, DeleteCollection))] == []
    assert not any("draining" in str(action) for action in found)


def test_deployment_of_nobody_is_left_alone() -> None:
    stranger = deployed("a", {**GROUP, "metadata": {**GROUP["metadata"], "uid": "uid-of-another", "name": "x"}})
    stranger["metadata"]["ownerReferences"][0]["apiVersion"] = "example.org/v1"
    assert about_workers(stranger, of_deployment("a"), *WORKERS) == []


def test_workers_of_a_suspended_cluster_go_with_their_deployments() -> None:
    resting = cluster()
    resting["spec"]["suspend"] = True
    found = actions(resting, *FRAME[1:], GROUP, *TWO, of_deployment("a"), of_deployment("b"))
    assert {"a", "b"} <= {action.name for action in found if isinstance(action, Delete)}
    assert any(isinstance(action, DeleteCollection) for action in found)


def test_deployments_of_workers_go_with_their_group() -> None:
    found = actions(*FRAME, terminating(GROUP), *TWO, of_deployment("a"), of_deployment("b"))
    deleted = [action.name for action in found if isinstance(action, Delete)]
    assert sorted(deleted) == ["a", "b"]


def test_worker_is_not_measured_by_a_spec_that_its_group_is_yet_to_get() -> None:
    container = {"name": "worker", "image": "ghcr.io/dask/dask:2026.8.0"}
    edited = cluster(worker={"spec": {"containers": [container]}})
    found = actions(edited, *FRAME[1:], GROUP, *TWO, of_deployment("a"), of_deployment("b"))
    assert [action for action in found if isinstance(action, Patch) and action.resource == DASK_WORKER_GROUPS]
    assert "dask.org/spec-hash" not in str([a for a in found if isinstance(a, Patch) and a.resource == PODS])


# From beginning to end ---------------------------------------------------------------------------------------------


def moved(world: World, clock: Clock, then: Any = None, *, groups: dict[str, int] | None = None) -> DaskWorld:
    """The operator is started where the public one has been, and has its time."""
    world.now = clock
    public.leave(world, groups or {"simple-default": 2}, labels={"team": "red"})
    dask = DaskWorld(world)

    async def story() -> None:
        await asyncio.sleep(5)
        results = give_each_worker_a_result(dask)
        pods = {pod["metadata"]["uid"] for pod in world.all(PODS)}
        operator = Operator(world, dask=dask)
        operator.start()
        await asyncio.sleep(30)
        assert {pod["metadata"]["uid"] for pod in world.all(PODS)} == pods
        if then is not None:
            await then()
        assert dask.lost == []
        assert all(dask.holders(result) for result in results)
        await operator.stop()

    simulate(lambda: play(world, clock, story))
    return dask


def test_all_is_taken_over_as_it_runs(clock: Clock) -> None:
    world = World()
    moved(world, clock)
    all_there(world, 2)
    for resource in (DASK_CLUSTERS, DASK_AUTOSCALERS):
        assert world.get(resource, "simple")["metadata"]["finalizers"] == []


def test_worker_that_was_taken_over_hands_over_its_data(clock: Clock) -> None:
    world = World()

    async def then() -> None:
        world.delete(DASK_AUTOSCALERS, "default", "simple")
        await asyncio.sleep(1)
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(1))
        await asyncio.sleep(30)
        assert len(world.live_pods()) == 1
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(2))
        await asyncio.sleep(30)

    moved(world, clock, then)
    all_there(world, 2)


def test_label_that_the_scheduler_is_selected_by_does_not_cost_the_scheduler(clock: Clock) -> None:
    world = World()

    async def then() -> None:
        uids = {pod["metadata"]["uid"] for pod in world.all(PODS)}
        world.change(DASK_CLUSTERS, "simple", lambda body: body["metadata"]["labels"].update(team="blue"))
        await asyncio.sleep(30)
        assert {pod["metadata"]["uid"] for pod in world.all(PODS)} == uids
        world.change(DASK_CLUSTERS, "simple", lambda body: body["metadata"]["labels"].clear())
        await asyncio.sleep(30)
        assert {pod["metadata"]["uid"] for pod in world.all(PODS)} == uids

    moved(world, clock, then)


def test_edited_scheduler_keeps_the_labels_by_which_it_is_selected(clock: Clock) -> None:
    world = World()
    world.now = clock
    public.leave(world, {"simple-default": 1}, labels={"team": "red"})

    def edit(body: Object) -> None:
        body["metadata"]["labels"] = {"team": "blue"}
        body["spec"]["scheduler"]["spec"]["containers"][0]["image"] = "ghcr.io/dask/dask:2026.8.0"

    async def story() -> None:
        operator = Operator(world)
        operator.start()
        await asyncio.sleep(30)
        world.change(DASK_CLUSTERS, "simple", edit)
        await asyncio.sleep(30)
        spec = world.get(DEPLOYMENTS, "simple-scheduler")["spec"]
        assert spec["selector"]["matchLabels"]["team"] == "red"
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
        assert spec["template"]["spec"]["containers"][0]["image"] == "ghcr.io/dask/dask:2026.8.0"
        await operator.stop()

    simulate(lambda: play(world, clock, story))
