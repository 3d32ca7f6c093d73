"""Leader election: one replica leads, never two, and soon another when it is gone. Time is virtual."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_kubernetes_operator.kube import ApiError, Client
from dask_kubernetes_operator.leader import Elector
from dask_kubernetes_operator.resources import LEASES, Resource
from dask_kubernetes_operator.settings import Election

from .objects import NOW, Object
from .virtual_time import simulate

pytestmark = pytest.mark.unit

WHERE = ("operators", "the-lease")
LEASE_SECONDS = 15.0
TAKEOVER_SECONDS = 20.0
HANDOVER_SECONDS = 3.0


def clock() -> float:
    return asyncio.get_running_loop().time()


async def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for something that comes with time; returns how long that took."""
    begun = clock()
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - virtual time: it costs none
            await asyncio.sleep(0.02)
    return clock() - begun


class Leases:
    """An API server with one Lease, or none."""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.version = 100

    def get(self) -> Object:
        if self.lease is None:
            raise ApiError(404, "NotFound", "the lease is not there")
        return self.lease

    def create(self, body: Object) -> Object:
        if self.lease is not None:
            raise ApiError(409, "AlreadyExists", "the lease is there")
        return self._store(body["spec"])

    def patch(self, patch: Object) -> Object:
        if patch["metadata"]["resourceVersion"] != self.get()["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the lease has been modified")
        return self._store({**self.get()["spec"], **patch["spec"]})

    @property
    def holder(self) -> str:
        return str(self.get()["spec"]["holderIdentity"])

    def _store(self, spec: Object) -> Object:
        self.version += 1
        self.lease = {"metadata": {"resourceVersion": str(self.version)}, "spec": spec}
        return self.lease


class Link(Client):
    """One replica's way to the API server, which can fail in the usual ways."""

    def __init__(self, leases: Leases, *, seed: int = 0) -> None:
        self.leases = leases
        self.away = False  # refuses connections
        self.dead = False  # answers nothing any more, and sends nothing
        self.deaf = False  # does what it is asked, but the answers are lost
        self.slow_seconds = 0.0
        self.forbidden = False
        self.writes = 0
        self._random = random.Random(seed)  # noqa: S311

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        assert (resource, namespace, name) == (LEASES, *WHERE)
        return await self._travel(self.leases.get)

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        assert (resource, namespace, body["metadata"]["name"]) == (LEASES, *WHERE)
        self.writes += 1
        return await self._travel(lambda: self.leases.create(body))

    async def patch(
        self, resource: Resource, namespace: str, name: str, patch: Any, *, subresource: str | None = None
    ) -> Object:
        assert (resource, namespace, name, subresource) == (LEASES, *WHERE, None)
        self.writes += 1
        return await self._travel(lambda: self.leases.patch(patch))

    async def _travel(self, act: Callable[[], Object]) -> Object:
        await asyncio.sleep(self._random.uniform(0.001, 0.05) + self.slow_seconds / 2)
        if self.dead:
            await asyncio.sleep(1e9)
        if self.away:
            raise ApiError(0, "NoAnswer", "connection refused")
        if self.forbidden:
            raise ApiError(403, "Forbidden", "leases is forbidden")
        answer = act()
        if self.deaf:
            await asyncio.sleep(1e9)
        await asyncio.sleep(self._random.uniform(0.001, 0.05) + self.slow_seconds / 2)
        return answer


class Replica:
    """One replica of the operator: all it does is lead or rest."""

    def __init__(
        self,
        name: str,
        leases: Leases,
        peers: list[Replica],
        *,
        skew: timedelta = timedelta(0),
        insisted_on: bool = True,
        resting_seconds: float = 0.2,
    ) -> None:
        self.name = name
        self.link = Link(leases, seed=len(peers))
        election = Election(*WHERE, name, LEASE_SECONDS, insisted_on)
        self.elector = Elector(self.link, election, now=lambda: _wall_clock() + skew)
        self.resting_seconds = resting_seconds
        self.acting = False
        self.crashed = False
        self.told: list[tuple[str, float]] = []
        self.peers = peers
        peers.append(self)
        self.task = asyncio.create_task(self.elector.run(self._lead, self._rest))

    async def crash(self) -> None:
        """The process is killed: nothing is sent, nothing is cleaned up."""
        self.link.dead = True
        self.crashed = True

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def leads_within(self, seconds: float) -> float:
        """Wait until it leads; returns how long that took."""
        return await until(lambda: self.elector.leads and self.acting, seconds)

    def _lead(self) -> None:
        self.acting = True
        self.told.append(("lead", clock()))
        assert_one_leads(self.peers)

    async def _rest(self) -> None:
        await asyncio.sleep(self.resting_seconds)
        self.acting = False
        self.told.append(("rest", clock()))


def _wall_clock() -> datetime:
    return NOW + timedelta(seconds=clock())


def assert_one_leads(replicas: list[Replica]) -> None:
    leading = [replica.name for replica in replicas if replica.elector.leads and not replica.crashed]
    acting = [replica.name for replica in replicas if replica.acting and not replica.crashed]
    assert len(leading) <= 1, f"{leading} lead at {clock()}"
    assert len(acting) <= 1, f"{acting} act at {clock()}"


async def leader_and_standby(leases: Leases, replicas: list[Replica]) -> tuple[Replica, Replica]:
    first = Replica("first", leases, replicas)
    await first.leads_within(1)
    second = Replica("second", leases, replicas)
    await asyncio.sleep(5)
    return first, second


def elections(story: Callable[[Leases, list[Replica]], Coroutine[Any, Any, None]]) -> None:
    """Run a story, watch that never two lead, and clean up behind it."""

    async def run() -> None:
        leases, replicas = Leases(), list[Replica]()

        async def watch() -> None:
            while True:
                assert_one_leads(replicas)
                await asyncio.sleep(0.5)

        random.seed(0)
        watching = asyncio.create_task(watch())
        try:
            await story(leases, replicas)
            assert not watching.done(), watching.exception()
        finally:
            watching.cancel()
            for replica in replicas:
                await replica.stop()

    simulate(run)


def test_only_replica_leads_at_once() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first = Replica("first", leases, replicas)
        assert await first.leads_within(1) < 0.5
        assert leases.holder == "first"

    elections(story)


def test_of_replicas_that_begin_together_one_leads() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        for number in range(5):
            Replica(f"replica-{number}", leases, replicas)
        await asyncio.sleep(60)
        assert sum(len(replica.told) for replica in replicas) == 1

    elections(story)


def test_leader_keeps_leading_as_long_as_it_can_renew() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first, second = await leader_and_standby(leases, replicas)
        await asyncio.sleep(3600)
        assert [what for what, _ in first.told] == ["lead"]
        assert second.told == []

    elections(story)


def test_leading_costs_few_requests() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first = Replica("first", leases, replicas)
        await first.leads_within(1)
        before = first.link.writes
        await asyncio.sleep(300)
        assert first.link.writes - before <= 300 / (LEASE_SECONDS / 5)

    elections(story)


def test_replica_that_was_killed_is_replaced_within_20_seconds() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first, second = await leader_and_standby(leases, replicas)
        await asyncio.sleep(60)
        await first.crash()
        assert await second.leads_within(TAKEOVER_SECONDS) < TAKEOVER_SECONDS
        assert leases.get()["spec"]["leaseTransitions"] == 1

    elections(story)


def test_container_that_was_killed_leads_again_at_once() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first, second = await leader_and_standby(leases, replicas)
        await asyncio.sleep(60)
        await first.crash()
        again = Replica("first", leases, replicas)
        assert await again.leads_within(1) < 0.5
        assert second.told == []
        assert leases.get()["spec"]["leaseTransitions"] == 0

    elections(story)


def test_replica_that_is_stopped_hands_over_at_once() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first, second = await leader_and_standby(leases, replicas)
        await asyncio.sleep(60)
        await first.stop()
        assert leases.holder == ""
        assert await second.leads_within(HANDOVER_SECONDS) < HANDOVER_SECONDS

    elections(story)


def test_lease_is_given_back_only_when_all_work_has_ended() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first = Replica("first", leases, replicas, resting_seconds=2)
        await first.leads_within(1)
        stopping = asyncio.create_task(first.stop())
        await asyncio.sleep(1)
        assert leases.holder == "first"
        await stopping
        assert (leases.holder, first.acting) == ("", False)

    elections(story)


def test_standby_that_is_stopped_leaves_the_lease_alone() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        _first, second = await leader_and_standby(leases, replicas)
        await asyncio.sleep(5)
        await second.stop()
        assert (leases.holder, second.told) == ("first", [])

    elections(story)


def test_stop_does_not_wait_for_an_api_server_that_is_away() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first = Replica("first", leases, replicas)
        await first.leads_within(1)
        first.link.dead = True
        begun = clock()
        await first.stop()
        assert clock() - begun < HANDOVER_SECONDS

    elections(story)


@pytest.mark.parametrize("fault", ["away", "dead", "deaf", "forbidden"])
def test_leader_that_cannot_renew_rests_before_another_leads(fault: str) -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first = Replica("first", leases, replicas, resting_seconds=3)
        await first.leads_within(1)
        second = Replica("second", leases, replicas)
        await asyncio.sleep(60)
        setattr(first.link, fault, True)
        await second.leads_within(2 * TAKEOVER_SECONDS)
        rested_at = dict(first.told)["rest"]
        assert rested_at < dict(second.told)["lead"]

    elections(story)


def test_one_leads_again_when_the_api_server_is_back() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first, second = await leader_and_standby(leases, replicas)
        for link in (first.link, second.link):
            link.away = True
        await asyncio.sleep(120)
        assert not first.elector.leads
        assert not second.elector.leads
        for link in (first.link, second.link):
            link.away = False
        await asyncio.sleep(3)
        assert first.elector.leads or second.elector.leads

    elections(story)


def test_short_outage_changes_nothing() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first, second = await leader_and_standby(leases, replicas)
        for offset in range(20):
            await asyncio.sleep(30 + offset / 7)
            for link in (first.link, second.link):
                link.away = True
            await asyncio.sleep(4)
            for link in (first.link, second.link):
                link.away = False
        assert [what for what, _ in first.told] == ["lead"]

    elections(story)


def test_slow_api_server_changes_nothing() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first, second = await leader_and_standby(leases, replicas)
        first.link.slow_seconds = second.link.slow_seconds = 3
        await asyncio.sleep(600)
        assert [what for what, _ in first.told] == ["lead"]

    elections(story)


def test_renewal_whose_answer_was_lost_does_not_end_the_lead() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first = Replica("first", leases, replicas)
        await first.leads_within(1)
        version = leases.version
        first.link.deaf = True
        await until(lambda: leases.version > version, LEASE_SECONDS)
        first.link.deaf = False
        await asyncio.sleep(60)
        assert [what for what, _ in first.told] == ["lead"]

    elections(story)


def test_acting_is_forbidden_from_the_deadline_on_even_if_the_work_does_not_end() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first = Replica("first", leases, replicas, resting_seconds=0)
        await first.leads_within(1)
        await asyncio.sleep(60)
        first.link.dead = True
        # Whatever becomes of the tasks of a process that hangs: only the clock decides.
        assert await until(lambda: not first.elector.leads, LEASE_SECONDS) <= LEASE_SECONDS * 2 / 3

    elections(story)


@pytest.mark.parametrize("skew_hours", [-24, 24])
def test_clocks_that_differ_change_nothing(skew_hours: int) -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first = Replica("first", leases, replicas)
        await first.leads_within(1)
        second = Replica("second", leases, replicas, skew=timedelta(hours=skew_hours))
        await asyncio.sleep(600)
        assert second.told == []
        await first.crash()
        assert await second.leads_within(TAKEOVER_SECONDS) > LEASE_SECONDS / 2
        third = Replica("third", leases, replicas)
        await asyncio.sleep(600)
        assert third.told == []

    elections(story)


def test_lease_that_is_deleted_is_not_free_as_long_as_its_holder_may_act() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        _first, second = await leader_and_standby(leases, replicas)
        await asyncio.sleep(60)
        leases.lease = None
        await asyncio.sleep(60)
        assert (leases.holder, second.told) == ("first", [])

    elections(story)


def test_leader_whose_lease_was_taken_by_hand_rests() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first = Replica("first", leases, replicas)
        await first.leads_within(1)
        lease = leases.get()
        leases.patch({"metadata": lease["metadata"], "spec": {"holderIdentity": "a person"}})
        await asyncio.sleep(LEASE_SECONDS / 2)
        assert [what for what, _ in first.told] == ["lead", "rest"]
        assert (await first.leads_within(TAKEOVER_SECONDS)) > LEASE_SECONDS / 2

    elections(story)


def test_who_takes_over_waits_for_what_the_last_leader_wrote() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first, second = await leader_and_standby(leases, replicas)
        await first.stop()
        await until(lambda: leases.holder == "second", HANDOVER_SECONDS)
        assert await second.leads_within(HANDOVER_SECONDS) > 0.4

    elections(story)


def test_without_a_right_to_leases_an_operator_that_was_not_told_to_elect_leads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        only = Replica("only", leases, replicas, insisted_on=False)
        only.link.forbidden = True
        await only.leads_within(2 * LEASE_SECONDS)
        await asyncio.sleep(3600)
        assert only.elector.leads

    with caplog.at_level(logging.WARNING):
        elections(story)
    assert "DASK_OPERATOR_LEADER_ELECTION=false" in caplog.text


def test_without_a_right_to_leases_an_operator_that_was_told_to_elect_does_not_lead(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        only = Replica("only", leases, replicas, insisted_on=True)
        only.link.forbidden = True
        await asyncio.sleep(3600)
        assert only.told == []
        only.link.forbidden = False
        await only.leads_within(3)

    with caplog.at_level(logging.WARNING):
        elections(story)
    assert caplog.text.count("leases is forbidden") == 1


def test_right_that_is_missing_for_a_moment_is_waited_for() -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        first = Replica("first", leases, replicas, insisted_on=False)
        await first.leads_within(1)
        second = Replica("second", leases, replicas, insisted_on=False)
        second.link.forbidden = True
        await asyncio.sleep(LEASE_SECONDS / 2)
        second.link.forbidden = False
        await asyncio.sleep(60)
        assert second.told == []

    elections(story)


FAULTS = st.tuples(
    st.sampled_from(["away", "dead", "deaf", "forbidden", "slow", "crash", "stop", "start"]),
    st.integers(0, 2),
    st.floats(0.1, 40, allow_nan=False),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(FAULTS, max_size=15))
def test_never_two_lead_whatever_fails(script: list[tuple[str, int, float]]) -> None:
    async def story(leases: Leases, replicas: list[Replica]) -> None:
        there = [Replica(f"replica-{number}", leases, replicas) for number in range(3)]
        for number, (fault, index, seconds) in enumerate(script):
            replica = there[index]
            if fault in ("away", "dead", "deaf", "forbidden"):
                setattr(replica.link, fault, True)
                await asyncio.sleep(seconds)
                setattr(replica.link, fault, replica.crashed and fault == "dead")
            elif fault == "slow":
                replica.link.slow_seconds = seconds / 4
                await asyncio.sleep(seconds)
                replica.link.slow_seconds = 0
            else:
                await (replica.crash() if fault == "crash" else replica.stop())
                if fault == "start":
                    there[index] = Replica(f"replica-{number}-{index}", leases, replicas)
                await asyncio.sleep(seconds)
        alive = [replica for replica in there if not replica.crashed and not replica.task.done()]
        await asyncio.sleep(2 * TAKEOVER_SECONDS)
        assert not alive or sum(replica.elector.leads for replica in alive) == 1

    elections(story)
