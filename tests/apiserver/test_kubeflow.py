"""Beside Kubeflow: who may use Dask, with what the page says and with what was patched by hand before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import yaml

from tests import documented
from tests.apiserver.conftest import ROOT
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver

PROFILE = "kubeflow-user-example-com"
EDITOR = f"--as=system:serviceaccount:{PROFILE}:default-editor"
TO_EDIT = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow-edit"
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "create"]}
FIRST_PUBLISHED = '{"rules": [{"apiGroups": ["kubernetes.dask.org"],"resources": ["*"],"verbs": ["*"]}]}'

# What Kubeflow has of PodDefaults, by its names of fields.
OPEN: dict[str, Any] = {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
POD_DEFAULT_SPEC = {
    "type": "object",
    "required": ["selector"],
    "properties": {
        "selector": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "desc": {"type": "string"},
        **dict.fromkeys(("env", "envFrom", "volumeMounts", "volumes", "tolerations", "imagePullSecrets"), OPEN),
    },
}
POD_DEFAULTS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "poddefaults.kubeflow.org"},
    "spec": {
        "group": "kubeflow.org",
        "scope": "Namespaced",
        "names": {"kind": "PodDefault", "plural": "poddefaults", "singular": "poddefault"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": POD_DEFAULT_SPEC}}},
            }
        ],
    },
}


def role(name: str, *rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A ClusterRole."""
    body = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
    return {**body, "rules": list(rules), **more}


def binding(name: str) -> dict[str, Any]:
    """What a profile gives the service account of its notebooks."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": PROFILE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "default-editor", "namespace": PROFILE}],
    }


@pytest.fixture(scope="module")
def kubeflow(start_server: Callable[[], AbstractContextManager[ApiServer]]) -> Iterator[ApiServer]:
    """An API server with a profile of Kubeflow's, whose editor has only what the role to be patched has."""
    with start_server() as server:
        server.kubectl("create", "namespace", PROFILE)
        _apply(server, POD_DEFAULTS)
        labels = {TO_EDIT: "true"}
        edit = role("kubeflow-kubernetes-edit", PODS)
        edit["metadata"]["labels"] = labels
        _apply(server, edit, binding("kubeflow-kubernetes-edit"))
        yield server


def may(server: ApiServer, verb: str, resource: str) -> bool:
    """Whether the profile's editor may do it there."""
    asked = server.kubectl("auth", "can-i", verb, resource, EDITOR, "-n", PROFILE)
    return asked.stdout.strip() == "yes"


def test_the_page_is_right(kubeflow: ApiServer) -> None:
    assert not may(kubeflow, "create", "daskclusters.kubernetes.dask.org")
    environment = {
        "KUBECONFIG": str(kubeflow.kubeconfig),
        "PATH": f"{kubeflow.binaries}:{os.environ['PATH']}",
    }
    documented.run("docs/kubeflow.md", environment=environment)
    assert may(kubeflow, "create", "daskclusters.kubernetes.dask.org"), "the patch by hand still works"
    assert may(kubeflow, "create", "pods"), "and leaves the rest"
    created = kubeflow.kubectl("get", "daskclusters,poddefaults,configmaps", "-n", PROFILE, "-o", "name").stdout
    assert created.split() == [
        "daskcluster.kubernetes.dask.org/simple",
        "poddefault.kubeflow.org/dask-dashboards",
        "configmap/dask-dashboards",
    ]


def test_the_form_that_was_published_first_takes_everything_else_away(kubeflow: ApiServer) -> None:
    patched = kubeflow.kubectl("patch", "clusterrole", "kubeflow-kubernetes-edit", "--patch", FIRST_PUBLISHED)
    assert patched.returncode == 0, patched.stderr
    assert may(kubeflow, "create", "daskclusters.kubernetes.dask.org")
    assert not may(kubeflow, "create", "pods"), "as the page says"


@pytest.mark.parametrize(
    ("sum_", "verbs"),
    [("view", {"get", "list", "watch"}), ("edit", {"create", "patch", "delete"}), ("admin", {"create", "delete"})],
)
def test_the_roles_that_kubeflow_adds_up_have_it_without_a_patch(
    kubeflow: ApiServer, sum_: str, verbs: set[str]
) -> None:
    kubeflow.kubectl("apply", "-k", str(ROOT / "kustomize/overlays/kubeflow"))
    selected = f"rbac.authorization.kubeflow.org/aggregate-to-kubeflow-{sum_}=true"
    found = kubeflow.kubectl("get", "clusterroles", "-l", selected, "-o", "json")
    roles = [one for one in json.loads(found.stdout)["items"] if one["metadata"]["name"].startswith("dask-")]
    given = {
        verb
        for one in roles
        for rule in one["rules"]
        if rule["apiGroups"] == ["kubernetes.dask.org"] and "daskclusters" in rule["resources"]
        for verb in rule["verbs"]
    }
    assert given >= verbs
    assert ("create" in given) == ("create" in verbs)


@pytest.mark.parametrize("wrong", [{"selectors": {}}, {"volumeMount": []}])
def test_a_slip_in_a_pod_default_is_told(kubeflow: ApiServer, wrong: dict[str, Any]) -> None:
    text = (ROOT / "examples/kubeflow/poddefault.yaml").read_text()
    pod_default, _ = yaml.safe_load_all(text)
    pod_default["spec"].update(wrong)
    refused = kubeflow.kubectl("apply", "--dry-run=server", "-n", PROFILE, "-f", "-", stdin=pod_default)
    assert refused.returncode != 0
    assert f"spec.{next(iter(wrong))}" in refused.stderr


def _apply(server: ApiServer, *objects: dict[str, Any]) -> None:
    applied = server.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))
    assert applied.returncode == 0, applied.stderr
