"""What a scheduler is asked and told in the background: never twice at once, ever less often while it is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from dask_kubernetes_operator.reconcile.actions import Retire
from dask_kubernetes_operator.reconcile.conversation import Conversation
from dask_kubernetes_operator.reconcile.report import NOTHING_SAID, IdleSince, Target, Workers
from dask_kubernetes_operator.resources import PODS
from dask_kubernetes_operator.scheduler import Endpoint, SchedulerError

from .dask_world import DaskWorld
from .objects import group, scheduler_pod, worker
from .operator import Clock
from .virtual_time import simulate
from .world import World

pytestmark = pytest.mark.unit

ENDPOINT = Endpoint("http://simple-scheduler.default.svc:8787", "tcp://simple-scheduler.default.svc:8786")
SECOND = timedelta(seconds=1)


class Stage:
    """A scheduler with two workers, and a conversation with it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.world = World()
        self.world.now = clock
        self.dask = DaskWorld(self.world)
        self.world.put(PODS, scheduler_pod())
        for number, name in enumerate(("w1", "w2")):
            self.world.put(PODS, worker(name, group(), ip=f"10.0.0.{number + 2}"))
        self.heard: list[float] = []
        self.conversation = Conversation("default/simple", self.dask, clock, self._hear)
        self.conversation.with_partner("uid-simple")

    def _hear(self) -> None:
        self.heard.append(asyncio.get_running_loop().time())

    def ask(self, *questions: Any, retire: tuple[Retire, ...] = ()) -> None:
        self.conversation.go_on(ENDPOINT, dict.fromkeys(questions, self.clock()), retire)

    def retirement(self, *names: str, seconds: int = 300) -> Retire:
        pods = [self.world.get(PODS, name) for name in names]
        addresses = frozenset(f"tcp://{pod['status']['podIP']}:40000" for pod in pods)
        return Retire(pods[0]["metadata"]["uid"], addresses, self.clock() + seconds * SECOND)

    def known(self) -> list[str]:
        return sorted(found.name for found in self.conversation.report.answers[Workers()].workers)


def play(clock: Clock, story: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
    """Tell a story on a stage; nothing of it goes on after its end."""

    async def told() -> None:
        stage = Stage(clock)
        await story(stage)
        await asyncio.wait_for(stage.conversation.end(), timeout=60)
        asked = len(stage.dask.requests)
        await asyncio.sleep(60)
        assert len(stage.dask.requests) == asked, "it goes on after its end"

    simulate(told)


# Questions --------------------------------------------------------------------------------------------------------


def test_question_is_answered_and_heard_of(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(1)
        stage.ask(Workers())
        asked_at = clock()
        await asyncio.sleep(1)
        assert stage.known() == ["w1", "w2"]
        assert stage.conversation.report.answers[Workers()].asked_at == asked_at
        assert len(stage.heard) == 1

    play(clock, story)


def test_several_questions_are_heard_of_once(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.dask.target = 7
        stage.ask(Workers(), IdleSince(), Target(None), Target(5.0))
        await asyncio.sleep(1)
        answers = stage.conversation.report.answers
        assert set(answers) == {Workers(), IdleSince(), Target(None), Target(5.0)}
        assert answers[Target(5.0)].target == 7
        assert len(stage.heard) == 1
        assert sorted(stage.dask.requests) == ["adaptive_target", "adaptive_target", "idle_since", "workers"]

    play(clock, story)


def test_question_that_was_answered_since_is_not_asked_again(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.ask(Workers())
        await asyncio.sleep(1)
        answered = stage.conversation.report.answers[Workers()].asked_at
        stage.conversation.go_on(ENDPOINT, {Workers(): answered}, ())
        await asyncio.sleep(10)
        assert stage.dask.requests == ["workers"]
        stage.ask(Workers())
        await asyncio.sleep(10)
        assert stage.dask.requests == ["workers", "workers"]

    play(clock, story)


def test_question_is_not_asked_twice_at_once(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        for _ in range(5):
            stage.conversation.go_on(ENDPOINT, {Workers(): clock() - SECOND}, ())
            await asyncio.sleep(0)
        await asyncio.sleep(10)
        assert stage.dask.requests == ["workers"]

    play(clock, story)


def test_what_is_asked_last_counts_while_a_scheduler_is_silent(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.dask.away = True
        stage.ask(Workers())
        await asyncio.sleep(60)
        stage.ask(IdleSince())
        stage.dask.away = False
        await asyncio.sleep(30)
        assert IdleSince() in stage.conversation.report.answers
        assert Workers() not in stage.conversation.report.answers

    play(clock, story)


# Silence ----------------------------------------------------------------------------------------------------------


def test_silent_scheduler_is_asked_ever_more_rarely_and_told_of_once(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.dask.away = True
        stage.ask(Workers())
        await asyncio.sleep(600)
        assert 600 / 20 <= len(stage.dask.requests) <= 600 / 10 + 10
        assert len(stage.heard) == 1
        refusal = stage.conversation.report.refusal
        assert refusal is not None
        assert (refusal.reason, refusal.message) == (
            "SchedulerUnreachable",
            "tcp://simple-scheduler.default.svc:8786 does not answer",
        )
        assert (clock() - refusal.since) > 599 * SECOND, "since it was first silent"

    play(clock, story)


def test_scheduler_that_answers_again_is_heard_of_soon(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.dask.away = True
        stage.ask(Workers())
        await asyncio.sleep(600)
        stage.dask.away = False
        await asyncio.sleep(21)
        assert stage.known() == ["w1", "w2"]
        assert stage.conversation.report.refusal is None
        assert len(stage.heard) == 2

    play(clock, story)


def test_another_reason_of_silence_is_told(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.dask.away = True
        stage.ask(Workers())
        await asyncio.sleep(60)

        def nonsense(_request: str) -> None:
            raise SchedulerError("SchedulerAnswerInvalid", "nonsense")

        stage.dask.fault = nonsense
        await asyncio.sleep(60)
        refusal = stage.conversation.report.refusal
        assert refusal is not None
        assert refusal.reason == "SchedulerAnswerInvalid"
        assert len(stage.heard) == 2

    play(clock, story)


def test_silence_leaves_what_was_said_before(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.ask(Workers())
        await asyncio.sleep(1)
        stage.dask.away = True
        stage.ask(Workers())
        await asyncio.sleep(30)
        assert stage.conversation.report.refusal is not None
        assert stage.known() == ["w1", "w2"]

    play(clock, story)


def test_nobody_is_asked_any_more_when_there_is_nothing_to_ask(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.dask.away = True
        stage.ask(Workers())
        await asyncio.sleep(60)
        stage.conversation.leave_off()
        asked = len(stage.dask.requests)
        await asyncio.sleep(600)
        assert len(stage.dask.requests) <= asked + 1
        assert stage.conversation.report.refusal is None

    play(clock, story)


def test_bug_of_the_client_is_logged_and_the_next_question_asked(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(_request: str) -> None:
        raise RuntimeError("a bug")

    async def story(stage: Stage) -> None:
        stage.dask.fault = bug
        stage.ask(Workers(), retire=(stage.retirement("w1"),))
        await asyncio.sleep(10)
        assert caplog.text.count("RuntimeError: a bug") == 2
        stage.dask.fault = lambda _request: None
        stage.ask(Workers(), retire=(stage.retirement("w1"),))
        await asyncio.sleep(1)
        assert stage.known() == ["w2"]

    play(clock, story)


# Another scheduler of the same name -------------------------------------------------------------------------------


def test_what_another_scheduler_said_is_forgotten(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.ask(Workers())
        await asyncio.sleep(1)
        stage.conversation.with_partner("uid-simple")
        assert stage.known() == ["w1", "w2"]
        stage.conversation.with_partner("uid-again")
        assert stage.conversation.report is NOTHING_SAID

    play(clock, story)


@pytest.mark.parametrize("away", [False, True], ids=["its answer", "its silence"])
def test_what_another_scheduler_says_late_does_not_count(clock: Clock, away: bool) -> None:
    async def story(stage: Stage) -> None:
        stage.dask.away = away
        stage.ask(Workers())
        await asyncio.sleep(0.0005)
        stage.conversation.with_partner("uid-again")
        await asyncio.sleep(0.5)
        assert stage.conversation.report == NOTHING_SAID

    play(clock, story)


# Retirement -------------------------------------------------------------------------------------------------------


def test_worker_is_retired_and_its_absence_heard_of_at_once(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.dask.place("result", "w1")
        stage.ask(retire=(stage.retirement("w1"),))
        await asyncio.sleep(1)
        assert stage.known() == ["w2"]
        assert stage.conversation.report.retired == {"uid-w1"}
        assert stage.dask.holders("result") == {"uid-w2"}
        assert len(stage.heard) == 1

    play(clock, story)


def test_worker_that_is_being_retired_is_not_retired_again(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        for _ in range(20):
            stage.ask(retire=(stage.retirement("w1"),))
            await asyncio.sleep(0.01)
        await asyncio.sleep(10)
        assert stage.dask.requests.count("retire") == 1

    play(clock, story)


def test_several_workers_are_retired_together(clock: Clock) -> None:
    # One after the other, the first would hand over its data to the second.
    async def story(stage: Stage) -> None:
        stage.world.put(PODS, worker("w3", group(), ip="10.0.0.9"))
        for name in ("w1", "w2"):
            stage.dask.place(name, name)
        stage.ask(retire=(stage.retirement("w1"), stage.retirement("w2")))
        await asyncio.sleep(2)
        assert stage.dask.requests.count("retire") == 1
        assert stage.dask.holders("w1") == stage.dask.holders("w2") == {"uid-w3"}

    play(clock, story)


def test_worker_that_joins_those_being_retired_does_not_wait_for_them(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.ask(retire=(stage.retirement("w1"),))
        await asyncio.sleep(0.01)
        stage.ask(retire=(stage.retirement("w1"), stage.retirement("w2")))
        await asyncio.sleep(0.1)
        assert stage.dask.requests.count("retire") == 2

    play(clock, story)


@pytest.mark.parametrize("trouble", ["silence", "nowhere to move"])
def test_retirement_that_fails_is_not_tried_again_at_once(clock: Clock, trouble: str) -> None:
    async def story(stage: Stage) -> None:
        for name in ("w1", "w2"):
            stage.dask.place(name, name)
        stage.dask.away = trouble == "silence"
        both = (stage.retirement("w1"), stage.retirement("w2"))
        for _ in range(240):
            stage.ask(retire=both)
            await asyncio.sleep(0.25)
        tries = stage.dask.requests.count("retire")
        assert 3 <= tries <= 60 / 2
        assert not stage.dask.lost
        stage.dask.away = False
        stage.world.put(PODS, worker("w3", group(), ip="10.0.0.9"))
        for _ in range(100):
            stage.ask(retire=both)
            await asyncio.sleep(0.25)
        stage.ask(Workers())
        assert stage.dask.holders("w1") == stage.dask.holders("w2") == {"uid-w3"}

    play(clock, story)


@pytest.mark.parametrize(("left", "given"), [(5, 5.0), (300, 30.0), (0, 1.0), (-60, 1.0)])
def test_retirement_is_given_the_time_that_is_left_but_not_all_at_once(clock: Clock, left: int, given: float) -> None:
    timeouts: list[float] = []

    async def story(stage: Stage) -> None:
        retire = stage.dask.retire

        async def timed(at: Endpoint, addresses: Any, *, timeout_seconds: float) -> frozenset[str]:
            timeouts.append(timeout_seconds)
            return await retire(at, addresses, timeout_seconds=timeout_seconds)

        stage.dask.retire = timed  # type: ignore[method-assign]
        stage.ask(retire=(stage.retirement("w1", seconds=left),))
        await asyncio.sleep(1)
        assert timeouts == [given]

    play(clock, story)


def test_what_is_confirmed_is_remembered_as_long_as_there_is_a_pod(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        stage.ask(Workers(), retire=(stage.retirement("w1"),))
        await asyncio.sleep(1)
        assert stage.conversation.report.retired == {"uid-w1"}
        assert stage.conversation.report.registered >= {"w1", "10.0.0.2", "w2", "10.0.0.3"}
        stage.conversation.forget_all_but(["uid-w2", "w2", "10.0.0.3"])
        assert stage.conversation.report.retired == frozenset()
        assert stage.conversation.report.registered == {"w2", "10.0.0.3"}

    play(clock, story)


def test_pod_of_which_not_every_worker_could_retire_is_not_confirmed(clock: Clock) -> None:
    async def story(stage: Stage) -> None:
        for name in ("w1", "w2"):
            stage.dask.place(name, name)
        retirement = stage.retirement("w1", "w2")  # as if both were processes of one Pod
        stage.ask(retire=(retirement,))
        await asyncio.sleep(1)
        assert stage.conversation.report.retired == frozenset()

    play(clock, story)


def test_end_does_not_wait_for_a_slow_scheduler(clock: Clock) -> None:
    async def story() -> None:
        stage = Stage(clock)
        release = asyncio.Event()

        async def slow(_at: Endpoint) -> Any:
            await release.wait()

        stage.dask.workers = slow  # type: ignore[assignment, method-assign]
        stage.ask(Workers())
        await asyncio.sleep(1)
        await asyncio.wait_for(stage.conversation.end(), timeout=1)
        assert stage.heard == []

    simulate(story)
