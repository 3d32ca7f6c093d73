"""The cluster, the operator in it, and what a person would ask for when a test fails."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest
from pytest_kind import KindCluster

from ci import cluster as clusters
from ci import engine, tools
from scripts import images
from tests.platform import CUSTOM_RESOURCES, OPERATOR_NAMESPACE, Findings, Object, Platform, restricted_namespace

RELEASE = "dask-operator-e2e"
LOG_LINES = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    """What is not the same in each run of a suite."""
    parser.addoption("--single-namespace", action="store_true", help="install an operator into each test's namespace")
    parser.addoption("--record-health", action="store_true", help="have e2e tests write samples of health checks")
    parser.addoption(
        "--autoscaling-seconds",
        type=float,
        default=30,
        help="how long a GitOps tool has to leave alone what is scaled",
    )


@pytest.fixture(scope="session")
def kind_cluster(request: pytest.FixtureRequest) -> Iterator[KindCluster]:
    """pytest-kind's cluster, with every tool and image from ci/.

    ``--cluster-name`` and ``--keep-cluster`` are pytest-kind's own options. With ``CLUSTER=existing`` the cluster
    that ``KUBECONFIG`` names is used, and neither created nor deleted.
    """
    name = request.config.getoption("cluster_name")
    yield _kind(name)
    if not request.config.getoption("keep_cluster"):
        clusters.down(name)
        engine.stop()


@pytest.fixture(scope="module")
def fresh_cluster(request: pytest.FixtureRequest) -> Iterator[KindCluster]:
    """A cluster in which nothing has been installed yet, for what cannot be beside the suite's own release."""
    with new_cluster(request, "fresh") as kind:
        yield kind


@contextmanager
def new_cluster(request: pytest.FixtureRequest, suffix: str) -> Iterator[KindCluster]:
    """A cluster in which nothing has been installed yet, named after that of the suite."""
    if clusters.is_existing():
        pytest.skip("CLUSTER=existing is one cluster, and this test needs another one, with nothing in it")
    name = f"{request.config.getoption('cluster_name')}-{suffix}"
    clusters.down(name)  # one that was kept to be looked into
    try:
        yield _kind(name)
    finally:
        if not request.config.getoption("keep_cluster"):
            clusters.down(name)


def _kind(name: str) -> KindCluster:
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
    return kind


@pytest.fixture(scope="session")
def built() -> images.Built:
    """The chart and the images of this tree."""
    return images.build()


@pytest.fixture(scope="session")
def operator(request: pytest.FixtureRequest, kind_cluster: KindCluster, built: images.Built) -> Iterator[None]:
    """The operator, installed from the packaged chart as a user would, where only restricted Pods are admitted."""
    images.load(built, kind_cluster.name)
    values = _beside_others(kind_cluster)
    if request.config.getoption("single_namespace"):
        values += ["--set=rbac.cluster=false", f"--set=kopfArgs={{--namespace={OPERATOR_NAMESPACE}}}"]
    kind_cluster.kubectl("apply", "-f", "-", input=json.dumps(restricted_namespace(OPERATOR_NAMESPACE)))
    with installed(kind_cluster, built, OPERATOR_NAMESPACE, *values):
        yield
    kind_cluster.kubectl("delete", "namespace", OPERATOR_NAMESPACE, "--ignore-not-found")


@contextmanager
def installed(kind: KindCluster, built: images.Built, namespace: str, *values: str) -> Iterator[None]:
    """The packaged chart as a release in a namespace, which is made if it is not there."""
    environment = {**os.environ, "KUBECONFIG": str(kind.kubeconfig_path)}
    helm = str(tools.ensure(["helm"])["helm"])
    place = ["--namespace", namespace]
    install = [helm, "upgrade", "--install", RELEASE, str(built.chart), *place, *values]
    subprocess.run([*install, "--create-namespace", "--wait", "--timeout=180s"], env=environment, check=True)
    try:
        yield
    finally:
        subprocess.run([helm, "uninstall", RELEASE, *place, "--wait"], env=environment, check=True)


@contextmanager
def reconfigured(platform: Platform, built: images.Built, values: Object) -> Iterator[None]:
    """The release that looks after a namespace, with values of a test's own until it ends."""
    environment = {**os.environ, "KUBECONFIG": str(platform.kind.kubeconfig_path)}
    release = [RELEASE, "--namespace", platform.operator_namespace, "--wait", "--timeout=180s"]
    helm = str(tools.ensure(["helm"])["helm"])
    upgrade = [helm, "upgrade", *release, str(built.chart), "--reuse-values", "--values=-"]
    subprocess.run(upgrade, env=environment, check=True, input=json.dumps(values), text=True)
    try:
        yield
    finally:
        subprocess.run([helm, "rollback", *release], env=environment, check=True)


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
    with own_namespace(request, kind_cluster, built) as platform:
        yield platform


@contextmanager
def own_namespace(
    request: pytest.FixtureRequest, kind_cluster: KindCluster, built: images.Built
) -> Iterator[Platform]:
    """A namespace for what asks for it: a test, or a whole module of them."""
    request.getfixturevalue("operator")
    name = re.sub(r"[^a-z0-9]+", "-", Path(request.node.name).stem.removeprefix("test_"))[:50].strip("-")
    namespace = f"e2e-{name}-{secrets.token_hex(3)}"  # one of that name may still be on its way out
    kind_cluster.kubectl("create", "namespace", namespace)
    own: AbstractContextManager[None] = nullcontext()
    operator_namespace = OPERATOR_NAMESPACE
    if request.config.getoption("single_namespace"):
        # Next to the one of the session, which is told to look elsewhere.
        values = ("rbac.cluster=false", f"kopfArgs={{--namespace={namespace}}}", "crds.enabled=false")
        own = installed(kind_cluster, built, namespace, *(f"--set={value}" for value in values))
        operator_namespace = namespace
    with own:
        yield Platform(kind_cluster, namespace, built.dask, operator_namespace)
    kind_cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add events, pod descriptions and the controller's log to the report of a test that failed."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.when == "call" and report.failed:
        for fixture in getattr(item, "funcargs", {}).values():
            if isinstance(fixture, Platform):
                report.sections.extend(findings(fixture))
            elif isinstance(fixture, Findings):
                report.sections.extend(fixture.findings())
    return report  # type: ignore[return-value]


def findings(platform: Platform) -> Iterator[tuple[str, str]]:
    """What is in a namespace, and what the operator that looks after it says, by title."""
    theirs = ("--namespace", platform.namespace)
    ours = ("--namespace", platform.operator_namespace)
    kinds = f"{CUSTOM_RESOURCES},deployments,services,pods"
    for title, args in {
        "objects": ("get", kinds, *theirs, "-o", "wide"),
        "custom resources": ("get", CUSTOM_RESOURCES, *theirs, "-o", "yaml"),
        "events": ("get", "events", *theirs, "--sort-by=.lastTimestamp"),
        "pods": ("describe", "pods", *theirs),
        "scheduler log": ("logs", *theirs, "-l", "dask.org/component=scheduler", f"--tail={LOG_LINES}"),
        "worker logs": ("logs", *theirs, "-l", "dask.org/component=worker", f"--tail={LOG_LINES // 4}"),
        "controller log": (
            "logs",
            *ours,
            "-l",
            "app.kubernetes.io/name=dask-kubernetes-operator",
            f"--tail={LOG_LINES}",
        ),
    }.items():
        try:
            yield title, platform.kind.kubectl(*args, stderr=subprocess.STDOUT)
        except subprocess.CalledProcessError as error:
            yield title, str(error.output)
