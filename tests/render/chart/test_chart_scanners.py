"""What scanners of manifests say of the chart, by itself and with each of the values files in its ci/."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.render import goldens
from tests.render.chart.helm import CHART, REPOSITORY
from tests.render.chart.scanners import Findings, NothingScannedError, checkov, kube_score

pytestmark = pytest.mark.render

FILES = sorted((REPOSITORY / goldens.GOLDENS).glob("*.yaml"))
RESTRICTED = REPOSITORY / goldens.GOLDENS / "restricted.yaml"

_TABLE = Path(__file__).with_name("accepted_findings.toml")
ACCEPTED: list[dict[str, Any]] = tomllib.loads(_TABLE.read_text())["accepted"]


@dataclass(frozen=True)
class Scanned:
    """What a scanner found in the goldens, and in one that was made worse."""

    by: Callable[[Sequence[Path]], Findings]
    findings: Findings
    worse: set[str]

    def of(self, findings: Iterable[str]) -> set[str]:
        """Those that are of this scanner: the checks of checkov have numbers, those of kube-score names."""
        return {finding for finding in findings if (" CKV" in finding) == (self.by is checkov)}


@pytest.fixture(scope="module", params=[kube_score, checkov], ids=["kube-score", "checkov"])
def scanned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """All that a scanner is asked for, at once, as checkov takes long to start."""
    worse = tmp_path_factory.mktemp("worse") / "worse.yaml"
    text = RESTRICTED.read_text()
    worse.write_text(text.replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"))
    findings = request.param([*FILES, worse])
    return Scanned(request.param, findings, findings.pop(worse))


def test_what_is_found_is_accepted_and_what_is_accepted_is_found(scanned: Scanned) -> None:
    accepted = (finding for entry in ACCEPTED for finding in entry["findings"])
    assert set().union(*scanned.findings.values()) == scanned.of(accepted)


def test_restricted_values_leave_what_no_value_changes(scanned: Scanned) -> None:
    left = (finding for entry in ACCEPTED if "value" not in entry for finding in entry["findings"])
    assert scanned.findings[RESTRICTED] == scanned.of(left)


def test_what_is_made_worse_is_found(scanned: Scanned) -> None:
    root_filesystem = ["Deployment container-security-context-readonlyrootfilesystem", "Deployment CKV_K8S_22"]
    assert scanned.worse - scanned.findings[RESTRICTED] == scanned.of(root_filesystem)


def test_a_file_with_nothing_in_it_has_not_passed(tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("---\n")
    with pytest.raises(NothingScannedError):
        kube_score([empty])


@pytest.mark.parametrize("entry", ACCEPTED, ids=lambda entry: entry["findings"][0])
def test_exception_says_why_and_restricted_values_set_what_it_names(entry: dict[str, Any]) -> None:
    assert entry["reason"].endswith(".")
    found = yaml.safe_load((CHART / "ci" / "restricted-values.yaml").read_text())
    for key in filter(None, entry.get("value", "").split(".")):
        found = found[key]
    assert found
