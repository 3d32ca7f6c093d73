"""The commands of the documentation, for tests that run them from the page: what a reader types is what is tested.

A page has its commands in ``console`` blocks, each after ``$ ``; a line that ends in a backslash and a here-document
go on with the next line, all other lines are what the command prints. Two blanks and ``# `` begin a remark.
"""

from __future__ import annotations

import ast
import os
import re
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "chart/*/README.md", "kustomize/**/*.md", "examples/**/*.md")

_PROMPT = "$ "
_REMARK = re.compile(r"\s{2,}# .*$")
_GOES_ON = re.compile(r"\s*\\\n\s*")
_HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)")
_FENCE = re.compile(r"^(\s*)```(\S*)")
_HEADING = re.compile(r"^(#+)\s+(.*?)\s*$")
# Other names for the same: a command in such a block would not be seen.
_OTHER_SHELLS = ("bash", "sh", "shell", "zsh", "shell-session", "sh-session")


class PageError(Exception):
    """A page is not written as the tests read it; the text has the file and the line."""


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        page: path of the page in the repository.
        line: where it begins, counted from 1.
        text: the command without its prompt and its remark, several lines where it goes on.
        headings: those that it stands under, the page's own first.
    """

    page: str
    line: int
    text: str
    headings: tuple[str, ...]

    @property
    def one_line(self) -> str:
        """The text, lines that go on joined."""
        return _GOES_ON.sub(" ", self.text)

    def __str__(self) -> str:
        """A line for people."""
        return f"{self.page}:{self.line}: {self.one_line}"


@dataclass(frozen=True)
class Run:
    """That a test runs a section of a page, or all of it where there is no section."""

    page: str
    section: str | None
    test: Path

    def runs(self, command: Command) -> bool:
        """Whether a command is among those."""
        return command.page == self.page and (self.section is None or self.section in command.headings)


def pages(root: Path = ROOT) -> list[str]:
    """All pages, as paths in the repository."""
    found = {path.relative_to(root).as_posix() for pattern in PAGES for path in root.glob(pattern)}
    return sorted(found)


def commands(page: str, section: str | None = None, root: Path = ROOT) -> list[Command]:
    """The commands of a page, in its order.

    Args:
        page: path in the repository.
        section: the heading of a section; with what is below it. All of the page if None.
        root: of the repository.

    Raises:
        PageError: there is no such section, or a block that is not written as it should be.
    """
    text = (root / page).read_text(encoding="utf-8")
    found = list(_commands(page, text.splitlines()))
    if section is None:
        return found
    chosen = [command for command in found if section in command.headings]
    if not chosen:
        raise PageError(f"{page}: there is no command under a heading '{section}'")
    return chosen


def run(
    page: str,
    section: str | None = None,
    *,
    replace: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_seconds: float = 600,
    root: Path = ROOT,
) -> list[str]:
    """Run all commands of a page or of a section, in one shell that ends with the first that fails.

    Page and section are written out where this is called, so that ``runs`` finds them.

    Args:
        page: path in the repository.
        section: as for ``commands``.
        replace: what to write instead, such as a registry of the test's own; each has to occur.
        environment: variables on top of this process's own.
        folder: where the commands are run; the root of the repository if None.
        timeout_seconds: for all of them.
        root: of the repository.

    Returns:
        What each of them printed.

    Raises:
        AssertionError: one of them failed; it has what was printed. Or there is nothing to replace.
        PageError: as for ``commands``, and where there are none.
    """
    texts = [command.text for command in commands(page, section, root)]
    if not texts:
        raise PageError(f"{page}: there is no command")
    for old, new in (replace or {}).items():
        assert any(old in text for text in texts), f"{page}: no command has '{old}' in it"
        texts = [text.replace(old, new) for text in texts]
    mark = f"--- {secrets.token_hex(8)}"
    script = "\n".join(["set -euo pipefail", "exec 2>&1", *(f"echo '{mark}'\n{text}" for text in texts)])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder or root,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    outputs = done.stdout.split(f"{mark}\n")[1:]
    if done.returncode:
        failed = texts[len(outputs) - 1] if outputs else "the shell"
        raise AssertionError(f"{page}: `{failed}` ended with status {done.returncode}:\n{done.stdout}")
    return outputs


def runs(root: Path = ROOT) -> list[Run]:
    """What tests run from pages, found in their sources.

    Raises:
        PageError: a call of ``documented.run`` does not say in words which page it runs.
    """
    return [run for path in sorted((root / "tests").rglob("*.py")) for run in _calls(path)]


def _calls(path: Path) -> Iterator[Run]:
    text = path.read_text(encoding="utf-8")
    if "documented.run(" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "documented.run":
            words = [one.value if isinstance(one, ast.Constant) else None for one in node.args]
            if not words or not all(isinstance(word, str) for word in words):
                raise PageError(f"{path}:{node.lineno}: write out which page, and which section, is run")
            yield Run(str(words[0]), str(words[1]) if len(words) > 1 else None, path)


def _commands(page: str, lines: list[str]) -> Iterator[Command]:
    headings: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if fence := _FENCE.match(line):
            end = next((at for at in range(number, len(lines)) if lines[at].strip() == "```"), None)
            if end is None:
                raise PageError(f"{page}:{number}: this block does not end")
            if fence[2] in _OTHER_SHELLS:
                raise PageError(f"{page}:{number}: commands are in blocks of ```console, each after '$ '")
            if fence[2] == "console":
                indent = len(fence[1])
                block = [one[indent:] for one in lines[number:end]]
                yield from _of_block(page, number + 1, block, tuple(headings))
            number = end + 1
        elif heading := _HEADING.match(line):
            headings = [*headings[: len(heading[1]) - 1], heading[2]]


def _of_block(page: str, first: int, lines: list[str], headings: tuple[str, ...]) -> Iterator[Command]:
    if not lines or not lines[0].startswith(_PROMPT):
        raise PageError(f"{page}:{first}: a console block begins with a command after '$ '")
    number = 0
    while number < len(lines):
        begin = number
        number += 1
        if not lines[begin].startswith(_PROMPT):
            continue
        text = [_REMARK.sub("", lines[begin].removeprefix(_PROMPT))]
        here = _HEREDOC.search(text[0])
        while number < len(lines) and (text[-1] != here[1] if here else text[-1].endswith("\\")):
            text.append(lines[number] if here else _REMARK.sub("", lines[number]))
            number += 1
        if here and text[-1] != here[1]:
            raise PageError(f"{page}:{first + begin}: the here-document has no line '{here[1]}'")
        yield Command(page, first + begin, "\n".join(text), headings)
