"""One CRD from its source file: resolve, make structural, patch, check."""

from __future__ import annotations

import dataclasses
import pathlib

import yaml

from scripts.crd import invariants, patch
from scripts.crd.documents import Document, Documents
from scripts.crd.resolver import resolve
from scripts.crd.structural import make_structural
from scripts.tree import Mapping, Node, Path, TreeError, as_mapping

# Patches the vendored schema of Kubernetes before it is referred to.
KUBERNETES_PATCH = "kubernetes.patch.yaml"


def open_documents(folder: pathlib.Path, kubernetes: str) -> Documents:
    """The documents that the sources in a folder refer to, for one minor of Kubernetes."""
    operations = _operations(folder / KUBERNETES_PATCH)

    def amend(document: Document) -> Document:
        patched = patch.apply(document.root, operations, KUBERNETES_PATCH)
        return dataclasses.replace(document, root=as_mapping(patched, document.name, ()))

    return Documents(kubernetes, amend)


def build(file: pathlib.Path, documents: Documents) -> Mapping:
    """The CRD that a source file describes, as an API server accepts it.

    A file ``<name>.patch.yaml`` beside ``<name>.yaml`` is a JSON patch for the result.

    Args:
        file: the source.
        documents: from `open_documents`.

    Raises:
        TreeError: the source or the result is wrong; it names the place.
    """
    document = documents.open(file)
    crd: Mapping = document.root
    for path, schema in invariants.schemas(crd, document.name):
        resolved = resolve(schema, document, documents, path)
        structural = make_structural(resolved, document.name, path)
        crd = as_mapping(_replace(crd, path, structural), document.name, ())
    patch_file = file.with_suffix(".patch.yaml")
    if operations := _operations(patch_file):
        crd = as_mapping(patch.apply(crd, operations, patch_file.name), document.name, ())
    invariants.check(crd, document.name)
    return crd


def _operations(file: pathlib.Path) -> list[Node]:
    if not file.is_file():
        return []
    operations = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(operations, list):
        raise TreeError(file.name, (), "a JSON patch is a list of operations")
    return operations


def _replace(node: Node, path: Path, value: Node) -> Node:
    """A copy of a tree, shared where it does not change, with another value at a path that exists."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(node, list):
        return [_replace(member, rest, value) if index == first else member for index, member in enumerate(node)]
    if isinstance(node, dict):
        return {key: _replace(member, rest, value) if key == first else member for key, member in node.items()}
    return node
