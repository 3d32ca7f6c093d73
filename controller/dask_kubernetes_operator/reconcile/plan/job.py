"""A job: its cluster and its runner, made in this order, tried again as the job allows, and taken away at the end.

What a job has come to is in its status before anything is done about it: a runner that failed is counted before its
successor is created, and the end is told before the cluster is deleted. Whatever stops the controller in between, the
next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ... import builders, naming
from ...resources import DASK_CLUSTERS, DASK_JOBS, PODS
from ...spec import MANAGER, DaskJob, DeletionPolicy, IdleAction, SpecError, parse_job
from ..actions import Create, Delete, Event, Patch
from ..conditions import find_condition, timestamp
from ..job_status import (
    Ending,
    JobPhase,
    Progress,
    advance,
    begun_at,
    deadline,
    is_suspended,
    job_status,
    last_words,
    stored_progress,
)
from ..observed import Child, CustomResource, Observed, Problem
from ..runner import Runner, runner_of
from ..status import invalid_status
from .doomed import is_doomed
from .draft import Draft

# How soon to look again at what was told meanwhile, should its event not come.
_TOLD_INTERVAL = timedelta(seconds=1)
# A name that its bearer keeps for longer than a Pod's usual grace is worth a word.
_TOLERATED_WAIT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class _Scene:
    """A job with what there is of it.

    ``cluster`` and ``runner`` are its own; those of an earlier job of its name are in ``observed`` alone.
    """

    job: DaskJob
    before: Progress
    reached: Progress
    ending: Ending | None
    cluster: CustomResource | None
    runner: Runner | None
    observed: Observed
    alive: frozenset[str]


def plan_job(draft: Draft, observed: Observed, alive: frozenset[str]) -> bool:
    """Plan the job of this name, if there is one.

    Returns whether workers of its cluster may be created now: a quota that has no room for all of them must have room
    for the runner, without which no worker is of use.
    """
    resource = observed.job
    if resource is None or resource.terminating or _is_managed_elsewhere(resource):
        return True
    try:
        job = parse_job(resource.body)
    except SpecError as error:
        draft.statuses += invalid_status(DASK_JOBS, resource, str(error), draft.now)
        return True
    here = _survey(job, observed, alive, draft.now)
    if here.reached.finished:
        wanted = _wind_up(draft, here)
    elif job.suspend:
        wanted = _suspend(draft, here)
    else:
        wanted = _run(draft, here)
    problem = None if here.reached.finished or job.suspend else _problem(draft, here)
    draft.statuses += job_status(job, here.reached, here.ending, problem, draft.failure, draft.now)
    return wanted


def misses_runner(observed: Observed) -> bool:
    """Whether a job had a runner that is not there any more, or of which nothing is known yet."""
    if observed.job is None or _is_managed_elsewhere(observed.job):
        return False
    progress = stored_progress(observed.job.body.get("status") or {})
    return bool(progress.active) and not any(observed.job.uid in pod.owner_uids for pod in observed.runner_pods)


def _is_managed_elsewhere(resource: CustomResource) -> bool:
    return ((resource.body.get("spec") or {}).get("managedBy") or MANAGER) != MANAGER


def _survey(job: DaskJob, observed: Observed, alive: frozenset[str], now: datetime) -> _Scene:
    before = stored_progress(job.status)
    cluster = observed.cluster
    if cluster is not None and job.identity.uid not in _owner_uids(cluster):
        cluster = None
    runner = runner_of(job, observed)
    exists = cluster is not None and not cluster.terminating
    reached, ending = advance(job, before, runner, cluster_exists=exists, now=now)
    return _Scene(job, before, reached, ending, cluster, runner, observed, alive)


def _owner_uids(resource: CustomResource) -> frozenset[str]:
    return frozenset(reference["uid"] for reference in resource.body["metadata"].get("ownerReferences") or ())


def _wind_up(draft: Draft, here: _Scene) -> bool:
    """The job has ended: take away what it does not need any more, and in time the job itself."""
    job, reached = here.job, here.reached
    kept = job.deletion_policy == DeletionPolicy.RETAIN or (
        job.deletion_policy == DeletionPolicy.DELETE_ON_SUCCESS and reached.phase == JobPhase.FAILED
    )
    if not here.before.finished:
        draft.due(draft.now + _TOLD_INTERVAL)
        return kept
    _end_runner(draft, here.runner)
    if not kept:
        _delete_cluster(draft, here.cluster)
    if job.ttl_seconds_after_finished is not None and reached.end_time is not None:
        delete_at = reached.end_time + timedelta(seconds=job.ttl_seconds_after_finished)
        if draft.now >= delete_at:
            draft.actions.append(Delete(DASK_JOBS, job.identity.name, job.identity.uid))
        else:
            draft.due(delete_at)
    return kept


def _end_runner(draft: Draft, runner: Runner | None) -> None:
    """Stop what still runs of the runner of a job that has ended; one that has ended itself stays, for its logs."""
    if runner is not None and not runner.pod.finished and (runner.alive or runner.has_leftovers):
        # Not if it has ended since it was seen.
        _delete_runner(draft, runner, version=runner.pod.version)


def _suspend(draft: Draft, here: _Scene) -> bool:
    """Take away all that runs, once it is told that this is no failure of the job's."""
    if not is_suspended(here.job):
        draft.due(draft.now + _TOLD_INTERVAL)
        return False
    if here.runner is not None:
        _delete_runner(draft, here.runner)
    _delete_cluster(draft, here.cluster)
    return False


def _run(draft: Draft, here: _Scene) -> bool:
    """Have a cluster and a runner."""
    moment = deadline(here.job, here.reached, draft.now)
    if moment is not None:
        draft.due(moment)
    _ensure_cluster(draft, here)
    if here.runner is not None and here.runner.alive:
        pod = here.runner.pod
        changes = builders.metadata_patch(pod.labels, pod.annotations, builders.job_runner_metadata(here.job))
        if changes:
            draft.actions.append(Patch(PODS, pod.name, {"metadata": {"uid": pod.uid, **changes}}))
        return True
    _start_runner(draft, here)
    return False


def _ensure_cluster(draft: Draft, here: _Scene) -> None:
    job, cluster = here.job, here.cluster
    if cluster is not None:
        if not cluster.terminating:
            _keep_cluster(draft, job, cluster)
        return
    if here.observed.cluster is not None:
        return  # its name is not free
    had_one = here.before.phase != JobPhase.CREATED
    if had_one and here.runner is not None and here.runner.alive and _deletes_itself(job):
        return
    events: tuple[Event, ...] = ()
    if had_one:
        message = f"DaskCluster {job.identity.name} was deleted and is created anew: what was in its memory is lost"
        events = (Event(job.identity, "Warning", "ClusterLost", message),)
    draft.actions.append(Create(DASK_CLUSTERS, builders.build_job_cluster(job), events=events))


def _deletes_itself(job: DaskJob) -> bool:
    """Whether the job's cluster is to go when it is idle or has no client, and then to stay away."""
    spec = job.cluster.spec
    goes_when_idle = bool(spec.get("idleTimeout")) and spec.get("idleAction") in (None, IdleAction.DELETE)
    return goes_when_idle or bool(spec.get("clientTimeout"))


def _keep_cluster(draft: Draft, job: DaskJob, cluster: CustomResource) -> None:
    """Carry edits of the job over to its cluster, and leave alone what is edited on the cluster itself."""
    meta = cluster.body["metadata"]
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    changes = builders.metadata_patch(labels, annotations, builders.job_cluster_metadata(job))
    if changes:
        draft.actions.append(Patch(DASK_CLUSTERS, cluster.name, {"metadata": {"uid": cluster.uid, **changes}}))
        return
    wanted_hash = builders.job_cluster_hash(job)
    if annotations.get(naming.SPEC_HASH_ANNOTATION, wanted_hash) != wanted_hash:
        built = builders.build_job_cluster(job)
        path = f"/metadata/annotations/{naming.SPEC_HASH_ANNOTATION.replace('/', '~1')}"
        patch = [
            {"op": "replace", "path": "/spec", "value": built["spec"]},
            {"op": "replace", "path": path, "value": wanted_hash},
            # Refused as a conflict if it has another version by now.
            {"op": "replace", "path": "/metadata/resourceVersion", "value": str(cluster.version)},
        ]
        draft.actions.append(Patch(DASK_CLUSTERS, cluster.name, patch))


def _start_runner(draft: Draft, here: _Scene) -> None:
    """Create a runner when its name is free, its cluster there, and it is time to try again."""
    # Never in the pass that counts a failure: its pause begins anew until it is written down.
    job, retry_at = here.job, here.reached.retry_at
    if retry_at is not None and draft.now < retry_at:
        draft.due(retry_at)
        return
    if here.runner is not None:
        _delete_runner(draft, here.runner)  # it has failed, and has been there for its logs until now
        return
    if here.cluster is None or here.cluster.terminating or _keeping_name(here):
        return
    body = builders.build_job_runner(job, failures_before=here.reached.failed)
    event = Event(job.identity, "Normal", "RunnerCreated", f"created pod {body['metadata']['name']}")
    draft.actions.append(Create(PODS, body, events=(event,)))


def _delete_runner(draft: Draft, runner: Runner, *, version: int | None = None) -> None:
    if not runner.pod.terminating:
        draft.actions.append(Delete(PODS, runner.pod.name, runner.pod.uid, version))


def _delete_cluster(draft: Draft, cluster: CustomResource | None) -> None:
    if cluster is not None and not cluster.terminating:
        draft.actions.append(Delete(DASK_CLUSTERS, cluster.name, cluster.uid))


def _keeping_name(here: _Scene) -> Child | None:
    """The Pod on its way out that still has the runner's name."""
    name = naming.job_runner_name(here.job.identity.name)
    bearers: Iterable[Child] = (pod for pod in here.observed.runner_pods if pod.name == name)
    return next((pod for pod in bearers if pod.terminating or is_doomed(pod, here.alive)), None)


def _problem(draft: Draft, here: _Scene) -> Problem | None:
    """What keeps the job from going on, the most telling first."""
    runner = here.runner
    if runner is not None and runner.alive:
        if runner.pod.problem is not None:
            return Problem(runner.pod.problem.reason, f"pod {runner.pod.name}: {runner.pod.problem.message}")
        return _cluster_problem(here)
    return _waiting(draft, here) or _retrying(here) or _cluster_problem(here)


def _waiting(draft: Draft, here: _Scene) -> Problem | None:
    """A name that is not free."""
    name, cluster = here.job.identity.name, here.observed.cluster
    if cluster is not None and here.cluster is None and cluster.uid in here.alive and not cluster.terminating:
        message = (
            f"DaskCluster {name} is there and does not belong to this job: delete it, or create the job under "
            "another name"
        )
        return Problem("ClusterNameTaken", message)
    leaving = _keeping_name(here)
    if leaving is None and (cluster is None or (here.cluster is not None and not cluster.terminating)):
        return None
    tell_at = (here.reached.last_failure_time or begun_at(here.job, draft.now)) + _TOLERATED_WAIT
    if draft.now < tell_at:
        draft.due(tell_at)
        return None
    if leaving is not None:
        message = (
            f"pod {leaving.name} is on its way out and keeps the name of the next runner; if its node is lost, "
            f"delete it with kubectl delete pod {leaving.name} --force"
        )
        return Problem("RunnerTerminating", message)
    message = f"DaskCluster {name} is on its way out and keeps the name: look at its finalizers"
    return Problem("ClusterTerminating", message)


def _retrying(here: _Scene) -> Problem | None:
    retry_at = here.reached.retry_at
    if not here.reached.failed or retry_at is None:
        return None
    again = f"started again at {timestamp(retry_at)}"
    message = f"the runner failed (number {here.reached.failed}) and is {again}: {last_words(here.job, here.runner)}"
    return Problem("RunnerFailed", message)


def _cluster_problem(here: _Scene) -> Problem | None:
    """What the job's cluster says of itself."""
    if here.cluster is None:
        return None
    stored = find_condition((here.cluster.body.get("status") or {}).get("conditions"), "Degraded")
    if stored.get("status") != "True":
        return None
    return Problem(stored["reason"], f"DaskCluster {here.cluster.name}: {stored.get('message', '')}")
