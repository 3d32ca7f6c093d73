"""Puts the referenced schemas in place of the references.

Semantics of k8s-crd-resolver: a description that someone else wrote is removed, one that we wrote stays; hints for
other clients (``x-kubernetes-patch-strategy`` and the like) are removed, what the API server knows stays.
Keywords beside a ``$ref`` are kept and win over those of the referenced schema.
"""

from __future__ import annotations

from dataclasses import dataclass

from scripts.crd import pointer
from scripts.crd.documents import Document, Documents
from scripts.crd.keywords import FOREIGN_ONLY, SUPPORTED, map_children
from scripts.tree import Mapping, Path, TreeError, as_mapping


@dataclass(frozen=True)
class _Place:
    """Where the resolver is: a document, and the references that were followed to get there."""

    document: Document
    trail: tuple[str, ...] = ()


def resolve(schema: Mapping, document: Document, documents: Documents, path: Path = ()) -> Mapping:
    """A copy of a schema without references.

    Args:
        schema: the schema; it is not changed.
        document: the document it stands in.
        documents: where referenced documents come from.
        path: path of the schema in its document, for errors.

    Raises:
        TreeError: a reference leads nowhere or to itself, or a keyword is not supported in a CRD.
    """
    return _resolve(schema, path, _Place(document), documents)


def _resolve(schema: Mapping, path: Path, place: _Place, documents: Documents) -> Mapping:
    _refuse_unsupported(schema, path, place)
    reference = schema.get("$ref")
    if reference is None:
        kept = {key: value for key, value in schema.items() if _is_kept(key, place)}
        return map_children(kept, lambda child, where: _resolve(child, where, place, documents), path)
    if not isinstance(reference, str) or reference.count("#") != 1:
        raise TreeError(place.document.name, path, f"$ref has to be <document>#<JSON pointer>, not {reference!r}")
    return _merge_siblings(schema, _follow(reference, path, place, documents), path, place, documents)


def _merge_siblings(schema: Mapping, target: Mapping, path: Path, place: _Place, documents: Documents) -> Mapping:
    siblings = {key: value for key, value in schema.items() if key != "$ref"}
    ours = _resolve(siblings, path, place, documents)
    # Ours come first: the description above the hundreds of lines it describes.
    return ours | {key: value for key, value in target.items() if key not in ours}


def _follow(reference: str, path: Path, place: _Place, documents: Documents) -> Mapping:
    where, _, inside = reference.partition("#")
    document = documents.follow(where, place.document, path)
    key = f"{document.name}#{inside}"
    if key in place.trail:
        cycle = " -> ".join((*place.trail[place.trail.index(key) :], key))
        raise TreeError(place.document.name, path, f"a schema cannot contain itself: {cycle}")
    try:
        target = as_mapping(pointer.get(document.root, inside), document.name, ("#", inside))
    except (LookupError, ValueError) as error:
        raise TreeError(place.document.name, path, f"$ref {reference} leads nowhere: {error}") from error
    steps = tuple(pointer.parse(inside))
    return _resolve(target, steps, _Place(document, (*place.trail, key)), documents)


def _is_kept(keyword: str, place: _Place) -> bool:
    return not (place.document.foreign and (keyword == "description" or keyword in FOREIGN_ONLY))


def _refuse_unsupported(schema: Mapping, path: Path, place: _Place) -> None:
    allowed = SUPPORTED | FOREIGN_ONLY if place.document.foreign else SUPPORTED
    for keyword in schema:
        if keyword not in allowed and keyword != "$ref":
            raise TreeError(place.document.name, (*path, keyword), "this keyword is not supported in a CRD")
