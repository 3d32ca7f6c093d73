"""DaskJob."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .cluster import components
from .fields import (
    API_GROUP,
    Body,
    Identity,
    Metadata,
    choice,
    generation_of,
    identity_of,
    integer,
    is_terminating,
    metadata_of,
    pod_spec_of,
    required,
)

# The value of a DaskJob's managedBy that means this operator.
MANAGER = f"{API_GROUP}/dask-kubernetes-operator"


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


def parse_job(body: Body) -> DaskJob:
    """Read a DaskJob.

    Raises:
        SpecError: a part without which no runner or no cluster can be built is missing, or a value is none that
            there is.
    """
    spec = body.get("spec") or {}
    runner = required(spec, "job", "spec")
    cluster = required(spec, "cluster", "spec")
    cluster_spec = required(cluster, "spec", "spec.cluster")
    components(cluster_spec, "spec.cluster.spec")  # the job is where a user looks for what is wrong
    backoff_limit = integer(spec, "backoffLimit")
    return DaskJob(
        identity=identity_of(body, "DaskJob"),
        generation=generation_of(body),
        metadata=metadata_of(body.get("metadata")),
        terminating=is_terminating(body),
        runner=_runner(runner, backoff_limit),
        cluster=JobClusterSpec(metadata=metadata_of(cluster.get("metadata")), spec=cluster_spec),
        suspend=bool(spec.get("suspend")),
        backoff_limit=backoff_limit,
        active_deadline_seconds=integer(spec, "activeDeadlineSeconds"),
        ttl_seconds_after_finished=integer(spec, "ttlSecondsAfterFinished"),
        deletion_policy=choice(DeletionPolicy, spec, "deletionPolicy", "spec") or DeletionPolicy.DELETE,
        managed_by=spec.get("managedBy") or MANAGER,
        status=body.get("status") or {},
    )


def _runner(runner: Body, backoff_limit: int | None) -> RunnerSpec:
    pod_spec = pod_spec_of(runner, "spec.job")
    never = pod_spec.get("restartPolicy") == RestartPolicy.NEVER or backoff_limit == 0
    return RunnerSpec(
        metadata=metadata_of(runner.get("metadata")),
        pod_spec=pod_spec,
        restart_policy=RestartPolicy.NEVER if never else RestartPolicy.ON_FAILURE,
    )
