"""The chart's CRDs through Helm: installed, upgraded, handed over, kept, and small enough for Helm's own record."""

from __future__ import annotations

import base64
import gzip
import json
import os
import pathlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ci import tools
from ci.cache import Cache
from ci.kubernetes import binaries
from ci.pins import pins
from scripts import images
from tests.apiserver import cases
from tests.apiserver.conftest import CRDS, ROOT, await_no_definitions, remove_definitions
from tests.apiserver.server import ApiServer, resource_path, running
from tests.apiserver.test_install import PLURALS, get_crd, plain_crd

pytestmark = pytest.mark.apiserver

CHART = ROOT / "chart" / "dask-kubernetes-operator"
SECRETS = "/api/v1/namespaces/default/secrets"
SERVED_SECONDS = 30.0
LARGEST_RECORD_BYTES = 400_000
CLUSTER = cases.BASES["DaskCluster"]


@dataclass(frozen=True)
class Site:
    """An API server in the hands of one Helm."""

    server: ApiServer
    helm: pathlib.Path
    applies_on_the_server: bool

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KUBECONFIG": str(self.server.kubeconfig)}
        command = [str(self.helm), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def do(self, *arguments: str) -> str:
        """Runs Helm and returns what it says."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refusal(self, *arguments: str) -> str:
        """Runs Helm and returns why it failed."""
        done = self.run(*arguments)
        assert done.returncode != 0
        return done.stderr

    def owner(self, plural: str = "daskclusters") -> str | None:
        """The release that owns a definition."""
        annotations: dict[str, str] = get_crd(self.server, plural)["metadata"].get("annotations", {})
        return annotations.get("meta.helm.sh/release-name")

    def schema(self, plural: str = "daskautoscalers") -> Any:
        return get_crd(self.server, plural)["spec"]["versions"][0]["schema"]

    def has_definitions(self) -> bool:
        return all(get_crd(self.server, plural)["kind"] == "CustomResourceDefinition" for plural in PLURALS)

    def create_cluster(self) -> None:
        """Creates a cluster: the API server serves a definition some time after it has taken it."""
        give_up_at = time.monotonic() + SERVED_SECONDS
        answer = self.server.request("POST", resource_path(CLUSTER), CLUSTER)
        while answer.status == 404 and time.monotonic() < give_up_at:
            time.sleep(0.1)
            answer = self.server.request("POST", resource_path(CLUSTER), CLUSTER)
        assert answer.status == 201, answer.message

    def has_cluster(self) -> bool:
        return self.server.request("GET", resource_path(CLUSTER, named=True)).status == 200


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that each test leaves as it was: empty. Of one version: what is told apart here are the Helms."""
    version = pins().kubernetes(None)
    with running(version.version, binaries(version, Cache()), tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture(params=["helm", "helm4"])
def site(bare: ApiServer, request: pytest.FixtureRequest) -> Iterator[Site]:
    yield Site(bare, tools.ensure([request.param])[request.param], applies_on_the_server=request.param == "helm4")
    ours = "clusterroles,clusterrolebindings,roles,rolebindings,deployments,serviceaccounts"
    remove_definitions(bare)
    for what in (["secrets", "--all"], [ours, "--selector=app.kubernetes.io/part-of=dask"]):
        deleted = bare.kubectl("delete", *what)  # and waits for it
        assert deleted.returncode == 0, deleted.stderr


@pytest.fixture(scope="module")
def previous_chart(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The chart of the previous release, as it is in git."""
    folder = tmp_path_factory.mktemp("previous")
    path = CHART.relative_to(ROOT)
    archive = ["git", "archive", images.PREVIOUS_RELEASE, str(path)]
    packed = subprocess.run(archive, cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract"], cwd=folder, input=packed, check=True)
    return folder / path


def test_a_release_is_recorded_in_little(site: Site) -> None:
    site.do("install", "dask", str(CHART))
    (secret,) = (
        each
        for each in site.server.request("GET", SECRETS).body["items"]
        if each["type"].startswith("helm.sh/release")
    )
    record = base64.b64decode(secret["data"]["release"])
    assert len(record) < LARGEST_RECORD_BYTES
    chart = json.loads(gzip.decompress(base64.b64decode(record)))["chart"]
    assert {"README.md"} <= {each["name"] for each in chart["files"]}, "all of the chart is in the record"
    assert chart["schema"]
    assert len(chart["templates"]) > len(PLURALS)


def test_an_upgrade_and_a_rollback_are_of_the_definitions_too(site: Site, previous_chart: pathlib.Path) -> None:
    site.do("install", "dask", str(previous_chart))
    older = site.schema()
    site.do("upgrade", "dask", str(CHART), "--reset-then-reuse-values", "--set=crds.annotations.example=yes")
    assert site.schema() == plain_crd("daskautoscalers")["spec"]["versions"][0]["schema"] != older
    assert get_crd(site.server, "daskclusters")["metadata"]["annotations"]["example"] == "yes"
    site.do("rollback", "dask", "1")
    assert site.schema() == older


def test_an_uninstall_leaves_definitions_and_objects_to_a_release_of_the_same_name(site: Site) -> None:
    site.do("install", "dask", str(CHART))
    site.create_cluster()
    said = site.do("uninstall", "dask")
    assert "kept due to the resource policy" in said
    assert site.has_definitions()
    assert site.has_cluster()
    site.do("install", "dask", str(CHART))
    assert site.has_cluster()


def test_a_release_of_another_name_has_to_say_that_it_takes_them_over(site: Site) -> None:
    site.do("install", "dask", str(CHART))
    site.create_cluster()
    site.do("uninstall", "dask")
    said = site.refusal("install", "other", str(CHART))
    assert "invalid ownership metadata" in said
    assert "daskautoscalers.kubernetes.dask.org" in said
    site.do("install", "other", str(CHART), "--take-ownership")
    assert {site.owner(plural) for plural in PLURALS} == {"other"}
    assert site.has_cluster()


def test_definitions_go_with_the_release_and_all_objects_with_them_when_they_are_not_to_be_kept(site: Site) -> None:
    said = site.do("install", "dask", str(CHART), "--set=crds.keep=false")
    assert "`helm uninstall` deletes the custom resource definitions" in said
    site.create_cluster()
    site.do("uninstall", "dask")
    await_no_definitions(site.server)
    assert not site.has_cluster()


def test_definitions_that_were_applied_apart_stay_apart(site: Site) -> None:
    applied = site.server.kubectl("apply", "--server-side", "-f", str(CRDS / "crds.yaml"))
    assert applied.returncode == 0, applied.stderr
    before = [get_crd(site.server, plural)["metadata"]["generation"] for plural in PLURALS]
    assert "invalid ownership metadata" in site.refusal("install", "dask", str(CHART))
    site.do("install", "dask", str(CHART), "--set=crds.enabled=false")
    assert [get_crd(site.server, plural)["metadata"]["generation"] for plural in PLURALS] == before
    assert site.owner() is None
    site.do("uninstall", "dask")
    assert site.has_definitions()


@pytest.mark.parametrize("way", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_older_definitions_that_were_applied_apart_are_taken_over_and_upgraded(
    site: Site, previous_chart: pathlib.Path, way: tuple[str, ...]
) -> None:
    older = site.do("template", "old", str(previous_chart), "--include-crds", "--show-only=templates/crds/*.yaml")
    applied = site.server.kubectl("apply", *way, "-f", "-", stdin=older)
    assert applied.returncode == 0, applied.stderr
    force = ["--force-conflicts"] if site.applies_on_the_server else []
    site.do("install", "dask", str(CHART), "--take-ownership", *force)
    assert site.schema() == plain_crd("daskautoscalers")["spec"]["versions"][0]["schema"]
    site.do("upgrade", "dask", str(CHART))
    site.do("uninstall", "dask")
    assert site.has_definitions()


@pytest.mark.parametrize("way", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_what_is_rendered_can_be_piped_into_kubectl(site: Site, way: tuple[str, ...]) -> None:
    rendered = site.do("template", "dask", str(CHART), "--include-crds")
    for words in ({"created"}, {"unchanged", "configured"}):
        applied = site.server.kubectl("apply", *way, "-f", "-", stdin=rendered)
        assert applied.returncode == 0, applied.stderr
        said = {line.rsplit(" ", 1)[1] for line in applied.stdout.splitlines()}
        assert said <= ({"serverside-applied"} if way else words), applied.stdout
    assert site.has_definitions()
    assert json.loads(site.server.kubectl("get", "pods", "-o", "json").stdout)["items"] == [], "no test runs"
