"""The page about the fields of the custom resources."""

from __future__ import annotations

import pathlib

import pytest

from scripts.render import reference

pytestmark = pytest.mark.render

ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def page() -> str:
    return reference.render(ROOT).files[reference.PAGE]


@pytest.mark.parametrize("kind", ["DaskAutoscaler", "DaskCluster", "DaskJob", "DaskWorkerGroup"])
def test_every_kind_has_a_section(page: str, kind: str) -> None:
    assert f"\n## {kind}\n" in page


@pytest.mark.parametrize(
    "row",
    [
        "| `spec.worker.replicas` | integer |",
        "| `spec.worker.metadata.labels` | map of string |",
        "| `spec.cluster.spec.scheduler.service` | [ServiceSpec](https://kubernetes.io/docs/",
        "| `spec.job.spec` | [PodSpec](https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.36/#podspec-",
        "| `status.phase` | `Created` or `Pending` or `Running` or `Error` |",
        "| `status.conditions[].type` | string |",
        "| `spec.updateStrategy.rolling.maxSurge` | integer or string |",
        "| `spec.behavior.scaleDown.policies[].type` | `Percent` |",
    ],
)
def test_a_field_has_a_row(page: str, row: str) -> None:
    assert row in page


def test_required_fields_and_defaults_are_said(page: str) -> None:
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert rows["spec.minimum"].endswith("Required. |")
    assert rows["spec.worker.replicas"].endswith("Default `1`. |")


def test_a_pod_spec_stays_a_link(page: str) -> None:
    assert "containers" not in page.replace("spec.containers", "")
    assert len(page.splitlines()) < 200


def test_every_row_has_three_cells_and_a_description(page: str) -> None:
    for line in page.splitlines():
        if line.startswith("| `"):
            assert line.count(" | ") == 2
            assert not line.endswith("|  |")
