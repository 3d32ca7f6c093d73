"""Builds overlays of this repository, and overlays that a user would put on top of them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from ci import tools

Object = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parents[3]
TREE = REPOSITORY / "kustomize"
OVERLAYS = tuple(sorted(folder.name for folder in (TREE / "overlays").iterdir()))
COMPONENTS = tuple(sorted(folder.name for folder in (TREE / "components").iterdir()))

# Both programs that people build with, by what is put before the folder.
BUILDERS = {"kustomize": ("kustomize", "build"), "kubectl": ("kubectl", "kustomize")}

_TIMEOUT_SECONDS = 60
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class RefusedError(Exception):
    """An overlay did not build; the text is what the program said."""


def build(folder: Path, builder: str = "kustomize") -> list[Object]:
    """What an overlay amounts to.

    Raises:
        RefusedError: it does not build.
    """
    tool, verb = BUILDERS[builder]
    command = [str(tools.ensure([tool])[tool]), verb, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    if done.returncode:
        raise RefusedError(done.stderr)
    return _documents(done.stdout)


def read(file: Path) -> list[Object]:
    """The objects of a manifest."""
    return _documents(file.read_text(encoding="utf-8"))


def write(folder: Path, *, resources: tuple[str, ...] = (), components: tuple[str, ...] = (), **more: Any) -> Path:
    """A kustomization of a user's.

    Args:
        folder: where it is written.
        resources: paths below ``kustomize/`` that it takes, or of files in the folder.
        components: names of the components that it takes.
        more: what else it says.
    """

    def reach(path: str) -> str:
        return path if (folder / path).exists() else os.path.relpath(TREE / path, folder)

    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [reach(path) for path in resources],
        "components": [reach(f"components/{name}") for name in components],
        **more,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization, sort_keys=False))
    return folder


def by_id(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """Objects by kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def renamed(objects: list[Object], old: str, new: str) -> list[Object]:
    """Objects with another word wherever one is in them."""
    return list(json.loads(json.dumps(objects).replace(old, new)))


def _documents(text: str) -> list[Object]:
    return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
