"""What is there: the cluster's objects as the API server last showed them.

The store is fed by watches and by the answers to the controller's own writes, so that a plan made right after a
write sees it. What is older than what is known is ignored, be that an object or its deletion.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any, NamedTuple

from .. import naming
from ..resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_JOBS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    FIELD_MANAGER,
    PODS,
    SERVICES,
    Resource,
)
from ..spec import API_GROUP, Body
from .heartbeat import Silence
from .report import NOTHING_SAID, SchedulerReport

CUSTOM_RESOURCES = (DASK_CLUSTERS, DASK_WORKER_GROUPS, DASK_JOBS, DASK_AUTOSCALERS)
_OWNER_KINDS = frozenset({DASK_CLUSTERS.kind, DASK_WORKER_GROUPS.kind, DASK_JOBS.kind})
_COMPONENTS = (naming.COMPONENT_SCHEDULER, naming.COMPONENT_WORKER, naming.COMPONENT_JOB_RUNNER)
# Why a container waits that is merely being started.
_PASSING_REASONS = frozenset({"ContainerCreating", "PodInitializing"})

# Deleted uids are remembered to drop events that arrive late; a watch is never this many objects behind.
_REMEMBERED_DELETIONS = 20_000


class Key(NamedTuple):
    """The unit of reconciliation: one cluster's name in one namespace."""

    namespace: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Child:
    """What is kept of any object the controller makes.

    ``owner_uids`` are those of its owners that are of the operator's own kinds; ``foreign_owner`` tells that there
    are others, to whom it is left.
    """

    name: str
    uid: str
    version: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner_uids: frozenset[str]
    foreign_owner: bool
    terminating: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a Pod from running, in Kubernetes' own words.

    ``reason`` is e.g. ``ImagePullBackOff``, ``CrashLoopBackOff`` or ``Unschedulable``.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Pod(Child):
    """A Pod of a scheduler, a worker or a job's runner: that is its ``component``.

    ``group`` is the worker group's name, ``ip`` is empty as long as there is none. ``status`` is kept whole for a
    job's runner alone, ``owners`` are the references to its owners where they are others than the operator sets.
    """

    component: str
    group: str
    owners: tuple[Body, ...]
    created_at: datetime
    phase: str
    ready_since: datetime | None
    ip: str
    problem: Problem | None
    status: Body

    @property
    def ready(self) -> bool:
        """Whether the kubelet says that it is."""
        return self.ready_since is not None

    @property
    def finished(self) -> bool:
        """Whether all containers have ended for good."""
        return self.phase in ("Failed", "Succeeded")

    @property
    def draining_since(self) -> datetime | None:
        """Since when it is on its way out; None for a worker that is to stay, or whose mark somebody spoiled."""
        try:
            moment = parse_time(self.annotations[naming.DRAINING_SINCE_ANNOTATION])
        except (KeyError, ValueError):
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    @property
    def spec_hash(self) -> str | None:
        """The digest of what it was built from; None when it is from another operator."""
        return self.annotations.get(naming.SPEC_HASH_ANNOTATION)

    @property
    def deployment(self) -> str:
        """The name of the Deployment whose ReplicaSet it belongs to; empty when there is none."""
        replica_sets = (owner["name"] for owner in self.owners if owner["kind"] == "ReplicaSet")
        return next((name.rpartition("-")[0] for name in replica_sets), "")


@dataclass(frozen=True, slots=True)
class Deployment(Child):
    """A scheduler's Deployment, or that of a worker of the public operator.

    ``selector`` are the labels by which it knows its Pods, ``edited`` tells that somebody else wrote to its spec.
    """

    selector: Mapping[str, str]
    available: bool
    edited: bool
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class Service(Child):
    """A scheduler's Service; ``edited`` tells that somebody else wrote to its spec."""

    edited: bool


@dataclass(frozen=True, slots=True)
class CustomResource:
    """A DaskCluster, DaskWorkerGroup, DaskJob or DaskAutoscaler: kept whole, because children are built from it."""

    name: str
    uid: str
    version: int
    body: Body

    @property
    def generation(self) -> int:
        """Which edit of its spec it is."""
        return int(self.body["metadata"].get("generation", 0))

    @property
    def terminating(self) -> bool:
        """Whether its deletion is under way."""
        return bool(self.body["metadata"].get("deletionTimestamp"))


Item = Pod | Deployment | Service | CustomResource


@dataclass(frozen=True, slots=True)
class Observed:
    """All that is known of one cluster name at one moment.

    ``pods`` are those of workers, ``deployments`` those of schedulers; ``worker_deployments`` are the public
    operator's. ``scheduler_report`` is what the Dask scheduler last said, ``silence`` how long its clients have not
    said anything; None where nobody listened.
    """

    key: Key
    cluster: CustomResource | None = None
    groups: tuple[CustomResource, ...] = ()
    job: CustomResource | None = None
    autoscalers: tuple[CustomResource, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    worker_deployments: tuple[Deployment, ...] = ()
    services: tuple[Service, ...] = ()
    pods: tuple[Pod, ...] = ()
    scheduler_pods: tuple[Pod, ...] = ()
    runner_pods: tuple[Pod, ...] = ()
    scheduler_report: SchedulerReport = NOTHING_SAID
    silence: Silence | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is left that bears the cluster's name."""
        resources = (self.cluster, self.groups, self.job, self.autoscalers)
        pods = (self.pods, self.scheduler_pods, self.runner_pods)
        return not any((*resources, *pods, self.deployments, self.worker_deployments, self.services))


@dataclass(slots=True)
class _Bucket:
    """The objects of one cluster name: by resource, then by uid."""

    items: dict[Resource, dict[str, Any]] = field(default_factory=dict)

    def of(self, resource: Resource) -> dict[str, Any]:
        return self.items.setdefault(resource, {})

    def sweep(self, resource: Resource, present: Collection[str], version: int) -> bool:
        """Drop what is not in a list and not newer than it; returns whether there was any."""
        items = self.of(resource)
        gone = [uid for uid, item in items.items() if uid not in present and item.version <= version]
        for uid in gone:
            del items[uid]
        return bool(gone)

    def newest(self, resource: Resource) -> Any:
        return max(self.of(resource).values(), key=lambda item: item.version, default=None)

    def by_name(self, resource: Resource) -> tuple[Any, ...]:
        return tuple(sorted(self.of(resource).values(), key=lambda item: (item.name, item.uid)))


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
        # Before the body is read: what a list shows is rarely news.
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
        self._buckets.setdefault(key, _Bucket()).sweep(resource, present, version)
        for body in bodies:
            self.put(resource, body)

    def sweep(self, resource: Resource, namespace: str | None, present: Collection[str], *, version: int) -> set[Key]:
        """Take note of a whole list: what is older than it and not in it is gone.

        Args:
            resource: what was listed.
            namespace: where; None for everywhere.
            present: the uids in the list.
            version: the resource version at which it was made.

        Returns:
            Whose the objects were that are gone.
        """
        return {
            key
            for key, bucket in self._buckets.items()
            if namespace in (None, key.namespace) and bucket.sweep(resource, present, version)
        }

    def knows(self, key: Key, resource: Resource, uid: str) -> bool:
        """Whether there is, as far as is known, an object with this uid."""
        return key in self._buckets and uid in self._buckets[key].of(resource)

    def observe(self, key: Key) -> Observed:
        """What is known of one cluster now."""
        bucket = self._buckets.get(key) or _Bucket()
        pods: dict[str, list[Pod]] = {component: [] for component in _COMPONENTS}
        for pod in bucket.of(PODS).values():
            pods[pod.component].append(pod)
        deployments: dict[bool, list[Deployment]] = {False: [], True: []}
        for deployment in bucket.of(DEPLOYMENTS).values():
            of_worker = deployment.labels.get(naming.COMPONENT_LABEL) == naming.COMPONENT_WORKER
            deployments[of_worker].append(deployment)
        return Observed(
            key=key,
            cluster=bucket.newest(DASK_CLUSTERS),
            groups=bucket.by_name(DASK_WORKER_GROUPS),
            job=bucket.newest(DASK_JOBS),
            autoscalers=bucket.by_name(DASK_AUTOSCALERS),
            deployments=tuple(deployments[False]),
            worker_deployments=tuple(deployments[True]),
            services=tuple(bucket.of(SERVICES).values()),
            pods=tuple(pods[naming.COMPONENT_WORKER]),
            scheduler_pods=tuple(pods[naming.COMPONENT_SCHEDULER]),
            runner_pods=tuple(pods[naming.COMPONENT_JOB_RUNNER]),
        )

    def forget(self, key: Key) -> None:
        """Drop a cluster of which nothing is left."""
        self._buckets.pop(key, None)

    def __iter__(self) -> Iterator[Key]:
        """All clusters of which anything is known."""
        return iter(tuple(self._buckets))


def key_of(resource: Resource, body: Body) -> Key | None:
    """Which cluster an object belongs to, or None. A job's cluster bears the job's name."""
    meta = body["metadata"]
    labels = meta.get("labels") or {}
    if resource in (DASK_CLUSTERS, DASK_JOBS):
        name = meta["name"]
    elif resource in (DASK_WORKER_GROUPS, DASK_AUTOSCALERS):
        name = (body.get("spec") or {}).get("cluster")
    elif resource == PODS and labels.get(naming.COMPONENT_LABEL) not in _COMPONENTS:
        name = None
    else:
        name = labels.get(naming.CLUSTER_NAME_LABEL)
    return Key(meta["namespace"], name) if name else None


def _version(body: Body) -> int:
    return int(body["metadata"].get("resourceVersion") or 0)


def dask_owner_uids(meta: Body) -> frozenset[str]:
    """The uids of those owners that are of the operator's own kinds."""
    return frozenset(ref["uid"] for ref in meta.get("ownerReferences") or () if _is_dask(ref))


def has_foreign_owner(meta: Body) -> bool:
    """Whether anything else owns the object too."""
    return any(not _is_dask(ref) for ref in meta.get("ownerReferences") or ())


def _unusual_owners(meta: Body) -> tuple[Body, ...]:
    owners = tuple(meta.get("ownerReferences") or ())
    usual = len(owners) == 1 and _is_dask(owners[0]) and owners[0].get("controller")
    return () if usual else owners


def _is_dask(reference: Body) -> bool:
    return str(reference["apiVersion"]).startswith(f"{API_GROUP}/") and reference["kind"] in _OWNER_KINDS


def parse_time(text: str) -> datetime:
    """A Kubernetes timestamp, which is always UTC."""
    return datetime.fromisoformat(text)


def _item(resource: Resource, body: Body) -> Item:
    meta = body["metadata"]
    version = _version(body)
    if resource in CUSTOM_RESOURCES:
        # Who wrote which field nobody asks of them, and it takes as much memory as all the rest.
        kept = {**body, "metadata": {key: value for key, value in meta.items() if key != "managedFields"}}
        return CustomResource(name=meta["name"], uid=meta["uid"], version=version, body=kept)
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    common: dict[str, Any] = {
        "name": meta["name"],
        "uid": meta["uid"],
        "version": version,
        "labels": labels,
        "annotations": annotations,
        "owner_uids": dask_owner_uids(meta),
        "foreign_owner": has_foreign_owner(meta),
        "terminating": bool(meta.get("deletionTimestamp")),
    }
    status = body.get("status") or {}
    if resource == PODS:
        component = labels[naming.COMPONENT_LABEL]
        ready = _condition(status, "Ready")
        return Pod(
            **common,
            component=component,
            group=labels.get(naming.WORKER_GROUP_NAME_LABEL, ""),
            owners=_unusual_owners(meta),
            created_at=parse_time(meta["creationTimestamp"]),
            phase=status.get("phase", "Pending"),
            ready_since=parse_time(ready["lastTransitionTime"]) if ready.get("status") == "True" else None,
            ip=status.get("podIP", ""),
            problem=_problem(status),
            status=status if component == naming.COMPONENT_JOB_RUNNER else {},
        )
    edited = _edited(meta)
    if resource == DEPLOYMENTS:
        available = _condition(status, "Available").get("status") == "True"
        failure = _condition(status, "ReplicaFailure")
        problem = _refused(failure) if failure.get("status") == "True" else None
        selector = ((body.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        return Deployment(**common, selector=selector, available=available, edited=edited, problem=problem)
    return Service(**common, edited=edited)


def _edited(meta: Body) -> bool:
    """Whether others own fields of a spec that only the operator should write.

    ``kubectl rollout restart`` may: it writes to the metadata of the Pod template alone.
    """
    for entry in meta.get("managedFields") or ():
        if entry.get("manager") == FIELD_MANAGER or entry.get("subresource") == "status":
            continue
        spec = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        if spec.keys() - {"f:template"} or (spec.get("f:template") or {}).keys() - {"f:metadata"}:
            return True
    return False


def _condition(status: Body, kind: str) -> Body:
    return next((condition for condition in status.get("conditions") or () if condition["type"] == kind), {})


def _refused(failure: Body) -> Problem:
    message = failure.get("message", "")
    return Problem("QuotaExceeded" if "exceeded quota" in message else failure.get("reason", "FailedCreate"), message)


def _problem(status: Body) -> Problem | None:
    """What a Pod's conditions and containers say that keeps it from running."""
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return Problem("Unschedulable", scheduled.get("message", ""))
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason and reason not in _PASSING_REASONS:
            last_words = ((container.get("lastState") or {}).get("terminated") or {}).get("message", "")
            message = f"container {container['name']}: {waiting.get('message') or reason}"
            return Problem(reason, f"{message}; it last said: {last_words.strip()}" if last_words else message)
    return None
