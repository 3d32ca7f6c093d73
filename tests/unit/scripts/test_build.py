"""From a source file to a CRD, with both kinds of patches."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml

from scripts.crd.build import build, open_documents
from scripts.tree import TreeError

pytestmark = pytest.mark.unit

SERVICE = "python://scripts/schemata/k8s-1.36.json#/definitions/io.k8s.api.core.v1.ServiceSpec"
SCHEMA = "/spec/versions/0/schema/openAPIV3Schema"


def write(folder: pathlib.Path, schema: Any, **patches: Any) -> pathlib.Path:
    """A source with that schema, and patches by the name of their file."""
    crd = {"metadata": {"name": "k"}, "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}
    for name, content in {"kind": crd, **{f"{name}.patch": patch for name, patch in patches.items()}}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return folder / "kind.yaml"


def schema_of(crd: Any) -> Any:
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_a_source_is_resolved_and_made_structural(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path, {"type": "object", "properties": {"service": {"$ref": SERVICE}}})
    crd = build(file, open_documents(tmp_path, "1.36"))
    ports = schema_of(crd)["properties"]["service"]["properties"]["ports"]
    assert ports["items"]["properties"]["targetPort"] == {"x-kubernetes-int-or-string": True}
    assert ports["items"]["properties"]["protocol"]["default"] == "TCP"
    assert crd["metadata"] == {"name": "k"}


def test_a_patch_beside_a_source_is_for_its_result(tmp_path: pathlib.Path) -> None:
    path = f"{SCHEMA}/properties/service/properties/ports/maxItems"
    operations = [{"op": "add", "path": path, "value": 9}]
    file = write(tmp_path, {"type": "object", "properties": {"service": {"$ref": SERVICE}}}, kind=operations)
    crd = build(file, open_documents(tmp_path, "1.36"))
    assert schema_of(crd)["properties"]["service"]["properties"]["ports"]["maxItems"] == 9


def test_the_patch_of_kubernetes_is_for_every_reference_into_it(tmp_path: pathlib.Path) -> None:
    path = "/definitions/io.k8s.api.core.v1.ServicePort/properties/nodePort"
    schema = {"type": "object", "properties": {"a": {"$ref": SERVICE}, "b": {"$ref": SERVICE}}}
    file = write(tmp_path, schema, kubernetes=[{"op": "remove", "path": path}])
    crd = build(file, open_documents(tmp_path, "1.36"))
    for service in schema_of(crd)["properties"].values():
        assert "nodePort" not in service["properties"]["ports"]["items"]["properties"]


@pytest.mark.parametrize(
    ("schema", "patches", "message"),
    [
        (
            {"type": "object", "properties": {"a": {}}},
            {},
            r"kind\.yaml: spec\.versions\[0\]\.schema\.openAPIV3Schema\.properties\.a",
        ),
        ({"type": "object"}, {"kind": {"op": "add"}}, r"kind\.patch\.yaml: \(root\): a JSON patch is a list"),
        (
            {"type": "object"},
            {"kind": [{"op": "remove", "path": "/none"}]},
            r"kind\.patch\.yaml: \[0\]: cannot be applied to /none",
        ),
        (
            {"type": "object"},
            {"kind": [{"op": "add", "path": f"{SCHEMA}/$ref", "value": "#/a"}]},
            r"\$ref: this keyword",
        ),
        ({"type": "object"}, {"kind": [{"op": "remove", "path": "/spec"}]}, r"kind\.yaml: spec: expected a mapping"),
        ({"$ref": SERVICE}, {"kubernetes": [{"op": "remove", "path": "/none"}]}, r"kubernetes\.patch\.yaml: \[0\]"),
        ({"$ref": SERVICE}, {"kubernetes": "text"}, r"kubernetes\.patch\.yaml: \(root\): a JSON patch is a list"),
    ],
)
def test_is_refused_with_its_place(
    tmp_path: pathlib.Path, schema: Any, patches: dict[str, Any], message: str
) -> None:
    file = write(tmp_path, schema, **patches)
    with pytest.raises(TreeError, match=message):
        build(file, open_documents(tmp_path, "1.36"))


def test_a_source_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        build(tmp_path / "none.yaml", open_documents(tmp_path, "1.36"))
