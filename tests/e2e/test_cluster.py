"""A DaskCluster from its creation to its end, on a real cluster, under the chart's own ServiceAccount."""

from __future__ import annotations

import dask.array as da
import pytest

from tests.platform import CLUSTER_NAME_LABEL, Platform, dask_cluster, eventually, is_ready

pytestmark = pytest.mark.e2e


def created(platform: Platform, name: str, *, replicas: int = 2) -> None:
    """Create a cluster and wait until the operator says that it is ready."""
    platform.apply(dask_cluster(name, platform.dask_image, replicas=replicas))
    platform.wait("condition=Ready", f"daskcluster/{name}")


def test_computes_with_every_worker(platform: Platform) -> None:
    created(platform, "compute")
    with platform.client("compute") as client:
        client.wait_for_workers(2, timeout=60)
        names = {worker["name"] for worker in client.scheduler_info()["workers"].values()}
        array = da.random.default_rng(0).random((4000, 4000), chunks=(500, 500)).persist()
        mean = array.mean().compute()
        holding_data = [address for address, keys in client.has_what().items() if keys]
    assert mean == pytest.approx(0.5, abs=0.01)
    assert names == set(platform.ready_pods("compute")), "a worker's name in Dask is its Pod's name"
    assert len(holding_data) == 2


def test_status_tells_what_is_there(platform: Platform) -> None:
    created(platform, "status")
    status = platform.get("daskcluster", "status")["status"]
    assert status["phase"] == "Running"
    assert (status["replicas"], status["readyReplicas"]) == (2, 2)
    assert status["schedulerAddress"] == f"tcp://status-scheduler.{platform.namespace}.svc:8786"
    selected = platform.find("pods", status["selector"])
    assert {pod["metadata"]["name"] for pod in selected} == set(platform.ready_pods("status"))


def test_scales_up_by_kubectl(platform: Platform) -> None:
    created(platform, "grow")
    before = set(platform.ready_pods("grow"))
    platform.kubectl("scale", "daskworkergroup/grow-default", "--replicas=5")
    after = eventually("5 workers", lambda: set(platform.ready_pods("grow")), lambda names: len(names) == 5)
    assert before < after, "scaling up replaces no worker"
    with platform.client("grow") as client:
        client.wait_for_workers(5, timeout=60)


def test_scaling_the_cluster_scales_its_default_group(platform: Platform) -> None:
    created(platform, "whole")
    platform.kubectl("scale", "daskcluster/whole", "--replicas=3")
    eventually("3 workers", lambda: platform.ready_pods("whole"), lambda names: len(names) == 3)


def test_lost_worker_comes_back(platform: Platform) -> None:
    created(platform, "lost")
    victim, survivor = sorted(platform.ready_pods("lost"))
    platform.kubectl("delete", "pod", victim, "--wait=false")
    names = eventually(
        "a worker in the lost one's place",
        lambda: set(platform.ready_pods("lost")),
        lambda names: len(names) == 2 and victim not in names,
    )
    assert survivor in names


def test_lost_scheduler_comes_back_and_workers_find_it(platform: Platform) -> None:
    created(platform, "headless")
    uid = platform.get("deployment", "headless-scheduler")["metadata"]["uid"]
    platform.kubectl("delete", "deployment", "headless-scheduler")
    eventually(
        "another scheduler Deployment",
        lambda: platform.find("deployments", f"{CLUSTER_NAME_LABEL}=headless"),
        lambda found: [d["metadata"]["uid"] for d in found] not in ([], [uid]),
    )
    eventually(
        "a ready cluster",
        lambda: platform.get("daskcluster", "headless"),
        lambda cluster: is_ready(cluster) and len(platform.ready_pods("headless", component="scheduler")) == 1,
    )
    with platform.client("headless") as client:
        client.wait_for_workers(2, timeout=120)


def test_lost_service_comes_back(platform: Platform) -> None:
    created(platform, "unreachable", replicas=1)
    platform.kubectl("delete", "service", "unreachable-scheduler")
    eventually("the service", lambda: platform.find("services", CLUSTER_NAME_LABEL), lambda found: len(found) == 1)


def test_group_made_before_its_cluster_joins_it(platform: Platform) -> None:
    worker = dask_cluster("late", platform.dask_image, replicas=1)["spec"]["worker"]
    platform.apply(
        {
            "apiVersion": "kubernetes.dask.org/v1",
            "kind": "DaskWorkerGroup",
            "metadata": {"name": "late-extra"},
            "spec": {"cluster": "late", "worker": worker},
        }
    )
    created(platform, "late", replicas=1)
    eventually("a worker of each group", lambda: platform.ready_pods("late"), lambda names: len(names) == 2)
    platform.kubectl("delete", "daskcluster", "late")
    eventually("nothing left", platform.remains, lambda found: not found)


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_deleting_the_cluster_leaves_nothing(platform: Platform, cascade: str) -> None:
    created(platform, "gone")
    platform.kubectl("delete", "daskcluster", "gone", f"--cascade={cascade}")
    eventually("nothing left", platform.remains, lambda found: not found)


def test_name_can_be_used_again_at_once(platform: Platform) -> None:
    created(platform, "again")
    old = set(platform.ready_pods("again"))
    platform.kubectl("delete", "daskcluster", "again", "--wait=false")
    created(platform, "again")
    new = eventually("2 new workers", lambda: set(platform.ready_pods("again")), lambda names: len(names) == 2)
    assert not old & new
