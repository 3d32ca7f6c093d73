"""What has hurt users of the public operator, by the number of its issue at github.com/dask/dask-kubernetes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import pytest

from dask_kubernetes_operator.kube import ApiError
from dask_kubernetes_operator.resources import DASK_CLUSTERS, DASK_WORKER_GROUPS, DEPLOYMENTS, PODS
from dask_kubernetes_operator.scheduler import Endpoint

from .objects import Object, cluster, deployment, group, scheduler_pod, service, terminating
from .operator import Clock, Operator, play
from .planning import actions, summary
from .stories import (
    CONVERGED_SECONDS,
    REPAIRED_SECONDS,
    all_there,
    always,
    condition,
    give_each_worker_a_result,
    new_image,
    nothing_left,
    refused,
    scale,
    set_status,
    settled,
    warnings,
)
from .virtual_time import simulate
from .world import World, no_fault

pytestmark = pytest.mark.unit


def make(world: World, *, replicas: int, extra: int | None = None) -> None:
    """A cluster, and a second group where ``extra`` says how many workers it has."""
    world.put(DASK_CLUSTERS, cluster(replicas=replicas))
    if extra is not None:
        world.create(DASK_WORKER_GROUPS, "default", group("simple-extra", replicas=extra, cluster_replicas=None))


def uids(pods: Collection[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def image(world: World) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in world.live_pods()}


# Stuck state machines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["Created", "Pending", "Error", "Nonsense"])
def test_issue_968_cluster_whose_parts_are_there_does_not_stay_pending(clock: Clock, phase: str) -> None:
    world = World()
    make(world, replicas=2)

    async def story() -> None:
        operator = await settled(world)
        await operator.stop()
        world.change(DASK_CLUSTERS, "simple", set_status({"phase": phase}))
        again = await settled(world, seconds=REPAIRED_SECONDS, dask=operator.dask)
        all_there(world, 2)
        await again.stop()

    simulate(lambda: play(world, clock, story))


@pytest.mark.parametrize("request_", ["POST deployments", "POST services", "POST daskworkergroups"])
@pytest.mark.parametrize("phase", ["", "Running"])
def test_issue_976_child_whose_creation_failed_once_is_created_whatever_the_phase_says(
    clock: Clock, request_: str, phase: str
) -> None:
    world = World()
    world.put(DASK_CLUSTERS, cluster(replicas=2, status={"phase": phase} if phase else None))

    async def story() -> None:
        operator = Operator(world)
        operator.client.fault = always(refused(500, "InternalError"), request_)
        operator.start()
        await asyncio.sleep(10)
        operator.client.fault = no_fault
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 2)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_issue_846_scheduler_that_still_terminates_is_not_taken_for_that_of_a_new_cluster() -> None:
    body = cluster(uid="uid-again")
    new = (body, group(owners=(body,)), deployment(body), service(body))
    going = terminating(scheduler_pod(uid="uid-former"))
    assert actions(*new, going) == [], "workers would wait for it in vain"
    assert summary(actions(*new, going, scheduler_pod(uid="uid-new"))) == [
        "create Pod simple-default-worker-s1",
        "create Pod simple-default-worker-s2",
    ]


def test_issue_846_cluster_made_again_at_once_comes_up(clock: Clock) -> None:
    world = World()
    make(world, replicas=2)

    async def story() -> None:
        operator = await settled(world)
        former = world.get(PODS, "simple-scheduler-pod")["metadata"]["uid"]
        world.replace(DASK_CLUSTERS, "simple", cluster(uid="uid-again", replicas=2))
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 2)
        assert world.get(PODS, "simple-scheduler-pod")["metadata"]["uid"] != former
        await operator.stop()

    simulate(lambda: play(world, clock, story))


AT = Endpoint("http://simple-scheduler.default.svc:8787", "tcp://simple-scheduler.default.svc:8786")
LONG_NAME = "x" * 54


def test_issue_870_name_that_is_too_long_is_told_and_hinders_no_deletion(clock: Clock) -> None:
    # The CRD refuses such a name; this is a cluster that is older than that rule.
    world = World()
    world.put(DASK_CLUSTERS, cluster(LONG_NAME, replicas=2))
    text = f'Service "{LONG_NAME}-scheduler" is invalid: metadata.name: must be no more than 63 characters'

    async def story() -> None:
        operator = Operator(world)
        operator.client.fault = always(refused(422, "Invalid", text), "POST services")
        operator.start()
        await asyncio.sleep(600)
        assert world.get(DASK_CLUSTERS, LONG_NAME)["status"]["phase"] == "Error"
        found = condition(world, "Degraded", LONG_NAME)
        assert (found["status"], found["reason"], found["message"]) == ("True", "Invalid", text)
        assert warnings(world).count("Invalid") == 1
        tries = [request for request in operator.client.requests if request.startswith("POST services")]
        assert len(tries) < 25, "it is not tried for ever as fast as it can"
        assert "finalizers" not in world.get(DASK_CLUSTERS, LONG_NAME)["metadata"]
        world.delete(DASK_CLUSTERS, "default", LONG_NAME)
        await asyncio.sleep(CONVERGED_SECONDS)
        assert world.all(DASK_CLUSTERS) == []
        assert nothing_left(world)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


# Edits that do nothing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]},
        {"args": ["dask", "worker", "--nthreads", "1"]},
        {"resources": {"limits": {"memory": "4G"}}},
    ],
    ids=lambda field: next(iter(field)),
)
def test_issue_710_edit_of_the_worker_spec_takes_effect(clock: Clock, field: Object) -> None:
    world = World()
    make(world, replicas=2)

    def edit(body: Object) -> None:
        body["spec"]["worker"]["spec"]["containers"][0].update(field)

    async def story() -> None:
        operator = await settled(world)
        before = uids(world.live_pods())
        world.change(DASK_CLUSTERS, "simple", edit)
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 2)
        assert not before & uids(world.live_pods())
        for pod in world.live_pods():
            container = pod["spec"]["containers"][0]
            [(name, value)] = field.items()
            assert container[name][: len(value)] == value if isinstance(value, list) else container[name] == value
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_issue_895_new_image_reaches_the_scheduler_and_all_workers(clock: Clock) -> None:
    world = World()
    make(world, replicas=3)

    def edit(body: Object) -> None:
        new_image(body)
        body["spec"]["scheduler"]["spec"]["containers"][0]["image"] = "ghcr.io/dask/dask:2026.8.0"

    async def story() -> None:
        operator = await settled(world)
        world.change(DASK_CLUSTERS, "simple", edit)
        await asyncio.sleep(2 * CONVERGED_SECONDS)
        all_there(world, 3)
        assert image(world) == {"ghcr.io/dask/dask:2026.8.0"}
        [container] = world.get(PODS, "simple-scheduler-pod")["spec"]["containers"]
        assert container["image"] == "ghcr.io/dask/dask:2026.8.0"
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_issue_771_labels_added_later_reach_what_is_there(clock: Clock) -> None:
    world = World()
    make(world, replicas=2)

    async def story() -> None:
        operator = await settled(world)
        before = uids(world.all(PODS))
        world.change(DASK_CLUSTERS, "simple", lambda body: body["metadata"].update(labels={"team": "data"}))
        await asyncio.sleep(REPAIRED_SECONDS)
        for resource in (DEPLOYMENTS, DASK_WORKER_GROUPS, PODS):
            assert {body["metadata"]["labels"].get("team") for body in world.all(resource)} == {"data"}
        assert uids(world.all(PODS)) == before
        await operator.stop()

    simulate(lambda: play(world, clock, story))


@pytest.mark.parametrize("lost", [PODS, DEPLOYMENTS], ids=lambda resource: resource.kind)
def test_issue_606_scheduler_that_is_lost_comes_back_and_the_cluster_with_it(clock: Clock, lost: Any) -> None:
    world = World()
    make(world, replicas=2)

    async def story() -> None:
        operator = await settled(world)
        before = uids(world.live_pods())
        name = "simple-scheduler-pod" if lost == PODS else "simple-scheduler"
        world.delete(lost, "default", name)
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 2)
        assert uids(world.live_pods()) == before
        assert warnings(world) == ["SchedulerLost"]
        await operator.stop()

    simulate(lambda: play(world, clock, story))


# Scaling down the wrong workers -----------------------------------------------------------------------------------


def test_issue_659_workers_that_have_yet_to_start_go_before_busy_ones(clock: Clock) -> None:
    world = World()
    make(world, replicas=5)

    async def story() -> None:
        operator = await settled(world, seconds=6)
        for pod in world.live_pods()[:2]:
            world.start(pod)
        world.run_nodes(starting=False)
        await asyncio.sleep(REPAIRED_SECONDS)
        busy = {pod["metadata"]["uid"] for pod in world.live_pods() if pod["status"]["phase"] == "Running"}
        assert len(busy) == 2
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(2))
        await asyncio.sleep(REPAIRED_SECONDS)
        assert uids(world.live_pods()) == busy
        assert "retire" not in operator.dask.requests
        await operator.stop()

    simulate(lambda: play(world, clock, story, starting=False))


def test_issue_807_no_worker_is_killed_that_the_scheduler_has_not_retired(clock: Clock) -> None:
    world = World()
    make(world, replicas=6)

    async def story() -> None:
        operator = await settled(world)
        results = give_each_worker_a_result(operator.dask)
        known: list[bool] = []

        def fault(_number: int, request: str, act: Callable[[], Object]) -> Object:
            if request.startswith("DELETE pods/"):
                uid = world.get(PODS, request.removeprefix("DELETE pods/"))["metadata"]["uid"]
                known.append(uid in set().union(*map(operator.dask.holders, results)))
            return act()

        operator.client.fault = fault
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(2))
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 2)
        assert known == [False] * 4, "what is deleted holds nothing any more"
        assert all(operator.dask.holders(result) for result in results)
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_issue_855_retired_worker_that_comes_back_under_another_address_goes_all_the_same(clock: Clock) -> None:
    world = World()
    make(world, replicas=4)

    async def story() -> None:
        operator = await settled(world)
        results = give_each_worker_a_result(operator.dask)
        operator.client.fault = always(refused(429, "TooManyRequests"), "DELETE pods/")
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(1))
        await asyncio.sleep(CONVERGED_SECONDS)
        assert len(world.live_pods()) == 4
        assert max(operator.dask._retired.values()) > 1, "they came back, and were retired again"
        come_back = [worker.name for worker in await operator.dask.workers(AT)]
        for result in results:  # the scheduler does not know that some of them are to go
            operator.dask.place(result, come_back[results.index(result) % len(come_back)])
        operator.client.fault = no_fault
        await asyncio.sleep(2 * CONVERGED_SECONDS)
        all_there(world, 1)
        assert operator.dask.lost == []
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def test_issue_910_scaling_to_zero_is_done_although_a_worker_is_gone_already(clock: Clock) -> None:
    world = World()
    make(world, replicas=3)

    async def story() -> None:
        operator = await settled(world)

        def fault(_number: int, request: str, act: Callable[[], Object]) -> Object:
            if request.startswith("DELETE pods/"):
                act()
                world.drop(PODS, request.removeprefix("DELETE pods/"))
                raise ApiError(404, "NotFound", "gone")
            return act()

        operator.client.fault = fault
        world.change(DASK_WORKER_GROUPS, "simple-default", scale(0))
        await asyncio.sleep(CONVERGED_SECONDS)
        all_there(world, 0)
        assert warnings(world) == []
        deleted = [request for request in operator.client.requests if request.startswith("DELETE pods/")]
        assert len(deleted) == 3
        await operator.stop()

    simulate(lambda: play(world, clock, story))


def without_an_answer(clock: Clock, *, replicas: int) -> tuple[list[str], list[str]]:
    """Which of twenty workers are left when no scheduler ever says which to take; with all, oldest first."""
    world = World()
    make(world, replicas=4)
    before: list[str] = []

    async def story() -> None:
        operator = await settled(world, seconds=10)
        for number in range(8, 24, 4):
            world.change(DASK_CLUSTERS, "simple", scale(number))
            await asyncio.sleep(10)
        pods = sorted(world.live_pods(), key=lambda pod: pod["metadata"]["creationTimestamp"])
        before.extend(pod["metadata"]["name"] for pod in pods)
        operator.dask.away = True
        world.change(DASK_CLUSTERS, "simple", scale(replicas))
        await asyncio.sleep(400)
        await operator.stop()

    simulate(lambda: play(world, clock, story))
    assert len(before) == 20
    return before, sorted(pod["metadata"]["name"] for pod in world.live_pods())


def test_issue_912_without_an_answer_of_the_scheduler_workers_go_all_the_same(clock: Clock) -> None:
    _, left = without_an_answer(clock, replicas=4)
    assert len(left) == 4


def test_issue_931_without_an_answer_of_the_scheduler_it_is_the_youngest_that_go(clock: Clock) -> None:
    before, left = without_an_answer(clock, replicas=8)
    assert left == sorted(before[:8])


def test_issue_914_workers_of_other_groups_are_left_alone(clock: Clock) -> None:
    world = World()
    make(world, replicas=4, extra=3)

    async def story() -> None:
        operator = await settled(world)
        for pod in world.live_pods("simple-default"):  # those of the other group have nothing, and look expendable
            operator.dask.place(pod["metadata"]["name"], pod["metadata"]["name"])
        others = {pod["status"]["podIP"] for pod in world.live_pods("simple-extra")}
        retired: set[str] = set()
        retire = operator.dask.retire

        async def noted(at: Endpoint, addresses: Collection[str], *, timeout_seconds: float) -> frozenset[str]:
            retired.update(address.rpartition(":")[0].removeprefix("tcp://") for address in addresses)
            return await retire(at, addresses, timeout_seconds=timeout_seconds)

        operator.dask.retire = noted  # type: ignore[method-assign]
        before = uids(world.live_pods("simple-extra"))
        world.change(DASK_CLUSTERS, "simple", scale(1))
        await asyncio.sleep(CONVERGED_SECONDS)
        assert len(world.live_pods("simple-default")) == 1
        assert uids(world.live_pods("simple-extra")) == before
        assert len(retired) == 3
        assert not retired & others
        assert operator.dask.lost == []
        await operator.stop()

    simulate(lambda: play(world, clock, story))


@pytest.mark.parametrize("seed", range(4))
def test_issue_930_no_more_workers_go_than_are_too_many(clock: Clock, seed: int) -> None:
    world = World()
    make(world, replicas=8)

    async def story() -> None:
        operator = await settled(world, seed=seed)
        give_each_worker_a_result(operator.dask)
        world.change(DASK_CLUSTERS, "simple", scale(2))
        fewest = 8
        for _ in range(4 * CONVERGED_SECONDS):
            await asyncio.sleep(0.25)
            registered = await operator.dask.workers(AT)
            fewest = min(fewest, len(world.live_pods()), len(registered))
        assert fewest == 2
        all_there(world, 2)
        deleted = [request for request in operator.client.requests if request.startswith("DELETE pods/")]
        assert len(deleted) == 6
        await operator.stop()

    simulate(lambda: play(world, clock, story))
