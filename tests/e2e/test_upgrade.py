"""A release from a registry: installed, upgraded to from the previous one, and left for that again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed import Event
from pytest_kind import KindCluster

from ci import cluster as clusters
from ci import nodes
from scripts import images
from scripts.render import crds
from tests import documented, releases
from tests.platform import CLUSTER_NAME_LABEL, PATIENCE_SECONDS, Platform, dask_cluster, eventually
from tests.registry import within
from tests.releases import NAME, Place, Site

pytestmark = pytest.mark.e2e

# As on the pages.
RELEASE = "dask"
NAMESPACE = "dask-operator"
WAIT = ("--wait", f"--timeout={PATIENCE_SECONDS:.0f}s")


@dataclass(frozen=True)
class Release:
    """A release of the chart, in the hands of somebody with one Helm."""

    place: Place

    def run(self, verb: str, *arguments: str) -> None:
        """Run Helm."""
        releases.shell(shlex.join(["helm", verb, RELEASE, *arguments, "--namespace", NAMESPACE]), **self.place)


@pytest.fixture(scope="module")
def cluster(fresh_cluster: KindCluster, built: images.Built, released: Site) -> Iterator[KindCluster]:
    """A cluster that has nothing of ours but an image with Dask; the operator's it pulls from the registry."""
    clusters.load([built.dask], fresh_cluster.name)
    (node,) = nodes.of_cluster(fresh_cluster.name)
    with within(node, released.registry):
        yield fresh_cluster


@pytest.fixture(scope="module")
def previous(released: Site) -> list[str]:
    """What Helm is told to install the previous release."""
    return releases.publish_older(released, images.build(images.PREVIOUS_RELEASE))


@pytest.fixture
def platform(cluster: KindCluster, built: images.Built) -> Iterator[Platform]:
    """A namespace for a release and for what it serves."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    yield Platform(cluster, NAMESPACE, built.dask, NAMESPACE)
    cluster.kubectl("delete", "crds", "--all")
    cluster.kubectl("delete", "namespace", NAMESPACE)


@pytest.fixture
def release(platform: Platform, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Release]:
    """A release yet to be installed, with the Helm that is asked for; it is removed before the definitions."""
    own = releases.helm_environment(tmp_path / "own", request.param, platform.kind.kubectl_path)
    variables = {**own, "KUBECONFIG": str(platform.kind.kubeconfig_path)}
    release = Release({"environment": variables, "folder": tmp_path})
    yield release
    release.run("uninstall", "--ignore-not-found", *WAIT)


@pytest.mark.parametrize("release", ["helm"], indirect=True)
def test_chart_by_digest_has_the_node_pull_the_image_that_was_released(
    platform: Platform, released: Site, release: Release
) -> None:
    release.run("install", "--plain-http", released.chart, *WAIT, f"--set=tests.image={platform.dask_image}")
    runs(platform, released.image)
    documented.run("docs/installing.md", "Trying it", **release.place)
    platform.apply(dask_cluster("computing", platform.dask_image, replicas=1))
    platform.wait("condition=Ready", "daskcluster/computing")
    with platform.client("computing") as client:
        assert client.submit(sum, (1, 2)).result(timeout=PATIENCE_SECONDS) == 3


@pytest.mark.parametrize("release", ["helm4"], indirect=True)
def test_chart_from_the_index_is_verified_and_runs_the_same_image(
    platform: Platform, released: Site, release: Release
) -> None:
    options = (
        "--verify",
        f"--keyring={released.pages / NAME}.gpg",
        f"--set=tests.image={platform.dask_image}",
        *WAIT,
    )
    documented.run(
        "chart/dask-kubernetes-operator/README.md",
        "Installing",
        replace=released.replacements("https://helm.dask.org", **{"dask dask/": f"{shlex.join(options)} dask dask/"}),
        **release.place,
    )
    runs(platform, released.image)


@pytest.mark.parametrize(
    ("release", "values"),
    [("helm", []), ("helm4", ["--set=rbac.cluster=false", f"--set=kopfArgs={{--namespace={NAMESPACE}}}"])],
    indirect=["release"],
    ids=["helm3-everywhere", "helm4-in-one-namespace"],
)
def test_clusters_run_on_through_an_upgrade_and_a_rollback(
    platform: Platform, released: Site, previous: list[str], release: Release, values: list[str]
) -> None:
    release.run("install", *previous, *WAIT, *values)
    older = schemas(platform)
    platform.apply(dask_cluster("kept", platform.dask_image, replicas=1))
    has_workers(platform, 1)
    platform.wait("condition=Available", "deployment/kept-scheduler")
    with platform.client("kept") as client:
        client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
        before = processes(platform)  # a worker that has come up before its scheduler has been restarted by now
        computation = client.submit(lambda: __import__("distributed").Event("rolled back").wait())

        kept = ("--reset-then-reuse-values", f"--set=tests.image={platform.dask_image}")
        release.run("upgrade", "--plain-http", released.chart, *kept, *WAIT)
        runs(platform, released.image)
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


def runs(platform: Platform, image: str) -> None:
    """See that the operator's pods, and no others of its, run an image that their node has pulled by that digest."""

    def found() -> list[str]:
        pods = platform.find("pods", f"app.kubernetes.io/name={NAME}")
        return [one["imageID"] for pod in pods for one in pod["status"]["containerStatuses"]]

    eventually(f"one pod that runs {image}", found, lambda images: images == [image])


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
