"""A job's runner: how far it is, as its Pod says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from .. import naming
from ..spec import Body, DaskJob, RestartPolicy
from .observed import Observed, Pod, parse_time

# Of what a failed container said, the end: that is where an exception is. A condition has room for 1024.
_MAX_LAST_WORDS = 600


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner's Pod, read.

    Containers that are not the job's own, such as an injected proxy, are neither waited for nor counted.

    Attributes:
        pod: the Pod.
        succeeded: whether all its containers have ended with 0.
        failed: whether it has ended otherwise, and no container of it is started again.
        failures: how often it failed, restarts of its containers counted too.
        failures_before: how often the job's runners had failed before it.
        started_at: when the first of its containers started; None if none has.
        ended_at: when the last of them ended, as far as any has.
        last_words: why it failed last, for people; empty if it has not.
    """

    pod: Pod
    succeeded: bool
    failed: bool
    failures: int
    failures_before: int
    started_at: datetime | None
    ended_at: datetime | None
    last_words: str

    @property
    def alive(self) -> bool:
        """Whether it runs, or will."""
        return not (self.succeeded or self.failed or self.pod.terminating)

    @property
    def has_leftovers(self) -> bool:
        """Whether any container runs, also of those that are not the job's own.

        None does in the moment between the end of the last one and that of its Pod.
        """
        statuses = self.pod.status.get("containerStatuses") or ()
        return any("running" in (status.get("state") or {}) for status in statuses)


def runner_of(job: DaskJob, observed: Observed) -> Runner | None:
    """The runner of a job: a Pod that this job owns, and not an earlier one of its name."""
    own = [pod for pod in observed.runner_pods if job.identity.uid in pod.owner_uids]
    return read_runner(max(own, key=lambda pod: pod.version), job) if own else None


def read_runner(pod: Pod, job: DaskJob) -> Runner:
    """What a runner's Pod says."""
    retries = job.runner.restart_policy == RestartPolicy.ON_FAILURE
    names = [container["name"] for container in job.runner.pod_spec["containers"]]
    main = [status for status in pod.status.get("containerStatuses") or () if status["name"] in names]
    own = [*main, *_init_statuses(pod, job)]
    exit_codes = [code for status in main if (code := _exit_code(status)) is not None]
    ended = len(exit_codes) == len(names)
    succeeded = pod.phase == "Succeeded" or (ended and not any(exit_codes))
    failed = not succeeded and (pod.phase == "Failed" or (ended and not retries))
    # Between the end of a container and its next start, the kubelet has not counted the restart yet.
    crashed = retries and any(_exit_code(status) or _crash_looping(status) for status in own)
    restarts = sum(status.get("restartCount", 0) for status in own)
    cut_short = pod.terminating and not succeeded
    starts = list(_times(main, "startedAt", "state", "lastState"))
    ends = list(_times(main, "finishedAt", "state"))
    return Runner(
        pod=pod,
        succeeded=succeeded,
        failed=failed,
        failures=restarts + int(failed or crashed or cut_short),
        failures_before=int(pod.annotations.get(naming.FAILURES_BEFORE_ANNOTATION) or 0),
        # A container that could not be started has a start in 1970.
        started_at=max(min(starts), pod.created_at) if starts else None,
        ended_at=max(*ends, pod.created_at) if ends else None,
        last_words=_last_words(pod, own),
    )


def _init_statuses(pod: Pod, job: DaskJob) -> Iterator[Body]:
    """Those of init containers that have to end; one that is restarted always is a sidecar."""
    containers = job.runner.pod_spec.get("initContainers") or ()
    names = [container["name"] for container in containers if container.get("restartPolicy") != "Always"]
    return (status for status in pod.status.get("initContainerStatuses") or () if status["name"] in names)


def _exit_code(status: Body) -> int | None:
    """With what a container ended; None while it has not, or is already started again."""
    terminated = (status.get("state") or {}).get("terminated")
    return None if terminated is None else int(terminated.get("exitCode", 0))


def _crash_looping(status: Body) -> bool:
    waiting = (status.get("state") or {}).get("waiting") or {}
    return waiting.get("reason") == "CrashLoopBackOff"


def _times(statuses: Iterable[Body], field: str, *states: str) -> Iterator[datetime]:
    """When containers started, or ended, in their present state or the one before it."""
    for status in statuses:
        for state in states:
            for detail in (status.get(state) or {}).values():
                if moment := (detail or {}).get(field):
                    yield parse_time(moment)


def _last_words(pod: Pod, statuses: Sequence[Body]) -> str:
    ends = [
        (status["name"], terminated)
        for status in statuses
        for state in ("state", "lastState")
        if (terminated := (status.get(state) or {}).get("terminated")) and terminated.get("exitCode")
    ]
    parts = [_whole_pod(pod)]
    if ends:
        parts.append(_container(*max(ends, key=lambda end: str(end[1].get("finishedAt") or ""))))
    return "; ".join(part for part in parts if part)


def _whole_pod(pod: Pod) -> str:
    """What happened to the Pod rather than to one of its containers."""
    conditions = pod.status.get("conditions") or ()
    disruptions = (c for c in conditions if c["type"] == "DisruptionTarget" and c.get("status") == "True")
    source: Body = pod.status if pod.status.get("reason") else next(disruptions, {})
    told = ": ".join(text for text in (source.get("reason"), source.get("message")) if text)
    if pod.terminating:
        return f"pod {pod.name} was deleted before it ended" + (f" ({told})" if told else "")
    return f"pod {pod.name}: {told}" if told else ""


def _container(name: str, terminated: Body) -> str:
    text = f"container {name} ended with exit code {terminated['exitCode']}"
    if terminated.get("reason") not in (None, "", "Error"):
        text += f" ({terminated['reason']})"
    said = str(terminated.get("message") or "").strip()
    if len(said) > _MAX_LAST_WORDS:
        said = f"... {said[-_MAX_LAST_WORDS:]}"
    return f"{text}; it last said: {said}" if said else text
