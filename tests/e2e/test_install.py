"""The chart, installed otherwise than the rest of the suite has it."""

from __future__ import annotations

import json
import os
import subprocess

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
