"""The reconciler at work: lagging watches, refused and unanswered requests, restarts, and many clusters at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

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
from .virtual_time import simulate
from .world import World, no_fault

pytestmark = pytest.mark.unit

# Within this time after the last trouble everything is as asked for, and lost children are back.
CONVERGED_SECONDS = 30
REPAIRED_SECONDS = 5


def scale(replicas: int) -> Callable[[Object], None]:
    def change(body: Object) -> None:
        body["spec"]["worker"]["replicas"] = replicas

    return change


def set_status(status: Object) -> Callable[[Object], None]:
    def change(body: Object) -> None:
        body["status"] = status

    return change


def condition(world: World, kind: str, name: str = "simple") -> dict[str, Any]:
    conditions = world.get(DASK_CLUSTERS, name)["status"]["conditions"]
    found: dict[str, Any] = next(entry for entry in conditions if entry["type"] == kind)
    return found


def nothing_left(world: World) -> bool:
    return not any(world.all(resource) for resource in (DASK_WORKER_GROUPS, DEPLOYMENTS, SERVICES, PODS))


def all_there(world: World, replicas: int) -> None:
    """Assert that the cluster is exactly what was asked for."""
    assert len(world.all(DEPLOYMENTS)) == len(world.all(SERVICES)) == len(world.all(DASK_WORKER_GROUPS)) == 1
    assert len(world.live_pods()) == len(world.all(PODS)) == replicas
    [owner] = world.all(DASK_WORKER_GROUPS)
    for pod in world.all(PODS):
        assert [reference["uid"] for reference in pod["metadata"]["ownerReferences"]] == [owner["metadata"]["uid"]]
    status = world.get(DASK_CLUSTERS, "simple")["status"]
    assert (status["phase"], status["replicas"]) == ("Running", replicas)
    assert condition(world, "Reconciled")["status"] == "True"


async def converged(world: World, done: Callable[[World], None]) -> None:
    """Wait until all is as it should be, for as long as that may take; then see that it stays so."""
    for _ in range(CONVERGED_SECONDS):
        await asyncio.sleep(1)
        with suppress(AssertionError, KeyError, StopIteration, ApiError):
            done(world)
            break
    await asyncio.sleep(3)
    done(world)


# One cluster, nothing in its way ----------------------------------------------------------------------------------


async def settled(world: World, *, seed: int = 0, seconds: float = CONVERGED_SECONDS) -> Operator:
    """An operator that had its time."""
    operator = Operator(world, seed=seed)
    operator.start()
    await asyncio.sleep(seconds)
    return operator


@pytest.mark.parametrize("seed", range(8))
def test_cluster_comes_up_whole_and_exact(clock: Clock, seed: int) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=5))

    async def story() -> None:
        operator = await settled(world, seed=seed, seconds=5)
        all_there(world, 5)
        assert condition(world, "Ready")["status"] == "True"
        assert not [request for request in operator.client.requests if request.startswith(("GET", "DELETE"))]
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
        assert len(requests) - len(workers) <= 12, requests
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
        assert len(world.all(PODS)) == 50
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
        assert len(operator.client.requests) <= 5 * 3600 / 200
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_restart_writes_nothing_when_nothing_changed(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster())

    async def story() -> None:
        await (await settled(world)).stop()
        again = await settled(world)
        assert again.client.requests == []
        await again.stop()

    simulate(lambda: play(world, clock, story))


@pytest.mark.parametrize("replicas", [0, 1, 4])
def test_group_is_scaled(clock: Clock, replicas: int) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))

    async def story() -> None:
        operator = await settled(world)
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(replicas))
        await asyncio.sleep(REPAIRED_SECONDS)
        assert len(world.live_pods()) == max(replicas, 2), "workers that run may hold data"
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
        assert not operator.reconciler._watched
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
        assert nothing_left(world)
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
        assert world.all(EVENTS) == []
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
    """Something that is asked for, and how it looks when it is done."""

    begin: Callable[[World], None]
    ask: Callable[[World], object]
    done: Callable[[World], None]
    starting: bool = True


def _asked_cluster(replicas: int) -> Callable[[World], None]:
    def begin(world: World) -> None:
        world.put(DASK_CLUSTERS, cluster(replicas=replicas))

    return begin


def _adoptee(world: World) -> None:
    world.create(DASK_WORKER_GROUPS, "default", group("simple-highmem", replicas=2, cluster_replicas=None))


def _adopted(world: World) -> None:
    adopted = world.get(DASK_WORKER_GROUPS, "simple-highmem")
    assert [owner["uid"] for owner in adopted["metadata"]["ownerReferences"]] == ["uid-simple"]
    assert len(world.live_pods("simple-highmem")) == 2
    assert len(world.live_pods()) == len(world.all(PODS)) == 4


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
        lambda world: world.change(DASK_WORKER_GROUPS, "simple-default", scale(1)),
        lambda world: all_there(world, 1),
        starting=False,
    ),
    "adopt": Scenario(_asked_cluster(2), _adoptee, _adopted),
    "delete": Scenario(_asked_cluster(3), _deleted, _gone),
    "recreate": Scenario(
        _asked_cluster(3),
        _made_again,
        lambda world: all_there(world, 2),
    ),
}

Trouble = Callable[[str, Callable[[], Object]], Object]


def refused(code: int, reason: str, message: str = "no") -> Trouble:
    def trouble(request: str, act: Callable[[], Object]) -> Object:
        if request.startswith("DELETE") and code in (404, 409):
            act()  # only what somebody else deleted a moment ago is answered like this
        raise ApiError(code, reason, message)

    return trouble


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


def play_scenario(clock: Clock, scenario: Scenario, number: int, trouble: Trouble) -> At:
    """The scenario with trouble at one write; returns what happened of it."""
    world = World()
    at = At(number, trouble)

    async def story() -> None:
        scenario.begin(world)
        operator = await settled(world, seed=number, seconds=4)
        operator.client.fault = at
        scenario.ask(world)
        await converged(world, scenario.done)
        await operator.stop()

    simulate(lambda: play(world, clock, story, starting=scenario.starting))
    return at


@pytest.mark.parametrize("trouble", [name for name in TROUBLES if name not in ("no answer", "429")])
@pytest.mark.parametrize("name", SCENARIOS)
def test_trouble_at_any_write_is_got_over(clock: Clock, name: str, trouble: str) -> None:
    for number in range(1, 100):
        try:
            at = play_scenario(clock, SCENARIOS[name], number, TROUBLES[trouble])
        except AssertionError as error:
            error.add_note(f"with trouble at write {number}")
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
            scenario.begin(world)
            operator = await settled(world, seed=number, seconds=4)

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
            again = await settled(world, seed=number, seconds=0)
            await converged(world, scenario.done)
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
@pytest.mark.parametrize("seed", range(5))
def test_many_troubles_are_got_over_once_they_end(clock: Clock, name: str, seed: int) -> None:
    world = World()
    scenario = SCENARIOS[name]

    async def story() -> None:
        scenario.begin(world)
        operator = await settled(world, seed=seed, seconds=4)
        troubles = list(TROUBLES.values())

        def fault(number: int, request: str, act: Callable[[], Object]) -> Object:
            return troubles[(number + seed) % len(troubles)](request, act) if number % 3 else act()

        operator.client.fault = fault
        scenario.ask(world)
        await asyncio.sleep(20)
        operator.client.fault = no_fault
        await asyncio.sleep(70)  # what was refused for good is tried again after a minute
        scenario.done(world)
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


def always(trouble: Trouble, *requests: str) -> Callable[[int, str, Callable[[], Object]], Object]:
    """Trouble with every request that begins like one of these."""

    def fault(_number: int, request: str, act: Callable[[], Object]) -> Object:
        return trouble(request, act) if request.startswith(requests) else act()

    return fault


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


def test_lasting_trouble_is_told_once_and_taken_back(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = Operator(world)
        operator.client.fault = always(TROUBLES["403 quota"], "POST pods")
        operator.start()
        await asyncio.sleep(300)
        found = condition(world, "Reconciled")
        assert (found["status"], found["reason"], found["message"]) == (
            "False",
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
        assert condition(world, "Reconciled")["status"] == "True"
        assert len(world.all(EVENTS)) == 1
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
        assert condition(world, "Reconciled")["message"] == "image: Required value"
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
        await asyncio.sleep(75)
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
        await asyncio.sleep(REPAIRED_SECONDS)
        all_there(world, 3)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_watch_that_begins_anew_lists_once_and_not_for_each_object(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=50))

    async def story() -> None:
        operator = await settled(world)
        operator.client.requests.clear()
        for pod in world.live_pods():
            operator.reconciler.changed(PODS, pod, event=None)
            await asyncio.sleep(0.1)
        await asyncio.sleep(CONVERGED_SECONDS)
        assert sorted(operator.client.requests) == sorted(set(operator.client.requests))
        assert len(operator.client.requests) == 5
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_deletion_that_no_event_ever_tells_is_noticed_all_the_same(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=3))

    async def story() -> None:
        operator = await settled(world)
        operator.deaf_to = frozenset({"Pod"})
        world.drop(PODS, world.live_pods()[0]["metadata"]["name"])
        await asyncio.sleep(400)
        assert len(world.live_pods()) == 3
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_worker_that_started_unseen_survives_a_scaling_down(clock: Clock) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))

    async def story() -> None:
        operator = await settled(world)
        operator.deaf_to = frozenset({"Pod"})
        world.run_nodes()
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(0))
        await asyncio.sleep(CONVERGED_SECONDS)
        assert len(world.live_pods()) == 2
        assert world.all(EVENTS) == [], "nothing is wrong"
        await operator.stop()

    simulate(lambda: play(world, clock, story, starting=False))


@pytest.mark.parametrize("first", [PODS, DEPLOYMENTS, SERVICES], ids=lambda resource: resource.kind)
def test_children_seen_before_their_owners_are_not_taken_for_orphans(clock: Clock, first: Resource) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2))

    async def story() -> None:
        await (await settled(world)).stop()
        before = {body["metadata"]["uid"] for body in world.all(first)}
        late = Operator(world)
        for body in world.all(first):
            late.reconciler.note(first, body)
            late.reconciler.changed(first, body, event=None)
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
