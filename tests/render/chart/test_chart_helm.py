"""The helper that finds Helm: tests never pass by not running."""

from __future__ import annotations

import pytest

from tests.render.chart.helm import HELMS, Helm, HelmMissingError, check_helm, merge, nested, pick

pytestmark = pytest.mark.render


@pytest.mark.parametrize("name", HELMS)
@pytest.mark.parametrize(
    ("path", "tried"),
    [
        (None, "`python -m ci tools` gave none"),
        ("/nowhere/helm", "='/nowhere/helm' is no executable"),
        (__file__, "is no executable"),
    ],
)
def test_missing_helm_is_an_error_that_names_the_variable(name: str, path: str | None, tried: str) -> None:
    with pytest.raises(
        HelmMissingError, match=f"need {name}: set {name.upper()} to a Helm {name[-1]} binary"
    ) as caught:
        check_helm(name, path)
    assert tried in str(caught.value)


def test_the_other_helm_is_an_error(helm: Helm) -> None:
    (other,) = set(HELMS) - {helm.name}
    with pytest.raises(
        HelmMissingError, match=f"{other} is to be a Helm {other[-1]}, but .* says that it is v{helm.name[-1]}"
    ):
        check_helm(other, str(helm.binary))


def test_pick_tells_null_from_absent() -> None:
    objects = [{"kind": "A", "spec": {"null": None, "list": [1]}}]
    assert pick(objects, "A", "spec", "null") is None
    assert pick(objects, "A", "spec", "list", 0) == 1
    for path in (("spec", "none"), ("spec", "list", 1), ("none", "deeper")):
        assert pick(objects, "A", *path) == "<absent>"
    assert pick(objects, "B") == "<absent>"


def test_merge_replaces_lists_and_joins_maps() -> None:
    first = merge(nested("a.b", 1), nested("a.c", [1, 2]))
    assert merge(first, nested("a.c", [3])) == {"a": {"b": 1, "c": [3]}}
