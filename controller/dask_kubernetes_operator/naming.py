"""Every name, label, annotation and port that the operator and its users agree on."""

from __future__ import annotations

from collections.abc import Mapping

CLUSTER_NAME_LABEL = "dask.org/cluster-name"
WORKER_GROUP_NAME_LABEL = "dask.org/workergroup-name"
COMPONENT_LABEL = "dask.org/component"

COMPONENT_SCHEDULER = "scheduler"
COMPONENT_WORKER = "worker"
COMPONENT_WORKER_GROUP = "workergroup"
COMPONENT_JOB_RUNNER = "job-runner"

# On the default group: the cluster's replicas that were last carried over to it. A difference to the cluster's
# spec tells an edit of the cluster from an edit of the group itself, by whichever of the two came last.
CLUSTER_REPLICAS_ANNOTATION = "dask.org/cluster-replicas"

# On a Deployment or a Pod: a digest of the spec that a user gave, from which it was built. What a newer controller
# would build from the same spec is no reason to replace it.
SPEC_HASH_ANNOTATION = "dask.org/spec-hash"
# On every child: the keys of the labels and annotations that it got from its parent, so that those that the parent
# loses are removed and those of others are left alone.
PROPAGATED_ANNOTATION = "dask.org/propagated-metadata"
# On a job's runner: how often runners of the job had failed when it was made.
FAILURES_BEFORE_ANNOTATION = "dask.org/failures-before"
# On a worker's Pod: since when it is on its way out, handing over its data.
DRAINING_SINCE_ANNOTATION = "dask.org/draining-since"

# On a DaskCluster: when a client of it last said that it lives. Clients write it.
CLIENT_SEEN_ANNOTATION = "kubernetes.dask.org/client-seen"

COMM_PORT_NAME = "tcp-comm"
COMM_PORT = 8786
DASHBOARD_PORT_NAME = "http-dashboard"
DASHBOARD_PORT = 8787

_RESERVED_ANNOTATIONS = frozenset(
    {
        CLUSTER_REPLICAS_ANNOTATION,
        SPEC_HASH_ANNOTATION,
        PROPAGATED_ANNOTATION,
        DRAINING_SINCE_ANNOTATION,
        FAILURES_BEFORE_ANNOTATION,
        CLIENT_SEEN_ANNOTATION,
    }
)

# Istio's sidecar breaks Dask's pod-to-pod traffic unless the mesh is set up for it: off unless the user turns it on.
DEFAULT_POD_LABELS: Mapping[str, str] = {"sidecar.istio.io/inject": "false"}

# What tools write on an object to recognise it as theirs. On a child it would make them prune or adopt it.
_BOOKKEEPING_PREFIXES = (
    "applyset.kubernetes.io/",
    "argocd.argoproj.io/",
    "helm.sh/",
    "helm.toolkit.fluxcd.io/",
    "kopf.zalando.org/",
    "kubectl.kubernetes.io/",
    "kustomize.toolkit.fluxcd.io/",
    "meta.helm.sh/",
)
_BOOKKEEPING_KEYS = frozenset({"app.kubernetes.io/instance", "app.kubernetes.io/managed-by"})


def scheduler_name(cluster_name: str) -> str:
    """Name of a cluster's scheduler Deployment and Service."""
    return f"{cluster_name}-scheduler"


def default_worker_group_name(cluster_name: str) -> str:
    """Name of the DaskWorkerGroup that a DaskCluster brings along."""
    return f"{cluster_name}-default"


def worker_name(group_name: str, suffix: str) -> str:
    """Name of a worker Pod, which is also the worker's name inside Dask."""
    return f"{group_name}-worker-{suffix}"


def job_runner_name(job_name: str) -> str:
    """Name of the Pod that runs a DaskJob."""
    return f"{job_name}-runner"


def job_runner_labels(job_name: str) -> dict[str, str]:
    """The labels by which a job's runner is selected; the job's cluster bears the job's name."""
    return {CLUSTER_NAME_LABEL: job_name, COMPONENT_LABEL: COMPONENT_JOB_RUNNER}


def worker_suffix(name: str) -> str:
    """What makes a worker's name unique in its group; the opposite of `worker_name`."""
    return name.rsplit("-", 1)[-1]


def scheduler_labels(cluster_name: str) -> dict[str, str]:
    """The labels by which a cluster's scheduler is selected."""
    return {CLUSTER_NAME_LABEL: cluster_name, COMPONENT_LABEL: COMPONENT_SCHEDULER}


def worker_group_labels(cluster_name: str) -> dict[str, str]:
    """The labels that the operator sets on a DaskWorkerGroup."""
    return {CLUSTER_NAME_LABEL: cluster_name, COMPONENT_LABEL: COMPONENT_WORKER_GROUP}


def worker_labels(cluster_name: str, group_name: str) -> dict[str, str]:
    """The labels by which a group's workers are selected."""
    return {
        CLUSTER_NAME_LABEL: cluster_name,
        WORKER_GROUP_NAME_LABEL: group_name,
        COMPONENT_LABEL: COMPONENT_WORKER,
    }


def selector(labels: Mapping[str, str]) -> str:
    """A label selector in the string form of the Kubernetes API: ``a=b,c=d``."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def without_bookkeeping(metadata: Mapping[str, str]) -> dict[str, str]:
    """Labels or annotations less those by which kubectl, kopf, Helm, Argo CD and Flux keep their books."""
    return {
        key: value
        for key, value in metadata.items()
        if key not in _BOOKKEEPING_KEYS and not key.startswith(_BOOKKEEPING_PREFIXES)
    }


def without_reserved(metadata: Mapping[str, str]) -> dict[str, str]:
    """Annotations less those that are about one object, and say nothing of its children."""
    return {key: value for key, value in metadata.items() if key not in _RESERVED_ANNOTATIONS}
