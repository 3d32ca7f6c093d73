"""Programs that run in images, as far as neither Go nor an engine is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ci import debian, golang, programs
from ci.cache import Cache
from ci.console import Failure
from ci.programs import Programs

pytestmark = pytest.mark.unit


@pytest.fixture
def some(tmp_path: Path) -> Programs:
    """One program of a module."""
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example\n")
    return Programs("some", "something", ("example.com/some",), module)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Stands in for Go; says for which system each build was."""
    systems: list[str | None] = []

    def build(packages: Sequence[str], *, into: Path, system: str | None, **_: object) -> None:
        systems.append(system)
        for package in packages:
            (into / package.rpartition("/")[2]).write_text("")

    monkeypatch.setattr(golang, "build", build)
    return systems


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Stands in for an engine: of each image the programs in its context and the arguments of its recipe."""
    images: dict[str, tuple[list[str], dict[str, str]]] = {}

    def build(context: Path, _: str, reference: str, arguments: dict[str, str], __: Cache) -> None:
        images[reference] = (sorted(file.name for file in (context / "bin").iterdir()), arguments)

    monkeypatch.setattr(debian, "has_image", lambda reference: reference in images)
    monkeypatch.setattr(debian, "build_image", build)
    return images


def test_programs_are_built_once_for_linux(cache: Cache, some: Programs, built: list[str | None]) -> None:
    assert not some.are_built(cache)
    assert (some.build(cache) / "some").is_file()
    assert some.are_built(cache)
    some.build(cache)
    assert built == ["linux"]


def test_another_go_sum_is_another_build(cache: Cache, some: Programs, built: list[str | None]) -> None:
    some.build(cache)
    (some.module / "go.sum").write_text("example.com/other v1.0.0 h1:\n")
    assert not some.are_built(cache)
    some.build(cache)
    assert len(built) == 2


def test_a_build_that_fails_leaves_nothing(cache: Cache, some: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, into: Path, **__: object) -> None:
        (into / "half").write_text("")
        raise Failure("building something failed")

    monkeypatch.setattr(golang, "build", fails)
    with pytest.raises(Failure, match="building something failed"):
        some.build(cache)
    assert not some.are_built(cache)


@pytest.mark.usefixtures("built")
def test_image_is_named_after_its_recipe_and_built_once(
    cache: Cache, some: Programs, engine: dict[str, tuple[list[str], dict[str, str]]], tmp_path: Path
) -> None:
    recipe = tmp_path / "thing.Dockerfile"
    recipe.write_text("FROM scratch\n")
    program = some.build(cache) / "some"
    reference = programs.image(recipe, [program], cache)
    assert reference.split("/")[-1].startswith("thing:")
    assert programs.image(recipe, [program], cache) == reference
    assert engine == {reference: (["some"], {})}


@pytest.mark.usefixtures("built")
def test_another_recipe_or_base_is_another_image(
    cache: Cache, some: Programs, engine: dict[str, tuple[list[str], dict[str, str]]], tmp_path: Path
) -> None:
    recipe = tmp_path / "thing.Dockerfile"
    program = some.build(cache) / "some"
    references = []
    for text, base in (("FROM scratch\n", ""), ("FROM $BASE\n", "one"), ("FROM $BASE\n", "two")):
        recipe.write_text(text)
        references.append(programs.image(recipe, [program], cache, base=base))
    assert len(set(references)) == 3
    assert [engine[reference][1] for reference in references] == [{}, {"BASE": "one"}, {"BASE": "two"}]
