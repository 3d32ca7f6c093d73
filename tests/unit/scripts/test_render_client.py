"""The pages about the client: what goes in, and that nothing is left out."""

from __future__ import annotations

import pathlib
import re

import pytest

from scripts.render.client import API_PAGE, COMMANDS_PAGE, EXCEPTIONS, PACKAGE, PUBLIC, render
from scripts.tree import TreeError

pytestmark = pytest.mark.unit

ROOT = pathlib.Path(__file__).resolve().parents[3]


def copy(folder: pathlib.Path) -> pathlib.Path:
    """What the pages are made of, below another root."""
    for name in (*PUBLIC, EXCEPTIONS, "kubernetes.yaml"):
        target = folder / PACKAGE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((ROOT / PACKAGE / name).read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def replaced(folder: pathlib.Path, module: str, old: str, new: str) -> pathlib.Path:
    """The same, with something else in one module."""
    file = copy(folder) / PACKAGE / module
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def test_every_argument_of_the_page_is_explained() -> None:
    page = render(ROOT).files[API_PAGE]
    sections = re.findall(r"```python\n(.*?)```\n(.*?)(?=\n##|\Z)", page, re.DOTALL)
    assert len(sections) > 10
    for signature, text in sections:
        arguments = re.findall(r"^ +\*{0,2}(\w+): ", signature, re.MULTILINE)
        explained = re.findall(r"^- `(\w+)`: ", text, re.MULTILINE)
        assert [name for name in arguments if name not in explained] == [], signature


def test_the_page_has_the_whole_hierarchy_of_exceptions() -> None:
    page = render(ROOT).files[API_PAGE]
    assert "| `CrashLoopBackOffError` | `SchedulerStartupError` | A container ends again and again; " in page


def test_every_command_and_every_exit_code_has_its_place() -> None:
    page = render(ROOT).files[COMMANDS_PAGE]
    titles = re.findall(r"^## (.*)", page, re.MULTILINE)
    assert titles == [
        *("completion", "connect", "delete", "describe"),
        *("gen autoscaler", "gen cluster", "gen job", "gen workergroup"),
        *("list", "logs", "scale", "Exit codes"),
    ]
    assert "| `--wait`, `--no-wait` | `--wait` | Whether to wait until it is gone. |" in page
    assert "| 3 | NOT_FOUND | there is no object of that name, " in page


def test_what_users_import_has_to_be_there(tmp_path: pathlib.Path) -> None:
    root = replaced(tmp_path, "operator/specs.py", "def make_pod_spec(", "def make_no_pod_spec(")
    with pytest.raises(TreeError, match=r"make_pod_spec.*is not there"):
        render(root)


def test_what_users_import_has_to_be_explained(tmp_path: pathlib.Path) -> None:
    root = replaced(tmp_path, EXCEPTIONS, '"""The API server did not answer."""', "pass")
    with pytest.raises(TreeError, match=r"ApiUnreachableError.*has no docstring"):
        render(root)


def test_settings_have_to_be_yaml_that_is_a_mapping(tmp_path: pathlib.Path) -> None:
    root = copy(tmp_path)
    (root / PACKAGE / "kubernetes.yaml").write_text("- a\n", encoding="utf-8")
    with pytest.raises(TreeError, match="is no mapping"):
        render(root)
