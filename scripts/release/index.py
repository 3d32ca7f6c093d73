"""The index of a chart repository that any web server can serve, such as GitHub Pages."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import yaml

from ci import tools
from ci.console import Failure, console
from ci.process import output
from scripts.release.artifacts import NAME, Artifacts

INDEX = "index.yaml"


def add(artifacts: Artifacts, folder: Path, url: str) -> Path:
    """Add the packaged chart to a repository's folder, and to its index.

    Args:
        artifacts: of the release.
        folder: what is served; the charts that are in its index stay there.
        url: where it is served.

    Returns:
        The index.

    Raises:
        Failure: nothing is packaged, there is no such folder, or another chart of that version is in the index.
    """
    chart = artifacts.packaged()
    if not folder.is_dir():
        raise Failure(f"--folder: there is no folder {folder}; check out what {url} serves, or make an empty one.")
    if not url.startswith(("https://", "http://")):
        raise Failure(f"--url: {url} is no address of a web server; write it as https://HOST/FOLDER.")
    present = folder / chart.name
    if present.is_file() and present.read_bytes() != chart.read_bytes():
        raise Failure(
            f"{folder} has another chart of {artifacts.version} already; a release is never replaced: tag a new"
            " version."
        )
    helm = str(tools.ensure(["helm"])["helm"])
    index = folder / INDEX
    with console.step(f"add {chart.name} to {index}"), tempfile.TemporaryDirectory() as directory:
        for file in (chart, artifacts.provenance):
            shutil.copy2(file, directory)
        merge = [f"--merge={index}"] if index.is_file() else []
        status, _, error = output([helm, "repo", "index", directory, f"--url={url}", *merge])
        if status:
            raise Failure(f"helm repo index failed: {error.strip()}")
        for made in Path(directory).iterdir():
            shutil.copy2(made, folder)
    if artifacts.version not in versions(index):
        raise Failure(f"{index} has no {artifacts.version} after helm repo index; look at it.")
    return index


def versions(index: Path) -> list[str]:
    """The versions of the chart that an index has, newest first."""
    entries = yaml.safe_load(index.read_text(encoding="utf-8"))["entries"]
    return [str(one["version"]) for one in entries.get(NAME, ())]
