"""The suites of helm-unittest in the chart's tests/: one for each template, an example of what it promises."""

from __future__ import annotations

import re
import subprocess

import pytest

from ci import tools
from tests.render.chart.helm import CHART

pytestmark = pytest.mark.render

SUITES = sorted((CHART / "tests").glob("*_test.yaml"))


def test_every_template_has_a_suite() -> None:
    files = (path.relative_to(CHART / "templates") for path in (CHART / "templates").rglob("*"))
    templates = [path for path in files if path.suffix in (".yaml", ".txt")]
    # Those in a folder have one together.
    wanted = {path.parts[0].removesuffix(path.suffix).lower() for path in templates}
    assert {file.name.removesuffix("_test.yaml") for file in SUITES} == wanted


def test_suites_pass() -> None:
    program = tools.ensure(["helm-unittest"])["helm-unittest"]
    command = [str(program), "--strict", "--color=false", str(CHART)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^Test Suites: (\d+) passed, \1 total$", done.stdout, re.MULTILINE)
    assert passed, done.stdout
    assert int(passed[1]) == len(SUITES)
