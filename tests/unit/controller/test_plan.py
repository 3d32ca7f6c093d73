"""Every decision, one by one: what is observed in, requests and statuses out."""

from __future__ import annotations

from copy import deepcopy

import pytest

from dask_kubernetes_operator import builders, naming
from dask_kubernetes_operator.reconcile.actions import Action, Create, Delete, DeleteCollection, Event, Patch
from dask_kubernetes_operator.reconcile.conditions import Condition, timestamp
from dask_kubernetes_operator.reconcile.plan import Plan
from dask_kubernetes_operator.resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
)
from dask_kubernetes_operator.spec import Identity, parse_cluster, parse_worker_group

from .objects import (
    LATER,
    NOW,
    WORKER_POD_SPEC,
    Object,
    cluster,
    deployment,
    group,
    owned_by,
    propagated,
    scheduler_pod,
    service,
    terminating,
    worker,
)
from .planning import (
    CLUSTER,
    EVERYTHING,
    FRAME,
    GROUP,
    SCHEDULER,
    SCHEDULER_POD,
    SERVICE,
    WORKERS,
    actions,
    conditions,
    deletions,
    events,
    planned,
    status,
    summary,
    with_statuses,
)
from .test_plan_autoscaler import autoscaler

pytestmark = pytest.mark.unit

FOREIGN = {"apiVersion": "example.com/v1", "kind": "App", "name": "app", "uid": "uid-app"}
OLD = cluster(uid="uid-old")
OLD_GROUP = group(owners=(OLD,), uid="uid-old-group")


def scaled_to(replicas: int) -> Object:
    return group(owners=(CLUSTER,), replicas=replicas)


def merge_patch(found: list[Action]) -> Object:
    """The only merge patch among some actions."""
    [patch] = [action.patch for action in found if isinstance(action, Patch)]
    assert isinstance(patch, dict)
    return patch


# Creation ---------------------------------------------------------------------------------------------------------


def test_fresh_cluster_gets_scheduler_service_and_default_group() -> None:
    parsed = parse_cluster(CLUSTER)
    assert actions(CLUSTER) == [
        Create(DEPLOYMENTS, builders.build_scheduler_deployment(parsed)),
        Create(SERVICES, builders.build_scheduler_service(parsed)),
        Create(DASK_WORKER_GROUPS, builders.build_default_worker_group(parsed)),
    ]


def test_fresh_group_gets_its_workers() -> None:
    parsed, owner = parse_worker_group(GROUP), parse_cluster(CLUSTER)
    assert actions(*FRAME, GROUP) == [
        Create(PODS, builders.build_worker_pod(parsed, suffix=suffix, cluster=owner)) for suffix in ("s1", "s2")
    ]


@pytest.mark.parametrize(
    ("scheduler_pods", "made"),
    [((), 0), ((scheduler_pod(phase="Pending"),), 2), ((terminating(SCHEDULER_POD),), 0), ((SCHEDULER_POD,), 2)],
    ids=["not yet made", "made", "on its way out", "running"],
)
def test_workers_wait_until_the_scheduler_has_its_place(scheduler_pods: tuple[Object, ...], made: int) -> None:
    found = actions(CLUSTER, SCHEDULER, SERVICE, GROUP, *scheduler_pods)
    assert len([action for action in found if isinstance(action, Create)]) == made


def test_nothing_is_done_when_everything_is_there() -> None:
    assert actions(*EVERYTHING) == []


def test_nothing_is_written_when_the_status_is_right() -> None:
    assert planned(*with_statuses(EVERYTHING, planned(*EVERYTHING)), now=LATER) == Plan()


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
    assert "create DaskWorkerGroup simple-default" in summary(actions(*FRAME))


@pytest.mark.parametrize("replicas", [0, 1, 3, 50])
def test_as_many_workers_are_made_as_are_missing(replicas: int) -> None:
    grown = group(owners=(CLUSTER,), replicas=replicas)
    present = WORKERS[: min(replicas, 1)]
    made = actions(*FRAME, grown, *present)
    names = {action.body["metadata"]["name"] for action in made if isinstance(action, Create)}
    assert len(made) == len(names) == replicas - len(present)


def test_every_group_gets_its_own_workers() -> None:
    highmem = group("simple-highmem", owners=(CLUSTER,), replicas=1, cluster_replicas=None)
    assert summary(actions(*EVERYTHING, highmem)) == ["create Pod simple-highmem-worker-s1"]


def test_workers_of_another_group_do_not_count() -> None:
    highmem = group("simple-highmem", owners=(CLUSTER,), replicas=1, cluster_replicas=None)
    mine = worker("h1", highmem, group_name="simple-highmem")
    found = actions(*FRAME, GROUP, highmem, mine)
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


# Replicas: the cluster's and the group's --------------------------------------------------------------------------


def test_edit_of_the_clusters_replicas_is_carried_over() -> None:
    edited = cluster(replicas=5)
    patches = [action for action in actions(edited, *EVERYTHING[1:]) if isinstance(action, Patch)]
    assert patches == [
        Patch(
            DASK_WORKER_GROUPS,
            "simple-default",
            {
                "spec": {"worker": {"replicas": 5}},
                "metadata": {"uid": "uid-simple-default", "annotations": {"dask.org/cluster-replicas": "5"}},
            },
        )
    ]


def test_group_of_another_operator_keeps_the_replicas_it_was_scaled_to() -> None:
    theirs = group(owners=(CLUSTER,), replicas=10, cluster_replicas=None)
    patch = merge_patch(actions(cluster(replicas=2), theirs))
    assert "spec" not in patch
    assert patch["metadata"]["annotations"]["dask.org/cluster-replicas"] == "2"


def test_edit_of_the_groups_replicas_is_kept() -> None:
    found = actions(*FRAME, scaled_to(5), *WORKERS)
    assert summary(found) == [f"create Pod simple-default-worker-s{number}" for number in (1, 2, 3)]


def test_later_edit_of_the_cluster_wins_over_an_earlier_one_of_the_group() -> None:
    edited_group = group(owners=(CLUSTER,), replicas=7, cluster_replicas=2)
    assert merge_patch(actions(cluster(replicas=4), edited_group))["spec"]["worker"]["replicas"] == 4


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


def test_default_group_that_was_there_before_is_adopted_before_anything_else_is_done_to_it() -> None:
    early = group(replicas=5, cluster_replicas=None, version=12)
    assert merge_patch(actions(*FRAME, early)) == {
        "metadata": {"resourceVersion": "12", "ownerReferences": [owned_by(CLUSTER)]}
    }


def test_group_without_a_cluster_waits() -> None:
    assert planned(group("simple-highmem", cluster_replicas=None)) == Plan()


def test_adoption_keeps_other_owners() -> None:
    early = group("simple-highmem", cluster_replicas=None, meta={"ownerReferences": [FOREIGN]})
    patch = merge_patch(actions(*EVERYTHING, early))
    assert patch["metadata"]["ownerReferences"] == [FOREIGN, owned_by(CLUSTER)]


def test_adoption_makes_no_second_controller() -> None:
    # The API server refuses an object with two controlling owners.
    early = group(
        "simple-highmem", cluster_replicas=None, meta={"ownerReferences": [{**FOREIGN, "controller": True}]}
    )
    references = merge_patch(actions(*EVERYTHING, early))["metadata"]["ownerReferences"]
    assert [reference["uid"] for reference in references] == ["uid-app", "uid-simple"]
    assert [bool(reference.get("controller")) for reference in references] == [True, False]


def test_autoscaler_is_adopted_once() -> None:
    early = autoscaler(meta={"resourceVersion": "12"})
    (adoption,) = actions(*EVERYTHING, early)
    references = [owned_by(CLUSTER)]
    assert adoption == Patch(
        DASK_AUTOSCALERS, "simple", {"metadata": {"resourceVersion": "12", "ownerReferences": references}}
    )
    assert actions(*EVERYTHING, autoscaler(meta={"ownerReferences": references})) == []
    assert actions(*EVERYTHING, terminating(early)) == []


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
    found = actions(*FRAME, going, worker("w1", None), WORKERS[1])
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
    assert not [action for action in actions(*FRAME, going) if isinstance(action, Create)]


def test_workers_of_a_former_cluster_do_not_count() -> None:
    found = actions(*FRAME, GROUP, *OLD_WORKERS)
    assert len([action for action in found if isinstance(action, Create)]) == 2


@pytest.mark.parametrize("present", [(), WORKERS], ids=["before its workers are there", "with its workers there"])
def test_workers_of_a_former_cluster_go_without_hitting_those_of_the_present_one(present: tuple[Object, ...]) -> None:
    found = deletions(actions(*FRAME, GROUP, *present, *OLD_WORKERS))
    assert found == [Delete(PODS, "o1", "uid-o1"), Delete(PODS, "o2", "uid-o2")]


def test_status_of_the_present_cluster_does_not_count_former_children() -> None:
    written = status(planned(CLUSTER, deployment(OLD, uid="uid-od"), service(OLD, uid="uid-os"), *OLD_WORKERS))
    assert (written["phase"], written["replicas"], written["readyReplicas"]) == ("Created", 0, 0)


# Propagation: what is there follows in place, and restarts nothing ------------------------------------------------

LABELLED = {"labels": {"team": "data"}, "annotations": {"owner": "me"}}


def note(*labels: str, annotations: tuple[str, ...] = ("owner",)) -> dict[str, str]:
    return propagated("dask.org/cluster-name", "dask.org/component", *labels, annotations=annotations)


def test_label_added_to_a_cluster_reaches_all_that_is_there() -> None:
    on_part = {"labels": {"team": "data"}, "annotations": {"owner": "me", **note("team")}}
    on_pod = {"labels": {"team": "data"}, "annotations": {"owner": "me", **note("team", "sidecar.istio.io/inject")}}
    assert actions(cluster(meta=LABELLED), *EVERYTHING[1:]) == [
        Patch(DEPLOYMENTS, "simple-scheduler", {"metadata": {"uid": "uid-deployment", **on_part}}),
        Patch(SERVICES, "simple-scheduler", {"metadata": {"uid": "uid-service", **on_part}}),
        Patch(PODS, "simple-scheduler-1-pod", {"metadata": {"uid": "uid-scheduler-pod", **on_pod}}),
        Patch(DASK_WORKER_GROUPS, "simple-default", {"metadata": {"uid": "uid-simple-default", **on_part}}),
    ]


def test_label_of_a_group_reaches_its_workers_draining_ones_too() -> None:
    labelled = group(owners=(CLUSTER,), replicas=1)
    labelled["metadata"]["labels"]["team"] = "data"
    found = actions(*FRAME, labelled, WORKERS[0], worker("w2", GROUP, draining_since=NOW))
    labels = {
        action.name: action.patch["metadata"]["labels"]
        for action in found
        if isinstance(action, Patch) and isinstance(action.patch, dict)
    }
    assert labels == {"w1": {"team": "data"}, "w2": {"team": "data"}}


def test_label_that_a_cluster_lost_is_taken_from_the_default_group() -> None:
    before = group(owners=(CLUSTER,), replicas=0)
    before["metadata"]["labels"] |= {"team": "data", "theirs": "1"}
    before["metadata"]["annotations"] |= note("team", annotations=())
    assert merge_patch(actions(*FRAME, before))["metadata"] == {
        "uid": "uid-simple-default",
        "labels": {"team": None},
        "annotations": note(annotations=()),
    }


def test_labels_of_a_group_that_only_was_adopted_are_its_own() -> None:
    highmem = group("simple-highmem", owners=(CLUSTER,), replicas=0, cluster_replicas=None)
    found = actions(cluster(meta=LABELLED), *EVERYTHING[1:], highmem)
    assert "patch DaskWorkerGroup simple-highmem" not in summary(found)


def test_edit_of_the_clusters_worker_spec_is_carried_over_to_the_default_group_whole() -> None:
    spec = {"containers": [{"name": "worker", "image": "ghcr.io/dask/dask:2026.8.0"}]}
    edited = cluster(worker={"spec": spec})
    assert actions(edited, *EVERYTHING[1:]) == [
        Patch(
            DASK_WORKER_GROUPS,
            "simple-default",
            [
                {"op": "replace", "path": "/metadata/uid", "value": "uid-simple-default"},
                {"op": "replace", "path": "/spec/worker/spec", "value": spec},
            ],
        )
    ]


def test_edit_of_the_default_groups_worker_spec_is_taken_back() -> None:
    edited = group(owners=(CLUSTER,), replicas=0)
    edited["spec"]["worker"]["spec"]["nodeName"] = "elsewhere"
    [patch] = actions(*FRAME, edited)
    assert isinstance(patch, Patch)
    assert isinstance(patch.patch, list)
    assert patch.patch[1]["value"] == WORKER_POD_SPEC


# Trouble ----------------------------------------------------------------------------------------------------------


def broken_cluster() -> Object:
    broken = cluster()
    del broken["spec"]["scheduler"]["service"]
    return broken


MISSING = "spec.scheduler.service is missing: add it to the object"


def test_unreadable_cluster_becomes_an_error_that_names_the_field() -> None:
    result = planned(broken_cluster(), *EVERYTHING[1:])
    assert result.actions == ()
    written = status(result)
    assert (written["phase"], written["observedGeneration"]) == ("Error", 1)
    [condition] = written["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Degraded", "True", "Invalid")
    assert condition["message"] == MISSING
    about = Identity("DaskCluster", "default", "simple", "uid-simple")
    assert events(result) == [Event(about, "Warning", "Invalid", MISSING)]


def test_unreadable_cluster_is_told_once() -> None:
    broken = (broken_cluster(),)
    assert planned(*with_statuses(broken, planned(*broken)), now=LATER) == Plan()


def test_children_of_a_former_cluster_go_even_when_the_present_one_is_unreadable() -> None:
    assert "delete DaskWorkerGroup simple-default" in summary(actions(broken_cluster(), OLD_GROUP))


HIGHMEM = group("simple-highmem", owners=(CLUSTER,), cluster_replicas=None)


def broken_group() -> Object:
    broken = deepcopy(HIGHMEM)
    broken["spec"]["worker"]["spec"]["containers"] = []
    return broken


def test_unreadable_group_is_told_on_that_group() -> None:
    result = planned(*EVERYTHING, broken_group())
    written = status(result, "DaskWorkerGroup", "simple-highmem")
    assert conditions(written) == {"Degraded": ("True", "Invalid")}
    assert written["conditions"][0]["message"].startswith("spec.worker.spec.containers is empty")
    assert [event.about.name for event in events(result) if event.reason == "Invalid"] == ["simple-highmem"]


def test_unreadable_group_keeps_its_workers_and_hinders_no_other() -> None:
    found = actions(*EVERYTHING[:-1], broken_group(), worker("h1", HIGHMEM, group_name="simple-highmem"))
    assert summary(found) == ["create Pod simple-default-worker-s1"]


def test_unreadable_default_group_is_not_created_again() -> None:
    broken = group(owners=(CLUSTER,))
    broken["spec"]["worker"]["spec"]["containers"] = []
    assert actions(*FRAME, broken, *WORKERS) == []


QUOTA = Condition("Degraded", "True", "QuotaExceeded", "exceeded quota: pods", 1, event="Warning")
REFUSED = Condition("Degraded", "True", "Invalid", "spec.containers[0].image: Required value", 1, event="Warning")


@pytest.mark.parametrize(("failure", "phase"), [(QUOTA, "Running"), (REFUSED, "Error")])
def test_failure_becomes_a_condition(failure: Condition, phase: str) -> None:
    result = planned(*EVERYTHING, failure=failure)
    written = status(result)
    [found] = [condition for condition in written["conditions"] if condition["type"] == "Degraded"]
    assert found == {
        "type": "Degraded",
        "status": "True",
        "reason": failure.reason,
        "message": failure.message,
        "observedGeneration": 1,
        "lastTransitionTime": timestamp(NOW),
    }
    assert written["phase"] == phase
    assert (failure.reason, failure.message) in [(event.reason, event.message) for event in events(result)]


def test_failure_stops_no_other_action() -> None:
    with_failure = planned(*EVERYTHING[:-1], failure=QUOTA)
    assert summary(with_failure.actions) == ["create Pod simple-default-worker-s1"]


def test_failure_that_is_over_is_taken_back_without_a_word() -> None:
    over = planned(*with_statuses(EVERYTHING, planned(*EVERYTHING, failure=QUOTA)))
    assert conditions(status(over))["Degraded"] == ("False", "AsExpected")
    assert events(over) == []


def test_statuses_never_touch_another_resource() -> None:
    resources = {patch.resource for patch in planned(*EVERYTHING).statuses}
    assert resources == {DASK_CLUSTERS, DASK_WORKER_GROUPS}
