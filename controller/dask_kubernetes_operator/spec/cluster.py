"""DaskCluster and DaskWorkerGroup."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from .fields import (
    Body,
    Identity,
    Metadata,
    SpecError,
    choice,
    generation_of,
    identity_of,
    integer,
    is_terminating,
    metadata_of,
    pod_spec_of,
    required,
)

DEFAULT_REPLICAS = 1
DEFAULT_DRAIN_TIMEOUT_SECONDS = 300
# Those of a Deployment.
DEFAULT_MAX_UNAVAILABLE = "25%"
DEFAULT_MAX_SURGE = "25%"

_SHARE = re.compile(r"([0-9]+)(%?)", re.ASCII)


class IdleAction(StrEnum):
    """What becomes of a cluster that has been idle for its ``idleTimeout``."""

    DELETE = "Delete"
    SCALE_TO_ZERO = "ScaleToZero"
    SUSPEND = "Suspend"


class UpdateType(StrEnum):
    """How workers are replaced when their template changes."""

    ROLLING = "Rolling"
    RECREATE = "Recreate"
    ON_DELETE = "OnDelete"


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
class Share:
    """A number of workers, or a percentage of those of a group."""

    amount: int
    is_percentage: bool


@dataclass(frozen=True, slots=True)
class UpdateStrategy:
    """``updateStrategy`` of a DaskCluster or a DaskWorkerGroup; the shares count for ``UpdateType.ROLLING``."""

    type: UpdateType
    max_unavailable: Share
    max_surge: Share


@dataclass(frozen=True, slots=True)
class DaskCluster:
    """A DaskCluster as the controller reads it.

    ``idle_timeout_seconds`` is None for a cluster that may be idle for ever, ``client_timeout_seconds`` for one that
    outlives its clients.
    """

    identity: Identity
    generation: int
    metadata: Metadata
    terminating: bool
    worker: WorkerSpec
    scheduler: SchedulerSpec
    suspend: bool
    idle_timeout_seconds: int | None
    idle_action: IdleAction
    client_timeout_seconds: int | None
    update_strategy: UpdateStrategy
    drain_timeout_seconds: int
    status: Body


@dataclass(frozen=True, slots=True)
class DaskWorkerGroup:
    """A DaskWorkerGroup as the controller reads it.

    ``owner_uids`` are the uids of its ownerReferences: the cluster's, once adopted. Where ``update_strategy`` or
    ``drain_timeout_seconds`` is None, that of the cluster counts.
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
    update_strategy: UpdateStrategy | None
    drain_timeout_seconds: int | None
    status: Body


def parse_cluster(body: Body) -> DaskCluster:
    """Read a DaskCluster.

    Raises:
        SpecError: a part without which no cluster can be built is missing, or a value is none that there is.
    """
    spec = body.get("spec") or {}
    scheduler, worker = components(spec, "spec")
    drain_timeout_seconds = integer(spec, "drainTimeoutSeconds")
    return DaskCluster(
        identity=identity_of(body, "DaskCluster"),
        generation=generation_of(body),
        metadata=metadata_of(body.get("metadata")),
        terminating=is_terminating(body),
        worker=worker,
        scheduler=scheduler,
        suspend=bool(spec.get("suspend")),
        idle_timeout_seconds=integer(spec, "idleTimeout") or None,
        idle_action=choice(IdleAction, spec, "idleAction", "spec") or IdleAction.DELETE,
        client_timeout_seconds=integer(spec, "clientTimeout") or None,
        update_strategy=_update_strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy"),
        drain_timeout_seconds=(
            DEFAULT_DRAIN_TIMEOUT_SECONDS if drain_timeout_seconds is None else drain_timeout_seconds
        ),
        status=body.get("status") or {},
    )


def parse_worker_group(body: Body) -> DaskWorkerGroup:
    """Read a DaskWorkerGroup.

    Raises:
        SpecError: a part without which no worker can be built is missing, or a value is none that there is.
    """
    spec = body.get("spec") or {}
    meta = body["metadata"]
    references = tuple(meta.get("ownerReferences") or ())
    strategy = spec.get("updateStrategy")
    return DaskWorkerGroup(
        identity=identity_of(body, "DaskWorkerGroup"),
        generation=generation_of(body),
        resource_version=meta.get("resourceVersion", ""),
        metadata=metadata_of(meta),
        terminating=is_terminating(body),
        owner_uids=frozenset(ref["uid"] for ref in references),
        owner_references=references,
        cluster_name=required(spec, "cluster", "spec"),
        worker=_worker(required(spec, "worker", "spec"), "spec.worker"),
        update_strategy=None if strategy is None else _update_strategy(strategy, "spec.updateStrategy"),
        drain_timeout_seconds=integer(spec, "drainTimeoutSeconds"),
        status=body.get("status") or {},
    )


def components(spec: Body, path: str) -> tuple[SchedulerSpec, WorkerSpec]:
    """The scheduler and the workers of a cluster whose spec is at ``path``.

    Raises:
        SpecError: a part without which no cluster can be built is missing.
    """
    scheduler = required(spec, "scheduler", path)
    worker = required(spec, "worker", path)
    return (
        SchedulerSpec(
            metadata=metadata_of(scheduler.get("metadata")),
            pod_spec=pod_spec_of(scheduler, f"{path}.scheduler"),
            service_spec=required(scheduler, "service", f"{path}.scheduler"),
        ),
        _worker(worker, f"{path}.worker"),
    )


def _worker(worker: Body, path: str) -> WorkerSpec:
    replicas = integer(worker, "replicas")
    return WorkerSpec(
        replicas=DEFAULT_REPLICAS if replicas is None else replicas,
        metadata=metadata_of(worker.get("metadata")),
        pod_spec=pod_spec_of(worker, path),
    )


def _update_strategy(strategy: Body, path: str) -> UpdateStrategy:
    rolling = strategy.get("rolling") or {}
    return UpdateStrategy(
        type=choice(UpdateType, strategy, "type", path) or UpdateType.ROLLING,
        max_unavailable=_share(rolling, "maxUnavailable", DEFAULT_MAX_UNAVAILABLE, f"{path}.rolling"),
        max_surge=_share(rolling, "maxSurge", DEFAULT_MAX_SURGE, f"{path}.rolling"),
    )


def _share(parent: Body, field: str, default: str, path: str) -> Share:
    value = parent.get(field)
    read = _SHARE.fullmatch(default if value is None else str(value))
    if read is None:
        raise SpecError(f"{path}.{field} is {value!r}: give a number of workers, or a percentage such as 25%")
    return Share(amount=int(read[1]), is_percentage=bool(read[2]))
