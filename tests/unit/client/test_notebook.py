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
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def operator(server: FakeApi) -> Iterator[FakeOperator]:
    """What makes clusters of the DaskClusters of an API server."""
    running = FakeOperator(server)
    running.start()
    yield running
    running.stop()


@pytest.mark.usefixtures("operator")
def test_every_cell_of_the_notebook_runs(server: FakeApi) -> None:
    book = notebooks.run(NOTEBOOK)
    below = [cell["outputs"] for cell in book["cells"] if cell["cell_type"] == "code"]
    [starting, cluster] = below[0]
    assert all(WIDGET in shown["data"] for shown in (starting, cluster)), "the progress, and the cluster itself"
    widgets = book["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert {"Scale", "Adapt"} <= {widget["state"].get("description") for widget in widgets.values()}
    progress = widgets[starting["data"][WIDGET]["model_id"]]["state"]["value"]
    assert "getting-started-scheduler" in progress, "what it waits for is said"
    assert "/status" in below[1][0]["data"]["text/plain"]
    assert 0.45 < float(below[2][0]["data"]["text/plain"]) < 0.55
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
