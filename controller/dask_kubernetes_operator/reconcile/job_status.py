"""How far a job is: read off its status and its runner, and told in its status. Pure.

``jobStatus`` and the times are those that clients of earlier operators poll, the conditions those of a batch/v1 Job.
What has been counted is in the status alone, so that it outlives the runner's Pod and the controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from .. import naming
from ..resources import DASK_JOBS
from ..spec import Body, DaskJob, RestartPolicy
from .actions import Patch
from .conditions import Condition, find_condition, timestamp
from .observed import Problem, parse_time
from .runner import Runner
from .status import status_patch

# Those of a batch/v1 Job: what waits for a runner that fails again and again grows up to the longest.
_FIRST_RETRY_SECONDS = 10
_LONGEST_RETRY_SECONDS = 360


class JobPhase(StrEnum):
    """``status.jobStatus``; in this order, and the last two are final."""

    CREATED = "JobCreated"
    CLUSTER_CREATED = "ClusterCreated"
    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"


_ORDER = tuple(JobPhase)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is; times are UTC.

    ``active`` is 1 while there is a runner that has not ended; ``failed`` is how often runners failed, restarts of
    their containers counted too.
    """

    phase: JobPhase = JobPhase.CREATED
    cluster_name: str | None = None
    runner_name: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    active: int = 0
    failed: int = 0
    last_failure_time: datetime | None = None

    @property
    def finished(self) -> bool:
        """Whether the job has ended for good."""
        return self.phase in (JobPhase.SUCCESSFUL, JobPhase.FAILED)

    @property
    def retry_at(self) -> datetime | None:
        """When the next runner may be created; None for at once."""
        if self.last_failure_time is None:
            return None
        doublings = min(max(self.failed - 1, 0), 10)
        seconds = min(_FIRST_RETRY_SECONDS * 2**doublings, _LONGEST_RETRY_SECONDS)
        return self.last_failure_time + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a job has just ended: ``reason`` for programs, ``message`` for people."""

    reason: str
    message: str


def stored_progress(status: Body) -> Progress:
    """How far a job was when its status was written."""
    phase = status.get("jobStatus")
    return Progress(
        phase=JobPhase(phase) if phase in _ORDER else JobPhase.CREATED,
        cluster_name=status.get("clusterName"),
        runner_name=status.get("jobRunnerPodName"),
        start_time=_time(status, "startTime"),
        end_time=_time(status, "endTime"),
        active=int(status.get("active") or 0),
        failed=int(status.get("failed") or 0),
        last_failure_time=_time(status, "lastFailureTime"),
    )


def begun_at(job: DaskJob, now: datetime) -> datetime:
    """Since when a job is to run: since it was created, or resumed."""
    stored = find_condition(job.status.get("conditions"), "Suspended")
    return parse_time(stored["lastTransitionTime"]) if stored.get("status") == "False" else now


def is_suspended(job: DaskJob) -> bool:
    """Whether the job's status says that it is suspended."""
    return find_condition(job.status.get("conditions"), "Suspended").get("status") == "True"


def advance(
    job: DaskJob, before: Progress, runner: Runner | None, *, cluster_exists: bool, now: datetime
) -> tuple[Progress, Ending | None]:
    """How far a job is now, and why it ended if that is news.

    It never goes back, but that a suspended job begins anew.

    Args:
        job: the job.
        before: how far it was.
        runner: its runner, if there is one.
        cluster_exists: whether its DaskCluster is there to stay.
        now: the present, UTC.
    """
    if before.finished:
        return before, None
    if runner is not None and runner.pod.terminating and not before.active:
        runner = None  # deleted because the job was suspended, or counted already
    reached = _follow(before, job, runner, cluster_exists=cluster_exists, now=now)
    reached = _count(reached, before, runner, now)
    if runner is not None and runner.succeeded:
        ending = Ending("RunnerSucceeded", f"pod {runner.pod.name} has run to completion")
        return _ended(reached, JobPhase.SUCCESSFUL, runner.ended_at or now), ending
    if job.suspend:
        return Progress(), None
    if failure := _failure(job, reached, runner):
        ended_at = runner.ended_at if runner is not None and runner.failed else None
        return _ended(reached, JobPhase.FAILED, ended_at or now), failure
    if overtime := _missed_deadline(job, reached, now):
        return _ended(reached, JobPhase.FAILED, now), overtime
    return reached, None


def deadline(job: DaskJob, progress: Progress, now: datetime) -> datetime | None:
    """When a job has taken too long: counted from its start, or for one that does not start, from its beginning."""
    if job.active_deadline_seconds is None:
        return None
    return (progress.start_time or begun_at(job, now)) + timedelta(seconds=job.active_deadline_seconds)


def job_status(
    job: DaskJob,
    reached: Progress,
    ending: Ending | None,
    problem: Problem | None,
    failure: Condition | None,
    now: datetime,
) -> list[Patch]:
    """The status of a DaskJob.

    Args:
        job: the job.
        reached: how far it is.
        ending: why it has just ended, if it has.
        problem: what keeps it from going on, if anything does.
        failure: what the API server refused, if it did.
        now: the present, UTC.
    """
    return status_patch(
        DASK_JOBS,
        job.identity,
        job.status,
        {
            "observedGeneration": job.generation,
            "jobStatus": reached.phase.value,
            "clusterName": reached.cluster_name,
            "jobRunnerPodName": reached.runner_name,
            "startTime": _text(reached.start_time),
            "endTime": _text(reached.end_time),
            "active": reached.active,
            "failed": reached.failed,
            "lastFailureTime": _text(reached.last_failure_time),
        },
        [*_endings(job, reached, ending), _suspended(job, reached), _degraded(job, problem, failure)],
        now,
    )


def _follow(
    before: Progress, job: DaskJob, runner: Runner | None, *, cluster_exists: bool, now: datetime
) -> Progress:
    """What its cluster and its runner show of a job's progress."""
    name = job.identity.name
    start_time, phase = before.start_time, before.phase
    if runner is not None and (runner.started_at or runner.pod.phase in ("Running", "Succeeded")):
        start_time = start_time or runner.started_at or now
        phase = JobPhase.RUNNING
    elif runner is not None and cluster_exists:
        phase = JobPhase.CLUSTER_CREATED
    return replace(
        before,
        phase=max(phase, before.phase, key=_ORDER.index),
        cluster_name=name if cluster_exists else before.cluster_name,
        runner_name=naming.job_runner_name(name) if runner is not None else before.runner_name,
        start_time=start_time,
    )


def _count(reached: Progress, before: Progress, runner: Runner | None, now: datetime) -> Progress:
    """Count what failed since: each failure once, whatever becomes of its Pod."""
    if runner is None:
        # One that was there and is not any more did not end well, or its end would have been seen.
        failed = before.failed + before.active
        lost = bool(before.active)
    else:
        failed = max(before.failed, runner.failures_before + runner.failures)
        lost = not (runner.alive or runner.succeeded) and (bool(before.active) or failed > before.failed)
    return replace(
        reached,
        active=int(runner is not None and runner.alive),
        failed=failed,
        last_failure_time=now if lost else before.last_failure_time,
    )


def _ended(reached: Progress, phase: JobPhase, end_time: datetime) -> Progress:
    return replace(reached, phase=phase, end_time=end_time, active=0)


def _failure(job: DaskJob, reached: Progress, runner: Runner | None) -> Ending | None:
    """Why a job whose runner failed is not tried again."""
    if not reached.failed:
        return None
    words = last_words(job, runner)
    limit = job.backoff_limit
    if limit is not None:
        if reached.failed <= limit:
            return None
        times = "once" if reached.failed == 1 else f"{reached.failed} times"
        return Ending(
            "BackoffLimitExceeded", f"the runner failed {times} and spec.backoffLimit is {limit}; at last: {words}"
        )
    if job.runner.restart_policy == RestartPolicy.NEVER:
        return Ending("RunnerFailed", f"the runner failed and its restartPolicy is Never: {words}")
    if runner is not None and runner.failed and runner.pod.status.get("reason") == "DeadlineExceeded":
        return Ending("DeadlineExceeded", f"the runner took longer than its activeDeadlineSeconds: {words}")
    return None


def _missed_deadline(job: DaskJob, reached: Progress, now: datetime) -> Ending | None:
    moment = deadline(job, reached, now)
    if moment is None or now < moment:
        return None
    begun = "after its start" if reached.start_time else "without having started"
    message = f"the job had not ended {job.active_deadline_seconds} s {begun} (spec.activeDeadlineSeconds)"
    return Ending("DeadlineExceeded", message)


def last_words(job: DaskJob, runner: Runner | None) -> str:
    """Why a runner failed, for people."""
    if runner is not None and runner.last_words:
        return runner.last_words
    name = naming.job_runner_name(job.identity.name)
    if runner is not None:
        return f"pod {name} failed and says nothing of it"
    return f"pod {name} went before it ended: it was deleted, or its node was lost"


def _endings(job: DaskJob, reached: Progress, ending: Ending | None) -> Sequence[Condition]:
    """The conditions Complete and Failed."""
    if not reached.finished:
        return [_condition(job, "Complete", False, "NotFinished"), _condition(job, "Failed", False, "NotFailed")]
    succeeded = reached.phase == JobPhase.SUCCESSFUL
    kind = "Complete" if succeeded else "Failed"
    if ending is None:
        # It ended earlier, perhaps under another operator, which kept no conditions.
        stored = find_condition(job.status.get("conditions"), kind)
        known = stored if stored.get("status") == "True" else {}
        reason = "RunnerSucceeded" if succeeded else "RunnerFailed"
        ending = Ending(known.get("reason", reason), known.get("message", ""))
    ended = _condition(job, kind, True, ending.reason, ending.message, event="Normal" if succeeded else "Warning")
    other = ("Failed", "NotFailed") if succeeded else ("Complete", "JobFailed")
    return [ended, _condition(job, other[0], False, other[1])]


def _suspended(job: DaskJob, reached: Progress) -> Condition:
    if job.suspend and not reached.finished:
        message = "spec.suspend is true: set it to false to start the job from the beginning"
        return _condition(job, "Suspended", True, "SuspendRequested", message, event="Normal")
    return _condition(job, "Suspended", False, "NotSuspended")


def _degraded(job: DaskJob, problem: Problem | None, failure: Condition | None) -> Condition:
    if failure is not None:
        return replace(failure, observed_generation=job.generation)
    if problem is not None:
        return _condition(job, "Degraded", True, problem.reason, problem.message, event="Warning")
    return _condition(job, "Degraded", False, "AsExpected")


def _condition(job: DaskJob, kind: str, holds: bool, reason: str, message: str = "", *, event: str = "") -> Condition:
    return Condition(kind, "True" if holds else "False", reason, message, job.generation, event)


def _time(status: Body, field: str) -> datetime | None:
    text = status.get(field)
    return parse_time(text) if text else None


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
