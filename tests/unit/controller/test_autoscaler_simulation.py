"""Hours of an autoscaled cluster in virtual time: wavering demand, Pods that take minutes, faults and restarts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from dask_kubernetes_operator.reconcile.actions import Patch
from dask_kubernetes_operator.reconcile.observed import CustomResource, Observed, Pod
from dask_kubernetes_operator.reconcile.plan.autoscaler import plan_autoscalers
from dask_kubernetes_operator.reconcile.plan.draft import Draft
from dask_kubernetes_operator.reconcile.report import NOTHING_SAID, Answer, SchedulerReport, Target, Workers
from dask_kubernetes_operator.reconcile.staff import roster_of
from dask_kubernetes_operator.spec import DaskAutoscaler, parse_autoscaler, parse_cluster, parse_worker_group

from .objects import KEY, NOW, Object, cluster, deployment, group, observe
from .planning import registered
from .test_plan_autoscaler import autoscaler, behavior, direction

pytestmark = pytest.mark.unit

CLUSTER = cluster()
PARSED_CLUSTER = parse_cluster(CLUSTER)
DEPLOYMENTS = observe(CLUSTER, deployment(CLUSTER)).deployments
ANY = Target(None)
SEEDS = range(25)
POLL_SECONDS = 5


@dataclass
class Starting:
    """A Pod of a simulated group; its worker registers ``slowness_seconds`` after it was made."""

    name: str
    made_at: int
    slowness_seconds: int


@dataclass
class Change:
    """A group was scaled by its autoscaler."""

    at: int
    group: str
    before: int
    after: int


@dataclass
class Simulation:
    """A cluster, its scheduler and the controller, second by second.

    The scheduler wants as many workers as there is demand for. In ``outages`` it does not answer; in the moments of
    ``restarts`` the controller begins anew, sometimes before it has written a status.
    """

    seed: int
    autoscalers: list[Object]
    groups: list[Object]
    demand: list[int]
    slowest_seconds: int = 400
    outages: tuple[range, ...] = ()
    restarts: frozenset[int] = frozenset()
    changes: list[Change] = field(default_factory=list)
    replicas: dict[str, list[int]] = field(default_factory=dict)
    answers: list[tuple[int, int]] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311
        self.report: SchedulerReport = NOTHING_SAID
        self.version = 100
        self.pods: dict[str, list[Starting]] = {body["metadata"]["name"]: [] for body in self.groups}
        self.replicas = {name: [] for name in self.pods}

    def run(self) -> Simulation:
        for second in range(len(self.demand)):
            self._run_pods(second)
            if second in self.restarts:
                self.report = NOTHING_SAID
            polled = second % POLL_SECONDS == 0
            if polled:
                self._ask(second)
            # Between two answers other things wake the controller.
            if polled or second in self.restarts or self.random.random() < 0.05:
                self._reconcile(second)
            for body in self.groups:
                self.replicas[body["metadata"]["name"]].append(body["spec"]["worker"]["replicas"])
        return self

    def _run_pods(self, second: int) -> None:
        for body in self.groups:
            pods, wanted = self.pods[body["metadata"]["name"]], body["spec"]["worker"]["replicas"]
            while len(pods) < wanted:
                slowness = self.random.randint(1, self.slowest_seconds)
                pods.append(Starting(f"{body['metadata']['name']}-{second}-{len(pods)}", second, slowness))
            # Pending ones go first.
            pods.sort(key=lambda pod: (not self._is_registered(pod, second), pod.made_at))
            del pods[wanted:]

    @staticmethod
    def _is_registered(pod: Starting, second: int) -> bool:
        return second >= pod.made_at + pod.slowness_seconds

    def _ask(self, second: int) -> None:
        now = NOW + timedelta(seconds=second)
        if any(second in outage for outage in self.outages):
            self.report = self.report.refused("SchedulerUnreachable", "gone", now)
            return
        known = [pod.name for pods in self.pods.values() for pod in pods if self._is_registered(pod, second)]
        demand = self.demand[second]
        at_work = set(self.random.sample(known, min(len(known), demand)))
        workers = tuple(registered(name, tasks=int(name in at_work)) for name in known)
        self.report = self.report.answered(Workers(), Answer(now, workers=workers))
        for body in self.autoscalers:
            duration = parse_autoscaler(body).target_duration_seconds
            self.report = self.report.answered(Target(duration), Answer(now, target=demand))
        self.answers.append((second, demand))

    def _reconcile(self, second: int) -> None:
        """Plan and write until nothing new is to do, as a pass does; the status comes last."""
        now = NOW + timedelta(seconds=second)
        for _ in range(3):
            draft = Draft(now, lambda: "unused")
            observed = self._observe(second)
            groups = [parse_worker_group(resource.body) for resource in observed.groups]
            plan_autoscalers(draft, PARSED_CLUSTER, groups, observed, roster_of(observed))
            if not draft.actions:
                break
            for action in draft.actions:
                assert isinstance(action, Patch)
                self._scale(action, second)
        else:
            raise AssertionError("it scales again and again")
        if second in self.restarts and self.random.random() < 0.5:
            return
        for patch in draft.statuses:
            assert isinstance(patch.patch, dict)
            body = next(b for b in self.autoscalers if b["metadata"]["name"] == patch.name)
            body["status"] = {**body["status"], **json.loads(json.dumps(patch.patch["status"]))}
            self.writes.append(second)

    def _scale(self, action: Patch, second: int) -> None:
        assert isinstance(action.patch, dict)
        body = next(b for b in self.groups if b["metadata"]["name"] == action.name)
        assert action.patch["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]
        before, after = body["spec"]["worker"]["replicas"], action.patch["spec"]["worker"]["replicas"]
        self.changes.append(Change(second, action.name, before, after))
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        body["spec"]["worker"]["replicas"] = after
        self.writes.append(second)

    def _observe(self, second: int) -> Observed:
        return Observed(
            key=KEY,
            groups=tuple(self._resources(self.groups)),
            autoscalers=tuple(self._resources(self.autoscalers)),
            deployments=DEPLOYMENTS,
            pods=tuple(self._observed_pods(second)),
            scheduler_report=self.report,
        )

    @staticmethod
    def _resources(bodies: list[Object]) -> Iterator[CustomResource]:
        for body in bodies:
            meta = body["metadata"]
            yield CustomResource(name=meta["name"], uid=meta["uid"], version=1, body=body)

    def _observed_pods(self, second: int) -> Iterator[Pod]:
        for body in self.groups:
            for pod in self.pods[body["metadata"]["name"]]:
                ready_at = NOW + timedelta(seconds=pod.made_at + pod.slowness_seconds)
                ready = self._is_registered(pod, second)
                yield Pod(
                    name=pod.name,
                    uid=pod.name,
                    version=1,
                    labels={},
                    annotations={},
                    owner_uids=frozenset({body["metadata"]["uid"]}),
                    foreign_owner=False,
                    terminating=False,
                    component="worker",
                    group=body["metadata"]["name"],
                    owners=(),
                    created_at=NOW + timedelta(seconds=pod.made_at),
                    phase="Running" if ready else "Pending",
                    ready_since=ready_at if ready else None,
                    ip="",
                    problem=None,
                    status={},
                )


def wavering(seed: int, *, seconds: int, calm_seconds: int, highest: int = 14) -> list[int]:
    """Demand that rises and falls at random, and at last stays as it is."""
    chance = random.Random(seed)  # noqa: S311
    demand: list[int] = []
    while len(demand) < seconds:
        span = chance.choice((5, 15, 60, 200, 500))
        demand += [chance.choice((0, 0, 1, chance.randint(0, highest)))] * span
    return [*demand[:seconds], *[chance.randint(0, highest)] * calm_seconds]


def one_group(seed: int) -> tuple[list[Object], list[Object]]:
    """One group and its autoscaler, with rules left to chance."""
    chance = random.Random(seed)  # noqa: S311

    def rules(*windows: int) -> Object:
        percent = chance.choice((0, 0, 10, 50, 100))
        return direction(chance.choice(windows), percent=percent, period_seconds=chance.choice((15, 60, 120)))

    minimum = chance.randint(0, 3)
    scaler = autoscaler(
        minimum=minimum,
        maximum=minimum + chance.randint(0, 9),
        behavior=behavior(up=rules(0, 0, 20, 60), down=rules(0, 30, 120, 300)),
    )
    return [scaler], [group(owners=(CLUSTER,), replicas=chance.randint(0, 12))]


def faults(seed: int, seconds: int) -> tuple[tuple[range, ...], frozenset[int]]:
    """When the scheduler does not answer, and when the controller starts anew."""
    chance = random.Random(seed)  # noqa: S311
    starts = [chance.randrange(seconds) for _ in range(3)]
    outages = tuple(range(start, start + chance.choice((10, 60, 400))) for start in starts)
    return outages, frozenset(chance.randrange(seconds) for _ in range(4))


def clamped(scaler: DaskAutoscaler, number: int) -> int:
    return min(max(number, scaler.minimum), scaler.maximum)


@pytest.mark.parametrize("seed", SEEDS)
def test_rules_hold_at_every_moment(seed: int) -> None:
    seconds, calm_seconds = 2400, 1500
    scalers, groups = one_group(seed)
    outages, restarts = faults(seed, seconds)
    demand = wavering(seed, seconds=seconds, calm_seconds=calm_seconds)
    story = Simulation(seed, scalers, groups, demand, outages=outages, restarts=restarts).run()
    scaler, replicas = parse_autoscaler(scalers[0]), story.replicas["simple-default"]

    assert all(scaler.minimum <= number <= scaler.maximum for number in replicas)
    _check_windows(story, scaler)
    _check_policies(story, scaler)
    # It comes to what is asked for, and then nothing is written any more.
    assert replicas[-1] == clamped(scaler, demand[-1])
    assert not [second for second in story.writes if second > seconds + 1200]


def _inside(scaler: DaskAutoscaler, story: Simulation) -> list[Change]:
    """The changes that were not made to bring a group inside its bounds."""
    return [change for change in story.changes if clamped(scaler, change.before) == change.before]


def _check_windows(story: Simulation, scaler: DaskAutoscaler) -> None:
    """No change goes further than any answer within its window, of which all must have been heard since a restart."""
    begun = sorted({0, *story.restarts})
    for change in _inside(scaler, story):
        down = change.after < change.before
        rules = scaler.scale_down if down else scaler.scale_up
        window_begin = change.at - rules.stabilization_window_seconds
        life = max(start for start in begun if start <= change.at)
        heard = [(at, clamped(scaler, target)) for at, target in story.answers if life <= at <= change.at]
        assert heard[0][0] <= window_begin, "the window is not known as a whole"
        until = [at for at, _ in heard[1:]] + [change.at + 1]
        within = [target for (_, target), end in zip(heard, until, strict=True) if end > window_begin]
        if down:
            assert change.after >= max(within)
        else:
            assert change.after <= min(within)


def _check_policies(story: Simulation, scaler: DaskAutoscaler) -> None:
    """Within any period, whoever was running in it, the changes of one direction stay within their share."""
    changes = _inside(scaler, story)
    for rules, sign in ((scaler.scale_up, 1), (scaler.scale_down, -1)):
        if rules.policy is None:
            continue
        for last in (change for change in changes if sign * (change.after - change.before) > 0):
            period = [c for c in changes if last.at - rules.policy.period_seconds <= c.at <= last.at]
            changed = sum(max(0, sign * (c.after - c.before)) for c in period)
            unchanged = max(0, last.after - sign * changed)
            assert changed <= max(1, -(-unchanged * rules.policy.percent // 100))


@pytest.mark.parametrize("seed", SEEDS)
def test_restart_never_makes_it_scale_down_earlier(seed: int) -> None:
    """At no moment a controller that was restarted has fewer workers than one that was not."""
    seconds = 1800
    demand = wavering(seed, seconds=seconds, calm_seconds=0)
    down = direction(random.Random(seed).choice((0, 30, 300)))  # noqa: S311

    def story(restarts: frozenset[int]) -> list[int]:
        scaler = autoscaler(minimum=0, maximum=12, behavior=behavior(down=down))
        groups = [group(owners=(CLUSTER,), replicas=5)]
        return Simulation(seed, [scaler], groups, demand, restarts=restarts).run().replicas["simple-default"]

    chance = random.Random(seed)  # noqa: S311
    # A controller that begins anew asks at once; here it does so only at the next full five seconds.
    restarts = frozenset(POLL_SECONDS * chance.randrange(seconds // POLL_SECONDS) for _ in range(3))
    disturbed, undisturbed = story(restarts), story(frozenset())
    assert all(number >= other for number, other in zip(disturbed, undisturbed, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_several_groups_settle(seed: int) -> None:
    """Two autoscalers and a group that nobody scales: together what is asked for, and no swinging."""
    chance = random.Random(seed)  # noqa: S311
    unscaled, seconds, calm_seconds = chance.randint(0, 4), 900, 900
    windows = behavior(down=direction(chance.choice((0, 60, 300))))
    scalers = [
        autoscaler("a", minimum=chance.randint(0, 2), maximum=chance.randint(2, 6), behavior=windows),
        autoscaler("b", minimum=0, maximum=chance.randint(0, 6), behavior=windows, workerGroup="simple-b"),
    ]
    groups = [
        group(owners=(CLUSTER,), replicas=chance.randint(0, 5)),
        group("simple-b", owners=(CLUSTER,), replicas=chance.randint(0, 5)),
        group("simple-c", owners=(CLUSTER,), replicas=unscaled),
    ]
    demand = wavering(seed, seconds=seconds, calm_seconds=calm_seconds)
    story = Simulation(seed, scalers, groups, demand, slowest_seconds=100).run()

    least = sum(parse_autoscaler(body).minimum for body in scalers)
    most = sum(parse_autoscaler(body).maximum for body in scalers)
    wanted = min(max(demand[-1] - unscaled, least), most)
    together = story.replicas["simple-default"][-1] + story.replicas["simple-b"][-1]
    # Workers at work do not go for the sake of idle ones of another group, as long as they are at work.
    assert wanted <= together <= max(wanted, min(demand[-1], most))
    assert set(story.replicas["simple-c"]) == {unscaled}
    late = [change for change in story.changes if change.at > seconds + 400]
    for name in story.replicas:
        numbers = [change.after for change in late if change.group == name]
        assert numbers == sorted(numbers, reverse=True), "what has settled only gets fewer, and not more again"
