"""What a person does to a cluster that runs: scale, edit, suspend, forget, break; and what must not be lost by it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from distributed import Client, Future

from tests.platform import CLUSTER_NAME_LABEL, Object, Platform, dask_cluster, eventually

pytestmark = pytest.mark.e2e


def created(platform: Platform, name: str, *, replicas: int = 2, **spec: Any) -> None:
    """Create a cluster and wait until the operator says that it is ready."""
    cluster = dask_cluster(name, platform.dask_image, replicas=replicas)
    cluster["spec"].update(spec)
    platform.apply(cluster)
    platform.wait("condition=Ready", f"daskcluster/{name}")


def edit(platform: Platform, target: str, patch: Object) -> None:
    """Edit an object as ``kubectl patch`` does."""
    platform.kubectl("patch", target, "--type=merge", "-p", json.dumps(patch))


def condition(platform: Platform, cluster: str, kind: str) -> tuple[str, str]:
    """The status and the reason of one of a cluster's conditions."""
    conditions = platform.get("daskcluster", cluster).get("status", {}).get("conditions", ())
    return next(((c["status"], c["reason"]) for c in conditions if c["type"] == kind), ("", ""))


def event_reasons(platform: Platform) -> set[str]:
    """The reasons of all Events in the test's namespace."""
    return {event["reason"] for event in json.loads(platform.kubectl("get", "events", "-o", "json"))["items"]}


def only_copies(client: Client, count: int) -> list[Future[float]]:
    """Results of which each worker holds the only copy; computed again they would be other ones."""
    client.wait_for_workers(count, timeout=60)
    addresses = sorted(client.scheduler_info(n_workers=-1)["workers"])
    futures = [
        client.submit(random.random, workers=[address], allow_other_workers=False, pure=False)
        for address in addresses
    ]
    client.gather(futures)
    return futures


def test_scaling_down_loses_no_result(platform: Platform) -> None:
    created(platform, "shrink", replicas=4)
    with platform.client("shrink") as client:
        futures = only_copies(client, 4)
        before = client.gather(futures)
        platform.kubectl("scale", "daskworkergroup/shrink-default", "--replicas=1")
        eventually("1 worker", lambda: platform.pods("shrink"), lambda pods: len(pods) == 1)
        assert client.gather(futures) == before
    assert len(platform.ready_pods("shrink")) == 1


def test_a_group_scaled_down_leaves_the_others_alone(platform: Platform) -> None:
    created(platform, "mixed", replicas=1)
    worker = dask_cluster("mixed", platform.dask_image, replicas=2)["spec"]["worker"]
    kind = {"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskWorkerGroup", "metadata": {"name": "mixed-extra"}}
    platform.apply({**kind, "spec": {"cluster": "mixed", "worker": worker}})
    eventually("3 workers", lambda: platform.ready_pods("mixed"), lambda names: len(names) == 3)
    with platform.client("mixed") as client:
        futures = only_copies(client, 3)
        before = client.gather(futures)
        kept = {name for name in platform.ready_pods("mixed") if name.startswith("mixed-default-")}
        platform.kubectl("scale", "daskworkergroup/mixed-extra", "--replicas=0")
        names = eventually("the default group", lambda: set(platform.ready_pods("mixed")), lambda n: len(n) == 1)
        assert names == kept
        assert client.gather(futures) == before


def test_an_edited_pod_spec_replaces_workers_and_loses_no_result(platform: Platform) -> None:
    created(platform, "edited")
    old = set(platform.ready_pods("edited"))
    with platform.client("edited") as client:
        futures = only_copies(client, 2)
        before = client.gather(futures)
        cluster = platform.get("daskcluster", "edited")
        containers = cluster["spec"]["worker"]["spec"]["containers"]
        containers[0]["env"] = [*containers[0].get("env", ()), {"name": "EDITED", "value": "yes"}]
        edit(platform, "daskcluster/edited", {"spec": {"worker": {"spec": {"containers": containers}}}})
        new = eventually(
            "2 new workers",
            lambda: set(platform.ready_pods("edited")),
            lambda names: len(names) == 2 and not names & old,
        )
        assert client.gather(futures) == before
    for pod in platform.pods("edited"):
        assert {"name": "EDITED", "value": "yes"} in pod["spec"]["containers"][0]["env"]
    assert len(new) == 2


def test_an_edited_label_restarts_nothing(platform: Platform) -> None:
    created(platform, "labelled")
    every = f"{CLUSTER_NAME_LABEL}=labelled"
    before = {pod["metadata"]["uid"] for pod in platform.find("pods", every)}
    edit(platform, "daskcluster/labelled", {"metadata": {"labels": {"team": "red"}}})
    eventually(
        "the label on scheduler, workers and Service",
        lambda: [platform.find(kind, f"{every},team=red") for kind in ("pods", "deployments", "services")],
        lambda found: [len(objects) for objects in found] == [3, 1, 1],
    )
    edit(platform, "daskcluster/labelled", {"metadata": {"labels": {"team": None}}})
    eventually("no label", lambda: platform.find("pods,deployments,services", "team"), lambda found: not found)
    assert {pod["metadata"]["uid"] for pod in platform.find("pods", every)} == before


def test_an_edited_scheduler_starts_again_and_an_event_says_what_is_lost(platform: Platform) -> None:
    created(platform, "head")
    cluster = platform.get("daskcluster", "head")
    containers = cluster["spec"]["scheduler"]["spec"]["containers"]
    containers[0]["env"] = [{"name": "EDITED", "value": "yes"}]
    edit(platform, "daskcluster/head", {"spec": {"scheduler": {"spec": {"containers": containers}}}})
    eventually(
        "a scheduler of the new spec",
        lambda: platform.pods("head", component="scheduler"),
        lambda pods: len(pods) == 1 and pods[0]["spec"]["containers"][0].get("env") == containers[0]["env"],
    )
    eventually("a ready cluster", lambda: condition(platform, "head", "Ready")[0], lambda status: status == "True")
    assert "SchedulerReplaced" in event_reasons(platform)
    with platform.client("head") as client:
        client.wait_for_workers(2, timeout=120)


def test_what_is_edited_by_hand_is_put_back(platform: Platform) -> None:
    created(platform, "stubborn", replicas=1)
    edit(platform, "deployment/stubborn-scheduler", {"spec": {"replicas": 0}})
    edit(platform, "service/stubborn-scheduler", {"spec": {"selector": {"dask.org/component": "worker"}}})
    eventually(
        "the Deployment as it was",
        lambda: platform.get("deployment", "stubborn-scheduler")["spec"]["replicas"],
        lambda replicas: replicas == 1,
    )
    eventually(
        "the Service as it was",
        lambda: platform.get("service", "stubborn-scheduler")["spec"]["selector"]["dask.org/component"],
        lambda component: component == "scheduler",
    )


def test_a_suspended_cluster_has_no_pods_and_comes_back(platform: Platform) -> None:
    created(platform, "sleeper")
    address = platform.get("service", "sleeper-scheduler")["spec"]["clusterIP"]
    edit(platform, "daskcluster/sleeper", {"spec": {"suspend": True}})
    eventually("no pods", lambda: platform.find("pods", f"{CLUSTER_NAME_LABEL}=sleeper"), lambda pods: not pods)
    assert condition(platform, "sleeper", "Suspended") == ("True", "SuspendRequested")
    edit(platform, "daskcluster/sleeper", {"spec": {"suspend": False}})
    eventually("a ready cluster", lambda: condition(platform, "sleeper", "Ready")[0], lambda status: status == "True")
    assert platform.get("service", "sleeper-scheduler")["spec"]["clusterIP"] == address


def test_an_idle_cluster_is_deleted(platform: Platform) -> None:
    created(platform, "forgotten", replicas=1, idleTimeout=5)
    eventually("nothing left", platform.remains, lambda found: not found)
    assert "IdleTimeout" in event_reasons(platform)


def test_an_idle_cluster_without_workers_gets_them_back_for_work(platform: Platform) -> None:
    created(platform, "dozer", replicas=1, idleTimeout=3, idleAction="ScaleToZero", drainTimeoutSeconds=5)
    eventually("no workers", lambda: platform.pods("dozer"), lambda pods: not pods)
    with platform.client("dozer") as client:
        assert client.submit(sum, [1, 2]).result(timeout=120) == 3


def test_an_image_that_cannot_be_pulled_is_told(platform: Platform) -> None:
    cluster = dask_cluster("typo", platform.dask_image, replicas=1)
    for part in ("scheduler", "worker"):
        cluster["spec"][part]["spec"]["containers"][0]["image"] = "127.0.0.1:1/no/such:image"
    platform.apply(cluster)
    status, reason = eventually(
        "Degraded", lambda: condition(platform, "typo", "Degraded"), lambda found: found[0] == "True"
    )
    assert reason in ("ErrImagePull", "ImagePullBackOff"), status
    assert condition(platform, "typo", "Ready")[0] == "False"


def test_a_quota_leaves_room_for_the_scheduler_and_is_told(platform: Platform) -> None:
    others = len(platform.find("pods"))  # the operator may be in the same namespace
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": str(others + 2)}},
    }
    platform.apply(quota)
    platform.apply(dask_cluster("poor", platform.dask_image, replicas=3))
    eventually(
        "QuotaExceeded", lambda: condition(platform, "poor", "Degraded"), lambda c: c == ("True", "QuotaExceeded")
    )
    eventually(
        "the scheduler", lambda: platform.ready_pods("poor", component="scheduler"), lambda names: len(names) == 1
    )
    edit(platform, "resourcequota/small", {"spec": {"hard": {"pods": str(others + 4)}}})
    eventually("all workers", lambda: platform.ready_pods("poor"), lambda names: len(names) == 3)


def test_the_operator_leaves_no_marks_on_what_is_the_users(platform: Platform) -> None:
    created(platform, "clean", replicas=1)
    meta = platform.get("daskcluster", "clean")["metadata"]
    assert "finalizers" not in meta
    assert set(meta.get("annotations", {})) <= {"kubectl.kubernetes.io/last-applied-configuration"}
