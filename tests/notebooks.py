"""Notebooks of examples/, run by Jupyter.

``python -m tests.notebooks PATH`` runs one, and prints it with what is below its cells; ends with 1 when one fails.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

CELL_SECONDS = 300


def run(notebook: Path) -> Any:
    """Run all cells of a notebook in a kernel of this Python, in the environment of this process.

    Returns:
        The notebook with what is below its cells, and with the state of its widgets.

    Raises:
        CellExecutionError: a cell failed.
    """
    book = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(book, timeout=CELL_SECONDS, kernel_name="python3").execute()
    return book


if __name__ == "__main__":
    print(nbformat.writes(run(Path(sys.argv[1]))))  # type: ignore[no-untyped-call]
