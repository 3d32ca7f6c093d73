"""What the builders make, field by field, and that the CRDs take it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_kubernetes.classic import make_pod_spec as classic_make_pod_spec
from dask_kubernetes.exceptions import ValidationError
from dask_kubernetes.operator import (
    make_autoscaler_spec,
    make_cluster_spec,
    make_job_spec,
    make_pod_spec,
    make_scheduler_spec,
    make_worker_group_spec,
    make_worker_spec,
)
from dask_kubernetes.operator.specs import scaling_bounds

pytestmark = pytest.mark.unit

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas" / "kubernetes.dask.org"
VALIDATOR = jsonschema.Draft7Validator(json.loads((SCHEMAS / "daskcluster_v1.json").read_text()))
IMAGE = "ghcr.io/dask/dask:latest"
WORKER_ARGS = ["dask", "worker", "--name", "$(DASK_WORKER_NAME)", "--dashboard", "--dashboard-address", "8788"]
WORKER = {
    "name": "worker",
    "image": IMAGE,
    "args": WORKER_ARGS,
    "ports": [{"name": "http-dashboard", "containerPort": 8788, "protocol": "TCP"}],
}
HEALTH = {"httpGet": {"port": "http-dashboard", "path": "/health"}}
SCHEDULER = {
    "name": "scheduler",
    "image": IMAGE,
    "args": ["dask", "scheduler", "--host", "0.0.0.0"],  # noqa: S104
    "ports": [
        {"name": "tcp-comm", "containerPort": 8786, "protocol": "TCP"},
        {"name": "http-dashboard", "containerPort": 8787, "protocol": "TCP"},
    ],
    "readinessProbe": {**HEALTH, "periodSeconds": 1, "failureThreshold": 30},
    "livenessProbe": {**HEALTH, "initialDelaySeconds": 15, "periodSeconds": 20},
}
SERVICE = {
    "type": "ClusterIP",
    "selector": {"dask.org/cluster-name": "foo", "dask.org/component": "scheduler"},
    "ports": [
        {"name": "tcp-comm", "protocol": "TCP", "port": 8786, "targetPort": "tcp-comm"},
        {"name": "http-dashboard", "protocol": "TCP", "port": 8787, "targetPort": "http-dashboard"},
    ],
}
TLS_ENV = [
    {"name": "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "value": "true"},
    {"name": "DASK_DISTRIBUTED__COMM__TLS__CA_FILE", "value": "/etc/dask/tls/ca.crt"},
    {"name": "DASK_DISTRIBUTED__COMM__TLS__SCHEDULER__CERT", "value": "/etc/dask/tls/tls.crt"},
    {"name": "DASK_DISTRIBUTED__COMM__TLS__SCHEDULER__KEY", "value": "/etc/dask/tls/tls.key"},
    {"name": "DASK_DISTRIBUTED__COMM__TLS__WORKER__CERT", "value": "/etc/dask/tls/tls.crt"},
    {"name": "DASK_DISTRIBUTED__COMM__TLS__WORKER__KEY", "value": "/etc/dask/tls/tls.key"},
    {"name": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT", "value": "/etc/dask/tls/tls.crt"},
    {"name": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY", "value": "/etc/dask/tls/tls.key"},
]
TLS_ADDRESS = {"name": "DASK_SCHEDULER_ADDRESS", "value": "tls://foo-scheduler:8786"}
# Each option: how it is given, and what it becomes in the Pod's spec and in the container.
OPTIONS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        {"tolerations": [{"key": "a", "operator": "Exists"}]},
        {"tolerations": [{"key": "a", "operator": "Exists"}]},
        {},
    ),
    ({"tolerations": ({"operator": "Exists"},)}, {"tolerations": [{"operator": "Exists"}]}, {}),
    ({"tolerations": []}, {}, {}),
    ({"node_selector": {"disktype": "ssd"}}, {"nodeSelector": {"disktype": "ssd"}}, {}),
    (
        {"node_selector": {"node-role.kubernetes.io/gpu": ""}},
        {"nodeSelector": {"node-role.kubernetes.io/gpu": ""}},
        {},
    ),
    ({"affinity": {"podAntiAffinity": {}}}, {"affinity": {"podAntiAffinity": {}}}, {}),
    ({"service_account": "dask-sa"}, {"serviceAccountName": "dask-sa"}, {}),
    ({"image_pull_secrets": "regcred"}, {"imagePullSecrets": [{"name": "regcred"}]}, {}),
    ({"image_pull_secrets": ["a", {"name": "b"}]}, {"imagePullSecrets": [{"name": "a"}, {"name": "b"}]}, {}),
    ({"priority_class": "batch"}, {"priorityClassName": "batch"}, {}),
    ({"volumes": [{"name": "a", "emptyDir": {}}]}, {"volumes": [{"name": "a", "emptyDir": {}}]}, {}),
    (
        {"volumes": [{"name": "a", "emptyDir": {}}], "volume_mounts": [{"name": "a", "mountPath": "/a"}]},
        {"volumes": [{"name": "a", "emptyDir": {}}]},
        {"volumeMounts": [{"name": "a", "mountPath": "/a"}]},
    ),
]
# The same for what every container has.
CONTAINER_OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"image": "localhost:5000/me/dask@sha256:" + "0" * 64}, {"image": "localhost:5000/me/dask@sha256:" + "0" * 64}),
    ({"image": "a.b/c__d/e-f:V1"}, {"image": "a.b/c__d/e-f:V1"}),
    ({"resources": {}}, {}),
    ({"resources": {"limits": {"memory": "1Gi"}}}, {"resources": {"limits": {"memory": "1Gi"}}}),
    ({"resources": {"requests": {"cpu": 0.5}}}, {"resources": {"requests": {"cpu": 0.5}}}),
    (
        {"resources": {"requests": {"memory": "1024Mi"}, "limits": {"memory": "1Gi"}}},
        {"resources": {"requests": {"memory": "1024Mi"}, "limits": {"memory": "1Gi"}}},
    ),
    ({"env": {}}, {}),
    ({"env": {"A": "b", "C": 1}}, {"env": [{"name": "A", "value": "b"}, {"name": "C", "value": "1"}]}),
    ({"env": [{"name": "A"}]}, {"env": [{"name": "A"}]}),
    (
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
    ),
]


def valid(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest, once it has passed the schema of its kind, and nothing in it is shared."""
    schema = json.loads((SCHEMAS / f"{manifest['kind'].lower()}_v1.json").read_text())
    jsonschema.Draft7Validator(schema).validate(manifest)
    assert "&id" not in yaml.safe_dump(manifest)
    return manifest


def test_a_cluster_as_it_comes() -> None:
    assert valid(make_cluster_spec("foo")) == {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {"name": "foo"},
        "spec": {
            "worker": {"spec": {"containers": [WORKER]}},
            "scheduler": {"spec": {"containers": [SCHEDULER]}, "service": SERVICE},
        },
    }


def test_a_worker_as_it_comes() -> None:
    assert make_worker_spec() == {"replicas": 3, "spec": {"containers": [WORKER]}}


def test_a_scheduler_as_it_comes() -> None:
    assert make_scheduler_spec("foo") == {"spec": {"containers": [SCHEDULER]}, "service": SERVICE}


@pytest.mark.parametrize(("given", "pod", "container"), OPTIONS)
def test_options_are_those_of_every_pod(
    given: dict[str, Any], pod: dict[str, Any], container: dict[str, Any]
) -> None:
    spec = valid(make_cluster_spec("foo", **given))["spec"]
    assert spec["worker"] == {"spec": {"containers": [{**WORKER, **container}], **pod}}
    assert spec["scheduler"] == {"spec": {"containers": [{**SCHEDULER, **container}], **pod}, "service": SERVICE}
    assert make_worker_spec(n_workers=None, **given) == spec["worker"]
    assert make_scheduler_spec("foo", **given) == spec["scheduler"]
    job = valid(make_job_spec("foo", "true", n_workers=None, **given))["spec"]
    runner = {"name": "job", "image": IMAGE, "args": ["true"], **container}
    assert job == {
        "job": {"spec": {"containers": [runner], "restartPolicy": "OnFailure", **pod}},
        "cluster": {"spec": spec},
    }
    assert make_pod_spec(**given)["spec"] == {
        "containers": [{**WORKER, "args": [*WORKER_ARGS, "--nthreads", "1"], **container}],
        **pod,
    }


@pytest.mark.parametrize(("given", "container"), CONTAINER_OPTIONS)
def test_options_are_those_of_every_container(given: dict[str, Any], container: dict[str, Any]) -> None:
    spec = valid(make_cluster_spec("foo", **given))["spec"]
    assert spec["worker"] == {"spec": {"containers": [{**WORKER, **container}]}}
    assert spec["scheduler"] == {"spec": {"containers": [{**SCHEDULER, **container}]}, "service": SERVICE}
    job = valid(make_job_spec("foo", "true", n_workers=None, **given))["spec"]
    assert job["job"]["spec"]["containers"] == [{"name": "job", "image": IMAGE, "args": ["true"], **container}]
    assert job["cluster"] == {"spec": spec}


@pytest.mark.parametrize("n_workers", [0, 1, 300])
def test_workers_are_counted(n_workers: int) -> None:
    assert valid(make_cluster_spec("foo", n_workers=n_workers))["spec"]["worker"]["replicas"] == n_workers
    assert make_worker_spec(n_workers=n_workers)["replicas"] == n_workers


@pytest.mark.parametrize(
    "command",
    [
        "dask cuda worker --nthreads 2",
        ["dask", "cuda", "worker", "--nthreads", "2"],
        "dask  cuda 'worker' --nthreads '2'",
    ],
)
def test_a_worker_command_is_words(command: Any) -> None:
    expected = ["dask", "cuda", "worker", "--nthreads", "2", *WORKER_ARGS[2:]]
    assert make_worker_spec(worker_command=command)["spec"]["containers"][0]["args"] == expected


@pytest.mark.parametrize("service_type", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_a_service_has_a_type(service_type: str) -> None:
    made = valid(make_cluster_spec("foo", scheduler_service_type=service_type))
    assert made["spec"]["scheduler"]["service"] == {**SERVICE, "type": service_type}


@pytest.mark.parametrize(
    ("idle_timeout", "seconds"), [(0, None), (None, None), (1, 1), (1.5, 2), ("5 minutes", 300), ("1h", 3600)]
)
def test_an_idle_timeout_is_whole_seconds_or_left_out(idle_timeout: Any, seconds: int | None) -> None:
    assert valid(make_cluster_spec("foo", idle_timeout=idle_timeout))["spec"].get("idleTimeout") == seconds


@pytest.mark.parametrize(
    ("client_timeout", "seconds"),
    [(0, None), (None, None), (5, 5), (5.5, 6), ("5 minutes", 300), (2**31 - 1, 2**31 - 1)],
)
def test_a_client_timeout_is_whole_seconds_or_left_out(client_timeout: Any, seconds: int | None) -> None:
    assert valid(make_cluster_spec("foo", client_timeout=client_timeout))["spec"].get("clientTimeout") == seconds


def test_a_scheduler_with_jupyter() -> None:
    container = make_cluster_spec("foo", jupyter=True)["spec"]["scheduler"]["spec"]["containers"][0]
    assert container == {**SCHEDULER, "args": [*SCHEDULER["args"], "--jupyter"]}


@pytest.mark.parametrize(
    ("given", "resources"),
    [
        ({"gpu": 2}, {"limits": {"nvidia.com/gpu": 2}}),
        ({"gpu": {"amd.com/gpu": 1}}, {"limits": {"amd.com/gpu": 1}}),
        (
            {"gpu": 1, "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}},
            {"requests": {"cpu": 1}, "limits": {"memory": "1Gi", "nvidia.com/gpu": 1}},
        ),
        ({"gpu": 0}, None),
    ],
)
def test_workers_have_gpus_and_the_scheduler_has_none(
    given: dict[str, Any], resources: dict[str, Any] | None
) -> None:
    spec = valid(make_cluster_spec("foo", **given))["spec"]
    assert spec["worker"]["spec"]["containers"][0].get("resources") == resources
    assert spec["scheduler"]["spec"]["containers"][0].get("resources") == given.get("resources")


def test_a_cluster_has_the_labels_and_the_operator_hands_them_on() -> None:
    labels, annotations = {"team": "climate", "a.b/c": ""}, {"note": "any text\nat all"}
    made = valid(make_cluster_spec("foo", labels=labels, annotations=annotations))
    assert made["metadata"] == {"name": "foo", "labels": labels, "annotations": annotations}
    assert made["spec"] == make_cluster_spec("foo")["spec"]
    worker = make_worker_spec(labels=labels, annotations=annotations)
    assert worker == {**make_worker_spec(), "metadata": {"labels": labels, "annotations": annotations}}
    job = valid(make_job_spec("foo", "true", labels=labels, annotations=annotations))
    assert job["metadata"] == made["metadata"]
    assert job["spec"] == make_job_spec("foo", "true")["spec"]


def test_tls_is_for_all_pods() -> None:
    made = valid(make_job_spec("foo", "true", tls_secret="foo-tls", env={"A": "b"}))["spec"]  # noqa: S106
    cluster = made["cluster"]["spec"]
    volumes = [{"name": "dask-tls", "secret": {"secretName": "foo-tls"}}]
    mounts = [{"name": "dask-tls", "mountPath": "/etc/dask/tls", "readOnly": True}]
    users = [{"name": "A", "value": "b"}]
    for section, address in (
        (cluster["scheduler"], []),
        (cluster["worker"], [TLS_ADDRESS]),
        (made["job"], [TLS_ADDRESS]),
    ):
        (container,) = section["spec"]["containers"]
        assert section["spec"]["volumes"] == volumes
        assert container["volumeMounts"] == mounts
        assert container["env"] == [*users, *TLS_ENV, *address]
    assert cluster["scheduler"]["spec"]["containers"][0]["args"][-2:] == ["--protocol", "tls"]


def test_tls_leaves_a_users_own_variables_alone() -> None:
    own = {"DASK_SCHEDULER_ADDRESS": "tls://elsewhere:1"}
    made = make_worker_spec(cluster_name="foo", tls_secret="foo-tls", env=own)  # noqa: S106
    addresses = [v for v in made["spec"]["containers"][0]["env"] if v["name"] == "DASK_SCHEDULER_ADDRESS"]
    assert addresses == [{"name": "DASK_SCHEDULER_ADDRESS", "value": "tls://elsewhere:1"}]


def test_workers_with_tls_have_to_know_their_cluster() -> None:
    with pytest.raises(ValidationError, match=r"^cluster_name is None, and tls_secret is given: give the name"):
        make_worker_spec(tls_secret="foo-tls")  # noqa: S106


def test_a_worker_group() -> None:
    made = valid(make_worker_group_spec("highmem", "foo", n_workers=2, labels={"a": "b"}))
    assert made == {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskWorkerGroup",
        "metadata": {"name": "foo-highmem", "labels": {"a": "b"}},
        "spec": {"cluster": "foo", "worker": {"replicas": 2, "spec": {"containers": [WORKER]}}},
    }
    assert make_worker_group_spec("highmem", "foo", worker=make_worker_spec(n_workers=2), labels={"a": "b"}) == made


def test_a_worker_group_has_one_spec() -> None:
    with pytest.raises(ValidationError, match=r"^image is given besides a whole spec: write it into that"):
        make_worker_group_spec("highmem", "foo", worker=make_worker_spec(), image="a")


def test_an_autoscaler() -> None:
    assert valid(make_autoscaler_spec("foo", 1, 10)) == {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskAutoscaler",
        "metadata": {"name": "foo"},
        "spec": {"cluster": "foo", "minimum": 1, "maximum": 10},
    }
    made = valid(make_autoscaler_spec("foo", name="foo-highmem", worker_group="foo-highmem"))
    assert made["metadata"] == {"name": "foo-highmem"}
    assert made["spec"] == {"cluster": "foo", "minimum": 0, "maximum": 1000, "workerGroup": "foo-highmem"}


@pytest.mark.parametrize(
    ("minimum", "maximum", "bounds"),
    [(None, None, (0, 1000)), (0, 0, (0, 0)), (5, None, (5, 1000)), (5000, None, (5000, 5000)), (None, 3, (0, 3))],
)
def test_bounds_that_are_left_out(minimum: int | None, maximum: int | None, bounds: tuple[int, int]) -> None:
    assert scaling_bounds(minimum, maximum) == bounds


@pytest.mark.parametrize(
    ("minimum", "maximum", "error", "told"),
    [
        (2, 1, ValidationError, "minimum is 2, which is greater than maximum=1: lower minimum or raise maximum"),
        (-1, 1, ValidationError, "minimum is -1, which is out of range: give a number from 0"),
        (0, -1, ValidationError, "maximum is -1, which is out of range: give a number from 0"),
        ("1", 2, TypeError, "minimum is '1', of type str: give a whole number"),
        (1, 2.0, TypeError, "maximum is 2.0, of type float: give a whole number"),
        (True, 2, TypeError, "minimum is True, of type bool: give a whole number"),
    ],
)
def test_bounds_that_cannot_be(minimum: Any, maximum: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error) as refused:
        make_autoscaler_spec("foo", minimum, maximum)
    assert str(refused.value).startswith(told)


def test_a_job() -> None:
    made = valid(
        make_job_spec(
            "foo",
            "python /scripts/job.py --years '1990 2020'",
            n_workers=2,
            restart_policy="Never",
            backoff_limit=3,
            active_deadline="1 hour",
            ttl_after_finished=600,
            deletion_policy="DeleteOnSuccess",
        )
    )
    runner = {"name": "job", "image": IMAGE, "args": ["python", "/scripts/job.py", "--years", "1990 2020"]}
    assert made == {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskJob",
        "metadata": {"name": "foo"},
        "spec": {
            "job": {"spec": {"containers": [runner], "restartPolicy": "Never"}},
            "cluster": {"spec": make_cluster_spec("foo", n_workers=2)["spec"]},
            "backoffLimit": 3,
            "activeDeadlineSeconds": 3600,
            "ttlSecondsAfterFinished": 600,
            "deletionPolicy": "DeleteOnSuccess",
        },
    }


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"command": ""}, ValidationError, "command is ''"),
        (
            {"restart_policy": "Always"},
            ValidationError,
            "restart_policy is 'Always', which is unknown: give OnFailure or",
        ),
        ({"backoff_limit": -1}, ValidationError, "backoff_limit is -1"),
        ({"active_deadline": 0}, ValidationError, "active_deadline is 0, which is out of range: give from 1"),
        ({"ttl_after_finished": "later"}, ValidationError, "ttl_after_finished is 'later'"),
        ({"deletion_policy": "Keep"}, ValidationError, "deletion_policy is 'Keep', which is unknown: give Delete,"),
        ({"name": "x" * 54}, ValidationError, "name is"),
        ({"zzz": 1}, TypeError, "zzz is unknown: the options of a Pod are affinity"),
    ],
)
def test_a_job_that_cannot_be(given: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error) as refused:
        make_job_spec(**{"name": "foo", "command": "true", **given})
    assert str(refused.value).startswith(told)


def test_a_pod_as_the_classic_cluster_had_it() -> None:
    assert classic_make_pod_spec is make_pod_spec
    pod = make_pod_spec(
        image="example.com/dask:1",
        labels={"team": "climate"},
        annotations={"note": "n"},
        threads_per_worker=2,
        env={"A": "b"},
        memory_limit="4G",
        memory_request="2G",
        cpu_limit=2,
        cpu_request="500m",
        gpu_limit=1,
        extra_container_config={"imagePullPolicy": "Always"},
        extra_pod_config={"terminationGracePeriodSeconds": 5},
    )
    assert pod == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"team": "climate"}, "annotations": {"note": "n"}},
        "spec": {
            "containers": [
                {
                    **WORKER,
                    "image": "example.com/dask:1",
                    "args": [*WORKER_ARGS, "--nthreads", "2", "--memory-limit", "4000000000"],
                    "env": [{"name": "A", "value": "b"}],
                    "resources": {
                        "limits": {"memory": "4G", "cpu": 2, "nvidia.com/gpu": 1},
                        "requests": {"memory": "2G", "cpu": "500m"},
                    },
                    "imagePullPolicy": "Always",
                }
            ],
            "terminationGracePeriodSeconds": 5,
        },
    }
    cluster = make_cluster_spec("foo")
    cluster["spec"]["worker"]["spec"] = pod["spec"]
    valid(cluster)


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"threads_per_worker": 0}, ValidationError, "threads_per_worker is 0"),
        ({"memory_limit": "4GB"}, ValidationError, "memory_limit is '4GB'"),
        ({"cpu_request": "much"}, ValidationError, "cpu_request is 'much'"),
        ({"cpu_request": 2, "cpu_limit": 1}, ValidationError, "resources.requests['cpu'] is 2"),
        ({"gpu_limit": "1"}, TypeError, "gpu_limit is '1'"),
        ({"extra_pod_config": ["a"]}, TypeError, "extra_pod_config is ['a']"),
        ({"extra_container_config": "a"}, TypeError, "extra_container_config is 'a'"),
    ],
)
def test_a_pod_that_cannot_be(given: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error) as refused:
        make_pod_spec(**given)
    assert str(refused.value).startswith(told)


@settings(deadline=None, max_examples=30)
@given(
    name=st.from_regex(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?", fullmatch=True),
    n_workers=st.none() | st.integers(0, 2**31 - 1),
    env=st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), st.text() | st.integers()),
    idle_timeout=st.integers(0, 10**6),
    gpu=st.none() | st.integers(0, 8),
    jupyter=st.booleans(),
)
def test_what_is_taken_passes_the_schema(
    name: str, n_workers: int | None, env: dict[str, Any], idle_timeout: int, gpu: int | None, jupyter: bool
) -> None:
    made = make_cluster_spec(name, n_workers=n_workers, env=env, idle_timeout=idle_timeout, gpu=gpu, jupyter=jupyter)
    VALIDATOR.validate(json.loads(json.dumps(made)))
