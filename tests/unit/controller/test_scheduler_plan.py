"""The scheduler's Deployment, Service and Pod: edits of the spec, edits by others, and what restarts nothing."""

from __future__ import annotations

from typing import Any

import pytest

from dask_kubernetes_operator import builders
from dask_kubernetes_operator.reconcile.actions import Action, Event, Patch
from dask_kubernetes_operator.resources import DEPLOYMENTS, SERVICES
from dask_kubernetes_operator.spec import Identity, parse_cluster

from .objects import (
    SCHEDULER_POD_SPEC,
    SERVICE_SPEC,
    Object,
    cluster,
    deployment,
    propagated,
    scheduler_pod,
    service,
    terminating,
    written_by,
)
from .planning import CLUSTER, GROUP, SCHEDULER, SCHEDULER_POD, SERVICE, WORKERS, actions

pytestmark = pytest.mark.unit

ABOUT = Identity("DaskCluster", "default", "simple", "uid-simple")


def around(deployed: Object = SCHEDULER, served: Object = SERVICE, *, of: Object = CLUSTER) -> list[Action]:
    """What is done about a scheduler, everything else being as it should."""
    return actions(of, deployed, SCHEDULER_POD, served, GROUP, *WORKERS)


def only_patch(found: list[Action]) -> Patch:
    [patch] = found
    assert isinstance(patch, Patch)
    return patch


def operations(patch: Patch) -> dict[str, Any]:
    """Path and value of each operation of a JSON patch; all of them are to fail where they do not apply."""
    assert isinstance(patch.patch, list)
    return {operation["path"]: operation["value"] for operation in patch.patch}


def signature(spec_hash: str) -> list[Object]:
    """The end of a patch: nobody else is owner of a field any more, and nobody has written since."""
    return [
        {"op": "add", "path": "/metadata/annotations/dask.org~1spec-hash", "value": spec_hash},
        {"op": "add", "path": "/metadata/managedFields", "value": [{}]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "1"},
    ]


# Edits of the cluster's spec --------------------------------------------------------------------------------------


def image(name: str) -> Object:
    return {"spec": {"containers": [{**SCHEDULER_POD_SPEC["containers"][0], "image": name}]}}


def test_edit_of_the_scheduler_replaces_its_pod_template_and_says_what_is_lost() -> None:
    edited = cluster(scheduler=image("ghcr.io/dask/dask:2026.8.0"))
    built = builders.build_scheduler_deployment(parse_cluster(edited))
    patch = only_patch(around(of=edited))
    assert (patch.resource, patch.name) == (DEPLOYMENTS, "simple-scheduler")
    assert patch.patch == [
        {"op": "replace", "path": "/spec/replicas", "value": 1},
        {"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}},
        {"op": "replace", "path": "/spec/template", "value": built["spec"]["template"]},
        *signature(built["metadata"]["annotations"]["dask.org/spec-hash"]),
    ]
    assert patch.events == (
        Event(
            ABOUT,
            "Warning",
            "SchedulerReplaced",
            "spec.scheduler was edited: the scheduler starts again and has lost all state",
        ),
    )


def test_edit_of_the_scheduler_leaves_workers_alone() -> None:
    assert len(around(of=cluster(scheduler=image("other")))) == 1


def test_edit_is_done_once() -> None:
    edited = cluster(scheduler=image("other"))
    assert around(deployment(edited), of=edited) == []


def test_labels_of_the_scheduler_are_changed_in_place() -> None:
    labelled = cluster(scheduler={"metadata": {"labels": {"team": "data"}}})
    found = around(of=labelled)
    assert [(action.resource.kind, action.name) for action in found if isinstance(action, Patch)] == [
        ("Deployment", "simple-scheduler"),
        ("Service", "simple-scheduler"),
        ("Pod", "simple-scheduler-1-pod"),
    ]
    for action in found:
        assert isinstance(action, Patch)
        assert isinstance(action.patch, dict), "a merge patch of the metadata restarts nothing"
        assert set(action.patch) == {"metadata"}


def test_pod_on_its_way_out_is_not_patched() -> None:
    labelled = cluster(scheduler={"metadata": {"labels": {"team": "data"}}})
    found = actions(labelled, SCHEDULER, SERVICE, GROUP, terminating(SCHEDULER_POD), scheduler_pod(uid="uid-new"))
    uids = [a.patch["metadata"]["uid"] for a in found if isinstance(a, Patch) and isinstance(a.patch, dict)]
    assert "uid-new" in uids
    assert "uid-scheduler-pod" not in uids


# Edits by others --------------------------------------------------------------------------------------------------


def test_deployment_that_somebody_edited_is_put_back_with_a_word() -> None:
    built = builders.build_scheduler_deployment(parse_cluster(CLUSTER))
    patch = only_patch(around(written_by("kubectl-edit", "replicas", body=SCHEDULER)))
    assert patch.patch == [
        {"op": "replace", "path": "/spec/replicas", "value": 1},
        {"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}},
        {"op": "replace", "path": "/spec/template", "value": built["spec"]["template"]},
        *signature(built["metadata"]["annotations"]["dask.org/spec-hash"]),
    ]
    [event] = patch.events
    assert (event.type, event.reason) == ("Warning", "SchedulerRepaired")
    assert "edit the DaskCluster" in event.message


def test_scheduler_that_somebody_restarts_is_let_restart() -> None:
    assert around(written_by("kubectl-rollout", "template/metadata/annotations", body=SCHEDULER)) == []


def test_edit_of_the_cluster_is_told_as_such_even_if_the_deployment_was_edited_too() -> None:
    both = written_by("kubectl-edit", "replicas", body=SCHEDULER)
    [event] = only_patch(around(both, of=cluster(scheduler=image("other")))).events
    assert event.reason == "SchedulerReplaced"


def adopted(patch: Patch, hash_of: Object) -> None:
    """Assert that nothing but notes are written on an object of another operator."""
    spec_hash = hash_of["metadata"]["annotations"]["dask.org/spec-hash"]
    assert patch.patch == {
        "metadata": {
            "uid": hash_of["metadata"]["uid"],
            "annotations": {"dask.org/spec-hash": spec_hash},
            "managedFields": [{}],
        }
    }


def test_deployment_of_another_operator_is_taken_as_it_is() -> None:
    theirs = written_by("kopf", "replicas", "template/spec", body=SCHEDULER)
    theirs["metadata"]["annotations"] = {}
    theirs["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 99
    adopted(only_patch(around(theirs)), SCHEDULER)


def test_service_of_another_operator_is_taken_as_it_is() -> None:
    theirs = written_by("kopf", "ports", body=SERVICE)
    del theirs["metadata"]["annotations"]["dask.org/spec-hash"]
    theirs["spec"]["type"] = "ClusterIP"
    adopted(only_patch(around(served=theirs)), SERVICE)


def test_what_was_taken_over_follows_labels_like_any_other() -> None:
    theirs = deployment(CLUSTER)
    del theirs["metadata"]["annotations"]["dask.org/propagated-metadata"]
    assert only_patch(around(theirs)).patch == {
        "metadata": {
            "uid": "uid-deployment",
            "annotations": propagated("dask.org/cluster-name", "dask.org/component"),
        }
    }


def test_what_a_newer_controller_would_build_is_no_reason_to_replace() -> None:
    former = deployment(CLUSTER)
    former["spec"]["template"]["spec"]["enableServiceLinks"] = True
    assert around(former) == []


# The Service ------------------------------------------------------------------------------------------------------


def test_edit_of_the_service_is_carried_over() -> None:
    edited = cluster(scheduler={"service": {**SERVICE_SPEC, "type": "LoadBalancer"}})
    patch = only_patch(around(of=edited))
    assert (patch.resource, patch.name) == (SERVICES, "simple-scheduler")
    assert patch.patch == [
        {"op": "replace", "path": "/spec", "value": {**SERVICE_SPEC, "type": "LoadBalancer"}},
        *signature(builders.service_hash(parse_cluster(edited))),
    ]
    assert patch.events == ()


def test_port_that_the_user_dropped_is_dropped() -> None:
    edited = cluster(scheduler={"service": {**SERVICE_SPEC, "ports": SERVICE_SPEC["ports"][:1]}})
    assert operations(only_patch(around(of=edited)))["/spec"]["ports"] == SERVICE_SPEC["ports"][:1]


@pytest.mark.parametrize("field", ["selector", "ports", "type"])
def test_service_that_somebody_edited_is_put_back(field: str) -> None:
    edited = written_by("kubectl-edit", field, body=SERVICE)
    assert operations(only_patch(around(served=edited)))["/spec"] == SERVICE_SPEC


def test_what_the_api_server_allocated_is_no_edit() -> None:
    served = service(CLUSTER)
    served["spec"].update(clusterIPs=["10.96.0.7"], ipFamilies=["IPv4"], externalTrafficPolicy="Cluster")
    assert around(served=served) == []
