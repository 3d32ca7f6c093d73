"""Every decision, one by one: what is observed in, requests and statuses out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from dask_kubernetes_operator import builders, naming
from dask_kubernetes_operator.reconcile.actions import Action, Create, Delete, DeleteCollection, Patch
from dask_kubernetes_operator.reconcile.conditions import Condition, timestamp
from dask_kubernetes_operator.reconcile.plan import MIN_WORKER_LIFETIME, Plan, plan
from dask_kubernetes_operator.resources import DASK_CLUSTERS, DASK_WORKER_GROUPS, DEPLOYMENTS, PODS, SERVICES
from dask_kubernetes_operator.spec import parse_cluster, parse_worker_group

from .objects import (
    ADDRESS,
    NOW,
    Object,
    cluster,
    deployment,
    group,
    observe,
    owned_by,
    service,
    terminating,
    worker,
)

pytestmark = pytest.mark.unit

CLUSTER = cluster()
GROUP = group(owners=(CLUSTER,))
SCHEDULER = deployment(CLUSTER)
SERVICE = service(CLUSTER)
WORKERS = (worker("w1", GROUP), worker("w2", GROUP))
EVERYTHING = (CLUSTER, GROUP, SCHEDULER, SERVICE, *WORKERS)

FOREIGN = {"apiVersion": "example.com/v1", "kind": "App", "name": "app", "uid": "uid-app"}
OLD = cluster(uid="uid-old")
OLD_GROUP = group(owners=(OLD,), uid="uid-old-group")


def planned(*bodies: Object, now: datetime = NOW, failure: Condition | None = None) -> Plan:
    suffixes: Iterator[int] = count(1)
    return plan(observe(*bodies), now, new_suffix=lambda: f"s{next(suffixes)}", failure=failure)


def actions(*bodies: Object, now: datetime = NOW) -> list[Action]:
    return list(planned(*bodies, now=now).actions)


def summary(found: list[Action]) -> list[str]:
    """One line for each action: verb, kind and name."""
    lines = []
    for action in found:
        match action:
            case Create(resource, body):
                lines.append(f"create {resource.kind} {body['metadata']['name']}")
            case Delete(resource, name):
                lines.append(f"delete {resource.kind} {name}")
            case Patch(resource, name):
                lines.append(f"patch {resource.kind} {name}")
            case DeleteCollection(resource, selector):
                lines.append(f"delete all {resource.kind} {selector}")
    return sorted(lines)


def deletions(found: list[Action]) -> list[Action]:
    return [action for action in found if isinstance(action, Delete | DeleteCollection)]


def status(result: Plan, kind: str = "DaskCluster", name: str = "simple") -> dict[str, Any]:
    """The status that a plan writes on one object."""
    [patch] = [patch for patch in result.statuses if (patch.resource.kind, patch.name) == (kind, name)]
    assert patch.subresource == "status"
    assert set(patch.patch) == {"metadata", "status"}
    assert set(patch.patch["metadata"]) == {"uid"}, "an object made anew under the name is left alone"
    written: dict[str, Any] = patch.patch["status"]
    return written


def conditions(written: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in written["conditions"]}


def with_status(*bodies: Object) -> list[Object]:
    """The same objects after the statuses of a plan for them were written."""
    written = {(patch.resource.kind, patch.name): patch.patch["status"] for patch in planned(*bodies).statuses}
    return [
        {**body, "status": {**body.get("status", {}), **written.get((body["kind"], body["metadata"]["name"]), {})}}
        for body in bodies
    ]


# Creation ---------------------------------------------------------------------------------------------------------


def test_fresh_cluster_gets_scheduler_service_and_default_group() -> None:
    parsed = parse_cluster(CLUSTER)
    assert actions(CLUSTER) == [
        Create(DEPLOYMENTS, builders.build_scheduler_deployment(parsed)),
        Create(SERVICES, builders.build_scheduler_service(parsed)),
        Create(DASK_WORKER_GROUPS, builders.build_default_worker_group(parsed)),
    ]


def test_fresh_group_gets_its_workers() -> None:
    parsed = parse_worker_group(GROUP)
    assert actions(CLUSTER, GROUP, SCHEDULER, SERVICE) == [
        Create(PODS, builders.build_worker_pod(parsed, suffix=suffix, address=ADDRESS)) for suffix in ("s1", "s2")
    ]


def test_workers_do_not_wait_for_the_scheduler() -> None:
    assert summary(actions(CLUSTER, GROUP)) == [
        "create Deployment simple-scheduler",
        "create Pod simple-default-worker-s1",
        "create Pod simple-default-worker-s2",
        "create Service simple-scheduler",
    ]


def test_nothing_is_done_when_everything_is_there() -> None:
    assert actions(*EVERYTHING) == []


def test_nothing_is_written_when_the_status_is_right() -> None:
    settled = planned(*with_status(*EVERYTHING), now=NOW + timedelta(hours=1))
    assert settled == Plan()


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (SCHEDULER, "create Deployment simple-scheduler"),
        (SERVICE, "create Service simple-scheduler"),
        (WORKERS[0], "create Pod simple-default-worker-s1"),
        (WORKERS[1], "create Pod simple-default-worker-s1"),
    ],
    ids=["scheduler", "service", "first worker", "last worker"],
)
def test_lost_child_comes_back_alone(missing: Object, expected: str) -> None:
    assert summary(actions(*(body for body in EVERYTHING if body is not missing))) == [expected]


def test_lost_default_group_comes_back() -> None:
    assert "create DaskWorkerGroup simple-default" in summary(actions(CLUSTER, SCHEDULER, SERVICE))


@pytest.mark.parametrize("replicas", [0, 1, 3, 50])
def test_as_many_workers_are_made_as_are_missing(replicas: int) -> None:
    grown = group(owners=(CLUSTER,), replicas=replicas)
    present = WORKERS[: min(replicas, 1)]
    made = actions(CLUSTER, grown, SCHEDULER, SERVICE, *present)
    names = {action.body["metadata"]["name"] for action in made if isinstance(action, Create)}
    assert len(made) == len(names) == replicas - len(present)


def test_every_group_gets_its_own_workers() -> None:
    highmem = group("simple-highmem", owners=(CLUSTER,), replicas=1, cluster_replicas=None)
    assert summary(actions(*EVERYTHING, highmem)) == ["create Pod simple-highmem-worker-s1"]


def test_workers_of_another_group_do_not_count() -> None:
    highmem = group("simple-highmem", owners=(CLUSTER,), replicas=1, cluster_replicas=None)
    mine = worker("h1", highmem, group_name="simple-highmem")
    found = actions(CLUSTER, GROUP, SCHEDULER, SERVICE, highmem, mine)
    assert summary(found) == ["create Pod simple-default-worker-s1", "create Pod simple-default-worker-s2"]


@pytest.mark.parametrize(
    "part",
    [
        terminating(part)
        for owner in (CLUSTER, OLD, None)
        for part in (deployment(owner, uid="uid-going"), service(owner, uid="uid-going"))
    ],
    ids=[
        f"{part} of {owner}"
        for owner in ("the cluster", "a former one", "nobody")
        for part in ("deployment", "service")
    ],
)
def test_name_that_is_on_its_way_out_is_waited_for(part: Object) -> None:
    rest = [body for body in EVERYTHING if body["kind"] != part["kind"]]
    assert actions(*rest, part) == []


@pytest.mark.parametrize(
    "stranger",
    [
        deployment(None, uid="uid-orphan"),
        service(None, uid="uid-orphan"),
        deployment(None, uid="uid-foreign", meta={"ownerReferences": [FOREIGN]}),
    ],
    ids=["orphaned deployment", "orphaned service", "foreign deployment"],
)
def test_name_that_is_taken_by_a_stranger_does_not_go_unnoticed(stranger: Object) -> None:
    rest = [body for body in EVERYTHING if body["kind"] != stranger["kind"]]
    found = actions(*rest, stranger)
    assert found, "either adopted, or created and refused: but not left as it is without a word"
    assert not deletions(found)


# Removal of workers -----------------------------------------------------------------------------------------------


def scaled_to(replicas: int) -> Object:
    return group(owners=(CLUSTER,), replicas=replicas)


def minutes_ago(minutes: int) -> datetime:
    return NOW - timedelta(minutes=minutes)


def test_surplus_takes_pending_pods_newest_first() -> None:
    pods = [
        worker("oldest", GROUP, phase="Pending", created_at=minutes_ago(9)),
        worker("newest", GROUP, phase="Pending", created_at=minutes_ago(1)),
        worker("middle", GROUP, phase="Pending", created_at=minutes_ago(5)),
    ]
    found = actions(CLUSTER, scaled_to(1), SCHEDULER, SERVICE, *pods)
    assert found == [Delete(PODS, "newest", "uid-newest", 1), Delete(PODS, "middle", "uid-middle", 1)]


def test_surplus_is_taken_only_as_it_was_seen_and_never_after_it_started() -> None:
    pods = [worker("w1", GROUP, phase="Pending", version=7)]
    [action] = actions(CLUSTER, scaled_to(0), SCHEDULER, SERVICE, *pods)
    assert isinstance(action, Delete)
    assert action.version == 7


def test_surplus_never_takes_a_running_worker() -> None:
    assert actions(CLUSTER, scaled_to(0), SCHEDULER, SERVICE, *WORKERS) == []


def test_surplus_takes_a_pending_pod_before_a_newer_running_one() -> None:
    pods = [
        worker("pending", GROUP, phase="Pending", created_at=minutes_ago(9)),
        worker("running", GROUP, created_at=minutes_ago(1)),
    ]
    assert summary(actions(CLUSTER, scaled_to(1), SCHEDULER, SERVICE, *pods)) == ["delete Pod pending"]


def test_surplus_takes_no_pod_whose_state_is_unknown() -> None:
    pods = [worker("lost", GROUP, phase="Unknown"), *WORKERS]
    assert actions(CLUSTER, scaled_to(1), SCHEDULER, SERVICE, *pods) == []


def test_surplus_takes_no_more_than_the_surplus() -> None:
    pods = [worker(f"p{number}", GROUP, phase="Pending") for number in range(5)]
    found = actions(CLUSTER, scaled_to(3), SCHEDULER, SERVICE, *pods)
    assert len(found) == len(deletions(found)) == 2


def test_terminating_pods_do_not_count() -> None:
    found = actions(CLUSTER, GROUP, SCHEDULER, SERVICE, WORKERS[0], terminating(WORKERS[1]))
    assert summary(found) == ["create Pod simple-default-worker-s1"]


def test_terminating_pods_are_not_deleted_again() -> None:
    pods = [terminating(worker(f"p{number}", GROUP, phase="Pending")) for number in range(2)]
    assert actions(CLUSTER, scaled_to(0), SCHEDULER, SERVICE, *pods) == []


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_finished_worker_is_replaced(phase: str) -> None:
    ended = worker("w1", GROUP, phase=phase, finished_at=minutes_ago(1))
    found = actions(CLUSTER, GROUP, SCHEDULER, SERVICE, ended, WORKERS[1])
    assert summary(found) == ["create Pod simple-default-worker-s1", "delete Pod w1"]


def test_worker_that_ends_right_after_its_start_is_replaced_only_after_a_while() -> None:
    started = NOW - timedelta(seconds=2)
    ended = worker("w1", GROUP, created_at=started, finished_at=NOW - timedelta(seconds=1))
    bodies = (CLUSTER, GROUP, SCHEDULER, SERVICE, ended, WORKERS[1])
    due = started + MIN_WORKER_LIFETIME
    early = planned(*bodies, now=due - timedelta(seconds=1))
    assert (early.actions, early.look_again_at) == ((), due)
    on_time = planned(*bodies, now=due)
    assert summary(list(on_time.actions)) == ["create Pod simple-default-worker-s1", "delete Pod w1"]
    assert on_time.look_again_at is None


def test_earliest_of_several_replacements_is_looked_at_first() -> None:
    pods = [worker(f"w{age}", GROUP, created_at=NOW - timedelta(seconds=age), finished_at=NOW) for age in (1, 7, 3)]
    result = planned(CLUSTER, scaled_to(3), SCHEDULER, SERVICE, *pods)
    assert result.look_again_at == NOW - timedelta(seconds=7) + MIN_WORKER_LIFETIME


def test_replacement_does_not_trust_a_nodes_clock() -> None:
    ended = worker("w1", GROUP, finished_at=NOW + timedelta(hours=1))
    found = actions(CLUSTER, GROUP, SCHEDULER, SERVICE, ended, WORKERS[1])
    assert summary(found) == ["create Pod simple-default-worker-s1", "delete Pod w1"]


def test_finished_workers_beyond_the_replicas_go_and_are_not_replaced() -> None:
    ended = worker("w1", GROUP, finished_at=minutes_ago(1))
    assert summary(actions(CLUSTER, scaled_to(1), SCHEDULER, SERVICE, ended, WORKERS[1])) == ["delete Pod w1"]


# Replicas: the cluster's and the group's --------------------------------------------------------------------------


def test_edit_of_the_clusters_replicas_is_carried_over() -> None:
    edited = cluster(replicas=5)
    patches = [action for action in actions(edited, *EVERYTHING[1:]) if isinstance(action, Patch)]
    assert patches == [
        Patch(
            DASK_WORKER_GROUPS,
            "simple-default",
            {
                "metadata": {"uid": "uid-simple-default", "annotations": {"dask.org/cluster-replicas": "5"}},
                "spec": {"worker": {"replicas": 5}},
            },
        )
    ]


def test_group_of_another_operator_keeps_the_replicas_it_was_scaled_to() -> None:
    theirs = group(owners=(CLUSTER,), replicas=10, cluster_replicas=None)
    [patch] = [action for action in actions(cluster(replicas=2), theirs) if isinstance(action, Patch)]
    assert "spec" not in patch.patch
    assert patch.patch["metadata"]["annotations"] == {"dask.org/cluster-replicas": "2"}


def test_edit_of_the_groups_replicas_is_kept() -> None:
    found = actions(CLUSTER, scaled_to(5), SCHEDULER, SERVICE, *WORKERS)
    assert summary(found) == [f"create Pod simple-default-worker-s{number}" for number in (1, 2, 3)]


def test_later_edit_of_the_cluster_wins_over_an_earlier_one_of_the_group() -> None:
    edited_group = group(owners=(CLUSTER,), replicas=7, cluster_replicas=2)
    [patch] = [action for action in actions(cluster(replicas=4), edited_group) if isinstance(action, Patch)]
    assert patch.patch["spec"]["worker"]["replicas"] == 4


def test_other_groups_do_not_follow_the_clusters_replicas() -> None:
    highmem = group("simple-highmem", owners=(CLUSTER,), replicas=1, cluster_replicas=None)
    found = actions(*EVERYTHING, highmem, worker("h1", highmem, group_name="simple-highmem"))
    assert found == []


# Adoption ---------------------------------------------------------------------------------------------------------


def test_group_that_was_there_before_its_cluster_is_adopted() -> None:
    early = group("simple-highmem", cluster_replicas=None, version=12)
    found = actions(*EVERYTHING, early)
    assert found == [
        Patch(
            DASK_WORKER_GROUPS,
            "simple-highmem",
            {"metadata": {"resourceVersion": "12", "ownerReferences": [owned_by(CLUSTER)]}},
        )
    ]


def test_group_gets_its_workers_only_after_its_adoption() -> None:
    early = group("simple-highmem", cluster_replicas=None)
    assert not [action for action in actions(*EVERYTHING, early) if isinstance(action, Create)]
    adopted = group("simple-highmem", owners=(CLUSTER,), cluster_replicas=None)
    assert len(actions(*EVERYTHING, adopted)) == 2


def test_group_without_a_cluster_waits() -> None:
    assert planned(group("simple-highmem", cluster_replicas=None)) == Plan()


def test_adoption_keeps_other_owners() -> None:
    early = group("simple-highmem", cluster_replicas=None, meta={"ownerReferences": [FOREIGN]})
    [patch] = actions(*EVERYTHING, early)
    assert isinstance(patch, Patch)
    assert patch.patch["metadata"]["ownerReferences"] == [FOREIGN, owned_by(CLUSTER)]


def test_adoption_makes_no_second_controller() -> None:
    # The API server refuses an object with two controlling owners.
    early = group(
        "simple-highmem", cluster_replicas=None, meta={"ownerReferences": [{**FOREIGN, "controller": True}]}
    )
    [patch] = actions(*EVERYTHING, early)
    assert isinstance(patch, Patch)
    references = patch.patch["metadata"]["ownerReferences"]
    assert [reference["uid"] for reference in references] == ["uid-app", "uid-simple"]
    assert [bool(reference.get("controller")) for reference in references] == [True, False]


def test_adopted_group_is_not_adopted_again() -> None:
    adopted = group("simple-highmem", replicas=0, cluster_replicas=None)
    adopted["metadata"]["ownerReferences"] = [FOREIGN, owned_by(CLUSTER)]
    assert actions(*EVERYTHING, adopted) == []


# Deletion ---------------------------------------------------------------------------------------------------------

WORKERS_OF_DEFAULT = "dask.org/cluster-name=simple,dask.org/component=worker,dask.org/workergroup-name=simple-default"
CHILDREN_GO = [
    f"delete all Pod {WORKERS_OF_DEFAULT}",
    "delete DaskWorkerGroup simple-default",
    "delete Deployment simple-scheduler",
    "delete Service simple-scheduler",
]


def test_children_of_a_deleted_cluster_go() -> None:
    assert summary(actions(*EVERYTHING[1:])) == sorted(CHILDREN_GO)


def test_children_of_a_cluster_deleted_in_the_foreground_go() -> None:
    going = terminating(CLUSTER, "foregroundDeletion")
    assert summary(actions(going, *EVERYTHING[1:])) == sorted(CHILDREN_GO)


def test_deletion_names_the_uid_so_that_a_namesake_survives() -> None:
    uids = {action.uid for action in actions(*EVERYTHING[1:]) if isinstance(action, Delete)}
    assert uids == {"uid-simple-default", "uid-deployment", "uid-service"}


def test_nothing_is_created_or_written_for_a_cluster_that_goes() -> None:
    for going in (terminating(CLUSTER, "foregroundDeletion"), terminating(CLUSTER, "example.com/held")):
        result = planned(going, *EVERYTHING[1:-1])
        assert not [action for action in result.actions if isinstance(action, Create | Patch)]
        assert not result.statuses


def test_what_is_on_its_way_out_is_not_deleted_again() -> None:
    assert actions(*(terminating(body) for body in EVERYTHING[1:])) == []


def test_orphans_are_left_alone() -> None:
    orphans = [
        group(cluster_replicas=2),
        deployment(None),
        service(None),
        worker("w1", GROUP),
        worker("w2", None),
    ]
    assert actions(*orphans) == []


def test_cluster_that_is_being_orphaned_is_left_alone() -> None:
    # Garbage collection takes the references away one by one, then lets the cluster go.
    going = terminating(CLUSTER, "orphan")
    half_done = [group(cluster_replicas=2), deployment(None), SERVICE, WORKERS[0]]
    result = planned(going, *half_done)
    assert result.actions == ()


def test_group_that_is_being_orphaned_gets_no_more_workers() -> None:
    going = terminating(GROUP, "orphan")
    found = actions(CLUSTER, going, SCHEDULER, SERVICE, worker("w1", None), WORKERS[1])
    assert [line for line in summary(found) if "Pod" in line] == []


@pytest.mark.parametrize("others", [EVERYTHING, ()], ids=["in a new cluster", "alone"])
def test_group_that_others_own_too_outlives_its_cluster(others: tuple[Object, ...]) -> None:
    shared = group("simple-highmem", uid="uid-shared", replicas=1, cluster_replicas=None)
    shared["metadata"]["ownerReferences"] = [FOREIGN, owned_by(OLD)]
    pod = worker("h1", shared, group_name="simple-highmem")
    assert deletions(actions(*others, shared, pod)) == []


def test_workers_of_a_deleted_group_go_and_those_of_others_stay() -> None:
    highmem = group("simple-highmem", uid="uid-gone")
    left_behind = [worker(name, highmem, group_name="simple-highmem") for name in ("h1", "h2")]
    assert actions(*EVERYTHING, *left_behind) == [
        DeleteCollection(
            PODS, "dask.org/cluster-name=simple,dask.org/component=worker,dask.org/workergroup-name=simple-highmem"
        )
    ]


@pytest.mark.parametrize(
    "stranger",
    [
        worker("w9", None, meta={"ownerReferences": [{**FOREIGN, "kind": "ReplicaSet", "apiVersion": "apps/v1"}]}),
        worker("w9", None, group_name="of-nobody", meta={"ownerReferences": [FOREIGN]}),
        deployment(None, uid="uid-9", meta={"name": "other", "ownerReferences": [FOREIGN]}),
        service(None, uid="uid-9", meta={"name": "other", "ownerReferences": [FOREIGN]}),
        deployment(None, uid="uid-9", meta={"name": "other", "ownerReferences": [FOREIGN, owned_by(OLD)]}),
        worker("w9", None),
    ],
    ids=["of a ReplicaSet", "of another group", "deployment", "service", "of two owners", "of nobody"],
)
def test_what_others_own_is_never_deleted(stranger: Object) -> None:
    assert deletions(actions(*EVERYTHING, stranger)) == []
    for action in deletions(actions(*EVERYTHING[1:], stranger)):
        if isinstance(action, Delete):
            assert action.uid != stranger["metadata"]["uid"]
        elif isinstance(action, DeleteCollection):
            labels = stranger["metadata"]["labels"]
            assert naming.selector(labels) != action.selector


# Re-creation under the same name ----------------------------------------------------------------------------------

OLD_WORKERS = (worker("o1", OLD_GROUP), worker("o2", OLD_GROUP))


def test_children_of_a_former_cluster_of_the_name_go() -> None:
    old = (OLD_GROUP, deployment(OLD, uid="uid-od"), service(OLD, uid="uid-os"), *OLD_WORKERS)
    gone = {action.uid for action in actions(CLUSTER, *old) if isinstance(action, Delete)}
    assert {"uid-old-group", "uid-od", "uid-os"} <= gone


def test_names_of_a_former_cluster_are_waited_for() -> None:
    old = (OLD_GROUP, deployment(OLD, uid="uid-od"), service(OLD, uid="uid-os"), *OLD_WORKERS)
    assert not [action for action in actions(CLUSTER, *old) if isinstance(action, Create)]


@pytest.mark.parametrize(
    "going", [terminating(OLD_GROUP, "foregroundDeletion"), terminating(GROUP, "foregroundDeletion")]
)
def test_name_of_a_group_on_its_way_out_is_waited_for(going: Object) -> None:
    assert not [action for action in actions(CLUSTER, SCHEDULER, SERVICE, going) if isinstance(action, Create)]


def test_workers_of_a_former_cluster_do_not_count() -> None:
    found = actions(CLUSTER, GROUP, SCHEDULER, SERVICE, *OLD_WORKERS)
    assert len([action for action in found if isinstance(action, Create)]) == 2


@pytest.mark.parametrize("present", [(), WORKERS], ids=["before its workers are there", "with its workers there"])
def test_workers_of_a_former_cluster_go_without_hitting_those_of_the_present_one(present: tuple[Object, ...]) -> None:
    found = deletions(actions(CLUSTER, GROUP, SCHEDULER, SERVICE, *present, *OLD_WORKERS))
    assert found == [Delete(PODS, "o1", "uid-o1"), Delete(PODS, "o2", "uid-o2")]


def test_status_of_the_present_cluster_does_not_count_former_children() -> None:
    written = status(planned(CLUSTER, deployment(OLD, uid="uid-od"), service(OLD, uid="uid-os"), *OLD_WORKERS))
    assert (written["phase"], written["replicas"], written["readyReplicas"]) == ("Created", 0, 0)


# Status -----------------------------------------------------------------------------------------------------------


def test_status_of_a_cluster_that_runs() -> None:
    written = status(planned(*EVERYTHING))
    assert {key: value for key, value in written.items() if key != "conditions"} == {
        "phase": "Running",
        "observedGeneration": 1,
        "replicas": 2,
        "readyReplicas": 2,
        "selector": WORKERS_OF_DEFAULT,
        "schedulerAddress": "tcp://simple-scheduler.default.svc:8786",
        "dashboardAddress": "http://simple-scheduler.default.svc:8787",
    }
    assert conditions(written) == {
        "SchedulerReady": ("True", "SchedulerAvailable"),
        "WorkersReady": ("True", "AllWorkersReady"),
        "Ready": ("True", "ClusterReady"),
        "Reconciled": ("True", "Reconciled"),
    }
    assert {condition["lastTransitionTime"] for condition in written["conditions"]} == {timestamp(NOW)}


def test_status_of_a_group_that_runs() -> None:
    written = status(planned(*EVERYTHING), "DaskWorkerGroup", "simple-default")
    assert {key: value for key, value in written.items() if key != "conditions"} == {
        "observedGeneration": 1,
        "replicas": 2,
        "readyReplicas": 2,
        "selector": WORKERS_OF_DEFAULT,
    }
    assert conditions(written)["WorkersReady"] == ("True", "AllWorkersReady")


@pytest.mark.parametrize(
    ("parts", "phase"),
    [
        ((), "Created"),
        ((SCHEDULER,), "Pending"),
        ((SERVICE,), "Pending"),
        ((GROUP,), "Pending"),
        ((GROUP, SCHEDULER), "Pending"),
        ((GROUP, SERVICE, *WORKERS), "Pending"),
        ((GROUP, SCHEDULER, SERVICE), "Running"),
        ((GROUP, terminating(SCHEDULER), SERVICE), "Pending"),
        ((GROUP, SCHEDULER, terminating(SERVICE)), "Pending"),
        ((terminating(GROUP), SCHEDULER, SERVICE), "Pending"),
    ],
)
def test_phase_follows_what_is_there(parts: tuple[Object, ...], phase: str) -> None:
    assert status(planned(CLUSTER, *parts))["phase"] == phase


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ((deployment(CLUSTER, available=False), *WORKERS), {"SchedulerReady": "False", "WorkersReady": "True"}),
        ((SCHEDULER, WORKERS[0]), {"SchedulerReady": "True", "WorkersReady": "False"}),
        (
            (SCHEDULER, WORKERS[0], worker("w2", GROUP, phase="Pending")),
            {"SchedulerReady": "True", "WorkersReady": "False"},
        ),
        (
            (SCHEDULER, WORKERS[0], terminating(WORKERS[1])),
            {"SchedulerReady": "True", "WorkersReady": "False"},
        ),
    ],
    ids=["scheduler not available", "worker missing", "worker pending", "worker terminating"],
)
def test_cluster_is_ready_only_with_all_of_it(changed: tuple[Object, ...], expected: dict[str, str]) -> None:
    written = status(planned(CLUSTER, GROUP, SERVICE, *changed))
    states = {kind: state for kind, (state, _) in conditions(written).items()}
    assert states == {**expected, "Ready": "False", "Reconciled": "True"}
    [ready] = [condition for condition in written["conditions"] if condition["type"] == "Ready"]
    assert ready["message"]


def test_workers_not_ready_tells_how_many_are() -> None:
    written = status(planned(CLUSTER, GROUP, SCHEDULER, SERVICE, WORKERS[0]))
    [found] = [condition for condition in written["conditions"] if condition["type"] == "WorkersReady"]
    assert found["message"] == "1 of 2 workers are ready"


def test_status_counts_what_the_group_was_asked_for() -> None:
    written = status(planned(CLUSTER, scaled_to(5), SCHEDULER, SERVICE, *WORKERS))
    [found] = [condition for condition in written["conditions"] if condition["type"] == "WorkersReady"]
    assert found["message"] == "2 of 5 workers are ready"


def test_surplus_that_keeps_running_is_told() -> None:
    written = status(
        planned(CLUSTER, scaled_to(1), SCHEDULER, SERVICE, *WORKERS), "DaskWorkerGroup", "simple-default"
    )
    assert conditions(written)["WorkersReady"] == ("True", "SurplusMayHoldData")
    assert (written["replicas"], written["readyReplicas"]) == (2, 2)


def test_only_what_changed_is_written() -> None:
    bodies = with_status(*EVERYTHING)
    cut = [body for body in bodies if body["metadata"]["name"] != "w2"]
    written = status(planned(*cut))
    assert set(written) == {"replicas", "readyReplicas", "conditions"}


def test_conditions_of_others_survive() -> None:
    theirs = {"type": "Audited", "status": "True", "reason": "ByUs", "message": "", "lastTransitionTime": "x"}
    written = status(planned(cluster(status={"conditions": [theirs]})))
    assert theirs in written["conditions"]


def test_new_generation_is_observed() -> None:
    bodies = with_status(*EVERYTHING)
    bodies[0]["metadata"] = {**bodies[0]["metadata"], "generation": 2}
    written = status(planned(*bodies))
    assert written["observedGeneration"] == 2
    assert {condition["observedGeneration"] for condition in written["conditions"]} == {2}


# Trouble ----------------------------------------------------------------------------------------------------------


def test_unreadable_cluster_becomes_an_error_that_names_the_field() -> None:
    broken = cluster()
    del broken["spec"]["scheduler"]["service"]
    result = planned(broken, *EVERYTHING[1:])
    assert result.actions == ()
    written = status(result)
    assert (written["phase"], written["observedGeneration"]) == ("Error", 1)
    [condition] = written["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Reconciled", "False", "Invalid")
    assert condition["message"].startswith("spec.scheduler.service is missing")


def test_unreadable_cluster_is_told_once() -> None:
    broken = cluster()
    del broken["spec"]["scheduler"]["service"]
    assert planned(*with_status(broken), now=NOW + timedelta(hours=1)) == Plan()


def test_children_of_a_former_cluster_go_even_when_the_present_one_is_unreadable() -> None:
    broken = cluster()
    del broken["spec"]["scheduler"]["service"]
    assert "delete DaskWorkerGroup simple-default" in summary(actions(broken, OLD_GROUP))


def broken_group() -> Object:
    broken = group("simple-highmem", owners=(CLUSTER,), cluster_replicas=None)
    broken["spec"]["worker"]["spec"]["containers"] = []
    return broken


def test_unreadable_group_is_told_on_that_group() -> None:
    written = status(planned(*EVERYTHING, broken_group()), "DaskWorkerGroup", "simple-highmem")
    assert conditions(written) == {"Reconciled": ("False", "Invalid")}
    assert written["conditions"][0]["message"].startswith("spec.worker.spec.containers is empty")


def test_unreadable_group_keeps_its_workers_and_hinders_no_other() -> None:
    highmem = broken_group()
    found = actions(*EVERYTHING[:-1], highmem, worker("h1", highmem, group_name="simple-highmem"))
    assert summary(found) == ["create Pod simple-default-worker-s1"]


def test_unreadable_default_group_is_not_created_again() -> None:
    broken = group(owners=(CLUSTER,))
    broken["spec"]["worker"]["spec"]["containers"] = []
    assert actions(CLUSTER, SCHEDULER, SERVICE, broken, *WORKERS) == []


QUOTA = Condition("Reconciled", "False", "QuotaExceeded", "exceeded quota: pods", 1)
REFUSED = Condition("Reconciled", "False", "Invalid", "spec.containers[0].image: Required value", 1)


@pytest.mark.parametrize(("failure", "phase"), [(QUOTA, "Running"), (REFUSED, "Error")])
def test_failure_becomes_a_condition(failure: Condition, phase: str) -> None:
    written = status(planned(*EVERYTHING, failure=failure))
    [found] = [condition for condition in written["conditions"] if condition["type"] == "Reconciled"]
    assert found == {
        "type": "Reconciled",
        "status": "False",
        "reason": failure.reason,
        "message": failure.message,
        "observedGeneration": 1,
        "lastTransitionTime": timestamp(NOW),
    }
    assert written["phase"] == phase


def test_failure_stops_no_other_action() -> None:
    with_failure = planned(*EVERYTHING[:-1], failure=QUOTA)
    assert summary(list(with_failure.actions)) == ["create Pod simple-default-worker-s1"]


def test_failure_that_is_over_is_taken_back() -> None:
    bodies = [CLUSTER, *EVERYTHING[1:]]
    written = status(planned(*bodies, failure=QUOTA))
    bodies[0] = {**CLUSTER, "status": written}
    assert conditions(status(planned(*bodies)))["Reconciled"] == ("True", "Reconciled")


def test_statuses_never_touch_another_resource() -> None:
    resources = {patch.resource for patch in planned(*EVERYTHING).statuses}
    assert resources == {DASK_CLUSTERS, DASK_WORKER_GROUPS}
