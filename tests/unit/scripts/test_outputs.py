from __future__ import annotations

import pathlib

import pytest

from scripts.render import __main__ as cli
from scripts.render.outputs import Rendered, stale, write
from scripts.tree import TreeError

pytestmark = pytest.mark.unit

A, B = pathlib.PurePosixPath("out/a.yaml"), pathlib.PurePosixPath("out/b.yaml")
RENDERED = Rendered({A: "a\n", B: "b\n"}, frozenset({A.parent}))


def test_what_was_written_is_not_stale(tmp_path: pathlib.Path) -> None:
    assert list(write(RENDERED, tmp_path)) == ["wrote out/a.yaml", "wrote out/b.yaml"]
    assert list(stale(RENDERED, tmp_path)) == []
    assert list(write(RENDERED, tmp_path)) == []


def test_what_is_missing_changed_or_left_over_is_stale(tmp_path: pathlib.Path) -> None:
    list(write(RENDERED, tmp_path))
    (tmp_path / A).write_text("a\r\n", encoding="utf-8")
    (tmp_path / B).unlink()
    (tmp_path / "out" / "c.yaml").touch()
    assert list(stale(RENDERED, tmp_path)) == [
        "out/a.yaml is stale",
        "out/b.yaml is missing",
        "out/c.yaml is not rendered any more",
    ]
    assert list(write(RENDERED, tmp_path)) == ["wrote out/a.yaml", "wrote out/b.yaml", "removed out/c.yaml"]
    assert list(stale(RENDERED, tmp_path)) == []


def test_a_file_in_a_folder_that_others_write_to_is_left_alone(tmp_path: pathlib.Path) -> None:
    shared = Rendered({A: "a\n"})
    list(write(RENDERED, tmp_path))
    assert list(stale(shared, tmp_path)) == []


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "VERBS", {"letters": ("letters", lambda root, minor: RENDERED)})  # noqa: ARG005


@pytest.mark.usefixtures("verb")
def test_check_fails_and_says_what_to_run(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["letters", "--check"], tmp_path) == 1
    assert "out/a.yaml is missing: run `python -m scripts.render letters`" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert cli.main(["all"], tmp_path) == 0
    assert cli.main(["all", "--check"], tmp_path) == 0


@pytest.mark.parametrize("arguments", [[], ["none"], ["crds", "--chek"], ["crds", "--kubernetes=1.30"]])
def test_a_command_line_that_is_wrong(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)


def test_an_error_in_a_source_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(root: pathlib.Path, minor: str) -> Rendered:  # noqa: ARG001
        raise TreeError("a.yaml", ("spec",), "is odd")

    monkeypatch.setattr(cli, "VERBS", {"letters": ("letters", fail)})
    assert cli.main(["letters"]) == 1
    assert capsys.readouterr().err == "error: a.yaml: spec: is odd\n"


def test_another_place_and_another_minor(tmp_path: pathlib.Path) -> None:
    assert cli.main(["crds", "--kubernetes=1.31", f"--into={tmp_path}"]) == 0
    assert "Kubernetes v1.31." in (tmp_path / "kustomize" / "crds" / "daskclusters.yaml").read_text(encoding="utf-8")
    assert cli.main(["crds", "--kubernetes=1.31", f"--into={tmp_path}", "--check"]) == 0
    assert cli.main(["crds", f"--into={tmp_path}", "--check"]) == 1
