"""Whatever goes wrong once, at whatever moment: soon after it all is as if it had not."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial

import pytest

from dask_kubernetes_operator.resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_JOBS,
    DASK_WORKER_GROUPS,
    PODS,
    SERVICES,
    Resource,
)
from dask_kubernetes_operator.scheduler import Worker

from . import faults, jobs, public
from .faults import Fault, Scenario, Stage
from .objects import Object, cluster, group
from .operator import Clock
from .world import World

pytestmark = pytest.mark.unit

GROUP = "dask.org/workergroup-name"


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are made up the same in every run."""
    monkeypatch.setattr(secrets, "token_hex", lambda size: random.randbytes(size).hex())  # noqa: S311


# What is asked for -------------------------------------------------------------------------------------------------


def nothing(_world: World) -> None:
    """There is nothing yet."""


def running(replicas: int, *, spec: Object | None = None) -> Callable[[World], object]:
    def prepare(world: World) -> None:
        body = fresh(cluster(replicas=replicas))
        body["spec"].update(spec or {})
        world.create(DASK_CLUSTERS, "default", body)

    return prepare


def with_extra_group(world: World) -> None:
    running(2)(world)
    world.create(DASK_WORKER_GROUPS, "default", fresh(extra_group(3)))


def fresh(body: Object) -> Object:
    """An object as a user writes it."""
    body = deepcopy(body)
    body["metadata"] = {"name": body["metadata"]["name"]}
    return body


def extra_group(replicas: int) -> Object:
    return group("simple-extra", replicas=replicas, cluster_replicas=None)


def everybody_holds_something(stage: Stage) -> None:
    for number, pod in enumerate(stage.world.live_pods()):
        if pod["status"]["phase"] == "Running":
            stage.dask.place(f"result-{number}", pod["metadata"]["name"])


async def none_asks(_stage: Stage) -> None:
    """The operator is there now."""


async def create(stage: Stage) -> None:
    running(3)(stage.world)


def scale(resource: Resource, name: str, replicas: int) -> Callable[[Stage], None]:
    def ask(stage: Stage) -> None:
        everybody_holds_something(stage)
        stage.world.change(resource, name, lambda body: body["spec"]["worker"].update(replicas=replicas))

    return ask


async def scale_up(stage: Stage) -> None:
    scale(DASK_CLUSTERS, "simple", 4)(stage)


async def scale_down(stage: Stage) -> None:
    scale(DASK_WORKER_GROUPS, "simple-default", 1)(stage)


async def scale_up_and_down(stage: Stage) -> None:
    scale(DASK_WORKER_GROUPS, "simple-default", 4)(stage)
    await asyncio.sleep(0.8)  # some have just started, others not
    scale(DASK_WORKER_GROUPS, "simple-default", 1)(stage)


async def scale_to_zero(stage: Stage) -> None:
    stage.world.change(DASK_CLUSTERS, "simple", lambda body: body["spec"]["worker"].update(replicas=0))


async def update(stage: Stage) -> None:
    everybody_holds_something(stage)
    stage.world.change(DASK_CLUSTERS, "simple", set_image("new"))


def set_image(image: str) -> Callable[[Object], None]:
    def change(body: Object) -> None:
        body["spec"]["worker"]["spec"]["containers"][0]["image"] = image

    return change


def suspend(suspended: bool) -> Callable[[Object], None]:
    return lambda body: body["spec"].update(suspend=suspended)


async def suspend_it(stage: Stage) -> None:
    stage.world.change(DASK_CLUSTERS, "simple", suspend(True))


async def resume(stage: Stage) -> None:
    stage.world.change(DASK_CLUSTERS, "simple", suspend(False))


async def delete(stage: Stage) -> None:
    stage.world.delete(DASK_CLUSTERS, "default", "simple")


async def delete_and_create(stage: Stage) -> None:
    stage.world.delete(DASK_CLUSTERS, "default", "simple")
    running(2)(stage.world)


async def create_group_first(stage: Stage) -> None:
    stage.world.create(DASK_WORKER_GROUPS, "default", fresh(extra_group(2)))
    running(2)(stage.world)


async def lose_something(stage: Stage) -> None:
    stage.world.drop(PODS, stage.world.live_pods()[0]["metadata"]["name"])
    stage.world.delete(SERVICES, "default", "simple-scheduler")


async def remove_group(stage: Stage) -> None:
    stage.world.delete(DASK_WORKER_GROUPS, "default", "simple-extra")


async def run_job(stage: Stage) -> None:
    a_job(stage.world)


async def delete_job(stage: Stage) -> None:
    stage.world.delete(DASK_JOBS, "default", jobs.NAME)


async def delete_and_create_job(stage: Stage) -> None:
    await delete_job(stage)
    a_job(stage.world)


def a_job(world: World) -> None:
    world.create(DASK_JOBS, "default", fresh(jobs.job()))


def a_running_job(world: World) -> None:
    container = {"name": "job", "image": "ghcr.io/dask/dask:latest", "args": faults.FOR_EVER}
    world.create(DASK_JOBS, "default", fresh(jobs.job(pod_spec={"containers": [container]})))


def autoscaled(replicas: int) -> Callable[[World], object]:
    def prepare(world: World) -> None:
        running(replicas)(world)
        behavior = {"scaleDown": {"stabilizationWindowSeconds": 5}}
        scaler = {
            "apiVersion": "kubernetes.dask.org/v1",
            "kind": "DaskAutoscaler",
            "metadata": {"name": "simple"},
            "spec": {"cluster": "simple", "minimum": 1, "maximum": 5, "behavior": behavior},
        }
        world.create(DASK_AUTOSCALERS, "default", scaler)

    return prepare


async def want_more(stage: Stage) -> None:
    everybody_holds_something(stage)
    stage.dask.target = 4


async def want_fewer(stage: Stage) -> None:
    everybody_holds_something(stage)
    stage.dask.target = 1


# Whether workers get as far as to be created in the time of a job that is short depends on what goes wrong.
JOB = ("DaskJob simple-job", "DaskCluster simple-job", "Pod simple-job-runner")

SCENARIOS = {
    "create": Scenario(nothing, create, workers={"simple-default": (0, 3)}),
    "scale up": Scenario(running(2), scale_up, workers={"simple-default": (2, 4)}),
    "scale down": Scenario(running(4), scale_down, workers={"simple-default": (1, 4)}),
    "scale up and down": Scenario(
        running(2), scale_up_and_down, workers={"simple-default": (1, 4)}, counted=("DaskCluster simple",)
    ),
    "scale to zero": Scenario(running(3), scale_to_zero, workers={"simple-default": (0, 3)}),
    # Of four there may be one more and one fewer.
    "update": Scenario(running(4), update, workers={"simple-default": (3, 5)}),
    "suspend": Scenario(running(3), suspend_it, workers={"simple-default": (0, 3)}),
    "resume": Scenario(running(3, spec={"suspend": True}), resume, workers={"simple-default": (0, 3)}),
    "delete": Scenario(running(3), delete, workers={"simple-default": (0, 3)}),
    "delete without garbage collection": Scenario(
        running(3), delete, workers={"simple-default": (0, 3)}, garbage_collection=False
    ),
    # Those of the old cluster may still be there when those of the new one come.
    "delete and create": Scenario(running(3), delete_and_create, workers={"simple-default": (0, 5)}),
    "create group first": Scenario(
        nothing, create_group_first, workers={"simple-default": (0, 2), "simple-extra": (0, 2)}
    ),
    "remove group": Scenario(
        with_extra_group, remove_group, workers={"simple-default": (2, 2), "simple-extra": (0, 3)}
    ),
    "repair": Scenario(running(2), lose_something, workers={"simple-default": (1, 2)}),
    "job": Scenario(nothing, run_job, workers={"simple-job-default": (0, 2)}, counted=JOB),
    "delete job": Scenario(a_running_job, delete_job, workers={"simple-job-default": (0, 2)}),
    "delete and create job": Scenario(
        a_running_job, delete_and_create_job, workers={"simple-job-default": (0, 4)}, counted=JOB
    ),
    "autoscale up": Scenario(autoscaled(1), want_more, workers={"simple-default": (1, 4)}, target=1),
    "autoscale down": Scenario(autoscaled(4), want_fewer, workers={"simple-default": (1, 4)}, target=4),
}


LEFT = {"simple-default": 2, "simple-extra": 1}
SCENARIOS["take over"] = Scenario(
    public.left(LEFT),
    none_asks,
    workers={name: (count, count) for name, count in LEFT.items()},
    unattended=True,
)

# In these everything goes wrong at every moment, in the others something does.
MAIN = ("create", "scale up", "scale down", "update", "delete", "job", "take over")
OTHERS = tuple(name for name in SCENARIOS if name not in MAIN)

_repertoire = faults.Repertoire(SCENARIOS)
world_of = _repertoire.world_of
undisturbed = _repertoire.undisturbed
at_each = _repertoire.at_each
once = _repertoire.once


# How it ends when nothing goes wrong -------------------------------------------------------------------------------

ALIVE = {
    "create": {"simple-default": 3},
    "scale up": {"simple-default": 4},
    "scale down": {"simple-default": 1},
    "scale up and down": {"simple-default": 1},
    "scale to zero": {},
    "update": {"simple-default": 4},
    "suspend": {},
    "resume": {"simple-default": 3},
    "delete": {},
    "delete without garbage collection": {},
    "delete and create": {"simple-default": 2},
    "create group first": {"simple-default": 2, "simple-extra": 2},
    "remove group": {"simple-default": 2},
    "repair": {"simple-default": 2},
    "job": {},
    "delete job": {},
    "delete and create job": {},
    "autoscale up": {"simple-default": 4},
    "autoscale down": {"simple-default": 1},
    "take over": LEFT,
}


ENDING_WITHOUT_CLUSTER = (
    "delete",
    "delete without garbage collection",
    "job",
    "delete job",
    "delete and create job",
)


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_ends_as_asked_for(clock: Clock, name: str) -> None:
    outcome = undisturbed(name, clock)
    bodies = [json.loads(body) for body in outcome.state]
    workers = [body["metadata"]["labels"] for body in bodies if body["kind"] == "Pod"]
    assert Counter(labels[GROUP] for labels in workers if GROUP in labels) == ALIVE[name]
    clusters = [body for body in bodies if body["kind"] == "DaskCluster"]
    assert len(clusters) == (name not in ENDING_WITHOUT_CLUSTER)
    for body in (body for body in bodies if body["kind"] == "DaskJob"):
        assert body["status"]["jobStatus"] == "Successful"
    for body in clusters:
        conditions = {condition["type"]: condition["status"] for condition in body["status"]["conditions"]}
        assert conditions["Suspended"] == ("True" if name == "suspend" else "False")
        assert conditions["Ready"] == ("False" if name == "suspend" else "True")
        assert conditions["Degraded"] == "False"


# The controller ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("name", MAIN)
def test_controller_killed_at_any_write_is_replaced_by_a_new_one(clock: Clock, name: str, done: bool) -> None:
    at_each(name, clock, lambda number: faults.Killed(number, done=done))


@pytest.mark.parametrize("name", OTHERS)
def test_controller_killed_before_or_after_a_write_is_replaced_by_a_new_one(clock: Clock, name: str) -> None:
    at_each(name, clock, lambda number: faults.Killed(number, done=number % 2 == 0))


@pytest.mark.parametrize("name", MAIN)
def test_controller_killed_at_any_write_is_replaced_by_one_on_standby(clock: Clock, name: str) -> None:
    at_each(name, clock, lambda number: faults.Killed(number, done=number % 2 == 0, standby=True))


@pytest.mark.parametrize("done", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("name", ["create", "scale down", "update", "autoscale down"])
def test_controller_killed_when_it_asks_a_scheduler_is_replaced(clock: Clock, name: str, done: bool) -> None:
    at_each(name, clock, lambda number: faults.Killed(number, done=done, asking=True))


# The API server ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", faults.TROUBLES)
@pytest.mark.parametrize("name", MAIN)
def test_trouble_at_any_call_is_got_over(clock: Clock, name: str, trouble: str) -> None:
    at_each(name, clock, lambda number: faults.AtCall(number, faults.TROUBLES[trouble]))


@pytest.mark.parametrize("shift", [0, 4])
@pytest.mark.parametrize("name", OTHERS)
def test_some_trouble_at_any_call_is_got_over(clock: Clock, name: str, shift: int) -> None:
    troubles = list(faults.TROUBLES.values())
    at_each(name, clock, lambda number: faults.AtCall(number, troubles[(number + shift) % len(troubles)]))


@pytest.mark.parametrize("name", MAIN)
def test_stale_lists_do_no_harm(clock: Clock, name: str) -> None:
    at_each(name, clock, lambda number: faults.StaleLists(number, age_seconds=(0.5, 3.0)[number % 2]))


@pytest.mark.parametrize("restart_after_seconds", [0.5, 1.0, 1.5, 5.0])
@pytest.mark.parametrize("name", SCENARIOS)
def test_start_with_a_stale_list_does_no_harm(clock: Clock, name: str, restart_after_seconds: float) -> None:
    age_seconds = restart_after_seconds / 2
    once(name, clock, faults.StaleStart(restart_after_seconds=restart_after_seconds, age_seconds=age_seconds))


# Watches -----------------------------------------------------------------------------------------------------------

EVENT_FAULTS: dict[str, Callable[[int], Fault]] = {
    "lost, until the watch begins anew": lambda number: faults.Dropped(number, watch_begins_anew=True),
    "lost, until all is listed once in a while": lambda number: faults.Dropped(number, watch_begins_anew=False),
    "twice": lambda number: faults.Duplicated(number, after_seconds=3),
    "late": lambda number: faults.Delayed(number, seconds=4),
}


@pytest.mark.parametrize("fault", EVENT_FAULTS)
@pytest.mark.parametrize("name", [*MAIN, "scale up and down", "repair"])
def test_event_that_does_not_come_as_it_should_is_got_over(clock: Clock, name: str, fault: str) -> None:
    at_each(name, clock, EVENT_FAULTS[fault])


@pytest.mark.parametrize("name", OTHERS)
def test_event_that_somehow_does_not_come_as_it_should_is_got_over(clock: Clock, name: str) -> None:
    wrong = list(EVENT_FAULTS.values())
    at_each(name, clock, lambda number: wrong[number % len(wrong)](number))


# The Dask scheduler ------------------------------------------------------------------------------------------------

STRANGER = Worker("tcp://10.9.9.9:40000", "10.9.9.9", "stranger", managed_bytes=5, tasks=1, status="running")


def nobody(_workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
    return ()


def strangers(_workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
    return (STRANGER,)


def strangers_too(workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
    return (STRANGER, *workers, STRANGER)


def twice(workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
    return workers * 2


def nameless(workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
    return tuple(replace(worker, name=worker.address) for worker in workers)


def half(workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
    return workers[::2]


SCHEDULER_TROUBLES: dict[str, Callable[[], Fault]] = {
    "unreachable": faults.Unreachable,
    "unreachable after a second": partial(faults.Unreachable, after_seconds=1),
    "confused": faults.Confused,
    "slow": faults.Slow,
    "too slow": faults.TooSlow,
    **{
        f"restarted after {seconds} s": partial(faults.Restarted, after_seconds=seconds)
        for seconds in (0.0, 0.3, 1.0, 1.6, 2.3, 5.0)
    },
    **{
        f"reporting {lie.__name__}": partial(faults.Misreporting, lie)
        for lie in (nobody, strangers, strangers_too, twice, nameless, half)
    },
}

# Those in which a scheduler is asked anything.
WITH_SCHEDULER = tuple(name for name in SCENARIOS if ALIVE[name] or name in ("scale to zero", "job"))


@pytest.mark.parametrize("trouble", SCHEDULER_TROUBLES)
@pytest.mark.parametrize("name", WITH_SCHEDULER)
def test_trouble_with_the_scheduler_is_got_over(clock: Clock, name: str, trouble: str) -> None:
    once(name, clock, SCHEDULER_TROUBLES[trouble]())
