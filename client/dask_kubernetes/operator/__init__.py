"""Custom resources of the Dask Kubernetes Operator, made from Python."""

from .specs import make_cluster_spec, make_worker_spec

__all__ = ["make_cluster_spec", "make_worker_spec"]
