"""What the operator makes of the documentation's cluster, to the last field."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from dask_kubernetes_operator import builders
from dask_kubernetes_operator.spec import Metadata, parse_cluster, parse_worker_group

from .objects import SCHEDULER_POD_SPEC, WORKER_POD_SPEC, Object, cluster, group

pytestmark = pytest.mark.unit

CLUSTER_REFERENCE = {
    "apiVersion": "kubernetes.dask.org/v1",
    "kind": "DaskCluster",
    "name": "simple",
    "uid": "uid-simple",
    "controller": True,
    "blockOwnerDeletion": True,
}

# How each child of a cluster, and the worker of a group, comes out of the controller.
BUILD: dict[str, Callable[[Object], Object]] = {
    "deployment": lambda body: builders.build_scheduler_deployment(parse_cluster(body)),
    "service": lambda body: builders.build_scheduler_service(parse_cluster(body)),
    "group": lambda body: builders.build_default_worker_group(parse_cluster(body)),
}


def build_pod(body: Object, *, suffix: str = "4f0d13bbc4", owner: Object | None = None) -> Object:
    parsed = parse_cluster(owner or cluster())
    return builders.build_worker_pod(parse_worker_group(body), suffix=suffix, cluster=parsed)


def stored(child: Object) -> Object:
    """The child as the API server gives it back."""
    metadata = {
        **child["metadata"],
        "uid": f"uid-{child['metadata']['name']}",
        "resourceVersion": "5",
        "generation": 1,
    }
    return {**child, "metadata": metadata}


# Golden -----------------------------------------------------------------------------------------------------------


def test_scheduler_deployment_of_the_simple_cluster() -> None:
    assert BUILD["deployment"](cluster()) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "simple-scheduler",
            "namespace": "default",
            "labels": {"dask.org/cluster-name": "simple", "dask.org/component": "scheduler"},
            "annotations": {
                "dask.org/propagated-metadata": (
                    '{"annotations":[],"labels":["dask.org/cluster-name","dask.org/component"]}'
                ),
                "dask.org/spec-hash": "977d9767836f187f",
            },
            "ownerReferences": [CLUSTER_REFERENCE],
        },
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"dask.org/cluster-name": "simple", "dask.org/component": "scheduler"}},
            "template": {
                "metadata": {
                    "labels": {
                        "sidecar.istio.io/inject": "false",
                        "dask.org/cluster-name": "simple",
                        "dask.org/component": "scheduler",
                    },
                    "annotations": {
                        "dask.org/propagated-metadata": (
                            '{"annotations":[],'
                            '"labels":["dask.org/cluster-name","dask.org/component","sidecar.istio.io/inject"]}'
                        ),
                    },
                },
                "spec": {
                    "enableServiceLinks": False,
                    "containers": [
                        {
                            "name": "scheduler",
                            "image": "ghcr.io/dask/dask:latest",
                            "imagePullPolicy": "IfNotPresent",
                            "args": ["dask-scheduler"],
                            "ports": [
                                {"name": "tcp-comm", "containerPort": 8786, "protocol": "TCP"},
                                {"name": "http-dashboard", "containerPort": 8787, "protocol": "TCP"},
                            ],
                            "readinessProbe": {
                                "httpGet": {"port": "http-dashboard", "path": "/health"},
                                "initialDelaySeconds": 5,
                                "periodSeconds": 10,
                            },
                            "livenessProbe": {
                                "httpGet": {"port": "http-dashboard", "path": "/health"},
                                "initialDelaySeconds": 15,
                                "periodSeconds": 20,
                            },
                            "terminationMessagePolicy": "FallbackToLogsOnError",
                        }
                    ],
                },
            },
        },
    }


def test_scheduler_service_of_the_simple_cluster() -> None:
    assert BUILD["service"](cluster()) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "simple-scheduler",
            "namespace": "default",
            "labels": {"dask.org/cluster-name": "simple", "dask.org/component": "scheduler"},
            "annotations": {
                "dask.org/propagated-metadata": (
                    '{"annotations":[],"labels":["dask.org/cluster-name","dask.org/component"]}'
                ),
                "dask.org/spec-hash": "0e3344a4ba4f7437",
            },
            "ownerReferences": [CLUSTER_REFERENCE],
        },
        "spec": {
            "type": "NodePort",
            "selector": {"dask.org/cluster-name": "simple", "dask.org/component": "scheduler"},
            "ports": [
                {"name": "tcp-comm", "protocol": "TCP", "port": 8786, "targetPort": "tcp-comm"},
                {"name": "http-dashboard", "protocol": "TCP", "port": 8787, "targetPort": "http-dashboard"},
            ],
        },
    }


def test_default_worker_group_of_the_simple_cluster() -> None:
    assert BUILD["group"](cluster()) == {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskWorkerGroup",
        "metadata": {
            "name": "simple-default",
            "namespace": "default",
            "labels": {"dask.org/cluster-name": "simple", "dask.org/component": "workergroup"},
            "annotations": {
                "dask.org/propagated-metadata": (
                    '{"annotations":[],"labels":["dask.org/cluster-name","dask.org/component"]}'
                ),
                "dask.org/cluster-replicas": "2",
            },
            "ownerReferences": [CLUSTER_REFERENCE],
        },
        "spec": {"cluster": "simple", "worker": {"replicas": 2, "spec": WORKER_POD_SPEC}},
    }


def test_worker_pod_of_the_simple_cluster() -> None:
    assert build_pod(group(owners=(cluster(),))) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "simple-default-worker-4f0d13bbc4",
            "namespace": "default",
            "labels": {
                "sidecar.istio.io/inject": "false",
                "dask.org/cluster-name": "simple",
                "dask.org/workergroup-name": "simple-default",
                "dask.org/component": "worker",
            },
            "annotations": {
                "dask.org/propagated-metadata": (
                    '{"annotations":[],"labels":["dask.org/cluster-name","dask.org/component",'
                    '"dask.org/workergroup-name","sidecar.istio.io/inject"]}'
                ),
                "dask.org/spec-hash": "cb20789af22ba6b1",
            },
            "ownerReferences": [
                {
                    "apiVersion": "kubernetes.dask.org/v1",
                    "kind": "DaskWorkerGroup",
                    "name": "simple-default",
                    "uid": "uid-simple-default",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "enableServiceLinks": False,
            "containers": [
                {
                    "name": "worker",
                    "image": "ghcr.io/dask/dask:latest",
                    "imagePullPolicy": "IfNotPresent",
                    "args": [
                        "dask-worker",
                        "--name",
                        "$(DASK_WORKER_NAME)",
                        "--dashboard",
                        "--dashboard-address",
                        "8788",
                    ],
                    "ports": [{"name": "http-dashboard", "containerPort": 8788, "protocol": "TCP"}],
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "env": [
                        {"name": "DASK_WORKER_NAME", "value": "simple-default-worker-4f0d13bbc4"},
                        {"name": "DASK_SCHEDULER_ADDRESS", "value": "tcp://simple-scheduler.default.svc:8786"},
                    ],
                }
            ],
        },
    }


# The user's pod spec ----------------------------------------------------------------------------------------------


def with_container(**fields: Any) -> Object:
    body = group(owners=(cluster(),))
    body["spec"]["worker"]["spec"]["containers"][0].update(fields)
    return body


def test_environment_is_appended_after_the_users_own() -> None:
    theirs = [{"name": "EXTRA_PIP_PACKAGES", "value": "s3fs"}, {"name": "A", "valueFrom": {"fieldRef": {}}}]
    env = build_pod(with_container(env=theirs))["spec"]["containers"][0]["env"]
    assert env[:2] == theirs
    assert [variable["name"] for variable in env[2:]] == ["DASK_WORKER_NAME", "DASK_SCHEDULER_ADDRESS"]


@pytest.mark.parametrize(
    ("variable", "ours_left"),
    [
        ({"name": "DASK_WORKER_NAME", "value": "mine"}, ["DASK_SCHEDULER_ADDRESS"]),
        ({"name": "DASK_SCHEDULER_ADDRESS", "value": "tls://elsewhere:8786"}, ["DASK_WORKER_NAME"]),
        ({"name": "DASK_WORKER_NAME", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}, ["DASK_SCHEDULER_ADDRESS"]),
    ],
)
def test_users_environment_wins(variable: Object, ours_left: list[str]) -> None:
    env = build_pod(with_container(env=[variable]))["spec"]["containers"][0]["env"]
    assert env[0] == variable
    assert [variable["name"] for variable in env[1:]] == ours_left


def test_environment_that_is_null_reads_as_empty() -> None:
    env = build_pod(with_container(env=None))["spec"]["containers"][0]["env"]
    assert [variable["name"] for variable in env] == ["DASK_WORKER_NAME", "DASK_SCHEDULER_ADDRESS"]


def test_every_container_of_a_worker_gets_the_environment() -> None:
    body = group(owners=(cluster(),))
    body["spec"]["worker"]["spec"]["containers"].append({"name": "sidecar", "image": "b"})
    containers = build_pod(body)["spec"]["containers"]
    assert [[variable["name"] for variable in container["env"]] for container in containers] == [
        ["DASK_WORKER_NAME", "DASK_SCHEDULER_ADDRESS"],
        ["DASK_WORKER_NAME", "DASK_SCHEDULER_ADDRESS"],
    ]


def test_scheduler_gets_no_workers_environment() -> None:
    [container] = BUILD["deployment"](cluster())["spec"]["template"]["spec"]["containers"]
    assert "env" not in container


def test_last_lines_of_a_container_that_fails_are_kept_unless_the_user_has_another_wish() -> None:
    container = build_pod(with_container(terminationMessagePolicy="File"))["spec"]["containers"][0]
    assert container["terminationMessagePolicy"] == "File"


def test_rest_of_the_pod_spec_passes_through() -> None:
    body = group(owners=(cluster(),))
    more = {"nodeSelector": {"disktype": "ssd"}, "restartPolicy": "Never", "schedulingGates": [{"name": "quota"}]}
    body["spec"]["worker"]["spec"].update(more)
    spec = build_pod(body)["spec"]
    assert {key: spec[key] for key in more} == more


def test_restart_policy_is_dropped_from_the_deployment_alone() -> None:
    specs = {"spec": {**SCHEDULER_POD_SPEC, "restartPolicy": "Never"}}
    template = BUILD["deployment"](cluster(scheduler=specs))["spec"]["template"]
    assert "restartPolicy" not in template["spec"]
    built = BUILD["group"](cluster(worker={"spec": {**WORKER_POD_SPEC, "restartPolicy": "Never"}}))
    assert built["spec"]["worker"]["spec"]["restartPolicy"] == "Never"


def test_users_choice_on_service_links_wins() -> None:
    body = group(owners=(cluster(),))
    body["spec"]["worker"]["spec"]["enableServiceLinks"] = True
    assert build_pod(body)["spec"]["enableServiceLinks"] is True


def test_input_is_never_changed() -> None:
    labels = {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    body = cluster(
        worker={"metadata": deepcopy(labels)},
        scheduler={"spec": {**deepcopy(SCHEDULER_POD_SPEC), "restartPolicy": "Never"}, "metadata": deepcopy(labels)},
        meta=deepcopy(labels),
    )
    of_group = with_container(env=[{"name": "A", "value": "b"}])
    before = deepcopy((body, of_group))
    for build in BUILD.values():
        build(body)
    build_pod(of_group)
    assert (body, of_group) == before


@pytest.mark.parametrize("name", BUILD)
def test_result_shares_nothing_with_the_input(name: str) -> None:
    body = cluster()
    before = deepcopy(body)
    _scribble(BUILD[name](body))
    assert body == before


def test_pods_share_nothing_with_each_other() -> None:
    body = with_container(env=[{"name": "A", "value": "b"}])
    other = build_pod(body)
    before = deepcopy(other)
    _scribble(build_pod(body))
    assert other == before


def _scribble(value: Any) -> None:
    """Change everything that can be changed in place."""
    if isinstance(value, dict):
        for inner in value.values():
            _scribble(inner)
        value["scribbled"] = "on"
    elif isinstance(value, list):
        for inner in value:
            _scribble(inner)
        value.append("scribbled on")


# Digests ----------------------------------------------------------------------------------------------------------


def worker_hash(body: Object, owner: Object | None = None) -> str:
    return builders.worker_hash(parse_worker_group(body), parse_cluster(owner or cluster()))


def test_digest_does_not_depend_on_the_order_of_fields() -> None:
    turned = group()
    containers = turned["spec"]["worker"]["spec"]["containers"]
    containers[0] = dict(reversed(containers[0].items()))
    assert worker_hash(turned) == worker_hash(group())


@pytest.mark.parametrize(
    "field",
    [
        {"image": "ghcr.io/dask/dask:2026.8.0"},
        {"env": [{"name": "EXTRA_PIP_PACKAGES", "value": "s3fs"}]},
        {"resources": {"limits": {"memory": "4G"}}},
        {"args": ["dask", "worker"]},
    ],
    ids=lambda field: next(iter(field)),
)
def test_edit_of_a_pod_spec_changes_the_digest(field: Object) -> None:
    assert worker_hash(with_container(**field)) != worker_hash(group())
    scheduler = {"spec": {"containers": [{**SCHEDULER_POD_SPEC["containers"][0], **field}]}}
    edited, plain = parse_cluster(cluster(scheduler=scheduler)), parse_cluster(cluster())
    assert builders.scheduler_hash(edited) != builders.scheduler_hash(plain)


def test_labels_annotations_and_replicas_leave_the_digest_as_it_is() -> None:
    relabelled = group(replicas=9, meta={"labels": {"a": "b"}, "annotations": {"c": "d"}})
    relabelled["spec"]["worker"]["metadata"] = {"labels": {"e": "f"}}
    assert worker_hash(relabelled) == worker_hash(group())
    scheduler = parse_cluster(cluster(scheduler={"metadata": {"labels": {"e": "f"}}}, meta={"labels": {"a": "b"}}))
    assert builders.scheduler_hash(scheduler) == builders.scheduler_hash(parse_cluster(cluster()))


def test_another_port_of_the_scheduler_is_another_worker() -> None:
    moved = with_ports({"name": "tcp-comm", "port": 9000})
    assert worker_hash(group(), moved) != worker_hash(group())


# Patches of labels and annotations --------------------------------------------------------------------------------


def note(*, labels: tuple[str, ...] = (), annotations: tuple[str, ...] = ()) -> dict[str, str]:
    quoted = [",".join(f'"{key}"' for key in keys) for keys in (annotations, labels)]
    return {"dask.org/propagated-metadata": f'{{"annotations":[{quoted[0]}],"labels":[{quoted[1]}]}}'}


def test_nothing_is_patched_where_all_is_as_wanted() -> None:
    wanted = Metadata({"team": "data"}, {"owner": "me"})
    present = {"owner": "me", **note(labels=("team",), annotations=("owner",))}
    assert builders.metadata_patch({"team": "data"}, present, wanted) == {}


def test_what_others_wrote_on_a_child_is_left_alone() -> None:
    wanted = Metadata({"team": "data"}, {})
    labels = {"team": "data", "theirs": "1"}
    annotations = {"kubectl.kubernetes.io/restartedAt": "now", **note(labels=("team",))}
    assert builders.metadata_patch(labels, annotations, wanted) == {}


def test_what_is_new_or_changed_is_set() -> None:
    wanted = Metadata({"team": "data", "tier": "one"}, {"owner": "you"})
    annotations = {"owner": "me", **note(labels=("team",), annotations=("owner",))}
    assert builders.metadata_patch({"team": "data"}, annotations, wanted) == {
        "labels": {"tier": "one"},
        "annotations": {"owner": "you", **note(labels=("team", "tier"), annotations=("owner",))},
    }


def test_what_the_parent_lost_is_taken_away() -> None:
    annotations = {"owner": "me", **note(labels=("team",), annotations=("owner",))}
    assert builders.metadata_patch({"team": "data"}, annotations, Metadata({}, {})) == {
        "labels": {"team": None},
        "annotations": {"owner": None, **note()},
    }


def test_what_the_parent_lost_and_somebody_took_away_already_is_no_change_of_its_own() -> None:
    changed = builders.metadata_patch({}, note(labels=("team",)), Metadata({}, {}))
    assert changed == {"annotations": note()}


def test_child_of_another_operator_loses_nothing_and_gets_the_note() -> None:
    assert builders.metadata_patch({"theirs": "1"}, {"theirs": "2"}, Metadata({"team": "data"}, {})) == {
        "labels": {"team": "data"},
        "annotations": note(labels=("team",)),
    }


@pytest.mark.parametrize("spoiled", ["", "{", "[]", "null", '{"labels":7}', '{"labels":[7]}', '"text"'])
def test_note_that_somebody_spoiled_is_written_afresh(spoiled: str) -> None:
    changed = builders.metadata_patch(
        {"team": "data"}, {"dask.org/propagated-metadata": spoiled}, Metadata({"team": "data"}, {})
    )
    assert changed == {"annotations": note(labels=("team",))}


# Addresses and selectors ------------------------------------------------------------------------------------------


def with_ports(*ports: Object) -> Object:
    return cluster(scheduler={"service": {"type": "ClusterIP", "ports": list(ports)}})


@pytest.mark.parametrize(
    ("body", "comm", "dashboard"),
    [
        (cluster(), 8786, 8787),
        (with_ports({"name": "tcp-comm", "port": 9000}, {"name": "http-dashboard", "port": 80}), 9000, 80),
        (with_ports({"name": "http-dashboard", "port": 80}, {"name": "tcp-comm", "port": 9000}), 9000, 80),
        (with_ports({"name": "metrics", "port": 1}), 8786, 8787),
        (with_ports({"port": 9000}), 8786, 8787),
        (cluster(scheduler={"service": {"type": "ClusterIP", "ports": None}}), 8786, 8787),
    ],
    ids=["as documented", "other ports", "in another order", "neither named", "unnamed", "null"],
)
def test_addresses_follow_the_services_ports(body: Object, comm: int, dashboard: int) -> None:
    parsed = parse_cluster(body)
    assert builders.scheduler_address(parsed) == f"tcp://simple-scheduler.default.svc:{comm}"
    assert builders.dashboard_address(parsed) == f"http://simple-scheduler.default.svc:{dashboard}"


def test_workers_are_told_the_port_at_which_their_scheduler_is() -> None:
    pod = build_pod(group(), owner=with_ports({"name": "tcp-comm", "port": 9000}))
    env = {variable["name"]: variable["value"] for variable in pod["spec"]["containers"][0]["env"]}
    assert env["DASK_SCHEDULER_ADDRESS"] == "tcp://simple-scheduler.default.svc:9000"


def test_services_selector_is_filled_in() -> None:
    spec = BUILD["service"](with_ports({"name": "tcp-comm", "port": 8786}))["spec"]
    assert spec["selector"] == {"dask.org/cluster-name": "simple", "dask.org/component": "scheduler"}


def test_service_never_selects_another_clusters_scheduler() -> None:
    copied = cluster("copy")
    copied["spec"]["scheduler"]["service"]["selector"]["dask.org/cluster-name"] = "simple"
    assert BUILD["service"](copied)["spec"]["selector"] == {
        "dask.org/cluster-name": "copy",
        "dask.org/component": "scheduler",
    }


def test_users_own_selector_keys_are_kept() -> None:
    body = cluster()
    body["spec"]["scheduler"]["service"]["selector"]["role"] = "leader"
    assert BUILD["service"](body)["spec"]["selector"]["role"] == "leader"


def test_deployments_of_two_clusters_never_share_a_selector() -> None:
    labels = {"dask.org/cluster-name": "shared", "team": "data"}
    one, two = (BUILD["deployment"](cluster(name, meta={"labels": labels})) for name in ("one", "two"))
    for deployment, other in ((one, two), (two, one)):
        selector = deployment["spec"]["selector"]["matchLabels"]
        assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
        assert not selector.items() <= other["spec"]["template"]["metadata"]["labels"].items()


def test_users_labels_stay_out_of_the_immutable_selector() -> None:
    built = BUILD["deployment"](
        cluster(meta={"labels": {"team": "data"}}, scheduler={"metadata": {"labels": {"tier": "one"}}})
    )
    assert set(built["spec"]["selector"]["matchLabels"]) == {"dask.org/cluster-name", "dask.org/component"}
