"""The CRDs on a real API server: installed in each way, without a warning."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import yaml

from scripts import schemata
from scripts.render import crds
from tests.apiserver.conftest import CRDS, ROOT
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver

PLURALS = ("daskautoscalers", "daskclusters", "daskjobs", "daskworkergroups")


def plain_crd(plural: str) -> dict[str, Any]:
    return dict(yaml.safe_load((CRDS / f"{plural}.yaml").read_text(encoding="utf-8")))


def get_crd(server: ApiServer, plural: str) -> dict[str, Any]:
    return server.request(
        "GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.kubernetes.dask.org"
    ).body


@pytest.mark.parametrize("way", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_kubectl_applies_the_crds_twice_and_says_nothing(
    start_server: Callable[[], AbstractContextManager[ApiServer]], way: tuple[str, ...]
) -> None:
    with start_server() as server:
        for expected in ("created", "unchanged"):
            applied = server.kubectl("apply", *way, "--warnings-as-errors", "-k", str(CRDS))
            assert applied.returncode == 0, applied.stderr
            assert applied.stderr == ""
            words = {"serverside-applied"} if way else {expected}
            assert {line.rsplit(" ", 1)[1] for line in applied.stdout.splitlines()} == words


@pytest.mark.parametrize("minor", schemata.MINORS)
def test_the_crds_of_every_minor_are_taken_strictly_and_without_a_warning(server: ApiServer, minor: str) -> None:
    for crd in crds.load(ROOT, minor):
        version = get_crd(server, crd.plural)["metadata"]["resourceVersion"]
        body = {**crd.resource, "metadata": {"name": crd.name, "resourceVersion": version}}
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd.name}"
        answer = server.request("PUT", path, body, fieldValidation="Strict", dryRun="All")
        assert (answer.status, answer.warnings) == (200, ()), answer.message


@pytest.mark.parametrize("plural", PLURALS)
def test_a_crd_is_structural_and_served(server: ApiServer, plural: str) -> None:
    conditions = {each["type"]: each["status"] for each in get_crd(server, plural)["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize("plural", PLURALS)
def test_the_api_server_keeps_every_word_of_a_schema(server: ApiServer, plural: str) -> None:
    schemas = [crd["spec"]["versions"][0]["schema"] for crd in (get_crd(server, plural), plain_crd(plural))]
    stored, sent = (schema["openAPIV3Schema"] for schema in schemas)
    assert stored == sent


def test_every_resource_is_in_the_category_dask(server: ApiServer) -> None:
    found = server.kubectl("api-resources", "--categories=dask", "-o", "name").stdout.split()
    assert sorted(found) == [f"{plural}.kubernetes.dask.org" for plural in PLURALS]


@pytest.mark.parametrize(
    ("short", "plural"),
    [("dsk", "daskclusters"), ("dwg", "daskworkergroups"), ("djb", "daskjobs"), ("das", "daskautoscalers")],
)
def test_short_names(server: ApiServer, short: str, plural: str) -> None:
    assert short in get_crd(server, plural)["status"]["acceptedNames"]["shortNames"]
    listed = server.kubectl("get", short, "-o", "json", "--namespace=empty")
    assert json.loads(listed.stdout)["items"] == []


@pytest.mark.parametrize(
    "field",
    [
        "daskcluster.spec.worker",
        "daskcluster.spec.scheduler.service",
        "daskcluster.spec.updateStrategy.rolling",
        "daskjob.spec.job",
        "daskjob.spec.managedBy",
        "daskautoscaler.spec",
        "daskautoscaler.spec.behavior.scaleDown",
    ],
)
def test_kubectl_explains_our_own_fields(server: ApiServer, field: str) -> None:
    explained = server.kubectl("explain", field)
    assert explained.returncode == 0, explained.stderr
    assert "<empty>" not in explained.stdout.partition("FIELDS:")[0]


def test_kubectl_explain_reads_well(server: ApiServer) -> None:
    text = " ".join(server.kubectl("explain", "daskcluster.spec.worker").stdout.split())
    for part in (
        "add a DaskWorkerGroup",
        "replicas <integer>",
        "0 for none",
        "spec <Object> -required-",
        "$(DASK_WORKER_NAME)",
    ):
        assert part in text
