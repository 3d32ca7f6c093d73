"""One thing goes wrong at one moment, and what becomes of a scenario then.

A scenario begins with a world at rest and asks something of it. `perform` plays it with a `Fault` and returns how it
ended, for comparison with how it ends when nothing goes wrong. All time is virtual.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from dask_kubernetes_operator.kube import REQUEST_TIMEOUT_SECONDS, ApiError
from dask_kubernetes_operator.reconcile import listings
from dask_kubernetes_operator.resources import DEPLOYMENTS, PODS, Resource
from dask_kubernetes_operator.scheduler import Endpoint, SchedulerError, Worker

from .dask_world import DaskWorld
from .jobs import ended
from .objects import Object
from .operator import Clock, Operator
from .states import difference, plain, state_of
from .virtual_time import simulate
from .world import CUSTOM, FakeClient, World

# So soon after a fault is over all is as if there had been none.
CONVERGED_SECONDS = 30
# So long it then stays so.
QUIET_SECONDS = 4

_AT_REST_SECONDS = 60
_TICK_SECONDS = 0.5
_WATCH_ANEW_SECONDS = 5
FOR_EVER = ["sleep", "infinity"]
_RUNNER_TAKES = timedelta(seconds=4)

# Beyond this k nothing happens any more in any scenario.
_MOST = 400

T = TypeVar("T")


@dataclass
class Outcome:
    """How a scenario ended.

    Attributes:
        state: see `state_of`.
        made: how many objects of each kind and name were created.
        gone: how many were deleted.
        calls: how many requests were made of the API server.
        writes: how many of these were no lists.
        events: how many watch events there were.
        questions: how many requests were made of the scheduler.
        happened: whether the fault did.
    """

    state: list[str]
    made: Counter[str]
    gone: Counter[str]
    calls: int
    writes: int
    events: int
    questions: int
    happened: bool


# The stage ---------------------------------------------------------------------------------------------------------


class TroubledClient(FakeClient):
    """A client whose calls go by way of a fault."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.world)
        self._stage = stage

    async def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> tuple[list[Object], int]:
        def act() -> tuple[list[Object], int]:
            world = self._stage.fault.listed(self._stage)
            return world.list(resource, namespace, label_selector, field_selector)

        return await self._call(f"GET {resource.plural}", act)

    async def _write(self, request: str, act: Callable[[], Object]) -> Object:
        return await self._call(request, act)

    async def _call(self, request: str, act: Callable[[], T]) -> T:
        await self._travel()
        self.requests.append(request)
        answer = await self._stage.fault.call(self._stage, request, act)
        await self._travel()
        return answer


class TroubledDask(DaskWorld):
    """Schedulers whose answers go by way of a fault."""

    stage: Stage

    async def workers(self, at: Endpoint) -> tuple[Worker, ...]:
        answer = await self._through("workers", lambda: super(TroubledDask, self).workers(at))
        return self.stage.fault.seen(answer)

    async def retire(self, at: Endpoint, addresses: Collection[str], *, timeout_seconds: float) -> frozenset[str]:
        return await self._through(
            "retire", lambda: super(TroubledDask, self).retire(at, addresses, timeout_seconds=timeout_seconds)
        )

    async def adaptive_target(self, at: Endpoint, *, target_duration_seconds: float | None = None) -> int:
        return await self._through(
            "adaptive_target",
            lambda: super(TroubledDask, self).adaptive_target(at, target_duration_seconds=target_duration_seconds),
        )

    async def idle_since(self, at: Endpoint) -> datetime | None:
        return await self._through("idle_since", lambda: super(TroubledDask, self).idle_since(at))

    async def _through(self, request: str, act: Callable[[], Awaitable[T]]) -> T:
        return await self.stage.fault.question(self.stage, request, act)


class TroubledOperator(Operator):
    """A controller whose watches go by way of a fault."""

    def __init__(self, stage: Stage, *, leading: bool = True) -> None:
        super().__init__(stage.world, dask=stage.dask, client=TroubledClient(stage), leading=leading)
        self._stage = stage

    def start(self, *, seen: World | None = None) -> None:
        """Start with what there is, or what there was once."""
        for resource, body in (seen or self.world).watched():
            self.reconciler.changed(resource, body, event=None)
        self.world.listeners.append(self._deliver)
        self.reconciler.watching(None)

    def _deliver(self, resource: Resource, event: str, body: Object) -> None:
        self._stage.fault.event(self._stage, self, resource, event, body)

    def watch_anew(self, resource: Resource) -> None:
        """A watch was interrupted and begins anew: all there is of a kind is listed."""
        for kind, body in self.world.watched():
            if kind == resource:
                self.reconciler.changed(kind, body, event=None)
        self.reconciler.watching(None)


class Stage:
    """A world, its schedulers and its controller, and a record of what is made and what goes.

    Attributes:
        complaints: what at some moment was not as it has to be at all moments.
    """

    def __init__(self, world: World, scenario: Scenario, fault: Fault) -> None:
        self.world = world
        self.scenario = scenario
        self.fault = fault
        self.dask = TroubledDask(world)
        self.dask.stage = self
        self.dask.target = scenario.target
        self.operators: list[TroubledOperator] = []
        self.made: Counter[str] = Counter()
        self.gone: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.asked = False
        world.listeners.append(self._record)

    def start(self, *, leading: bool = True) -> TroubledOperator:
        """Start a controller."""
        operator = TroubledOperator(self, leading=leading)
        self.operators.append(operator)
        self.fault.start(self, operator)
        return operator

    async def kill(self) -> None:
        """End the controller that leads; nothing gets from it to the API server any more."""
        operator = self.operators.pop(0)
        operator.client.dead = True
        await operator.stop()

    async def live(self) -> None:
        """Nodes, runners of jobs and garbage collection do their part."""
        seen = 0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._end_runners()
            if self.world.version == seen:
                continue  # as it was left last time
            seen = self.world.version
            self.world.run_nodes()
            if self.scenario.garbage_collection:
                self.world.collect_garbage()
            else:
                self._end_schedulers()

    def _end_runners(self) -> None:
        """The program of a job succeeds after a while, unless it runs for ever."""
        for pod in self.world.all(PODS):
            if pod["metadata"]["labels"].get("dask.org/component") != "job-runner":
                continue
            status, args = pod["status"], pod["spec"]["containers"][0]["args"]
            if status["phase"] == "Running" and args != FOR_EVER:
                begun = datetime.fromisoformat(status["conditions"][0]["lastTransitionTime"])
                if self.world.now() >= begun + _RUNNER_TAKES:
                    self.world.change(PODS, pod["metadata"]["name"], _succeed)

    def _end_schedulers(self) -> None:
        """The Pod of a Deployment goes with it."""
        deployments = {body["metadata"]["uid"] for body in self.world.all(DEPLOYMENTS)}
        for pod in self.world.all(PODS):
            owner = pod["metadata"]["ownerReferences"][0]
            if owner["kind"] == "ReplicaSet" and owner["uid"] not in deployments:
                self.world.drop(PODS, pod["metadata"]["name"])

    def _record(self, resource: Resource, event: str, body: Object) -> None:
        if not self.asked:
            return
        name = plain(f"{resource.kind} {body['metadata']['name']}")
        if event == "ADDED":
            self.made[name] += 1
        elif event == "DELETED":
            self.gone[name] += 1
        if resource == PODS:
            for group, (fewest, most) in self.scenario.workers.items():
                alive = len(self.world.live_pods(group))
                if not fewest <= alive <= most:
                    self.complaints.append(f"{alive} workers of {group} after {event} of {name}")


def _succeed(pod: Object) -> None:
    pod["status"] = {"phase": "Succeeded", "containerStatuses": [ended(0)]}


@dataclass(frozen=True)
class Scenario:
    """Something that is asked for.

    Attributes:
        prepare: makes what is there, and at rest, before.
        ask: asks for it.
        workers: of each group, how many workers are alive at least and at most at any moment from then on.
        garbage_collection: whether children of what was deleted go by themselves.
        target: how many workers the scheduler wants before.
        unattended: whether no controller has been there before it is asked for.
        counted: which of what is created and deleted is always the same; empty for all.
        seconds: how long it takes at most if nothing goes wrong.
    """

    prepare: Callable[[World], object]
    ask: Callable[[Stage], Awaitable[None]]
    workers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    garbage_collection: bool = True
    target: int = 0
    unattended: bool = False
    counted: tuple[str, ...] = ()
    seconds: float = CONVERGED_SECONDS


# Faults ------------------------------------------------------------------------------------------------------------


class Fault:
    """Nothing goes wrong.

    Attributes:
        happened: whether it did.
        over: set once nothing goes wrong any more.
        exact: whether because of it nothing is created or deleted that would not be without it.
    """

    def __init__(self) -> None:
        self.happened = False
        self.over = asyncio.Event()
        self.calls = self.writes = self.events = self.questions = 0
        self.exact = True

    async def run(self, stage: Stage) -> None:
        """What it does by itself from the moment at which something is asked for."""

    def start(self, _stage: Stage, operator: TroubledOperator) -> None:
        """A controller starts."""
        operator.start()

    async def call(self, stage: Stage, request: str, act: Callable[[], T]) -> T:
        """The controller makes a request of the API server, which ``act`` carries out."""
        if stage.asked:
            self.calls += 1
            self.writes += not request.startswith("GET")
        return act()

    def listed(self, stage: Stage) -> World:
        """The world as a list request sees it."""
        return stage.world

    def event(self, stage: Stage, operator: TroubledOperator, resource: Resource, event: str, body: Object) -> None:
        """A watch tells the controller something."""
        if stage.asked:
            self.events += 1
        operator._send(resource, event, body)

    async def question(self, stage: Stage, _request: str, act: Callable[[], Awaitable[T]]) -> T:
        """The controller makes a request of a scheduler, which ``act`` carries out."""
        if stage.asked:
            self.questions += 1
        return await act()

    def seen(self, workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
        """What a scheduler says of its workers."""
        return workers


Act = Callable[[], Any]
Trouble = Callable[[str, Act], Awaitable[Any]]


class AtCall(Fault):
    """The k-th request of the API server, from 1, gets into trouble."""

    def __init__(self, number: int, trouble: Trouble) -> None:
        super().__init__()
        self._number = number
        self._trouble = trouble

    async def call(self, stage: Stage, request: str, act: Callable[[], T]) -> T:
        if not stage.asked:
            return act()
        self.calls += 1
        if self.calls != self._number:
            return act()
        self.happened = True
        # What is deleted by its labels, and later than anybody expects, may be of another cluster by then.
        self.exact = "?" not in request
        try:
            answer: T = await self._trouble(request, act)
        finally:
            self.over.set()
        return answer


def refused(code: int, reason: str) -> Trouble:
    """The API server says no."""

    async def trouble(_request: str, _act: Act) -> Any:
        raise ApiError(code, reason, "no")

    return trouble


async def conflict(request: str, _act: Act) -> Any:
    """The API server says that somebody else was faster."""
    raise ApiError(409, "AlreadyExists" if request.startswith("POST") else "Conflict", "no")


def unanswered(*, after_seconds: float, done_after_seconds: float | None) -> Trouble:
    """No answer comes, and the controller gives up after a while; meanwhile, or later, it is done or it never is."""

    async def trouble(_request: str, act: Act) -> Any:
        def done() -> None:
            with suppress(ApiError):
                act()

        if done_after_seconds is not None:
            asyncio.get_running_loop().call_later(done_after_seconds, done)
        await asyncio.sleep(after_seconds)
        raise ApiError(0, "NoAnswer", "no answer")

    return trouble


TROUBLES: Mapping[str, Trouble] = {
    "409": conflict,
    "429": refused(429, "TooManyRequests"),
    "500": refused(500, "InternalError"),
    "connection reset": unanswered(after_seconds=0, done_after_seconds=None),
    "connection reset, but done": unanswered(after_seconds=0.01, done_after_seconds=0),
    "connection reset, and done later": unanswered(after_seconds=0, done_after_seconds=3),
    "time-out": unanswered(after_seconds=REQUEST_TIMEOUT_SECONDS, done_after_seconds=None),
    "time-out, but done": unanswered(after_seconds=REQUEST_TIMEOUT_SECONDS, done_after_seconds=0),
}


class Killed(Fault):
    """The controller ends at its k-th write, or at its k-th request of a scheduler, and another one goes on.

    Args:
        number: k, from 1.
        done: whether the request is carried out.
        asking: whether requests of schedulers are counted, instead of writes.
        standby: whether the other one has been watching all the time, instead of being started.
    """

    def __init__(self, number: int, *, done: bool, asking: bool = False, standby: bool = False) -> None:
        super().__init__()
        self._number = number
        self._done = done
        self._asking = asking
        self._standby = standby
        self._killed = asyncio.Event()

    async def run(self, stage: Stage) -> None:
        if self._standby:
            stage.start(leading=False)
        await self._killed.wait()
        await stage.kill()
        await asyncio.sleep(1)
        if self._standby:
            stage.operators[0].reconciler.lead()
        else:
            stage.start()
        self.over.set()

    async def call(self, stage: Stage, request: str, act: Callable[[], T]) -> T:
        if not stage.asked or self._asking or request.startswith("GET"):
            return act()
        self.writes += 1
        if self.writes != self._number:
            return act()
        if self._done:
            with suppress(ApiError):
                act()
        return cast(T, await self._die(stage))

    async def question(self, stage: Stage, _request: str, act: Callable[[], Awaitable[T]]) -> T:
        if not stage.asked or not self._asking:
            return await act()
        self.questions += 1
        if self.questions != self._number:
            return await act()
        if self._done:
            with suppress(SchedulerError):
                await act()
        return cast(T, await self._die(stage))

    async def _die(self, stage: Stage) -> Any:
        self.happened = True
        stage.operators[0].client.dead = True
        self._killed.set()
        await asyncio.Event().wait()


class AtEvent(Fault):
    """The k-th watch event, from 1, does not arrive as it should."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def event(self, stage: Stage, operator: TroubledOperator, resource: Resource, event: str, body: Object) -> None:
        self.events += stage.asked
        if not stage.asked or self.events != self._number:
            operator._send(resource, event, body)
            return
        self.happened = True
        # Who does not know that an owner went makes its children anew, and garbage collection has more to do.
        self.exact = not (event == "DELETED" and resource in CUSTOM)
        self._spoil(operator, resource, event, body)

    def _spoil(self, operator: TroubledOperator, resource: Resource, event: str, body: Object) -> None:
        raise NotImplementedError

    def _over_after(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.over.set)


class Dropped(AtEvent):
    """It is lost. After a while the watch begins anew; or never, and all there is is listed once in a while."""

    def __init__(self, number: int, *, watch_begins_anew: bool) -> None:
        super().__init__(number)
        self._anew = watch_begins_anew

    def _spoil(self, operator: TroubledOperator, resource: Resource, _event: str, _body: Object) -> None:
        if self._anew:
            asyncio.get_running_loop().call_later(_WATCH_ANEW_SECONDS, operator.watch_anew, resource)
            self._over_after(_WATCH_ANEW_SECONDS)
        else:
            self._over_after(listings.RELIST_SECONDS * 1.2)


class Duplicated(AtEvent):
    """It comes twice, and once more after a while, when it is no news any more."""

    def __init__(self, number: int, *, after_seconds: float) -> None:
        super().__init__(number)
        self._after_seconds = after_seconds

    def _spoil(self, operator: TroubledOperator, resource: Resource, event: str, body: Object) -> None:
        operator._send(resource, event, body)
        operator._send(resource, event, body)
        asyncio.get_running_loop().call_later(
            self._after_seconds, lambda: operator.reconciler.changed(resource, body, event=event)
        )
        self._over_after(self._after_seconds)


class Delayed(AtEvent):
    """It comes late, and what else there is to tell of the same object after it: after what is told of others."""

    def __init__(self, number: int, *, seconds: float) -> None:
        super().__init__(number)
        self._seconds = seconds

    def _spoil(self, operator: TroubledOperator, resource: Resource, event: str, body: Object) -> None:
        operator._send(resource, event, body, late_seconds=self._seconds)
        self._over_after(self._seconds)


class StaleStart(Fault):
    """The controller ends, and the one that is started is shown how the world was a while ago.

    What happened since is told by its watches, a moment later.
    """

    def __init__(self, *, restart_after_seconds: float, age_seconds: float) -> None:
        super().__init__()
        self._restart_after_seconds = restart_after_seconds
        self._age_seconds = age_seconds
        self._past: World | None = None
        self._since: list[tuple[Resource, str, Object]] = []

    async def run(self, stage: Stage) -> None:
        await asyncio.sleep(self._restart_after_seconds - self._age_seconds)
        self._past = stage.world.copy()
        stage.world.listeners.append(self._note)
        await asyncio.sleep(self._age_seconds)
        await stage.kill()
        stage.start()
        self.happened = True
        self.over.set()

    def start(self, stage: Stage, operator: TroubledOperator) -> None:
        if self._past is None:
            operator.start()
            return
        stage.world.listeners.remove(self._note)
        operator.start(seen=self._past)
        for resource, event, body in self._since:
            operator._send(resource, event, body)

    def _note(self, resource: Resource, event: str, body: Object) -> None:
        self._since.append((resource, event, body))


class StaleLists(AtCall):
    """The k-th request gets no answer, and every list made because of it is of how the world was a while ago."""

    def __init__(self, number: int, *, age_seconds: float) -> None:
        super().__init__(number, unanswered(after_seconds=0, done_after_seconds=0))
        self._age_seconds = age_seconds
        self._past: list[tuple[float, World]] = []

    async def run(self, stage: Stage) -> None:
        while True:
            if not self._past or self._past[-1][1].version != stage.world.version:
                self._past.append((asyncio.get_running_loop().time(), stage.world.copy()))
            await asyncio.sleep(0.1)

    def listed(self, stage: Stage) -> World:
        then = asyncio.get_running_loop().time() - self._age_seconds
        at_rest = self._past[0][1] if self._past else stage.world
        return next((world for moment, world in reversed(self._past) if moment <= then), at_rest)


class SchedulerTrouble(Fault):
    """For a while a scheduler does not do as it should."""

    def __init__(self, *, after_seconds: float = 0, seconds: float = 20) -> None:
        super().__init__()
        self._after_seconds = after_seconds
        self._seconds = seconds
        self._on = False

    async def run(self, stage: Stage) -> None:
        await asyncio.sleep(self._after_seconds)
        self._on = True
        await self._begin(stage)
        await asyncio.sleep(self._seconds)
        self._on = False
        self.over.set()

    async def _begin(self, _stage: Stage) -> None:
        """What it does at once."""

    async def question(self, _stage: Stage, _request: str, act: Callable[[], Awaitable[T]]) -> T:
        if not self._on:
            return await act()
        self.happened = True
        return await self._trouble(act)

    async def _trouble(self, act: Callable[[], Awaitable[T]]) -> T:
        return await act()


class Unreachable(SchedulerTrouble):
    """It does not answer."""

    async def _trouble(self, _act: Callable[[], Awaitable[T]]) -> T:
        raise SchedulerError("SchedulerUnreachable", "does not answer")


class Confused(SchedulerTrouble):
    """It answers what nobody can make sense of."""

    async def _trouble(self, _act: Callable[[], Awaitable[T]]) -> T:
        raise SchedulerError("SchedulerAnswerInvalid", "the answer is no answer")


class Slow(SchedulerTrouble):
    """It takes 20 s to answer, and what it says was true when it was asked."""

    async def _trouble(self, act: Callable[[], Awaitable[T]]) -> T:
        answer = await act()
        await asyncio.sleep(20)
        return answer


class TooSlow(SchedulerTrouble):
    """It takes so long that nobody waits for the answer, but does what it is asked to."""

    async def _trouble(self, act: Callable[[], Awaitable[T]]) -> T:
        await act()
        await asyncio.sleep(20)
        raise SchedulerError("SchedulerUnreachable", "no answer within 10 s")


class Restarted(SchedulerTrouble):
    """It ends, all it knew is lost, and another one takes its place."""

    def __init__(self, *, after_seconds: float) -> None:
        super().__init__(after_seconds=after_seconds, seconds=2)
        self.exact = False

    async def _begin(self, stage: Stage) -> None:
        for pod in stage.world.all(PODS):
            if pod["metadata"]["labels"]["dask.org/component"] == "scheduler":
                stage.world.delete(PODS, "default", pod["metadata"]["name"])
                self.happened = True


class Misreporting(SchedulerTrouble):
    """What it says of its workers is not so."""

    def __init__(self, lie: Callable[[tuple[Worker, ...]], tuple[Worker, ...]], *, seconds: float = 20) -> None:
        super().__init__(seconds=seconds)
        self._lie = lie

    def seen(self, workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
        return self._lie(workers) if self._on else workers


# The play ----------------------------------------------------------------------------------------------------------


def at_rest(scenario: Scenario, clock: Clock) -> World:
    """The world before anything is asked for."""
    world = World()

    async def play() -> None:
        world.now = clock
        stage = Stage(world, scenario, Fault())
        scenario.prepare(world)
        if not scenario.unattended:
            stage.start()
        life = asyncio.create_task(stage.live())
        await asyncio.sleep(_AT_REST_SECONDS)
        life.cancel()
        if stage.operators:
            await stage.kill()

    simulate(play)
    return world


def perform(
    scenario: Scenario, world: World, clock: Clock, fault: Fault | None = None, expected: Outcome | None = None
) -> Outcome:
    """Play a scenario with a fault, from a world at rest.

    Args:
        scenario: what is asked for.
        world: how it begins; a copy of it is used.
        clock: the wall clock.
        fault: what goes wrong.
        expected: how the scenario ends when nothing does; None to find out.

    Raises:
        AssertionError: it did not end as expected, or something was not as it has to be meanwhile.
    """
    fault = fault or Fault()
    random.seed(1)

    async def play() -> Outcome:
        await asyncio.sleep(_AT_REST_SECONDS)
        stage = Stage(world.copy(), scenario, fault)
        stage.world.now = clock
        if not scenario.unattended:
            stage.start()
        life = asyncio.create_task(stage.live())
        await asyncio.sleep(1)
        stage.asked = True
        if scenario.unattended:
            stage.start()
        mischief = asyncio.create_task(fault.run(stage))
        await asyncio.sleep(0)
        await scenario.ask(stage)
        if expected is None:
            await asyncio.sleep(scenario.seconds)
        else:
            await _converge(stage, expected)
        for task in (mischief, life):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for operator in stage.operators:
            await operator.stop()
        assert not stage.complaints, "; ".join(stage.complaints[:5])
        assert not stage.dask.lost, f"lost: {stage.dask.lost}"
        return Outcome(
            state=state_of(stage.world),
            made=stage.made,
            gone=stage.gone,
            calls=fault.calls,
            writes=fault.writes,
            events=fault.events,
            questions=fault.questions,
            happened=fault.happened,
        )

    return simulate(play)


async def _converge(stage: Stage, expected: Outcome) -> None:
    """Wait for the fault to be over and see that all is well soon after it, and stays so."""
    fault = stage.fault
    with suppress(TimeoutError):
        async with asyncio.timeout(stage.scenario.seconds):
            await fault.over.wait()
    if fault.happened:
        await fault.over.wait()
    seen = 0
    for _ in range(CONVERGED_SECONDS):
        if stage.world.version != seen and state_of(stage.world) == expected.state:
            break
        seen = stage.world.version
        await asyncio.sleep(1)
    await asyncio.sleep(QUIET_SECONDS)
    state = state_of(stage.world)
    assert state == expected.state, difference(expected.state, state)
    if fault.exact:
        for found, wanted in ((stage.made, expected.made), (stage.gone, expected.gone)):
            for name in stage.scenario.counted or found | wanted:
                assert found[name] == wanted[name], (
                    f"made {stage.made}, deleted {stage.gone}: too often or not {name}"
                )


class Repertoire:
    """Scenarios by name, each with its world and its undisturbed end, which are made once."""

    def __init__(self, scenarios: Mapping[str, Scenario]) -> None:
        self._scenarios = scenarios
        self._worlds: dict[str, World] = {}
        self._undisturbed: dict[str, Outcome] = {}

    def world_of(self, name: str, clock: Clock) -> World:
        """The world in which a scenario begins."""
        if name not in self._worlds:
            random.seed(0)
            self._worlds[name] = at_rest(self._scenarios[name], clock)
        return self._worlds[name]

    def undisturbed(self, name: str, clock: Clock) -> Outcome:
        """How a scenario ends when nothing goes wrong."""
        if name not in self._undisturbed:
            self._undisturbed[name] = perform(self._scenarios[name], self.world_of(name, clock), clock)
        return self._undisturbed[name]

    def at_each(self, name: str, clock: Clock, fault: Callable[[int], Fault]) -> None:
        """Play a scenario with a fault at its first moment, its second, and so on, for as long as it happens."""
        expected = self.undisturbed(name, clock)
        for number in range(1, _MOST):
            try:
                outcome = perform(self._scenarios[name], self.world_of(name, clock), clock, fault(number), expected)
            except BaseException as error:
                error.add_note(f"{name}, at number {number}")
                raise
            if not outcome.happened:
                assert number > 1
                return
        raise AssertionError("it has no end")

    def once(self, name: str, clock: Clock, fault: Fault) -> None:
        """Play a scenario with a fault."""
        perform(self._scenarios[name], self.world_of(name, clock), clock, fault, self.undisturbed(name, clock))
