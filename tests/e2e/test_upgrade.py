"""From the previous release to this one, and back: the operator changes, the clusters run on."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed import Event
from pytest_kind import KindCluster

from ci import tools
from scripts import images
from scripts.render import crds
from tests.platform import CLUSTER_NAME_LABEL, PATIENCE_SECONDS, Platform, dask_cluster, eventually

pytestmark = pytest.mark.e2e

RELEASE = "dask"
NAMESPACE = "e2e-upgrade"
WAIT = ("--wait", f"--timeout={PATIENCE_SECONDS:.0f}s")


@dataclass(frozen=True)
class Release:
    """A release of the chart, in the hands of one Helm."""

    helm: Path
    kind: KindCluster

    def run(self, verb: str, *arguments: str) -> None:
        """Run Helm."""
        command = [str(self.helm), verb, RELEASE, *arguments, "--namespace", NAMESPACE]
        environment = {**os.environ, "KUBECONFIG": str(self.kind.kubeconfig_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture(scope="module")
def previous() -> images.Built:
    """The chart and the images of the previous release."""
    return images.build(images.PREVIOUS_RELEASE)


@pytest.fixture
def platform(fresh_cluster: KindCluster, built: images.Built, previous: images.Built) -> Iterator[Platform]:
    """A namespace for a release and for what it serves, in a cluster that has nothing else of ours."""
    for one in (built, previous):
        images.load(one, fresh_cluster.name)
    fresh_cluster.kubectl("create", "namespace", NAMESPACE)
    yield Platform(fresh_cluster, NAMESPACE, built.dask, NAMESPACE)
    # The definitions first: what they are of goes with them, while somebody is there to see to it.
    fresh_cluster.kubectl("delete", "crds", "--all")
    fresh_cluster.kubectl("delete", "namespace", NAMESPACE)
    fresh_cluster.kubectl("delete", "clusterroles,clusterrolebindings", "-l", f"app.kubernetes.io/instance={RELEASE}")


@pytest.mark.parametrize(
    ("helm", "values"),
    [("helm", []), ("helm4", ["--set=rbac.cluster=false", f"--set=kopfArgs={{--namespace={NAMESPACE}}}"])],
    ids=["helm3-everywhere", "helm4-in-one-namespace"],
)
def test_clusters_run_on_through_an_upgrade_and_a_rollback(
    platform: Platform, built: images.Built, previous: images.Built, helm: str, values: list[str]
) -> None:
    release = Release(tools.ensure([helm])[helm], platform.kind)

    release.run("install", str(previous.chart), *WAIT, *values)
    older = schemas(platform)
    platform.apply(dask_cluster("kept", built.dask, replicas=1))
    has_workers(platform, 1)
    platform.wait("condition=Available", "deployment/kept-scheduler")
    with platform.client("kept") as client:
        client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
        before = processes(platform)  # a worker that has come up before its scheduler has been restarted by now
        computation = client.submit(lambda: __import__("distributed").Event("rolled back").wait())

        upgrade = (str(built.chart), "--reset-then-reuse-values", f"--set=tests.image={built.dask}")
        release.run("upgrade", *upgrade, *WAIT)
        assert schemas(platform) == {crd.name: schema(crd.resource) for crd in crds.load(images.ROOT)}
        assert schemas(platform) != older
        platform.wait("condition=Ready", "daskcluster/kept")
        release.run("test")
        scale(platform, 2)

        release.run("rollback", "1", *WAIT)
        assert schemas(platform) == older
        scale(platform, 3)

        assert processes(platform).items() >= before.items()
        assert computation.status == "pending"
        Event("rolled back", client=client).set()
        assert computation.result(timeout=PATIENCE_SECONDS) is True


def schema(crd: Any) -> Any:
    """What a definition says of its objects."""
    return crd["spec"]["versions"][0]["schema"]


def schemas(platform: Platform) -> dict[str, Any]:
    """The schemas of the definitions by name."""
    found = json.loads(platform.kubectl("get", "crds", "-o", "json"))["items"]
    return {crd["metadata"]["name"]: schema(crd) for crd in found}


def processes(platform: Platform) -> dict[str, int]:
    """How often the containers of each of the cluster's pods were restarted, by the pod's uid."""
    pods = platform.find("pods", f"{CLUSTER_NAME_LABEL}=kept")
    return {
        pod["metadata"]["uid"]: sum(one["restartCount"] for one in pod["status"].get("containerStatuses", ()))
        for pod in pods
    }


def scale(platform: Platform, replicas: int) -> None:
    """Have the operator show that it is at work."""
    platform.kubectl("scale", "daskworkergroup/kept-default", f"--replicas={replicas}")
    has_workers(platform, replicas)


def has_workers(platform: Platform, count: int) -> None:
    eventually(f"{count} workers", lambda: platform.ready_pods("kept"), lambda names: len(names) == count)
