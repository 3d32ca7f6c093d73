"""Our CRDs over those of an older operator: what was stored stays usable, however bad it is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import yaml

from tests.apiserver import cases
from tests.apiserver.conftest import CRDS, install_crds
from tests.apiserver.server import ApiServer, resource_path
from tests.apiserver.test_updates import MERGE

pytestmark = pytest.mark.apiserver

# Refused today, and yet somebody has one. An older CRD took all of them.
OLD = [
    case
    for case in cases.load("bad.yaml")
    # The API server itself refuses these names, and a request without a spec is no object to keep.
    if "RFC 1123" not in case.says and case.remove != ("/metadata/name",)
]
# What ratcheting does not reach: the type of a value, and a required field. Neither is new in ours.
NOT_RATCHETED = ("must be of type", "Required value", "unknown field")

# The scale subresource has always refused a number of replicas that is no 32 bit integer above zero.
# And a quantity has always been a scalar. The rest is about fields that older CRDs dropped, so that nobody has one.
NEVER_STORED = {
    "idle action without a timeout",
    "idle action of a job's cluster without a timeout",
    "suspend of a job's cluster",
    "cluster with negative replicas",
    "group with negative replicas",
    "more replicas than a scale can say",
    "cores as an object",
}

RATCHETED = [
    case for case in OLD if case.name not in NEVER_STORED and not any(words in case.says for words in NOT_RATCHETED)
]


def loosen(plural: str) -> dict[str, Any]:
    """One of our CRDs, as an operator would write it that validates nothing."""
    crd: dict[str, Any] = yaml.safe_load((CRDS / f"{plural}.yaml").read_text(encoding="utf-8"))
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    [version] = crd["spec"]["versions"]
    version["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version.pop("selectableFields", None)  # which have to be in the schema
    return crd


def install_loose_crds(server: ApiServer) -> None:
    for plural in ("daskautoscalers", "daskclusters", "daskjobs", "daskworkergroups"):
        applied = server.kubectl("apply", "-f", "-", stdin=loosen(plural))
        assert applied.returncode == 0, applied.stderr
    waited = server.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    assert waited.returncode == 0, waited.stderr


@pytest.fixture(scope="module")
def upgraded(
    start_server: Callable[[], AbstractContextManager[ApiServer]],
) -> Iterator[tuple[ApiServer, dict[str, Any]]]:
    """A server on which the old objects were stored before our CRDs came, and the objects by case."""
    with start_server() as server:
        install_loose_crds(server)
        stored: dict[str, Any] = {}
        for number, case in enumerate(RATCHETED):
            namespace = {"metadata": {"name": f"old-{number}"}}
            assert server.request("POST", "/api/v1/namespaces", namespace).status == 201
            resource = case.resource()
            answer = server.request("POST", resource_path(resource, f"old-{number}"), resource)
            assert answer.status == 201, answer.message
            stored[case.name] = answer.body
        install_crds(server)
        yield server, stored


@pytest.mark.parametrize("case", RATCHETED, ids=lambda case: f"{case.kind}: {case.name}")
def test_a_stored_object_can_still_be_changed(upgraded: tuple[ApiServer, dict[str, Any]], case: cases.Case) -> None:
    server, stored = upgraded
    resource = copy.deepcopy(stored[case.name])
    path = resource_path(resource, resource["metadata"]["namespace"], named=True)
    changes: list[dict[str, Any]] = [{"metadata": {"labels": {"seen": "yes"}, "finalizers": ["example.org/f"]}}]
    if case.kind != "DaskAutoscaler" and "replicas" not in case.name and "spec" in resource:
        worker = {"worker": {"replicas": 7}}
        changes.append({"spec": {"cluster": {"spec": worker}} if case.kind == "DaskJob" else worker})
    changes.append({"metadata": {"finalizers": None}})
    for change in changes:
        answer = server.request("PATCH", path, change, MERGE)
        assert answer.status == 200, answer.message
    answer = server.request("PATCH", path + "/status", {"status": {"observedGeneration": 1}}, MERGE)
    assert answer.status == 200, answer.message
    assert server.request("DELETE", path).status == 200


OLD_STATUS: dict[str, dict[str, Any]] = {
    "DaskCluster": {"phase": "Running", "kopf": {"progress": {}}},
    "DaskJob": {"jobStatus": "JobCreated", "startTime": None, "endTime": None, "clusterName": "demo"},
    "DaskAutoscaler": {"kopf": {"dummy": "2026-11-21T08:00:00.000000"}},
}


def test_a_status_of_an_older_operator_is_no_obstacle(
    start_server: Callable[[], AbstractContextManager[ApiServer]],
) -> None:
    with start_server() as server:
        install_loose_crds(server)
        for kind, status in OLD_STATUS.items():
            resource = cases.BASES[kind]
            path = resource_path(resource, named=True) + "/status"
            assert server.request("POST", resource_path(resource), resource).status == 201
            assert server.request("PATCH", path, {"status": status}, MERGE).status == 200
        install_crds(server)
        for kind in OLD_STATUS:
            path = resource_path(cases.BASES[kind], named=True)
            changes = {
                "": {"metadata": {"labels": {"seen": "yes"}}},
                "/status": {"status": {"observedGeneration": 1}},
            }
            for subresource, change in changes.items():
                answer = server.request("PATCH", path + subresource, change, MERGE)
                assert answer.status == 200, answer.message
            assert server.request("DELETE", path).status == 200
