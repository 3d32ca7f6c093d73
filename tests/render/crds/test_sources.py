"""Each source of the vendored schemas says the same. Needs the Go module proxy and PyPI, or their caches."""

from __future__ import annotations

import json
import pathlib
import zipfile
from typing import Any

import pytest

from scripts import schemata
from scripts.schemata import __main__ as cli
from scripts.schemata.closure import ROOTS, closure, definitions
from scripts.schemata.sources import GO_VERSIONS, Source, SourceError, download_wheel, from_go_module, from_pypi

pytestmark = pytest.mark.render

FOLDER = pathlib.Path(schemata.__file__).parent


def vendored(minor: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"k8s-{minor}.json").read_text(encoding="utf-8")))


def pruned(source: Source) -> dict[str, Any]:
    return closure(definitions(source.document, source.name), source.name)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    try:
        return download_wheel(tmp_path_factory.mktemp("wheel"))
    except SourceError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("minor", schemata.MINORS)
def test_the_go_module_agrees_with_what_is_vendored(minor: str) -> None:
    try:
        source = from_go_module(minor)
    except SourceError as error:
        pytest.skip(str(error))
    assert pruned(source) == vendored(minor)["definitions"]
    assert vendored(minor)["provenance"] == {
        "sha256": source.sha256,
        "source": source.name,
        "version": GO_VERSIONS[minor],
    }


@pytest.mark.parametrize("minor", schemata.MINORS)
def test_pypi_agrees_with_what_is_vendored(minor: str, wheel: pathlib.Path) -> None:
    assert pruned(from_pypi(minor, wheel)) == vendored(minor)["definitions"]


# --- the command, with a source that is at hand ---


@pytest.fixture
def tiny_wheel(tmp_path: pathlib.Path) -> pathlib.Path:
    file = tmp_path / "tiny.whl"
    bundle = {
        "definitions": {root: {"type": "object", "properties": {"a": {"type": ["string", "null"]}}} for root in ROOTS}
    }
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            "kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json", json.dumps(bundle)
        )
    return file


def test_refresh_writes_definitions_with_their_provenance(
    tmp_path: pathlib.Path, tiny_wheel: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "FOLDER", tmp_path)
    monkeypatch.setattr(cli, "READERS", {"pypi": lambda minor: from_pypi(minor, tiny_wheel)})
    assert cli.main(["refresh", "--source=pypi", "--kubernetes=1.36"]) == 0
    written = json.loads((tmp_path / "k8s-1.36.json").read_text(encoding="utf-8"))
    assert set(written["provenance"]) == {"sha256", "source", "version"}
    assert written["definitions"] == {
        root: {"properties": {"a": {"type": "string"}}, "type": "object"} for root in ROOTS
    }


def test_a_source_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(minor: str) -> Source:
        raise SourceError(f"go mod download: no {minor} for you")

    monkeypatch.setattr(cli, "READERS", {"go": fail})
    assert cli.main(["refresh", "--kubernetes=1.36"]) == 1
    assert capsys.readouterr().err == "error: go mod download: no 1.36 for you\n"


def test_a_program_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SourceError, match="go is not installed"):
        from_go_module("1.36")


@pytest.mark.parametrize("arguments", [[], ["refresh", "--kubernetes=1.30"], ["refresh", "--source=web"]])
def test_a_command_line_that_is_wrong(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
