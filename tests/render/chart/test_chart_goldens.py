"""The goldens. That they are not stale is for `make check` to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.render import chart, goldens
from scripts.tree import TreeError
from tests.render.chart.helm import HELMS, REPOSITORY, find_helm

pytestmark = pytest.mark.render


@pytest.mark.parametrize("name", goldens.names(REPOSITORY))
def test_both_helms_give_the_same_text(name: str) -> None:
    first, second = (goldens.golden(REPOSITORY, name, find_helm(helm).binary) for helm in HELMS)
    assert first == second


@pytest.mark.parametrize("name", goldens.names(REPOSITORY))
def test_golden_does_not_change_with_each_commit(name: str) -> None:
    text = (REPOSITORY / goldens.GOLDENS / f"{name}.yaml").read_text()
    assert "helm.sh/chart: dask-kubernetes-operator-0.0.1-set.by.chartpress\n" in text
    assert "dask-kubernetes-operator:set-by-chartpress" in text


def test_values_that_are_refused_are_named(tmp_path: Path) -> None:
    folder = tmp_path / chart.CHART
    folder.parent.mkdir()
    folder.symlink_to(REPOSITORY / chart.CHART)
    with pytest.raises(TreeError, match=r"ci/none-values\.yaml: .*none-values\.yaml"):
        goldens.golden(tmp_path, "none", find_helm("helm3").binary)
