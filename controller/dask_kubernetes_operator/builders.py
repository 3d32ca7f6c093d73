"""Spec in, Kubernetes object out. Pure: same input, same output; the input is never changed.

Labels and annotations follow one rule: top level of the parent, then the parent's sub-resource metadata, then
what the operator reserves; later ones win.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from . import naming
from .spec import API_GROUP, API_VERSION, DaskCluster, DaskJob, DaskWorkerGroup, Identity, Metadata, parse_cluster

Object = dict[str, Any]

_API_VERSION = f"{API_GROUP}/{API_VERSION}"

# A runner starts together with its scheduler, whose node may have to be started first. Dask's own 30 seconds
# (distributed.comm.timeouts.connect) would make the runner fail meanwhile.
_RUNNER_CONNECT_TIMEOUT = "300s"


def build_scheduler_deployment(cluster: DaskCluster, *, selector: Mapping[str, str] | None = None) -> Object:
    """The Deployment (one replica) that keeps a cluster's scheduler running.

    Args:
        cluster: the cluster.
        selector: the labels by which one that is there already selects its Pods: nobody can change them.
    """
    name = cluster.identity.name
    # Only what the operator sets: a selector is immutable, a user's labels are not.
    selector = selector or naming.scheduler_labels(name)
    metadata = scheduler_metadata(cluster)
    pod_spec = _pod_spec(cluster.scheduler.pod_spec, env={})
    # A Deployment allows no other policy; manifests made for the bare scheduler pod of old releases carry one.
    pod_spec.pop("restartPolicy", None)
    own = {naming.SPEC_HASH_ANNOTATION: scheduler_hash(cluster)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _child_metadata(cluster.identity, naming.scheduler_name(name), metadata, own),
        "spec": {
            "replicas": 1,
            # Two schedulers at once would split the workers between them.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": dict(selector)},
            "template": {"metadata": _propagated(scheduler_pod_metadata(cluster, selector)), "spec": pod_spec},
        },
    }


def build_scheduler_service(cluster: DaskCluster) -> Object:
    """The Service through which workers and clients reach the scheduler."""
    name = cluster.identity.name
    spec = deepcopy(dict(cluster.scheduler.service_spec))
    spec["selector"] = {**(spec.get("selector") or {}), **naming.scheduler_labels(name)}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _child_metadata(
            cluster.identity,
            naming.scheduler_name(name),
            scheduler_metadata(cluster),
            {naming.SPEC_HASH_ANNOTATION: service_hash(cluster)},
        ),
        "spec": spec,
    }


def build_default_worker_group(cluster: DaskCluster) -> Object:
    """The DaskWorkerGroup that a DaskCluster brings along."""
    name = cluster.identity.name
    own = {naming.CLUSTER_REPLICAS_ANNOTATION: str(cluster.worker.replicas)}
    return {
        "apiVersion": _API_VERSION,
        "kind": "DaskWorkerGroup",
        "metadata": _child_metadata(
            cluster.identity, naming.default_worker_group_name(name), default_group_metadata(cluster), own
        ),
        "spec": {
            "cluster": name,
            "worker": {
                "replicas": cluster.worker.replicas,
                "spec": deepcopy(dict(cluster.worker.pod_spec)),
            },
        },
    }


def build_worker_pod(group: DaskWorkerGroup, *, suffix: str, cluster: DaskCluster) -> Object:
    """One worker of a group: a bare Pod.

    Args:
        group: the group it belongs to.
        suffix: makes its name unique within the group.
        cluster: the cluster whose scheduler it connects to.
    """
    name = naming.worker_name(group.identity.name, suffix)
    own = {naming.SPEC_HASH_ANNOTATION: worker_hash(group, cluster)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _child_metadata(group.identity, name, worker_metadata(group), own),
        "spec": _pod_spec(
            group.worker.pod_spec,
            env={"DASK_WORKER_NAME": name, "DASK_SCHEDULER_ADDRESS": scheduler_address(cluster)},
        ),
    }


def build_job_cluster(job: DaskJob) -> Object:
    """The DaskCluster of a job, which bears the job's name."""
    own = {naming.SPEC_HASH_ANNOTATION: job_cluster_hash(job)}
    return {
        "apiVersion": _API_VERSION,
        "kind": "DaskCluster",
        "metadata": _child_metadata(job.identity, job.identity.name, job_cluster_metadata(job), own),
        "spec": deepcopy(dict(job.cluster.spec)),
    }


def build_job_runner(job: DaskJob, *, failures_before: int) -> Object:
    """The Pod that runs a job.

    Args:
        job: the job.
        failures_before: how often its runners have failed so far.
    """
    identity = job.identity
    place = {"metadata": {"namespace": identity.namespace, "name": identity.name, "uid": ""}}
    cluster = parse_cluster({**place, "spec": job.cluster.spec})
    pod_spec = _pod_spec(
        job.runner.pod_spec,
        env={
            "DASK_SCHEDULER_ADDRESS": scheduler_address(cluster),
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": _RUNNER_CONNECT_TIMEOUT,
        },
    )
    pod_spec["restartPolicy"] = job.runner.restart_policy.value
    own = {naming.FAILURES_BEFORE_ANNOTATION: str(failures_before)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _child_metadata(identity, naming.job_runner_name(identity.name), job_runner_metadata(job), own),
        "spec": pod_spec,
    }


def scheduler_metadata(cluster: DaskCluster) -> Metadata:
    """Labels and annotations of a scheduler's Deployment and Service."""
    return _metadata(cluster.metadata, cluster.scheduler.metadata, naming.scheduler_labels(cluster.identity.name))


def scheduler_pod_metadata(cluster: DaskCluster, selector: Mapping[str, str]) -> Metadata:
    """Labels and annotations of a scheduler's Pod; those that its Deployment selects it by, it has to keep."""
    metadata = _with_default_labels(scheduler_metadata(cluster))
    return Metadata({**metadata.labels, **selector}, metadata.annotations)


def default_group_metadata(cluster: DaskCluster) -> Metadata:
    """Labels and annotations of a cluster's default worker group."""
    return _metadata(cluster.metadata, cluster.worker.metadata, naming.worker_group_labels(cluster.identity.name))


def worker_metadata(group: DaskWorkerGroup) -> Metadata:
    """Labels and annotations of the Pods of a group."""
    own = naming.worker_labels(group.cluster_name, group.identity.name)
    return _with_default_labels(_metadata(group.metadata, group.worker.metadata, own))


def job_cluster_metadata(job: DaskJob) -> Metadata:
    """Labels and annotations of a job's DaskCluster."""
    return _metadata(job.metadata, job.cluster.metadata, {naming.CLUSTER_NAME_LABEL: job.identity.name})


def job_runner_metadata(job: DaskJob) -> Metadata:
    """Labels and annotations of a job's runner."""
    metadata = _metadata(job.metadata, job.runner.metadata, naming.job_runner_labels(job.identity.name))
    return _with_default_labels(metadata)


def scheduler_hash(cluster: DaskCluster) -> str:
    """A digest of what a scheduler's Pod is built from, its labels and annotations left out: they change in place."""
    return _digest(cluster.scheduler.pod_spec)


def service_hash(cluster: DaskCluster) -> str:
    """A digest of what a scheduler's Service is built from."""
    return _digest(cluster.scheduler.service_spec)


def worker_hash(group: DaskWorkerGroup, cluster: DaskCluster) -> str:
    """A digest of what a group's Pods are built from, labels and annotations left out."""
    return _digest([group.worker.pod_spec, comm_port(cluster)])


def job_cluster_hash(job: DaskJob) -> str:
    """A digest of what a job's DaskCluster is built from, labels and annotations left out."""
    return _digest(job.cluster.spec)


def metadata_patch(
    labels: Mapping[str, str], annotations: Mapping[str, str], wanted: Metadata
) -> dict[str, dict[str, str | None]]:
    """The merge patch of an object's metadata that gives it what its parent propagates; empty when it has that.

    Args:
        labels: those that the object has.
        annotations: those that the object has.
        wanted: what the parent propagates now.
    """
    before = _read_note(annotations.get(naming.PROPAGATED_ANNOTATION, ""))
    now = _propagated(wanted)
    changes = {
        "labels": _changes(labels, now["labels"], before["labels"]),
        "annotations": _changes(annotations, now["annotations"], before["annotations"]),
    }
    return {field: change for field, change in changes.items() if change}


def owner_reference(owner: Identity) -> Object:
    """The reference by which garbage collection removes a child with its owner."""
    return {
        "apiVersion": _API_VERSION,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def with_owner(references: Iterable[Mapping[str, Any]], owner: Identity) -> list[Object]:
    """An object's owner references with one to ``owner``: as its controller, unless that is somebody else.

    Only one owner can be the controller; any owner will do for garbage collection.
    """
    kept = [dict(reference) for reference in references]
    own = owner_reference(owner)
    if any(other.get("controller") and other["uid"] != owner.uid for other in kept):
        del own["controller"]
    if all(other["uid"] != owner.uid for other in kept):
        return [*kept, own]
    return [own if other["uid"] == owner.uid else other for other in kept]


def scheduler_address(cluster: DaskCluster) -> str:
    """The address at which workers find the scheduler, e.g. ``tcp://simple-scheduler.default.svc:8786``.

    Without the cluster domain: the pod's own resolver completes it, whatever the domain is.
    """
    return f"tcp://{_service_host(cluster)}:{comm_port(cluster)}"


def comm_port(cluster: DaskCluster) -> int:
    """The port of the Service at which workers and clients find the scheduler."""
    return _service_port(cluster, naming.COMM_PORT_NAME, naming.COMM_PORT)


def dashboard_address(cluster: DaskCluster) -> str:
    """The address of the scheduler's dashboard inside the cluster, e.g. ``http://simple-scheduler.default.svc:8787``."""
    port = _service_port(cluster, naming.DASHBOARD_PORT_NAME, naming.DASHBOARD_PORT)
    return f"http://{_service_host(cluster)}:{port}"


def _service_host(cluster: DaskCluster) -> str:
    return f"{naming.scheduler_name(cluster.identity.name)}.{cluster.identity.namespace}.svc"


def _service_port(cluster: DaskCluster, name: str, default: int) -> int:
    for port in cluster.scheduler.service_spec.get("ports") or ():
        if port.get("name") == name:
            return int(port["port"])
    return default


def _pod_spec(pod_spec: Mapping[str, Any], *, env: Mapping[str, str]) -> Object:
    spec: Object = deepcopy(dict(pod_spec))
    # One variable for each Service of the namespace would overflow the argument list in a busy one.
    spec.setdefault("enableServiceLinks", False)
    for container in spec["containers"]:
        # A container that fails leaves its last lines in its Pod's status, where the operator can read them.
        container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
        theirs = container.get("env") or []
        names = {variable["name"] for variable in theirs}
        ours = [{"name": key, "value": value} for key, value in env.items() if key not in names]
        if ours:
            container["env"] = [*theirs, *ours]
    return spec


def _child_metadata(
    owner: Identity, name: str, metadata: Metadata, own_annotations: Mapping[str, str] | None = None
) -> Object:
    propagated = _propagated(metadata)
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": propagated["labels"],
        "annotations": {**propagated["annotations"], **(own_annotations or {})},
        "ownerReferences": [owner_reference(owner)],
    }


def _propagated(metadata: Metadata) -> dict[str, dict[str, str]]:
    """Labels and annotations, with the note by which those that go missing later are found."""
    note = {"annotations": sorted(metadata.annotations), "labels": sorted(metadata.labels)}
    return {
        "labels": dict(metadata.labels),
        "annotations": {
            **metadata.annotations,
            naming.PROPAGATED_ANNOTATION: json.dumps(note, separators=(",", ":")),
        },
    }


def _read_note(text: str) -> dict[str, list[str]]:
    """The keys that were propagated; none where somebody spoiled the note, which is then written afresh."""
    try:
        note = json.loads(text)
    except ValueError:
        note = None
    note = note if isinstance(note, dict) else {}
    return {
        field: [key for key in note[field] if isinstance(key, str)] if isinstance(note.get(field), list) else []
        for field in ("labels", "annotations")
    }


def _changes(
    present: Mapping[str, str], wanted: Mapping[str, str], propagated_before: Iterable[str]
) -> dict[str, str | None]:
    changed: dict[str, str | None] = {key: value for key, value in wanted.items() if present.get(key) != value}
    changed.update({key: None for key in propagated_before if key in present and key not in wanted})
    return changed


def _metadata(top: Metadata, sub: Metadata, reserved: Mapping[str, str]) -> Metadata:
    return Metadata(
        labels={**naming.without_bookkeeping(top.labels), **naming.without_bookkeeping(sub.labels), **reserved},
        annotations=naming.without_reserved(
            {**naming.without_bookkeeping(top.annotations), **naming.without_bookkeeping(sub.annotations)}
        ),
    )


def _with_default_labels(metadata: Metadata) -> Metadata:
    return Metadata({**naming.DEFAULT_POD_LABELS, **metadata.labels}, metadata.annotations)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
