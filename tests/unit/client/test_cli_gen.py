"""``dask kubernetes gen``: each option, what is printed, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from dask_kubernetes.cli import main
from dask_kubernetes.operator import (
    make_autoscaler_spec,
    make_cluster_spec,
    make_job_spec,
    make_worker_group_spec,
)

pytestmark = pytest.mark.unit


def printed(*words: str) -> dict[str, Any]:
    """What ``gen`` prints, parsed."""
    done = CliRunner().invoke(main, ["gen", *words])
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    return dict(yaml.safe_load(done.stdout))


OPTIONS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["--image", "example.com/dask:1"], {"image": "example.com/dask:1"}),
    (["--n-workers", "0"], {"n_workers": 0}),
    (["--resources", '{"limits": {"memory": "4Gi"}}'], {"resources": {"limits": {"memory": "4Gi"}}}),
    (["--resources", "limits: {memory: 4Gi}"], {"resources": {"limits": {"memory": "4Gi"}}}),
    (["--env", "A=b", "-e", "C=d=e"], {"env": {"A": "b", "C": "d=e"}}),
    (["--env", "A="], {"env": {"A": ""}}),
    (["--worker-command", "dask cuda worker"], {"worker_command": "dask cuda worker"}),
    (["--gpu", "2"], {"gpu": 2}),
    (["--gpu", "amd.com/gpu=1"], {"gpu": {"amd.com/gpu": 1}}),
    (["--label", "team=climate", "--label", "a.b/c=d"], {"labels": {"team": "climate", "a.b/c": "d"}}),
    (["--annotation", "note=x=y z"], {"annotations": {"note": "x=y z"}}),
    (
        ["--toleration", "dedicated=dask:NoSchedule"],
        {"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "dask", "effect": "NoSchedule"}]},
    ),
    (
        ["--toleration", "gpu:NoExecute"],
        {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]},
    ),
    (["--toleration", "gpu"], {"tolerations": [{"key": "gpu", "operator": "Exists"}]}),
    (["--toleration", '{"operator": "Exists"}'], {"tolerations": [{"operator": "Exists"}]}),
    (["--node-selector", "disktype=ssd"], {"node_selector": {"disktype": "ssd"}}),
    (["--affinity", '{"podAntiAffinity": {}}'], {"affinity": {"podAntiAffinity": {}}}),
    (["--service-account", "dask-sa"], {"service_account": "dask-sa"}),
    (["--image-pull-secret", "a", "--image-pull-secret", "b"], {"image_pull_secrets": ["a", "b"]}),
    (
        ["--volume", '{"name": "d", "emptyDir": {}}', "--volume-mount", "d:/data:ro"],
        {
            "volumes": [{"name": "d", "emptyDir": {}}],
            "volume_mounts": [{"name": "d", "mountPath": "/data", "readOnly": True}],
        },
    ),
    (
        [
            "--volume",
            '{"name": "d", "emptyDir": {}}',
            "--volume-mount",
            '{"name": "d", "mountPath": "/d", "subPath": "s"}',
        ],
        {
            "volumes": [{"name": "d", "emptyDir": {}}],
            "volume_mounts": [{"name": "d", "mountPath": "/d", "subPath": "s"}],
        },
    ),
    (["--priority-class", "batch"], {"priority_class": "batch"}),
    (["--tls-secret", "foo-tls"], {"tls_secret": "foo-tls"}),
]


@pytest.mark.parametrize(("words", "given"), OPTIONS)
def test_what_is_printed_is_what_the_builders_make(words: list[str], given: dict[str, Any]) -> None:
    workers = {"n_workers": 3, **given}
    assert printed("cluster", "--name", "foo", *words) == make_cluster_spec("foo", **workers)
    assert printed("job", "--name", "foo", *words, "--", "python", "-c", "1") == make_job_spec(
        "foo", ["python", "-c", "1"], **workers
    )
    assert printed("workergroup", "--name", "highmem", "--cluster", "foo", *words) == make_worker_group_spec(
        "highmem", "foo", **workers
    )


def test_options_of_a_cluster() -> None:
    words = ["--scheduler-service-type", "NodePort", "--idle-timeout", "1h", "--jupyter"]
    words += ["--client-timeout", "10m"]
    assert printed("cluster", "--name", "foo", *words) == make_cluster_spec(
        "foo", n_workers=3, scheduler_service_type="NodePort", idle_timeout=3600, jupyter=True, client_timeout=600
    )


def test_options_of_a_job() -> None:
    words = ["--restart-policy", "Never", "--backoff-limit", "2", "--active-deadline", "2h"]
    more = ["--ttl-after-finished", "600", "--deletion-policy", "Retain"]
    assert printed("job", "--name", "foo", *words, *more, "true") == make_job_spec(
        "foo",
        ["true"],
        restart_policy="Never",
        backoff_limit=2,
        active_deadline=7200,
        ttl_after_finished=600,
        deletion_policy="Retain",
    )


def test_options_of_an_autoscaler() -> None:
    assert printed("autoscaler", "--cluster", "foo") == make_autoscaler_spec("foo")
    words = ["--name", "bar", "--minimum", "1", "--maximum", "9", "--worker-group", "foo-highmem"]
    assert printed("autoscaler", "--cluster", "foo", *words) == make_autoscaler_spec(
        "foo", 1, 9, name="bar", worker_group="foo-highmem"
    )


def test_a_namespace_is_written_into_the_manifest() -> None:
    assert printed("cluster", "--name", "foo", "-n", "team")["metadata"] == {"name": "foo", "namespace": "team"}


def test_json_is_the_same_in_json() -> None:
    done = CliRunner().invoke(main, ["gen", "cluster", "--name", "foo", "-o", "json"])
    assert json.loads(done.stdout) == make_cluster_spec("foo", n_workers=3)


def test_yaml_is_written_as_people_write_it() -> None:
    done = CliRunner().invoke(main, ["gen", "cluster", "--name", "foo"])
    assert done.stdout.startswith("apiVersion: kubernetes.dask.org/v1\nkind: DaskCluster\nmetadata:\n  name: foo\n")
    assert "&" not in done.stdout
    assert "        - name: worker\n          image: ghcr.io/dask/dask:latest\n" in done.stdout


CLUSTER = ["cluster", "--name", "foo"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["cluster"], "Missing option '--name'"),
        (["cluster", "--name", "Foo"], "--name: name is 'Foo'"),
        ([*CLUSTER, "--n-workers", "x"], "'--n-workers'"),
        (
            [*CLUSTER, "--n-workers", "-1"],
            "--n-workers: n_workers is -1, which is out of range: give a number from 0",
        ),
        ([*CLUSTER, "--image", "Dask"], "--image: image is 'Dask'"),
        ([*CLUSTER, "--resources", "{"], "--resources: '{' is neither JSON nor YAML: write it such as"),
        ([*CLUSTER, "--resources", "4Gi"], "--resources: '4Gi' is not what it has to be: write it such as"),
        ([*CLUSTER, "--resources", "{memory: 4Gi}"], "--resources: resources is {'memory': '4Gi'}"),
        ([*CLUSTER, "--resources", "limits: {memory: 4GB}"], "--resources: resources.limits['memory'] is '4GB'"),
        ([*CLUSTER, "--env", "A"], "--env: 'A' is no pair: write it KEY=VALUE"),
        ([*CLUSTER, "--env", "=b"], "--env: '=b' is no pair: write it KEY=VALUE"),
        ([*CLUSTER, "--env", "A=b", "--env", "A=c"], "--env: A is given twice: remove one of them"),
        ([*CLUSTER, "--worker-command", ""], "--worker-command: worker_command is ''"),
        ([*CLUSTER, "--scheduler-service-type", "Cluster"], "--scheduler-service-type: scheduler_service_type is"),
        ([*CLUSTER, "--idle-timeout", "soon"], "--idle-timeout: idle_timeout is 'soon'"),
        ([*CLUSTER, "--client-timeout", "1"], "--client-timeout: client_timeout is '1'"),
        ([*CLUSTER, "--gpu", "one"], "--gpu: 'one' is no number of GPUs: write it such as 1 or amd.com/gpu=1"),
        ([*CLUSTER, "--gpu", "=1"], "--gpu: '=1' is no number of GPUs"),
        ([*CLUSTER, "--label", "a=b c"], "--label: labels['a'] is 'b c'"),
        ([*CLUSTER, "--annotation", "a"], "--annotation: 'a' is no pair"),
        ([*CLUSTER, "--toleration", ":NoSchedule"], "--toleration: ':NoSchedule' is no taint"),
        ([*CLUSTER, "--toleration", "a:No"], "--toleration: tolerations[0].effect is 'No'"),
        ([*CLUSTER, "--node-selector", "ssd"], "--node-selector: 'ssd' is no pair"),
        ([*CLUSTER, "--affinity", "[]"], "--affinity: '[]' is not what it has to be"),
        ([*CLUSTER, "--service-account", "No"], "--service-account: service_account is 'No'"),
        ([*CLUSTER, "--image-pull-secret", "No"], "--image-pull-secret: image_pull_secrets[0] is 'No'"),
        ([*CLUSTER, "--volume", "data"], "--volume: 'data' is not what it has to be"),
        ([*CLUSTER, "--volume-mount", "data"], "--volume-mount: 'data' is no mount: write it such as data:/data"),
        ([*CLUSTER, "--volume-mount", "data:/a:rx"], "--volume-mount: 'data:/a:rx' is no mount"),
        ([*CLUSTER, "--volume-mount", "data:/a"], "--volume-mount: volume_mounts[0].name is 'data'"),
        ([*CLUSTER, "--priority-class", "No"], "--priority-class: priority_class is 'No'"),
        ([*CLUSTER, "--namespace", "No"], "--namespace: namespace is 'No'"),
        ([*CLUSTER, "--output", "toml"], "'toml' is not one of 'yaml', 'json'"),
        ([*CLUSTER, "--nworkers", "3"], "No such option"),
        (["job", "--name", "foo"], "Missing argument 'COMMAND...'"),
        (
            ["job", "--name", "foo", "--restart-policy", "Always", "true"],
            "--restart-policy: restart_policy is 'Always'",
        ),
        (["job", "--name", "foo", "--backoff-limit", "-1", "true"], "--backoff-limit: backoff_limit is -1"),
        (["job", "--name", "foo", "--active-deadline", "0", "true"], "--active-deadline: active_deadline is"),
        (
            ["job", "--name", "foo", "--ttl-after-finished", "x", "true"],
            "--ttl-after-finished: ttl_after_finished is",
        ),
        (
            ["job", "--name", "foo", "--deletion-policy", "Keep", "true"],
            "--deletion-policy: deletion_policy is 'Keep'",
        ),
        (["workergroup", "--name", "a"], "Missing option '--cluster'"),
        (["workergroup", "--name", "A", "--cluster", "foo"], "--name: name is 'A'"),
        (["workergroup", "--name", "a", "--cluster", "Foo"], "--cluster: cluster is 'Foo'"),
        (["autoscaler"], "Missing option '--cluster'"),
        (["autoscaler", "--cluster", "foo", "--minimum", "2", "--maximum", "1"], "--minimum: minimum is 2"),
        (["autoscaler", "--cluster", "foo", "--worker-group", "No"], "--worker-group: worker_group is 'No'"),
        (["pod"], "No such command"),
    ],
)
def test_what_cannot_be_used_is_told_by_the_name_of_the_option(words: list[str], told: str) -> None:
    done = CliRunner().invoke(main, ["gen", *words])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert told in done.stderr, done.stderr
