"""Typed, frozen views of the custom resources.

What the CRDs default is defaulted here once, so that an object stored before a default existed reads the same
as one stored after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

API_GROUP = "kubernetes.dask.org"
API_VERSION = "v1"

# The value of a DaskJob's managedBy that means this operator.
MANAGER = f"{API_GROUP}/dask-kubernetes-operator"

DEFAULT_REPLICAS = 1
DEFAULT_DRAIN_TIMEOUT_SECONDS = 300
# Those of a Deployment.
DEFAULT_MAX_UNAVAILABLE = "25%"
DEFAULT_MAX_SURGE = "25%"
# Those of a HorizontalPodAutoscaler.
DEFAULT_SCALE_UP_STABILIZATION_SECONDS = 0
DEFAULT_SCALE_DOWN_STABILIZATION_SECONDS = 300

Body = Mapping[str, Any]

_SHARE = re.compile(r"([0-9]+)(%?)", re.ASCII)
_DURATION_PART = re.compile(r"([0-9]+(?:[.][0-9]+)?)(ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+", re.ASCII)
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class SpecError(ValueError):
    """A custom resource that cannot be acted on; the message names the field and the remedy."""


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


class RestartPolicy(StrEnum):
    """What becomes of a job's runner whose container failed."""

    NEVER = "Never"
    ON_FAILURE = "OnFailure"


class DeletionPolicy(StrEnum):
    """What becomes of the cluster of a job that has ended."""

    DELETE = "Delete"
    DELETE_ON_SUCCESS = "DeleteOnSuccess"
    RETAIN = "Retain"


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

    ``idle_timeout_seconds`` is None for a cluster that may be idle for ever.
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


@dataclass(frozen=True, slots=True)
class RunnerSpec:
    """``spec.job`` of a DaskJob.

    ``restart_policy`` is what it comes to: Always counts as OnFailure, because a job has an end, and a
    ``backoffLimit`` of 0 as Never, so that not even the kubelet starts it again.
    """

    metadata: Metadata
    pod_spec: Body
    restart_policy: RestartPolicy


@dataclass(frozen=True, slots=True)
class JobClusterSpec:
    """``spec.cluster`` of a DaskJob; ``spec`` is that of the DaskCluster to make."""

    metadata: Metadata
    spec: Body


@dataclass(frozen=True, slots=True)
class DaskJob:
    """A DaskJob as the controller reads it.

    ``backoff_limit`` is None where the restart policy of the runner decides alone, ``active_deadline_seconds`` for a
    job without a deadline, ``ttl_seconds_after_finished`` for one that stays.
    """

    identity: Identity
    generation: int
    metadata: Metadata
    terminating: bool
    runner: RunnerSpec
    cluster: JobClusterSpec
    suspend: bool
    backoff_limit: int | None
    active_deadline_seconds: int | None
    ttl_seconds_after_finished: int | None
    deletion_policy: DeletionPolicy
    managed_by: str
    status: Body


@dataclass(frozen=True, slots=True)
class PercentPolicy:
    """By how much of what it was at the start of a period the number of workers may change in it."""

    percent: int
    period_seconds: int


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """``behavior`` of a DaskAutoscaler in one direction; without a policy any change is allowed."""

    stabilization_window_seconds: int
    policy: PercentPolicy | None


@dataclass(frozen=True, slots=True)
class DaskAutoscaler:
    """A DaskAutoscaler as the controller reads it.

    ``worker_group_name`` is None for the default group of the cluster, ``target_duration_seconds`` where the
    configuration of the scheduler decides.
    """

    identity: Identity
    generation: int
    metadata: Metadata
    terminating: bool
    cluster_name: str
    worker_group_name: str | None
    minimum: int
    maximum: int
    scale_up: ScalingRules
    scale_down: ScalingRules
    target_duration_seconds: float | None
    status: Body


def parse_cluster(body: Body) -> DaskCluster:
    """Read a DaskCluster.

    Raises:
        SpecError: a part without which no cluster can be built is missing, or a value is none that there is.
    """
    spec = body.get("spec") or {}
    scheduler, worker = _components(spec, "spec")
    drain_timeout_seconds = _integer(spec, "drainTimeoutSeconds")
    return DaskCluster(
        identity=_identity(body, "DaskCluster"),
        generation=_generation(body),
        metadata=_metadata(body.get("metadata")),
        terminating=_terminating(body),
        worker=worker,
        scheduler=scheduler,
        suspend=bool(spec.get("suspend")),
        idle_timeout_seconds=_integer(spec, "idleTimeout") or None,
        idle_action=_choice(IdleAction, spec, "idleAction", "spec") or IdleAction.DELETE,
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
        identity=_identity(body, "DaskWorkerGroup"),
        generation=_generation(body),
        resource_version=meta.get("resourceVersion", ""),
        metadata=_metadata(meta),
        terminating=_terminating(body),
        owner_uids=frozenset(ref["uid"] for ref in references),
        owner_references=references,
        cluster_name=_required(spec, "cluster", "spec"),
        worker=_worker(_required(spec, "worker", "spec"), "spec.worker"),
        update_strategy=None if strategy is None else _update_strategy(strategy, "spec.updateStrategy"),
        drain_timeout_seconds=_integer(spec, "drainTimeoutSeconds"),
        status=body.get("status") or {},
    )


def parse_job(body: Body) -> DaskJob:
    """Read a DaskJob.

    Raises:
        SpecError: a part without which no runner or no cluster can be built is missing, or a value is none that
            there is.
    """
    spec = body.get("spec") or {}
    runner = _required(spec, "job", "spec")
    cluster = _required(spec, "cluster", "spec")
    cluster_spec = _required(cluster, "spec", "spec.cluster")
    _components(cluster_spec, "spec.cluster.spec")  # the job is where a user looks for what is wrong
    backoff_limit = _integer(spec, "backoffLimit")
    return DaskJob(
        identity=_identity(body, "DaskJob"),
        generation=_generation(body),
        metadata=_metadata(body.get("metadata")),
        terminating=_terminating(body),
        runner=_runner(runner, backoff_limit),
        cluster=JobClusterSpec(metadata=_metadata(cluster.get("metadata")), spec=cluster_spec),
        suspend=bool(spec.get("suspend")),
        backoff_limit=backoff_limit,
        active_deadline_seconds=_integer(spec, "activeDeadlineSeconds"),
        ttl_seconds_after_finished=_integer(spec, "ttlSecondsAfterFinished"),
        deletion_policy=_choice(DeletionPolicy, spec, "deletionPolicy", "spec") or DeletionPolicy.DELETE,
        managed_by=spec.get("managedBy") or MANAGER,
        status=body.get("status") or {},
    )


def parse_autoscaler(body: Body) -> DaskAutoscaler:
    """Read a DaskAutoscaler.

    Raises:
        SpecError: what to scale or how far is missing, or a value is none that there is.
    """
    spec = body.get("spec") or {}
    minimum, maximum = (int(_required(spec, field, "spec")) for field in ("minimum", "maximum"))
    if minimum > maximum:
        raise SpecError("spec.minimum is greater than spec.maximum: lower minimum or raise maximum")
    behavior = spec.get("behavior") or {}
    return DaskAutoscaler(
        identity=_identity(body, "DaskAutoscaler"),
        generation=_generation(body),
        metadata=_metadata(body.get("metadata")),
        terminating=_terminating(body),
        cluster_name=_required(spec, "cluster", "spec"),
        worker_group_name=spec.get("workerGroup") or None,
        minimum=minimum,
        maximum=maximum,
        scale_up=_scaling_rules(behavior.get("scaleUp") or {}, DEFAULT_SCALE_UP_STABILIZATION_SECONDS),
        scale_down=_scaling_rules(behavior.get("scaleDown") or {}, DEFAULT_SCALE_DOWN_STABILIZATION_SECONDS),
        target_duration_seconds=_duration_seconds(spec.get("targetDuration"), "spec.targetDuration"),
        status=body.get("status") or {},
    )


def _runner(runner: Body, backoff_limit: int | None) -> RunnerSpec:
    pod_spec = _pod_spec(runner, "spec.job")
    never = pod_spec.get("restartPolicy") == RestartPolicy.NEVER or backoff_limit == 0
    return RunnerSpec(
        metadata=_metadata(runner.get("metadata")),
        pod_spec=pod_spec,
        restart_policy=RestartPolicy.NEVER if never else RestartPolicy.ON_FAILURE,
    )


def _components(spec: Body, path: str) -> tuple[SchedulerSpec, WorkerSpec]:
    scheduler = _required(spec, "scheduler", path)
    worker = _required(spec, "worker", path)
    return (
        SchedulerSpec(
            metadata=_metadata(scheduler.get("metadata")),
            pod_spec=_pod_spec(scheduler, f"{path}.scheduler"),
            service_spec=_required(scheduler, "service", f"{path}.scheduler"),
        ),
        _worker(worker, f"{path}.worker"),
    )


def _worker(worker: Body, path: str) -> WorkerSpec:
    replicas = _integer(worker, "replicas")
    return WorkerSpec(
        replicas=DEFAULT_REPLICAS if replicas is None else replicas,
        metadata=_metadata(worker.get("metadata")),
        pod_spec=_pod_spec(worker, path),
    )


def _update_strategy(strategy: Body, path: str) -> UpdateStrategy:
    rolling = strategy.get("rolling") or {}
    return UpdateStrategy(
        type=_choice(UpdateType, strategy, "type", path) or UpdateType.ROLLING,
        max_unavailable=_share(rolling, "maxUnavailable", DEFAULT_MAX_UNAVAILABLE, f"{path}.rolling"),
        max_surge=_share(rolling, "maxSurge", DEFAULT_MAX_SURGE, f"{path}.rolling"),
    )


def _scaling_rules(rules: Body, default_window_seconds: int) -> ScalingRules:
    window_seconds = _integer(rules, "stabilizationWindowSeconds")
    policies = [
        PercentPolicy(percent=int(policy["value"]), period_seconds=int(policy["periodSeconds"]))
        for policy in rules.get("policies") or ()
    ]
    return ScalingRules(
        stabilization_window_seconds=default_window_seconds if window_seconds is None else window_seconds,
        policy=policies[0] if policies else None,
    )


def _share(parent: Body, field: str, default: str, path: str) -> Share:
    value = parent.get(field)
    read = _SHARE.fullmatch(default if value is None else str(value))
    if read is None:
        raise SpecError(f"{path}.{field} is {value!r}: give a number of workers, or a percentage such as 25%")
    return Share(amount=int(read[1]), is_percentage=bool(read[2]))


def _duration_seconds(text: str | None, path: str) -> float | None:
    if text is None:
        return None
    parts = _DURATION_PART.findall(text) if _DURATION.fullmatch(text) else []
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    if not seconds:
        raise SpecError(f"{path} is {text!r}: give a number above 0 with the unit ms, s, m or h, such as 5s")
    return seconds


_Choice = TypeVar("_Choice", bound=StrEnum)


def _choice(choices: type[_Choice], parent: Body, field: str, path: str) -> _Choice | None:
    value = parent.get(field)
    if value is None:
        return None
    try:
        return choices(value)
    except ValueError:
        raise SpecError(f"{path}.{field} is {value!r}: give one of {', '.join(choices)}") from None


def _integer(parent: Body, field: str) -> int | None:
    value = parent.get(field)
    return None if value is None else int(value)


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
