"""docs/pinning.md and docs/installing.md on a real API server, with a release in a registry and in an index."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from ci.cache import Cache
from ci.kubernetes import binaries
from ci.pins import pins
from tests import documented, releases
from tests.apiserver.conftest import remove_definitions
from tests.apiserver.server import ApiServer, running
from tests.releases import NAME, NO_DIGEST, VERSION, Place, Site

pytestmark = pytest.mark.apiserver

NAMESPACE = "dask-operator"
OF_RELEASE = "--selector=app.kubernetes.io/instance=dask"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A release whose image nobody has pushed: no node is there to run it."""
    with releases.published(tmp_path_factory.mktemp("release"), releases.pretend_image) as site:
        yield site


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that each test leaves empty."""
    kubernetes = pins().kubernetes(None)
    with running(kubernetes.version, binaries(kubernetes, Cache()), tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture
def reader(server: ApiServer, request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Place]:
    """A folder of somebody's with one Helm, who is the API server's administrator."""
    own = releases.helm_environment(tmp_path / "own", request.param, server.binaries / "kubectl")
    variables = {**own, "KUBECONFIG": str(server.kubeconfig)}
    yield {"environment": variables, "folder": tmp_path}
    releases.shell(f"helm uninstall --ignore-not-found -n {NAMESPACE} dask", variables)
    remove_definitions(server)


def image(server: ApiServer) -> str:
    """The image that the operator is to run."""
    path = "jsonpath={.items[*].spec.template.spec.containers[0].image}"
    return server.kubectl("get", "deployments", f"--namespace={NAMESPACE}", OF_RELEASE, "-o", path).stdout


@pytest.mark.parametrize("reader", ["helm", "helm4"], indirect=True)
def test_page_on_pinning_is_right(server: ApiServer, reader: Place, published: Site, tmp_path: pathlib.Path) -> None:
    index = published.replacements("https://helm.dask.org")
    pinned = f"{published.registry.host}/dask/{NAME}:{VERSION}@{NO_DIGEST}"
    documented.run("docs/pinning.md", "By version", replace={**published.in_registry, **index}, **reader)
    assert image(server) == pinned
    chart = {"sha256:CHART": published.digest("chart")}
    said = documented.run("docs/pinning.md", "By digest", replace={**published.in_registry, **chart}, **reader)
    assert NO_DIGEST in said[0]
    (tmp_path / f"{NAME}.gpg").symlink_to(published.pages / f"{NAME}.gpg")
    said = documented.run("docs/pinning.md", "Installing only what is signed", **reader)
    assert "REVISION: 4" in said[0]
    assert image(server) == pinned


@pytest.mark.parametrize("reader", ["helm4"], indirect=True)
def test_chart_that_is_not_signed_by_the_key_is_not_installed(
    server: ApiServer, reader: Place, published: Site, tmp_path: pathlib.Path
) -> None:
    (tmp_path / f"{NAME}.gpg").write_bytes(b"")
    releases.shell(f"helm repo add dask {published.url}", **reader)
    with pytest.raises(AssertionError, match="signature made by unknown entity"):
        documented.run("docs/pinning.md", "Installing only what is signed", **reader)
    assert image(server) == ""


@pytest.mark.parametrize("reader", ["helm"], indirect=True)  # test_helm.py has both take over definitions
def test_page_on_installing_is_right(server: ApiServer, reader: Place, published: Site) -> None:
    documented.run(
        "docs/installing.md", "Installing", replace=published.replacements("https://helm.dask.org"), **reader
    )
    pinned = image(server)
    assert pinned.endswith(NO_DIGEST)
    documented.run("docs/installing.md", "Upgrading and going back", **reader)
    documented.run("docs/installing.md", "Removing", **reader)
    assert server.kubectl("get", "crds", "-o", "name").stdout == ""

    documented.run("docs/installing.md", "Without Helm in the cluster", **reader)
    assert image(server) == pinned
    template = f"helm template -n {NAMESPACE} dask dask/{NAME} --set crds.enabled=false"
    releases.shell(f"{template} | kubectl delete -f -", **reader)

    documented.run("docs/installing.md", "They are somebody else's", **reader)
    assert image(server) == pinned
    releases.shell(f"helm uninstall -n {NAMESPACE} dask", **reader)
    documented.run("docs/installing.md", "The chart upgrades them from now on", **reader)
    assert image(server) == pinned


@pytest.mark.parametrize("reader", ["helm4"], indirect=True)
def test_operator_for_one_namespace_is_installed_as_the_chart_says(
    server: ApiServer, reader: Place, published: Site
) -> None:
    server.kubectl("create", "namespace", "my-namespace")
    releases.shell(f"helm repo add dask {published.url}", **reader)
    documented.run("chart/dask-kubernetes-operator/README.md", "One namespace, or some", **reader)
    assert server.kubectl("get", "clusterroles,clusterrolebindings", OF_RELEASE, "-o", "name").stdout == ""
    assert server.kubectl("get", "roles", "--namespace=my-namespace", OF_RELEASE, "-o", "name").stdout != ""
    releases.shell("helm uninstall -n my-namespace dask", **reader)
