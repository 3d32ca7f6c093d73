"""A Kubernetes API in memory, and a client of it that can be made to fail.

It knows what the controller relies on: uids, resource versions, generations, merge patches, the status subresource,
preconditions, terminating Pods, finalizers and garbage collection. Names are checked like the API server checks them
where a mistake of the controller would show.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from dask_kubernetes_operator.kube import ApiError, Client, Operations, Page
from dask_kubernetes_operator.reconcile.conditions import timestamp
from dask_kubernetes_operator.reconcile.observed import Store
from dask_kubernetes_operator.resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_JOBS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Resource,
)

from .objects import NOW, Object

CUSTOM = (DASK_JOBS, DASK_CLUSTERS, DASK_WORKER_GROUPS, DASK_AUTOSCALERS)
WATCHED = (*CUSTOM, DEPLOYMENTS, SERVICES, PODS)

# So that lists come in several.
_PAGE = 20
_WITH_STATUS = (*CUSTOM, DEPLOYMENTS, PODS)
_WITH_GENERATION = (*CUSTOM, DEPLOYMENTS)
# What the operator asks its watches to be filtered by.
_WATCH_LABEL = dict.fromkeys((DEPLOYMENTS, SERVICES, PODS), "dask.org/cluster-name")

Listener = Callable[[Resource, str, Object], None]


class World:
    """The objects of a cluster, and the rules by which they change."""

    def __init__(self) -> None:
        self.now: Callable[[], datetime] = lambda: NOW
        self.listeners: list[Listener] = []
        self._objects: dict[tuple[Resource, str, str], Object] = {}
        self._version = 100
        self._uid = 0
        self._addresses = 0

    def copy(self) -> World:
        """Another world of the same objects, which nobody watches yet."""
        copy = World()
        copy._objects = {key: _copy(body) for key, body in self._objects.items()}
        copy._version, copy._uid, copy._addresses = self._version, self._uid, self._addresses
        return copy

    # What is there

    def all(self, resource: Resource) -> list[Object]:
        """Objects of a kind, as they are stored."""
        return [body for (kind, _, _), body in self._objects.items() if kind == resource]

    def get(self, resource: Resource, name: str, namespace: str = "default") -> Object:
        """One object, as it is stored."""
        try:
            return self._objects[resource, namespace, name]
        except KeyError:
            raise ApiError(404, "NotFound", f'{resource.plural} "{name}" not found') from None

    def live_pods(self, group_name: str | None = None) -> list[Object]:
        """Worker Pods that are neither on their way out nor finished."""
        return [
            pod
            for pod in self.all(PODS)
            if "dask.org/workergroup-name" in pod["metadata"]["labels"]
            and not pod["metadata"].get("deletionTimestamp")
            and pod["status"]["phase"] not in ("Failed", "Succeeded")
            and group_name in (None, pod["metadata"]["labels"].get("dask.org/workergroup-name"))
        ]

    @property
    def version(self) -> int:
        """The version of the last change."""
        return self._version

    def list(
        self, resource: Resource, namespace: str | None, labels: str | None, fields: str | None
    ) -> tuple[list[Object], int]:
        """What a list request answers."""
        found = [
            _copy(body)
            for (kind, where, name), body in self._objects.items()
            if kind == resource
            and namespace in (None, where)
            and _selects(labels, body)
            and fields in (None, f"metadata.name={name}", f"spec.cluster={(body.get('spec') or {}).get('cluster')}")
        ]
        return found, self._version

    def watched(self) -> Iterator[tuple[Resource, Object]]:
        """All that the operator's watches show at their start."""
        for (resource, _, _), body in list(self._objects.items()):
            if resource in WATCHED and _watches(resource, body):
                yield resource, _copy(body)

    # Requests

    def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        name = body["metadata"]["name"]
        if (resource, namespace, name) in self._objects:
            raise ApiError(409, "AlreadyExists", f'{resource.plural} "{name}" already exists')
        stored = _copy(body)
        _check_owners(stored)
        self._uid += 1
        stored["metadata"].update(
            namespace=namespace, uid=f"uid-{self._uid}", creationTimestamp=timestamp(self.now())
        )
        if resource in _WITH_GENERATION:
            stored["metadata"]["generation"] = 1
        if resource in _WITH_STATUS:
            stored["status"] = {"phase": "Pending"} if resource == PODS else {}
        return self._store(resource, stored, "ADDED")

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Mapping[str, Any] | Operations,
        subresource: str | None,
    ) -> Object:
        present = self.get(resource, name, namespace)
        if isinstance(patch, list):
            return self._json_patch(resource, present, patch)
        meta = patch.get("metadata") or {}
        for key in ("resourceVersion", "uid"):
            if meta.get(key, present["metadata"][key]) != present["metadata"][key]:
                raise ApiError(409, "Conflict", f"the object has been modified: {key}")
        if subresource == "status":
            changed = {**present, "status": _merged(present.get("status", {}), patch.get("status", {}))}
        else:
            changed = {**_merged(present, patch), **({"status": present["status"]} if "status" in present else {})}
            _check_owners(changed)
        return self._changed(resource, present, changed)

    def _json_patch(self, resource: Resource, present: Object, operations: Operations) -> Object:
        changed = _copy(present)
        for operation in operations:
            *path, last = [part.replace("~1", "/") for part in operation["path"].split("/")[1:]]
            parent = changed
            for part in path:
                parent = parent[part]
            if operation["op"] == "replace" and last not in parent:
                raise ApiError(422, "Invalid", f"replace operation does not apply: {operation['path']} is missing")
            parent[last] = operation["value"]
        for key in ("resourceVersion", "uid"):
            if changed["metadata"][key] != present["metadata"][key]:
                raise ApiError(409, "Conflict", f"the object has been modified: {key}")
        return self._changed(resource, present, changed)

    def _changed(self, resource: Resource, present: Object, changed: Object) -> Object:
        changed["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"]
        if changed["metadata"].get("managedFields") == [{}]:
            changed["metadata"]["managedFields"] = []
        if changed == present:
            return _copy(present)
        if resource in _WITH_GENERATION and changed.get("spec") != present.get("spec"):
            changed["metadata"]["generation"] += 1
        return self._store(resource, changed, "MODIFIED")

    def delete(
        self, resource: Resource, namespace: str, name: str, uid: str | None = None, version: int | None = None
    ) -> Object:
        present = self.get(resource, name, namespace)
        if uid not in (None, present["metadata"]["uid"]):
            raise ApiError(409, "Conflict", "Precondition failed: UID in precondition")
        if version not in (None, int(present["metadata"]["resourceVersion"])):
            raise ApiError(409, "Conflict", "Precondition failed: ResourceVersion in precondition")
        if resource == PODS or present["metadata"].get("finalizers"):
            if present["metadata"].get("deletionTimestamp"):
                return _copy(present)
            return self.mark_deleted(resource, name, namespace=namespace)
        self.drop(resource, name, namespace)
        return {"kind": "Status", "status": "Success", "details": {"name": name, "uid": present["metadata"]["uid"]}}

    def delete_collection(self, resource: Resource, namespace: str, labels: str) -> None:
        for body in self.list(resource, namespace, labels, None)[0]:
            self.delete(resource, namespace, body["metadata"]["name"])

    # What happens without the controller

    def mark_deleted(self, resource: Resource, name: str, *finalizers: str, namespace: str = "default") -> Object:
        """Deletion is asked for; the object stays until what holds it up lets go."""
        body = _copy(self.get(resource, name, namespace))
        body["metadata"]["deletionTimestamp"] = timestamp(self.now())
        if finalizers:
            body["metadata"]["finalizers"] = list(finalizers)
        if resource in _WITH_GENERATION:
            body["metadata"]["generation"] += 1
        return self._store(resource, body, "MODIFIED")

    def drop(self, resource: Resource, name: str, namespace: str = "default") -> None:
        """The object is gone."""
        body = self._objects.pop((resource, namespace, name))
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self._tell(resource, "DELETED", body)

    def replace(self, resource: Resource, name: str, body: Object) -> None:
        """The object goes, and another of its name comes."""
        self.drop(resource, name)
        self.put(resource, body)

    def change(self, resource: Resource, name: str, change: Callable[[Object], None]) -> Object:
        """Somebody else edits an object."""
        body = _copy(self.get(resource, name))
        spec = _copy(body.get("spec") or {})
        change(body)
        if resource in _WITH_GENERATION and body.get("spec") != spec:
            body["metadata"]["generation"] += 1
        if resource in (DEPLOYMENTS, SERVICES) and body.get("spec") != spec:
            edited = _fields(spec, body["spec"])
            body["metadata"]["managedFields"] = [{"manager": "kubectl-edit", "fieldsV1": {"f:spec": edited}}]
        return self._store(resource, body, "MODIFIED")

    def put(self, resource: Resource, body: Object) -> Object:
        """An object that was made before the story begins, with the uid and times that it brings."""
        return self._store(resource, _copy(body), "ADDED")

    def collect_garbage(self) -> None:
        """Delete what has owners of which none is there any more; owners of kinds unknown here are there.

        What has another one only loses its reference to the one that is gone.
        """
        uids = {body["metadata"]["uid"] for body in self._objects.values()}
        kinds = {resource.kind for resource in WATCHED} | {"ReplicaSet"}
        for (resource, namespace, name), body in list(self._objects.items()):
            references = body["metadata"].get("ownerReferences") or []
            there = [reference["uid"] in uids or reference["kind"] not in kinds for reference in references]
            if references and not any(there):
                self.delete(resource, namespace, name)
            elif not all(there):
                left = [reference for reference, known in zip(references, there, strict=True) if known]
                self._store(resource, {**body, "metadata": {**body["metadata"], "ownerReferences": left}}, "MODIFIED")

    def run_nodes(self, *, starting: bool = True) -> None:
        """End what is terminating, keep a Pod for each Deployment, and start what is pending."""
        for pod in self.all(PODS):
            if pod["metadata"].get("deletionTimestamp"):
                self.drop(PODS, pod["metadata"]["name"])
            elif starting and pod["status"]["phase"] == "Pending":
                self.start(pod)
        for deployment in self.all(DEPLOYMENTS):
            self._run_deployment(deployment)

    def start(self, pod: Object) -> None:
        """A Pod's containers run and are ready."""
        self._addresses += 1
        status = {
            "phase": "Running",
            "podIP": f"10.0.{self._addresses // 256}.{self._addresses % 256}",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": timestamp(self.now())}],
        }
        self._set_status(PODS, pod, status)

    def _run_deployment(self, deployment: Object) -> None:
        """Keep one Pod of the present template, the old one gone before the new one comes.

        Its ReplicaSet, which is not kept apart from it, lets go of a Pod that has not the labels that it selects by.
        """
        meta, template = deployment["metadata"], deployment["spec"].get("template")
        if template is None:
            return
        selector = deployment["spec"]["selector"]["matchLabels"]
        for pod in self.all(PODS):
            if _is_of(deployment, pod) and not selector.items() <= pod["metadata"]["labels"].items():
                self._release(deployment, pod)
        own = next((pod for pod in self.all(PODS) if _is_of(deployment, pod)), None)
        own = own or self._create_pod(deployment)
        if own is None:
            return
        if own["spec"] != template["spec"] and not own["metadata"].get("deletionTimestamp"):
            own = self.delete(PODS, meta["namespace"], own["metadata"]["name"])
        running = own["status"]["phase"] == "Running" and not own["metadata"].get("deletionTimestamp")
        wanted = {"conditions": [{"type": "Available", "status": "True" if running else "False"}]}
        if deployment.get("status") != wanted:
            self._set_status(DEPLOYMENTS, deployment, wanted)

    def _create_pod(self, deployment: Object) -> Object | None:
        """A Pod under a name that tests know, or another one where one that was let go has it.

        Where that of an earlier Deployment still has it there is none yet, so that the name tells of no accident.
        """
        meta, template = deployment["metadata"], deployment["spec"]["template"]
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{meta['name']}-1", "uid": meta["uid"]}
        name = f"{meta['name']}-pod"
        present = self._objects.get((PODS, meta["namespace"], name))
        if present is not None:
            if any(owner["kind"] == "ReplicaSet" for owner in present["metadata"]["ownerReferences"]):
                return None
            name = f"{name}-{self._uid}"
        owner = {**reference, "controller": True, "blockOwnerDeletion": True}
        metadata = {**_copy(template["metadata"]), "name": name, "ownerReferences": [owner]}
        return self.create(PODS, meta["namespace"], {"metadata": metadata, "spec": template["spec"]})

    def _release(self, deployment: Object, pod: Object) -> None:
        owners = [o for o in pod["metadata"]["ownerReferences"] if o["uid"] != deployment["metadata"]["uid"]]
        self._store(PODS, {**pod, "metadata": {**pod["metadata"], "ownerReferences": owners}}, "MODIFIED")

    # Inside

    def _set_status(self, resource: Resource, body: Object, status: Object) -> None:
        self._store(resource, _copy({**body, "status": status}), "MODIFIED")

    def _store(self, resource: Resource, body: Object, event: str) -> Object:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        key = (resource, body["metadata"]["namespace"], body["metadata"]["name"])
        before = self._objects.get(key)
        self._objects[key] = body
        if before is not None and _watches(resource, before) and not _watches(resource, body):
            self._tell(resource, "DELETED", body, seen=before)
        else:
            self._tell(resource, event, body)
        return _copy(body)

    def _tell(self, resource: Resource, event: str, body: Object, *, seen: Object | None = None) -> None:
        if resource in WATCHED and _watches(resource, seen or body):
            told = _copy(body)
            for listener in self.listeners:
                listener(resource, event, told)


Fault = Callable[[int, str, Callable[[], Object]], Object]


def no_fault(_number: int, _request: str, act: Callable[[], Object]) -> Object:
    """Every write succeeds."""
    return act()


class FakeClient(Client):
    """The controller's client, talking to a `World`.

    Each write goes through ``fault``, which gets its number (from 1), what it asks for and the act itself: whether it
    acts before it raises an error, or at all, is its choice. ``requests`` is what was asked for, in order. Nothing
    comes from or gets to a ``dead`` client any more; to one whose server is ``away``, errors do.
    """

    def __init__(self, world: World, *, seed: int = 0) -> None:
        super().__init__(_no_login)
        self.world = world
        self.requests: list[str] = []
        self.writes = 0
        self.in_flight = 0
        self.dead = False
        self.away = False
        self.fault: Fault = no_fault
        self._random = random.Random(seed)  # noqa: S311

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        request = f"POST {resource.plural}/{body['metadata']['name']}"
        return await self._write(request, lambda: self.world.create(resource, namespace, body))

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Object | Operations,
        *,
        subresource: str | None = None,
    ) -> Object:
        request = "/".join(part for part in (f"PATCH {resource.plural}", name, subresource) if part)
        return await self._write(request, lambda: self.world.patch(resource, namespace, name, patch, subresource))

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, version: int | None = None
    ) -> Object:
        request = f"DELETE {resource.plural}/{name}"
        return await self._write(request, lambda: self.world.delete(resource, namespace, name, uid, version))

    async def delete_collection(self, resource: Resource, namespace: str, *, label_selector: str) -> None:
        def act() -> Object:
            self.world.delete_collection(resource, namespace, label_selector)
            return {}

        await self._write(f"DELETE {resource.plural}?{label_selector}", act)

    async def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> tuple[list[Object], int]:
        self.requests.append(f"GET {resource.plural}")
        await self._travel()
        answer = self.world.list(resource, namespace, label_selector, field_selector)
        await self._travel()
        return answer

    async def pages(
        self, resource: Resource, namespace: str | None, *, label_selector: str | None = None
    ) -> AsyncIterator[Page]:
        bodies, version = await self.list(resource, namespace, label_selector=label_selector)
        for first in range(0, len(bodies) or 1, _PAGE):
            yield bodies[first : first + _PAGE], version
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Nothing is open."""

    async def _write(self, request: str, act: Callable[[], Object]) -> Object:
        self.in_flight += 1
        try:
            await self._travel()
            self.writes += 1
            self.requests.append(request)
            answer = self.fault(self.writes, request, act)
            await self._travel()
            return answer
        finally:
            self.in_flight -= 1

    async def _travel(self) -> None:
        if self.dead:
            await asyncio.Event().wait()
        if self.away:
            raise ApiError(0, "NoAnswer", "connection refused")
        await asyncio.sleep(self._random.uniform(0.001, 0.02))


def store_of(world: World) -> Store:
    """A store that knows everything there is."""
    store = Store()
    for resource, body in world.watched():
        store.put(resource, body)
    return store


async def _no_login() -> Any:
    raise AssertionError("a fake client needs no login")


def _copy(body: Mapping[str, Any]) -> Object:
    """A copy by way of the wire, as every object takes it: what is not JSON does not arrive."""
    copy: Object = json.loads(json.dumps(body))
    return copy


def _selects(selector: str | None, body: Object) -> bool:
    labels = body["metadata"].get("labels") or {}
    wanted: Iterable[str] = selector.split(",") if selector else ()
    return all(
        labels.get(requirement.partition("=")[0]) == requirement.partition("=")[2]
        if "=" in requirement
        else requirement in labels
        for requirement in wanted
    )


def _watches(resource: Resource, body: Object) -> bool:
    return _selects(_WATCH_LABEL.get(resource), body)


def _is_of(deployment: Object, pod: Object) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == deployment["metadata"]["uid"] for owner in owners)


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> Object:
    """The fields that somebody changed, in the form of managedFields."""
    fields: Object = {}
    for key, value in after.items():
        if before.get(key) != value:
            fields[f"f:{key}"] = _fields(before.get(key) or {}, value) if isinstance(value, Mapping) else {}
    return fields


def _merged(present: object, patch: Mapping[str, Any]) -> Object:
    """A JSON merge patch, applied (RFC 7396)."""
    merged: Object = dict(present) if isinstance(present, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value) if isinstance(value, Mapping) else value
    return merged


def _check_owners(body: Object) -> None:
    references = body["metadata"].get("ownerReferences") or []
    if sum(bool(reference.get("controller")) for reference in references) > 1:
        raise ApiError(422, "Invalid", "metadata.ownerReferences: Only one reference can have Controller set to true")
