"""Moving from the public chart as docs/migration.md says: what runs goes on, and nothing of the old operator is left.

The change-over is made once, with clusters of the public operator at work. What it has come to is then looked at, and
last used.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed import Client, Event, Future
from pytest_kind import KindCluster

from ci import cluster as clusters
from ci import tools
from scripts import images
from tests import public
from tests.platform import CUSTOM_RESOURCES, Object, Platform, dask_cluster, dask_resource, eventually

pytestmark = pytest.mark.e2e

RELEASE = "dask"
NAMESPACE = "dask-operator"
OF_RELEASE = f"app.kubernetes.io/instance={RELEASE}"
CLUSTER = "old"
EXTRA = "old-extra"
JOB = "old-job"
WORKERS = 3  # of the cluster: two of its default group, one of the extra one

# Waits for a word from outside, which comes after the change-over.
JOB_PROGRAM = """
import pathlib, time
from dask.distributed import Client

with Client() as client:
    before = client.submit(sum, range(10))
    while not pathlib.Path("/tmp/go").exists():
        time.sleep(0.5)
    print("sum:", client.submit(sum, [before, 1]).result())
"""


@dataclass
class Moved:
    """What there was before the change-over, and what was computed meanwhile.

    Attributes:
        platform: the cluster and the namespace with what runs.
        helm: runs Helm.
        before: by uid, the Pods of schedulers, workers and the job's runner.
        job_status: of the job.
        held: results of which each worker held the only copy; ``values`` are these results.
        working: what was under way on every worker; ``answers`` is what came out.
    """

    platform: Platform
    before: dict[str, Object]
    job_status: Object
    held: list[float]
    values: list[float]
    answers: list[int]


@pytest.fixture(scope="module")
def platform(fresh_cluster: KindCluster, built: images.Built) -> Platform:
    """A cluster with the public operator, and nothing else that knows of Dask."""
    repository, tag = public.image()
    clusters.load([f"{repository}:{tag}", built.controller, built.dask], fresh_cluster.name)
    values = ("--set", f"image.name={repository},image.tag={tag}", "--set", "podAnnotations.kept=here")
    place = ("--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout=180s")
    helm(fresh_cluster, "install", RELEASE, str(public.chart()), *place, *values)
    fresh_cluster.kubectl("create", "namespace", "work")
    return Platform(fresh_cluster, "work", built.dask, NAMESPACE)


@pytest.fixture(scope="module")
def moved(platform: Platform, built: images.Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    """The change-over, as docs/migration.md has it, under a computation and a job."""
    at_work(platform)
    with platform.client(CLUSTER) as client:
        held, working = computing(client)
        values = client.gather(held)
        before = {pod["metadata"]["uid"]: pod for pod in dask_pods(platform)}
        job_status = platform.get("daskjob", JOB)["status"]
        change_over(platform, built.chart, tmp_path_factory.mktemp("move") / "values.yaml")
        taken_over(platform)
        Event("go", client=client).set()
        answers = client.gather(working)
        yield Moved(platform, before, job_status, client.gather(held), values, answers)


def at_work(platform: Platform) -> None:
    """A cluster with two groups and an autoscaler, and a job, all of them running."""
    cluster = dask_cluster(CLUSTER, platform.dask_image, replicas=2)
    cluster["metadata"]["labels"] = {"team": "red"}
    job_cluster = dask_cluster(JOB, platform.dask_image, replicas=1)["spec"]
    container = {"name": "job", "image": platform.dask_image, "args": ["python", "-c", JOB_PROGRAM]}
    job = {"job": {"spec": {"containers": [container]}}, "cluster": {"spec": job_cluster}}
    platform.apply(cluster, dask_resource("DaskJob", JOB, job))
    # The public operator gives up for a minute on what belongs to a cluster that is not there yet.
    eventually("workers", lambda: platform.ready_pods(CLUSTER), lambda names: len(names) == 2)
    worker = dask_cluster(CLUSTER, platform.dask_image, replicas=1)["spec"]["worker"]
    platform.apply(
        dask_resource("DaskWorkerGroup", EXTRA, {"cluster": CLUSTER, "worker": worker}),
        dask_resource("DaskAutoscaler", CLUSTER, {"cluster": CLUSTER, "minimum": 2, "maximum": 2}),
    )
    eventually("all workers", lambda: platform.ready_pods(CLUSTER), lambda names: len(names) == WORKERS)
    finalizers = "jsonpath={.metadata.finalizers[0]}=kopf.zalando.org/KopfFinalizerMarker"
    platform.wait(finalizers, f"daskautoscaler/{CLUSTER}")
    platform.wait("jsonpath={.status.jobStatus}=Running", f"daskjob/{JOB}")


def computing(client: Client) -> tuple[list[Future[float]], list[Future[int]]]:
    """Something that each worker alone holds, and something that each is at until it is told to end."""

    def patient(number: int) -> int:
        from distributed import Event  # in the worker

        Event("go").wait()
        return number * number

    client.wait_for_workers(WORKERS, timeout=60)
    addresses = sorted(client.scheduler_info(n_workers=-1)["workers"])
    held = [client.submit(random.random, workers=[address], pure=False) for address in addresses]
    working = [client.submit(patient, n, workers=[address], pure=False) for n, address in enumerate(addresses)]
    return held, working


def change_over(platform: Platform, chart: Path, values: Path) -> None:
    """The commands of docs/migration.md."""
    kind = platform.kind
    kind.kubectl("scale", "deployment", "--namespace", NAMESPACE, "--selector", OF_RELEASE, "--replicas=0")
    gone = ("--for=delete", "pod", "--namespace", NAMESPACE, "--selector", OF_RELEASE, "--timeout=60s")
    kind.kubectl("wait", *gone)

    given = yaml.safe_load(helm(kind, "get", "values", RELEASE, "--namespace", NAMESPACE, "--output=yaml"))
    given.pop("image", None)
    values.write_text(yaml.safe_dump(given))
    given_anew = ("--reset-values", "--values", str(values))  # without the former, none mean those of the release
    options = ("--namespace", NAMESPACE, *given_anew, "--take-ownership", "--wait", "--timeout=180s")
    helm(kind, "upgrade", RELEASE, str(chart), *options)


def taken_over(platform: Platform) -> None:
    """Wait until that is so, as docs/migration.md has one look at it."""
    deployments = "dask.org/component=worker"
    eventually("no Deployments of workers", lambda: platform.find("deployments,replicasets", deployments), is_empty)
    platform.wait("condition=Ready", f"daskcluster/{CLUSTER}")


def is_empty(found: list[Any]) -> bool:
    return not found


def helm(kind: KindCluster, *arguments: str) -> str:
    """Run Helm and return what it prints.

    Raises:
        AssertionError: it failed; the message is what it printed.
    """
    environment = {**os.environ, "KUBECONFIG": str(kind.kubeconfig_path)}
    command = [str(tools.ensure(["helm"])["helm"]), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def dask_pods(platform: Platform) -> list[Object]:
    return platform.find("pods", "dask.org/cluster-name")


def restarts(pod: Object) -> int:
    return sum(status["restartCount"] for status in pod["status"]["containerStatuses"])


def test_no_pod_is_replaced_or_restarted(moved: Moved) -> None:
    now = {pod["metadata"]["uid"]: restarts(pod) for pod in dask_pods(moved.platform)}
    assert now == {uid: restarts(pod) for uid, pod in moved.before.items()}


def test_no_result_is_lost_and_what_was_under_way_is_done(moved: Moved) -> None:
    assert moved.held == moved.values
    assert moved.answers == [number * number for number in range(WORKERS)]


def test_workers_belong_to_their_groups_alone(moved: Moved) -> None:
    groups = {
        group["metadata"]["uid"]: group["metadata"]["name"] for group in moved.platform.find("daskworkergroups")
    }
    found = moved.platform.find("pods", "dask.org/component=worker")
    assert len(found) == WORKERS + 1, "and that of the job"
    for pod in found:
        [owner] = pod["metadata"]["ownerReferences"]
        assert owner["controller"]
        assert groups[owner["uid"]] == pod["metadata"]["labels"]["dask.org/workergroup-name"]


def test_nothing_of_the_old_operator_holds_up_a_deletion(moved: Moved) -> None:
    objects = json.loads(moved.platform.kubectl("get", CUSTOM_RESOURCES, "-o", "json"))["items"]
    assert {one["kind"] for one in objects} == {"DaskJob", "DaskCluster", "DaskWorkerGroup", "DaskAutoscaler"}
    assert [one["metadata"].get("finalizers", []) for one in objects] == [[]] * len(objects)


def test_definitions_are_the_release_s(moved: Moved) -> None:
    manifest = helm(moved.platform.kind, "get", "manifest", RELEASE, "--namespace", NAMESPACE)
    assert manifest.count("kind: CustomResourceDefinition") == 4
    assert moved.platform.kind.kubectl("diff", "-f", "-", input=manifest) == ""
    place = ("--namespace", NAMESPACE, "--output=yaml")
    assert yaml.safe_load(helm(moved.platform.kind, "get", "values", RELEASE, *place)) == {
        "podAnnotations": {"kept": "here"}
    }


def test_job_goes_on_and_is_accounted(moved: Moved) -> None:
    platform = moved.platform
    platform.kubectl("exec", f"{JOB}-runner", "--", "touch", "/tmp/go")  # noqa: S108
    platform.wait("condition=Complete", f"daskjob/{JOB}")
    status = platform.get("daskjob", JOB)["status"]
    assert status["jobStatus"] == "Successful"
    for field in ("clusterName", "jobRunnerPodName", "startTime"):
        assert status[field] == moved.job_status[field]
    assert "sum: 46" in platform.kubectl("logs", f"{JOB}-runner")
    eventually("no cluster of the job", lambda: platform.find("daskclusters,pods", JOB_CLUSTER), only_runner)


JOB_CLUSTER = f"dask.org/cluster-name={JOB}"


def only_runner(found: list[Object]) -> bool:
    return [one["metadata"]["name"] for one in found] == [f"{JOB}-runner"]


def test_group_scales_down_without_loss_and_up_again(moved: Moved) -> None:
    platform, autoscaler = moved.platform, f"daskautoscaler/{CLUSTER}"
    platform.kubectl("delete", autoscaler)
    old = {pod["metadata"]["uid"] for pod in platform.pods(CLUSTER)}
    with platform.client(CLUSTER) as client:
        futures = [client.submit(random.random, workers=[w], pure=False) for w in sorted(client.nthreads())]
        before = client.gather(futures)
        platform.kubectl("scale", f"daskworkergroup/{CLUSTER}-default", "--replicas=1")
        eventually("2 workers", lambda: platform.pods(CLUSTER), lambda pods: len(pods) == WORKERS - 1)
        assert {pod["metadata"]["uid"] for pod in platform.pods(CLUSTER)} < old
        platform.kubectl("scale", f"daskworkergroup/{EXTRA}", "--replicas=2")
        eventually("3 workers", lambda: platform.ready_pods(CLUSTER), lambda names: len(names) == WORKERS)
        client.wait_for_workers(WORKERS, timeout=60)
        assert client.gather(futures) == before
    assert len({pod["metadata"]["uid"] for pod in platform.pods(CLUSTER)} & old) == WORKERS - 1


def test_deleted_cluster_leaves_nothing(moved: Moved) -> None:
    platform = moved.platform
    begun = time.monotonic()
    platform.kubectl("delete", f"daskcluster/{CLUSTER}", f"daskjob/{JOB}", "--ignore-not-found", "--timeout=60s")
    eventually("nothing left", platform.remains, is_empty)
    assert time.monotonic() - begun < 60
