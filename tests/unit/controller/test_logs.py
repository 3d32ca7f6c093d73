"""Log lines, as `kopf run` writes them: in another process, because logging is arranged for a process as a whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.unit

# For each pair of arguments and environment, what kopf's command line does before it runs the operator, and one line
# of each sort.
PROGRAM = """
import asyncio, contextlib, io, json, logging, os, sys
import click
from kopf.cli import logging_options
from dask_kubernetes_operator import logs, passes
from dask_kubernetes_operator.settings import read_settings

logger = logging.getLogger("dask_kubernetes_operator.test")
kopf_logger = logging.getLogger("kopf.objects")
kopf_logger.addFilter(logs.SilenceFilter(frozenset({"changed-pods"})))

@click.command()
@logging_options
def run():
    logs.configure(read_settings(dask_folders=()))
    logger.info("outside")
    logger.debug("detail")
    asyncio.run(in_passes())
    kopf_logger.info("Handler 'changed-pods' succeeded.")
    kopf_logger.info("Handler 'of-a-plugin' succeeded.")
    kopf_logger.error("Handler 'changed-pods' failed with an exception.")
    logging.getLogger("kopf.activities.probe").info("a probe")

async def in_passes():
    async def reconcile(name):
        with passes.reconciling(name):
            await asyncio.sleep(0)
            await asyncio.create_task(tell())
    async def tell():
        logger.warning("inside")
    await asyncio.gather(reconcile("default/one"), reconcile("other/two"))

outputs = []
for arguments, environ in json.load(sys.stdin):
    os.environ.update(environ)
    with contextlib.redirect_stderr(io.StringIO()) as written:
        run.main(arguments, standalone_mode=False)
    outputs.append(written.getvalue())
    for name in environ:
        del os.environ[name]
json.dump(outputs, sys.stdout)
"""

Case = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]

PLAIN: Case = ((), ())
JSON = ("DASK_OPERATOR_LOG_FORMAT", "json")
JSON_BY_SETTING: Case = ((), (JSON,))
JSON_BY_FLAG: Case = (("--log-format=json",), ())
# The most detailed line that is to be seen.
LEVELS: dict[Case, str] = {
    PLAIN: "outside",
    (("--verbose",), ()): "detail",
    (("--quiet",), ()): "inside",
    ((), (("DASK_OPERATOR_LOG_LEVEL", "debug"),)): "detail",
    (("--verbose",), (("DASK_OPERATOR_LOG_LEVEL", "warning"),)): "inside",
    (("--verbose",), (JSON,)): "detail",
    (("--quiet",), (JSON,)): "inside",
}


@pytest.fixture(scope="module")
def written() -> dict[Case, str]:
    """What was written in each case."""
    cases = list(dict.fromkeys([JSON_BY_SETTING, JSON_BY_FLAG, *LEVELS]))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([(arguments, dict(environ)) for arguments, environ in cases]),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(zip(cases, json.loads(done.stdout), strict=True))


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("case", [JSON_BY_SETTING, JSON_BY_FLAG], ids=["operator's setting", "kopf's flag"])
def test_json_lines_name_the_cluster_and_the_pass(written: dict[Case, str], case: Case) -> None:
    found = records(written[case])
    outside = found[0]
    assert (outside["message"], outside["severity"]) == ("outside", "info")
    assert not {"cluster", "reconcile_id"} & outside.keys()
    inside = [record for record in found if record["message"] == "inside"]
    assert {record["cluster"] for record in inside} == {"default/one", "other/two"}
    assert len({record["reconcile_id"] for record in inside}) == 2
    assert {record["severity"] for record in inside} == {"warn"}


def test_lines_of_kopf_are_of_the_same_form(written: dict[Case, str]) -> None:
    messages = [record["message"] for record in records(written[JSON_BY_SETTING])]
    assert "Handler 'of-a-plugin' succeeded." in messages


def test_text_is_what_kopf_writes(written: dict[Case, str]) -> None:
    first = written[PLAIN].splitlines()[0]
    assert first.startswith("[")
    assert first.endswith("[INFO    ] outside")


def test_own_handlers_are_silent_unless_they_fail(written: dict[Case, str]) -> None:
    text = written[PLAIN]
    assert "Handler 'changed-pods' succeeded" not in text
    assert "Handler 'changed-pods' failed" in text
    assert "Handler 'of-a-plugin' succeeded" in text


def test_probes_are_silent(written: dict[Case, str]) -> None:
    assert "a probe" not in written[PLAIN]


@pytest.mark.parametrize(("case", "most_detailed"), LEVELS.items(), ids=str)
def test_level_is_the_setting_or_else_kopfs_flag(written: dict[Case, str], case: Case, most_detailed: str) -> None:
    order = ("detail", "outside", "inside")
    assert next(message for message in order if message in written[case]) == most_detailed
