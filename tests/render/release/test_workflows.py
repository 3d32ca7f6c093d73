"""The workflows do what the documentation says, and trust nobody more than they have to."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests import documented

pytestmark = pytest.mark.render

FILES = sorted((documented.ROOT / ".github" / "workflows").iterdir())
VERB = re.compile(r"-m scripts\.release (\w+)")


def read(name: str) -> dict[str, Any]:
    (file,) = (file for file in FILES if file.name == name)
    workflow: dict[str, Any] = yaml.safe_load(file.read_text())
    return workflow


def commands(workflow: dict[str, Any]) -> list[str]:
    """What is run, in the order of the jobs."""
    return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned_by_commit_and_say_their_version(file: Any) -> None:
    used = re.findall(r"uses: (.*)", file.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"actions/checkout@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_jobs_may_write_only_where_they_say_so(file: Any) -> None:
    workflow = read(file.name)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            if "uses" in step:
                assert step["with"]["persist-credentials"] is False
                assert step["with"]["fetch-depth"] == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_expression_stands_in_a_command(file: Any) -> None:
    assert not [command for command in commands(read(file.name)) if "${{" in command]


def test_release_takes_the_steps_of_the_page_in_their_order() -> None:
    page = [VERB.search(command.text) for command in documented.commands("docs/releasing.md")]
    run = [VERB.search(command) for command in commands(read("release.yaml"))]
    assert [one[1] for one in run if one] == [one[1] for one in page if one]


def test_only_the_job_that_signs_has_the_key() -> None:
    jobs = read("release.yaml")["jobs"]
    assert [name for name, job in jobs.items() if "secrets." in yaml.safe_dump(job)] == ["publish"]
    assert jobs["publish"]["environment"] == "release"
