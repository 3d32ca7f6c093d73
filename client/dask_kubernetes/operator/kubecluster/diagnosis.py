"""Why a cluster does not start, in the words of its Pods and of the operator. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dask_kubernetes.exceptions import (
    CrashLoopBackOffError,
    DaskKubernetesError,
    ImagePullError,
    SchedulerStartupError,
    UnschedulableError,
)

from .labels import SCHEDULER, component, is_leaving

Object = Mapping[str, Any]

_IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CRASHING = ("CrashLoopBackOff",)
_CONTAINER_REASONS = (
    *_IMAGE_REASONS,
    *_CRASHING,
    *("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError"),
)
# What does not come right by waiting.
_FINAL_REASONS = ("InvalidImageName", "ErrImageNeverPull")
_FINAL_WORDS = re.compile(r"manifest unknown|not found|unauthorized|denied|repository does not exist", re.IGNORECASE)
# Of the operator's reasons, those that are no trouble, or not told better by a Pod.
_HARMLESS = ("SchedulerNotAvailable", "AsExpected", "SchedulerAvailable")
_ERRORS: dict[str, type[DaskKubernetesError]] = {
    **dict.fromkeys(_IMAGE_REASONS, ImagePullError),
    **dict.fromkeys(_CRASHING, CrashLoopBackOffError),
    "Unschedulable": UnschedulableError,
}


@dataclass(frozen=True)
class Problem:
    """What keeps a cluster from starting.

    Attributes:
        reason: Kubernetes' or the operator's word for it, such as ``ImagePullBackOff``.
        message: what is said about it.
        pod: the Pod it is about, empty if none.
        container: the container, empty if none.
        is_final: whether waiting cannot help.
    """

    reason: str
    message: str
    pod: str = ""
    container: str = ""
    is_final: bool = False

    @property
    def error(self) -> type[DaskKubernetesError]:
        """The exception for it."""
        return _ERRORS.get(self.reason, SchedulerStartupError)

    def __str__(self) -> str:
        about = f"Pod {self.pod}: " if self.pod else ""
        return f"{about}{self.reason}: {self.message}" if self.message else f"{about}{self.reason}"


def scheduler_problem(cluster: Object, pods: Iterable[Object]) -> Problem | None:
    """What keeps the scheduler from starting, if anything.

    Args:
        cluster: the DaskCluster.
        pods: the Pods of the cluster.
    """
    schedulers = [pod for pod in pods if component(pod) == SCHEDULER and not is_leaving(pod)]
    for pod in schedulers:
        if problem := pod_problem(pod):
            return problem
    if any(is_running(pod) for pod in schedulers):
        return None
    return next(_told_by_operator(cluster), None)


def pod_problem(pod: Object) -> Problem | None:
    """What keeps a Pod from running, if anything."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    for container in _containers(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in _CONTAINER_REASONS:
            message = waiting.get("message", "")
            if reason in _CRASHING:
                message = _last_end(container) or message
            is_final = reason in _FINAL_REASONS or (
                reason in _IMAGE_REASONS and _FINAL_WORDS.search(message) is not None
            )
            return Problem(reason, message, name, container["name"], is_final)
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Problem(condition.get("reason", "Unschedulable"), condition.get("message", ""), name)
    if status.get("phase") == "Failed":
        ended = [told for container in _containers(status) if (told := _end(container.get("state")))]
        return Problem(status.get("reason") or "Failed", status.get("message") or "; ".join(ended), name)
    return None


def is_running(pod: Object) -> bool:
    """Whether all containers of a Pod have started."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return bool(statuses) and all("running" in (status.get("state") or {}) for status in statuses)


def is_ready(pod: Object) -> bool:
    """Whether a Pod is ready."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def is_taken_up(cluster: Object) -> bool:
    """Whether an operator has seen a DaskCluster."""
    status = cluster.get("status") or {}
    return bool(status.get("phase") or status.get("conditions"))


def describe(pod: Object) -> str:
    """What a Pod is doing, in a word or two."""
    if is_leaving(pod):
        return "Terminating"
    if problem := pod_problem(pod):
        return problem.reason
    if is_ready(pod):
        return "Ready"
    for container in _containers(pod.get("status") or {}):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return str(waiting["reason"])
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _told_by_operator(cluster: Object) -> Iterator[Problem]:
    conditions = {condition["type"]: condition for condition in (cluster.get("status") or {}).get("conditions") or ()}
    scheduler, degraded = conditions.get("SchedulerReady", {}), conditions.get("Degraded", {})
    for condition, bad in ((scheduler, "False"), (degraded, "True")):
        if condition.get("status") == bad and condition.get("reason") not in _HARMLESS:
            yield Problem(condition.get("reason", ""), condition.get("message", ""))


def _containers(status: Object) -> list[Object]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _last_end(container: Object) -> str:
    return _end(container.get("lastState")) or _end(container.get("state"))


def _end(state: Object | None) -> str:
    ended = (state or {}).get("terminated")
    if not ended:
        return ""
    words = f"it ended with exit code {ended.get('exitCode')} ({ended.get('reason', 'Error')})"
    return f"{words}: {ended['message'].strip()}" if ended.get("message") else words
