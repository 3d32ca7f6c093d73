"""The kinds of the API that the controller reads or writes."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import API_GROUP, API_VERSION

# The name under which the API server notes which fields the operator wrote.
FIELD_MANAGER = "dask-kubernetes-operator"


@dataclass(frozen=True, slots=True)
class Resource:
    """A namespaced resource of the API: what its URL is made of."""

    group: str
    version: str
    plural: str
    kind: str

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, in one namespace or in all, of one object, or of its subresource."""
        root = f"/apis/{self.group}" if self.group else "/api"
        parts = (root, self.version, namespace and f"namespaces/{namespace}", self.plural, name, subresource)
        return "/".join(part for part in parts if part)


PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
EVENTS = Resource("", "v1", "events", "Event")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
DASK_CLUSTERS = Resource(API_GROUP, API_VERSION, "daskclusters", "DaskCluster")
DASK_WORKER_GROUPS = Resource(API_GROUP, API_VERSION, "daskworkergroups", "DaskWorkerGroup")
DASK_JOBS = Resource(API_GROUP, API_VERSION, "daskjobs", "DaskJob")
DASK_AUTOSCALERS = Resource(API_GROUP, API_VERSION, "daskautoscalers", "DaskAutoscaler")
