"""The CRDs of the last release, kept to notice when a change takes something away.

``python -m scripts.render.released`` after a release makes the CRDs of now the ones to compare with.
"""

from __future__ import annotations

import json
import pathlib

from scripts.render.crds import load
from scripts.tree import Mapping

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "render" / "crds" / "released"


def read() -> dict[str, Mapping]:
    """The released CRDs by plural."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))}


def write() -> None:
    """Makes the CRDs of now the released ones."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for crd in load(ROOT):
        text = json.dumps(crd.resource, separators=(",", ":"), ensure_ascii=False)
        (FOLDER / f"{crd.plural}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    write()
