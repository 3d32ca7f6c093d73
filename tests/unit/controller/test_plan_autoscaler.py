"""How many workers a group is to have, by what its scheduler asks for and how its autoscaler may follow."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from dask_kubernetes_operator.reconcile.actions import Delete, Patch
from dask_kubernetes_operator.reconcile.conditions import timestamp
from dask_kubernetes_operator.reconcile.history import Level, recorded
from dask_kubernetes_operator.reconcile.observed import Observed
from dask_kubernetes_operator.reconcile.plan.autoscaler import plan_autoscalers, within_bounds
from dask_kubernetes_operator.reconcile.plan.draft import Draft, Plan
from dask_kubernetes_operator.reconcile.plan.workers import WorkerPlanner
from dask_kubernetes_operator.reconcile.report import NOTHING_SAID, Answer, SchedulerReport, Target, Workers
from dask_kubernetes_operator.reconcile.scaling import Share, asked_of, highest, largest_step, lowest
from dask_kubernetes_operator.reconcile.staff import roster_of
from dask_kubernetes_operator.resources import DASK_AUTOSCALERS, DASK_WORKER_GROUPS
from dask_kubernetes_operator.scheduler import Worker
from dask_kubernetes_operator.spec import PercentPolicy, SpecError, parse_cluster, parse_worker_group

from .objects import NOW, Object, cluster, deployment, group, observe, terminating, worker
from .planning import conditions, events, registered, status
from .test_spec_job_and_autoscaler import autoscaler as default_autoscaler

pytestmark = pytest.mark.unit

CLUSTER = cluster()
SCHEDULER = deployment(CLUSTER)
ANY = Target(None)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def autoscaler(
    name: str = "simple", *, status: Object | None = None, meta: Object | None = None, **fields: Any
) -> Object:
    """The DaskAutoscaler of the documentation; ``fields`` are added to its spec."""
    body = default_autoscaler(**fields)
    body["metadata"].update(name=name, uid=f"uid-autoscaler-{name}", **(meta or {}))
    return {**body, "status": status or {}}


def direction(window_seconds: int = 0, *, percent: int = 0, period_seconds: int = 60) -> Object:
    """The rules of one direction; without a percentage there is no policy."""
    policies = [{"type": "Percent", "value": percent, "periodSeconds": period_seconds}] if percent else []
    return {"stabilizationWindowSeconds": window_seconds, "policies": policies}


def behavior(*, up: Object | None = None, down: Object | None = None) -> Object:
    """The rules of both directions; any change at once unless told otherwise."""
    return {"scaleUp": up or direction(), "scaleDown": down or direction()}


AT_ONCE = behavior()


def said(
    *course: tuple[float, int],
    workers: Iterable[Worker | str] = (),
    question: Target = ANY,
    report: SchedulerReport = NOTHING_SAID,
) -> SchedulerReport:
    """The report of a scheduler that changed its answer so many seconds ago, and said the last one just now too."""
    for seconds_ago, target in (*course, (0, course[-1][1])):
        report = report.answered(question, Answer(NOW - seconds(seconds_ago), target=target))
    known = tuple(registered(found) if isinstance(found, str) else found for found in workers)
    return report.answered(Workers(), Answer(NOW, workers=known))


def decided(*bodies: Object, report: SchedulerReport = NOTHING_SAID, now: datetime = NOW) -> Plan:
    """What `plan_autoscalers` adds to a plan."""
    observed = replace(observe(*bodies), scheduler_report=report)
    return decided_of(observed, now)


def decided_of(observed: Observed, now: datetime, draft: Draft | None = None) -> Plan:
    names = count(1)
    draft = draft or Draft(now, lambda: f"s{next(names)}")
    groups = [parse_worker_group(resource.body) for resource in observed.groups]
    try:
        parsed = parse_cluster(observed.cluster.body) if observed.cluster else None
    except SpecError:
        parsed = None
    plan_autoscalers(draft, parsed, groups, observed, roster_of(observed))
    return draft.finished(bereaved=False)


def scaled(plan: Plan) -> dict[str, int]:
    """What the groups are scaled to."""
    patches = {action.name: action.patch for action in plan.actions if isinstance(action, Patch)}
    return {name: patch["spec"]["worker"]["replicas"] for name, patch in patches.items() if isinstance(patch, dict)}


def told(plan: Plan, name: str = "simple") -> dict[str, tuple[str, str]]:
    """Status and reason of the conditions that an autoscaler gets."""
    return conditions(status(plan, "DaskAutoscaler", name))


def simple(replicas: int, **fields: Any) -> tuple[Object, ...]:
    """A cluster with one group of so many workers, and an autoscaler for it."""
    return (CLUSTER, SCHEDULER, group(owners=(CLUSTER,), replicas=replicas), autoscaler(**fields))


def workers_of(body: Object, *names: str, **fields: Any) -> list[Object]:
    return [worker(name, body, group_name=body["metadata"]["name"], **fields) for name in names]


# --- numbers over time ---


def level(seconds_ago: float, value: int) -> Level:
    return Level(NOW - seconds(seconds_ago), value)


def test_the_same_number_is_recorded_once() -> None:
    history = (level(50, 3),)
    assert recorded(history, NOW, 3, keep=seconds(10)) is history
    assert recorded((), NOW, 3, keep=seconds(10)) == (level(0, 3),)


def test_what_ended_long_ago_is_forgotten() -> None:
    history = (level(50, 3), level(40, 4), level(30, 5))
    assert recorded(history, NOW, 6, keep=seconds(30)) == (level(30, 5), level(0, 6))
    # Half a minute ago it was 5 already; what it was in the moment before that counts for a longer time.
    assert recorded(history, NOW, 6, keep=seconds(31)) == (level(40, 4), level(30, 5), level(0, 6))


@pytest.mark.parametrize(
    ("window_seconds", "least", "most"), [(0, 2, 2), (10, 2, 7), (20, 2, 7), (21, 1, 7), (60, 1, 7), (61, None, None)]
)
def test_window(window_seconds: int, least: int | None, most: int | None) -> None:
    history = (level(60, 1), level(20, 7), level(5, 2))
    assert lowest(history, NOW, window_seconds) == least
    assert highest(history, NOW, window_seconds) == most


def test_nothing_is_known_of_an_empty_history() -> None:
    assert lowest((), NOW, 0) is None
    assert highest((), NOW, 0) is None


@pytest.mark.parametrize(
    ("history", "percent", "up", "step"),
    [
        ([(500, 10)], 50, True, 5),
        ([(500, 10)], 50, False, 5),
        ([(500, 10)], 100, True, 10),
        ([(500, 10)], 25, False, 3),  # rounded up
        ([(500, 3)], 1, False, 1),  # at least one
        ([(500, 0)], 100, True, 1),  # also from zero
        ([(500, 8), (30, 10)], 50, True, 2),  # 4 of 8 in a minute, 2 of them used
        ([(500, 8), (30, 12)], 50, True, 0),
        ([(500, 8), (30, 20)], 50, True, 0),  # somebody else scaled it further
        ([(500, 8), (60, 12)], 50, True, 0),  # a second longer than a minute: times are stored in whole seconds
        ([(500, 8), (61, 12)], 50, True, 6),
        ([(500, 8), (30, 6)], 50, False, 2),
        ([(500, 8), (40, 7), (30, 6)], 50, False, 2),
        ([(500, 8), (30, 6)], 50, True, 3),  # of the 6 that there are, whatever went
        ([(500, 10), (30, 100)], 25, False, 25),  # of the 100 that there are: it is no return to 10
        ([(500, 10), (40, 0), (30, 10), (20, 0), (10, 10)], 50, True, 0),
    ],
)
def test_policy_allows_a_share_of_what_there_was(
    history: list[tuple[float, int]], percent: int, up: bool, step: int
) -> None:
    levels = tuple(level(*entry) for entry in history)
    assert largest_step(PercentPolicy(percent, 60), levels, NOW, up=up) == step


def test_without_a_policy_any_change_is_allowed() -> None:
    assert largest_step(None, (level(5, 1),), NOW, up=True) is None


# --- shares of several groups ---


@pytest.mark.parametrize(
    ("workers", "asked"), [(-3, -3), (0, 0), (4, 4), (99, 99)], ids=["none at all", "none", "some", "beyond maximum"]
)
def test_one_group_has_all_that_is_missing(workers: int, asked: int) -> None:
    assert asked_of([Share(1, 10)], 0, workers) == asked


def test_minimums_come_first_and_the_rest_fills_one_group_after_the_other() -> None:
    shares = [Share(1, 4), Share(2, 6), Share(0, 3)]
    asked = {
        workers: [asked_of(shares, index, workers) for index in range(3)] for workers in (3, 5, 6, 9, 10, 13, 20)
    }
    bounded = {
        workers: [min(max(a, s.minimum), s.maximum) for a, s in zip(found, shares, strict=True)]
        for workers, found in asked.items()
    }
    assert bounded == {
        3: [1, 2, 0],
        5: [3, 2, 0],
        6: [4, 2, 0],
        9: [4, 5, 0],
        10: [4, 6, 0],
        13: [4, 6, 3],
        20: [4, 6, 3],
    }


def test_groups_together_have_what_is_asked_for() -> None:
    """Any number of workers between the sums of minimums and maximums is reached, and more never means fewer."""
    chance = random.Random(1)  # noqa: S311
    for _ in range(300):
        shares = [Share(low := chance.randrange(4), low + chance.randrange(5)) for _ in range(chance.randint(1, 4))]
        before = [0] * len(shares)
        for workers in range(-2, 30):
            asked = [asked_of(shares, index, workers) for index in range(len(shares))]
            bounded = [min(max(a, s.minimum), s.maximum) for a, s in zip(asked, shares, strict=True)]
            least, most = sum(s.minimum for s in shares), sum(s.maximum for s in shares)
            assert sum(bounded) == min(max(workers, least), most)
            assert all(now >= then for now, then in zip(bounded, before, strict=True))
            before = bounded


def test_pods_with_several_workers_are_counted_as_several() -> None:
    assert asked_of([Share(1, 10, workers_per_pod=4)], 0, 9) == 3
    assert asked_of([Share(1, 10, workers_per_pod=4)], 0, 8) == 2
    assert asked_of([Share(0, 2, workers_per_pod=4), Share(0, 5)], 1, 11) == 3


# --- what a scheduler said before ---


def test_answers_are_remembered_from_the_first_one_on() -> None:
    report = said((90, 3), (60, 3), (30, 5), (20, 5), (10, 0))
    assert report.targets[ANY] == (level(90, 3), level(30, 5), level(10, 0))


def test_answers_are_remembered_for_an_hour() -> None:
    report = NOTHING_SAID
    for number in range(5000):
        report = report.answered(ANY, Answer(NOW + seconds(5 * number), target=number % 7))
    assert len(report.targets[ANY]) <= 3600 / 5 + 2
    assert report.targets[ANY][0].since <= NOW + seconds(5 * 4999 - 3600)


def test_answers_for_another_duration_are_another_history() -> None:
    report = said((500, 3), question=Target(60.0), report=said((500, 9)))
    assert report.targets == {ANY: (level(500, 9),), Target(60.0): (level(500, 3),)}


def test_what_is_not_asked_any_more_is_forgotten() -> None:
    report = said((5000, 1)).answered(Target(60.0), Answer(NOW + seconds(3601), target=1))
    assert list(report.targets) == [Target(60.0)]


def test_refusal_leaves_what_was_said() -> None:
    report = said((90, 3))
    assert report.refused("SchedulerUnreachable", "gone", NOW).targets == report.targets
    refused = report.refused("SchedulerUnreachable", "gone", NOW).answered(ANY, Answer(NOW, target=3))
    assert refused.refusal is not None, "another question may still be refused"
    assert refused.satisfied().refusal is None


def test_answer_to_another_question_leaves_what_was_said() -> None:
    report = said((90, 3))
    assert report.answered(Workers(), Answer(NOW)).targets == report.targets


# --- following the scheduler ---


def test_scales_up_at_once() -> None:
    plan = decided(*simple(2), report=said((0, 7)))
    assert scaled(plan) == {"simple-default": 7}
    [event] = events(plan)
    assert (event.type, event.reason) == ("Normal", "Rescaled")
    assert event.message == "DaskWorkerGroup simple-default: 2 -> 7 workers, as the scheduler asks for 7"
    assert (event.about.kind, event.about.name) == ("DaskAutoscaler", "simple")


def test_scaling_is_refused_where_somebody_else_scaled_meanwhile() -> None:
    body = group(owners=(CLUSTER,), version=7)
    [action] = decided(CLUSTER, SCHEDULER, body, autoscaler(), report=said((0, 7))).actions
    assert isinstance(action, Patch)
    assert isinstance(action.patch, dict)
    assert (action.resource, action.subresource) == (DASK_WORKER_GROUPS, None)
    assert action.patch["metadata"] == {"uid": "uid-simple-default", "resourceVersion": "7"}
    assert set(action.patch) == {"metadata", "spec"}
    assert action.patch["spec"] == {"worker": {"replicas": 7}}, "nothing else is overwritten"


def test_what_is_written_to_the_group_first_is_looked_at_again() -> None:
    draft = Draft(NOW, lambda: "s")
    edit = Patch(DASK_WORKER_GROUPS, "simple-default", {"spec": {"worker": {"replicas": 4}}})
    draft.actions.append(edit)
    observed = replace(observe(*simple(2)), scheduler_report=said((0, 7)))
    assert decided_of(observed, NOW, draft).actions == (edit,)


def test_never_beyond_maximum() -> None:
    plan = decided(*simple(2), report=said((0, 10_000_000)))
    assert scaled(plan) == {"simple-default": 10}
    assert told(plan)["ScalingLimited"] == ("True", "TooManyReplicas")


def test_never_below_minimum() -> None:
    plan = decided(*simple(2, minimum=2, behavior=AT_ONCE), report=said((0, 0)))
    assert scaled(plan) == {}
    assert told(plan)["ScalingLimited"] == ("True", "TooFewReplicas")


def test_within_range_it_says_so() -> None:
    plan = decided(*simple(3), report=said((500, 3)))
    assert scaled(plan) == {}
    assert told(plan) == {
        "AbleToScale": ("True", "ReadyForNewScale"),
        "ScalingActive": ("True", "TargetFound"),
        "ScalingLimited": ("False", "DesiredWithinRange"),
    }


def test_from_zero() -> None:
    assert scaled(decided(*simple(0, minimum=0), report=said((0, 1)))) == {"simple-default": 1}


def test_to_zero() -> None:
    assert scaled(decided(*simple(3, minimum=0), report=said((300, 0)))) == {"simple-default": 0}


@pytest.mark.parametrize(
    ("course", "replicas"),
    [
        ([(299, 2)], 8),  # fewer are asked for, but not for long enough
        ([(300, 2)], 2),
        ([(900, 8), (299, 2)], 8),
        ([(900, 8), (300, 2)], 2),
        ([(900, 2), (200, 6), (100, 2)], 6),  # down to the most that was asked for in the window
        ([(900, 2), (200, 99), (100, 2)], 8),
        ([(900, 2), (200, 99), (5, 9)], 9),  # up at once
    ],
)
def test_scales_down_when_a_window_has_passed(course: list[tuple[float, int]], replicas: int) -> None:
    plan = decided(*simple(8), report=said(*course))
    assert scaled(plan).get("simple-default", 8) == replicas
    if replicas == 8:
        assert told(plan)["AbleToScale"] == ("True", "ScaleDownStabilized")


@pytest.mark.parametrize(
    ("course", "replicas"),
    [
        ([(59, 8)], 2),
        ([(60, 8)], 8),
        ([(900, 2), (59, 8)], 2),
        ([(900, 8), (50, 5), (40, 8)], 5),  # up to the least that was asked for in the window
    ],
)
def test_scales_up_when_a_window_has_passed(course: list[tuple[float, int]], replicas: int) -> None:
    rules = behavior(up=direction(60))
    plan = decided(*simple(2, behavior=rules), report=said(*course))
    assert scaled(plan).get("simple-default", 2) == replicas
    if replicas == 2:
        assert told(plan)["AbleToScale"] == ("True", "ScaleUpStabilized")


def test_a_window_of_nothing_needs_no_history() -> None:
    assert scaled(decided(*simple(8, behavior=AT_ONCE), report=said((0, 2)))) == {"simple-default": 2}


@pytest.mark.parametrize(
    ("replicas", "target", "result", "reason"),
    [
        (4, 100, 6, "ScaleUpLimit"),
        (4, 6, 6, "DesiredWithinRange"),
        (4, 2, 3, "ScaleDownLimit"),
        (4, 3, 3, "DesiredWithinRange"),
    ],
)
def test_policies_limit_the_step(replicas: int, target: int, result: int, reason: str) -> None:
    rules = behavior(up=direction(percent=50), down=direction(percent=25))
    bodies = simple(replicas, behavior=rules)
    first = decided(*bodies, report=said((0, target)))
    assert scaled(first) == {}, "the number from which the policy counts is written down first"
    noted = carried_out(bodies, first)
    plan = decided(*noted, report=said((0, target)))
    assert scaled(plan) == {"simple-default": result}
    after = carried_out(noted, plan)[-1]["status"]
    assert (after["desiredReplicas"], conditions(after)["ScalingLimited"][1]) == (result, reason)


def test_policy_counts_what_was_scaled_before_the_controller_started() -> None:
    rules = behavior(down=direction(percent=50, period_seconds=60))
    since = {
        seconds_ago: [
            {"since": timestamp(NOW - seconds(900)), "replicas": 8},
            {"since": timestamp(NOW - seconds(seconds_ago)), "replicas": 4},
        ]
        for seconds_ago in (59, 62)
    }
    outcomes = {}
    for seconds_ago, recent in since.items():
        body = autoscaler(behavior=rules, status={"recentReplicas": recent})
        plan = decided(CLUSTER, SCHEDULER, group(owners=(CLUSTER,), replicas=4), body, report=said((0, 1)))
        outcomes[seconds_ago] = scaled(plan)
    assert outcomes == {59: {}, 62: {"simple-default": 2}}


def test_a_change_that_was_not_noted_counts_from_now_on() -> None:
    """The controller ended after it had scaled the group and before it wrote that down."""
    recent = [{"since": timestamp(NOW - seconds(900)), "replicas": 8}]
    body = autoscaler(
        behavior=behavior(down=direction(percent=50)), status={"recentReplicas": recent, "desiredReplicas": 8}
    )
    plan = decided(CLUSTER, SCHEDULER, group(owners=(CLUSTER,), replicas=4), body, report=said((0, 1)))
    assert scaled(plan) == {}
    assert status(plan, "DaskAutoscaler")["recentReplicas"] == [
        *recent,
        {"since": timestamp(NOW), "replicas": 4},
    ]


def test_without_policies_no_past_is_kept() -> None:
    bodies = list(simple(1, behavior=AT_ONCE))
    for target in (3, 4, 5):
        plan = decided(*bodies, report=said((0, target)))
        bodies = carried_out(bodies, plan)
        bodies = carried_out(bodies, decided(*bodies, report=said((0, target))))
    assert [entry["replicas"] for entry in bodies[-1]["status"]["recentReplicas"]] == [4, 5]


def carried_out(bodies: Iterable[Object], plan: Plan) -> list[Object]:
    """The objects after a plan."""
    replicas = scaled(plan)
    statuses = {patch.name: patch.patch["status"] for patch in plan.statuses if isinstance(patch.patch, dict)}
    after = []
    for body in bodies:
        name = body["metadata"]["name"]
        if body["kind"] == "DaskWorkerGroup" and name in replicas:
            spec = {**body["spec"], "worker": {**body["spec"]["worker"], "replicas": replicas[name]}}
            body = {**body, "spec": spec}
        if body["kind"] == "DaskAutoscaler" and name in statuses:
            body = {**body, "status": {**body["status"], **statuses[name]}}
        after.append(body)
    return after


# --- bounds ---


@pytest.mark.parametrize(("replicas", "bounded"), [(0, 2), (1, 2), (11, 10), (5000, 10)])
@pytest.mark.parametrize("listening", ["answering", "silent", "refusing", "no scheduler", "suspended"])
def test_brought_inside_the_bounds_at_once(replicas: int, bounded: int, listening: str) -> None:
    """Without waiting for windows, policies or the scheduler."""
    rules = behavior(up=direction(3600, percent=1), down=direction(3600, percent=1))
    report = {"answering": said((0, 5)), "refusing": NOTHING_SAID.refused("SchedulerUnreachable", "gone", NOW)}
    parts = [CLUSTER] if listening == "no scheduler" else [CLUSTER, SCHEDULER]
    if listening == "suspended":
        parts[0] = {**CLUSTER, "spec": {**CLUSTER["spec"], "suspend": True}}
    bodies = [*parts, group(owners=(CLUSTER,), replicas=replicas), autoscaler(minimum=2, behavior=rules)]
    plan = decided(*bodies, report=report.get(listening, NOTHING_SAID))
    assert scaled(plan) == {"simple-default": bounded}
    [event] = events(plan)
    bound = "minimum" if bounded > replicas else "maximum"
    assert event.message.endswith(f"{replicas} -> {bounded} workers, as spec.{bound} is {bounded}")


@pytest.mark.parametrize("replicas", [2, 6, 10])
def test_inside_the_bounds_nothing_is_done_before_the_scheduler_answers(replicas: int) -> None:
    assert scaled(decided(*simple(replicas, minimum=2))) == {}


def test_one_number_for_minimum_and_maximum() -> None:
    assert scaled(decided(*simple(2, minimum=4, maximum=4), report=said((0, 9)))) == {"simple-default": 4}
    assert scaled(decided(*simple(4, minimum=4, maximum=4), report=said((900, 9)))) == {}
    assert scaled(decided(*simple(4, minimum=0, maximum=0), report=said((900, 9)))) == {"simple-default": 0}


def test_workers_follow_no_number_outside_the_bounds() -> None:
    """Not even for the moment that it takes to correct a group which somebody scaled by hand."""
    extra = group("simple-extra", owners=(CLUSTER,), replicas=20)
    bodies = [group(owners=(CLUSTER,), replicas=0), extra, autoscaler(minimum=2)]
    observed = observe(CLUSTER, *bodies)
    groups = [parse_worker_group(resource.body) for resource in observed.groups]
    assert [g.worker.replicas for g in within_bounds(groups, observed)] == [2, 20]
    both = observe(CLUSTER, *bodies, autoscaler("extra", workerGroup="simple-extra"))
    assert [g.worker.replicas for g in within_bounds(groups, both)] == [2, 10]
    unreadable = observe(CLUSTER, *bodies, autoscaler("extra", workerGroup="simple-extra", minimum=99))
    assert [g.worker.replicas for g in within_bounds(groups, unreadable)] == [2, 20]


# --- whom it scales ---


def test_the_group_that_it_names() -> None:
    extra = group("simple-extra", owners=(CLUSTER,), replicas=1)
    bodies = (CLUSTER, SCHEDULER, group(owners=(CLUSTER,), replicas=0), extra)
    plan = decided(*bodies, autoscaler(workerGroup="simple-extra"), report=said((0, 4)))
    assert scaled(plan) == {"simple-extra": 4}


def test_default_group_may_be_named() -> None:
    plan = decided(*simple(1, workerGroup="simple-default"), report=said((0, 4)))
    assert scaled(plan) == {"simple-default": 4}


def test_registered_workers_of_other_groups_count() -> None:
    default, extra = group(owners=(CLUSTER,), replicas=2), group("simple-extra", owners=(CLUSTER,), replicas=3)
    pods = [
        *workers_of(extra, "e1", "e2"),
        *workers_of(extra, "e3", phase="Pending"),
        *workers_of(extra, "e4", draining_since=NOW),
        *(terminating(body) for body in workers_of(extra, "e5")),
    ]
    known = ["e1", "e2", "e4", "e5"]
    plan = decided(CLUSTER, SCHEDULER, default, extra, *pods, autoscaler(), report=said((0, 7), workers=known))
    assert scaled(plan) == {"simple-default": 5}, "two of the others are registered and stay"


def test_other_groups_have_to_be_known_before_anything_is_scaled() -> None:
    default, extra = group(owners=(CLUSTER,), replicas=2), group("simple-extra", owners=(CLUSTER,), replicas=3)
    bodies = (CLUSTER, SCHEDULER, default, extra, autoscaler())
    report = NOTHING_SAID.answered(ANY, Answer(NOW, target=7))
    plan = decided(*bodies, report=report)
    assert scaled(plan) == {}
    assert plan.questions == {ANY: NOW - seconds(5), Workers(): NOW - seconds(5)}
    stale = report.answered(Workers(), Answer(NOW - seconds(16)))
    assert scaled(decided(*bodies, report=stale)) == {}
    assert scaled(decided(*bodies, report=said((0, 7)))) == {"simple-default": 7}


def test_a_single_group_needs_no_other_answer() -> None:
    plan = decided(*simple(2), report=NOTHING_SAID.answered(ANY, Answer(NOW, target=7)))
    assert scaled(plan) == {"simple-default": 7}
    assert set(plan.questions) == {ANY}


def test_issue_914_workers_at_work_stay_while_those_of_another_group_idle() -> None:
    """The scheduler counts idle workers of another group as good enough, which they may not be."""
    default, extra = group(owners=(CLUSTER,), replicas=4), group("simple-extra", owners=(CLUSTER,), replicas=3)
    pods = [*workers_of(default, "d1", "d2", "d3", "d4"), *workers_of(extra, "e1", "e2", "e3")]
    at_work = [registered("d1", tasks=2), registered("d2", tasks=1)]
    report = said((900, 2), workers=[*at_work, "d3", "d4", "e1", "e2", "e3"])
    bodies = (CLUSTER, SCHEDULER, default, extra, *pods, autoscaler(minimum=0))
    plan = decided(*bodies, report=report)
    assert scaled(plan) == {"simple-default": 2}
    assert told(plan)["AbleToScale"] == ("True", "WorkersBusy")
    after = carried_out(bodies, plan)
    assert scaled(decided(*after, report=report)) == {}
    done = said((900, 0), workers=["d1", "d2", "e1", "e2", "e3"])
    assert scaled(decided(*after, report=done)) == {"simple-default": 0}


def test_pods_with_several_workers_are_scaled_by_what_they_run() -> None:
    default = group(owners=(CLUSTER,), replicas=2)
    pods = workers_of(default, "w1", "w2")
    four = [registered(f"{name}-{number}") for name in ("w1", "w2") for number in range(2)]
    bodies = (CLUSTER, SCHEDULER, default, *pods, autoscaler(behavior=AT_ONCE))
    assert scaled(decided(*bodies, report=said((0, 4), workers=four))) == {}, "all four are at work"
    assert scaled(decided(*bodies, report=said((0, 9), workers=four))) == {"simple-default": 5}
    # While one of the four has yet to register, a Pod still counts for two.
    assert scaled(decided(*bodies, report=said((0, 9), workers=four[:3]))) == {"simple-default": 5}


def test_of_two_autoscalers_for_a_group_the_older_scales_it() -> None:
    old = autoscaler("z-old", maximum=5, meta={"creationTimestamp": timestamp(NOW - seconds(50))})
    young = autoscaler("a-young", meta={"creationTimestamp": timestamp(NOW - seconds(40))})
    bodies = (CLUSTER, SCHEDULER, group(owners=(CLUSTER,), replicas=2), young, old)
    plan = decided(*bodies, report=said((0, 9)))
    assert scaled(plan) == {"simple-default": 5}
    assert told(plan, "z-old")["AbleToScale"] == ("True", "ReadyForNewScale")
    assert told(plan, "a-young") == {
        "AbleToScale": ("False", "Conflict"),
        "ScalingActive": ("False", "Conflict"),
        "ScalingLimited": ("Unknown", "Conflict"),
    }
    assert [event.reason for event in events(plan) if event.about.name == "a-young"] == ["Conflict"]
    after = carried_out(bodies, plan)
    assert not [event for event in events(decided(*after, report=said((0, 9)))) if event.about.name == "a-young"]
    # The older one goes, and the other takes over.
    alone = [body for body in after if body["metadata"]["name"] != "z-old"]
    plan = decided(*alone, report=said((0, 9)))
    assert scaled(plan) == {"simple-default": 9}
    assert told(plan, "a-young")["AbleToScale"] == ("True", "ReadyForNewScale")


def test_of_two_made_in_the_same_second_the_name_decides() -> None:
    bodies = (CLUSTER, SCHEDULER, group(owners=(CLUSTER,), replicas=2))
    plan = decided(*bodies, autoscaler("b", maximum=7), autoscaler("a", maximum=5), report=said((0, 9)))
    assert scaled(plan) == {"simple-default": 5}


def test_what_cannot_be_read_stands_in_nobody_s_way() -> None:
    broken = autoscaler("a", minimum=9, maximum=5)
    bodies = (CLUSTER, SCHEDULER, group(owners=(CLUSTER,), replicas=2), broken, autoscaler("b"))
    plan = decided(*bodies, report=said((0, 9)))
    assert scaled(plan) == {"simple-default": 9}
    assert told(plan, "a")["AbleToScale"] == ("False", "Invalid")
    [message] = {entry["message"] for entry in status(plan, "DaskAutoscaler", "a")["conditions"]}
    assert message == "spec.minimum is greater than spec.maximum: lower minimum or raise maximum"
    assert [(e.type, e.reason) for e in events(plan) if e.about.name == "a"] == [("Warning", "Invalid")]


def test_deleted_autoscaler_leaves_the_number_of_workers() -> None:
    bodies = simple(7)
    assert decided(*bodies[:-1], report=said((900, 0))) == Plan()
    assert decided(*bodies[:-1], terminating(bodies[-1], "example.com/hold"), report=said((900, 0))) == Plan()


# --- several autoscalers ---


PAIR = (
    autoscaler("a", maximum=4, minimum=0, behavior=AT_ONCE),
    autoscaler("b", maximum=6, minimum=1, workerGroup="simple-extra", behavior=AT_ONCE),
)


@pytest.mark.parametrize("target", range(13))
def test_two_groups_share_what_is_asked_for_and_do_not_swing(target: int) -> None:
    bodies: list[Object] = [
        CLUSTER,
        SCHEDULER,
        group(owners=(CLUSTER,), replicas=3),
        group("simple-extra", owners=(CLUSTER,), replicas=3),
        *PAIR,
    ]
    report = said((900, target))
    bodies = carried_out(bodies, decided(*bodies, report=report))
    default, extra = (body["spec"]["worker"]["replicas"] for body in bodies[2:4])
    assert default + extra == min(max(target, 1), 10)
    assert scaled(decided(*bodies, report=report)) == {}, "it is enough to scale once"


def test_each_autoscaler_asks_for_its_own_duration() -> None:
    first = autoscaler("a", targetDuration="1m")
    second = autoscaler("b", targetDuration="500ms", workerGroup="simple-extra")
    groups = (group(owners=(CLUSTER,)), group("simple-extra", owners=(CLUSTER,)))
    plan = decided(CLUSTER, SCHEDULER, *groups, first, second)
    assert set(plan.questions) == {Target(60.0), Target(0.5), Workers()}


# --- listening ---


def test_the_scheduler_is_asked_every_five_seconds() -> None:
    plan = decided(*simple(2))
    assert plan.questions == {ANY: NOW - seconds(5)}
    assert plan.look_again_at == NOW + seconds(5)


def test_while_the_scheduler_has_yet_to_answer_it_says_so_once() -> None:
    bodies = simple(2)
    plan = decided(*bodies)
    assert scaled(plan) == {}
    assert told(plan) == {
        "AbleToScale": ("True", "ReadyForNewScale"),
        "ScalingActive": ("Unknown", "AwaitingTarget"),
    }
    assert decided(*carried_out(bodies, plan)).statuses == ()


@pytest.mark.parametrize("target", [0, 2, 5, 99])
def test_nothing_is_written_while_nothing_changes(target: int) -> None:
    bodies = list(simple(2, behavior=behavior(up=direction(3600, percent=10), down=direction(3600))))
    report = said((60, target))
    bodies = carried_out(bodies, decided(*bodies, report=report))
    for seconds_later in range(0, 3000, 5):
        now = NOW + seconds(seconds_later)
        report = report.answered(ANY, Answer(now, target=target))
        plan = decided(*bodies, report=report, now=now)
        assert (plan.actions, plan.statuses) == ((), ())


@pytest.mark.parametrize("target", [0, 2, 5, 99])
def test_nothing_is_written_when_the_controller_starts_anew(target: int) -> None:
    bodies = list(simple(2, behavior=behavior(up=direction(3600), down=direction(3600))))
    bodies = carried_out(bodies, decided(*bodies, report=said((60, target))))
    assert decided(*bodies).statuses == (), "before the scheduler has answered"
    assert decided(*bodies, report=said((0, target))).statuses == ()


def test_no_scheduler_is_a_quiet_condition() -> None:
    for scheduler in ([], [deployment(CLUSTER, available=False)], [deployment(cluster(uid="uid-other"))]):
        bodies = [CLUSTER, *scheduler, group(owners=(CLUSTER,), replicas=4), autoscaler()]
        plan = decided(*bodies, report=said((900, 2)))
        assert scaled(plan) == {}
        assert told(plan)["ScalingActive"] == ("False", "SchedulerNotAvailable")
        assert (events(plan), plan.questions, plan.look_again_at) == ([], {}, None)
        assert decided(*carried_out(bodies, plan), report=said((900, 2))).statuses == ()


def test_scheduler_that_does_not_answer_is_a_quiet_condition() -> None:
    bodies = simple(4)
    report = said((900, 2)).refused("SchedulerUnreachable", "no route to 10.0.0.1", NOW)
    later = NOW + seconds(16)
    plan = decided(*bodies, report=report, now=later)
    assert scaled(plan) == {}
    assert told(plan)["ScalingActive"] == ("False", "SchedulerUnreachable")
    assert events(plan) == []
    assert plan.questions == {ANY: later - seconds(5)}, "it is still asked"
    after = carried_out(bodies, plan)
    # The next attempt fails for another cause: no news.
    again = report.refused("SchedulerUnreachable", "connection reset by 10.0.0.1", later)
    assert decided(*after, report=again, now=later).statuses == ()
    # And while it is asked once more, neither.
    assert decided(*after, report=NOTHING_SAID, now=later).statuses == ()
    # It answers again, and what it said before it was away still counts.
    back = report.answered(ANY, Answer(later, target=1))
    plan = decided(*after, report=back, now=later)
    assert scaled(plan) == {"simple-default": 2}
    assert told(plan)["ScalingActive"] == ("True", "TargetFound")


def test_one_question_that_fails_hides_no_answer_to_another() -> None:
    report = said((0, 7)).refused("SchedulerAnswerInvalid", "no such operation", NOW)
    assert scaled(decided(*simple(2), report=report)) == {"simple-default": 7}


def test_answer_of_long_ago_is_not_acted_on() -> None:
    assert scaled(decided(*simple(2), report=said((0, 7)), now=NOW + seconds(15))) == {"simple-default": 7}
    assert scaled(decided(*simple(2), report=said((0, 7)), now=NOW + seconds(15.1))) == {}


def test_suspended_cluster_is_left_alone() -> None:
    by_spec = {**CLUSTER, "spec": {**CLUSTER["spec"], "suspend": True}}
    idle = {**CLUSTER, "status": {"conditions": [{"type": "Suspended", "status": "True"}]}}
    for suspended in (by_spec, idle):
        bodies = (suspended, SCHEDULER, group(owners=(CLUSTER,), replicas=4), autoscaler())
        plan = decided(*bodies, report=said((900, 9)))
        assert scaled(plan) == {}
        assert told(plan)["ScalingActive"] == ("False", "Suspended")
        assert plan.questions == {}


def test_restarted_scheduler_asks_for_nothing_and_keeps_its_workers_for_a_window() -> None:
    """It has forgotten what it was doing; its users have not."""
    assert scaled(decided(*simple(8), report=said((900, 8), (299, 0)))) == {}
    assert scaled(decided(*simple(8), report=said((900, 8), (300, 0)))) == {"simple-default": 1}


@pytest.mark.parametrize(
    ("bodies", "reason", "says"),
    [
        ([], "ClusterNotFound", "there is no DaskCluster simple in this namespace: create it, or"),
        ([group()], "ClusterNotFound", "there is no DaskCluster simple"),
        ([{**CLUSTER, "spec": {}}], "ClusterNotUsable", "DaskCluster simple is being deleted or cannot be read"),
        ([CLUSTER, SCHEDULER], "WorkerGroupNotFound", "DaskCluster simple has no DaskWorkerGroup simple-default"),
        ([CLUSTER, group("simple-extra")], "WorkerGroupNotFound", "DaskCluster simple has no DaskWorkerGroup"),
        ([CLUSTER, terminating(group(), "foregroundDeletion")], "WorkerGroupNotUsable", "DaskWorkerGroup simple-def"),
    ],
)
def test_nothing_to_scale_is_a_quiet_condition(bodies: list[Object], reason: str, says: str) -> None:
    plan = decided(*bodies, autoscaler(), report=said((0, 9)))
    assert plan.actions == ()
    assert told(plan) == {
        "AbleToScale": ("False", reason),
        "ScalingActive": ("False", reason),
        "ScalingLimited": ("Unknown", reason),
    }
    written = status(plan, "DaskAutoscaler")
    assert all(entry["message"].startswith(says) for entry in written["conditions"])
    assert written["currentReplicas"] == 0
    assert (events(plan), plan.questions, plan.look_again_at) == ([], {}, None)
    assert decided(*carried_out([*bodies, autoscaler()], plan)).statuses == ()


# --- counts ---


def test_status_counts_registered_workers() -> None:
    default = group(owners=(CLUSTER,), replicas=4)
    pods = [
        *workers_of(default, "w1", "w2"),
        *workers_of(default, "w3", phase="Pending"),
        *workers_of(default, "w4", draining_since=NOW),
        *(terminating(body) for body in workers_of(default, "w5")),
    ]
    bodies = (CLUSTER, SCHEDULER, default, *pods, autoscaler())
    written = status(decided(*bodies, report=said((900, 4), workers=["w1", "w4", "w5"])), "DaskAutoscaler")
    assert (written["currentReplicas"], written["desiredReplicas"]) == (2, 4)
    assert written["observedGeneration"] == 1
    assert written["recentReplicas"] == [{"since": timestamp(NOW), "replicas": 4}]


def test_count_stays_while_the_scheduler_has_not_named_its_workers() -> None:
    default = group(owners=(CLUSTER,), replicas=1)
    body = autoscaler(status={"currentReplicas": 1})
    plan = decided(CLUSTER, SCHEDULER, default, *workers_of(default, "w1"), body)
    assert "currentReplicas" not in status(plan, "DaskAutoscaler")


def test_another_object_of_the_name_gets_no_status() -> None:
    [patch] = decided(*simple(2), report=said((0, 2))).statuses
    assert (patch.resource, patch.subresource) == (DASK_AUTOSCALERS, "status")
    assert isinstance(patch.patch, dict)
    assert patch.patch["metadata"] == {"uid": "uid-autoscaler-simple"}


# --- regressions: issues of the public operator ---


def test_issue_659_pending_workers_go_before_busy_ones() -> None:
    """Workers were retired at work because others that were still being started counted as workers."""
    default = group(owners=(CLUSTER,), replicas=10)
    at_work = [f"w{number}" for number in range(5)]
    starting = [f"w{number}" for number in range(5, 10)]
    pods = [*workers_of(default, *at_work), *workers_of(default, *starting, phase="Pending")]
    report = said((900, 7), workers=[registered(name, tasks=3) for name in at_work])
    bodies = (CLUSTER, SCHEDULER, default, *pods, autoscaler())
    plan = decided(*bodies, report=report)
    assert scaled(plan) == {"simple-default": 7}, "for as long as the window not even seven were asked for"

    observed = replace(observe(*carried_out(bodies, plan)), scheduler_report=report)
    draft = Draft(NOW, lambda: "s")
    planner = WorkerPlanner(draft, parse_cluster(CLUSTER), observed, roster_of(observed), may_create=True)
    planner.ensure(parse_worker_group(observed.groups[0].body), wanted=7)
    gone = [action.name for action in draft.actions if isinstance(action, Delete)]
    assert set(gone) <= set(starting)
    assert len(gone) == len(draft.actions) == 3


def test_issue_659_slow_image_pulls_ask_for_nothing_twice() -> None:
    """The same demand is answered once, however long its workers take to come."""
    bodies: list[Object] = [*simple(1)]
    scalings = []
    report = NOTHING_SAID
    for seconds_later in range(0, 1800, 5):
        now = NOW + seconds(seconds_later)
        report = report.answered(ANY, Answer(now, target=8))
        plan = decided(*bodies, report=report, now=now)
        bodies = carried_out(bodies, plan)
        scalings += list(scaled(plan).values())
    assert scalings == [8]


def test_issue_674_wavering_demand_makes_no_waves() -> None:
    """Nodes that take minutes to come, and a scheduler that changes its mind every few seconds."""
    bodies: list[Object] = [*simple(1)]
    scalings = []
    report = NOTHING_SAID
    for number in range(360):
        now = NOW + seconds(5 * number)
        report = report.answered(ANY, Answer(now, target=(9, 3, 7, 2, 8)[number % 5]))
        plan = decided(*bodies, report=report, now=now)
        bodies = carried_out(bodies, plan)
        scalings += list(scaled(plan).values())
    assert scalings == [9]


@pytest.mark.parametrize("minimum", [2, 8])
def test_issue_930_no_less_than_minimum(minimum: int) -> None:
    bodies: list[Object] = [*simple(10, minimum=minimum, behavior=AT_ONCE)]
    for target in (0, 1, 0, 20, 0):
        report = said((900, target))
        bodies = carried_out(bodies, decided(*bodies, report=report))
        assert bodies[2]["spec"]["worker"]["replicas"] >= minimum
    assert bodies[2]["spec"]["worker"]["replicas"] == minimum
