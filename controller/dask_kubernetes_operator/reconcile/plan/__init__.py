"""All decisions: what is observed in, requests and statuses out. Pure, and therefore tested without a cluster."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from ...resources import DASK_CLUSTERS, DASK_WORKER_GROUPS
from ...spec import DaskWorkerGroup, SpecError, parse_cluster, parse_worker_group
from ..conditions import Condition
from ..health import TOLERATED_SILENCE, Circumstances, cluster_status, group_status
from ..observed import CustomResource, Observed
from ..staff import roster_of
from ..status import invalid_status
from .autoscaler import plan_autoscalers, within_bounds
from .clients import end_without_clients
from .doomed import alive_uids, remove_doomed
from .draft import UNLIMITED, Allocation, Draft, Plan
from .groups import adopt, adopt_autoscalers, ensure_default_group
from .job import misses_runner, plan_job
from .legacy import claimed, release
from .rest import decide_rest
from .scheduler import ensure_scheduler
from .workers import WorkerPlanner

__all__ = ["UNLIMITED", "Allocation", "Plan", "plan"]


def plan(
    observed: Observed,
    now: datetime,
    *,
    new_suffix: Callable[[], str],
    failure: Condition | None = None,
    allocation: Allocation = UNLIMITED,
) -> Plan:
    """Decide what leads from what is observed to what the custom resources ask for.

    Args:
        observed: everything that bears the cluster's name.
        now: the present, UTC.
        new_suffix: gives a worker name suffix that was not given before.
        failure: why the last attempt to carry out a plan did not succeed, if it did not.
        allocation: how fast workers may be created.

    Raises nothing for a custom resource that cannot be read: that becomes its condition.
    """
    observed = claimed(observed)
    draft = Draft(now, new_suffix, allocation, failure)
    alive = alive_uids(observed)
    remove_doomed(draft, observed, alive)
    bereaved = bool(draft.actions) or misses_runner(observed)
    release(draft, observed)
    runner_placed = plan_job(draft, observed, alive)
    resource = observed.cluster
    if resource is not None and not resource.terminating and resource.uid in alive:
        _plan_cluster(draft, resource, observed, alive, runner_placed=runner_placed)
    else:
        plan_autoscalers(draft, None, (), observed, None)
    return draft.finished(bereaved=bereaved)


def _plan_cluster(
    draft: Draft, resource: CustomResource, observed: Observed, alive: frozenset[str], *, runner_placed: bool
) -> None:
    try:
        cluster = parse_cluster(resource.body)
    except SpecError as error:
        draft.statuses += invalid_status(DASK_CLUSTERS, resource, str(error), draft.now, phase="Error")
        plan_autoscalers(draft, None, (), observed, None)
        return
    stored = _read_groups(draft, observed, alive)
    groups = within_bounds(stored, observed)
    rest = decide_rest(draft, cluster, observed)
    end_without_clients(draft, cluster, observed)
    ensure_scheduler(draft, cluster, observed, alive, suspended=rest.suspended)
    ensure_default_group(draft, cluster, stored, observed)
    # A quota that has no room for all of them must have room for the scheduler: without it no worker is of use.
    placed = any(not pod.terminating for pod in observed.scheduler_pods)
    roster = roster_of(observed)
    planner = WorkerPlanner(draft, cluster, observed, roster, may_create=placed and runner_placed)
    for group in groups:
        if group.terminating:
            continue
        if cluster.identity.uid not in group.owner_uids:
            draft.actions.append(adopt(cluster, group))
        elif rest.suspended:
            planner.dismiss(group)
        else:
            planner.ensure(group, wanted=0 if rest.without_workers else group.worker.replicas)
    adopt_autoscalers(draft, cluster, observed)
    plan_autoscalers(draft, cluster, stored, observed, roster)
    refusal = observed.scheduler_report.refusal
    if refusal is not None and draft.now < refusal.since + TOLERATED_SILENCE:
        draft.due(refusal.since + TOLERATED_SILENCE)
    here = Circumstances(cluster, observed, roster, rest, draft.now)
    for group in groups:
        draft.statuses += group_status(group, here)
    draft.statuses += cluster_status(groups, here, draft.failure)


def _read_groups(draft: Draft, observed: Observed, alive: frozenset[str]) -> list[DaskWorkerGroup]:
    """The groups that are there to stay; those that cannot be read say so in their status."""
    groups: list[DaskWorkerGroup] = []
    for resource in observed.groups:
        if resource.uid not in alive:
            continue
        try:
            groups.append(parse_worker_group(resource.body))
        except SpecError as error:
            draft.statuses += invalid_status(DASK_WORKER_GROUPS, resource, str(error), draft.now)
    return groups
