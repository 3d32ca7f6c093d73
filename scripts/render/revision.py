"""The verb ``revision``: which release the tree in Git is of, where kustomize, Argo CD and Flux have to be told.

It is the newest one of CHANGELOG.md, as long as nothing is listed there as not released: in the commit that is
tagged. Any other tree names no release, so that nobody gets an image of one with manifests of another.
"""

from __future__ import annotations

import pathlib
import re

from ci.console import Failure
from scripts.release import changelog
from scripts.render.outputs import Rendered

UNRELEASED = "set-by-release"
BASE = pathlib.PurePosixPath("kustomize/base/kustomization.yaml")

# The field that has it, by file. The other fields of these files are written by hand.
_FIELDS = {
    BASE: "newTag",
    pathlib.PurePosixPath("kustomize/argocd/crds.yaml"): "targetRevision",
    pathlib.PurePosixPath("kustomize/argocd/operator.yaml"): "targetRevision",
    pathlib.PurePosixPath("kustomize/argocd/applicationset.yaml"): "targetRevision",
    pathlib.PurePosixPath("kustomize/flux/git/source.yaml"): "tag",
}


def of_tree(root: pathlib.Path) -> str:
    """The version of the release that a tree is of, or `UNRELEASED`."""
    return changelog.released(root) or UNRELEASED


def render(root: pathlib.Path, _kubernetes: str = "") -> Rendered:
    """The outputs of the verb.

    Raises:
        Failure: a file has no such field.
    """
    return Rendered({path: _named(root, path, field) for path, field in _FIELDS.items()})


def _named(root: pathlib.Path, path: pathlib.PurePosixPath, field: str) -> str:
    text, found = re.subn(
        rf"^( +{field}: ).*$", rf"\g<1>{of_tree(root)}", (root / path).read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    if not found:
        raise Failure(f"{path}: there is no `{field}`, which has to name the release.")
    return text
