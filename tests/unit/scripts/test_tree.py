from __future__ import annotations

import pytest

from scripts.tree import Path, TreeError, as_mapping, show_path

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("path", "text"),
    [((), "(root)"), (("spec",), "spec"), (("spec", "versions", 0, "schema"), "spec.versions[0].schema")],
)
def test_a_path_reads_as_people_write_it(path: Path, text: str) -> None:
    assert show_path(path) == text


def test_an_error_names_document_place_and_problem() -> None:
    assert str(TreeError("a.yaml", ("spec", 1), "is odd")) == "a.yaml: spec[1]: is odd"


@pytest.mark.parametrize("node", [None, [], "text", 1])
def test_what_is_no_mapping_is_refused(node: object) -> None:
    with pytest.raises(TreeError, match=r"a\.yaml: spec: expected a mapping"):
        as_mapping(node, "a.yaml", ("spec",))  # type: ignore[arg-type]
