"""Typed, frozen views of the custom resources.

What the CRDs default is defaulted here once, so that an object stored before a default existed reads the same
as one stored after it.
"""

from .autoscaler import DaskAutoscaler, PercentPolicy, ScalingRules, parse_autoscaler
from .cluster import (
    DaskCluster,
    DaskWorkerGroup,
    IdleAction,
    SchedulerSpec,
    Share,
    UpdateStrategy,
    UpdateType,
    WorkerSpec,
    parse_cluster,
    parse_worker_group,
)
from .fields import API_GROUP, API_VERSION, Body, Identity, Metadata, SpecError
from .job import MANAGER, DaskJob, DeletionPolicy, JobClusterSpec, RestartPolicy, RunnerSpec, parse_job

__all__ = [
    "API_GROUP",
    "API_VERSION",
    "MANAGER",
    "Body",
    "DaskAutoscaler",
    "DaskCluster",
    "DaskJob",
    "DaskWorkerGroup",
    "DeletionPolicy",
    "Identity",
    "IdleAction",
    "JobClusterSpec",
    "Metadata",
    "PercentPolicy",
    "RestartPolicy",
    "RunnerSpec",
    "ScalingRules",
    "SchedulerSpec",
    "Share",
    "SpecError",
    "UpdateStrategy",
    "UpdateType",
    "WorkerSpec",
    "parse_autoscaler",
    "parse_cluster",
    "parse_job",
    "parse_worker_group",
]
