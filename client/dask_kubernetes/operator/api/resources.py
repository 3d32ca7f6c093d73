"""The kinds of objects that the client deals with, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""An object of Kubernetes as the API server writes it, parsed from JSON."""

GROUP = "kubernetes.dask.org"


@dataclass(frozen=True)
class Resource:
    """A kind of objects.

    Attributes:
        api_version: such as ``v1`` or ``apps/v1``.
        kind: such as ``Pod``.
        plural: its name in paths, such as ``pods``.
        namespaced: whether its objects are in a namespace.
    """

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group, empty for the core group."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of one object, or of all in a namespace; in all namespaces where that is None."""
        parts = ["apis" if self.group else "api", self.api_version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/" + "/".join(parts)


DASK_CLUSTERS = Resource(f"{GROUP}/v1", "DaskCluster", "daskclusters")
DASK_WORKER_GROUPS = Resource(f"{GROUP}/v1", "DaskWorkerGroup", "daskworkergroups")
DASK_JOBS = Resource(f"{GROUP}/v1", "DaskJob", "daskjobs")
DASK_AUTOSCALERS = Resource(f"{GROUP}/v1", "DaskAutoscaler", "daskautoscalers")
PODS = Resource("v1", "Pod", "pods")
SERVICES = Resource("v1", "Service", "services")
NODES = Resource("v1", "Node", "nodes", namespaced=False)
EVENTS = Resource("v1", "Event", "events")
REVIEWS = Resource("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False)
