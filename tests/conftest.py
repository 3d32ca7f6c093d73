"""The cluster, the operator in it, and what a person would ask for when a test fails."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_kind import KindCluster

from ci import cluster as clusters
from ci import engine, tools
from scripts import images
from tests.platform import OPERATOR_NAMESPACE, Platform

RELEASE = "dask-operator-e2e"
LOG_LINES = 200


@pytest.fixture(scope="session")
def kind_cluster(request: pytest.FixtureRequest) -> Iterator[KindCluster]:
    """pytest-kind's cluster, with every tool and image from ci/.

    ``--cluster-name`` and ``--keep-cluster`` are pytest-kind's own options. With ``CLUSTER=existing`` the cluster
    that ``KUBECONFIG`` names is used, and neither created nor deleted.
    """
    name = request.config.getoption("cluster_name")
    target = clusters.ensure(name=name, kubernetes=os.environ.get("KUBERNETES"))
    kind = KindCluster(
        target.name,
        target.kubeconfig,
        image=target.node_image,
        kind_path=target.kind,
        kubectl_path=target.kubectl,
    )
    if not clusters.is_existing():
        kind.create()  # pytest-kind takes over the cluster of that name
    yield kind
    if not request.config.getoption("keep_cluster"):
        clusters.down(name)
        engine.stop()


@pytest.fixture(scope="session")
def built() -> images.Built:
    """The chart and the images of this tree."""
    return images.build()


@pytest.fixture(scope="session")
def operator(kind_cluster: KindCluster, built: images.Built) -> Iterator[None]:
    """The operator, installed from the packaged chart as a user would."""
    images.load(built, kind_cluster.name)
    environment = {**os.environ, "KUBECONFIG": str(kind_cluster.kubeconfig_path)}
    helm = str(tools.ensure(["helm"])["helm"])
    place = ["--namespace", OPERATOR_NAMESPACE]
    install = [helm, "upgrade", "--install", RELEASE, str(built.chart), *place, *_beside_others(kind_cluster)]
    subprocess.run([*install, "--create-namespace", "--wait", "--timeout=180s"], env=environment, check=True)
    yield
    subprocess.run([helm, "uninstall", RELEASE, *place, "--wait"], env=environment, check=True)
    kind_cluster.kubectl("delete", "namespace", OPERATOR_NAMESPACE, "--ignore-not-found")


def _beside_others(kind: KindCluster) -> list[str]:
    """On a cluster where another release owns the definitions they are left to it."""
    owner = kind.kubectl(
        *("get", "customresourcedefinition", "daskclusters.kubernetes.dask.org", "--ignore-not-found"),
        *("-o", "jsonpath={.metadata.annotations.meta\\.helm\\.sh/release-name}"),
    )
    return [] if owner in ("", RELEASE) else ["--set=crds.enabled=false"]


@pytest.fixture
def platform(request: pytest.FixtureRequest, kind_cluster: KindCluster, built: images.Built) -> Iterator[Platform]:
    """A namespace of the test's own, told about when the test fails, and deleted after it."""
    request.getfixturevalue("operator")
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:50].strip("-")
    namespace = f"e2e-{name}"
    kind_cluster.kubectl("create", "namespace", namespace)
    yield Platform(kind=kind_cluster, namespace=namespace, dask_image=built.dask)
    kind_cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add events, pod descriptions and the controller's log to the report of a test that failed."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    platform = getattr(item, "funcargs", {}).get("platform")
    if report.when == "call" and report.failed and isinstance(platform, Platform):
        report.sections.extend(_findings(platform))
    return report  # type: ignore[return-value]


def _findings(platform: Platform) -> Iterator[tuple[str, str]]:
    theirs = ("--namespace", platform.namespace)
    ours = ("--namespace", OPERATOR_NAMESPACE)
    kinds = "daskclusters,daskworkergroups,deployments,services,pods"
    for title, args in {
        "objects": ("get", kinds, *theirs, "-o", "wide"),
        "custom resources": ("get", "daskclusters,daskworkergroups", *theirs, "-o", "yaml"),
        "events": ("get", "events", *theirs, "--sort-by=.lastTimestamp"),
        "pods": ("describe", "pods", *theirs),
        "scheduler log": ("logs", *theirs, "-l", "dask.org/component=scheduler", f"--tail={LOG_LINES}"),
        "worker logs": ("logs", *theirs, "-l", "dask.org/component=worker", f"--tail={LOG_LINES // 4}"),
        "controller log": ("logs", *ours, f"deployment/{_deployment(platform)}", f"--tail={LOG_LINES}"),
    }.items():
        try:
            yield title, platform.kind.kubectl(*args, stderr=subprocess.STDOUT)
        except subprocess.CalledProcessError as error:
            yield title, str(error.output)


def _deployment(platform: Platform) -> str:
    args = ("get", "deployments", "--namespace", OPERATOR_NAMESPACE, "-o", "name")
    return Path(str(platform.kind.kubectl(*args)).strip()).name
