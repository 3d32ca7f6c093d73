"""How commands are read from a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import documented
from tests.documented import PageError
from tests.documented import run as run_page

pytestmark = pytest.mark.unit

PAGE = """\
# Page

Text with `$ no command`.

```console
$ first --flag      # a remark
what it prints
$ second \\
    --over two    # lines
```

## Section

```yaml
$ not: a command
```

1. In a list

   ```console
   $ cat > file <<EOF
   $ no command
   EOF
   $ last '# no remark'
   ```

## Other

### Below

```console
$ below
```
"""


def read(folder: Path, text: str, section: str | None = None) -> list[documented.Command]:
    (folder / "page.md").write_text(text)
    return documented.commands("page.md", section, root=folder)


def test_commands_are_read_with_their_line_and_their_headings(tmp_path: Path) -> None:
    found = [(command.line, command.text, command.headings) for command in read(tmp_path, PAGE)]
    assert found == [
        (6, "first --flag", ("Page",)),
        (8, "second \\\n    --over two", ("Page",)),
        (21, "cat > file <<EOF\n$ no command\nEOF", ("Page", "Section")),
        (24, "last '# no remark'", ("Page", "Section")),
        (32, "below", ("Page", "Other", "Below")),
    ]


def test_lines_that_go_on_are_one(tmp_path: Path) -> None:
    assert read(tmp_path, PAGE)[1].one_line == "second --over two"


def test_section_has_what_is_below_it(tmp_path: Path) -> None:
    assert [command.text for command in read(tmp_path, PAGE, "Other")] == ["below"]


@pytest.mark.parametrize(
    ("text", "section", "message"),
    [
        (PAGE, "None", r"page\.md: there is no command under a heading 'None'"),
        ("```console\nls\n```\n", None, r"page\.md:2: a console block begins with a command after '\$ '"),
        ("```console\n```\n", None, r"page\.md:2: a console block begins"),
        ("```console\n$ ls\n", None, r"page\.md:1: this block does not end"),
        ("```bash\nls\n```\n", None, r"page\.md:1: commands are in blocks of ```console"),
        ("\n```sh\nls\n```\n", None, r"page\.md:2: commands are in blocks of ```console"),
        ("```console\n$ cat <<END\ntext\n```\n", None, r"page\.md:2: the here-document has no line 'END'"),
    ],
)
def test_page_that_would_be_misread_is_refused(tmp_path: Path, text: str, section: str | None, message: str) -> None:
    with pytest.raises(PageError, match=message):
        read(tmp_path, text, section)


def test_runs_are_found_in_tests(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    test = tmp_path / "tests" / "test_it.py"
    test.write_text('documented.run("page.md", "Section", folder=tmp_path)\n')
    (run,) = documented.runs(tmp_path)
    assert [run.runs(command) for command in read(tmp_path, PAGE)] == [False, False, True, True, False]


@pytest.mark.parametrize("call", ["documented.run(page)", "documented.run()", 'documented.run("page.md", section)'])
def test_run_that_does_not_say_what_it_runs_is_refused(tmp_path: Path, call: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(f"{call}\n")
    with pytest.raises(PageError, match=r"test_it\.py:1: write out which page"):
        documented.runs(tmp_path)


SHELL = "```console\n$ export NAME=one\n$ echo $NAME; echo error >&2\n$ cd /\n$ pwd\n```\n"


def run(folder: Path, text: str, **options: dict[str, str]) -> list[str]:
    (folder / "page.md").write_text(text)
    return run_page("page.md", None, root=folder, **options)  # type: ignore[arg-type]


def test_commands_of_a_page_have_one_shell(tmp_path: Path) -> None:
    assert run(tmp_path, SHELL) == ["", "one\nerror\n", "", "/\n"]


def test_commands_are_run_with_what_is_replaced_and_set(tmp_path: Path) -> None:
    said = run(tmp_path, SHELL, replace={"NAME=one": "NAME=$OTHER"}, environment={"OTHER": "two"})
    assert said[1] == "two\nerror\n"


@pytest.mark.parametrize(
    ("text", "replace", "message"),
    [
        (
            "```console\n$ true\n$ echo why; false\n$ true\n```\n",
            {},
            r"`echo why; false` ended with status 1:\n(?s:.*)why",
        ),
        ("```console\n$ false | true\n```\n", {}, r"`false \| true` ended with status 1"),
        ("```console\n$ echo $NONE\n```\n", {}, "NONE: unbound variable"),
        (SHELL, {"none": "some"}, r"page\.md: no command has 'none' in it"),
        ("text\n", {}, r"page\.md: there is no command"),
    ],
)
def test_what_fails_is_told(tmp_path: Path, text: str, replace: dict[str, str], message: str) -> None:
    with pytest.raises((AssertionError, PageError), match=message):
        run(tmp_path, text, replace=replace)
