"""Custom resources of the Dask Kubernetes Operator, made from Python."""

from .arguments import CreateMode
from .specs import (
    make_autoscaler_spec,
    make_cluster_spec,
    make_job_spec,
    make_pod_spec,
    make_scheduler_spec,
    make_worker_group_spec,
    make_worker_spec,
)

__all__ = [
    "CreateMode",
    "make_autoscaler_spec",
    "make_cluster_spec",
    "make_job_spec",
    "make_pod_spec",
    "make_scheduler_spec",
    "make_worker_group_spec",
    "make_worker_spec",
]
