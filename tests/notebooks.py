"""Notebooks of examples/, run cell by cell as Jupyter would.

``python -m tests.notebooks PATH`` runs one, and ends with 1 when a cell fails.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any


def run(notebook: Path) -> dict[str, Any]:
    """Run all cells of a notebook, and show what Jupyter would show below each.

    Returns:
        What the names of the notebook stand for in the end.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] == "code":
            _run(ast.parse("".join(cell["source"])), f"{notebook.name}, cell {number}", names)
    return names


def _run(code: ast.Module, where: str, names: dict[str, Any]) -> None:
    shown: Any = None
    if code.body and isinstance(last := code.body[-1], ast.Expr):
        exec(compile(ast.Module(code.body[:-1], []), where, "exec"), names)  # noqa: S102
        shown = eval(compile(ast.Expression(last.value), where, "eval"), names)  # noqa: S307
    else:
        exec(compile(code, where, "exec"), names)  # noqa: S102
    if shown is not None:
        print(shown)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
