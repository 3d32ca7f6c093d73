"""The reconciler at work: lagging watches, refused and unanswered requests, restarts, and many clusters at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle

import pytest

from dask_kubernetes_operator.kube import ApiError
from dask_kubernetes_operator.resources import (
    DASK_CLUSTERS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    EVENTS,
    PODS,
    SERVICES,
    Resource,
)

from .objects import KEY, Object, cluster, group
from .operator import Clock, Operator, play
from .stories import (
    CONVERGED_SECONDS,
    RELISTED_SECONDS,
    REPAIRED_SECONDS,
    Trouble,
    all_there,
    always,
    condition,
    converged,
    give_each_worker_a_result,
    new_image,
    nothing_left,
    refused,
    scale,
    set_status,
    settled,
    suspend,
    warnings,
)
from .virtual_time import simulate
from .world import WATCHED, World, no_fault

pytestmark = pytest.mark.unit

# Everything that is watched is listed once, whatever there is.
LISTS = sorted(f"GET {resource.plural}" for resource in WATCHED)

# One cluster, nothing in its way ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_cluster_comes_up_whole_and_exact(clock: Clock, seed: int) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=5))

    async def story() -> None:
        operator = await settled(world, seed=seed, seconds=5)
        all_there(world, 5)
        assert condition(world, "Ready")["status"] == "True"
        assert (
            sorted(request for request in operator.client.requests if not request.startswith(("POST", "PATCH")))
            == LISTS
        )
        assert len([request for request in operator.client.requests if request.startswith("POST pods")]) == 5
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_few_requests_are_made_for_a_cluster(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=100))

    async def story() -> None:
        operator = await settled(world)
        requests = operator.client.requests
        workers = [request for request in requests if request.startswith("POST pods")]
        assert len(workers) == 100
        assert len(requests) - len(workers) - len(LISTS) <= 12, requests
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_workers_are_made_many_at_once(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=50))

    async def story() -> None:
        operator = await settled(world, seconds=0)
        at_once = 0
        for _ in range(1000):
            await asyncio.sleep(0.001)
            at_once = max(at_once, operator.client.in_flight)
        assert 20 <= at_once <= 64
        assert len(world.live_pods()) == 50
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_at_rest_nothing_is_written_and_hardly_anything_read(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster())

    async def story() -> None:
        operator = await settled(world)
        operator.client.requests.clear()
        await asyncio.sleep(3600)
        assert {request.split()[0] for request in operator.client.requests} <= {"GET"}
        assert len(operator.client.requests) <= 7 * 3600 / 400
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_restart_writes_nothing_when_nothing_changed(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster())

    async def story() -> None:
        operator = await settled(world)
        await operator.stop()
        again = await settled(world, dask=operator.dask)
        assert sorted(again.client.requests) == LISTS
        await again.stop()

    simulate(lambda: play(world, clock, story))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("replicas", [0, 1, 2, 3, 6])
def test_group_is_scaled_and_no_result_is_lost(clock: Clock, replicas: int, seed: int) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=4))
    world.create(DASK_WORKER_GROUPS, "default", group("simple-extra", replicas=1, cluster_replicas=None))

    async def story() -> None:
        operator = await settled(world, seed=seed)
        results = give_each_worker_a_result(operator.dask)
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(replicas))
        await asyncio.sleep(CONVERGED_SECONDS)
        assert len(world.live_pods("simple-default")) == replicas
        assert len(world.live_pods("simple-extra")) == 1
        assert operator.dask.lost == []
        assert all(operator.dask.holders(result) for result in results)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_results_that_have_nowhere_to_go_are_kept_until_the_drain_deadline(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))

    async def story() -> None:
        operator = await settled(world)
        give_each_worker_a_result(operator.dask)
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(0))
        await asyncio.sleep(290)
        assert len(world.live_pods()) == 2
        assert condition(world, "Draining")["status"] == "True"
        assert len(operator.dask.requests) < 290 * 2, "the scheduler is not stormed with requests"
        await asyncio.sleep(15)
        assert world.live_pods() == []
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_scheduler_that_comes_back_in_time_saves_what_is_there(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=4))

    async def story() -> None:
        operator = await settled(world)
        results = give_each_worker_a_result(operator.dask)
        operator.dask.away = True
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(2))
        await asyncio.sleep(200)
        assert len(world.live_pods()) == 4
        assert condition(world, "Draining")["reason"] == "SchedulerUnreachable"
        assert condition(world, "Degraded")["reason"] == "SchedulerUnreachable"
        assert warnings(world) == ["SchedulerUnreachable"]
        assert len(operator.dask.requests) < 60
        operator.dask.away = False
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 2)
        assert all(operator.dask.holders(result) for result in results)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_scheduler_that_stays_away_is_not_waited_for_for_ever(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=4))

    async def story() -> None:
        operator = await settled(world)
        operator.dask.away = True
        await asyncio.sleep(600)
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(1))
        await asyncio.sleep(295)
        assert len(world.live_pods()) == 4, "its time begins with the scaling down"
        await asyncio.sleep(30)
        assert len(world.live_pods()) == 1
        await operator.stop()

    simulate(lambda: play(world, clock, story))


@pytest.mark.parametrize("seed", range(3))
def test_scaling_up_and_down_in_quick_succession_ends_with_what_was_asked_for_last(clock: Clock, seed: int) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = await settled(world, seed=seed)
        results = give_each_worker_a_result(operator.dask)
        for replicas in (1, 5, 2, 6, 1, 3, 0, 2):
            world.change(DASK_CLUSTERS, "simple", scale(replicas))
            await asyncio.sleep(0.4 + 0.3 * seed)
        await asyncio.sleep(2 * CONVERGED_SECONDS)
        all_there(world, 2)
        assert operator.dask.lost == []
        assert all(operator.dask.holders(result) for result in results)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_worker_spec_that_is_edited_is_carried_out_on_all_workers_and_no_result_is_lost(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=8))

    async def story() -> None:
        operator = await settled(world)
        results = give_each_worker_a_result(operator.dask)
        scheduler = world.get(PODS, "simple-scheduler-pod")["metadata"]["uid"]
        world.change(DASK_CLUSTERS, "simple", new_image)
        fewest = 8
        for _ in range(120):
            await asyncio.sleep(0.5)
            running = [pod for pod in world.live_pods() if pod["status"]["phase"] == "Running"]
            staying = [pod for pod in running if "dask.org/draining-since" not in pod["metadata"]["annotations"]]
            fewest = min(fewest, len(staying))
            assert len(world.live_pods()) <= 10
        assert fewest == 6
        all_there(world, 8)
        images = {pod["spec"]["containers"][0]["image"] for pod in world.live_pods()}
        assert images == {"ghcr.io/dask/dask:2026.8.0"}
        assert operator.dask.lost == []
        assert all(operator.dask.holders(result) for result in results)
        assert world.get(PODS, "simple-scheduler-pod")["metadata"]["uid"] == scheduler
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_label_reaches_all_that_is_there_and_restarts_nothing(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))
    kinds = (DEPLOYMENTS, SERVICES, DASK_WORKER_GROUPS, PODS)

    def there() -> dict[str, str | None]:
        bodies = [body for resource in kinds for body in world.all(resource)]
        return {body["metadata"]["uid"]: body["metadata"]["labels"].get("team") for body in bodies}

    async def story() -> None:
        operator = await settled(world)
        before = there()
        assert set(before.values()) == {None}
        world.change(DASK_CLUSTERS, "simple", lambda body: body["metadata"].update(labels={"team": "data"}))
        await asyncio.sleep(REPAIRED_SECONDS)
        assert there() == dict.fromkeys(before, "data")
        world.change(DASK_CLUSTERS, "simple", lambda body: body["metadata"].update(labels={}))
        await asyncio.sleep(REPAIRED_SECONDS)
        assert there() == before
        assert warnings(world) == []
        await operator.stop()

    simulate(lambda: play(world, clock, story))


@pytest.mark.parametrize("edited", [DASK_CLUSTERS, DEPLOYMENTS], ids=["by the user", "by hand"])
def test_scheduler_that_is_edited_is_made_anew_once(clock: Clock, edited: Resource) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))

    def edit(body: Object) -> None:
        parent = body["spec"]["scheduler"] if edited == DASK_CLUSTERS else body["spec"]["template"]
        parent["spec"]["containers"][0]["image"] = "other"

    async def story() -> None:
        operator = await settled(world)
        before = {pod["metadata"]["uid"] for pod in world.live_pods()}
        world.change(edited, "simple" if edited == DASK_CLUSTERS else "simple-scheduler", edit)
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 2)
        [container] = world.get(PODS, "simple-scheduler-pod")["spec"]["containers"]
        assert container["image"] == ("other" if edited == DASK_CLUSTERS else "ghcr.io/dask/dask:latest")
        assert before == {pod["metadata"]["uid"] for pod in world.live_pods()}
        told = "SchedulerReplaced" if edited == DASK_CLUSTERS else "SchedulerRepaired"
        assert warnings(world).count(told) == 1
        patches = [request for request in operator.client.requests if request.startswith("PATCH deployments")]
        assert len(patches) <= 2
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_cluster_is_suspended_and_resumed(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = await settled(world)
        address = world.all(SERVICES)[0]["metadata"]["uid"]
        operator.dask.away = True
        world.change(DASK_CLUSTERS, "simple", scale(2))
        await asyncio.sleep(REPAIRED_SECONDS)
        world.change(DASK_CLUSTERS, "simple", suspend(True))
        await asyncio.sleep(REPAIRED_SECONDS)
        assert_suspended(world)
        asked = len(operator.dask.requests)
        await asyncio.sleep(600)
        assert len(operator.dask.requests) == asked, "nobody is there to be asked"
        operator.dask.away = False
        world.change(DASK_CLUSTERS, "simple", suspend(False))
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 2)
        assert world.all(SERVICES)[0]["metadata"]["uid"] == address
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def assert_suspended(world: World) -> None:
    assert world.all(PODS) == world.all(DEPLOYMENTS) == []
    assert len(world.all(SERVICES)) == len(world.all(DASK_WORKER_GROUPS)) == 1
    assert condition(world, "Suspended")["status"] == "True"
    assert condition(world, "Degraded")["status"] == "False"


def idle_cluster(action: str) -> Object:
    body = cluster(replicas=2)
    body["spec"].update(idleTimeout=60, idleAction=action)
    return body


@pytest.mark.parametrize("action", ["Delete", "ScaleToZero", "Suspend"])
def test_idle_cluster_rests_once_its_time_is_over_and_not_before(clock: Clock, action: str) -> None:
    world = World()
    world.put(DASK_CLUSTERS, idle_cluster(action))

    async def story() -> None:
        operator = await settled(world)
        all_there(world, 2)
        operator.dask.idle_since_answer = clock()
        await asyncio.sleep(55)
        all_there(world, 2)
        await asyncio.sleep(20 + REPAIRED_SECONDS)
        if action == "Delete":
            assert world.all(DASK_CLUSTERS) == []
            assert nothing_left(world)
        elif action == "Suspend":
            assert_suspended(world)
            world.change(DASK_CLUSTERS, "simple", lambda body: body["spec"].update(idleTimeout=3600))
            await asyncio.sleep(CONVERGED_SECONDS)
            all_there(world, 2)
        else:
            assert world.live_pods() == []
            assert condition(world, "Ready")["status"] == condition(world, "Idle")["status"] == "True"
            operator.dask.idle_since_answer = None
            await asyncio.sleep(20)
            all_there(world, 2)
        assert warnings(world) == []
        assert [event["reason"] for event in world.all(EVENTS)].count("IdleTimeout") == (action != "Suspend")
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_later_of_two_edits_of_replicas_wins(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=1))

    async def story() -> None:
        operator = await settled(world)
        for resource, name, replicas in (
            (DASK_CLUSTERS, "simple", 2),
            (DASK_WORKER_GROUPS, "simple-default", 3),
            (DASK_CLUSTERS, "simple", 4),
            (DASK_WORKER_GROUPS, "simple-default", 5),
        ):
            world.change(resource, name, scale(replicas))
            await asyncio.sleep(REPAIRED_SECONDS)
            assert len(world.live_pods()) == replicas
        assert world.get(DASK_CLUSTERS, "simple")["spec"]["worker"]["replicas"] == 4, "the user's spec is theirs"
        await operator.stop()

    simulate(lambda: play(world, clock, story))


@pytest.mark.parametrize("resource", [PODS, DEPLOYMENTS, SERVICES, DASK_WORKER_GROUPS], ids=lambda r: r.kind)
def test_child_deleted_by_hand_comes_back_in_seconds(clock: Clock, resource: Resource) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))

    async def story() -> None:
        operator = await settled(world)
        victim = world.all(resource)[0]["metadata"]
        world.delete(resource, "default", victim["name"])
        await asyncio.sleep(REPAIRED_SECONDS)
        all_there(world, 2)
        assert victim["uid"] not in {body["metadata"]["uid"] for body in world.all(resource)}
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_workers_that_keep_ending_are_replaced_no_faster_than_one_in_ten_seconds(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = await settled(world, seconds=0)
        for _ in range(120):
            await asyncio.sleep(1)
            for pod in world.live_pods():
                world.change(PODS, pod["metadata"]["name"], set_status({"phase": "Failed"}))
        made = [request for request in operator.client.requests if request.startswith("POST pods")]
        assert 3 * 120 / 10 / 2 <= len(made) <= 3 * (120 / 10 + 1)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


# Deletion ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_deleted_cluster_leaves_nothing_behind_even_in_memory(clock: Clock, seed: int) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=5))

    async def story() -> None:
        operator = await settled(world, seed=seed)
        assert len(operator.reconciler._clusters) == 1
        world.drop(DASK_CLUSTERS, "simple")
        await asyncio.sleep(CONVERGED_SECONDS)
        assert nothing_left(world)
        assert len(operator.reconciler._clusters) == 0
        assert list(operator.reconciler._store) == []
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_workers_of_a_deleted_cluster_go_in_one_request(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=50))

    async def story() -> None:
        operator = await settled(world)
        operator.client.requests.clear()
        world.drop(DASK_CLUSTERS, "simple")
        await asyncio.sleep(0.2)
        deleted = [request for request in operator.client.requests if request.startswith("DELETE pods")]
        assert len(deleted) <= 1
        await asyncio.sleep(CONVERGED_SECONDS)
        assert world.live_pods() == []
        await operator.stop()

    async def without_garbage_collection() -> None:
        world.now = clock
        world.collect_garbage = lambda: None  # type: ignore[method-assign]
        await play(world, clock, story)

    simulate(without_garbage_collection)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("pause_seconds", [0.0, 0.1, 1.0])
def test_cluster_made_again_under_the_same_name_gets_all_of_its_own(
    clock: Clock, seed: int, pause_seconds: float
) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=4))

    async def story() -> None:
        operator = await settled(world, seed=seed)
        world.drop(DASK_CLUSTERS, "simple")
        await asyncio.sleep(pause_seconds)
        world.put(DASK_CLUSTERS, cluster(uid="uid-again", replicas=3))
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 3)
        [owner] = world.all(DASK_WORKER_GROUPS)[0]["metadata"]["ownerReferences"]
        assert owner["uid"] == "uid-again"
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_ordinary_course_of_a_new_cluster_of_an_old_name_is_no_trouble(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=4))

    async def story() -> None:
        operator = await settled(world)
        world.replace(DASK_CLUSTERS, "simple", cluster(uid="uid-again", replicas=3))
        await asyncio.sleep(CONVERGED_SECONDS)
        assert warnings(world) == []
        await operator.stop()

    simulate(lambda: play(world, clock, story))


@pytest.mark.parametrize("seed", range(8))
def test_orphaned_workers_survive(clock: Clock, seed: int) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))

    async def story() -> None:
        operator = await settled(world, seed=seed)
        before = {pod["metadata"]["uid"] for pod in world.live_pods()}
        world.mark_deleted(DASK_CLUSTERS, "simple", "orphan")
        for resource in (DASK_WORKER_GROUPS, DEPLOYMENTS, SERVICES):
            await asyncio.sleep(0.5)
            for body in world.all(resource):
                world.change(resource, body["metadata"]["name"], lambda body: body["metadata"].pop("ownerReferences"))
        await asyncio.sleep(0.5)
        world.drop(DASK_CLUSTERS, "simple")
        await asyncio.sleep(CONVERGED_SECONDS)
        assert {pod["metadata"]["uid"] for pod in world.live_pods()} == before
        assert len(world.all(DASK_WORKER_GROUPS)) == len(world.all(DEPLOYMENTS)) == len(world.all(SERVICES)) == 1
        await operator.stop()

    simulate(lambda: play(world, clock, story))


# Every write, in trouble ------------------------------------------------------------------------------------------


@dataclass
class Scenario:
    """Something that is asked for, and how it looks when it is done.

    Each worker that is there when it is asked for holds the only copy of a result, which ``keeps_results`` says is to
    survive. ``starting`` says whether Pods get to run.
    """

    begin: Callable[[World], None]
    ask: Callable[[World], object]
    done: Callable[[World], None]
    starting: bool = True
    keeps_results: bool = True


def _asked_cluster(replicas: int) -> Callable[[World], None]:
    def begin(world: World) -> None:
        world.put(DASK_CLUSTERS, cluster(replicas=replicas))

    return begin


def _suspended_cluster(world: World) -> None:
    body = cluster(replicas=2)
    suspend(True)(body)
    world.put(DASK_CLUSTERS, body)


def _adoptee(world: World) -> None:
    world.create(DASK_WORKER_GROUPS, "default", group("simple-highmem", replicas=2, cluster_replicas=None))


def _adopted(world: World) -> None:
    adopted = world.get(DASK_WORKER_GROUPS, "simple-highmem")
    assert [owner["uid"] for owner in adopted["metadata"]["ownerReferences"]] == ["uid-simple"]
    assert len(world.live_pods("simple-highmem")) == 2
    assert len(world.live_pods()) == len(world.all(PODS)) - 1 == 4


def _pending(replicas: int) -> Callable[[World], None]:
    def done(world: World) -> None:
        assert len(world.live_pods()) == len(world.all(PODS)) - 1 == replicas

    return done


def _updated(world: World) -> None:
    all_there(world, 3)
    assert {pod["spec"]["containers"][0]["image"] for pod in world.live_pods()} == {"ghcr.io/dask/dask:2026.8.0"}


def _deleted(world: World) -> None:
    world.drop(DASK_CLUSTERS, "simple")


def _made_again(world: World) -> None:
    world.replace(DASK_CLUSTERS, "simple", cluster(uid="uid-again", replicas=2))


def _gone(world: World) -> None:
    assert nothing_left(world)


def _nothing(_world: World) -> None:
    """Nothing is there before, or nothing more is asked for."""


SCENARIOS = {
    "create": Scenario(_nothing, _asked_cluster(3), lambda world: all_there(world, 3)),
    "grow": Scenario(
        _asked_cluster(1),
        lambda world: world.change(DASK_CLUSTERS, "simple", scale(4)),
        lambda world: all_there(world, 4),
    ),
    "shrink": Scenario(
        _asked_cluster(4),
        lambda world: world.change(DASK_WORKER_GROUPS, "simple-default", scale(2)),
        lambda world: all_there(world, 2),
    ),
    "shrink before it runs": Scenario(
        _asked_cluster(4),
        lambda world: world.change(DASK_WORKER_GROUPS, "simple-default", scale(1)),
        _pending(1),
        starting=False,
    ),
    "update": Scenario(_asked_cluster(3), lambda world: world.change(DASK_CLUSTERS, "simple", new_image), _updated),
    "suspend": Scenario(
        _asked_cluster(2),
        lambda world: world.change(DASK_CLUSTERS, "simple", suspend(True)),
        assert_suspended,
        keeps_results=False,
    ),
    "resume": Scenario(
        _suspended_cluster,
        lambda world: world.change(DASK_CLUSTERS, "simple", suspend(False)),
        lambda world: all_there(world, 2),
    ),
    "adopt": Scenario(_asked_cluster(2), _adoptee, _adopted),
    "delete": Scenario(_asked_cluster(3), _deleted, _gone, keeps_results=False),
    "recreate": Scenario(_asked_cluster(3), _made_again, lambda world: all_there(world, 2), keeps_results=False),
}


def done_but_unanswered(_request: str, act: Callable[[], Object]) -> Object:
    act()
    raise ApiError(0, "NoAnswer", "the connection was reset")


def broken_client(_request: str, _act: Callable[[], Object]) -> Object:
    raise RuntimeError("a bug")


TROUBLES: dict[str, Trouble] = {
    "no answer": refused(0, "NoAnswer"),
    "no answer, but done": done_but_unanswered,
    "403 quota": refused(403, "Forbidden", "exceeded quota: pods"),
    "404": refused(404, "NotFound"),
    "409 exists": refused(409, "AlreadyExists"),
    "409 conflict": refused(409, "Conflict"),
    "422": refused(422, "Invalid"),
    "429": refused(429, "TooManyRequests"),
    "500": refused(500, "InternalError"),
    "a bug": broken_client,
}


@dataclass
class At:
    """Makes the k-th write after a moment fail."""

    number: int
    trouble: Trouble
    seen: int = 0
    happened: bool = False
    requests: list[str] = field(default_factory=list)

    def __call__(self, _number: int, request: str, act: Callable[[], Object]) -> Object:
        self.seen += 1
        self.requests.append(request)
        if self.seen != self.number:
            return act()
        self.happened = True
        return self.trouble(request, act)


async def beginning(world: World, scenario: Scenario, seed: int) -> Operator:
    """An operator in a world in which a scenario can begin."""
    scenario.begin(world)
    operator = await settled(world, seed=seed, seconds=6)
    if scenario.keeps_results and scenario.starting:
        give_each_worker_a_result(operator.dask)
    return operator


def play_scenario(clock: Clock, scenario: Scenario, number: int, trouble: Trouble) -> At:
    """The scenario with trouble at one write; returns what happened of it."""
    world = World()
    at = At(number, trouble)

    async def story() -> None:
        operator = await beginning(world, scenario, seed=number)
        operator.client.fault = at
        scenario.ask(world)
        await converged(world, scenario.done)
        assert operator.dask.lost == []
        await operator.stop()

    simulate(lambda: play(world, clock, story, starting=scenario.starting))
    return at


@pytest.mark.parametrize("name", SCENARIOS)
def test_trouble_at_any_write_is_got_over(clock: Clock, name: str) -> None:
    # Another trouble at each write, in turn; test_faults.py has each trouble at each of them.
    for number, trouble in zip(range(1, 100), cycle(TROUBLES), strict=False):
        try:
            at = play_scenario(clock, SCENARIOS[name], number, TROUBLES[trouble])
        except AssertionError as error:
            error.add_note(f"with {trouble} at write {number}")
            raise
        if not at.happened:
            assert number > 1
            return
    raise AssertionError("too many writes")


@pytest.mark.parametrize("done", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_restart_at_any_write_is_got_over(clock: Clock, name: str, done: bool) -> None:
    scenario = SCENARIOS[name]

    def killed_at(number: int) -> bool:
        world = World()
        killed = asyncio.Event()

        async def story() -> None:
            operator = await beginning(world, scenario, seed=number)

            def kill(_request: str, act: Callable[[], Object]) -> Object:
                operator.client.dead = True
                killed.set()
                return act() if done else {}

            operator.client.fault = At(number, kill)
            scenario.ask(world)
            try:
                await asyncio.wait_for(killed.wait(), timeout=CONVERGED_SECONDS)
            except TimeoutError:
                await operator.stop()
                return
            await operator.stop()
            again = await settled(world, seed=number, seconds=0, dask=operator.dask)
            await converged(world, scenario.done)
            assert operator.dask.lost == []
            await again.stop()

        simulate(lambda: play(world, clock, story, starting=scenario.starting))
        return killed.is_set()

    for number in range(1, 100):
        try:
            if not killed_at(number):
                assert number > 1
                return
        except AssertionError as error:
            error.add_note(f"killed {'after' if done else 'before'} write {number}")
            raise
    raise AssertionError("too many writes")


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("seed", range(2))
def test_many_troubles_are_got_over_once_they_end(clock: Clock, name: str, seed: int) -> None:
    world = World()
    scenario = SCENARIOS[name]

    async def story() -> None:
        operator = await beginning(world, scenario, seed=seed)
        troubles = list(TROUBLES.values())

        def fault(number: int, request: str, act: Callable[[], Object]) -> Object:
            return troubles[(number + seed) % len(troubles)](request, act) if number % 3 else act()

        operator.client.fault = fault
        scenario.ask(world)
        await asyncio.sleep(20)
        operator.client.fault = no_fault
        await asyncio.sleep(70)  # what was refused for good is tried again after a minute
        scenario.done(world)
        assert operator.dask.lost == []
        await operator.stop()

    simulate(lambda: play(world, clock, story, starting=scenario.starting))


def test_worker_whose_creation_was_given_up_on_and_done_later_is_not_made_twice(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))
    late: list[str] = []

    async def story() -> None:
        operator = Operator(world)

        def fault(_number: int, request: str, act: Callable[[], Object]) -> Object:
            if not request.startswith("POST pods") or late:
                return act()

            def carry_out() -> None:
                with suppress(ApiError):  # the retry, which asks for the same name, was faster
                    act()

            late.append(request)
            asyncio.get_running_loop().call_later(3, carry_out)
            raise ApiError(0, "NoAnswer", "timed out")

        operator.client.fault = fault
        operator.start()
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 2)
        asked = [request for request in operator.client.requests if request.startswith("POST pods")]
        assert len(asked) == 3, "one of the two is asked for again"
        assert len(set(asked)) == 2, "and by its name"
        await operator.stop()

    simulate(lambda: play(world, clock, story))


# Trouble that lasts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused_request", ["POST pods", "POST deployments", "PATCH daskclusters/simple/status"])
@pytest.mark.parametrize(
    ("trouble", "most_tries"),
    [("403 quota", 25), ("422", 25), ("429", 60), ("no answer", 60), ("a bug", 60)],
)
def test_lasting_trouble_is_tried_again_ever_more_rarely(
    clock: Clock, trouble: str, most_tries: int, refused_request: str
) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=1))

    async def story() -> None:
        operator = Operator(world)
        operator.client.fault = always(TROUBLES[trouble], refused_request)
        operator.start()
        await asyncio.sleep(600)
        tries = [request for request in operator.client.requests if request.startswith(refused_request)]
        assert 10 <= len(tries) <= most_tries
        assert len(operator.client.requests) < 10 * len(tries) + 20
        operator.client.fault = no_fault
        await asyncio.sleep(65)
        all_there(world, 1)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_refused_deletion_of_a_retired_worker_is_tried_again_ever_more_rarely(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=4))

    async def story() -> None:
        operator = await settled(world)
        operator.client.fault = always(refused(403, "Forbidden"), "DELETE pods/")
        operator.client.requests.clear()
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(1))
        await asyncio.sleep(280)
        tries = [request for request in operator.client.requests if request.startswith("DELETE pods/")]
        assert 3 * 4 <= len(tries) <= 3 * 20
        assert warnings(world) == ["Forbidden"]
        operator.client.fault = no_fault
        await asyncio.sleep(65)
        all_there(world, 1)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_lasting_trouble_is_told_once_and_taken_back(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = Operator(world)
        operator.client.fault = always(TROUBLES["403 quota"], "POST pods")
        operator.start()
        await asyncio.sleep(300)
        found = condition(world, "Degraded")
        assert (found["status"], found["reason"], found["message"]) == (
            "True",
            "QuotaExceeded",
            "exceeded quota: pods",
        )
        [event] = world.all(EVENTS)
        assert (event["type"], event["reason"], event["message"]) == (
            "Warning",
            "QuotaExceeded",
            "exceeded quota: pods",
        )
        assert event["involvedObject"]["uid"] == "uid-simple"
        operator.client.fault = no_fault
        await asyncio.sleep(65)
        assert condition(world, "Degraded")["status"] == "False"
        assert warnings(world) == ["QuotaExceeded"]
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_refused_template_makes_the_phase_error(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = Operator(world)
        operator.client.fault = always(refused(422, "Invalid", "image: Required value"), "POST deployments")
        operator.start()
        await asyncio.sleep(CONVERGED_SECONDS)
        assert world.get(DASK_CLUSTERS, "simple")["status"]["phase"] == "Error"
        assert condition(world, "Degraded")["message"] == "image: Required value"
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_correction_by_the_user_does_not_wait_for_the_back_off(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = Operator(world)
        operator.client.fault = always(TROUBLES["422"], "POST deployments")
        operator.start()
        await asyncio.sleep(600)
        operator.client.fault = no_fault
        world.change(DASK_CLUSTERS, "simple", lambda body: body["spec"]["scheduler"].update(corrected=True))
        await asyncio.sleep(REPAIRED_SECONDS)
        all_there(world, 3)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_outage_of_the_api_server_is_got_over_soon_after_it(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))

    async def story() -> None:
        operator = await settled(world)
        operator.client.away = True
        world.drop(PODS, world.live_pods()[0]["metadata"]["name"])
        await asyncio.sleep(600)
        operator.client.away = False
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 2)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def two_groups_one_refused(world: World) -> Operator:
    """A cluster that long since runs, but for a second group whose workers are refused."""
    world.put(DASK_CLUSTERS, cluster(replicas=2))
    world.create(DASK_WORKER_GROUPS, "default", group("simple-highmem", replicas=1, cluster_replicas=None))
    operator = Operator(world)
    operator.client.fault = always(TROUBLES["403 quota"], "POST pods/simple-highmem")
    operator.start()
    return operator


def test_trouble_of_one_group_does_not_delay_the_repair_of_another(clock: Clock) -> None:
    world = World()

    async def story() -> None:
        operator = two_groups_one_refused(world)
        await asyncio.sleep(600)
        assert len(world.live_pods("simple-default")) == 2
        world.delete(PODS, "default", world.live_pods("simple-default")[0]["metadata"]["name"])
        await asyncio.sleep(REPAIRED_SECONDS)
        assert len(world.live_pods("simple-default")) == 2
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_trouble_of_one_group_does_not_delay_the_status(clock: Clock) -> None:
    world = World()

    async def story() -> None:
        operator = two_groups_one_refused(world)
        await asyncio.sleep(600)
        assert world.get(DASK_CLUSTERS, "simple")["status"]["readyReplicas"] == 2
        pod = world.live_pods("simple-default")[0]["metadata"]["name"]
        world.change(
            PODS, pod, set_status({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]})
        )
        await asyncio.sleep(REPAIRED_SECONDS)
        assert world.get(DASK_CLUSTERS, "simple")["status"]["readyReplicas"] == 1
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_cluster_that_makes_the_controller_stumble_is_cared_for_again_once_corrected(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    broken = cluster(replicas=2)
    broken["spec"]["worker"] = ["not what the definition allows"]
    world.put(DASK_CLUSTERS, broken)

    async def story() -> None:
        operator = await settled(world, seconds=120)
        assert "default/simple" in caplog.text
        assert len(caplog.records) < 20
        world.change(DASK_CLUSTERS, "simple", lambda body: body.update(spec=cluster(replicas=2)["spec"]))
        await asyncio.sleep(65)
        all_there(world, 2)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_status_that_found_no_one_is_written_later(clock: Clock) -> None:
    # An API server that starts, or reads a definition anew, answers 404 for an object that is there.
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))

    async def story() -> None:
        operator = await settled(world)
        operator.client.fault = At(1, refused(404, "NotFound"))
        world.change(DEPLOYMENTS, "simple-scheduler", set_status({}))
        world.run_nodes = lambda **_: None  # type: ignore[method-assign]
        await asyncio.sleep(60)
        assert condition(world, "SchedulerReady")["status"] == "False"
        await operator.stop()

    simulate(lambda: play(world, clock, story))


# Watches that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "deaf_to",
    ["Deployment", "Service", "DaskWorkerGroup", "Pod", "DaskCluster"],
)
def test_cluster_comes_up_although_a_watch_is_frozen(clock: Clock, deaf_to: str) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = Operator(world, deaf_to=frozenset({deaf_to}))
        operator.start()
        await asyncio.sleep(RELISTED_SECONDS)
        assert len(world.live_pods()) == 3
        assert len(world.all(DEPLOYMENTS)) == len(world.all(SERVICES)) == 1
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_deletion_that_no_event_told_is_noticed_when_the_watch_begins_anew(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = await settled(world)
        operator.deaf_to = frozenset({"Pod"})
        lost, *present = world.live_pods()
        world.drop(PODS, lost["metadata"]["name"])
        await asyncio.sleep(REPAIRED_SECONDS)
        operator.deaf_to = frozenset()
        for pod in present:
            operator.reconciler.changed(PODS, pod, event=None)
        operator.reconciler.watching(None)
        await asyncio.sleep(REPAIRED_SECONDS)
        all_there(world, 3)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_watches_that_begin_anew_one_after_the_other_have_everything_listed_twice_at_most(clock: Clock) -> None:
    world = World()
    for number in range(20):
        world.put(DASK_CLUSTERS, cluster(f"cluster-{number}", replicas=1))

    async def story() -> None:
        operator = await settled(world)
        operator.client.requests.clear()
        for _ in range(7):
            operator.reconciler.watching(None)
            await asyncio.sleep(0.1)
        await asyncio.sleep(CONVERGED_SECONDS)
        assert sorted(operator.client.requests) == sorted(2 * LISTS)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_deletion_that_no_event_ever_tells_is_noticed_all_the_same(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = await settled(world)
        operator.deaf_to = frozenset({"Pod"})
        world.drop(PODS, world.live_pods()[0]["metadata"]["name"])
        await asyncio.sleep(RELISTED_SECONDS)
        assert len(world.live_pods()) == 3
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_worker_that_started_unseen_is_not_taken_for_one_that_never_ran(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = await settled(world, seconds=6)
        operator.deaf_to = frozenset({"Pod"})
        world.run_nodes()
        give_each_worker_a_result(operator.dask)
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(1))
        await asyncio.sleep(CONVERGED_SECONDS)
        assert operator.dask.lost == []
        assert len(world.live_pods()) == 1
        assert warnings(world) == [], "nothing is wrong"
        await operator.stop()

    simulate(lambda: play(world, clock, story, starting=False))


@pytest.mark.parametrize("first", [PODS, DEPLOYMENTS, SERVICES], ids=lambda resource: resource.kind)
def test_children_seen_before_their_owners_are_not_taken_for_orphans(clock: Clock, first: Resource) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))

    async def story() -> None:
        operator = await settled(world)
        await operator.stop()
        before = {body["metadata"]["uid"] for body in world.all(first)}
        late = Operator(world, dask=operator.dask)
        for body in world.all(first):
            late.reconciler.changed(first, body, event=None)
        late.reconciler.watching(None)
        await asyncio.sleep(CONVERGED_SECONDS)
        assert [request for request in late.client.requests if request.startswith(("DELETE", "POST"))] == []
        assert {body["metadata"]["uid"] for body in world.all(first)} == before
        await late.reconciler.stop()

    simulate(lambda: play(world, clock, story))


def test_reconciler_that_was_cut_off_does_not_take_its_workers_for_orphans(clock: Clock) -> None:
    # A closed connection pool cancels those who wait for a connection, though nobody asked for that.
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))

    def cut_off(_request: str, _act: Callable[[], Object]) -> Object:
        raise asyncio.CancelledError

    async def story() -> None:
        operator = await settled(world)
        before = {pod["metadata"]["uid"] for pod in world.live_pods()}
        operator.client.fault = At(1, cut_off)
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(3))
        await asyncio.sleep(REPAIRED_SECONDS)
        assert len(operator.reconciler._store.observe(KEY).pods) == 2, "what is known is kept"
        pod = world.live_pods()[0]["metadata"]["name"]
        world.change(PODS, pod, lambda body: body["metadata"].update(annotations={"seen": "again"}))
        await asyncio.sleep(CONVERGED_SECONDS)
        assert before <= {pod["metadata"]["uid"] for pod in world.live_pods()}
        assert len(world.live_pods()) == 3
        await operator.stop()

    simulate(lambda: play(world, clock, story))


# Many clusters, and the end ---------------------------------------------------------------------------------------


def test_cluster_whose_requests_hang_delays_no_other(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster("stuck", replicas=3))

    async def story() -> None:
        operator = Operator(world)
        send = operator.client.create

        async def create(resource: Resource, namespace: str, body: Object) -> Object:
            if body["metadata"]["name"].startswith("stuck"):
                await asyncio.sleep(3600)
            return await send(resource, namespace, body)

        operator.client.create = create  # type: ignore[method-assign]
        operator.start()
        await asyncio.sleep(1)
        world.put(DASK_CLUSTERS, cluster(replicas=2))
        await asyncio.sleep(REPAIRED_SECONDS)
        assert len(world.live_pods("simple-default")) == 2
        assert world.live_pods("stuck-default") == []
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_clusters_of_one_namespace_do_not_touch_each_other(clock: Clock) -> None:
    world = World()
    names = [f"c{number}" for number in range(8)]
    for number, name in enumerate(names):
        world.put(DASK_CLUSTERS, cluster(name, replicas=number))

    async def story() -> None:
        operator = await settled(world)
        for number, name in enumerate(names):
            assert len(world.live_pods(f"{name}-default")) == number
        for name in names[::2]:
            world.drop(DASK_CLUSTERS, name)
        await asyncio.sleep(CONVERGED_SECONDS)
        for number, name in enumerate(names):
            assert len(world.live_pods(f"{name}-default")) == (number if number % 2 else 0)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_stop_leaves_no_task_and_sends_nothing_more(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=50))

    async def story() -> None:
        operator = await settled(world, seconds=0)
        for _ in range(1000):
            await asyncio.sleep(0.001)
            if operator.client.in_flight >= 20:
                break
        assert operator.client.in_flight >= 20
        await operator.stop()
        sent = len(operator.client.requests)
        await asyncio.sleep(CONVERGED_SECONDS)
        assert len(operator.client.requests) == sent
        assert operator.client.in_flight == 0
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert "default/simple" not in names

    simulate(lambda: play(world, clock, story))
