"""Argo CD and Flux tell from what the controller wrote how an object is, and tell the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from lupa.lua51 import LuaError

from tests.render.gitops.health import (
    ARGOCD,
    CHECKS,
    HEALTHS,
    IN_FLUX,
    KINDS,
    Object,
    argocd_health,
    flux_health,
    sandbox,
)
from tests.render.kustomize.overlays import build

pytestmark = pytest.mark.render

CASES = [
    pytest.param(kind, case, id=f"{kind}-{Path(case['inputPath']).stem}")
    for kind in KINDS
    for case in yaml.safe_load((CHECKS / kind / "health_test.yaml").read_text())["tests"]
]


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_argocd_tells_how_a_sample_is(kind: str, case: Object) -> None:
    expected = case["healthStatus"]
    assert Path(case["inputPath"]).stem.split("_")[0] == expected["status"].lower(), "the name says it too"
    assert argocd_health(kind, _sample(kind, case)) == (expected["status"], expected["message"])


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_flux_agrees(kind: str, case: Object) -> None:
    sample = _sample(kind, case)
    # Expressions cannot ask whether there is a status: Flux goes on asking until there is one.
    expected = IN_FLUX[case["healthStatus"]["status"]] if "status" in sample else "Unknown"
    assert flux_health(kind, sample) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_is_a_case(kind: str) -> None:
    cases = yaml.safe_load((CHECKS / kind / "health_test.yaml").read_text())["tests"]
    samples = {f"testdata/{file.name}" for file in (CHECKS / kind / "testdata").iterdir()}
    assert {case["inputPath"] for case in cases} == samples
    assert {case["healthStatus"]["status"] for case in cases} >= set(IN_FLUX)


@pytest.mark.parametrize("kind", KINDS)
def test_a_condition_without_words_is_told_by_its_type(kind: str) -> None:
    decisive = {"DaskAutoscaler": "ScalingActive", "DaskJob": "Failed"}.get(kind, "Degraded")
    body = _with([{"type": decisive, "status": "True"}])
    assert argocd_health(kind, body)[1] == decisive


def test_the_sandbox_has_no_libraries() -> None:
    """Or a script that works here would not in Argo CD, which opens none for what users configure."""
    lua = sandbox()
    for call in ("string.len('a')", "('a'):len()", "math.max(1, 2)", "os.time()", "io.read()"):
        with pytest.raises(LuaError, match=r"attempt to (index|call)"):
            lua.execute(f"return {call}")


REASONS = (
    *(
        "AsExpected",
        "Unschedulable",
        "Timeout",
        "ImagePullBackOff",
        "Invalid",
        "Conflict",
        "Suspended",
        "RunnerFailed",
    ),
    *("UpdatingWorkers", "ScalingDown", "SchedulerUnreachable", "ClusterNotFound", "AwaitingTarget"),
)
TYPES = {
    "DaskCluster": ("Ready", "SchedulerReady", "WorkersReady", "Progressing", "Suspended", "Degraded"),
    "DaskWorkerGroup": ("WorkersReady", "Progressing", "Draining", "Degraded"),
    "DaskJob": ("Complete", "Failed", "Suspended", "Degraded"),
    "DaskAutoscaler": ("AbleToScale", "ScalingActive", "ScalingLimited"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_the_conditions_are_both_agree(kind: str) -> None:
    @settings(max_examples=200, deadline=None)
    @given(_conditions(TYPES[kind]), st.sampled_from([1, 2]))
    def agree(conditions: list[Object], observed: int) -> None:
        body = _with(conditions, observed)
        status, message = argocd_health(kind, body)
        assert status in HEALTHS
        assert message
        assert flux_health(kind, body) == IN_FLUX[status]

    agree()


def test_the_patch_leaves_other_settings_alone(tmp_path: Path) -> None:
    settings_of_argocd = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": "argocd"},
        "data": {"url": "https://argocd.example.com"},
    }
    (tmp_path / "argocd-cm.yaml").write_text(yaml.safe_dump(settings_of_argocd))
    component = ARGOCD / "health"
    kustomization = {"resources": ["argocd-cm.yaml"], "components": [os.path.relpath(component, tmp_path)]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (patched,) = build(tmp_path)
    assert patched["metadata"] == settings_of_argocd["metadata"]
    assert patched["data"] == {
        "url": "https://argocd.example.com",
        **{
            f"resource.customizations.health.kubernetes.dask.org_{kind}": (CHECKS / kind / "health.lua").read_text()
            for kind in KINDS
        },
    }


def _sample(kind: str, case: Object) -> Object:
    return dict(yaml.safe_load((CHECKS / kind / case["inputPath"]).read_text()))


def _with(conditions: list[Object], observed: int = 1) -> Object:
    return {"metadata": {"generation": 1}, "status": {"observedGeneration": observed, "conditions": conditions}}


def _conditions(types: tuple[str, ...]) -> st.SearchStrategy[list[Object]]:
    def condition(kind: str) -> st.SearchStrategy[Object]:
        return st.fixed_dictionaries(
            {
                "type": st.just(kind),
                "status": st.sampled_from(["True", "False", "Unknown"]),
                "reason": st.sampled_from(REASONS),
                "message": st.sampled_from(["", "words"]),
            }
        )

    chosen = st.lists(st.sampled_from(types), unique=True)
    return chosen.flatmap(lambda names: st.tuples(*(condition(name) for name in names)).map(list))
