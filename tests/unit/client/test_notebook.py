"""What is there to be copied: every cell and every block runs, with a scheduler and workers of Dask that are real."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import notebooks

from .fake_api import FakeApi
from .fake_operator import FakeOperator

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
NOTEBOOK = ROOT / "examples" / "getting-started.ipynb"


@pytest.fixture
def operator(server: FakeApi) -> Iterator[FakeOperator]:
    """What makes clusters of the DaskClusters of an API server."""
    running = FakeOperator(server)
    running.start()
    yield running
    running.stop()


@pytest.mark.usefixtures("operator")
def test_every_cell_of_the_notebook_runs(server: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    names = notebooks.run(NOTEBOOK)
    assert 0.45 < names["mean"] < 0.55
    assert "/status" in capsys.readouterr().out
    assert server.named("daskclusters") == []
    assert (
        "delete",
        "/apis/kubernetes.dask.org/v1/namespaces/default/daskclusters/getting-started",
    ) in server.requests


@pytest.mark.usefixtures("operator")
def test_code_of_the_guide_to_moving_runs(server: FakeApi) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client-migration.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "client-migration.md", "exec"), names)  # noqa: S102
    assert names["cluster"].name == "moved"
    assert server.named("daskclusters") == []


def test_the_notebook_is_kept_without_what_a_run_left_in_it() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code"
    )
    assert len({cell["id"] for cell in cells}) == len(cells)
