"""The API server says of itself what is vendored for its minor."""

from __future__ import annotations

import json
import pathlib

import pytest

from scripts import schemata
from scripts.schemata.closure import closure, definitions
from scripts.schemata.sources import from_live
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver


def test_a_live_server_agrees_with_what_is_vendored(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    monkeypatch.setenv("PATH", str(server.binaries), prepend=":")
    source = from_live()
    assert source.version == f"v{server.version}"
    minor = server.version.rpartition(".")[0]
    file = pathlib.Path(schemata.__file__).parent / f"k8s-{minor}.json"
    vendored = json.loads(file.read_text(encoding="utf-8"))
    assert closure(definitions(source.document, source.name), source.name) == vendored["definitions"]
