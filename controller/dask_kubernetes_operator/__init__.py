"""The controller of the Dask Kubernetes Operator.

Layers, each importing only what stands below it (import-linter holds them to it): handlers; controller; leader, logs,
plugins, server, watches; settings; reconcile; builders; naming; kube, scheduler; passes; metrics; resources; spec.
"""
