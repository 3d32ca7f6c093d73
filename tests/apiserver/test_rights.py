"""Rights that no request is for, which the audit log of the end-to-end tests therefore cannot tell of."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import yaml

from ci import tools
from tests.apiserver.conftest import ROOT, install_crds
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver

OWNERS = ("DaskCluster", "DaskWorkerGroup", "DaskJob")
# The API server looks for new kinds every ten seconds.
NOTICED_SECONDS = 30.0


def rules() -> list[dict[str, Any]]:
    """The operator's, as the chart gives them in one namespace."""
    command = [
        *(str(tools.ensure(["helm"])["helm"]), "template", "dask", str(ROOT / "chart" / "dask-kubernetes-operator")),
        *("--set=rbac.cluster=false", "--set=watchNamespaces={default}", "--show-only=templates/rbac.yaml"),
    ]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    role: dict[str, Any] = next(one for one in yaml.safe_load_all(rendered) if one["kind"] == "Role")
    return list(role["rules"])


def give(server: ApiServer, user: str, rules: list[dict[str, Any]]) -> None:
    """Give rights in the namespace default to a user."""
    api = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": user, "namespace": "default"}}
    group = "rbac.authorization.k8s.io"
    binding = {
        "roleRef": {"apiGroup": group, "kind": "Role", "name": user},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
    items = [{**api, "kind": "Role", "rules": rules}, {**api, "kind": "RoleBinding", **binding}]
    applied = server.kubectl("apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": items})
    assert applied.returncode == 0, applied.stderr


def own(server: ApiServer, user: str, owner: str) -> str:
    """Have a user make a Pod whose owner is not to be deleted before it; returns what is said against it."""
    reference = {"apiVersion": "kubernetes.dask.org/v1", "kind": owner, "name": "one", "uid": "0-1-2"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "child", "ownerReferences": [{**reference, "blockOwnerDeletion": True}]},
        "spec": {"containers": [{"name": "one", "image": "one"}]},
    }
    return server.kubectl("create", "-f", "-", f"--as={user}", "--dry-run=server", stdin=pod).stderr


def test_owners_take_a_right_to_their_finalizers_where_admission_asks_for_it(
    start_server: Callable[..., AbstractContextManager[ApiServer]],
) -> None:
    all_of_them = rules()
    without = [rule for rule in all_of_them if not any("/finalizers" in name for name in rule["resources"])]
    assert len(without) == len(all_of_them) - 1
    with start_server("--enable-admission-plugins=OwnerReferencesPermissionEnforcement") as server:
        install_crds(server)
        give(server, "operator", all_of_them)
        give(server, "poor", without)
        deadline = time.monotonic() + NOTICED_SECONDS
        while "RESTMapping" in own(server, "operator", OWNERS[0]) and time.monotonic() < deadline:
            time.sleep(0.5)  # there is nothing to wait on
        for owner in OWNERS:
            assert own(server, "operator", owner) == ""
            assert "cannot set blockOwnerDeletion" in own(server, "poor", owner)
