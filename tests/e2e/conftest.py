"""When the suite began, in which order it runs, whether all of it does; and what several files take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ci import cluster as clusters
from ci import engine
from scripts import images
from tests import releases, seeds

HERE = Path(__file__).parent
# It looks back on all the others.
LAST = "test_rights.py"

_BEGAN_AT = pytest.StashKey[datetime]()
_LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Nothing of this suite happened before now."""
    config.stash[_BEGAN_AT] = datetime.now(UTC)
    config.stash[_LEFT_OUT] = []


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the last one last."""
    items.sort(key=lambda item: item.path == HERE / LAST)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Take note of what ``-k`` and the like leave out."""
    for item in items:
        if item.path.parent == HERE:
            item.config.stash[_LEFT_OUT].append(item.nodeid)


@pytest.fixture(scope="session")
def began_at(request: pytest.FixtureRequest) -> datetime:
    """When the suite began."""
    return request.config.stash[_BEGAN_AT]


@pytest.fixture
def whole_suite(request: pytest.FixtureRequest) -> None:
    """For a test that says something of the suite as a whole: it is skipped unless all the others passed.

    What ``--ignore`` leaves out is no part of the suite: it has nothing to do with the way in which it is run.
    """
    config = request.config
    ignored = {Path(path).resolve() for path in config.getoption("ignore") or ()}
    missing = set(HERE.glob("test_*.py")) - ignored - {item.path for item in request.session.items}
    chosen = [argument for argument in config.args if "::" in argument]
    if left_out := [*sorted(path.name for path in missing), *chosen, *config.stash[_LEFT_OUT]]:
        pytest.skip(f"only a part of the suite was run: {', '.join(left_out)[:200]}")
    if request.session.testsfailed:
        pytest.skip("other tests failed, and what they would have led to was not seen")


@pytest.fixture(scope="session")
def seeds_image(built: images.Built, request: pytest.FixtureRequest) -> str:
    """An image, which the nodes hold, with Dask's programs by the names that the public client and its pages know."""
    reference = seeds.image(built.dask)
    clusters.load([reference], request.config.getoption("cluster_name"))
    return reference


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[releases.Site]:
    """A release in a registry and in an index, made as the page says for this machine's architecture."""
    engine.ensure()
    with releases.published(tmp_path_factory.mktemp("release"), releases.publish_image) as site:
        yield site
        releases.forget_images(site)
