"""docs/migration.md as far as no Pod has to run: the definitions by another hand than Helm's, and the way back."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from ci.cache import Cache
from ci.kubernetes import binaries
from ci.pins import pins
from tests import documented, public, releases
from tests.apiserver import cases
from tests.apiserver.conftest import ROOT, remove_definitions
from tests.apiserver.server import ApiServer, resource_path, running
from tests.apiserver.test_install import PLURALS, get_crd, plain_crd

pytestmark = pytest.mark.apiserver

CHART = ROOT / "chart" / "dask-kubernetes-operator"
CLUSTER = cases.BASES["DaskCluster"]
OLD = "2026.3.0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that each test leaves empty."""
    kubernetes = pins().kubernetes(None)
    with running(kubernetes.version, binaries(kubernetes, Cache()), tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture
def reader(server: ApiServer, request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[dict[str, str]]:
    """The variables of somebody with one Helm, who is the API server's administrator."""
    own = releases.helm_environment(tmp_path / "reader", request.param, server.binaries / "kubectl")
    variables = {**own, "KUBECONFIG": str(server.kubeconfig)}
    yield variables
    releases.shell("helm uninstall --ignore-not-found -n dask-operator dask", variables)
    remove_definitions(server)


def schema(crd: dict[str, Any]) -> Any:
    return crd["spec"]["versions"][0]["schema"]


@pytest.mark.parametrize("reader", ["helm4"], indirect=True)
def test_definitions_of_the_public_chart_are_replaced_by_hand(server: ApiServer, reader: dict[str, str]) -> None:
    applied = server.kubectl("create", "-f", str(public.chart() / "crds"))
    assert applied.returncode == 0, applied.stderr
    documented.run(
        "docs/migration.md",
        "Definitions that Helm is not to have",
        replace={"dask-kubernetes-operator-VERSION.tgz": str(CHART)},
        environment=reader,
    )
    for plural in PLURALS:
        assert schema(get_crd(server, plural)) == schema(plain_crd(plural))


@pytest.mark.parametrize("reader", ["helm"], indirect=True)  # what goes wrong does so with version 3
def test_way_back_restores_the_definitions_and_keeps_what_is_there(
    server: ApiServer, reader: dict[str, str], tmp_path: pathlib.Path
) -> None:
    shell = f"""
    helm install --create-namespace -n dask-operator dask {public.chart()}
    helm upgrade -n dask-operator dask {CHART} --reset-values --take-ownership
    kubectl wait --for=condition=Established crd --all --timeout=30s
    """
    releases.shell(shell, reader)
    answer = server.request("POST", resource_path(CLUSTER), CLUSTER)
    assert answer.status == 201, answer.message
    pages = tmp_path / "pages"
    releases.shell(f"helm package {public.chart()} --version {OLD} -d {pages} && helm repo index {pages}", reader)
    with releases.served(pages) as url:
        releases.shell(f"helm repo add dask {url}", reader)
        documented.run(
            "docs/migration.md",
            "Going back",
            replace={"THE_OLD_ONE": OLD},
            environment=reader,
            folder=tmp_path,
        )
    ours = [plural for plural in PLURALS if schema(get_crd(server, plural)) == schema(plain_crd(plural))]
    assert ours == []
    assert server.request("GET", resource_path(CLUSTER, named=True)).status == 200
