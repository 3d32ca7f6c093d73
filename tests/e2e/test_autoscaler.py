"""Autoscaling on a real cluster: the scheduler's own target decides how many workers there are."""

from __future__ import annotations

import pytest

from tests.autoscaling import autoscaler, load
from tests.platform import Object, Platform, dask_cluster, eventually

pytestmark = pytest.mark.e2e


def ready(platform: Platform, name: str, count: int) -> list[str]:
    """Wait until a cluster has so many workers."""
    return eventually(f"{count} workers", lambda: platform.ready_pods(name), lambda names: len(names) == count)


def status(platform: Platform, name: str) -> Object:
    return dict(platform.get("daskautoscaler", name).get("status", {}))


def reasons(platform: Platform, name: str) -> dict[str, str]:
    """The reason of each condition of an autoscaler."""
    return {entry["type"]: entry["reason"] for entry in status(platform, name).get("conditions", ())}


def test_follows_the_load_up_to_maximum_and_down_to_minimum(platform: Platform) -> None:
    platform.apply(dask_cluster("load", platform.dask_image, replicas=1), autoscaler("load", minimum=1, maximum=3))
    platform.wait("condition=Ready", "daskcluster/load")
    with platform.client("load") as client:
        with load(client):
            ready(platform, "load", 3)
            told = eventually(
                "that maximum limits it", lambda: reasons(platform, "load"), lambda found: "ScalingLimited" in found
            )
            assert told["ScalingLimited"] == "TooManyReplicas"
        ready(platform, "load", 1)
    settled = eventually(
        "a status of one worker",
        lambda: status(platform, "load"),
        lambda found: (found.get("currentReplicas"), found.get("desiredReplicas")) == (1, 1),
    )
    assert settled["observedGeneration"] == 1
    events = platform.find("events")
    messages = [e["message"] for e in events if (e["reason"], e["involvedObject"]["name"]) == ("Rescaled", "load")]
    assert any("-> 3 workers" in message for message in messages)
    assert any("-> 1 workers" in message for message in messages)


def test_from_zero_and_back(platform: Platform) -> None:
    platform.apply(dask_cluster("zero", platform.dask_image, replicas=0), autoscaler("zero", minimum=0, maximum=2))
    platform.wait("condition=SchedulerReady", "daskcluster/zero")
    assert platform.pods("zero") == []
    with platform.client("zero") as client:
        with load(client):
            ready(platform, "zero", 2)
        eventually("no workers", lambda: platform.pods("zero"), lambda found: not found)


def test_scaling_by_hand_stays_within_the_bounds_and_deletion_changes_nothing(platform: Platform) -> None:
    platform.apply(
        dask_cluster("hand", platform.dask_image, replicas=1),
        # Nothing but the bounds may change the number in the time that the test takes.
        autoscaler("hand", minimum=1, maximum=2, window_seconds=3600),
    )
    platform.wait("condition=Ready", "daskcluster/hand")
    platform.kubectl("scale", "daskworkergroup/hand-default", "--replicas=5")
    eventually(
        "no more than maximum",
        lambda: platform.get("daskworkergroup", "hand-default")["spec"]["worker"]["replicas"],
        lambda replicas: replicas == 2,
    )
    ready(platform, "hand", 2)
    platform.kubectl("delete", "daskautoscaler", "hand")
    platform.kubectl("scale", "daskworkergroup/hand-default", "--replicas=3")
    ready(platform, "hand", 3)


def test_waits_quietly_for_its_cluster(platform: Platform) -> None:
    platform.apply(autoscaler("early", minimum=2, maximum=3))
    eventually(
        "a condition that names what is missing",
        lambda: reasons(platform, "early"),
        lambda found: found.get("AbleToScale") == "ClusterNotFound",
    )
    platform.apply(dask_cluster("early", platform.dask_image, replicas=1))
    ready(platform, "early", 2)
