"""Fixtures for the controller's unit tests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from dask_kubernetes_operator.reconcile import cluster

from .objects import NOW


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], datetime]:
    """The wall clock, which follows the event loop's; what is left to chance comes out the same in every run."""
    random.seed(0)

    def now() -> datetime:
        return NOW + timedelta(seconds=asyncio.get_running_loop().time())

    monkeypatch.setattr(cluster, "_now", now)
    return now
