"""What is there: the cluster's objects as the API server last showed them.

The store is fed by watches and by the answers to the controller's own writes, so that a plan made right after a
write sees it. What is older than what is known is ignored, be that an object or its deletion.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any, NamedTuple

from .. import naming
from ..resources import DASK_CLUSTERS, DASK_WORKER_GROUPS, DEPLOYMENTS, PODS, SERVICES, Resource
from ..spec import API_GROUP, Body

# Deleted uids are remembered to drop events that arrive late; a watch is never this many objects behind.
_REMEMBERED_DELETIONS = 20_000


class Key(NamedTuple):
    """The unit of reconciliation: one cluster's name in one namespace."""

    namespace: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Child:
    """What is kept of any object the controller makes.

    ``owner_uids`` are those of its owners that are DaskClusters or DaskWorkerGroups; ``foreign_owner`` tells that
    there are others, to whom it is left.
    """

    name: str
    uid: str
    version: int
    owner_uids: frozenset[str]
    foreign_owner: bool
    terminating: bool


@dataclass(frozen=True, slots=True)
class Pod(Child):
    """A worker's Pod.

    ``group`` is the worker group's name.
    """

    group: str
    created_at: datetime
    phase: str
    ready: bool

    @property
    def finished(self) -> bool:
        """Whether all containers have ended for good."""
        return self.phase in ("Failed", "Succeeded")


@dataclass(frozen=True, slots=True)
class Deployment(Child):
    """A scheduler's Deployment."""

    available: bool


@dataclass(frozen=True, slots=True)
class Service(Child):
    """A scheduler's Service."""


@dataclass(frozen=True, slots=True)
class CustomResource:
    """A DaskCluster or DaskWorkerGroup: kept whole, because children are built from it."""

    name: str
    uid: str
    version: int
    body: Body


Item = Pod | Deployment | Service | CustomResource


@dataclass(frozen=True, slots=True)
class Observed:
    """All that is known of one cluster name at one moment."""

    key: Key
    cluster: CustomResource | None = None
    groups: tuple[CustomResource, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    services: tuple[Service, ...] = ()
    pods: tuple[Pod, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing is left that bears the cluster's name."""
        return not (self.cluster or self.groups or self.deployments or self.services or self.pods)


@dataclass(slots=True)
class _Bucket:
    clusters: dict[str, CustomResource] = field(default_factory=dict)
    groups: dict[str, CustomResource] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)

    def of(self, resource: Resource) -> dict[str, Any]:
        by_resource: dict[Resource, dict[str, Any]] = {
            DASK_CLUSTERS: self.clusters,
            DASK_WORKER_GROUPS: self.groups,
            DEPLOYMENTS: self.deployments,
            SERVICES: self.services,
            PODS: self.pods,
        }
        return by_resource[resource]


class Store:
    """The objects of all clusters, by the cluster they belong to."""

    def __init__(self) -> None:
        self._buckets: dict[Key, _Bucket] = {}
        # By uid, the version up to which what arrives about it is older than its deletion.
        self._deleted: OrderedDict[str, float] = OrderedDict()

    def put(self, resource: Resource, body: Body) -> Key | None:
        """Take note of an object; returns whose it is, or None when it is nobody's or nothing new."""
        key = key_of(resource, body)
        if key is None or self.gone(body):
            return None
        items = self._buckets.setdefault(key, _Bucket()).of(resource)
        known = items.get(body["metadata"]["uid"])
        # Before the body is read: each object comes twice, through its index and through its event.
        if known is not None and known.version >= _version(body):
            return None
        item = _item(resource, body)
        items[item.uid] = item
        return key

    def gone(self, body: Body) -> bool:
        """Whether an object is older than its deletion."""
        return _version(body) <= self._deleted.get(body["metadata"]["uid"], -1)

    def remove(self, resource: Resource, body: Body) -> Key | None:
        """Take note that an object is gone; returns whose it was."""
        key = key_of(resource, body)
        if key is not None:
            self.remove_uid(key, resource, body["metadata"]["uid"], version=_version(body))
        return key

    def remove_uid(self, key: Key, resource: Resource, uid: str, *, version: float = inf) -> None:
        """Take note that the object with this uid is gone, for good or out of the watch's sight at that version."""
        self._deleted[uid] = version
        while len(self._deleted) > _REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        if key in self._buckets:
            self._buckets[key].of(resource).pop(uid, None)

    def replace(self, key: Key, resource: Resource, bodies: Iterable[Body], *, version: int) -> None:
        """Take note of a complete list made at ``version``: what is older and not in it is gone."""
        bodies = [body for body in bodies if key_of(resource, body) == key]
        present = {body["metadata"]["uid"] for body in bodies}
        items = self._buckets.setdefault(key, _Bucket()).of(resource)
        for uid in [uid for uid, item in items.items() if uid not in present and item.version <= version]:
            del items[uid]
        for body in bodies:
            self.put(resource, body)

    def observe(self, key: Key) -> Observed:
        """What is known of one cluster now."""
        bucket = self._buckets.get(key) or _Bucket()
        return Observed(
            key=key,
            cluster=max(bucket.clusters.values(), key=lambda item: item.version, default=None),
            groups=tuple(sorted(bucket.groups.values(), key=lambda item: (item.name, item.uid))),
            deployments=tuple(bucket.deployments.values()),
            services=tuple(bucket.services.values()),
            pods=tuple(bucket.pods.values()),
        )

    def forget(self, key: Key) -> None:
        """Drop a cluster of which nothing is left."""
        self._buckets.pop(key, None)

    def __iter__(self) -> Iterator[Key]:
        """All clusters of which anything is known."""
        return iter(tuple(self._buckets))


def key_of(resource: Resource, body: Body) -> Key | None:
    """Which cluster an object belongs to, or None."""
    meta = body["metadata"]
    if resource == DASK_CLUSTERS:
        name = meta["name"]
    elif resource == DASK_WORKER_GROUPS:
        name = (body.get("spec") or {}).get("cluster")
    else:
        name = (meta.get("labels") or {}).get(naming.CLUSTER_NAME_LABEL)
    return Key(meta["namespace"], name) if name else None


def _version(body: Body) -> int:
    return int(body["metadata"].get("resourceVersion") or 0)


def dask_owner_uids(meta: Body) -> frozenset[str]:
    """The uids of those owners that are DaskClusters or DaskWorkerGroups."""
    return frozenset(ref["uid"] for ref in meta.get("ownerReferences") or () if _is_dask(ref))


def has_foreign_owner(meta: Body) -> bool:
    """Whether anything else owns the object too."""
    return any(not _is_dask(ref) for ref in meta.get("ownerReferences") or ())


def _is_dask(reference: Body) -> bool:
    ours = (DASK_CLUSTERS.kind, DASK_WORKER_GROUPS.kind)
    return str(reference["apiVersion"]).startswith(f"{API_GROUP}/") and reference["kind"] in ours


def parse_time(text: str) -> datetime:
    """A Kubernetes timestamp, which is always UTC."""
    return datetime.fromisoformat(text)


def _item(resource: Resource, body: Body) -> Item:
    meta = body["metadata"]
    version = _version(body)
    if resource in (DASK_CLUSTERS, DASK_WORKER_GROUPS):
        return CustomResource(name=meta["name"], uid=meta["uid"], version=version, body=body)
    common: dict[str, Any] = {
        "name": meta["name"],
        "uid": meta["uid"],
        "version": version,
        "owner_uids": dask_owner_uids(meta),
        "foreign_owner": has_foreign_owner(meta),
        "terminating": bool(meta.get("deletionTimestamp")),
    }
    status = body.get("status") or {}
    if resource == PODS:
        return Pod(
            **common,
            group=(meta.get("labels") or {}).get(naming.WORKER_GROUP_NAME_LABEL, ""),
            created_at=parse_time(meta["creationTimestamp"]),
            phase=status.get("phase", "Pending"),
            ready=_condition(status, "Ready"),
        )
    if resource == DEPLOYMENTS:
        return Deployment(**common, available=_condition(status, "Available"))
    return Service(**common)


def _condition(status: Body, kind: str) -> bool:
    return any(
        condition["type"] == kind and condition["status"] == "True" for condition in status.get("conditions") or ()
    )
