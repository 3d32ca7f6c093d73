"""Where a tool comes from."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from ci import downloads, host, kubernetes, tools
from ci.cache import Cache
from ci.console import Failure
from ci.pins import Tool

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("made")]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for downloads and builds; says which there were."""
    made: list[str] = []

    def download(tool: Tool, _: str, target: Path) -> None:
        made.append(f"download {tool.name}")
        target.write_text("")

    def build(tool: Tool, folder: Path, file: str, _: Cache) -> None:
        made.append(f"build {tool.name}")
        (folder / file).write_text("")

    monkeypatch.setattr(tools, "_download", download)
    monkeypatch.setattr(tools, "_build", build)
    monkeypatch.setattr(host, "system", lambda: "linux")
    monkeypatch.setattr(host, "architecture", lambda: "amd64")
    monkeypatch.setattr(downloads, "reachable", lambda _: True)
    return made


def test_only_what_is_asked_for_is_made(cache: Cache, made: list[str]) -> None:
    paths = tools.ensure(["kind", "helm"], cache)
    assert made == ["download kind", "download helm"]
    assert {name: path.name for name, path in paths.items()} == {"kind": "kind", "helm": "helm"}


def test_a_release_that_cannot_be_reached_is_built(
    cache: Cache, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "reachable", lambda _: False)
    tools.ensure(["kind"], cache)
    assert made == ["build kind"]


def test_a_release_without_a_checksum_is_built(cache: Cache, made: list[str]) -> None:
    tools.ensure(["helm4"], cache)
    assert made == ["build helm4"]


def test_a_download_that_breaks_off_is_replaced_by_a_build(
    cache: Cache, made: list[str], monkeypatch: pytest.MonkeyPatch, said: io.StringIO
) -> None:
    def breaks(*_: object) -> None:
        raise ConnectionResetError("reset")

    monkeypatch.setattr(tools, "_download", breaks)
    tools.ensure(["kind"], cache)
    assert made == ["build kind"]
    assert "kind could not be downloaded (reset)" in said.getvalue()


def test_a_wrong_checksum_is_not_hidden_by_a_build(
    cache: Cache, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise Failure("not what is pinned")

    monkeypatch.setattr(tools, "_download", wrong)
    with pytest.raises(Failure, match="not what is pinned"):
        tools.ensure(["kind"], cache)
    assert made == []


def test_what_is_there_is_not_looked_for_on_the_network(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "reachable", lambda _: False)
    first = tools.ensure(["kind"], cache)
    monkeypatch.setattr(downloads, "reachable", lambda _: pytest.fail("the network was asked"))
    assert tools.ensure(["kind"], cache) == first


def test_the_kubectl_of_a_node_that_was_built_is_used(
    cache: Cache, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "built_kubectl", lambda _: Path("built/kubectl"))
    assert tools.ensure(["kubectl"], cache) == {"kubectl": Path("built/kubectl")}
    assert made == []


def test_an_unknown_name_stops_everything_before_it_begins(cache: Cache, made: list[str]) -> None:
    with pytest.raises(Failure, match="no tool named hlem"):
        tools.ensure(["kind", "hlem"], cache)
    assert made == []


def test_the_directory_has_both_helms_under_names_of_their_own(cache: Cache) -> None:
    folder = tools.directory(["helm", "helm4"], cache)
    assert (folder / "helm").resolve() != (folder / "helm4").resolve()
    assert tools.directory(["helm"], cache) == folder
    assert sorted(path.name for path in folder.iterdir()) == ["helm", "helm4"]


def test_the_directory_follows_a_new_version(cache: Cache) -> None:
    folder = cache.folder("bin")
    (folder / "kind").symlink_to("an-old-one")
    tools.directory(["kind"], cache)
    assert (folder / "kind").resolve() == tools.ensure(["kind"], cache)["kind"].resolve()
