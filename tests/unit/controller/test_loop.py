"""Leading and resting: of several replicas that watch, one acts, and whoever takes over goes on where it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from functools import partial

import pytest

from dask_kubernetes_operator import passes
from dask_kubernetes_operator.reconcile.cluster import ClusterReconciler
from dask_kubernetes_operator.resources import DASK_CLUSTERS, DEPLOYMENTS, PODS

from .dask_world import DaskWorld
from .objects import Object, cluster
from .operator import Clock, Operator, play
from .stories import RELISTED_SECONDS
from .virtual_time import simulate
from .world import WATCHED, FakeClient, World

pytestmark = pytest.mark.unit

# Beside what a leader of its own brings about, e.g. watches that lag.
TAKEN_OVER_SECONDS = 10


def scaled(body: Object, replicas: int) -> Object:
    scale(body, replicas)
    return body


def scale(body: Object, replicas: int) -> None:
    body["spec"]["worker"]["replicas"] = replicas


def replica(world: World, dask: DaskWorld, *, seed: int, leading: bool = False) -> Operator:
    """A replica that is running."""
    operator = Operator(world, seed=seed, dask=dask, leading=leading)
    operator.start()
    return operator


def writes(client: FakeClient) -> list[str]:
    return [request for request in client.requests if not request.startswith("GET")]


async def until(world: World, pods: int) -> None:
    async with asyncio.timeout(60):
        while len(world.live_pods()) < pods:  # noqa: ASYNC110 - virtual time: it costs none
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _no_pass_is_left() -> Iterator[None]:
    yield
    assert passes.waiting() == 0


def test_one_that_rests_asks_for_nothing(clock: Clock) -> None:
    async def story() -> None:
        world = World()
        operator = replica(world, DaskWorld(world), seed=1)
        world.create(DASK_CLUSTERS, "default", cluster())
        await asyncio.sleep(600)
        assert operator.client.requests == []
        assert not operator.reconciler.leading
        await operator.stop()

    simulate(lambda: play(World(), clock, story))


def test_one_that_begins_to_lead_reconciles_what_it_has_seen_meanwhile(clock: Clock) -> None:
    world = World()

    async def story() -> None:
        operator = replica(world, DaskWorld(world), seed=1)
        for name in ("one", "two", "three"):
            body = scaled(cluster(), 4)
            body["metadata"]["name"] = name
            world.create(DASK_CLUSTERS, "default", body)
        await asyncio.sleep(60)
        operator.reconciler.lead()
        await asyncio.sleep(TAKEN_OVER_SECONDS)
        assert len(world.live_pods()) == 12
        assert len(world.all(DEPLOYMENTS)) == 3
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_nothing_is_done_before_all_is_known(clock: Clock) -> None:
    """A cluster whose workers are not noted yet would be given others."""
    world = World()

    async def story() -> None:
        dask = DaskWorld(world)
        first = replica(world, dask, seed=1, leading=True)
        world.create(DASK_CLUSTERS, "default", scaled(cluster(), 4))
        await asyncio.sleep(60)
        await first.stop()

        second = Operator(world, seed=2, dask=dask, leading=False)
        for resource, body in world.watched():
            if resource != PODS:
                second.reconciler.changed(resource, body, event=None)
        second.reconciler.lead()
        await asyncio.sleep(30)
        assert second.client.requests == [], "no watch has begun"
        second.reconciler.watching(None)
        assert not second.reconciler.complete
        await asyncio.sleep(30)
        assert second.reconciler.complete
        assert [request for request in writes(second.client) if "pods/" in request] == []
        await second.reconciler.stop()

    simulate(lambda: play(world, clock, story))


def test_each_namespace_is_acted_on_when_all_in_it_is_known(clock: Clock) -> None:
    world = World()
    for namespace in ("known", "unknown"):
        world.put(DASK_CLUSTERS, scaled(cluster(uid=f"uid-{namespace}", meta={"namespace": namespace}), 2))

    async def story() -> None:
        operator = Operator(world)
        world.listeners.append(operator._deliver)
        operator.reconciler.watching("known")
        for _, body in list(world.watched()):
            operator.reconciler.changed(DASK_CLUSTERS, body, event="ADDED")
        await asyncio.sleep(30)
        assert {pod["metadata"]["namespace"] for pod in world.live_pods()} == {"known"}
        operator.reconciler.watching("unknown")
        assert not operator.reconciler.complete
        await asyncio.sleep(30)
        assert operator.reconciler.complete
        assert {pod["metadata"]["namespace"] for pod in world.live_pods()} == {"known", "unknown"}
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_namespace_that_is_not_watched_any_more_is_not_listed_any_more(clock: Clock) -> None:
    world = World()

    async def story() -> None:
        operator = Operator(world)
        for namespace in ("left", "kept"):
            operator.reconciler.watching(namespace)
        await asyncio.sleep(5)
        operator.reconciler.not_watching("left")
        operator.client.requests.clear()
        await asyncio.sleep(RELISTED_SECONDS)
        assert len(operator.client.requests) == len(WATCHED), "those of one namespace"
        await operator.reconciler.stop()

    simulate(lambda: play(world, clock, story))


def test_namespace_that_is_given_up_while_it_is_listed_is_left_alone(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, scaled(cluster(), 2))

    async def story() -> None:
        operator = Operator(world)
        operator.reconciler.watching("default")
        await asyncio.sleep(0.02)
        assert operator.client.requests
        assert not operator.reconciler.complete
        operator.reconciler.not_watching("default")
        await asyncio.sleep(60)
        assert writes(operator.client) == []
        await operator.reconciler.stop()

    simulate(lambda: play(world, clock, story))


def test_lists_that_fail_are_tried_again_and_nothing_is_done_meanwhile(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, scaled(cluster(), 2))

    async def story() -> None:
        operator = Operator(world)
        operator.client.away = True
        operator.start()
        await asyncio.sleep(60)
        assert not operator.reconciler.complete
        operator.client.away = False
        await asyncio.sleep(30)
        assert operator.reconciler.complete
        assert len(world.live_pods()) == 2
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_standby_needs_to_list_nothing(clock: Clock) -> None:
    async def story() -> None:
        standby = Operator(World(), leading=False)
        standby.start()
        await asyncio.sleep(60)
        assert standby.reconciler.complete
        assert standby.client.requests == []
        await standby.stop()

    simulate(lambda: play(World(), clock, story))


def test_rest_ends_all_work_at_once(clock: Clock) -> None:
    world = World()

    async def story() -> None:
        operator = replica(world, DaskWorld(world), seed=1, leading=True)
        world.create(DASK_CLUSTERS, "default", scaled(cluster(), 200))
        await until(world, pods=50)
        begun = asyncio.get_running_loop().time()
        await operator.reconciler.rest()
        assert asyncio.get_running_loop().time() - begun < 1
        assert operator.client.in_flight == 0
        sent = len(operator.client.requests)
        await asyncio.sleep(600)
        assert len(operator.client.requests) == sent
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_rest_right_after_the_beginning_leaves_nothing_behind(clock: Clock) -> None:
    world = World()

    async def story() -> None:
        operator = replica(world, DaskWorld(world), seed=1)
        world.create(DASK_CLUSTERS, "default", scaled(cluster(), 4))
        await asyncio.sleep(1)
        operator.reconciler.lead()
        await operator.reconciler.rest()
        operator.reconciler.lead()
        await asyncio.sleep(TAKEN_OVER_SECONDS)
        assert len(world.live_pods()) == 4
        await operator.stop()

    simulate(lambda: play(world, clock, story))


@pytest.mark.parametrize("pods", [0, 1, 30, 59])
@pytest.mark.parametrize("seed", range(3))
def test_lead_that_changes_in_the_middle_of_the_work_makes_nothing_twice(clock: Clock, pods: int, seed: int) -> None:
    world = World()

    async def story() -> None:
        dask = DaskWorld(world, seed=seed)
        first = replica(world, dask, seed=seed, leading=True)
        second = replica(world, dask, seed=seed + 100)
        world.create(DASK_CLUSTERS, "default", scaled(cluster(), 60))
        await until(world, pods)
        await first.reconciler.rest()
        before = len(world.live_pods())
        await asyncio.sleep(0.5)  # see leader._SETTLE_SECONDS
        second.reconciler.lead()
        await asyncio.sleep(TAKEN_OVER_SECONDS)
        assert len(world.live_pods()) == 60
        created = [request for request in writes(second.client) if request.startswith("POST pods/")]
        assert len(created) == 60 - before
        assert not any(request.startswith("DELETE") for request in writes(second.client))
        await first.stop()
        await second.stop()

    simulate(lambda: play(world, clock, story))


def test_lead_that_goes_back_and_forth_converges(clock: Clock) -> None:
    world = World()

    async def story() -> None:
        dask = DaskWorld(world)
        replicas = [replica(world, dask, seed=1, leading=True), replica(world, dask, seed=2)]
        world.create(DASK_CLUSTERS, "default", scaled(cluster(), 60))
        for number in range(20):
            await asyncio.sleep(0.1 * number)
            await replicas[number % 2].reconciler.rest()
            await asyncio.sleep(0.5)
            replicas[(number + 1) % 2].reconciler.lead()
            world.change(DASK_CLUSTERS, "simple", partial(scale, replicas=59 - number))
        await asyncio.sleep(300)
        assert len(world.live_pods()) == 40
        for one in replicas:
            await one.stop()

    simulate(lambda: play(world, clock, story))


def test_what_was_deleted_unseen_while_resting_is_looked_up_on_taking_over(clock: Clock) -> None:
    world = World()

    async def story() -> None:
        dask = DaskWorld(world)
        first = replica(world, dask, seed=1, leading=True)
        second = Operator(world, seed=2, dask=dask, leading=False, deaf_to=frozenset({"Pod"}))
        world.create(DASK_CLUSTERS, "default", scaled(cluster(), 4))
        await asyncio.sleep(30)
        second.start()
        await first.reconciler.rest()
        world.drop(PODS, world.live_pods()[0]["metadata"]["name"])
        for resource, body in list(world.watched()):
            second.reconciler.changed(resource, body, event=None)  # its watch begins anew
        second.reconciler.watching(None)
        second.reconciler.lead()
        await asyncio.sleep(TAKEN_OVER_SECONDS)
        assert len(world.live_pods()) == 4
        await first.stop()
        await second.stop()

    simulate(lambda: play(world, clock, story))


def test_cluster_that_comes_and_goes_while_resting_is_forgotten(clock: Clock) -> None:
    world = World()

    async def story() -> None:
        dask = DaskWorld(world)
        first, second = replica(world, dask, seed=1, leading=True), replica(world, dask, seed=2)
        world.create(DASK_CLUSTERS, "default", cluster())
        await asyncio.sleep(30)
        assert list(second.reconciler._store) != []
        world.delete(DASK_CLUSTERS, "default", "simple")
        await asyncio.sleep(60)
        assert list(second.reconciler._store) == []
        await first.stop()
        await second.stop()

    simulate(lambda: play(world, clock, story))


def test_only_the_leader_tells_metrics_of_clusters(clock: Clock) -> None:
    world = World()

    async def story() -> None:
        dask = DaskWorld(world)
        first, second = replica(world, dask, seed=1, leading=True), replica(world, dask, seed=2)
        world.create(DASK_CLUSTERS, "default", scaled(cluster(), 4))
        await asyncio.sleep(60)
        assert list(second.reconciler.rows()) == []
        [row] = first.reconciler.rows()
        assert (row.phase, row.workers_desired, row.workers_ready, row.workers_draining) == ("Running", 4, 4, 0)
        assert row.conditions["WorkersReady"] == "True"
        assert (row.namespace, row.name, row.unsettled) == ("default", "simple", frozenset())
        await first.stop()
        await second.stop()

    simulate(lambda: play(world, clock, story))


def test_reconciliation_that_ends_with_a_bug_is_told_and_begins_anew(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    run = ClusterReconciler.run
    crashes: list[ClusterReconciler] = []

    async def crash_once(self: ClusterReconciler) -> None:
        if not crashes:
            crashes.append(self)
            raise RuntimeError("a bug")
        await run(self)

    monkeypatch.setattr(ClusterReconciler, "run", crash_once)

    async def story() -> None:
        operator = replica(world, DaskWorld(world), seed=1, leading=True)
        world.create(DASK_CLUSTERS, "default", scaled(cluster(), 4))
        await asyncio.sleep(1)
        world.change(DASK_CLUSTERS, "simple", partial(scale, replicas=5))
        await asyncio.sleep(TAKEN_OVER_SECONDS)
        assert len(world.live_pods()) == 5
        await operator.stop()

    with caplog.at_level(logging.ERROR):
        simulate(lambda: play(world, clock, story))
    assert "default/simple" in caplog.text
    assert "RuntimeError: a bug" in caplog.text
