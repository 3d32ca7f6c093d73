"""What the API server accepts and what it refuses, table by table. Nothing is stored: every request is a dry run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver import cases
from tests.apiserver.server import Answer, ApiServer, resource_path

pytestmark = pytest.mark.apiserver

BAD = cases.load("bad.yaml")
GOOD = cases.load("good.yaml")


def name(case: cases.Case) -> str:
    return f"{case.kind}: {case.name}"


def create(server: ApiServer, resource: dict[str, Any]) -> Answer:
    return server.request("POST", resource_path(resource), resource, dryRun="All", fieldValidation="Strict")


def lost(sent: Any, stored: Any, path: str = "") -> list[str]:
    """Where something that was sent is not in what is stored."""
    if isinstance(sent, dict) and isinstance(stored, dict):
        return [where for key, value in sent.items() for where in lost(value, stored.get(key), f"{path}.{key}")]
    if isinstance(sent, list) and isinstance(stored, list) and len(sent) == len(stored):
        pairs = enumerate(zip(sent, stored, strict=True))
        return [where for index, (one, other) in pairs for where in lost(one, other, f"{path}[{index}]")]
    return [] if sent == stored else [path]


def test_there_are_enough_cases() -> None:
    assert len(BAD) >= 100
    assert len(GOOD) >= 60
    assert len({name(case) for case in (*BAD, *GOOD)}) == len(BAD) + len(GOOD)


@pytest.mark.parametrize("kind", sorted(cases.BASES))
def test_the_base_itself_is_accepted(server: ApiServer, kind: str) -> None:
    answer = create(server, cases.BASES[kind])
    assert answer.status == 201, answer.message


@pytest.mark.parametrize("case", BAD, ids=name)
def test_is_refused(server: ApiServer, case: cases.Case) -> None:
    answer = create(server, case.resource())
    assert answer.status in {400, 422}, answer.body
    for part in case.says.split(" … "):
        assert part in answer.message


@pytest.mark.parametrize("case", GOOD, ids=name)
def test_is_accepted_and_kept(server: ApiServer, case: cases.Case) -> None:
    resource = case.resource()
    answer = create(server, resource)
    assert answer.status == 201, answer.message
    assert answer.warnings == ()
    assert lost(resource["spec"], answer.body["spec"]) == []


# --- as people do it: kubectl, with its own defaults ---

MANIFEST = """
apiVersion: kubernetes.dask.org/v1
kind: DaskWorkerGroup
metadata:
  name: strict
spec:
  cluster: demo
  worker:
    replicas: 1{twice}
    spec:
      containers:
        - name: worker
          image: dask
          resources:
            {limits}:
              cpu: 1
"""


def test_kubectl_apply_refuses_limit_for_limits(server: ApiServer) -> None:
    applied = server.kubectl("apply", "-f", "-", stdin=MANIFEST.format(twice="", limits="limit"))
    assert applied.returncode == 1
    assert 'unknown field "spec.worker.spec.containers[0].resources.limit"' in applied.stderr


def test_the_api_server_refuses_replicas_given_twice(server: ApiServer) -> None:
    # kubectl itself makes JSON of YAML and keeps the last, without a word; other clients send what they were given.
    manifest = MANIFEST.format(twice="\n    replicas: 2", limits="limits").encode()
    path = resource_path({"kind": "DaskWorkerGroup"})
    answer = server.request("POST", path, manifest, "application/yaml", dryRun="All", fieldValidation="Strict")
    assert answer.status == 400
    assert 'key "replicas" already set' in answer.message


def test_kubectl_apply_takes_the_manifest_otherwise(server: ApiServer) -> None:
    applied = server.kubectl("apply", "--dry-run=server", "-f", "-", stdin=MANIFEST.format(twice="", limits="limits"))
    assert applied.returncode == 0, applied.stderr
