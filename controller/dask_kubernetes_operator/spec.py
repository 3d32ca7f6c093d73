"""Typed, frozen views of the custom resources.

What the CRDs default is defaulted here once, so that an object stored before a default existed reads the same
as one stored after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

API_GROUP = "kubernetes.dask.org"
API_VERSION = "v1"

DEFAULT_REPLICAS = 1

Body = Mapping[str, Any]


class SpecError(ValueError):
    """A custom resource that cannot be acted on; the message names the field and the remedy."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Labels and annotations that a user asks for on children."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Identity:
    """What names one object for all time: a re-created object of the same name has another ``uid``."""

    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """``spec.worker`` of a DaskCluster or a DaskWorkerGroup."""

    replicas: int
    metadata: Metadata
    pod_spec: Body


@dataclass(frozen=True, slots=True)
class SchedulerSpec:
    """``spec.scheduler`` of a DaskCluster."""

    metadata: Metadata
    pod_spec: Body
    service_spec: Body


@dataclass(frozen=True, slots=True)
class DaskCluster:
    """A DaskCluster as the controller reads it."""

    identity: Identity
    generation: int
    metadata: Metadata
    terminating: bool
    worker: WorkerSpec
    scheduler: SchedulerSpec
    status: Body


@dataclass(frozen=True, slots=True)
class DaskWorkerGroup:
    """A DaskWorkerGroup as the controller reads it.

    ``owner_uids`` are the uids of its ownerReferences: the cluster's, once adopted.
    """

    identity: Identity
    generation: int
    resource_version: str
    metadata: Metadata
    terminating: bool
    owner_uids: frozenset[str]
    owner_references: tuple[Body, ...]
    cluster_name: str
    worker: WorkerSpec
    status: Body


def parse_cluster(body: Body) -> DaskCluster:
    """Read a DaskCluster.

    Raises:
        SpecError: a part without which no cluster can be built is missing.
    """
    spec = body.get("spec") or {}
    scheduler = _required(spec, "scheduler", "spec")
    return DaskCluster(
        identity=_identity(body, "DaskCluster"),
        generation=_generation(body),
        metadata=_metadata(body.get("metadata")),
        terminating=_terminating(body),
        worker=_worker(_required(spec, "worker", "spec")),
        scheduler=SchedulerSpec(
            metadata=_metadata(scheduler.get("metadata")),
            pod_spec=_pod_spec(scheduler, "spec.scheduler"),
            service_spec=_required(scheduler, "service", "spec.scheduler"),
        ),
        status=body.get("status") or {},
    )


def parse_worker_group(body: Body) -> DaskWorkerGroup:
    """Read a DaskWorkerGroup.

    Raises:
        SpecError: a part without which no worker can be built is missing.
    """
    spec = body.get("spec") or {}
    meta = body["metadata"]
    references = tuple(meta.get("ownerReferences") or ())
    return DaskWorkerGroup(
        identity=_identity(body, "DaskWorkerGroup"),
        generation=_generation(body),
        resource_version=meta.get("resourceVersion", ""),
        metadata=_metadata(meta),
        terminating=_terminating(body),
        owner_uids=frozenset(ref["uid"] for ref in references),
        owner_references=references,
        cluster_name=_required(spec, "cluster", "spec"),
        worker=_worker(_required(spec, "worker", "spec")),
        status=body.get("status") or {},
    )


def _worker(worker: Body) -> WorkerSpec:
    replicas = worker.get("replicas")
    return WorkerSpec(
        replicas=DEFAULT_REPLICAS if replicas is None else int(replicas),
        metadata=_metadata(worker.get("metadata")),
        pod_spec=_pod_spec(worker, "spec.worker"),
    )


def _pod_spec(parent: Body, path: str) -> Body:
    pod_spec: Body = _required(parent, "spec", path)
    if not pod_spec.get("containers"):
        raise SpecError(f"{path}.spec.containers is empty: give at least one container")
    return pod_spec


def _required(parent: Body, field: str, path: str) -> Any:
    value = parent.get(field)
    if value in (None, "", {}):
        raise SpecError(f"{path}.{field} is missing: add it to the object")
    return value


def _identity(body: Body, kind: str) -> Identity:
    meta = body["metadata"]
    return Identity(kind=kind, namespace=meta["namespace"], name=meta["name"], uid=meta["uid"])


def _metadata(meta: Body | None) -> Metadata:
    meta = meta or {}
    return Metadata(labels=meta.get("labels") or {}, annotations=meta.get("annotations") or {})


def _generation(body: Body) -> int:
    return int(body["metadata"].get("generation", 0))


def _terminating(body: Body) -> bool:
    return bool(body["metadata"].get("deletionTimestamp"))
