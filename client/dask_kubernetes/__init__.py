"""Dask on Kubernetes: the Python client of the Dask Kubernetes Operator."""

from typing import Any

from . import config as config  # its defaults are in dask.config as soon as the package is imported


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("dask-kubernetes")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
