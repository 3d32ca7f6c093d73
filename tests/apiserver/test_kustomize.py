"""The overlays on a real API server, applied as people and GitOps tools apply them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml

from tests.apiserver.conftest import ROOT, await_definitions
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver

OVERLAYS = sorted((ROOT / "kustomize" / "overlays").iterdir())
WAYS = {"client-side": (), "server-side": ("--server-side",)}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_overlay_is_applied_without_a_warning_and_stays_as_it_is(
    start_server: Callable[[], AbstractContextManager[ApiServer]], way: tuple[str, ...]
) -> None:
    with start_server() as server:
        for overlay in OVERLAYS:  # cluster-install comes first, and brings the namespace
            applied = server.kubectl("apply", *way, "--warnings-as-errors", "-k", str(overlay))
            assert (applied.returncode, applied.stderr) == (0, ""), f"{overlay.name}: {applied.stderr}"
            drift = server.kubectl("diff", *way, "-k", str(overlay))
            assert (drift.returncode, drift.stdout) == (0, ""), f"{overlay.name}: {drift.stdout}{drift.stderr}"


def test_one_namespace_alone_takes_no_definitions_and_no_namespace_along(
    start_server: Callable[[], AbstractContextManager[ApiServer]],
) -> None:
    overlay = str(ROOT / "kustomize" / "overlays" / "namespace-install")
    with start_server() as server:
        refused = server.kubectl("apply", "-k", overlay)
        assert refused.returncode != 0
        assert 'namespaces "dask-operator" not found' in refused.stderr, "kubectl says what is missing"
        server.kubectl("create", "namespace", "dask-operator")
        applied = server.kubectl("apply", "-k", overlay)
        assert applied.returncode == 0, applied.stderr
        assert server.kubectl("get", "crd", "-o", "name").stdout == ""


@pytest.mark.parametrize("name", ["install.yaml", "namespace-install.yaml"])
def test_a_flat_manifest_is_applied_in_one_go(
    start_server: Callable[[], AbstractContextManager[ApiServer]], name: str
) -> None:
    with start_server() as server:
        if name == "namespace-install.yaml":
            server.kubectl("create", "namespace", "dask-operator")
        applied = server.kubectl("apply", "--warnings-as-errors", "-f", str(ROOT / "kustomize" / name))
        assert (applied.returncode, applied.stderr) == (0, "")


def test_objects_without_their_definitions_are_told_what_they_lack(
    start_server: Callable[[], AbstractContextManager[ApiServer]], tmp_path: Path
) -> None:
    """Definitions and objects in one overlay: kubectl says what is missing, and the same again does."""
    shutil.copy(ROOT / "examples" / "cluster.yaml", tmp_path)
    crds = os.path.relpath(ROOT / "kustomize" / "crds", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["cluster.yaml", crds]}))
    with start_server() as server:
        refused = server.kubectl("apply", "-k", str(tmp_path))
        assert refused.returncode != 0
        assert 'no matches for kind "DaskCluster" in version "kubernetes.dask.org/v1"' in refused.stderr
        assert "ensure CRDs are installed first" in refused.stderr
        await_definitions(server)
        applied = server.kubectl("apply", "-k", str(tmp_path))
        assert applied.returncode == 0, applied.stderr


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        ("- {op: replace, path: /spec/replicas, value: two}", "spec.replicas"),
        ("- {op: add, path: /spec/template/spec/containers/0/imagePullpolicy, value: Always}", "imagePullpolicy"),
        ("- {op: remove, path: /spec/selector}", "spec.selector"),
        (
            "- {op: replace, path: /spec/template/metadata/labels, value: {app: mine}}",
            "spec.template.metadata.labels",
        ),
    ],
)
def test_a_patch_that_builds_and_is_wrong_is_refused_by_its_field(
    server: ApiServer, patch: str, told: str, tmp_path: Path
) -> None:
    overlay = os.path.relpath(ROOT / "kustomize" / "overlays" / "operator-only", tmp_path)
    patches = [{"target": {"kind": "Deployment"}, "patch": patch}]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [overlay], "patches": patches}))
    refused = server.kubectl("apply", "-k", str(tmp_path))
    assert refused.returncode != 0
    assert told in refused.stderr
