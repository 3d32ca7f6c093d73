"""The examples of the public documentation as it prints them: their Python, and the manifests of RAPIDS and Flyte."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dask
import pytest
import yaml
from distributed import Client
from distributed.core import Status

from dask_kubernetes.operator import KubeCluster
from tests import seeds
from tests.platform import PATIENCE_SECONDS, Object, Platform, eventually

pytestmark = pytest.mark.e2e

GPU = "nvidia.com/gpu"
# What the examples ask of a node.
LABELS = {"disktype": "ssd", "cloud.google.com/gke-nodepool": "gpu-node-pool"}
FLYTE = "flyte-job.yaml"
# The examples' names for them.
MANIFESTS = {"cluster-spec.yml": "migrated-cluster", "rapids-dask-cluster.yaml": "rapids-cluster", FLYTE: "flyte-job"}


@pytest.fixture
def here(platform: Platform, seeds_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A namespace, and the cluster's nodes as the examples expect them; the manifests lie where the test is."""
    monkeypatch.setenv("KUBECONFIG", str(platform.kind.kubeconfig_path))
    monkeypatch.chdir(tmp_path)
    for name, manifest in MANIFESTS.items():
        document = yaml.safe_load((seeds.MANIFESTS / f"{manifest}.yaml").read_text())
        Path(name).write_text(yaml.safe_dump(scaled(document, seeds_image)))
    words = ("--docker-server=foo.com", "--docker-username=me", "--docker-password=none", "--docker-email=me@foo.com")
    platform.kubectl("create", "secret", "docker-registry", "regcred", *words)
    nodes = prepared(platform, LABELS, {GPU: "4"})
    with dask.config.set(
        {
            "kubernetes.namespace": platform.namespace,
            "kubernetes.image": seeds_image,
            "kubernetes.count.start": 1,
        }
    ):
        yield platform
    eventually("all is gone", platform.remains, lambda remains: not remains)
    assert nodes == prepared(platform, dict.fromkeys(LABELS), {GPU: None})


def prepared(platform: Platform, labels: Mapping[str, Any], capacity: Mapping[str, Any]) -> list[str]:
    """Give all nodes labels and extended resources, which None takes from them; returns their names."""
    nodes = platform.kubectl("get", "nodes", "-o", "name").split()
    for node in nodes:
        platform.kubectl("patch", node, "--type=merge", "-p", json.dumps({"metadata": {"labels": labels}}))
        status = json.dumps({"status": {"capacity": capacity, "allocatable": capacity}})
        platform.kubectl("patch", node, "--subresource=status", "--type=merge", "-p", status)
    return nodes


def scaled(document: Any, image: str) -> Any:
    """A manifest with the tests' image, one worker, and Pods that ask for what a small node has."""
    small = {"image": image, "replicas": 1, "requests": {"cpu": "100m", "memory": "1G"}}
    if isinstance(document, dict):
        return {name: small.get(name, scaled(value, image)) for name, value in document.items()}
    return [scaled(each, image) for each in document] if isinstance(document, list) else document


@pytest.mark.parametrize("snippet", seeds.snippets(), ids=lambda snippet: snippet.name)
@pytest.mark.usefixtures("here")
def test_python_of_the_documentation(snippet: seeds.Snippet, seeds_image: str) -> None:
    names: dict[str, Any] = {"IMAGE": seeds_image}
    try:
        exec(compile(snippet.program(), snippet.name, "exec"), names)  # noqa: S102 - that is what is tested
        cluster: KubeCluster = names["cluster"]
        if cluster.status != Status.closed:
            with Client(cluster) as client:
                assert client.submit(sum, [1, 2]).result(PATIENCE_SECONDS) == 3
    finally:
        if isinstance(client := names.get("client"), Client):
            client.close()
        for cluster in list(KubeCluster._instances):  # also one that another one has followed
            cluster.close()


def test_job_of_flyte(here: Platform) -> None:
    job: Object = yaml.safe_load(Path(FLYTE).read_text())
    name = job["metadata"]["name"]
    here.apply(job)
    here.wait("condition=Complete", f"daskjob/{name}")
    assert here.get("daskjob", name)["status"]["jobStatus"] == "Successful", "what Flyte looks at"
    assert here.kubectl("logs", f"{name}-runner").strip().endswith("3")
    here.kubectl("delete", "daskjob", name)
