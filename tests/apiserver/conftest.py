"""An API server of each supported version with the CRDs of this repository installed."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from ci.cache import Cache
from ci.kubernetes import binaries
from ci.pins import pins
from tests import gitops
from tests.apiserver.server import ApiServer, running

ROOT = pathlib.Path(__file__).resolve().parents[2]
CRDS = ROOT / "kustomize" / "crds"
DEFINITIONS_SECONDS = 60

# TEST_KUBERNETES=1.36.3 keeps to one version; a version that is not in the cache is built, which takes minutes.
VERSIONS = os.environ.get("TEST_KUBERNETES", ",".join(sorted(pins().kubernetes_versions))).split(",")


@pytest.fixture(scope="session", params=VERSIONS)
def kubernetes_version(request: pytest.FixtureRequest) -> str:
    """Each version of Kubernetes to test with."""
    return str(request.param)


@pytest.fixture(scope="session")
def start_server(
    kubernetes_version: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AbstractContextManager[ApiServer]]:
    """Starts an API server with nothing installed, and with flags, for tests that change what others rely on."""
    folder = binaries(pins().kubernetes(kubernetes_version), Cache())
    return lambda *flags: running(kubernetes_version, folder, tmp_path_factory.mktemp("apiserver"), *flags)


@pytest.fixture(scope="session")
def server(start_server: Callable[..., AbstractContextManager[ApiServer]]) -> Iterator[ApiServer]:
    """An API server that has the CRDs. Tests that store objects use names of their own."""
    with start_server() as started:
        install_crds(started)
        yield started


@pytest.fixture(scope="session")
def gitops_server(start_server: Callable[..., AbstractContextManager[ApiServer]]) -> Iterator[ApiServer]:
    """An API server with the definitions of Argo CD and Flux, and their namespaces; nothing acts on them."""
    with start_server() as server:
        for module in (gitops.ARGOCD, *gitops.FLUX):
            for file in gitops.definitions(module):
                applied = server.kubectl("apply", "--server-side", "-f", str(file))
                assert applied.returncode == 0, applied.stderr
        await_definitions(server)
        for namespace in ("argocd", "flux-system"):
            server.kubectl("create", "namespace", namespace)
        yield server


def install_crds(server: ApiServer) -> None:
    """Installs the CRDs as `kubectl apply -k` does, and waits until they are served."""
    applied = server.kubectl("apply", "-k", str(CRDS))
    assert applied.returncode == 0, applied.stderr
    await_definitions(server)


def await_definitions(server: ApiServer) -> None:
    """Waits until all definitions are served; kubectl gives up on one of which nothing at all is known yet."""
    deadline = time.monotonic() + DEFINITIONS_SECONDS
    while True:
        waited = server.kubectl(
            "wait", "--for=condition=Established", "crd", "--all", f"--timeout={DEFINITIONS_SECONDS}s"
        )
        if waited.returncode == 0:
            return
        assert "accessor error" in waited.stderr, waited.stderr
        assert time.monotonic() < deadline, waited.stderr


def remove_definitions(server: ApiServer) -> None:
    """Deletes all definitions, and every object of theirs, and waits until they are gone."""
    server.kubectl("delete", "crds", "--all", "--wait=false")
    await_no_definitions(server)


def await_no_definitions(server: ApiServer) -> None:
    """Waits until all definitions are gone, which something else has deleted.

    The API server now and then does not see a definition to the end, until it looks at all of them again after five
    minutes, or at once when it is changed.
    """
    deadline = time.monotonic() + DEFINITIONS_SECONDS
    while server.kubectl("get", "crds", "-o", "name").stdout:
        assert time.monotonic() < deadline, server.kubectl("get", "crds", "-o", "yaml").stdout
        time.sleep(1)
        server.kubectl("annotate", "crds", "--all", "--overwrite", f"looked-at={time.monotonic()}")
