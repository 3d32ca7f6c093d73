"""The worker groups of one cluster, and what scales them by itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from dask_kubernetes.exceptions import ConflictError, ValidationError, WorkerGroupNotFoundError

from .. import names, specs
from ..api import DASK_AUTOSCALERS, DASK_CLUSTERS, DASK_WORKER_GROUPS, Api, Object
from ..arguments import check_worker_spec
from .observation import within


class WorkerGroups:
    """The worker groups of one cluster. All names of groups are those by which the cluster calls them."""

    def __init__(self, api: Api, namespace: str, cluster: Object, *, timeout_seconds: float) -> None:
        """Nothing is sent yet.

        Args:
            api: the API server.
            namespace: where the cluster is.
            cluster: the DaskCluster.
            timeout_seconds: how long the operator may take to make the default group.
        """
        self._api, self._namespace = api, namespace
        self._cluster, self._uid = str(cluster["metadata"]["name"]), cluster["metadata"]["uid"]
        self._timeout_seconds = timeout_seconds

    async def scale(self, group: str, n: int) -> None:
        """Scale a group, which does not adapt from then on."""
        name = await self._name_of(group, "worker_group")
        await self.delete_autoscalers(name)
        await self._api.scale(DASK_WORKER_GROUPS, name, n, self._namespace)

    async def adapt(self, group: str, minimum: int | None, maximum: int | None) -> None:
        """Have a group scaled to what the scheduler asks for."""
        is_default = group == names.DEFAULT_WORKER_GROUP
        name = None if is_default else await self._name_of(group, "worker_group")
        autoscaler = specs.make_autoscaler_spec(self._cluster, minimum, maximum, name=name, worker_group=name)
        # So that it goes with the cluster, however that goes.
        owner = {"apiVersion": DASK_CLUSTERS.api_version, "kind": DASK_CLUSTERS.kind}
        autoscaler["metadata"]["ownerReferences"] = [{**owner, "name": self._cluster, "uid": self._uid}]
        try:
            await self._api.create(DASK_AUTOSCALERS, autoscaler, self._namespace)
        except ConflictError:
            change = {"spec": autoscaler["spec"]}
            await self._api.patch(DASK_AUTOSCALERS, autoscaler["metadata"]["name"], change, self._namespace)

    async def add(self, group: Object) -> None:
        """Create a DaskWorkerGroup."""
        await self._api.create(DASK_WORKER_GROUPS, group, self._namespace)

    async def delete(self, group: str) -> None:
        """Delete a group, and what scales it."""
        name = await self._name_of(group, "name")
        await self.delete_autoscalers(name)
        await self._api.delete(DASK_WORKER_GROUPS, name, self._namespace)

    async def delete_autoscalers(self, name: str | None = None) -> None:
        """Delete the autoscalers of a DaskWorkerGroup, or of all of the cluster."""
        for autoscaler in await self._api.list(DASK_AUTOSCALERS, self._namespace):
            spec = autoscaler.get("spec") or {}
            if spec.get("cluster") != self._cluster:
                continue
            scaled = spec.get("workerGroup") or f"{self._cluster}-{names.DEFAULT_WORKER_GROUP}"
            if name in (None, scaled):
                await self._api.delete(DASK_AUTOSCALERS, autoscaler["metadata"]["name"], self._namespace)

    async def _name_of(self, group: str, argument: str) -> str:
        """The name of the DaskWorkerGroup, whose whole name may be given too."""
        name = names.worker_group_name(self._cluster, group, argument)
        if group == names.DEFAULT_WORKER_GROUP:
            await self._default_is_there(name)
            return name
        there = {
            found["metadata"]["name"]
            for found in await self._api.list(DASK_WORKER_GROUPS, self._namespace)
            if (found.get("spec") or {}).get("cluster") == self._cluster
        }
        for candidate in (name, group):
            if candidate in there:
                return candidate
        known = ", ".join(sorted(names.short_worker_group_name(self._cluster, found) for found in there))
        raise WorkerGroupNotFoundError(
            f"{argument} is {group!r}, and the cluster {self._cluster} has no such worker group: it has "
            f"{known or 'none'}"
        )

    async def _default_is_there(self, name: str) -> None:
        """The operator makes it a moment after the scheduler."""

        async def appears() -> None:
            async with aclosing(self._api.watch(DASK_WORKER_GROUPS, self._namespace, name=name)) as events:
                async for event in events:
                    if event.type in ("ADDED", "MODIFIED"):
                        return

        if not await within(self._timeout_seconds, appears()):
            raise WorkerGroupNotFoundError(f"the operator has not made the worker group {name}: see its log")


def changed_worker(worker: Mapping[str, Any], cluster: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A worker spec with what is said put into it.

    Args:
        worker: the ``spec.worker`` of a cluster.
        cluster: its name.
        given: arguments of `specs.make_worker_spec`; None is as good as nothing.

    Raises:
        ValidationError: one of them cannot be put into what somebody else wrote.
    """
    known = ("image", "resources", "worker_command", "env")
    others = [argument for argument, value in given.items() if value is not None and argument not in known]
    if others:
        raise ValidationError(
            f"{', '.join(others)}: the cluster was not made by these arguments; "
            "give custom_spec=make_worker_spec(...)"
        )
    changed = {key: value for key, value in check_worker_spec(worker).items() if key != "replicas"}
    said = {key: value for key, value in given.items() if value is not None}
    made = specs.make_worker_spec(cluster_name=cluster, **said)["spec"]["containers"][0]
    container = changed["spec"]["containers"][0]
    if "worker_command" in said:
        container.pop("command", None)
    fields = {"image": "image", "resources": "resources", "worker_command": "args", "env": "env"}
    for argument, field in fields.items():
        if argument in said and field in made:
            container[field] = made[field]
    return changed
