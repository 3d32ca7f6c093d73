"""Where Flux, Argo CD and their definitions come from, as far as neither engine nor Go is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ci import base_image, gitops, golang, programs
from ci.cache import Cache
from ci.programs import Programs

pytestmark = pytest.mark.unit

DEFINED = {
    "github.com/fluxcd/source-controller": "config/crd/bases/gitrepositories.yaml",
    "github.com/fluxcd/kustomize-controller": "config/crd/bases/kustomizations.yaml",
    "github.com/argoproj/argo-cd/v2": "manifests/crds/application-crd.yaml",
}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """Stands in for Go and the engine; of each image its recipe and its base."""
    images: list[tuple[str, str]] = []

    def sources(package: str, _: Path) -> Path:
        file = tmp_path / package / DEFINED[package]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
        return tmp_path / package

    def build(*_: object, into: Path, **__: object) -> None:
        (into / "program").write_text("")

    def image(recipe: Path, _: list[Path], __: Cache, *, base: str = "") -> str:
        images.append((recipe.stem, base))
        return recipe.stem

    monkeypatch.setattr(golang, "sources", sources)
    monkeypatch.setattr(golang, "build", build)
    monkeypatch.setattr(programs, "image", image)
    monkeypatch.setattr(base_image, "ensure", lambda _: "python")
    return images


@pytest.mark.parametrize("each", gitops.ALL, ids=lambda each: each.name)
def test_sources_are_pinned_and_none_is_on_this_machine(each: Programs) -> None:
    text = (each.module / "go.mod").read_text()
    assert re.findall(r"=> \.", text) == []
    assert ("require" in text) == (each.module / "go.sum").is_file()


@pytest.mark.parametrize(
    ("module", "version"),
    [
        ("github.com/fluxcd/source-controller", "v1.9.1"),
        ("github.com/fluxcd/source-controller/api", "v1.9.1"),
        ("github.com/fluxcd/kustomize-controller", "v1.9.5"),
        ("github.com/fluxcd/kustomize-controller/api", "v1.9.5"),
        ("github.com/argoproj/argo-cd/v2", "v2.14.21"),
    ],
)
def test_kinds_are_of_the_version_of_their_controller(module: str, version: str) -> None:
    pinned = [
        found
        for each in (gitops.SOURCE_CONTROLLER, gitops.KUSTOMIZE_CONTROLLER, gitops.ARGO_CD)
        if f"/{each.name}" in module
        for found in re.findall(rf"^\t{re.escape(module)} (\S+)", (each.module / "go.mod").read_text(), re.MULTILINE)
    ]
    assert pinned == [version]


def test_argo_cd_is_made_of_what_its_makers_make_it_of() -> None:
    replaced = re.findall(
        r"^\t(k8s\.io/\S+) => \1 v0\.31\.", (gitops.ARGO_CD.module / "go.mod").read_text(), re.MULTILINE
    )
    assert {"k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go", "k8s.io/kubectl"} <= set(replaced)


def test_all_is_built_once_the_images_are_there(cache: Cache, made: list[tuple[str, str]]) -> None:
    assert not gitops.is_built(cache)
    found = gitops.images(cache)
    assert gitops.is_built(cache)
    assert set(made) == {("git-server", "python"), ("flux", ""), ("argo-cd", "git-server")}
    assert found == ["git-server", "flux", "argo-cd"]


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("missing", [each.name for each in gitops.ALL] + ["gitops-definitions"])
def test_a_part_that_is_missing_is_not_built(cache: Cache, missing: str) -> None:
    gitops.images(cache)
    [part] = (cache.root / "artifacts").glob(f"{missing}-????????????????")
    part.rename(part.with_name("elsewhere"))
    assert not gitops.is_built(cache)


@pytest.mark.usefixtures("made")
def test_each_tool_has_definitions_of_its_own(cache: Cache) -> None:
    names = {tool: [file.name for file in gitops.definitions(tool, cache)] for tool in ("flux", "argo-cd")}
    assert names == {"flux": ["gitrepositories.yaml", "kustomizations.yaml"], "argo-cd": ["application-crd.yaml"]}
