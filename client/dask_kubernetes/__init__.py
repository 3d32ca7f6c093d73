"""Dask on Kubernetes: the Python client of the Dask Kubernetes Operator."""

from . import config as config  # its defaults are in dask.config as soon as the package is imported
