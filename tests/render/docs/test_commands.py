"""Every command of the documentation is run by a test: from the page, or by one that does the same."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from tests import documented

pytestmark = pytest.mark.render

TABLE = Path(__file__).with_name("commands.toml")
ELSEWHERE: dict[str, dict[str, str]] = tomllib.loads(TABLE.read_text())
REMEDY = (
    "run it in a test with documented.run(PAGE, SECTION), or say in tests/render/docs/commands.toml which test"
    " or which workflow does the same, or why none can: 'none: it needs ...'"
)
WORKFLOWS = {
    path.relative_to(documented.ROOT).as_posix(): path.read_text()
    for path in (documented.ROOT / ".github" / "workflows").glob("*.yaml")
}


@pytest.mark.parametrize("page", documented.pages())
def test_every_command_is_run(page: str) -> None:
    runs = documented.runs()
    missing = [
        str(command)
        for command in documented.commands(page)
        if not any(run.runs(command) for run in runs) and command.one_line not in ELSEWHERE.get(page, {})
    ]
    assert missing == [], REMEDY


def test_what_is_run_is_there() -> None:
    for run in documented.runs():
        assert documented.commands(run.page, run.section), f"{run.test} runs nothing"


@pytest.mark.parametrize("page", ELSEWHERE)
def test_table_has_nothing_else(page: str) -> None:
    runs = documented.runs()
    needed = {command.one_line for command in documented.commands(page) if not any(run.runs(command) for run in runs)}
    assert [text for text in ELSEWHERE[page] if text not in needed] == []


@pytest.mark.parametrize("answer", sorted({answer for page in ELSEWHERE.values() for answer in page.values()}))
def test_table_names_tests_that_are_there(answer: str) -> None:
    if not answer.startswith("tests/"):
        assert answer in WORKFLOWS or answer.startswith("none: it needs "), REMEDY
        return
    file, _, name = answer.partition("::")
    tree = ast.parse((documented.ROOT / file).read_text())
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("command", "answer"),
    [(command, answer) for page in ELSEWHERE.values() for command, answer in page.items() if answer in WORKFLOWS],
)
def test_workflow_runs_what_the_table_says(command: str, answer: str) -> None:
    assert command in WORKFLOWS[answer]
