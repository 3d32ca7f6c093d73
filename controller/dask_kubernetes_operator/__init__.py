"""The controller of the Dask Kubernetes Operator.

Layers, each importing only what stands below it (import-linter holds them to it):
handlers, reconcile, builders, naming, kube, resources, spec.
"""
