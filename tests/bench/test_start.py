"""How long a small cluster takes to start on nodes that really run Pods."""

from __future__ import annotations

import time

import pytest

from tests.platform import Platform, dask_cluster, eventually

from .report import report

pytestmark = pytest.mark.bench

ROUNDS = 5


def test_three_pods(platform: Platform) -> None:
    seconds = []
    for round_ in range(ROUNDS):
        name = f"small-{round_}"
        cluster = dask_cluster(name, platform.dask_image, replicas=2)
        started = time.monotonic()
        platform.apply(cluster)
        eventually(
            "a ready scheduler and two ready workers",
            lambda name=name: [*platform.ready_pods(name), *platform.ready_pods(name, component="scheduler")],  # type: ignore[misc]
            lambda names: len(names) == 3,
            every_seconds=0.05,
        )
        seconds.append(time.monotonic() - started)
        platform.kubectl("delete", "daskcluster", name)
        eventually("nothing left", lambda: platform.find("pods"), lambda pods: not pods)
    report("kubectl apply to 1 scheduler and 2 workers ready", seconds, "s")
