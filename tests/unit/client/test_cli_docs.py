"""docs/cli.md: every command in it can be typed, and its exit codes are those that commands end with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from dask_kubernetes.cli import main
from dask_kubernetes.cli.failures import ExitCode

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
# What a shell reads as the end of a command.
END = re.compile(r" \| | \|\| | > |\)\"")
COMMANDS = [
    END.split(line)[0].strip().removeprefix("dask kubernetes ")
    for block in re.findall(r"```(?:console|bash)\n(.*?)```", PAGE, re.DOTALL)
    for line in re.findall(r"dask kubernetes .*", block)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_can_be_typed(command: str) -> None:
    words = shlex.split(command, comments=True)
    found: click.Command = main
    while isinstance(found, click.Group):
        name, *words = words
        assert name in found.commands
        found = found.commands[name]
    with found.make_context(found.name, words):
        """Whether the words can be parsed shows before anything is run."""


def test_the_page_has_every_command() -> None:
    typed = {command.split()[0] for command in COMMANDS}
    assert typed == {name for name, command in main.commands.items() if not command.hidden}


def test_the_page_has_every_exit_code() -> None:
    table = PAGE.partition("| Code | When |")[2].partition("\n\n")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == [
        code.value for code in ExitCode
    ]
