"""Which version HEAD is: that of its tag. chartpress gives the chart and the images the same."""

from __future__ import annotations

import re
from pathlib import Path

from ci.console import Failure
from scripts.git import git

# Semantic versions, as Helm takes them; without "+...", which no tag of an image may have, and without a "v".
_NUMBER = r"(0|[1-9]\d*)"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-[0-9A-Za-z]+(\.[0-9A-Za-z]+)*)?")
_SHOWN = 5


def of_head(root: Path) -> str:
    """The version to release.

    Raises:
        Failure: the working tree has changes, or HEAD is not tagged with one version.
    """
    if not (root / ".git").exists():
        raise Failure("This is no git checkout, and a version is a tag; clone the repository with git.")
    changed = [line[3:] for line in git("status", "--porcelain", cwd=root).splitlines()]
    if changed:
        shown = ", ".join(changed[:_SHOWN]) + (", ..." if len(changed) > _SHOWN else "")
        raise Failure(f"The working tree has changes that are in no commit ({shown}); commit or remove them.")
    tags = git("tag", "--points-at", "HEAD", cwd=root).split()
    versions = [tag for tag in tags if _VERSION.fullmatch(tag)]
    if len(versions) > 1:
        raise Failure(f"HEAD has the tags of several versions ({', '.join(versions)}); delete all but one.")
    if not versions:
        raise Failure(_without_version(tags))
    return versions[0]


def _without_version(tags: list[str]) -> str:
    how = "tag it with one such as 2026.9.0 or 2026.9.0-rc.1: git tag --annotate VERSION"
    if tags:
        return f"HEAD has the tag {', '.join(tags)}, which is no version as Helm and registries take it; {how}"
    return f"HEAD has no tag, and only what is tagged is released; check out the tag, or {how}"
