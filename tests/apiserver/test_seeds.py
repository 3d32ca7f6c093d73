"""The manifests that people have: those of the public documentation, complete, each as it is printed there."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml

from tests.apiserver.server import ApiServer, resource_path
from tests.apiserver.test_admission import lost

pytestmark = pytest.mark.apiserver

FOLDER = pathlib.Path(__file__).parent / "manifests"
FILES = sorted(FOLDER.glob("*.yaml"))


def read(file: pathlib.Path) -> dict[str, Any]:
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))


@pytest.fixture
def namespace(server: ApiServer, request: pytest.FixtureRequest) -> str:
    name: str = "seed-" + request.node.callspec.params["file"].stem
    server.kubectl("create", "namespace", name)
    return name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_kubectl_applies_it_and_it_reads_back_as_it_was_sent(
    server: ApiServer, namespace: str, file: pathlib.Path
) -> None:
    sent = read(file)
    sent["metadata"].pop("namespace", None)
    for way in ((), ("--server-side", "--force-conflicts")):
        applied = server.kubectl(
            "apply",
            "--warnings-as-errors",
            "--validate=strict",
            f"--namespace={namespace}",
            *way,
            "-f",
            "-",
            stdin=sent,
        )
        assert applied.returncode == 0, applied.stderr
    stored = server.request("GET", resource_path(sent, namespace, named=True)).body
    assert lost(sent, stored) == []
    deleted = server.kubectl("delete", f"--namespace={namespace}", "-f", "-", stdin=sent)
    assert deleted.returncode == 0, deleted.stderr
