"""Objects with the status that the controller wrote, in every state that GitOps tools tell apart.

They are the test data of the health checks in ``kustomize/argocd/resource_customizations``, and of the expressions in
``kustomize/flux``. ``python -m tests.unit.controller.health_samples`` writes them anew.
"""

from __future__ import annotations

import asyncio
import pathlib
import random
import secrets
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from dask_kubernetes_operator.reconcile import cluster as passes
from dask_kubernetes_operator.resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_JOBS,
    DASK_WORKER_GROUPS,
    PODS,
    Resource,
)
from scripts.render.yaml_text import to_yaml

from . import public
from .dask_world import DaskWorld
from .jobs import NAME as JOB
from .jobs import ended, job
from .objects import NOW, Object, cluster
from .operator import Operator, play
from .stories import give_each_worker_a_result, new_image, scale, set_status, suspend
from .test_plan_autoscaler import autoscaler
from .virtual_time import simulate
from .world import World

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "kustomize/argocd/resource_customizations/kubernetes.dask.org"

Samples = dict[str, Object]
Story = Callable[["Stage"], Coroutine[Any, Any, None]]

# What the API server keeps for itself.
_INTERNAL = ("resourceVersion", "uid", "managedFields")


class Stage:
    """A world with an operator at work in it, of which samples are taken."""

    def __init__(self) -> None:
        self.world = World()
        self.dask = DaskWorld(self.world)
        self.samples: Samples = {}

    async def operate(self, seconds: float = 15) -> Operator:
        """Start the operator, and give it time."""
        operator = Operator(self.world, dask=self.dask)
        operator.start()
        await asyncio.sleep(seconds)
        return operator

    def take(self, state: str, resource: Resource, name: str) -> None:
        """A sample of an object as it is now."""
        body = self.world.get(resource, name)
        kept = {key: value for key, value in body["metadata"].items() if key not in _INTERNAL}
        kept["ownerReferences"] = [{**owner, "uid": owner["name"]} for owner in kept.get("ownerReferences", ())]
        if not kept["ownerReferences"]:
            del kept["ownerReferences"]
        # Of the spec nothing depends on which of these states it is.
        self.samples[f"{resource.kind}/testdata/{state}.yaml"] = {
            "apiVersion": "kubernetes.dask.org/v1",
            "kind": resource.kind,
            "metadata": kept,
            **({"status": body["status"]} if body.get("status") else {}),
        }

    def take_cluster(self, state: str) -> None:
        """Samples of the cluster and of its default group."""
        self.take(state, DASK_CLUSTERS, "simple")
        self.take(state, DASK_WORKER_GROUPS, "simple-default")


def record() -> Samples:
    """All samples, by path below `FOLDER`; the same in every run."""
    samples: Samples = {}
    for story, starting in STORIES:
        with pytest.MonkeyPatch.context() as patch:
            random.seed(0)
            patch.setattr(secrets, "token_hex", lambda size: random.randbytes(size).hex())  # noqa: S311
            patch.setattr(passes, "_now", _now)
            stage = Stage()
            simulate(lambda stage=stage, story=story, starting=starting: _played(stage, story, starting))  # type: ignore[misc]
        samples |= stage.samples
    return samples


def text(sample: Object) -> str:
    """A sample as it is stored."""
    return to_yaml(cast(Any, sample))


def _now() -> datetime:
    return NOW + timedelta(seconds=asyncio.get_running_loop().time())


async def _played(stage: Stage, story: Story, starting: bool) -> None:
    await play(stage.world, _now, lambda: story(stage), starting=starting)


# Clusters and their groups -----------------------------------------------------------------------------------------


async def cluster_lives(stage: Stage) -> None:
    stage.world.put(DASK_CLUSTERS, cluster())
    operator = await stage.operate()
    stage.take_cluster("healthy")
    give_each_worker_a_result(stage.dask)
    stage.world.change(DASK_CLUSTERS, "simple", new_image)
    await asyncio.sleep(1)
    stage.take_cluster("progressing_workers_are_updated")
    await asyncio.sleep(60)
    stage.world.change(DASK_CLUSTERS, "simple", suspend(True))
    await asyncio.sleep(60)
    stage.take_cluster("suspended")
    await operator.stop()
    stage.world.change(DASK_CLUSTERS, "simple", suspend(False))
    stage.take("progressing_change_not_seen_yet", DASK_CLUSTERS, "simple")


async def cluster_shrinks(stage: Stage) -> None:
    stage.world.put(DASK_CLUSTERS, cluster(replicas=3))
    operator = await stage.operate()
    for name in give_each_worker_a_result(stage.dask):
        stage.dask.place(f"more of {name}", name)
    stage.world.change(DASK_CLUSTERS, "simple", scale(1))
    await asyncio.sleep(0.6)
    stage.take_cluster("healthy_while_scaling_down")
    await operator.stop()


async def cluster_starts(stage: Stage) -> None:
    stage.world.put(DASK_CLUSTERS, cluster())
    operator = await stage.operate()
    stage.take_cluster("progressing")
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node fits"}
    for pod in stage.world.live_pods():
        status = {"phase": "Pending", "conditions": [unschedulable]}
        stage.world.change(PODS, pod["metadata"]["name"], set_status(status))
    await asyncio.sleep(5)
    stage.take_cluster("progressing_no_node_has_room")
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image: manifest unknown"}
    for pod in stage.world.live_pods():
        containers = [{"name": "worker", "state": {"waiting": waiting}}]
        stage.world.change(
            PODS, pod["metadata"]["name"], set_status({"phase": "Pending", "containerStatuses": containers})
        )
    await asyncio.sleep(5)
    stage.take_cluster("degraded")
    await operator.stop()


async def cluster_is_wrong(stage: Stage) -> None:
    stage.world.put(DASK_CLUSTERS, cluster(worker={"replicas": 2, "spec": {"containers": []}}))
    operator = await stage.operate()
    stage.take("degraded_spec_is_wrong", DASK_CLUSTERS, "simple")
    await operator.stop()


async def cluster_of_the_public_operator(stage: Stage) -> None:
    public.leave(stage.world, {"simple-default": 2})
    for state, phase in {
        "progressing": "Created",
        "progressing_pending": "Pending",
        "healthy": "Running",
        "degraded": "Error",
    }.items():
        stage.world.change(DASK_CLUSTERS, "simple", set_status({"phase": phase}))
        stage.take(f"{state}_public_operator", DASK_CLUSTERS, "simple")
    stage.take("healthy_public_operator", DASK_WORKER_GROUPS, "simple-default")
    stage.take("healthy_public_operator", DASK_AUTOSCALERS, "simple")
    for resource, body in ((DASK_CLUSTERS, cluster("new")), (DASK_AUTOSCALERS, autoscaler("new"))):
        stage.world.put(resource, body)
        stage.take("progressing_no_operator", resource, "new")


# Jobs --------------------------------------------------------------------------------------------------------------


async def job_succeeds(stage: Stage) -> None:
    stage.world.put(DASK_JOBS, job(backoffLimit=1))
    operator = await stage.operate()
    stage.take("progressing", DASK_JOBS, JOB)
    stage.world.change(PODS, f"{JOB}-runner", _ended(1, "Traceback: no such file"))
    await asyncio.sleep(3)
    stage.take("progressing_runner_is_tried_again", DASK_JOBS, JOB)
    await asyncio.sleep(30)
    stage.world.change(PODS, f"{JOB}-runner", _ended(0))
    await asyncio.sleep(5)
    stage.take("healthy", DASK_JOBS, JOB)
    await operator.stop()


async def job_fails(stage: Stage) -> None:
    stage.world.put(DASK_JOBS, job(backoffLimit=0))
    operator = await stage.operate()
    stage.world.change(PODS, f"{JOB}-runner", _ended(1, "Traceback: no such file"))
    await asyncio.sleep(5)
    stage.take("degraded", DASK_JOBS, JOB)
    await operator.stop()


async def job_waits(stage: Stage) -> None:
    stage.world.put(DASK_JOBS, job(suspend=True))
    operator = await stage.operate()
    stage.take("suspended", DASK_JOBS, JOB)
    await operator.stop()


async def job_starts(stage: Stage) -> None:
    stage.world.put(DASK_JOBS, job())
    operator = await stage.operate()
    stage.take("progressing_runner_is_not_running", DASK_JOBS, JOB)
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image: manifest unknown"}
    containers = [{"name": "job", "state": {"waiting": waiting}}]
    stage.world.change(PODS, f"{JOB}-runner", set_status({"phase": "Pending", "containerStatuses": containers}))
    await asyncio.sleep(5)
    stage.take("degraded_image_is_not_there", DASK_JOBS, JOB)
    await operator.stop()


async def job_of_the_public_operator(stage: Stage) -> None:
    stage.world.put(DASK_JOBS, job())
    stage.take("progressing_no_operator", DASK_JOBS, JOB)
    for state, reached in {
        "progressing": "JobCreated",
        "progressing_cluster": "ClusterCreated",
        "progressing_runs": "Running",
        "healthy": "Successful",
        "degraded": "Failed",
    }.items():
        stage.world.change(DASK_JOBS, JOB, set_status({"jobStatus": reached}))
        stage.take(f"{state}_public_operator", DASK_JOBS, JOB)


def _ended(code: int, message: str = "") -> Callable[[Object], None]:
    phase = "Failed" if code else "Succeeded"
    return set_status({"phase": phase, "containerStatuses": [ended(code, message=message)]})


# Autoscalers -------------------------------------------------------------------------------------------------------


async def autoscaler_follows(stage: Stage) -> None:
    stage.world.put(DASK_CLUSTERS, cluster())
    stage.world.put(DASK_AUTOSCALERS, autoscaler())
    stage.dask.target = 2
    operator = await stage.operate()
    stage.take("healthy", DASK_AUTOSCALERS, "simple")
    stage.world.put(DASK_AUTOSCALERS, autoscaler("younger", workerGroup="simple-default"))
    await asyncio.sleep(5)
    stage.take("degraded", DASK_AUTOSCALERS, "younger")
    stage.dask.away = True
    await asyncio.sleep(120)
    stage.take("degraded_scheduler_does_not_answer", DASK_AUTOSCALERS, "simple")
    stage.dask.away = False
    stage.world.change(DASK_CLUSTERS, "simple", suspend(True))
    await asyncio.sleep(30)
    stage.take("suspended", DASK_AUTOSCALERS, "simple")
    await operator.stop()


async def autoscaler_waits(stage: Stage) -> None:
    stage.world.put(DASK_AUTOSCALERS, autoscaler())
    operator = await stage.operate()
    stage.take("progressing_cluster_is_not_there", DASK_AUTOSCALERS, "simple")
    stage.world.put(DASK_CLUSTERS, cluster())
    await asyncio.sleep(15)
    stage.take("progressing", DASK_AUTOSCALERS, "simple")
    await operator.stop()


# With each, whether nodes start what is pending.
STORIES: tuple[tuple[Story, bool], ...] = (
    (cluster_lives, True),
    (cluster_shrinks, True),
    (cluster_starts, False),
    (cluster_is_wrong, True),
    (cluster_of_the_public_operator, True),
    (job_succeeds, True),
    (job_fails, True),
    (job_waits, True),
    (job_starts, False),
    (job_of_the_public_operator, True),
    (autoscaler_follows, True),
    (autoscaler_waits, False),
)


def main() -> None:
    """Write the samples."""
    for path, sample in record().items():
        (FOLDER / path).write_text(text(sample), encoding="utf-8")


if __name__ == "__main__":
    main()
