"""Whatever goes wrong once in the life of a job, at whatever moment: the job ends as if it had not."""

from __future__ import annotations

import asyncio
import json
import random
import re
import secrets
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from dask_kubernetes_operator.kube import ApiError
from dask_kubernetes_operator.resources import DASK_CLUSTERS, DASK_JOBS, PODS

from . import faults
from .faults import Outcome, Scenario, Stage, perform
from .jobs import NAME, ended, job
from .objects import Object
from .operator import Clock, Operator, play
from .virtual_time import simulate
from .world import World

pytestmark = pytest.mark.unit

RUNNER = f"{NAME}-runner"


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are made up the same in every run."""
    monkeypatch.setattr(secrets, "token_hex", lambda size: random.randbytes(size).hex())  # noqa: S311


def nothing(_world: World) -> None:
    """There is nothing yet."""


def create(world: World, **fields: Any) -> None:
    body = deepcopy(job(**fields))
    body["metadata"] = {"name": NAME}
    world.create(DASK_JOBS, "default", body)


def endless(**fields: Any) -> Callable[[World], None]:
    """A job whose runner does not end by itself."""
    container = {"name": "job", "image": "ghcr.io/dask/dask:latest", "args": faults.FOR_EVER}
    return lambda world: create(world, pod_spec={"containers": [container]}, **fields)


def change_spec(stage: Stage, **fields: Any) -> None:
    stage.world.change(DASK_JOBS, NAME, lambda body: body["spec"].update(fields))


def evicted(pod: Object) -> None:
    container = ended(137, reason="Error")
    pod["status"] = {"phase": "Failed", "reason": "Evicted", "containerStatuses": [container]}


async def submit_for_a_moment(stage: Stage) -> None:
    create(stage.world, ttlSecondsAfterFinished=1)


async def suspend(stage: Stage) -> None:
    change_spec(stage, suspend=True)


async def resume(stage: Stage) -> None:
    change_spec(stage, suspend=False)


async def suspend_for_a_moment(stage: Stage) -> None:
    await suspend(stage)
    await asyncio.sleep(0.4)
    await resume(stage)


async def evict(stage: Stage) -> None:
    stage.world.change(PODS, RUNNER, evicted)


async def drain(stage: Stage) -> None:
    stage.world.delete(PODS, "default", RUNNER)


async def lose_cluster(stage: Stage) -> None:
    stage.world.delete(DASK_CLUSTERS, "default", NAME)


# How many workers of a cluster there are by the time that something happens to it is left to chance.
COUNTED = (f"Pod {RUNNER}", f"DaskCluster {NAME}")

SCENARIOS = {
    "submit for a moment": Scenario(nothing, submit_for_a_moment, counted=COUNTED),
    "suspend": Scenario(endless(), suspend),
    "resume": Scenario(endless(suspend=True), resume, counted=COUNTED),
    "suspend for a moment": Scenario(endless(), suspend_for_a_moment, counted=(f"DaskJob {NAME}",)),
    "evict": Scenario(endless(), evict),
    "evict for good": Scenario(endless(backoffLimit=0), evict),
    "drain": Scenario(endless(restart_policy="Never", backoffLimit=1), drain),
    "lose cluster": Scenario(endless(), lose_cluster, counted=COUNTED),
}
# Of each, status.jobStatus, status.failed, the phase of the runner's Pod, and how many clusters there are.
ENDS: dict[str, tuple[str | None, int, str | None, int]] = {
    "submit for a moment": (None, 0, None, 0),
    "suspend": ("JobCreated", 0, None, 0),
    "resume": ("Running", 0, "Running", 1),
    "suspend for a moment": ("Running", 0, "Running", 1),
    "evict": ("Running", 1, "Running", 1),
    "evict for good": ("Failed", 1, "Failed", 0),
    "drain": ("Running", 1, "Running", 1),
    "lose cluster": ("Running", 0, "Running", 1),
}
# Those in which the order of things matters most.
DELICATE = ("suspend for a moment", "evict", "drain", "lose cluster")

_repertoire = faults.Repertoire(SCENARIOS)
world_of = _repertoire.world_of
undisturbed = _repertoire.undisturbed
at_each = _repertoire.at_each


def found(outcome: Outcome, kind: str) -> list[Object]:
    bodies = [json.loads(body) for body in outcome.state]
    return [body for body in bodies if body["kind"] == kind]


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_ends_as_asked_for(clock: Clock, name: str) -> None:
    outcome = undisturbed(name, clock)
    job_status, failed, phase, clusters = ENDS[name]
    told = [(body["status"]["jobStatus"], body["status"]["failed"]) for body in found(outcome, "DaskJob")]
    assert told == ([(job_status, failed)] if job_status else [])
    runners = [pod["status"]["phase"] for pod in found(outcome, "Pod") if pod["metadata"]["name"] == RUNNER]
    assert runners == ([phase] if phase else [])
    assert len(found(outcome, "DaskCluster")) == clusters


@pytest.mark.parametrize("done", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_controller_killed_at_any_write_is_replaced(clock: Clock, name: str, done: bool) -> None:
    at_each(name, clock, lambda number: faults.Killed(number, done=done))


@pytest.mark.parametrize("trouble", ["409", "500", "connection reset, but done", "time-out"])
@pytest.mark.parametrize("name", DELICATE)
def test_trouble_at_any_call_is_got_over(clock: Clock, name: str, trouble: str) -> None:
    at_each(name, clock, lambda number: faults.AtCall(number, faults.TROUBLES[trouble]))


@pytest.mark.parametrize("name", DELICATE)
def test_any_lost_event_is_made_up_for(clock: Clock, name: str) -> None:
    at_each(name, clock, lambda number: faults.Dropped(number, watch_begins_anew=True))


@pytest.mark.parametrize("name", DELICATE)
def test_any_event_may_come_twice(clock: Clock, name: str) -> None:
    at_each(name, clock, lambda number: faults.Duplicated(number, after_seconds=3))


@pytest.mark.parametrize("name", DELICATE)
def test_any_event_may_come_late(clock: Clock, name: str) -> None:
    at_each(name, clock, lambda number: faults.Delayed(number, seconds=4))


@pytest.mark.parametrize("name", DELICATE)
def test_stale_lists_do_no_harm(clock: Clock, name: str) -> None:
    at_each(name, clock, lambda number: faults.StaleLists(number, age_seconds=3))


@pytest.mark.parametrize("restart_after_seconds", [0.5, 1.0, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("name", SCENARIOS)
def test_start_with_a_stale_list_does_no_harm(clock: Clock, name: str, restart_after_seconds: float) -> None:
    age_seconds = restart_after_seconds / 2
    fault = faults.StaleStart(restart_after_seconds=restart_after_seconds, age_seconds=age_seconds)
    perform(SCENARIOS[name], world_of(name, clock), clock, fault, undisturbed(name, clock))


def test_runner_that_is_not_seen_yet_is_looked_for_before_it_is_counted_as_lost(clock: Clock) -> None:
    world = faults.at_rest(SCENARIOS["evict"], clock).copy()

    async def story() -> None:
        await asyncio.sleep(faults._AT_REST_SECONDS)
        operator = Operator(world, deaf_to=frozenset({"Pod"}))
        for resource, body in world.watched():
            if resource != PODS:
                operator.reconciler.changed(resource, body, event="ADDED")
        operator.reconciler.watching(None)
        await asyncio.sleep(5)
        await asyncio.wait_for(operator.reconciler.stop(), timeout=60)

    simulate(lambda: play(world, clock, story))
    status = world.get(DASK_JOBS, NAME)["status"]
    assert (status["jobStatus"], status["active"], status["failed"]) == ("Running", 1, 0)


def test_worker_is_not_named_after_a_runner_whose_creation_was_not_answered(clock: Clock) -> None:
    world = World()
    endless()(world)

    async def story() -> None:
        operator = Operator(world)

        def fault(_number: int, request: str, act: Callable[[], Object]) -> Object:
            if request == f"POST pods/{RUNNER}" and operator.client.requests.count(request) == 1:
                act()
                raise ApiError(0, "NoAnswer", "timed out")
            return act()

        operator.client.fault = fault
        operator.start()
        await asyncio.sleep(60)
        await operator.stop()

    simulate(lambda: play(world, clock, story))
    workers = [pod["metadata"]["name"] for pod in world.live_pods()]
    assert workers
    assert all(re.fullmatch(rf"{NAME}-default-worker-[0-9a-f]{{10}}", name) for name in workers), workers


def test_issue_940_cluster_that_exists_already_does_not_keep_the_runner_from_being_made(clock: Clock) -> None:
    world = World()
    endless()(world)
    refusals = 0

    async def story() -> None:
        operator = Operator(world)

        def fault(_number: int, request: str, act: Callable[[], Object]) -> Object:
            nonlocal refusals
            if request == f"POST daskclusters/{NAME}" and not refusals:
                refusals += 1
                act()
                raise ApiError(409, "AlreadyExists", f'daskclusters "{NAME}" already exists')
            return act()

        operator.client.fault = fault
        operator.start()
        await asyncio.sleep(30)
        await operator.stop()

    simulate(lambda: play(world, clock, story))
    assert refusals == 1
    assert [body["metadata"]["name"] for body in world.all(DASK_CLUSTERS)] == [NAME]
    assert world.get(PODS, RUNNER)["status"]["phase"] == "Running"
    assert world.get(DASK_JOBS, NAME)["status"]["jobStatus"] == "Running"
