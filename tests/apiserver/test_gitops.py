"""What is written for Argo CD and Flux is what their own definitions admit, on a real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.apiserver.conftest import ROOT
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver

ARGOCD = ROOT / "kustomize" / "argocd"
FLUX = ROOT / "kustomize" / "flux"
STRICTLY = ("--dry-run=server", "--validate=strict", "--warnings-as-errors")


@pytest.mark.parametrize("way", [(), ("--server-side",)], ids=["client-side", "server-side"])
@pytest.mark.parametrize(
    "target",
    [
        ("-k", ARGOCD),
        ("-f", ARGOCD / "applicationset.yaml"),
        ("-f", ARGOCD / "clusters.yaml"),
        ("-k", FLUX / "git"),
        ("-k", FLUX / "oci"),
        ("-k", FLUX / "helm"),
        ("-k", FLUX / "clusters"),
    ],
    ids=lambda target: str(target[1].relative_to(ROOT / "kustomize")),
)
def test_is_admitted_strictly_and_without_a_warning(
    gitops_server: ApiServer, target: tuple[str, Path], way: tuple[str, ...]
) -> None:
    option, path = target
    applied = gitops_server.kubectl("apply", *way, *STRICTLY, option, str(path))
    assert (applied.returncode, applied.stderr) == (0, "")
    assert applied.stdout


def test_what_an_application_set_makes_is_admitted(gitops_server: ApiServer) -> None:
    for each in yaml.safe_load_all((ARGOCD / "applicationset.yaml").read_text()):
        template = json.dumps(each["spec"]["template"])
        filled = template.replace("{{.nameNormalized}}", "edge").replace("{{.server}}", "https://edge.example.com")
        assert "{{" not in filled
        application = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", **json.loads(filled)}
        application["metadata"]["namespace"] = "argocd"
        applied = gitops_server.kubectl("apply", *STRICTLY, "-f", "-", stdin=application)
        assert (applied.returncode, applied.stderr) == (0, "")


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        (ARGOCD / "crds.yaml", {"syncPolicy": {"automated": {"pruned": False}}}, "spec.syncPolicy.automated.pruned"),
        (ARGOCD / "operator.yaml", {"projekt": "x"}, "spec.projekt"),
        (FLUX / "sync/crds.yaml", {"deletionPolicy": "Keep"}, "spec.deletionPolicy"),
        (FLUX / "sync/operator.yaml", {"dependson": []}, "spec.dependson"),
        (FLUX / "oci/source.yaml", {"verify": {"provider": "gpg"}}, "spec.verify.provider"),
        (FLUX / "helm/release.yaml", {"driftDetection": {"mode": "on"}}, "spec.driftDetection.mode"),
    ],
)
def test_a_slip_is_refused_by_its_name(
    gitops_server: ApiServer, file: Path, change: dict[str, Any], told: str
) -> None:
    body = yaml.safe_load(file.read_text())
    body["spec"].update(change)
    refused = gitops_server.kubectl("apply", *STRICTLY, "-f", "-", stdin=body)
    assert refused.returncode != 0
    assert told in refused.stderr
