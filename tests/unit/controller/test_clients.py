"""A cluster whose clients give signs of life, and what becomes of it when they stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from dask_kubernetes_operator.reconcile.actions import Delete, Event
from dask_kubernetes_operator.reconcile.heartbeat import Heartbeat, Silence
from dask_kubernetes_operator.reconcile.report import Answer, IdleSince, SchedulerReport
from dask_kubernetes_operator.resources import DASK_CLUSTERS, EVENTS
from dask_kubernetes_operator.spec import Identity

from .objects import LONG_AGO, NOW, Object, cluster
from .operator import Clock, play
from .planning import EVERYTHING, planned, status
from .stories import REPAIRED_SECONDS, all_there, nothing_left, settled, warnings
from .virtual_time import simulate
from .world import World

pytestmark = pytest.mark.unit

SECOND = timedelta(seconds=1)
SEEN = "kubernetes.dask.org/client-seen"


def lonely(timeout: int | None = 60, **spec: Any) -> Object:
    """A cluster that may not outlive its clients for long."""
    body = cluster(version=7)
    body["spec"].update(clientTimeout=timeout, **spec)
    return body


def silent(seconds: float, checked: float = 0) -> Silence:
    """No sign of life for some seconds; the API server was asked some seconds ago."""
    return Silence(NOW - seconds * SECOND, NOW - checked * SECOND)


# The plan ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 0])
def test_cluster_without_a_timeout_outlives_its_clients(timeout: int | None) -> None:
    result = planned(lonely(timeout), *EVERYTHING[1:], silence=silent(10**6))
    assert (result.actions, result.unsure, result.look_again_at) == ((), False, None)


@pytest.mark.parametrize(
    ("silence", "look_again_in"),
    [(silent(0), 45), (silent(44), 1), (silent(46, checked=1), 14), (silent(59, checked=14), 1)],
)
def test_cluster_lives_until_its_time_is_over_and_is_looked_at_then(silence: Silence, look_again_in: int) -> None:
    result = planned(lonely(), *EVERYTHING[1:], silence=silence)
    assert (result.actions, result.unsure) == ((), False)
    assert result.look_again_at == NOW + look_again_in * SECOND


@pytest.mark.parametrize("silence", [silent(46, checked=2), silent(60, checked=1), silent(600, checked=541)])
def test_cluster_is_not_deleted_before_the_api_server_was_asked_both_times(silence: Silence) -> None:
    result = planned(lonely(), *EVERYTHING[1:], silence=silence)
    assert (result.actions, result.unsure) == ((), True)
    assert result.look_again_at is not None, "an answer that is too old is not waited for without end"


@pytest.mark.parametrize("spec", [{}, {"suspend": False}], ids=str)
def test_cluster_without_clients_is_deleted_with_a_word_unless_it_has_changed(spec: Object) -> None:
    message = "no client for 60 s (spec.clientTimeout): the cluster is deleted"
    event = Event(Identity("DaskCluster", "default", "simple", "uid-simple"), "Normal", "ClientTimeout", message)
    result = planned(lonely(**spec), *EVERYTHING[1:], silence=silent(60))
    assert result.actions == (Delete(DASK_CLUSTERS, "simple", "uid-simple", 7, events=(event,)),)


def test_suspended_cluster_without_clients_is_deleted_too() -> None:
    deletions = [
        action
        for action in planned(lonely(suspend=True), *EVERYTHING[1:], silence=silent(60)).actions
        if isinstance(action, Delete) and action.resource == DASK_CLUSTERS
    ]
    assert len(deletions) == 1


def test_cluster_that_is_idle_and_without_clients_is_deleted_once() -> None:
    report = SchedulerReport({IdleSince(): Answer(NOW, idle_since=LONG_AGO)})
    found = planned(lonely(idleTimeout=60), *EVERYTHING[1:], report=report, silence=silent(60)).actions
    assert [event.reason for action in found if isinstance(action, Delete) for event in action.events] == [
        "IdleTimeout"
    ]


def test_sign_of_life_changes_nothing_of_the_plan() -> None:
    seen = lonely()
    seen["metadata"]["annotations"] = {SEEN: "2026-11-21T12:00:00Z"}
    results = [planned(body, *EVERYTHING[1:], silence=silent(0)) for body in (lonely(), seen)]
    assert results[0] == results[1]
    assert status(results[0])["phase"] == "Running"


# The count --------------------------------------------------------------------------------------------------------


def since(heartbeat: Heartbeat, clock: float) -> float:
    """The second of the clock from which silence counts."""
    return clock - (NOW - heartbeat.silence(clock, NOW).since).total_seconds()


def test_it_counts_from_when_a_sign_was_noticed_whatever_it_says() -> None:
    heartbeat = Heartbeat()
    for clock, sign in (
        (100, None),
        (105, "2026"),
        (107, "2026"),
        (110, "1970"),
        (115, "nonsense"),
        (119, "nonsense"),
    ):
        heartbeat.notice(sign, clock)
    assert since(heartbeat, 120) == 115
    heartbeat.begin_anew(130)
    assert since(heartbeat, 140) == 130


def test_what_the_api_server_was_asked_before_a_sign_does_not_count() -> None:
    heartbeat = Heartbeat()
    heartbeat.notice("a", 100)
    heartbeat.checked(120)
    heartbeat.notice("a", 121)
    assert heartbeat.silence(125, NOW) == Silence(NOW - 25 * SECOND, NOW - 5 * SECOND)
    heartbeat.notice("b", 126)
    assert heartbeat.silence(130, NOW) == Silence(NOW - 4 * SECOND, NOW - 4 * SECOND)


# A client and the operator ----------------------------------------------------------------------------------------


def beat(world: World, value: str) -> None:
    """A sign of life, as a client patches it."""
    world.patch(DASK_CLUSTERS, "default", "simple", {"metadata": {"annotations": {SEEN: value}}}, None)


async def live(world: World, seconds: int, *, every: int = 15) -> None:
    """A client that lives for so long."""
    for second in range(0, seconds, every):
        beat(world, f"sign of {id(asyncio.current_task())} at {second}")
        await asyncio.sleep(every)


def told(world: World) -> list[str]:
    return [event["reason"] for event in world.all(EVENTS) if event["reason"] == "ClientTimeout"]


def story_of(clock: Clock, story: Callable[[World], Any]) -> None:
    """Play a story about a cluster with a timeout of 60 s."""
    world = World()
    world.put(DASK_CLUSTERS, lonely())
    simulate(lambda: play(world, clock, lambda: story(world)))


def test_cluster_goes_when_its_clients_are_silent_and_not_before(clock: Clock) -> None:
    async def story(world: World) -> None:
        operator = await settled(world)
        await live(world, 600)
        await asyncio.sleep(40)
        all_there(world, 2)
        await asyncio.sleep(10 + REPAIRED_SECONDS)
        assert world.all(DASK_CLUSTERS) == []
        assert nothing_left(world)
        assert told(world) == ["ClientTimeout"]
        assert warnings(world) == []
        await operator.stop()

    story_of(clock, story)


def test_cluster_of_which_nothing_was_ever_heard_goes_too(clock: Clock) -> None:
    async def story(world: World) -> None:
        operator = await settled(world)
        await asyncio.sleep(25)
        all_there(world, 2)
        await asyncio.sleep(10)
        assert world.all(DASK_CLUSTERS) == []
        await operator.stop()

    story_of(clock, story)


def test_signs_of_life_cost_no_request(clock: Clock) -> None:
    async def story(world: World) -> None:
        operator = await settled(world)
        generation = world.get(DASK_CLUSTERS, "simple")["metadata"]["generation"]
        operator.client.requests.clear()
        await live(world, 300)
        assert operator.client.requests == []
        assert world.get(DASK_CLUSTERS, "simple")["metadata"]["generation"] == generation
        await operator.stop()

    story_of(clock, story)


def test_one_client_of_two_is_enough(clock: Clock) -> None:
    async def story(world: World) -> None:
        operator = await settled(world)
        await asyncio.gather(live(world, 60), live(world, 300))
        all_there(world, 2)
        await operator.stop()

    story_of(clock, story)


@pytest.mark.parametrize("seconds", [44, 58, *range(300, 316, 3)])
def test_client_that_could_not_be_heard_is_not_silent(clock: Clock, seconds: int) -> None:
    """The API server is away for some time, or is back a moment before the end."""

    async def story(world: World) -> None:
        operator = await settled(world)
        await live(world, 30)
        beat(world, "the last one before")
        operator.client.away = True
        world.listeners.remove(operator._deliver)
        await asyncio.sleep(seconds)
        operator.client.away = False
        world.listeners.append(operator._deliver)
        await asyncio.sleep(4)  # by then a client has tried again
        await live(world, 120)
        all_there(world, 2)
        await operator.stop()

    story_of(clock, story)


def test_sign_of_life_that_no_watch_tells_is_found_by_asking(clock: Clock) -> None:
    async def story(world: World) -> None:
        operator = await settled(world)
        operator.deaf_to = frozenset({"DaskCluster"})
        operator.client.requests.clear()
        await live(world, 300)
        assert len(world.all(DASK_CLUSTERS)) == 1
        assert set(operator.client.requests) == {"GET daskclusters"}
        await operator.stop()

    story_of(clock, story)


def test_controller_that_starts_anew_counts_anew(clock: Clock) -> None:
    async def story(world: World) -> None:
        operator = await settled(world)
        beat(world, "1970-01-01T00:00:00Z")
        await asyncio.sleep(50)
        await operator.stop()
        await asyncio.sleep(600)
        again = await settled(world, dask=operator.dask, seconds=50)
        assert len(world.all(DASK_CLUSTERS)) == 1
        await asyncio.sleep(10 + REPAIRED_SECONDS)
        assert world.all(DASK_CLUSTERS) == []
        await again.stop()

    story_of(clock, story)


def test_timeout_that_is_edited_counts_from_then(clock: Clock) -> None:
    async def story(world: World) -> None:
        operator = await settled(world)
        world.change(DASK_CLUSTERS, "simple", lambda body: body["spec"].update(clientTimeout=0))
        await asyncio.sleep(3600)
        world.change(DASK_CLUSTERS, "simple", lambda body: body["spec"].update(clientTimeout=20))
        await asyncio.sleep(18)
        all_there(world, 2)
        await asyncio.sleep(2 + REPAIRED_SECONDS)
        assert world.all(DASK_CLUSTERS) == []
        await operator.stop()

    story_of(clock, story)
