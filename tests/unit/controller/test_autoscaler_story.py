"""The whole controller with an autoscaled cluster: what it writes, what it asks, and what becomes of the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dask_kubernetes_operator.resources import DASK_AUTOSCALERS, DASK_CLUSTERS, DASK_WORKER_GROUPS, EVENTS, PODS

from .dask_world import DaskWorld
from .objects import Object, cluster
from .operator import Clock, Operator, play
from .test_plan_autoscaler import autoscaler, behavior, direction
from .virtual_time import simulate
from .world import World

pytestmark = pytest.mark.unit

GROUP = "simple-default"

Story = Callable[[World, DaskWorld], Coroutine[Any, Any, None]]


def replicas(world: World) -> int:
    return int(world.get(DASK_WORKER_GROUPS, GROUP)["spec"]["worker"]["replicas"])


def scale(number: int) -> Callable[[Object], None]:
    def change(body: Object) -> None:
        body["spec"]["worker"]["replicas"] = number

    return change


def labels(body: Object) -> dict[str, str]:
    return dict(body["metadata"]["labels"])


def told(world: World, clock: Clock, body: Object, story: Story, *, starting: bool = True) -> None:
    """Play a story in a world with a cluster of two workers and an autoscaler."""
    world.put(DASK_CLUSTERS, cluster(replicas=2))
    world.put(DASK_AUTOSCALERS, body)
    dask = DaskWorld(world)
    simulate(lambda: play(world, clock, lambda: story(world, dask), starting=starting))


def test_idle_autoscaled_cluster_costs_the_api_server_next_to_nothing(clock: Clock) -> None:
    async def story(world: World, dask: DaskWorld) -> None:
        dask.target = 2
        operator = Operator(world, dask=dask)
        operator.start()
        await asyncio.sleep(60)
        operator.client.requests.clear()
        dask.requests.clear()
        await asyncio.sleep(1800)
        assert not [request for request in operator.client.requests if not request.startswith("GET")]
        assert len(operator.client.requests) <= 0.05 * 1800
        asked = dask.requests.count("adaptive_target")
        assert 1800 / 7 < asked <= 1800 / 5
        await operator.stop()

    told(World(), clock, autoscaler(), story)


def test_follows_the_scheduler_up_and_down_and_tells_why(clock: Clock) -> None:
    async def story(world: World, dask: DaskWorld) -> None:
        dask.target = 8
        operator = Operator(world, dask=dask)
        operator.start()
        await asyncio.sleep(15)
        assert len(world.live_pods(GROUP)) == 8
        dask.target = 0
        await asyncio.sleep(280)
        assert len(world.live_pods(GROUP)) == 8
        await asyncio.sleep(60)
        assert len(world.live_pods(GROUP)) == 1
        status = world.get(DASK_AUTOSCALERS, "simple")["status"]
        assert (status["currentReplicas"], status["desiredReplicas"]) == (1, 1)
        messages = [event["message"] for event in world.all(EVENTS) if event["reason"] == "Rescaled"]
        assert messages == [
            f"DaskWorkerGroup {GROUP}: 2 -> 8 workers, as the scheduler asks for 8",
            f"DaskWorkerGroup {GROUP}: 8 -> 1 workers, as the scheduler asks for 0",
        ]
        await operator.stop()

    told(World(), clock, autoscaler(), story)


def test_restarted_controller_listens_for_a_whole_window(clock: Clock) -> None:
    async def story(world: World, dask: DaskWorld) -> None:
        dask.target = 8
        first = Operator(world, dask=dask)
        first.start()
        await asyncio.sleep(15)
        dask.target = 0
        await asyncio.sleep(200)
        await first.stop()
        second = Operator(world, dask=dask)
        second.start()
        await asyncio.sleep(290)
        assert replicas(world) == 8
        await asyncio.sleep(30)
        assert replicas(world) == 1
        await second.stop()

    told(World(), clock, autoscaler(), story)


def test_restarted_controller_changes_nothing_that_is_right(clock: Clock) -> None:
    async def story(world: World, dask: DaskWorld) -> None:
        dask.target = 3
        first = Operator(world, dask=dask)
        first.start()
        await asyncio.sleep(30)
        await first.stop()
        second = Operator(world, dask=dask)
        second.start()
        await asyncio.sleep(30)
        written = [request for request in second.client.requests if request.startswith("PATCH")]
        assert not [request for request in written if request.startswith("PATCH daskautoscalers")]
        assert f"PATCH daskworkergroups/{GROUP}" not in written
        await second.stop()

    told(World(), clock, autoscaler(), story)


def test_policy_sets_the_pace_across_restarts(clock: Clock) -> None:
    """Half of the workers within a minute, although another controller begins every twenty seconds."""

    async def story(world: World, dask: DaskWorld) -> None:
        dask.target = 8
        seen = []
        for number in range(12):
            if number == 3:
                dask.target = 0
            operator = Operator(world, dask=dask, seed=number)
            operator.start()
            await asyncio.sleep(20)
            seen.append(replicas(world))
            await operator.stop()
        assert seen[:3] == [8, 8, 8]
        assert all(now * 2 >= then for then, now in zip(seen, seen[3:], strict=False))
        assert seen[-1] == 1
        assert sorted(set(seen), reverse=True) == [8, 4, 2, 1]

    told(World(), clock, autoscaler(behavior=behavior(down=direction(percent=50, period_seconds=60))), story)


@pytest.mark.parametrize(("by_hand", "bounded"), [(50, 4), (0, 1)])
def test_scaling_by_hand_beyond_the_bounds_touches_no_worker(clock: Clock, by_hand: int, bounded: int) -> None:
    async def story(world: World, dask: DaskWorld) -> None:
        dask.target = bounded
        operator = Operator(world, dask=dask)
        operator.start()
        await asyncio.sleep(20)
        before = {pod["metadata"]["uid"] for pod in world.live_pods(GROUP)}
        assert len(before) == bounded
        for _ in range(5):
            world.change(DASK_WORKER_GROUPS, GROUP, scale(by_hand))
            await asyncio.sleep(5)
            assert replicas(world) == bounded
        assert {pod["metadata"]["uid"] for pod in world.all(PODS)} >= before
        made = [request for request in operator.client.requests if request.startswith("POST pods")]
        assert len(made) == max(bounded, 2), "no worker was made to go again"
        await operator.stop()

    body = autoscaler(minimum=1, maximum=4, behavior=behavior())
    told(World(), clock, body, story)


def test_scaling_the_cluster_by_hand_is_taken_up_and_not_fought_over(clock: Clock) -> None:
    async def story(world: World, dask: DaskWorld) -> None:
        dask.target = 3
        operator = Operator(world, dask=dask)
        operator.start()
        await asyncio.sleep(20)
        assert replicas(world) == 3
        world.change(DASK_CLUSTERS, "simple", scale(6))
        await asyncio.sleep(30)
        assert replicas(world) == 6, "as long as the window has not passed"
        writes = operator.client.writes
        await asyncio.sleep(200)
        assert operator.client.writes == writes
        await asyncio.sleep(100)
        assert replicas(world) == 3
        await operator.stop()

    told(World(), clock, autoscaler(), story)


def test_workers_that_never_start_ask_for_no_more(clock: Clock) -> None:
    """Images that take half an hour to pull: the demand was answered, and is neither answered again nor withdrawn."""

    async def story(world: World, dask: DaskWorld) -> None:
        dask.target = 7
        operator = Operator(world, dask=dask)
        operator.start()
        await asyncio.sleep(3)
        [scheduler] = [pod for pod in world.all(PODS) if labels(pod)["dask.org/component"] == "scheduler"]
        world.start(scheduler)
        await asyncio.sleep(1800)
        assert len(world.live_pods(GROUP)) == 7
        assert len([request for request in operator.client.requests if request.startswith("POST pods")]) == 7
        assert not [request for request in operator.client.requests if request.startswith("DELETE")]
        await operator.stop()

    told(World(), clock, autoscaler(), story, starting=False)


def test_suspended_and_resumed_it_goes_on(clock: Clock) -> None:
    async def story(world: World, dask: DaskWorld) -> None:
        dask.target = 5
        operator = Operator(world, dask=dask)
        operator.start()
        await asyncio.sleep(20)
        world.change(DASK_CLUSTERS, "simple", lambda body: body["spec"].update(suspend=True))
        await asyncio.sleep(20)
        assert world.live_pods(GROUP) == []
        assert replicas(world) == 5
        writes = operator.client.writes
        await asyncio.sleep(600)
        assert operator.client.writes == writes
        world.change(DASK_CLUSTERS, "simple", lambda body: body["spec"].update(suspend=False))
        await asyncio.sleep(30)
        assert len(world.live_pods(GROUP)) == 5
        conditions = world.get(DASK_AUTOSCALERS, "simple")["status"]["conditions"]
        assert {c["type"]: c["status"] for c in conditions}["ScalingActive"] == "True"
        await operator.stop()

    told(World(), clock, autoscaler(), story)


def test_scheduler_that_is_away_for_long_costs_few_writes(clock: Clock) -> None:
    async def story(world: World, dask: DaskWorld) -> None:
        dask.target = 5
        operator = Operator(world, dask=dask)
        operator.start()
        await asyncio.sleep(20)
        dask.away = True
        await asyncio.sleep(120)
        writes = operator.client.writes
        await asyncio.sleep(1800)
        assert operator.client.writes == writes
        assert replicas(world) == 5
        dask.away = False
        dask.target = 6
        await asyncio.sleep(40)
        assert replicas(world) == 6
        await operator.stop()

    told(World(), clock, autoscaler(), story)
