"""Dask on Kubernetes: the Python client of the Dask Kubernetes Operator."""
