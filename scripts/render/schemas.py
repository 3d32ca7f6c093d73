"""The verb ``schemas``: the CRDs as JSON schemas, for editors and kubeconform.

They are stricter than the API server in one way, as kubeconform's ``-strict`` is: a field that is not known is
refused, which is what ``kubectl apply`` does too. They cannot say the rules in CEL.
"""

from __future__ import annotations

import json
import pathlib

from scripts import schemata
from scripts.crd.invariants import schemas
from scripts.crd.keywords import map_children
from scripts.render.crds import load
from scripts.render.outputs import Rendered
from scripts.tree import Mapping, Path

# <group>/<kind>_<version>.json is where kubeconform and the catalogues of schemas look.
FOLDER = pathlib.PurePosixPath("docs/schemas/kubernetes.dask.org")
DIALECT = "http://json-schema.org/draft-07/schema#"


def render(root: pathlib.Path, kubernetes: str = schemata.DEFAULT_MINOR) -> Rendered:
    """The outputs of the verb.

    Raises:
        TreeError: a source is wrong; it names the place.
    """
    files: dict[pathlib.PurePosixPath, str] = {}
    for crd in load(root, kubernetes):
        for _, schema in schemas(crd.resource, crd.source.name):
            document = {"$schema": DIALECT} | to_json_schema(with_object_fields(schema, crd.kind))
            text = json.dumps(document, indent=1, ensure_ascii=False)
            files[FOLDER / f"{crd.kind.lower()}_v1.json"] = f"{text}\n"
    return Rendered(files, frozenset({FOLDER}))


def with_object_fields(schema: Mapping, kind: str) -> Mapping:
    """The schema of a whole object: a CRD leaves apiVersion, kind and metadata to the API server."""
    own = schema.get("properties")
    properties: Mapping = {
        "apiVersion": {"type": "string", "enum": ["kubernetes.dask.org/v1"]},
        "kind": {"type": "string", "enum": [kind]},
        "metadata": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    }
    merged = properties | {
        key: value for key, value in (own if isinstance(own, dict) else {}).items() if key not in properties
    }
    return schema | {"required": ["apiVersion", "kind", "metadata", "spec"], "properties": merged}


def to_json_schema(schema: Mapping, path: Path = ()) -> Mapping:
    """A structural schema in the words of JSON schema, draft 7, without ``x-kubernetes-*``."""
    changed = map_children(schema, to_json_schema, path)
    plain = {key: value for key, value in changed.items() if not key.startswith("x-kubernetes-")}
    if plain.get("format") in {"int32", "int64"}:
        plain.pop("format")
    if schema.get("x-kubernetes-int-or-string") is True:
        return plain | {"type": ["integer", "string"]}
    if schema.get("x-kubernetes-preserve-unknown-fields") is True:
        return plain
    if plain.get("type") == "object" and "properties" in plain and "additionalProperties" not in plain:
        return plain | {"additionalProperties": False}
    return plain
