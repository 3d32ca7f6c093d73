"""What Argo CD and Flux take objects for, as the operator leaves them on a real cluster.

With ``--record-health`` the objects become samples of the health checks' own tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from scripts.render.yaml_text import to_yaml
from tests.platform import Object, Platform, dask_cluster, dask_resource, eventually
from tests.render.gitops.health import CHECKS, IN_FLUX, argocd_health, flux_health

pytestmark = pytest.mark.e2e

CLUSTER = "simple"
JOB = "simple-job"
PARTS = (("DaskCluster", CLUSTER), ("DaskWorkerGroup", f"{CLUSTER}-default"), ("DaskAutoscaler", CLUSTER))


class Observer:
    """Looks at objects as the GitOps tools do, and keeps what it saw."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.seen: dict[tuple[str, str], Object] = {}

    def becomes(self, status: str, *objects: tuple[str, str]) -> None:
        """Wait until Argo CD takes each of some objects, given by kind and name, for healthy or whatever else."""
        names = [f"{kind.lower()}/{name}" for kind, name in objects]
        found = eventually(
            f"{', '.join(names)}: {status}",
            lambda: json.loads(self._platform.kubectl("get", *names, "-o", "json", "--ignore-not-found")),
            lambda answer: [self._health(one) for one in items(answer)] == [status] * len(objects),
        )
        for one in items(found):
            assert flux_health(one["kind"], one) == IN_FLUX[status], one
            self.seen[one["kind"], status] = one

    @staticmethod
    def _health(one: Object) -> str:
        """What the check says of what the operator says, once it knows of the latest change."""
        known = one.get("status", {}).get("observedGeneration") == one["metadata"]["generation"]
        return argocd_health(one["kind"], one)[0] if known else ""


def items(answer: Object) -> list[Object]:
    """The objects of a list, or the one."""
    return list(answer["items"]) if "items" in answer else [answer]


@pytest.fixture
def observer(platform: Platform, request: pytest.FixtureRequest) -> Iterator[Observer]:
    """Keeps as samples what it saw, if it is asked to."""
    observer = Observer(platform)
    yield observer
    if request.config.getoption("record_health"):
        for (kind, status), one in observer.seen.items():
            record(kind, status, yaml.safe_load(yaml.safe_dump(one).replace(platform.namespace, "default")))


def record(kind: str, status: str, one: Object) -> None:
    """Write a sample, and what the check says of it."""
    kept = ("name", "namespace", "creationTimestamp", "generation")
    metadata = {name: one["metadata"][name] for name in kept}
    sample = {"apiVersion": one["apiVersion"], "kind": kind, "metadata": metadata, "status": one["status"]}
    path = f"testdata/{status.lower()}_recorded.yaml"
    (CHECKS / kind / path).write_text(to_yaml(sample))
    cases: dict[str, Any] = yaml.safe_load((CHECKS / kind / "health_test.yaml").read_text())
    tests = [case for case in cases["tests"] if case["inputPath"] != path]
    health = dict(zip(("status", "message"), argocd_health(kind, sample), strict=True))
    tests.append({"healthStatus": health, "inputPath": path})
    tests.sort(key=lambda case: str(case["inputPath"]))
    (CHECKS / kind / "health_test.yaml").write_text(to_yaml({"tests": tests}))


def test_cluster_with_its_group_and_autoscaler(platform: Platform, observer: Observer) -> None:
    cluster = dask_cluster(CLUSTER, platform.dask_image, replicas=1)
    cluster["spec"]["suspend"] = True
    bounds = {"cluster": CLUSTER, "minimum": 1, "maximum": 1}
    platform.apply(cluster, dask_resource("DaskAutoscaler", CLUSTER, bounds))
    observer.becomes("Suspended", *PARTS)
    platform.kubectl("patch", "daskcluster", CLUSTER, "--type=merge", '--patch={"spec":{"suspend":false}}')
    observer.becomes("Progressing", *PARTS)
    observer.becomes("Healthy", *PARTS)
    platform.apply(dask_resource("DaskAutoscaler", "younger", bounds))
    observer.becomes("Degraded", ("DaskAutoscaler", "younger"))
    platform.apply(dask_cluster("broken", "registry.invalid/none:1", replicas=1))
    observer.becomes("Degraded", ("DaskCluster", "broken"), ("DaskWorkerGroup", "broken-default"))


def test_job(platform: Platform, observer: Observer) -> None:
    platform.apply(job(JOB, platform.dask_image, "pass", suspend=True))
    observer.becomes("Suspended", ("DaskJob", JOB))
    platform.kubectl("patch", "daskjob", JOB, "--type=merge", '--patch={"spec":{"suspend":false}}')
    observer.becomes("Progressing", ("DaskJob", JOB))
    observer.becomes("Healthy", ("DaskJob", JOB))
    platform.apply(job("failing", platform.dask_image, "raise SystemExit('no such file')", backoffLimit=0))
    observer.becomes("Degraded", ("DaskJob", "failing"))


def job(name: str, image: str, program: str, **options: Any) -> Object:
    """A job that runs a program beside a scheduler."""
    container = {"name": "job", "image": image, "args": ["python", "-c", program]}
    cluster = {"spec": dask_cluster(name, image, replicas=0)["spec"]}
    return dask_resource(
        "DaskJob", name, {"job": {"spec": {"containers": [container]}}, "cluster": cluster, **options}
    )
