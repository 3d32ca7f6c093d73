"""The chart as a package: its metadata, lint, and what it says after an install."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.render.chart.helm import CHART, KUBE_VERSION, Helm, pick, render

pytestmark = pytest.mark.render

NOTES_OBJECT = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: notes
data:
  notes: {{ include "notes" . | toJson }}
"""


def test_lint_has_nothing_to_say(helm: Helm) -> None:
    said = helm.run("lint", "--strict", f"--kube-version={KUBE_VERSION}", str(CHART))
    assert "1 chart(s) linted, 0 chart(s) failed" in said
    assert "[WARNING]" not in said


def test_lint_accepts_the_single_namespace_install(helm: Helm) -> None:
    arguments = ["--set=rbac.cluster=false", "--set=kopfArgs={--namespace=my-namespace}"]
    helm.run("lint", "--strict", f"--kube-version={KUBE_VERSION}", *arguments, str(CHART))


def test_chart_metadata() -> None:
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text())
    expected = {
        "apiVersion": "v2",
        "name": "dask-kubernetes-operator",
        "type": "application",
        "version": "0.0.1-set.by.chartpress",
        "kubeVersion": ">=1.31.0-0",
    }
    assert {key: metadata[key] for key in expected} == expected
    assert "appVersion" not in metadata  # nothing would keep it true


def test_artifact_hub_is_told_of_every_definition(defaults_with_crds: list[dict[str, Any]]) -> None:
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
    told = {(one["kind"], one["name"], one["version"]) for one in yaml.safe_load(annotations["artifacthub.io/crds"])}
    assert told == {
        (crd["spec"]["names"]["kind"], crd["metadata"]["name"], version["name"])
        for crd in defaults_with_crds
        if crd["kind"] == "CustomResourceDefinition"
        for version in crd["spec"]["versions"]
    }
    assert yaml.safe_load(annotations["artifacthub.io/links"])
    for example in yaml.safe_load(annotations["artifacthub.io/crdsExamples"]):
        assert example["kind"] in {kind for kind, _, _ in told}


CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))


@pytest.mark.parametrize("file", CI_VALUES, ids=lambda file: file.stem)
def test_values_for_chart_testing_pass_lint_and_render(helm: Helm, file: Path) -> None:
    helm.run("lint", "--strict", f"--kube-version={KUBE_VERSION}", f"--values={file}", str(CHART))
    assert render(yaml.safe_load(file.read_text()), helm=helm)


def test_package_holds_the_chart_and_nothing_else(helm: Helm, tmp_path: Path) -> None:
    source = tmp_path / CHART.name
    shutil.copytree(CHART, source)
    (source / "notes.swp").write_text("an editor's")
    (source / "old.tgz").write_text("a package")
    helm.run("package", str(source), f"--destination={tmp_path}")
    (package,) = tmp_path.glob("*.tgz")
    shutil.unpack_archive(package, tmp_path / "unpacked", filter="data")
    unpacked = tmp_path / "unpacked" / CHART.name
    assert files(unpacked) == {path for path in files(CHART) if path.parts[0] not in ("ci", "tests")}


def files(chart: Path) -> set[Path]:
    return {path.relative_to(chart) for path in chart.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def notes_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the chart so that it renders its notes into a ConfigMap: ``helm template`` leaves notes out."""
    chart = tmp_path_factory.mktemp("notes") / CHART.name
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("crds"))
    notes = (chart / "templates" / "NOTES.txt").read_text()
    (chart / "templates" / "_notes.tpl").write_text('{{ define "notes" }}' + notes + "{{ end }}")
    (chart / "templates" / "notes.yaml").write_text(NOTES_OBJECT)
    return chart


def notes(helm: Helm, chart: Path, values: dict[str, Any] | None = None, *, crds: bool = True, **release: str) -> str:
    objects = render(values, helm=helm, chart=chart, crds=crds, **release)
    text: str = pick(objects, "ConfigMap", "data", "notes")
    return text


def test_notes_say_what_to_do_next(helm: Helm, notes_chart: Path) -> None:
    text = notes(helm, notes_chart)
    assert text.startswith("Operator has been installed successfully.\n")
    assert "Image:   ghcr.io/dask/dask-kubernetes-operator:set-by-chartpress\n" in text
    assert "Serves:  every namespace\n" in text
    assert "kubectl rollout status -n dask-operator deployment/dask-dask-kubernetes-operator" in text
    assert "kubectl get pods -n dask-operator -l app.kubernetes.io/instance=dask" in text
    assert "kubectl apply -n <namespace> -f cluster.yaml" in text
    assert "kubectl get daskclusters -A" in text
    assert "helm test -n dask-operator dask\n" in text
    assert len(text.splitlines()) < 24


def test_notes_of_a_default_install_hold_no_warning(helm: Helm, notes_chart: Path) -> None:
    text = notes(helm, notes_chart)
    assert "WARNING" not in text
    assert "false" not in text


def test_notes_of_a_single_namespace_name_it(helm: Helm, notes_chart: Path) -> None:
    values = {"rbac": {"cluster": False}, "kopfArgs": ["--namespace=dask-operator"]}
    text = notes(helm, notes_chart, values)
    assert "Serves:  namespace dask-operator\n" in text
    assert "kubectl apply -n dask-operator -f cluster.yaml" in text
    assert "kubectl get daskclusters -n dask-operator" in text
    assert "WARNING" not in text


def test_notes_name_every_namespace_that_is_served(helm: Helm, notes_chart: Path) -> None:
    values = {"rbac": {"cluster": False}, "kopfArgs": ["-n", "one", "--namespace=two"]}
    assert "Serves:  namespace one, two\n" in notes(helm, notes_chart, values)


@pytest.mark.parametrize("pattern", ["team-*", "one,two", "!kube-system"])
def test_notes_put_no_pattern_into_a_command(helm: Helm, notes_chart: Path, pattern: str) -> None:
    text = notes(helm, notes_chart, {"kopfArgs": ["--namespace", pattern]})
    assert f"Serves:  namespace {pattern}\n" in text
    assert "kubectl apply -n <namespace> -f cluster.yaml" in text
    assert "kubectl get daskclusters -A" in text


def test_notes_send_nobody_to_where_nothing_is(helm: Helm, notes_chart: Path) -> None:
    values = {"namespaceOverride": "elsewhere", "fullnameOverride": "mine", "watchNamespaces": ["team-a"]}
    text = notes(helm, notes_chart, values, release="r", namespace="here")
    assert "kubectl rollout status -n elsewhere deployment/mine\n" in text
    assert "kubectl get pods -n elsewhere -l app.kubernetes.io/instance=r\n" in text
    assert "helm test -n here r\n" in text, "Helm's record is in the namespace of the release"
    assert "kubectl apply -n team-a -f cluster.yaml\n" in text
    assert "kubectl get daskclusters -n team-a" in text


def test_notes_warn_of_an_uninstall_that_takes_everything_with_it(helm: Helm, notes_chart: Path) -> None:
    said = "`helm uninstall` deletes the custom resource definitions, and with them every Dask object there is"
    assert said in notes(helm, notes_chart, {"crds": {"keep": False}})
    assert said not in notes(helm, notes_chart)
    assert said not in notes(helm, notes_chart, {"crds": {"keep": False}}, crds=False)


def test_notes_say_that_rights_come_from_elsewhere(helm: Helm, notes_chart: Path) -> None:
    values = {"rbac": {"create": False}, "serviceAccount": {"name": "mine"}}
    assert "service account mine has to be given" in notes(helm, notes_chart, values)


def test_notes_say_that_crds_come_from_elsewhere(helm: Helm, notes_chart: Path) -> None:
    assert "crds.enabled is false" in notes(helm, notes_chart, crds=False)
