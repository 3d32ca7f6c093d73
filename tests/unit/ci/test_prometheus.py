"""Where Prometheus, its operator and their definitions come from, as far as neither engine nor Go is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ci import prometheus

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("module", "root", "programs"),
    [
        (prometheus.MODULE, prometheus.ROOT_PACKAGE, prometheus.PROGRAMS),
        (prometheus.OPERATOR.module, prometheus.OPERATOR_ROOT_PACKAGE, prometheus.OPERATOR_PROGRAMS),
    ],
)
def test_module_pins_one_version_of_the_programs_and_of_what_is_with_them(
    module: Path, root: str, programs: tuple[str, ...]
) -> None:
    text = (module / "go.mod").read_text()
    pinned = re.findall(r"^\t(\S+/cmd/\S+)$", text, re.MULTILINE)
    assert sorted(pinned) == sorted(f"{root}/cmd/{name}" for name in programs)
    assert len(re.findall(rf"^\t{re.escape(root)} v", text, re.MULTILINE)) == 1


def test_version_is_the_one_that_its_users_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "go.mod").write_text(f"require (\n\t{prometheus.ROOT_PACKAGE} v0.312.1 // indirect\n)\n")
    monkeypatch.setattr(prometheus, "MODULE", tmp_path)
    assert prometheus.version() == "3.12.1"


def test_programs_are_built_with_the_discovery_of_kubernetes_alone(tmp_path: Path) -> None:
    sources, module = tmp_path / "sources", tmp_path / "module"
    module.mkdir()
    for name in prometheus.PROGRAMS:
        (sources / "cmd" / name).mkdir(parents=True)
        text = f'import (\n\t"{prometheus.ROOT_PACKAGE}/rules"\n\t_ "{prometheus.EVERY_DISCOVERY}"\n)\n'
        (sources / "cmd" / name / "main.go").write_text(text)
        (sources / "cmd" / name / "main_test.go").write_text("")
    prometheus.write_module(module, sources)
    assert sorted(str(file.relative_to(module)) for file in module.rglob("*.*")) == sorted(
        ["go.mod", "go.sum", *(f"{name}/main.go" for name in prometheus.PROGRAMS)]
    )
    for name in prometheus.PROGRAMS:
        imported = re.findall(r'"(.+)"', (module / name / "main.go").read_text())
        assert imported == [f"{prometheus.ROOT_PACKAGE}/rules", prometheus.DISCOVERY]
