"""The workers of a group: which go first, how they hand over their data, and how they are replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import pytest

from dask_kubernetes_operator.reconcile.actions import Action, Create, Delete, DeleteCollection, Patch, Retire
from dask_kubernetes_operator.reconcile.plan import Allocation, Plan
from dask_kubernetes_operator.reconcile.plan.workers import MIN_WORKER_LIFETIME
from dask_kubernetes_operator.reconcile.report import Workers
from dask_kubernetes_operator.resources import PODS

from .objects import NOW, Object, cluster, deployment, group, terminating, worker
from .planning import (
    CLUSTER,
    FRAME,
    GROUP,
    SCHEDULER_POD,
    SERVICE,
    SILENT,
    WORKERS,
    actions,
    deletions,
    knows,
    planned,
    refuses,
    registered,
    summary,
)

pytestmark = pytest.mark.unit

SECOND = timedelta(seconds=1)
DRAIN_TIMEOUT = timedelta(seconds=300)


def scaled_to(replicas: int, **spec: Any) -> Object:
    body = group(owners=(CLUSTER,), replicas=replicas)
    body["spec"].update(spec)
    return body


def minutes_ago(minutes: int) -> datetime:
    return NOW - timedelta(minutes=minutes)


def marked(found: Sequence[Action]) -> list[str]:
    """The workers that a plan marks as on their way out."""
    names = []
    for action in found:
        if isinstance(action, Patch) and isinstance(action.patch, dict):
            mark = action.patch["metadata"].get("annotations", {}).get("dask.org/draining-since")
            if mark:
                assert action.patch["metadata"]["uid"] == f"uid-{action.name}"
                assert datetime.fromisoformat(mark) == NOW
                names.append(action.name)
    return sorted(names)


# Those that never ran ---------------------------------------------------------------------------------------------


def test_surplus_takes_pending_pods_newest_first() -> None:
    pods = [
        worker("oldest", GROUP, phase="Pending", created_at=minutes_ago(9)),
        worker("newest", GROUP, phase="Pending", created_at=minutes_ago(1)),
        worker("middle", GROUP, phase="Pending", created_at=minutes_ago(5)),
    ]
    assert actions(*FRAME, scaled_to(1), *pods) == [
        Delete(PODS, "newest", "uid-newest", 1, outcome="never-ran"),
        Delete(PODS, "middle", "uid-middle", 1, outcome="never-ran"),
    ]


def test_pending_pod_is_taken_only_as_it_was_seen_and_never_after_it_started() -> None:
    [action] = actions(*FRAME, scaled_to(0), worker("w1", GROUP, phase="Pending", version=7))
    assert isinstance(action, Delete)
    assert action.version == 7


def test_surplus_takes_a_pending_pod_before_a_newer_running_one() -> None:
    pods = [
        worker("pending", GROUP, phase="Pending", created_at=minutes_ago(9)),
        worker("running", GROUP, created_at=minutes_ago(1)),
    ]
    assert summary(actions(*FRAME, scaled_to(1), *pods)) == ["delete Pod pending"]


def test_surplus_takes_no_more_than_the_surplus() -> None:
    pods = [worker(f"p{number}", GROUP, phase="Pending") for number in range(5)]
    found = actions(*FRAME, scaled_to(3), *pods)
    assert len(found) == len(deletions(found)) == 2


def test_pod_that_is_deleted_as_it_was_seen_is_not_changed_in_the_same_moment() -> None:
    labelled = scaled_to(0)
    labelled["metadata"]["labels"]["team"] = "data"
    found = actions(*FRAME, labelled, worker("w1", GROUP, phase="Pending"))
    assert summary(found) == ["delete Pod w1"]


def test_pending_pods_that_are_not_enough_are_completed_by_running_ones() -> None:
    pods = [worker("pending", GROUP, phase="Pending"), *WORKERS]
    found = actions(*FRAME, scaled_to(1), *pods, report=knows("w1", registered("w2", tasks=3)))
    assert [action.name for action in found if isinstance(action, Delete)] == ["pending"]
    assert marked(found) == ["w1"]


def test_terminating_pods_do_not_count() -> None:
    found = actions(*FRAME, GROUP, WORKERS[0], terminating(WORKERS[1]))
    assert summary(found) == ["create Pod simple-default-worker-s1"]


def test_terminating_pods_are_not_deleted_again() -> None:
    pods = [terminating(worker(f"p{number}", GROUP, phase="Pending")) for number in range(2)]
    assert actions(*FRAME, scaled_to(0), *pods) == []


# Those that ended -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_finished_worker_is_replaced(phase: str) -> None:
    ended = worker("w1", GROUP, phase=phase, finished_at=minutes_ago(1))
    found = actions(*FRAME, GROUP, ended, WORKERS[1])
    assert summary(found) == ["create Pod simple-default-worker-s1", "delete Pod w1"]


def test_worker_that_ends_right_after_its_start_is_replaced_only_after_a_while() -> None:
    started = NOW - timedelta(seconds=2)
    ended = worker("w1", GROUP, created_at=started, finished_at=NOW - SECOND)
    bodies = (*FRAME, GROUP, ended, WORKERS[1])
    due = started + MIN_WORKER_LIFETIME
    early = planned(*bodies, now=due - SECOND)
    assert (early.actions, early.look_again_at) == ((), due)
    on_time = planned(*bodies, now=due)
    assert summary(on_time.actions) == ["create Pod simple-default-worker-s1", "delete Pod w1"]
    assert on_time.look_again_at is None


def test_earliest_of_several_replacements_is_looked_at_first() -> None:
    pods = [worker(f"w{age}", GROUP, created_at=NOW - age * SECOND, finished_at=NOW) for age in (1, 7, 3)]
    result = planned(*FRAME, scaled_to(3), *pods)
    assert result.look_again_at == NOW - 7 * SECOND + MIN_WORKER_LIFETIME


def test_replacement_does_not_trust_a_nodes_clock() -> None:
    ended = worker("w1", GROUP, finished_at=NOW + timedelta(hours=1))
    found = actions(*FRAME, GROUP, ended, WORKERS[1])
    assert summary(found) == ["create Pod simple-default-worker-s1", "delete Pod w1"]


def test_finished_workers_beyond_the_replicas_go_and_are_not_replaced() -> None:
    ended = worker("w1", GROUP, finished_at=minutes_ago(1))
    assert summary(actions(*FRAME, scaled_to(1), ended, WORKERS[1])) == ["delete Pod w1"]


def test_worker_that_just_ended_costs_no_other_its_place_when_scaled_down() -> None:
    ended = worker("w3", GROUP, created_at=NOW - 2 * SECOND, finished_at=NOW - SECOND)
    assert actions(*FRAME, scaled_to(2), *WORKERS, ended) == []


def test_draining_worker_that_ended_is_deleted_at_once_and_not_replaced() -> None:
    ended = worker("w3", GROUP, created_at=NOW - 2 * SECOND, finished_at=NOW, draining_since=NOW - SECOND)
    assert summary(actions(*FRAME, GROUP, *WORKERS, ended)) == ["delete Pod w3"]


# Which workers are chosen -----------------------------------------------------------------------------------------


def test_running_worker_is_marked_and_not_deleted() -> None:
    found = actions(*FRAME, scaled_to(1), *WORKERS)
    assert len(found) == len(marked(found)) == 1


FOUR = tuple(worker(f"w{number}", GROUP, created_at=minutes_ago(number)) for number in (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("replicas", "known", "chosen"),
    [
        (3, [registered("w1", tasks=1), registered("w2"), registered("w3", tasks=9)], ["w4"]),
        (3, [registered("w1", tasks=2), registered("w2", tasks=1), registered("w3", tasks=9), "w4"], ["w4"]),
        (
            3,
            [
                registered(f"w{number}", tasks=1, managed_bytes=size)
                for number, size in ((1, 7), (2, 3), (3, 4), (4, 9))
            ],
            ["w2"],
        ),
        (3, ["w1", "w2", "w3", "w4"], ["w1"]),
        (2, ["w1", registered("w2", managed_bytes=1), "w3", registered("w4", tasks=1)], ["w1", "w3"]),
        (1, ["w1", "w2", registered("w3", managed_bytes=1), "w4"], ["w1", "w2", "w4"]),
    ],
    ids=[
        "unregistered first",
        "then fewest tasks",
        "then least data",
        "then the youngest",
        "two",
        "three",
    ],
)
def test_those_are_chosen_that_leave_least_behind(replicas: int, known: list[Any], chosen: list[str]) -> None:
    found = actions(*FRAME, scaled_to(replicas), *FOUR, report=knows(*known))
    assert marked(found) == chosen
    assert not deletions(found)


def test_choice_is_within_the_group_whatever_other_groups_would_leave_behind() -> None:
    highmem = group("simple-highmem", owners=(CLUSTER,), replicas=1, cluster_replicas=None)
    idle = worker("h1", highmem, group_name="simple-highmem")
    busy = knows("h1", registered("w1", tasks=5), registered("w2", tasks=9))
    assert marked(actions(*FRAME, scaled_to(1), *WORKERS, highmem, idle, report=busy)) == ["w1"]


def test_all_go_without_asking_which() -> None:
    result = planned(*FRAME, scaled_to(0), *WORKERS, report=refuses(since=minutes_ago(1)))
    assert marked(result.actions) == ["w1", "w2"]


@pytest.mark.parametrize("report", [SILENT, knows("w1", "w2", asked_at=NOW - 6 * SECOND)], ids=["never", "long ago"])
def test_nobody_is_chosen_before_the_scheduler_was_asked(report: Any) -> None:
    result = planned(*FRAME, scaled_to(1), *WORKERS, report=report)
    assert result.actions == ()
    assert result.questions == {Workers(): NOW - 5 * SECOND}


def test_worker_of_a_lost_node_is_drained_like_any_other() -> None:
    pods = [worker("lost", GROUP, phase="Unknown"), *WORKERS]
    found = actions(*FRAME, scaled_to(2), *pods, report=knows("w1", "w2"))
    assert (marked(found), deletions(found)) == (["lost"], [])


def test_marking_goes_on_while_another_one_still_drains() -> None:
    pods = [worker("going", GROUP, draining_since=NOW - SECOND), *FOUR]
    found = actions(*FRAME, scaled_to(3), *pods)
    assert marked(found) == ["w1"]


def test_scale_up_during_a_drain_makes_new_workers_and_calls_none_back() -> None:
    pods = [worker("going", GROUP, draining_since=NOW - SECOND), *WORKERS]
    found = actions(*FRAME, scaled_to(3), *pods)
    assert summary(found) == ["create Pod simple-default-worker-s1"]


# A scheduler that does not answer ---------------------------------------------------------------------------------


def test_scheduler_that_does_not_answer_is_waited_for_through_the_drain_timeout() -> None:
    since = NOW - DRAIN_TIMEOUT + SECOND
    result = planned(*FRAME, draining_group(1, since=since), *WORKERS, report=refuses(since=since))
    assert result.actions == ()
    assert Workers() in result.questions
    assert result.look_again_at == NOW + SECOND


def test_after_the_drain_timeout_the_youngest_go() -> None:
    since = NOW - DRAIN_TIMEOUT
    result = planned(*FRAME, draining_group(2, since=since), *FOUR, report=refuses(since=since))
    assert list(result.actions) == [
        Delete(PODS, "w1", "uid-w1", outcome="unasked"),
        Delete(PODS, "w2", "uid-w2", outcome="unasked"),
    ]


def test_scheduler_that_answered_since_the_scaling_down_is_given_the_drain_timeout_from_its_silence_on() -> None:
    silent_since = NOW - 10 * SECOND
    result = planned(*FRAME, draining_group(2, since=minutes_ago(9)), *FOUR, report=refuses(since=silent_since))
    assert result.actions == ()
    late = planned(
        *FRAME,
        draining_group(2, since=minutes_ago(9)),
        *FOUR,
        now=silent_since + DRAIN_TIMEOUT,
        report=refuses(since=silent_since),
    )
    assert len(deletions(late.actions)) == 2


def test_scheduler_long_out_of_reach_is_given_the_drain_timeout_from_the_scaling_down_on() -> None:
    result = planned(*FRAME, scaled_to(2), *FOUR, report=refuses(since=minutes_ago(90)))
    assert result.actions == ()
    assert result.look_again_at == NOW + DRAIN_TIMEOUT


def draining_group(replicas: int, *, since: datetime) -> Object:
    """A group whose status says since when it has had workers to drain."""
    body = scaled_to(replicas)
    moment = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Draining", "status": "True", "reason": "SchedulerUnreachable", "lastTransitionTime": moment}
    body["status"] = {"conditions": [{**condition, "message": "", "observedGeneration": 1}]}
    return body


# Handing over -----------------------------------------------------------------------------------------------------

MARKED_AT = NOW - 10 * SECOND
GOING = worker("going", GROUP, draining_since=MARKED_AT, ip="10.0.0.9")


def drained(*known: Any, going: Object = GOING, now: datetime = NOW, **more: Any) -> Plan:
    """The plan while one of three workers is on its way out, which had registered in its time."""
    report = knows("w1", "w2", *known, **{"asked_at": now, "before": ["going"], **more})
    return planned(*FRAME, GROUP, *WORKERS, going, now=now, report=report)


@pytest.mark.parametrize("asked_at", [MARKED_AT - SECOND, None], ids=["before the mark", "never"])
def test_what_was_said_before_the_mark_does_not_count(asked_at: datetime | None) -> None:
    report = SILENT if asked_at is None else knows("w1", "w2", asked_at=asked_at)
    result = planned(*FRAME, GROUP, *WORKERS, GOING, report=report)
    assert (result.actions, result.retirements) == ((), ())
    assert result.questions[Workers()] >= MARKED_AT


def test_absence_that_was_asked_for_before_the_mark_and_heard_of_after_it_does_not_count() -> None:
    going = worker("going", GROUP, draining_since=NOW - 0.5 * SECOND)
    result = drained(going=going, retired=["uid-going"], asked_at=NOW - 0.8 * SECOND, heard_at=NOW)
    assert result.actions == ()
    assert result.questions[Workers()] >= NOW - 0.5 * SECOND


def test_answer_of_a_slow_scheduler_counts_when_it_is_heard() -> None:
    result = drained(retired=["uid-going"], asked_at=NOW - 8 * SECOND, heard_at=NOW)
    assert summary(result.actions) == ["delete Pod going"]


def test_deadline_of_a_worker_is_kept_although_nobody_answers() -> None:
    result = planned(*FRAME, GROUP, *WORKERS, GOING, report=refuses(since=minutes_ago(60)))
    assert result.actions == ()
    assert result.look_again_at == MARKED_AT + DRAIN_TIMEOUT


def test_worker_that_is_registered_is_retired_by_its_address() -> None:
    result = drained("going")
    assert result.actions == ()
    assert result.retirements == (
        Retire("uid-going", frozenset({"tcp://10.0.0.8:going"}), deadline=MARKED_AT + DRAIN_TIMEOUT),
    )


def test_every_worker_process_of_a_pod_is_retired() -> None:
    result = drained("going-0", "going-1")
    [retirement] = result.retirements
    assert retirement.addresses == {"tcp://10.0.0.8:going-0", "tcp://10.0.0.8:going-1"}


def test_worker_that_was_given_another_name_is_found_by_its_pods_address() -> None:
    [retirement] = drained(registered("tcp://10.0.0.9:40001", host="10.0.0.9")).retirements
    assert retirement.pod_uid == "uid-going"


def test_worker_on_another_pods_address_does_not_hold_up_the_deletion() -> None:
    result = drained(registered("tcp://10.0.0.77:40001", host="10.0.0.77"), retired=["uid-going"])
    assert summary(result.actions) == ["delete Pod going"]


def test_worker_that_has_retired_and_is_gone_is_deleted() -> None:
    result = drained(retired=["uid-going"])
    assert result.actions == (Delete(PODS, "going", "uid-going", outcome="retired"),)
    assert result.retirements == ()


def test_worker_that_was_marked_by_a_clock_that_is_ahead_is_deleted_when_it_has_retired() -> None:
    marked_tomorrow = worker("going", GROUP, draining_since=NOW + timedelta(days=1), ip="10.0.0.9")
    assert summary(drained(going=marked_tomorrow, retired=["uid-going"]).actions) == ["delete Pod going"]


def test_worker_that_has_retired_and_come_back_is_retired_again() -> None:
    result = drained("going", retired=["uid-going"])
    assert result.actions == ()
    assert len(result.retirements) == 1


def test_worker_that_is_gone_and_was_not_confirmed_to_have_retired_is_waited_for() -> None:
    # A scheduler that has lost the connection knows it again in a moment, and what it holds.
    result = drained()
    assert (result.actions, result.retirements) == ((), ())
    assert Workers() in result.questions


def test_absence_that_was_told_a_while_ago_is_asked_for_again() -> None:
    # Its container may have been started again and have registered since.
    result = drained(retired=["uid-going"], asked_at=NOW - 2 * SECOND)
    assert result.actions == ()
    assert Workers() in result.questions


def test_worker_that_never_registered_in_all_its_time_is_deleted() -> None:
    result = drained(before=())
    assert result.actions == (Delete(PODS, "going", "uid-going", outcome="unregistered"),)


def test_worker_that_registered_under_another_name_did_register() -> None:
    assert drained(before=[registered("tcp://10.0.0.9:40001", host="10.0.0.9")]).actions == ()


def test_worker_that_may_yet_register_is_waited_for() -> None:
    fresh = worker("going", GROUP, draining_since=MARKED_AT, created_at=NOW - 59 * SECOND)
    assert drained(going=fresh, before=()).actions == ()


def test_worker_whose_containers_do_not_run_is_deleted() -> None:
    crashing = worker("going", GROUP, draining_since=MARKED_AT, created_at=NOW - 20 * SECOND)
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off"}
    crashing["status"]["containerStatuses"] = [{"name": "worker", "state": {"waiting": waiting}}]
    assert summary(drained(going=crashing).actions) == ["delete Pod going"]
    assert drained("going", going=crashing).actions == (), "but not while the scheduler knows it"


def test_worker_that_drains_is_looked_at_again() -> None:
    result = drained("going")
    assert result.look_again_at is not None
    assert NOW < result.look_again_at <= NOW + 5 * SECOND
    assert NOW - 5 * SECOND <= result.questions[Workers()] < NOW


def test_worker_is_deleted_at_its_deadline_whatever_it_holds() -> None:
    deadline = MARKED_AT + DRAIN_TIMEOUT
    busy = registered("going", managed_bytes=10**9)
    early = drained(busy, now=deadline - SECOND, asked_at=deadline - SECOND)
    assert early.actions == ()
    on_time = drained(busy, now=deadline, asked_at=deadline)
    assert on_time.actions == (Delete(PODS, "going", "uid-going", outcome="deadline"),)


@pytest.mark.parametrize("seconds", [0, 60])
def test_groups_own_drain_timeout_wins_over_the_clusters(seconds: int) -> None:
    body = scaled_to(2, drainTimeoutSeconds=seconds)
    now = MARKED_AT + seconds * SECOND
    result = planned(*FRAME, body, *WORKERS, GOING, now=now, report=knows("w1", "w2", "going", asked_at=now))
    assert result.actions == (Delete(PODS, "going", "uid-going", outcome="deadline"),)


def test_clusters_drain_timeout_counts_where_the_group_has_none() -> None:
    owner = cluster()
    owner["spec"]["drainTimeoutSeconds"] = 5
    result = planned(owner, *FRAME[1:], GROUP, *WORKERS, GOING, report=knows("w1", "w2", "going"))
    assert summary(result.actions) == ["delete Pod going"]


def test_draining_worker_is_not_counted_among_those_asked_for() -> None:
    going = worker("w2", GROUP, draining_since=NOW)
    assert summary(actions(*FRAME, GROUP, WORKERS[0], going)) == ["create Pod simple-default-worker-s1"]


# Registration -----------------------------------------------------------------------------------------------------


def test_scheduler_is_asked_every_second_for_workers_that_have_yet_to_register() -> None:
    fresh = worker("w2", GROUP, created_at=NOW - 5 * SECOND)
    result = planned(*FRAME, GROUP, WORKERS[0], fresh, report=knows("w1"))
    assert result.questions == {Workers(): NOW - SECOND}
    assert result.look_again_at == NOW + SECOND


def test_scheduler_is_asked_rarely_for_workers_that_are_late() -> None:
    result = planned(*FRAME, GROUP, *WORKERS, report=knows("w1"))
    assert result.questions == {Workers(): NOW - 30 * SECOND}
    assert result.look_again_at == NOW + 30 * SECOND


def test_scheduler_is_not_asked_before_it_is_available() -> None:
    frame = (CLUSTER, deployment(CLUSTER, available=False), SCHEDULER_POD, SERVICE)
    result = planned(*frame, GROUP, *WORKERS, report=SILENT)
    assert (result.questions, result.look_again_at) == ({}, None)


def test_scheduler_that_knows_everybody_is_left_in_peace() -> None:
    result = planned(*FRAME, GROUP, *WORKERS, report=knows("w1", "w2", asked_at=minutes_ago(99)))
    assert (result.questions, result.look_again_at) == ({}, None)


# Allocation -------------------------------------------------------------------------------------------------------


def test_no_more_workers_than_a_batch_are_made_at_once() -> None:
    batches = Allocation(batch_size=5, delay=timedelta(seconds=30))
    first = planned(*FRAME, scaled_to(12), allocation=batches)
    assert len(first.actions) == 5
    assert first.look_again_at == NOW + batches.delay
    made = [worker(f"b{number}", GROUP, phase="Pending", created_at=NOW) for number in range(5)]
    early = planned(*FRAME, scaled_to(12), *made, now=NOW + 29 * SECOND, allocation=batches)
    assert (early.actions, early.look_again_at) == ((), NOW + batches.delay)
    later = planned(*FRAME, scaled_to(12), *made, now=NOW + batches.delay, allocation=batches)
    assert len(later.actions) == 5


# Updates ----------------------------------------------------------------------------------------------------------

FORMER = group(owners=(CLUSTER,))
FORMER["spec"]["worker"]["spec"]["containers"][0]["image"] = "ghcr.io/dask/dask:2026.3.0"


def old(name: str, **more: Any) -> Object:
    """A worker of an earlier spec."""
    return worker(name, FORMER, **more)


def updated(*pods: Object, replicas: int, strategy: Object | None = None, report: Any = None) -> list[Action]:
    """What is done while a group of which these are the workers is being updated."""
    body = scaled_to(replicas, **({"updateStrategy": strategy} if strategy else {}))
    return actions(*FRAME, body, *pods, report=report)


def creations(found: Sequence[Action]) -> int:
    return sum(isinstance(action, Create) for action in found)


def rolling(*, surge: int | str, unavailable: int | str) -> Object:
    return {"type": "Rolling", "rolling": {"maxSurge": surge, "maxUnavailable": unavailable}}


OLD_FOUR = tuple(old(f"o{number}", created_at=minutes_ago(number)) for number in (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("strategy", "made", "leaving"),
    [
        (None, 1, ["o1"]),
        (rolling(surge=0, unavailable=1), 0, ["o1"]),
        (rolling(surge=0, unavailable=3), 0, ["o1", "o2", "o3"]),
        (rolling(surge=2, unavailable=0), 2, []),
        (rolling(surge="50%", unavailable="0%"), 2, []),
        (rolling(surge="30%", unavailable="30%"), 2, ["o1"]),
        (rolling(surge="0%", unavailable="10%"), 0, ["o1"]),
        (rolling(surge="400%", unavailable="100%"), 4, ["o1", "o2", "o3", "o4"]),
        ({"type": "Recreate"}, 4, ["o1", "o2", "o3", "o4"]),
        ({"type": "OnDelete"}, 0, []),
    ],
    ids=[
        "default",
        "one may be missing",
        "three may be missing",
        "two more",
        "half more",
        "surge rounds up, missing down",
        "both round to nothing",
        "all at once",
        "recreate",
        "on delete",
    ],
)
def test_first_step_of_an_update(strategy: Object | None, made: int, leaving: list[str]) -> None:
    found = updated(*OLD_FOUR, replicas=4, strategy=strategy)
    assert creations(found) == made
    assert marked(found) == leaving
    assert not deletions(found)


def test_new_workers_are_of_the_present_spec() -> None:
    found = updated(*OLD_FOUR, replicas=4)
    [made] = [action.body for action in found if isinstance(action, Create)]
    assert made["spec"]["containers"][0]["image"] == "ghcr.io/dask/dask:latest"


def test_update_goes_on_only_when_those_in_place_of_the_old_are_ready() -> None:
    pods = (*OLD_FOUR[1:], worker("n1", GROUP, phase="Pending"), worker("n2", GROUP, phase="Pending"))
    assert updated(*pods, replicas=4) == []
    ready = (*OLD_FOUR[1:], worker("n1", GROUP), worker("n2", GROUP))
    assert marked(updated(*ready, replicas=4)) == ["o2", "o3"]


def test_outdated_workers_that_never_ran_go_at_once() -> None:
    pending = [old(f"p{number}", phase="Pending") for number in range(4)]
    found = updated(*pending, replicas=4, strategy=rolling(surge=0, unavailable=1))
    assert len(deletions(found)) == 4


def test_outdated_workers_that_are_not_ready_go_before_those_that_are() -> None:
    broken = old("o0", ready=False)
    known = knows(registered("o0", tasks=5), "o1", "o2", "o3")
    found = updated(broken, *OLD_FOUR[:3], replicas=4, strategy=rolling(surge=1, unavailable=0), report=known)
    assert marked(found) == ["o0"], "the ready ones are needed"


def test_draining_workers_count_among_those_that_may_be_there_at_once() -> None:
    going = [old(f"g{number}", draining_since=NOW - SECOND) for number in (1, 2)]
    pods = (old("o1"), worker("n1", GROUP), worker("n2", GROUP))
    assert creations(updated(*pods, *going, replicas=4)) == 0
    assert creations(updated(*pods[1:], worker("n3", GROUP), *going, replicas=4)) == 0, "also in the last step"
    assert creations(updated(*pods[1:], worker("n3", GROUP), going[0], replicas=4)) == 1


def test_worker_that_just_ended_takes_the_place_of_one_more_in_an_update() -> None:
    ended = old("o5", created_at=NOW - SECOND, finished_at=NOW)
    assert creations(updated(*OLD_FOUR, ended, replicas=4, strategy=rolling(surge=1, unavailable=0))) == 0


def test_update_that_crashes_stops_and_takes_no_more_working_ones() -> None:
    crashing = [worker(f"n{number}", GROUP, ready=False) for number in (1, 2)]
    assert updated(*OLD_FOUR[1:], *crashing, replicas=4) == []


def test_workers_on_delete_are_replaced_when_somebody_deletes_one() -> None:
    found = updated(*OLD_FOUR[1:], replicas=4, strategy={"type": "OnDelete"})
    assert summary(found) == ["create Pod simple-default-worker-s1"]


def test_clusters_strategy_counts_where_the_group_has_none() -> None:
    owner = cluster()
    owner["spec"]["updateStrategy"] = {"type": "OnDelete"}
    assert actions(owner, *FRAME[1:], scaled_to(4), *OLD_FOUR) == []


def test_scaling_down_in_an_update_takes_the_old_ones() -> None:
    pods = (*OLD_FOUR[:2], worker("n1", GROUP), worker("n2", GROUP))
    found = updated(*pods, replicas=2, strategy=rolling(surge=0, unavailable=1))
    assert (marked(found), creations(found)) == (["o1", "o2"], 0)


def test_scaling_to_zero_in_an_update_takes_all() -> None:
    pods = (*OLD_FOUR[:2], worker("n1", GROUP), worker("n2", GROUP, phase="Pending"))
    found = updated(*pods, replicas=0)
    assert marked(found) == ["n1", "o1", "o2"]
    assert summary(deletions(found)) == ["delete Pod n2"]


def test_edit_that_is_taken_back_makes_the_newest_ones_the_old_ones() -> None:
    pods = (worker("w1", GROUP), worker("w2", GROUP), worker("w3", GROUP), old("n1", phase="Pending"))
    found = updated(*pods, replicas=4)
    assert summary(deletions(found)) == ["delete Pod n1"]
    assert creations(found) >= 1


def test_worker_of_another_operator_is_taken_as_it_is() -> None:
    theirs = worker("w1", GROUP)
    del theirs["metadata"]["annotations"]["dask.org/spec-hash"]
    [patch] = updated(theirs, replicas=1)
    assert isinstance(patch, Patch)
    assert isinstance(patch.patch, dict)
    assert patch.patch["metadata"]["annotations"] == {
        "dask.org/spec-hash": WORKERS[0]["metadata"]["annotations"]["dask.org/spec-hash"]
    }


@pytest.mark.parametrize(
    "strategy",
    [
        None,
        rolling(surge=1, unavailable=0),
        rolling(surge=0, unavailable=2),
        rolling(surge="100%", unavailable="50%"),
        {"type": "Recreate"},
    ],
    ids=["default", "one more", "two missing", "fast", "recreate"],
)
@pytest.mark.parametrize("replicas", [0, 1, 2, 7])
def test_update_ends_with_all_workers_of_the_present_spec(replicas: int, strategy: Object | None) -> None:
    def share(value: int | str, rounded: Callable[[float], int]) -> int:
        return value if isinstance(value, int) else rounded(int(value.rstrip("%")) * replicas / 100)

    shares = (strategy or rolling(surge="25%", unavailable="25%")).get("rolling")
    pods = {f"o{number}": old(f"o{number}") for number in range(replicas)}
    steps = 0
    while found := updated(*pods.values(), replicas=replicas, strategy=strategy):
        steps += 1
        assert steps < 50, "it never ends"
        for action in found:
            match action:
                case Create():
                    name = f"n{steps}-{action.body['metadata']['name'][-2:]}"
                    pods[name] = worker(name, GROUP)
                case Patch():
                    del pods[action.name]
                case Delete() | DeleteCollection():
                    raise AssertionError("a worker that runs is never deleted unasked")
        if shares:
            surge, unavailable = share(shares["maxSurge"], ceil), share(shares["maxUnavailable"], int)
            assert len(pods) <= replicas + surge
            assert len(pods) >= replicas - max(unavailable, int(not surge))
    assert sorted(name[0] for name in pods) == ["n"] * replicas
