"""examples/getting-started.ipynb: every cell runs, with a scheduler and workers of Dask that are real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import notebooks

from .fake_api import FakeApi
from .fake_operator import FakeOperator

pytestmark = pytest.mark.unit

NOTEBOOK = Path(__file__).parents[3] / "examples" / "getting-started.ipynb"


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


def test_the_notebook_is_kept_without_what_a_run_left_in_it() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code"
    )
    assert len({cell["id"] for cell in cells}) == len(cells)
