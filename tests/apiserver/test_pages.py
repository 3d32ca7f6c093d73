"""Pages of the documentation, their commands run as they stand, as far as no Pod has to run for them."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest
import yaml

from tests import documented
from tests.apiserver.conftest import ROOT
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver

NAMESPACE = "pages"


@pytest.fixture
def reader(server: ApiServer) -> dict[str, str]:
    """The variables of an administrator with kubectl."""
    return {"PATH": f"{server.binaries}:{os.environ['PATH']}", "KUBECONFIG": str(server.kubeconfig)}


@pytest.fixture
def in_namespace(server: ApiServer, reader: dict[str, str], tmp_path: pathlib.Path) -> dict[str, str]:
    """The same in a namespace of the test's own, with the cluster and the job that the pages speak of."""
    config = yaml.safe_load(pathlib.Path(reader["KUBECONFIG"]).read_text())
    for context in config["contexts"]:
        context["context"]["namespace"] = NAMESPACE
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    do(server, "create", "namespace", NAMESPACE)
    do(server, "apply", "--namespace", NAMESPACE, "-f", str(ROOT / "examples" / "cluster.yaml"))
    job = yaml.safe_load((ROOT / "tests" / "apiserver" / "manifests" / "simple-job.yaml").read_text())
    job["metadata"]["namespace"] = NAMESPACE
    do(server, "apply", "-f", "-", stdin=job)
    has(server, "daskcluster/simple", "Ready", "ClusterReady")
    has(server, "daskjob/simple-job", "Complete", "Completed")
    return {**reader, "KUBECONFIG": str(tmp_path / "kubeconfig")}


def do(server: ApiServer, *arguments: str, stdin: Any = None) -> None:
    done = server.kubectl(*arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr


def has(server: ApiServer, target: str, kind: str, reason: str) -> None:
    """Write a condition, as the operator would."""
    condition: dict[str, Any] = {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": "all is well",
        "lastTransitionTime": "2026-11-21T08:00:00Z",
    }
    patch = yaml.safe_dump({"status": {"conditions": [condition]}})
    do(server, "patch", target, "--namespace", NAMESPACE, "--subresource=status", "--type=merge", "--patch", patch)


def test_conditions_are_read_as_documented(in_namespace: dict[str, str]) -> None:
    documented.run("docs/status.md", environment=in_namespace)
    described, conditions = documented.run("docs/troubleshooting.md", environment=in_namespace)
    assert "ClusterReady" in described
    assert conditions == "Ready=True ClusterReady: all is well\n"


def test_rights_are_given_as_documented(server: ApiServer, reader: dict[str, str]) -> None:
    said = documented.run("docs/rights.md", replace={"team-a": "default"}, environment=reader)
    assert said[-1] == "yes\n"
    asked = ("auth", "can-i", "create", "daskclusters", "--as=system:serviceaccount:default:default")
    assert server.kubectl(*asked).stdout == "no\n"
