"""A cache of its own for every test, and a console that can be read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from ci import console as console_module
from ci.cache import Cache


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty cache."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """All that is written to the console."""
    stream = io.StringIO()
    monkeypatch.setattr(console_module.console, "_stream", stream)
    return stream


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of what the developer has set, and no way to the developer's cache."""
    for name in ("CLUSTER", "KUBECONFIG", "DOCKER_HOST", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CI_CACHE_DIR", str(tmp_path / "default-cache"))
