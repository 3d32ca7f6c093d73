"""The chart, installed otherwise than the rest of the suite has it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator

import pytest
from pytest_kind import KindCluster

from ci import tools
from scripts import images
from tests.conftest import RELEASE
from tests.platform import OPERATOR_NAMESPACE, Object, eventually

pytestmark = pytest.mark.e2e

NAMESPACE = "e2e-single-namespace"


@pytest.mark.usefixtures("operator")
def test_helm_4_installs_it_into_one_namespace_under_a_user_id_of_the_platforms(
    kind_cluster: KindCluster, built: images.Built
) -> None:
    helm = str(tools.ensure(["helm4"])["helm4"])
    environment = {**os.environ, "KUBECONFIG": str(kind_cluster.kubeconfig_path)}
    place = ["single", "--namespace", NAMESPACE]
    values = [
        "--set=rbac.cluster=false",
        f"--set=kopfArgs={{--namespace={NAMESPACE}}}",
        "--set=securityContext.runAsUser=1000650000",  # as OpenShift assigns it: without an entry in /etc/passwd
        "--set=crds.enabled=false",  # the suite's own release has them
    ]
    try:
        install = [
            helm,
            "install",
            *place,
            str(built.chart),
            "--create-namespace",
            "--wait",
            "--timeout=120s",
            *values,
        ]
        subprocess.run(install, env=environment, check=True)
        of_release = ("--namespace", NAMESPACE, "--selector=app.kubernetes.io/instance=single")
        cluster_wide = kind_cluster.kubectl("get", "clusterroles,clusterrolebindings", *of_release, "-o", "name")
        assert cluster_wide == ""
        log = eventually(
            "a controller that has started",
            lambda: kind_cluster.kubectl("logs", *of_release),
            lambda text: "authentication has finished" in text,
        )
        assert "Traceback" not in log
        subprocess.run([helm, "uninstall", *place, "--wait"], env=environment, check=True)
    finally:
        kind_cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


@pytest.fixture
def restricted(kind_cluster: KindCluster) -> Iterator[str]:
    """A namespace that takes no pod that does not satisfy the Pod Security Standard "restricted"."""
    name = f"e2e-helm-test-{secrets.token_hex(3)}"  # the last one may still be on its way out
    kind_cluster.kubectl("create", "namespace", name)
    kind_cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    kind_cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("helm", ["helm", "helm4"])
def test_helm_test_runs_a_job_or_says_what_is_in_the_way(
    kind_cluster: KindCluster, built: images.Built, restricted: str, helm: str
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KUBECONFIG": str(kind_cluster.kubeconfig_path)}
        command = [str(tools.ensure([helm])[helm]), *arguments, "--namespace", restricted]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    # The job is served by the suite's own operator: two that serve one namespace would get in each other's way.
    values = ("--set=replicas=0", "--set=crds.enabled=false", f"--set=tests.image={built.dask}")
    installed = run("install", "tried", str(built.chart), *values)
    assert installed.returncode == 0, installed.stderr
    try:
        tested = run("test", "tried", "--logs", "--timeout=280s")
        assert tested.returncode == 0, tested.stderr
        assert "has computed its result on a Dask cluster of its own." in tested.stdout
        wrong = ("--set=tests.image=registry.invalid/dask:none", "--set=tests.timeoutSeconds=15")
        run("upgrade", "tried", str(built.chart), "--reuse-values", *wrong)
        tested = run("test", "tried")
        assert tested.returncode != 0
        for words in (
            "has not ended within 15 s",
            "registry.invalid/dask:none",
            "Set tests.image to an image with Dask",
        ):
            assert words in tested.stdout + tested.stderr
        left = f"daskjobs,serviceaccounts,roles,rolebindings --namespace={restricted} -o name".split()
        assert "test" not in kind_cluster.kubectl("get", *left)
    finally:
        run("uninstall", "tried", "--wait")


@pytest.mark.usefixtures("operator")
def test_what_is_installed_is_what_is_rendered_and_an_upgrade_to_the_same_changes_nothing(
    kind_cluster: KindCluster, built: images.Built
) -> None:
    helm = str(tools.ensure(["helm"])["helm"])
    environment = {**os.environ, "KUBECONFIG": str(kind_cluster.kubeconfig_path)}
    release = [RELEASE, "--namespace", OPERATOR_NAMESPACE]
    manifest = subprocess.run(
        [helm, "get", "manifest", *release], env=environment, check=True, capture_output=True, text=True
    ).stdout

    def versions() -> dict[tuple[str, str], str]:
        """Of each object what changes when somebody edits it."""
        found = json.loads(kind_cluster.kubectl("get", "-f", "-", "-o", "json", input=manifest))
        return {(one["kind"], one["metadata"]["name"]): _edit(one) for one in found["items"]}

    assert kind_cluster.kubectl("diff", "-f", "-", input=manifest) == ""
    before = versions()
    assert ("Deployment", f"{RELEASE}-dask-kubernetes-operator") in before
    upgrade = [helm, "upgrade", *release, str(built.chart), "--reuse-values", "--wait", "--timeout=120s"]
    subprocess.run(upgrade, env=environment, check=True)
    assert versions() == before


def _edit(obj: Object) -> str:
    """Which edit of an object it is; statuses come and go."""
    meta = obj["metadata"]
    return str(meta.get("generation") or meta["resourceVersion"])
