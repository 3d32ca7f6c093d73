"""The chart's CRDs through Helm: installed, kept, and small enough for Helm's own record."""

from __future__ import annotations

import base64
import os
import pathlib
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from ci import tools
from tests.apiserver.conftest import ROOT
from tests.apiserver.server import ApiServer
from tests.apiserver.test_install import PLURALS, get_crd

pytestmark = pytest.mark.apiserver

CHART = ROOT / "chart" / "dask-kubernetes-operator"
SECRETS = "/api/v1/namespaces/default/secrets"


@pytest.fixture(scope="module")
def helm() -> pathlib.Path:
    return tools.ensure(["helm"])["helm"]


def test_a_release_is_installed_recorded_in_little_and_leaves_its_crds(
    start_server: Callable[[], AbstractContextManager[ApiServer]], helm: pathlib.Path
) -> None:
    with start_server() as server:

        def run(*arguments: str) -> None:
            environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}
            done = subprocess.run(
                [str(helm), *arguments], env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr

        run("install", "dask", str(CHART))
        secrets = server.request("GET", SECRETS).body["items"]
        sizes = [
            len(base64.b64decode(each["data"]["release"])) for each in secrets if "release" in each.get("data", {})
        ]
        assert len(sizes) == 1
        assert sizes[0] < 400_000
        assert {get_crd(server, plural)["kind"] for plural in PLURALS} == {"CustomResourceDefinition"}
        run("upgrade", "dask", str(CHART), "--set=crds.annotations.example=yes")
        assert get_crd(server, "daskclusters")["metadata"]["annotations"]["example"] == "yes"
        run("uninstall", "dask")
        assert get_crd(server, "daskclusters")["kind"] == "CustomResourceDefinition"
