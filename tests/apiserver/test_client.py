"""What the client makes is what an API server takes, every keyword argument included, and nothing of it is lost."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from dask_kubernetes.cli import main
from dask_kubernetes.operator import (
    make_autoscaler_spec,
    make_cluster_spec,
    make_job_spec,
    make_pod_spec,
    make_worker_group_spec,
)
from tests.apiserver.server import ApiServer, resource_path
from tests.apiserver.test_admission import lost

pytestmark = pytest.mark.apiserver

OPTIONS: dict[str, Any] = {
    "image": "localhost:5000/me/dask:1@sha256:" + "0" * 64,
    "n_workers": 2,
    "resources": {"requests": {"cpu": 0.5, "memory": "1e9"}, "limits": {"memory": "1.5Gi"}},
    "env": [{"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    "worker_command": "dask cuda worker",
    "gpu": {"amd.com/gpu": 1},
    "labels": {"team": "climate", "example.com/empty": ""},
    "annotations": {"note": "any text"},
    "tolerations": [{"key": "dedicated", "value": "dask", "effect": "NoSchedule"}, {"operator": "Exists"}],
    "node_selector": {"node-role.kubernetes.io/gpu": ""},
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "service_account": "dask-sa",
    "image_pull_secrets": ["regcred"],
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    "volume_mounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
    "priority_class": "batch",
    "tls_secret": "client-tls",
}


def with_pod_spec() -> dict[str, Any]:
    """A cluster whose workers are those of the classic KubeCluster, as the guide to moving from it has it."""
    cluster = make_cluster_spec("client-classic")
    pod = make_pod_spec(memory_limit="4G", memory_request="2G", cpu_limit=2, gpu_limit=1)
    cluster["spec"]["worker"]["spec"] = pod["spec"]
    return cluster


MADE = {
    "cluster": make_cluster_spec("client-" + "x" * 46),
    "cluster-with-everything": make_cluster_spec(
        "client-all", scheduler_service_type="NodePort", idle_timeout="1h", client_timeout=60, jupyter=True, **OPTIONS
    ),
    "classic": with_pod_spec(),
    "job": make_job_spec("client-job", "true"),
    "job-with-everything": make_job_spec(
        "client-job-all",
        ["python", "job.py"],
        restart_policy="Never",
        backoff_limit=2,
        active_deadline="1h",
        ttl_after_finished=0,
        deletion_policy="DeleteOnSuccess",
        **OPTIONS,
    ),
    "worker-group": make_worker_group_spec("highmem", "client-all", **OPTIONS),
    "autoscaler": make_autoscaler_spec("client-all"),
    "autoscaler-with-everything": make_autoscaler_spec(
        "client-all", 1, 10, name="client-highmem", worker_group="client-all-highmem", labels={"a": "b"}
    ),
}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_it_is_taken_and_reads_back_as_it_was_sent(server: ApiServer, made: dict[str, Any]) -> None:
    applied = server.kubectl("apply", "--warnings-as-errors", "--validate=strict", "-f", "-", stdin=made)
    assert applied.returncode == 0, applied.stderr
    stored = server.request("GET", resource_path(made, named=True)).body
    assert lost(made, stored) == []


def test_the_commands_work_on_what_an_api_server_really_answers(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no operator here: status stays empty, and what is deleted is gone at once."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, list(words))
        assert done.exit_code == code, done.output
        return done.stderr if code else done.stdout

    objects = [
        make_cluster_spec("client-cli", n_workers=1),
        make_worker_group_spec("default", "client-cli", n_workers=1),
        make_autoscaler_spec("client-cli", 1, 5),
    ]
    for made in objects:
        assert server.kubectl("apply", "-f", "-", stdin=made).returncode == 0
    listed = next(line for line in run("list").splitlines() if line.startswith("client-cli "))
    assert listed.split()[:3] == ["client-cli", "-", "0/1"]
    page = run("describe", "client-cli")
    assert "client-cli-default   0/1" in page
    assert "client-cli   1         5" in page
    assert run("scale", "client-cli", "3") == "workergroup/client-cli-default scaled to 3\n"
    assert "0/3" in run("list", "workergroup")
    assert "has not 4 ready workers" in run("scale", "client-cli", "4", "--wait", "--timeout", "0.5", code=7)
    assert "autoscaler/client-cli\n" not in run("list", "autoscaler", "-o", "name")
    assert "it has default" in run("scale", "client-cli", "1", "-g", "gpu", code=3)
    assert "has no such Pod: there is none yet" in run("logs", "client-cli", code=3)
    assert "does not run after" in run("connect", "client-cli", "--timeout", "0.1", code=5)
    assert run("delete", "workergroup/client-cli-default", "client-cli") == (
        "workergroup/client-cli-default deleted\ncluster/client-cli deleted\n"
    )
    assert "not found" in run("describe", "client-cli", code=3)
