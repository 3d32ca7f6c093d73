"""What is published with a release for people to read: the notes, with what to pin, and the checksums."""

from __future__ import annotations

from pathlib import Path

from scripts.release import changelog
from scripts.release.artifacts import CHECKSUMS, Artifacts

NOTES = "NOTES.md"


def write(artifacts: Artifacts) -> list[Path]:
    """Write both.

    Raises:
        Failure: the image or the chart is not published, or the changelog does not say what is new.
    """
    image = artifacts.published("image", "manifest")
    chart = artifacts.published("chart", "push")
    text = (
        f"{changelog.notes(artifacts.root, artifacts.version)}\n"
        "### To pin\n\n"
        "| | |\n|---|---|\n"
        f"| chart | `{chart}` |\n"
        f"| image | `{image}` |\n\n"
        "The chart is signed, and its `image.digest` is that of the image."
        f" `{CHECKSUMS}` has the checksums of the files here; `sbom-*.json` say what is in the image.\n"
    )
    target = artifacts.folder / NOTES
    target.write_text(text, encoding="utf-8")
    return [target, artifacts.write_checksums()]
