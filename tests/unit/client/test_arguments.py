"""What KubeCluster takes: what a configuration adds, what comes out, and everything that is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dask.config
import numpy as np
import pytest
import yaml

from dask_kubernetes import config
from dask_kubernetes.exceptions import DaskKubernetesError, ValidationError
from dask_kubernetes.operator import CreateMode, make_cluster_spec, make_worker_spec
from dask_kubernetes.operator.arguments import (
    check_worker_spec,
    cluster_arguments,
    load_cluster_spec,
    worker_group_arguments,
)

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def shipped_configuration() -> Iterator[None]:
    """What this machine is configured for is no part of the tests."""
    with dask.config.set(config.defaults()):
        yield


def test_nothing_has_to_be_given() -> None:
    arguments = cluster_arguments()
    assert arguments.name.startswith("dask-")
    assert arguments.manifest == make_cluster_spec(arguments.name, n_workers=3)
    assert arguments.namespace is None
    assert arguments.create_mode is CreateMode.CREATE_OR_CONNECT
    assert arguments.shutdown_on_close is None
    assert arguments.resource_timeout_seconds == 60
    assert arguments.port_forward_cluster_ip is None
    assert arguments.scheduler_forward_port is None
    assert arguments.image == "ghcr.io/dask/dask:latest"
    assert arguments.n_workers == 3
    assert not arguments.jupyter
    assert not arguments.quiet


def test_everything_can_be_given() -> None:
    said: dict[str, Any] = {
        "image": "example.com/dask:1",
        "n_workers": 2,
        "resources": {"requests": {"cpu": 1}},
        "env": {"A": "b"},
        "worker_command": ["dask", "cuda", "worker"],
        "idle_timeout": 300,
        "client_timeout": 600,
        "scheduler_service_type": "NodePort",
        "jupyter": True,
        "gpu": 1,
        "labels": {"team": "climate"},
        "annotations": {"note": "n"},
        "tolerations": [{"operator": "Exists"}],
        "node_selector": {"disktype": "ssd"},
        "affinity": {"nodeAffinity": {}},
        "service_account": "dask-sa",
        "image_pull_secrets": ["regcred"],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "volume_mounts": [{"name": "data", "mountPath": "/data"}],
        "priority_class": "batch",
        "tls_secret": "foo-tls",
    }
    arguments = cluster_arguments(
        name="foo",
        namespace="elsewhere",
        create_mode=CreateMode.CREATE_ONLY,
        shutdown_on_close=False,
        resource_timeout=timedelta(minutes=2),  # type: ignore[arg-type]  # taken like a string
        port_forward_cluster_ip=True,
        scheduler_forward_port=8787,
        quiet=True,
        **said,
    )
    assert arguments.manifest == make_cluster_spec("foo", **said)
    assert (arguments.name, arguments.namespace) == ("foo", "elsewhere")
    assert arguments.create_mode is CreateMode.CREATE_ONLY
    assert arguments.shutdown_on_close is False
    assert arguments.resource_timeout_seconds == 120
    assert arguments.port_forward_cluster_ip is True
    assert arguments.scheduler_forward_port == 8787
    assert arguments.jupyter
    assert arguments.quiet


@pytest.mark.parametrize(
    ("configured", "given"),
    [
        ({"name": "configured"}, {"name": "configured"}),
        ({"image": "example.com/dask:1"}, {"image": "example.com/dask:1"}),
        ({"count": {"start": 7}}, {"n_workers": 7}),
        ({"resources": {"limits": {"memory": "1Gi"}}}, {"resources": {"limits": {"memory": "1Gi"}}}),
        ({"env": {"A": 1}}, {"env": {"A": 1}}),
        ({"worker-command": "dask cuda worker"}, {"worker_command": "dask cuda worker"}),
        ({"scheduler-service-type": "LoadBalancer"}, {"scheduler_service_type": "LoadBalancer"}),
        ({"idle-timeout": 60}, {"idle_timeout": 60}),
        ({"client-timeout": "10 minutes"}, {"client_timeout": 600}),
        ({"scheduler-jupyter": True}, {"jupyter": True}),
        ({"node-selector": {"a": "b"}}, {"node_selector": {"a": "b"}}),
        ({"image-pull-secrets": "regcred"}, {"image_pull_secrets": "regcred"}),
        ({"priority-class": "batch"}, {"priority_class": "batch"}),
        ({"gpu": 1}, {"gpu": 1}),
        ({"namespace": "elsewhere"}, {"namespace": "elsewhere"}),
        ({"create-mode": "create_only"}, {"create_mode": "CREATE_ONLY"}),
        ({"shutdown-on-close": True}, {"shutdown_on_close": True}),
        ({"resource-timeout": "5m"}, {"resource_timeout": 300}),
        ({"port-forward-cluster-ip": False}, {"port_forward_cluster_ip": False}),
        ({"scheduler-forward-port": 1234}, {"scheduler_forward_port": 1234}),
    ],
)
def test_the_configuration_is_as_good_as_an_argument(configured: dict[str, Any], given: dict[str, Any]) -> None:
    expected = cluster_arguments(**{"name": "foo", **given})
    with dask.config.set(dask.config.merge(config.defaults(), {"kubernetes": {"name": "foo", **configured}})):
        assert cluster_arguments() == expected
        assert cluster_arguments(name="bar").name == "bar"


def test_a_maximum_that_has_no_effect_is_told() -> None:
    with (
        dask.config.set({"kubernetes.count.max": 10}),
        pytest.warns(UserWarning, match="ResourceQuota"),
    ):
        cluster_arguments(name="foo")


def test_numbers_of_numpy_are_numbers() -> None:
    arguments = cluster_arguments(name="foo", n_workers=np.int64(4))  # type: ignore[arg-type]
    assert json.dumps(arguments.manifest["spec"]["worker"]["replicas"]) == "4"


def test_what_is_given_is_not_changed_and_not_kept() -> None:
    env = [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    manifest = cluster_arguments(name="foo", env=env, tls_secret="t").manifest  # noqa: S106
    assert len(env) == 1
    for section in ("worker", "scheduler"):
        made = manifest["spec"][section]["spec"]["containers"][0]["env"][0]
        assert made == env[0]
        assert made["valueFrom"] is not env[0]["valueFrom"]


CASES: list[tuple[dict[str, Any], type[Exception], str, str]] = [
    # argument given, error, what the message begins with, and the remedy
    ({"name": 3}, TypeError, "name", "give a string such as 'my-cluster'"),
    ({"name": "Foo"}, ValidationError, "name", "such as 'foo'"),
    ({"name": "a.b"}, ValidationError, "name", "such as 'a-b'"),
    ({"name": "x" * 54}, ValidationError, "name", "shorten it to 53"),
    ({"name": "dask-{who}"}, ValidationError, "name", "use {user}, {uuid}"),
    ({"namespace": "No"}, ValidationError, "namespace", "leave it out for the current namespace"),
    ({"namespace": 1}, TypeError, "namespace", "give a string such as 'default'"),
    ({"image": ""}, ValidationError, "image", "leave it out"),
    ({"image": "Dask"}, ValidationError, "image", "the name in lower case"),
    ({"image": "dask:latest "}, ValidationError, "image", "write it [registry/]name[:tag][@digest]"),
    ({"image": "dask:"}, ValidationError, "image", "write it [registry/]name[:tag][@digest]"),
    ({"image": "https://example.com/dask"}, ValidationError, "image", "write it [registry/]name[:tag][@digest]"),
    ({"image": ["dask"]}, TypeError, "image", "give a string"),
    ({"n_workers": "3"}, TypeError, "n_workers", "give a whole number"),
    ({"n_workers": 2.5}, TypeError, "n_workers", "give a whole number"),
    ({"n_workers": True}, TypeError, "n_workers", "give a whole number"),
    ({"n_workers": -1}, ValidationError, "n_workers", "give a number from 0"),
    ({"n_workers": 2**31}, ValidationError, "n_workers", "to 2147483647"),
    ({"resources": "2Gi"}, TypeError, "resources", "write it as in a Pod"),
    ({"resources": {"memory": "2Gi"}}, ValidationError, "resources", "write it as in a Pod"),
    ({"resources": {"limits": "2Gi"}}, TypeError, "resources.limits", "write it as in a Pod"),
    ({"resources": {"limits": {"memory": "2GB"}}}, ValidationError, "resources.limits['memory']", "'4Gi'"),
    ({"resources": {"limits": {"memory": None}}}, TypeError, "resources.limits['memory']", "'4Gi'"),
    ({"resources": {"limits": {"cpu": -1}}}, ValidationError, "resources.limits['cpu']", "'500m'"),
    ({"resources": {"limits": {1: 1}}}, TypeError, "resources.limits", "name a resource with a string"),
    ({"resources": {"limits": {"a b": 1}}}, ValidationError, "resources.limits", "use such as 'cpu'"),
    ({"resources": {"claims": "gpu"}}, TypeError, "resources.claims", "give a list"),
    (
        {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1500M"}}},
        ValidationError,
        "resources.requests['memory']",
        "lower the request or raise the limit",
    ),
    ({"env": "A=b"}, TypeError, "env", "give {'NAME': 'value'}"),
    ({"env": 1}, TypeError, "env", "give {'NAME': 'value'}"),
    ({"env": {"A": None}}, TypeError, "env['A']", "write the value as a string"),
    ({"env": {"A": True}}, TypeError, "env['A']", "such as 'true'"),
    ({"env": {1: "a"}}, TypeError, "env", "has to be a string"),
    ({"env": {"A=": "a"}}, ValidationError, "env", "use letters, digits and '_'"),
    ({"env": {"": "a"}}, ValidationError, "env", "use letters, digits and '_'"),
    ({"env": ["A"]}, TypeError, "env[0]", "a list of {'name': ..., 'value': ...}"),
    ({"env": [{"value": "b"}]}, ValidationError, "env[0]", "a list of {'name': ..., 'value': ...}"),
    ({"env": [{"name": "A", "val": "b"}]}, ValidationError, "env[0]", "use name, and value or valueFrom"),
    (
        {"env": [{"name": "A", "value": "b", "valueFrom": {"fieldRef": {}}}]},
        ValidationError,
        "env[0]",
        "remove one of them",
    ),
    ({"worker_command": ""}, ValidationError, "worker_command", "such as 'dask worker'"),
    ({"worker_command": []}, ValidationError, "worker_command", "such as 'dask worker'"),
    ({"worker_command": ["dask", ""]}, ValidationError, "worker_command", "such as 'dask worker'"),
    ({"worker_command": ["dask", 1]}, TypeError, "worker_command", "every word has to be a string"),
    ({"worker_command": 1}, TypeError, "worker_command", "give a list of words"),
    ({"worker_command": b"dask worker"}, TypeError, "worker_command", "give a list of words"),
    ({"worker_command": "dask 'worker"}, ValidationError, "worker_command", "one string of words"),
    ({"port_forward_cluster_ip": "yes"}, TypeError, "port_forward_cluster_ip", "give True or False"),
    ({"create_mode": "CREATE"}, ValidationError, "create_mode", "CREATE_ONLY, CREATE_OR_CONNECT or CONNECT_ONLY"),
    ({"create_mode": 1}, TypeError, "create_mode", "CREATE_ONLY, CREATE_OR_CONNECT or CONNECT_ONLY"),
    ({"shutdown_on_close": 1}, TypeError, "shutdown_on_close", "give True or False"),
    ({"idle_timeout": -1}, ValidationError, "idle_timeout", "give from 0"),
    ({"idle_timeout": "soon"}, ValidationError, "idle_timeout", "such as '5 minutes'"),
    ({"idle_timeout": True}, TypeError, "idle_timeout", "give a number of seconds"),
    ({"idle_timeout": []}, TypeError, "idle_timeout", "give a number of seconds"),
    ({"client_timeout": -1}, ValidationError, "client_timeout", "give from 0"),
    ({"client_timeout": float("nan")}, ValidationError, "client_timeout", "give from 0"),
    ({"client_timeout": 2**31}, ValidationError, "client_timeout", "give from 0"),
    ({"client_timeout": 0.5}, ValidationError, "client_timeout", "give at least 5 seconds"),
    ({"client_timeout": "4 s"}, ValidationError, "client_timeout", "or 0 for never"),
    ({"client_timeout": "soon"}, ValidationError, "client_timeout", "such as '5 minutes'"),
    ({"client_timeout": False}, TypeError, "client_timeout", "give a number of seconds"),
    ({"client_timeout": [60]}, TypeError, "client_timeout", "give a number of seconds"),
    ({"resource_timeout": 0}, ValidationError, "resource_timeout", "give more than 0 seconds"),
    ({"resource_timeout": float("nan")}, ValidationError, "resource_timeout", "give from 0"),
    ({"resource_timeout": float("inf")}, ValidationError, "resource_timeout", "give from 0"),
    ({"resource_timeout": "5 parsecs"}, ValidationError, "resource_timeout", "such as '5 minutes'"),
    ({"resource_timeout": True}, TypeError, "resource_timeout", "give a number of seconds"),
    (
        {"scheduler_service_type": "clusterip"},
        ValidationError,
        "scheduler_service_type",
        "give ClusterIP, NodePort or LoadBalancer",
    ),
    ({"scheduler_service_type": 1}, TypeError, "scheduler_service_type", "give ClusterIP, NodePort or LoadBalancer"),
    ({"scheduler_forward_port": 0}, ValidationError, "scheduler_forward_port", "give a number from 1 to 65535"),
    ({"scheduler_forward_port": 65536}, ValidationError, "scheduler_forward_port", "give a number from 1 to 65535"),
    ({"scheduler_forward_port": "8787"}, TypeError, "scheduler_forward_port", "give a whole number"),
    ({"jupyter": "yes"}, TypeError, "jupyter", "give True or False"),
    ({"quiet": None}, TypeError, "quiet", "give True or False"),
    ({"gpu": "1"}, TypeError, "gpu", "give a number of GPUs"),
    ({"gpu": 0.5}, TypeError, "gpu", "give a number of GPUs"),
    ({"gpu": -1}, ValidationError, "gpu", "give a number from 0"),
    ({"gpu": {}}, ValidationError, "gpu", "{'amd.com/gpu': 1}"),
    (
        {"gpu": 1, "resources": {"limits": {"nvidia.com/gpu": 2}}},
        ValidationError,
        "gpu",
        "remove one of them",
    ),
    ({"labels": ["a"]}, TypeError, "labels", "give strings by their keys"),
    ({"labels": {"a": 1}}, TypeError, "labels['a']", "write the value as a string"),
    ({"labels": {"a b": "c"}}, ValidationError, "labels", "write it such as 'team'"),
    ({"labels": {"a": "b c"}}, ValidationError, "labels['a']", "or annotations"),
    ({"labels": {"a": "x" * 64}}, ValidationError, "labels['a']", "at most 63"),
    ({"labels": {"dask.org/cluster-name": "b"}}, ValidationError, "labels", "remove dask.org/cluster-name"),
    ({"annotations": {"a": True}}, TypeError, "annotations['a']", "such as 'true'"),
    ({"annotations": {"-": "a"}}, ValidationError, "annotations", "write it such as 'team'"),
    ({"tolerations": {"key": "a"}}, TypeError, "tolerations", "give a list such as"),
    ({"tolerations": ["a"]}, TypeError, "tolerations[0]", "write it as in a Pod"),
    ({"tolerations": [{"key": "a", "efect": "b"}]}, ValidationError, "tolerations[0]", "use key, operator"),
    (
        {"tolerations": [{"key": "a", "operator": "In"}]},
        ValidationError,
        "tolerations[0].operator",
        "Equal or Exists",
    ),
    ({"tolerations": [{"value": "a"}]}, ValidationError, "tolerations[0]", "add the key of the taint"),
    (
        {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        ValidationError,
        "tolerations[0].value",
        "remove value",
    ),
    ({"tolerations": [{"key": "a", "effect": "No"}]}, ValidationError, "tolerations[0].effect", "use NoSchedule"),
    ({"node_selector": "ssd"}, TypeError, "node_selector", "give strings by their keys"),
    ({"node_selector": {"ssd": True}}, TypeError, "node_selector['ssd']", "such as 'true'"),
    ({"node_selector": {"disk": "a b"}}, ValidationError, "node_selector['disk']", "kubectl get nodes --show-labels"),
    ({"affinity": "spread"}, TypeError, "affinity", "write it as in a Pod"),
    ({"affinity": {"node": {}}}, ValidationError, "affinity", "use nodeAffinity"),
    ({"affinity": {"nodeAffinity": "a"}}, TypeError, "affinity.nodeAffinity", "as a mapping"),
    ({"service_account": "Dask SA"}, ValidationError, "service_account", "such as 'dask-sa'"),
    ({"service_account": 1}, TypeError, "service_account", "such as 'dask-sa'"),
    ({"image_pull_secrets": 1}, TypeError, "image_pull_secrets", "give the name of a Secret"),
    ({"image_pull_secrets": [1]}, TypeError, "image_pull_secrets[0]", "such as 'regcred'"),
    ({"image_pull_secrets": [{"secret": "a"}]}, ValidationError, "image_pull_secrets[0]", "use name"),
    ({"image_pull_secrets": "Reg Cred"}, ValidationError, "image_pull_secrets", "such as 'regcred'"),
    ({"volumes": {"name": "a"}}, TypeError, "volumes", "give a list such as"),
    ({"volumes": [{"name": "A", "emptyDir": {}}]}, ValidationError, "volumes[0].name", "write it such as"),
    ({"volumes": [{"emptyDir": {}}]}, ValidationError, "volumes[0].name", "write it such as"),
    ({"volumes": [{"name": "a"}]}, ValidationError, "volumes[0]", "write it such as"),
    (
        {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]},
        ValidationError,
        "volumes[1].name",
        "a name of its own",
    ),
    ({"volume_mounts": [{"name": "a", "mountPath": "/a"}]}, ValidationError, "volume_mounts[0].name", "to volumes"),
    (
        {"volumes": [{"name": "a", "emptyDir": {}}], "volume_mounts": [{"name": "b", "mountPath": "/a"}]},
        ValidationError,
        "volume_mounts[0].name",
        "use one of ['a']",
    ),
    (
        {"volumes": [{"name": "a", "emptyDir": {}}], "volume_mounts": [{"name": "a"}]},
        ValidationError,
        "volume_mounts[0].mountPath",
        "write it such as",
    ),
    ({"priority_class": "A"}, ValidationError, "priority_class", "such as 'batch'"),
    ({"tls_secret": 1}, TypeError, "tls_secret", "give a string"),
    ({"nworkers": 3}, TypeError, "nworkers", "did you mean n_workers?"),
    ({"toleration": []}, TypeError, "toleration", "did you mean tolerations?"),
    ({"zzz": 1}, TypeError, "zzz", "there are affinity, annotations"),
    ({"custom_cluster_spec": 1}, TypeError, "custom_cluster_spec", "give a mapping, YAML, or the path"),
    ({"custom_cluster_spec": "nowhere.yaml"}, ValidationError, "custom_cluster_spec", "give the path of a file"),
    ({"custom_cluster_spec": "a: [\n"}, ValidationError, "custom_cluster_spec", "correct it there"),
    ({"custom_cluster_spec": "a\n"}, ValidationError, "custom_cluster_spec", "give a DaskCluster"),
    ({"custom_cluster_spec": "kind: A\n---\nkind: B\n"}, ValidationError, "custom_cluster_spec", "leave one"),
    ({"custom_cluster_spec": {}}, ValidationError, "custom_cluster_spec.kind", "kind: DaskCluster"),
]


@pytest.mark.parametrize(("given", "error", "begins", "told"), CASES)
def test_what_cannot_be_used_is_refused(
    given: dict[str, Any], error: type[Exception], begins: str, told: str
) -> None:
    with pytest.raises(error) as refused:
        cluster_arguments(**{"name": "foo", **given})
    assert str(refused.value).startswith((f"{begins} ", f"{begins}: ")), refused.value
    assert told in str(refused.value)
    if error is ValidationError:
        assert isinstance(refused.value, ValueError)
        assert isinstance(refused.value, DaskKubernetesError)
    else:
        assert type(refused.value) is TypeError


def broken(path: str, value: Any) -> dict[str, Any]:
    """A DaskCluster with another value in one place."""
    manifest = make_cluster_spec("foo")
    *parents, last = path.split(".")
    at: Any = manifest
    for parent in parents:
        at = at[int(parent)] if parent.isdigit() else at[parent]
    at[last] = value
    return manifest


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("kind", "DaskJob", "kind: DaskCluster"),
        ("apiVersion", "kubernetes.dask.org/v2", "write kubernetes.dask.org/v1"),
        ("metadata", None, "write it as in what make_cluster_spec makes"),
        ("metadata.name", "Foo", "such as 'foo'"),
        ("metadata.name", None, "give a string"),
        ("metadata.namespace", "No", "leave it out"),
        ("spec", [], "write it as in what make_cluster_spec makes"),
        ("spec.worker", None, "write it as in what make_cluster_spec makes"),
        ("spec.worker.spec", None, "write it as in what make_cluster_spec makes"),
        ("spec.worker.spec.containers", [], "add a container"),
        ("spec.worker.spec.containers", {"name": "worker"}, "add a container"),
        ("spec.worker.replicas", "3", "give a whole number"),
        ("spec.scheduler", None, "write it as in what make_cluster_spec makes"),
        ("spec.scheduler.service", None, "write it as in what make_cluster_spec makes"),
        ("spec.scheduler.spec.containers.0.image", None, "add both"),
        ("spec.scheduler.spec.containers.0.name", "", "add both"),
    ],
)
def test_a_manifest_that_cannot_work_is_refused(path: str, value: Any, told: str) -> None:
    with pytest.raises((TypeError, ValidationError)) as refused:
        cluster_arguments(custom_cluster_spec=broken(path, value))
    assert str(refused.value).startswith("custom_cluster_spec."), refused.value
    assert told in str(refused.value)


def test_a_manifest_is_taken_in_every_form(tmp_path: Path) -> None:
    manifest = make_cluster_spec("foo", n_workers=2)
    file = tmp_path / "cluster-spec.yml"
    file.write_text(yaml.safe_dump(manifest))
    for given in (manifest, file, str(file), yaml.safe_dump(manifest), json.dumps(manifest)):
        arguments = cluster_arguments(name="ignored", custom_cluster_spec=given)
        assert arguments.manifest == manifest
        assert (arguments.name, arguments.n_workers) == ("foo", 2)
    with dask.config.set({"kubernetes.custom-cluster-spec": str(file)}):
        assert cluster_arguments().manifest == manifest


def test_a_manifest_that_code_for_the_public_client_made_has_fields_that_are_none() -> None:
    manifest = make_cluster_spec("foo")
    expected = load_cluster_spec(manifest)
    manifest["spec"]["worker"]["replicas"] = None
    manifest["spec"]["worker"]["spec"]["containers"][0] |= {"env": None, "resources": None}
    assert load_cluster_spec(manifest) == expected


def test_arguments_without_effect_are_told() -> None:
    with pytest.warns(UserWarning, match="^image, n_workers, tolerations: without effect"):
        cluster_arguments(
            custom_cluster_spec=make_cluster_spec("foo"), image="b", n_workers=1, tolerations=[{"operator": "Exists"}]
        )


def test_a_manifest_says_its_namespace() -> None:
    manifest = make_cluster_spec("foo")
    assert cluster_arguments(custom_cluster_spec=manifest, namespace="a").namespace == "a"
    manifest["metadata"]["namespace"] = "b"
    assert cluster_arguments(custom_cluster_spec=manifest).namespace == "b"
    with dask.config.set({"kubernetes.namespace": "a"}):
        assert cluster_arguments(custom_cluster_spec=manifest).namespace == "b"
    with pytest.raises(ValidationError, match=r"^namespace is 'a', and custom_cluster_spec has the namespace 'b'"):
        cluster_arguments(custom_cluster_spec=manifest, namespace="a")


def test_a_manifest_says_whether_there_is_a_jupyter() -> None:
    manifest = make_cluster_spec("foo")
    assert not cluster_arguments(custom_cluster_spec=manifest).jupyter
    manifest["spec"]["scheduler"]["spec"]["containers"][0]["args"].append("--jupyter")
    assert cluster_arguments(custom_cluster_spec=manifest).jupyter


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValidationError, match=r"^custom_cluster_spec is .* which is no text in UTF-8: give a file"):
        load_cluster_spec(file)


def test_a_worker_group_starts_from_what_the_cluster_was_given() -> None:
    cluster = cluster_arguments(name="foo", image="example.com/dask:1", env={"A": "b"}, node_selector={"a": "b"})
    group = worker_group_arguments(cluster.worker, n_workers=0, image=None, resources={"limits": {"cpu": 1}})
    assert make_worker_spec(**group) == make_worker_spec(
        image="example.com/dask:1",
        n_workers=0,
        env={"A": "b"},
        node_selector={"a": "b"},
        resources={"limits": {"cpu": 1}},
    )
    with pytest.raises(TypeError, match=r"^nworkers is no argument of KubeCluster: did you mean n_workers\?"):
        worker_group_arguments(cluster.worker, nworkers=1)


@pytest.mark.parametrize(
    ("spec", "error", "told"),
    [
        ("worker", TypeError, "custom_spec is 'worker', of type str: give what make_worker_spec returns"),
        ({}, ValidationError, "custom_spec.spec is None"),
        ({"spec": {"containers": []}}, ValidationError, "custom_spec.spec.containers is []"),
        ({**make_worker_spec(), "replicas": -1}, ValidationError, "custom_spec.replicas is -1"),
    ],
)
def test_a_worker_spec_that_cannot_work_is_refused(spec: object, error: type[Exception], told: str) -> None:
    with pytest.raises(error) as refused:
        check_worker_spec(spec)
    assert str(refused.value).startswith(told)


def test_a_worker_spec_is_copied() -> None:
    spec = make_worker_spec()
    taken = check_worker_spec(spec)
    assert taken == spec
    taken["spec"]["containers"][0]["args"].append("--nthreads")
    assert taken != spec


def test_there_are_enough_bad_cases() -> None:
    assert len(CASES) >= 60
