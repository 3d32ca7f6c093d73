"""A cluster under test as a person at a terminal sees it: kubectl, and a Dask client through a port-forward."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import yaml
from distributed import Client
from pytest_kind import KindCluster

from dask_kubernetes.operator import make_cluster_spec

T = TypeVar("T")

Object = dict[str, Any]

OPERATOR_NAMESPACE = "dask-operator-e2e"

CLUSTER_NAME_LABEL = "dask.org/cluster-name"
GROUP_NAME_LABEL = "dask.org/workergroup-name"
CUSTOM_RESOURCES = "daskjobs,daskclusters,daskworkergroups,daskautoscalers"

# Generous, because it only bounds how long a failure takes to be told: success never waits for it.
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Platform:
    """One namespace of one cluster, with the operator at work in it.

    Attributes:
        kind: pytest-kind's handle on the cluster.
        namespace: where the test puts its objects.
        dask_image: reference of an image with Dask that the cluster's nodes hold.
        operator_namespace: where the operator is that looks after this namespace.
    """

    kind: KindCluster
    namespace: str
    dask_image: str
    operator_namespace: str

    def kubectl(self, *args: str, input: str | None = None) -> str:
        """Run kubectl in the test's namespace and return what it prints.

        Raises:
            AssertionError: it failed; the message is what it printed.
        """
        try:
            return str(
                self.kind.kubectl(
                    "--namespace",
                    self.namespace,
                    *args,
                    input=input,
                    stderr=subprocess.STDOUT,
                    timeout=PATIENCE_SECONDS,
                )
            )
        except subprocess.CalledProcessError as error:
            raise AssertionError(f"kubectl {' '.join(args)}: {error.output}") from error

    def apply(self, *objects: Object) -> None:
        """Apply objects as ``kubectl apply -f -`` does."""
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str) -> Object:
        """One object."""
        return dict(json.loads(self.kubectl("get", kind, name, "-o", "json")))

    def find(self, kind: str, selector: str = "") -> list[Object]:
        """The objects that a label selector names."""
        answer = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))
        return list(answer["items"])

    def remains(self) -> list[Object]:
        """All Dask objects, and all that the operator made."""
        own = json.loads(self.kubectl("get", CUSTOM_RESOURCES, "-o", "json"))["items"]
        return [*own, *self.find("pods,deployments,replicasets,services", CLUSTER_NAME_LABEL)]

    def wait(self, condition: str, target: str) -> None:
        """Wait until e.g. ``condition=Ready`` holds of e.g. ``daskcluster/simple``, as ``kubectl wait`` does."""
        self.kubectl("wait", f"--for={condition}", target, f"--timeout={PATIENCE_SECONDS:.0f}s")

    def pods(self, cluster: str, *, component: str = "worker") -> list[Object]:
        """A cluster's pods of one component that are not on their way out."""
        found = self.find("pods", f"{CLUSTER_NAME_LABEL}={cluster},dask.org/component={component}")
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def ready_pods(self, cluster: str, *, component: str = "worker") -> list[str]:
        """The names of those of them that are ready."""
        return [pod["metadata"]["name"] for pod in self.pods(cluster, component=component) if is_ready(pod)]

    @contextmanager
    def client(self, cluster: str) -> Iterator[Client]:
        """A Dask client connected to a cluster's scheduler."""
        with (
            self.forwarded(f"service/{cluster}-scheduler", 8786) as port,
            Client(f"tcp://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client,
        ):
            yield client

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[int]:
        """A local port that leads to one in the cluster.

        Not pytest-kind's, which takes a forward that is slow to begin for one that failed.
        """
        command = [
            *(str(self.kind.kubectl_path), f"--kubeconfig={self.kind.kubeconfig_path}"),
            *("port-forward", f"--namespace={self.namespace}", target, f":{port}"),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
            try:
                assert forward.stdout is not None
                line = forward.stdout.readline()  # Forwarding from 127.0.0.1:40123 -> 8786
                assert line, f"no port-forward to {target}"
                yield int(line.split(" -> ")[0].rpartition(":")[2])
            finally:
                forward.terminate()


@runtime_checkable
class Findings(Protocol):
    """A fixture that has something to say when a test fails."""

    def findings(self) -> Iterator[tuple[str, str]]:
        """What a person would ask for, by title."""


def is_ready(obj: Object) -> bool:
    """Whether an object's Ready condition is true."""
    conditions = obj.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def eventually(what: str, read: Callable[[], T], holds: Callable[[T], bool], *, every_seconds: float = 0.2) -> T:
    """Read a state until it is as it should be, and return it.

    Raises:
        AssertionError: it did not become so in time; the message has the last state.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        state = read()
        if holds(state):
            return state
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE_SECONDS:.0f} s: {what}; last seen: {state!r}")
        time.sleep(every_seconds)


def restricted_namespace(name: str) -> Object:
    """A namespace that admits only Pods of the Pod Security Standard "restricted"."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def dask_resource(kind: str, name: str, spec: Object) -> Object:
    """A custom resource of ours."""
    return {"apiVersion": "kubernetes.dask.org/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def dask_cluster(name: str, image: str, *, replicas: int) -> Object:
    """A DaskCluster as KubeCluster would make it, with an image that the test cluster holds."""
    return make_cluster_spec(name=name, image=image, n_workers=replicas)
