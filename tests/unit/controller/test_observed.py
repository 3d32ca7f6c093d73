"""The store: what is believed of events that come late, twice, out of order or not at all."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest

from dask_kubernetes_operator.reconcile import observed
from dask_kubernetes_operator.reconcile.observed import Key, Pod, Problem, Store, key_of
from dask_kubernetes_operator.resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_JOBS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Resource,
)

from .objects import (
    KEY,
    LONG_AGO,
    NOW,
    OF_WORKER_POD,
    Object,
    cluster,
    deployment,
    group,
    metadata,
    owned_by,
    scheduler_pod,
    service,
    terminating,
    worker,
    written_by,
)

pytestmark = pytest.mark.unit


def pods_of(store: Store) -> dict[str, Pod]:
    return {pod.name: pod for pod in store.observe(KEY).pods}


def pod(version: int, *, phase: str = "Running", name: str = "w", uid: str = "") -> Object:
    return worker(name, group(), phase=phase, version=version, uid=uid)


# Whose an object is -----------------------------------------------------------------------------------------------


def job(name: str = "simple") -> Object:
    return {"kind": "DaskJob", "metadata": metadata(name)}


def autoscaler(name: str = "any", *, cluster_name: str = "simple") -> Object:
    return {"kind": "DaskAutoscaler", "metadata": metadata(name), "spec": {"cluster": cluster_name}}


def runner_pod() -> Object:
    body = worker("simple-runner", None, phase="Running")
    body["metadata"]["labels"] = {"dask.org/cluster-name": "simple", "dask.org/component": "job-runner"}
    return body


def test_every_kind_is_found_by_its_cluster() -> None:
    everything = [
        (DASK_CLUSTERS, cluster()),
        (DASK_JOBS, job()),
        (DASK_WORKER_GROUPS, group()),
        (DASK_AUTOSCALERS, autoscaler()),
        (DEPLOYMENTS, deployment(cluster())),
        (SERVICES, service(cluster())),
        (PODS, worker("w", group())),
        (PODS, scheduler_pod()),
        (PODS, runner_pod()),
    ]
    store = Store()
    for resource, body in everything:
        assert key_of(resource, body) == KEY
        assert store.put(resource, body) == KEY
    seen = store.observe(KEY)
    assert seen.cluster is not None
    assert seen.job is not None
    for part in (seen.groups, seen.autoscalers, seen.deployments, seen.services):
        assert len(part) == 1
    assert [pod.name for pod in seen.pods] == ["w"]
    assert [pod.name for pod in seen.scheduler_pods] == ["simple-scheduler-1-pod"]
    assert [pod.name for pod in seen.runner_pods] == ["simple-runner"]
    assert not seen.empty
    assert store.observe(Key("other", "simple")).empty
    assert store.observe(Key("default", "other")).empty


@pytest.mark.parametrize(
    ("resource", "body"),
    [
        (DASK_JOBS, job()),
        (DASK_AUTOSCALERS, autoscaler()),
        (PODS, scheduler_pod()),
        (PODS, runner_pod()),
        (PODS, worker("w", None)),
        (SERVICES, service(None)),
    ],
    ids=["job", "autoscaler", "scheduler pod", "runner pod", "worker pod", "service"],
)
def test_cluster_is_not_over_while_anything_bears_its_name(resource: Resource, body: Object) -> None:
    store = Store()
    store.put(resource, body)
    assert not store.observe(KEY).empty


@pytest.mark.parametrize("component", [None, "", "dashboard"])
def test_pod_of_a_users_own_that_bears_the_clusters_label_is_nobodys(component: str | None) -> None:
    body = worker("theirs", None)
    body["metadata"]["labels"] = {"dask.org/cluster-name": "simple"}
    if component is not None:
        body["metadata"]["labels"]["dask.org/component"] = component
    store = Store()
    assert store.put(PODS, body) is None
    assert store.observe(KEY).empty


def test_autoscaler_without_a_cluster_is_nobodys() -> None:
    body = autoscaler()
    del body["spec"]
    assert key_of(DASK_AUTOSCALERS, body) is None


def test_object_without_a_cluster_is_nobodys() -> None:
    body = worker("w", group())
    del body["metadata"]["labels"]
    store = Store()
    assert key_of(PODS, body) is None
    assert store.put(PODS, body) is None
    assert store.remove(PODS, body) is None
    assert list(store) == []


def test_newest_of_two_clusters_of_one_name_counts() -> None:
    store = Store()
    store.put(DASK_CLUSTERS, cluster(uid="new", version=20))
    store.put(DASK_CLUSTERS, cluster(uid="old", version=10))
    seen = store.observe(KEY).cluster
    assert seen is not None
    assert seen.uid == "new"


# What is read of a Pod --------------------------------------------------------------------------------------------


def test_pod_is_read_whole() -> None:
    store = Store()
    store.put(PODS, worker("w", group(), version=7, ip="10.0.0.5"))
    assert store.observe(KEY).pods == (
        Pod(
            name="w",
            uid="uid-w",
            version=7,
            labels={
                "dask.org/cluster-name": "simple",
                "dask.org/workergroup-name": "simple-default",
                "dask.org/component": "worker",
                "sidecar.istio.io/inject": "false",
            },
            annotations={**OF_WORKER_POD, "dask.org/spec-hash": "cb20789af22ba6b1"},
            owner_uids=frozenset({"uid-simple-default"}),
            foreign_owner=False,
            terminating=False,
            component="worker",
            group="simple-default",
            owners=(),
            created_at=LONG_AGO,
            phase="Running",
            ready_since=LONG_AGO,
            ip="10.0.0.5",
            problem=None,
            status={},
        ),
    )


def test_status_is_kept_whole_for_a_runner_alone() -> None:
    store = Store()
    for body in (runner_pod(), worker("w", group())):
        store.put(PODS, body)
    [runner], [other] = store.observe(KEY).runner_pods, store.observe(KEY).pods
    assert runner.status == runner_pod()["status"]
    assert other.status == {}


def test_worker_on_its_way_out_says_since_when() -> None:
    store = Store()
    store.put(PODS, worker("w", group(), draining_since=NOW))
    store.put(PODS, worker("v", group()))
    assert pods_of(store)["w"].draining_since == NOW
    assert pods_of(store)["v"].draining_since is None


def test_ready_pod_that_is_not_ready_any_more_is_not_ready() -> None:
    store = Store()
    store.put(PODS, worker("w", group(), ready=False))
    assert (pods_of(store)["w"].ready, pods_of(store)["w"].ready_since) == (False, None)


def test_new_pod_without_a_status_is_pending() -> None:
    body = worker("w", group())
    del body["status"]
    store = Store()
    store.put(PODS, body)
    assert (pods_of(store)["w"].phase, pods_of(store)["w"].ready) == ("Pending", False)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_pod_that_ended_is_finished(phase: str) -> None:
    store = Store()
    store.put(PODS, worker("w", group(), phase=phase, finished_at=NOW))
    assert pods_of(store)["w"].finished


def test_evicted_pod_without_container_status_is_finished() -> None:
    store = Store()
    store.put(PODS, worker("w", group(), phase="Failed"))
    assert pods_of(store)["w"].finished


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown"])
def test_pod_with_a_container_that_restarts_is_not_finished(phase: str) -> None:
    body = worker("w", group(), phase=phase)
    ended = {"terminated": {"exitCode": 1, "finishedAt": "2026-11-21T12:00:00Z"}}
    body["status"]["containerStatuses"] = [{"name": "worker", "state": ended}]
    store = Store()
    store.put(PODS, body)
    assert not pods_of(store)["w"].finished


def test_object_on_its_way_out_is_known_as_such() -> None:
    store = Store()
    store.put(PODS, terminating(pod(1)))
    assert pods_of(store)["w"].terminating


@pytest.mark.parametrize(("status", "available"), [("True", True), ("False", False), ("Unknown", False)])
def test_deployment_is_available_only_when_it_says_so(status: str, available: bool) -> None:
    body = deployment(cluster())
    body["status"]["conditions"] = [{"type": "Available", "status": status}]
    store = Store()
    store.put(DEPLOYMENTS, body)
    assert [part.available for part in store.observe(KEY).deployments] == [available]


OPERATOR = "dask-kubernetes-operator"


@pytest.mark.parametrize(
    ("manager", "fields", "subresource", "edited"),
    [
        (OPERATOR, ("replicas", "template/spec"), None, False),
        ("kubectl-edit", ("replicas",), None, True),
        ("kubectl-client-side-apply", ("template/spec/containers",), None, True),
        ("kubectl-edit", ("ports",), None, True),
        ("kubectl-rollout", ("template/metadata/annotations",), None, False),
        ("kubectl-edit", ("template/metadata/labels", "strategy"), None, True),
        ("kube-controller-manager", (), None, False),
        ("kube-controller-manager", ("replicas",), "status", False),
        ("kubectl", ("replicas",), "scale", True),
    ],
    ids=[
        "the operator",
        "replicas",
        "container",
        "ports",
        "restart",
        "labels and more",
        "only metadata",
        "status",
        "kubectl scale",
    ],
)
def test_edit_by_somebody_else_is_seen(
    manager: str, fields: tuple[str, ...], subresource: str | None, edited: bool
) -> None:
    store = Store()
    for resource, body in ((DEPLOYMENTS, deployment(cluster())), (SERVICES, service(cluster()))):
        ours = written_by(OPERATOR, "selector", "ports", "template/spec", body=body)
        store.put(resource, written_by(manager, *fields, body=ours, subresource=subresource))
    seen = store.observe(KEY)
    assert (seen.deployments[0].edited, seen.services[0].edited) == (edited, edited)


@pytest.mark.parametrize("entry", [{}, {"manager": "x"}, {"manager": "x", "fieldsV1": {}}, {"fieldsV1": None}])
def test_entry_of_managed_fields_that_says_nothing_is_no_edit(entry: Object) -> None:
    store = Store()
    store.put(DEPLOYMENTS, deployment(cluster(), meta={"managedFields": [entry]}))
    assert [part.edited for part in store.observe(KEY).deployments] == [False]


WAITING = {"name": "worker", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling x"}}}
CRASHED = {
    "name": "worker",
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}},
    "lastState": {"terminated": {"exitCode": 1, "message": "ImportError: no module named x\n"}},
}
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient memory.",
}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, None),
        ({"conditions": [UNSCHEDULABLE]}, Problem("Unschedulable", UNSCHEDULABLE["message"])),
        ({"conditions": [{**UNSCHEDULABLE, "status": "True"}]}, None),
        ({"conditions": [{**UNSCHEDULABLE, "reason": "SchedulingGated"}]}, None),
        (
            {"containerStatuses": [WAITING]},
            Problem("ImagePullBackOff", "container worker: Back-off pulling x"),
        ),
        (
            {"initContainerStatuses": [{**WAITING, "name": "init"}]},
            Problem("ImagePullBackOff", "container init: Back-off pulling x"),
        ),
        (
            {"containerStatuses": [CRASHED]},
            Problem(
                "CrashLoopBackOff",
                "container worker: back-off 10s restarting; it last said: ImportError: no module named x",
            ),
        ),
        ({"containerStatuses": [{"name": "worker", "state": {"waiting": {"reason": "ContainerCreating"}}}]}, None),
        ({"containerStatuses": [{"name": "worker", "state": {"waiting": {"reason": "PodInitializing"}}}]}, None),
        ({"containerStatuses": [{"name": "worker", "state": {"running": {}}}]}, None),
        ({"containerStatuses": [{"name": "worker"}]}, None),
        (
            {
                "containerStatuses": [
                    {"name": "worker", "state": {"waiting": {"reason": "CreateContainerConfigError"}}}
                ]
            },
            Problem("CreateContainerConfigError", "container worker: CreateContainerConfigError"),
        ),
    ],
    ids=[
        "none",
        "unschedulable",
        "scheduled",
        "gated",
        "no image",
        "no image for an init container",
        "crashing",
        "being created",
        "being initialized",
        "running",
        "without a state",
        "without a message",
    ],
)
def test_what_keeps_a_pod_from_running_is_read(status: Object, expected: Problem | None) -> None:
    store = Store()
    body = worker("w", group(), phase="Pending")
    body["status"].update(status)
    store.put(PODS, body)
    assert pods_of(store)["w"].problem == expected


@pytest.mark.parametrize(
    ("reason", "message", "expected"),
    [
        ("FailedCreate", 'pods "x" is forbidden: exceeded quota: pods', "QuotaExceeded"),
        ("FailedCreate", "denied by the policy webhook", "FailedCreate"),
    ],
)
def test_scheduler_whose_pod_is_refused_is_a_problem_of_its_deployment(
    reason: str, message: str, expected: str
) -> None:
    store = Store()
    body = deployment(cluster(), available=False)
    body["status"]["conditions"].append(
        {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": message}
    )
    store.put(DEPLOYMENTS, body)
    assert store.observe(KEY).deployments[0].problem == Problem(expected, message)


def test_refusal_that_is_over_is_no_problem() -> None:
    store = Store()
    body = deployment(cluster())
    body["status"]["conditions"].append({"type": "ReplicaFailure", "status": "False", "reason": "FailedCreate"})
    store.put(DEPLOYMENTS, body)
    assert store.observe(KEY).deployments[0].problem is None


@pytest.mark.parametrize("spoiled", ["", "yesterday", "2026-11-21", "2026-11-21T12:00:00"])
def test_mark_that_somebody_spoiled_can_be_compared_with_a_time(spoiled: str) -> None:
    store = Store()
    body = worker("w", group())
    body["metadata"]["annotations"]["dask.org/draining-since"] = spoiled
    store.put(PODS, body)
    since = pods_of(store)["w"].draining_since
    assert since is None or isinstance(since - NOW, timedelta)


def test_time_is_read_as_utc() -> None:
    assert observed.parse_time("2026-11-21T12:00:00Z") == datetime(2026, 11, 21, 12, tzinfo=UTC)


REPLICA_SET = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "theirs", "uid": "uid-theirs"}


@pytest.mark.parametrize(
    ("references", "ours", "foreign"),
    [
        ([], set(), False),
        ([owned_by(group())], {"uid-simple-default"}, False),
        ([REPLICA_SET], set(), True),
        ([REPLICA_SET, owned_by(group())], {"uid-simple-default"}, True),
        ([{**owned_by(cluster()), "kind": "DaskJob"}], {"uid-simple"}, False),
        ([{**owned_by(cluster()), "kind": "DaskThing"}], set(), True),
    ],
    ids=["none", "ours", "foreign", "both", "a job's", "of a kind that is not kept"],
)
def test_owners_are_told_apart(references: list[Object], ours: set[str], foreign: bool) -> None:
    store = Store()
    store.put(PODS, worker("w", None, meta={"ownerReferences": references}))
    assert pods_of(store)["w"].owner_uids == frozenset(ours)
    assert pods_of(store)["w"].foreign_owner is foreign


# Events -----------------------------------------------------------------------------------------------------------


def test_newer_event_replaces_what_is_known() -> None:
    store = Store()
    store.put(PODS, pod(5, phase="Pending"))
    assert store.put(PODS, pod(10, phase="Running")) == KEY
    assert pods_of(store)["w"].phase == "Running"


@pytest.mark.parametrize("version", [9, 10])
def test_event_that_is_not_newer_changes_nothing(version: int) -> None:
    store = Store()
    store.put(PODS, pod(10))
    assert store.put(PODS, pod(version, phase="Pending")) is None
    assert pods_of(store)["w"].phase == "Running"


def test_versions_are_compared_as_numbers() -> None:
    store = Store()
    store.put(PODS, pod(9, phase="Pending"))
    store.put(PODS, pod(10, phase="Running"))
    assert pods_of(store)["w"].phase == "Running"


def test_stale_event_after_an_own_write_changes_nothing() -> None:
    store = Store()
    store.put(DASK_WORKER_GROUPS, group(replicas=2, version=5))
    answer_to_own_patch = group(replicas=9, version=8)
    store.put(DASK_WORKER_GROUPS, answer_to_own_patch)
    store.put(DASK_WORKER_GROUPS, group(replicas=2, version=6))
    [seen] = store.observe(KEY).groups
    assert seen.body["spec"]["worker"]["replicas"] == 9


def test_deleted_object_is_gone() -> None:
    store = Store()
    store.put(PODS, pod(5))
    assert store.remove(PODS, pod(6)) == KEY
    assert store.observe(KEY).empty


@pytest.mark.parametrize("version", [5, 9, 10])
def test_deleted_object_stays_deleted_whatever_comes_late(version: int) -> None:
    store = Store()
    store.put(PODS, pod(5))
    store.remove(PODS, pod(10))
    assert store.put(PODS, pod(version)) is None
    assert store.observe(KEY).empty


def test_object_known_to_be_gone_from_an_answer_stays_deleted() -> None:
    store = Store()
    store.put(PODS, pod(5))
    store.remove_uid(KEY, PODS, "uid-w")
    assert store.put(PODS, pod(6)) is None
    assert store.observe(KEY).empty


def test_deletion_seen_before_the_answer_to_the_creation_counts() -> None:
    store = Store()
    store.remove(PODS, pod(10))
    assert store.put(PODS, pod(5)) is None
    assert store.observe(KEY).empty


def test_new_object_of_a_deleted_ones_name_is_seen() -> None:
    store = Store()
    store.put(PODS, pod(5, uid="old"))
    store.remove(PODS, pod(6, uid="old"))
    store.put(PODS, pod(7, uid="new"))
    assert pods_of(store)["w"].uid == "new"


def test_object_that_leaves_the_watch_and_comes_back_is_seen() -> None:
    # A label taken away ends a filtered watch of the object with DELETED; given back, it is ADDED with the same uid.
    store = Store()
    store.put(PODS, pod(5))
    store.remove(PODS, pod(6))
    assert store.put(PODS, pod(7)) == KEY
    assert [found.version for found in store.observe(KEY).pods] == [7]


def test_memory_of_deletions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observed, "_REMEMBERED_DELETIONS", 2)
    store = Store()
    for name in ("a", "b", "c"):
        store.remove(PODS, pod(10, name=name))
    remembered = [name for name in ("a", "b", "c") if store.put(PODS, pod(5, name=name)) is None]
    assert remembered == ["b", "c"]


# Lists ------------------------------------------------------------------------------------------------------------


def test_list_drops_what_is_older_and_not_in_it() -> None:
    store = Store()
    store.put(PODS, pod(5, name="lost"))
    store.put(PODS, pod(6, name="kept"))
    store.replace(KEY, PODS, [pod(6, name="kept")], version=10)
    assert set(pods_of(store)) == {"kept"}


def test_list_keeps_what_was_created_after_it_was_made() -> None:
    store = Store()
    store.put(PODS, pod(11, name="created meanwhile"))
    store.replace(KEY, PODS, [], version=10)
    assert set(pods_of(store)) == {"created meanwhile"}


def test_list_does_not_bring_back_older_versions() -> None:
    store = Store()
    store.put(PODS, pod(11, phase="Running"))
    store.replace(KEY, PODS, [pod(9, phase="Pending")], version=10)
    assert pods_of(store)["w"].phase == "Running"


def test_list_does_not_bring_back_what_was_deleted_after_it_was_made() -> None:
    store = Store()
    store.put(PODS, pod(5))
    store.remove(PODS, pod(11))
    store.replace(KEY, PODS, [pod(5)], version=10)
    assert store.observe(KEY).empty


def test_list_brings_what_no_event_told() -> None:
    store = Store()
    store.replace(KEY, PODS, [pod(5)], version=10)
    assert set(pods_of(store)) == {"w"}


def test_list_of_a_namespace_touches_no_other_cluster() -> None:
    store = Store()
    other = group("other-default", cluster_name="other", version=3)
    store.put(DASK_WORKER_GROUPS, other)
    store.replace(KEY, DASK_WORKER_GROUPS, [group(version=5), other], version=10)
    store.replace(KEY, DASK_WORKER_GROUPS, [group(version=5)], version=11)
    assert [found.name for found in store.observe(KEY).groups] == ["simple-default"]
    assert [found.name for found in store.observe(Key("default", "other")).groups] == ["other-default"]


def test_list_of_one_kind_touches_no_other_kind() -> None:
    store = Store()
    store.put(PODS, pod(5))
    store.put(DEPLOYMENTS, deployment(cluster()))
    store.replace(KEY, DEPLOYMENTS, [], version=10)
    assert set(pods_of(store)) == {"w"}
    assert not store.observe(KEY).deployments


# Forgetting -------------------------------------------------------------------------------------------------------


def test_forgotten_cluster_leaves_nothing_and_others_stay() -> None:
    store = Store()
    store.put(PODS, pod(5))
    other = Key("default", "other")
    store.put(DASK_CLUSTERS, cluster("other"))
    store.forget(KEY)
    store.forget(KEY)
    assert store.observe(KEY).empty
    assert not store.observe(other).empty
    assert list(store) == [other]


def test_bodies_are_not_changed() -> None:
    body = group(owners=(cluster(),))
    before = deepcopy(body)
    store = Store()
    store.put(DASK_WORKER_GROUPS, body)
    store.replace(KEY, DASK_WORKER_GROUPS, [body], version=10)
    assert body == before
