"""The documents that references point into, loaded once each. The only module of the package that reads files.

A reference is ``<where>#<JSON pointer>`` and ``<where>`` is one of

- empty: the same document;
- ``name.yaml``: a file beside the document that has the reference;
- ``python://package/path.json``: a file inside an importable Python package, the form k8s-crd-resolver introduced.
"""

from __future__ import annotations

import importlib.resources
import json
import pathlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from scripts.tree import Mapping, Path, TreeError, as_mapping

PYTHON_SCHEME = "python://"
_KUBERNETES = re.compile(r"^python://scripts/schemata/k8s-\d+\.\d+\.json$")


@dataclass(frozen=True)
class Document:
    """One loaded file.

    Attributes:
        name: how references and errors call it.
        folder: where relative references look; None when they are not allowed.
        root: its content.
        foreign: written by someone else, so its descriptions are not ours to ship.
    """

    name: str
    folder: pathlib.Path | None
    root: Mapping
    foreign: bool


class Documents:
    """Loads documents on demand and keeps them.

    Args:
        kubernetes: minor such as ``1.36``; a reference to the vendored schema of another minor leads here.
        amend: called with the vendored schema once, to patch it before anything refers into it.
    """

    def __init__(self, kubernetes: str, amend: Callable[[Document], Document] = lambda document: document) -> None:
        self._kubernetes = kubernetes
        self._amend = amend
        self._loaded: dict[str, Document] = {}

    def open(self, file: pathlib.Path) -> Document:
        """A document of our own.

        Raises:
            TreeError: it is not a YAML mapping.
            OSError: it cannot be read.
        """
        key = str(file.resolve())
        if key not in self._loaded:
            text = file.read_text(encoding="utf-8")
            self._loaded[key] = Document(file.name, file.parent, _parse(text, file.name), foreign=False)
        return self._loaded[key]

    def follow(self, where: str, base: Document, path: Path) -> Document:
        """The document that a reference names.

        Args:
            where: the part of the reference before ``#``.
            base: the document that has the reference.
            path: where in `base` it stands, for errors.

        Raises:
            TreeError: there is no such document, or it is not a mapping.
        """
        if not where:
            return base
        if where.startswith(PYTHON_SCHEME):
            return self._from_package(where, base, path)
        if base.folder is None:
            raise TreeError(base.name, path, f"a relative reference ({where}) leads out of a packaged document")
        file = base.folder / where
        if not file.is_file():
            raise TreeError(base.name, path, f"there is no file {where} beside {base.name}")
        return self.open(file)

    def _from_package(self, where: str, base: Document, path: Path) -> Document:
        is_kubernetes = _KUBERNETES.match(where) is not None
        if is_kubernetes:
            where = f"{PYTHON_SCHEME}scripts/schemata/k8s-{self._kubernetes}.json"
        if where not in self._loaded:
            package, _, inside = where.removeprefix(PYTHON_SCHEME).partition("/")
            try:
                text = importlib.resources.files(package).joinpath(inside).read_text(encoding="utf-8")
            except (ModuleNotFoundError, OSError) as error:
                raise TreeError(base.name, path, f"{where} cannot be read: {error}") from error
            document = Document(where, None, _parse(text, where), foreign=True)
            self._loaded[where] = self._amend(document) if is_kubernetes else document
        return self._loaded[where]


def _parse(text: str, name: str) -> Mapping:
    try:
        root = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise TreeError(name, (), f"cannot be parsed: {error}") from error
    return as_mapping(root, name, ())
