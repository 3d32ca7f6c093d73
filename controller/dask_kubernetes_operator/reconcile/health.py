"""What a cluster and its worker groups say of themselves: conditions, counts, addresses. Pure.

The table of conditions and reasons for people is docs/status.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .. import builders, naming
from ..resources import DASK_CLUSTERS, DASK_WORKER_GROUPS
from ..spec import DaskCluster, DaskWorkerGroup
from .actions import Patch
from .conditions import Condition, find_condition
from .observed import Deployment, Observed, Pod, Problem
from .rest import Rest
from .staff import REGISTRATION_DEADLINE, Roster, Staff, staff_of
from .status import status_patch

# A scheduler that does not answer is worth a word only after this long: it may be starting anew.
TOLERATED_SILENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a group's health depends on besides its Pods."""

    cluster: DaskCluster
    observed: Observed
    roster: Roster | None
    rest: Rest
    now: datetime

    @property
    def scheduler(self) -> Deployment | None:
        """The scheduler's Deployment."""
        uid = self.cluster.identity.uid
        own = (d for d in self.observed.deployments if uid in d.owner_uids and not d.terminating)
        return next(own, None)

    def wanted(self, group: DaskWorkerGroup) -> int:
        """How many workers a group is to have."""
        return 0 if self.rest.suspended or self.rest.without_workers else group.worker.replicas


@dataclass(frozen=True, slots=True)
class _Health:
    """A group's numbers.

    ``serving`` are ready and known to the scheduler, as far as it can be asked. ``lost`` are ready for long enough
    and still unknown to it.
    """

    staff: Staff
    wanted: int
    serving: int
    lost: tuple[Pod, ...]


def group_status(group: DaskWorkerGroup, here: Circumstances) -> list[Patch]:
    """The status of a DaskWorkerGroup."""
    health = _health(group, here)
    generation = group.generation
    conditions = [
        _workers_ready(health, here, generation),
        _progressing(health, generation),
        _draining(health, here, generation),
        _degraded(_worker_problem(health), None, generation),
    ]
    return status_patch(
        DASK_WORKER_GROUPS,
        group.identity,
        group.status,
        {"observedGeneration": generation, **_counts(health, group.cluster_name, group.identity.name)},
        conditions,
        here.now,
    )


def cluster_status(groups: Sequence[DaskWorkerGroup], here: Circumstances, failure: Condition | None) -> list[Patch]:
    """The status of a DaskCluster; its counts are those of the default group, which it scales."""
    cluster, observed, generation = here.cluster, here.observed, here.cluster.generation
    name = cluster.identity.name
    group_name = naming.default_worker_group_name(name)
    group = next((g for g in groups if g.identity.name == group_name), None)
    health = (
        _health(group, here)
        if group
        else _Health(Staff((), (), (), (), updating=False), cluster.worker.replicas, 0, ())
    )
    service = any(cluster.identity.uid in s.owner_uids and not s.terminating for s in observed.services)

    scheduler_ready = _scheduler_ready(here)
    workers_ready = _workers_ready(health, here, generation)
    both = scheduler_ready.status == workers_ready.status == "True"
    problem = _scheduler_problem(here) or _worker_problem(health) or _silence(here)
    conditions = [
        Condition(
            "Ready",
            "True" if both else "False",
            "ClusterReady" if both else "ComponentsNotReady",
            "" if both else "; ".join(c.message for c in (scheduler_ready, workers_ready) if c.message),
            generation,
            event="Normal" if both else "",
        ),
        scheduler_ready,
        workers_ready,
        _progressing(health, generation, scheduler_ready=scheduler_ready.status == "True" or here.rest.suspended),
        _draining(health, here, generation),
        _suspended(here),
        _degraded(problem, failure, generation),
        *_idle(here),
    ]
    components = [group is not None, here.scheduler is not None, service]
    phase = "Running" if all(components) else "Pending" if any(components) else "Created"
    wanted = {
        "phase": "Error" if failure is not None and failure.reason == "Invalid" else phase,
        "observedGeneration": generation,
        **_counts(health, name, group_name),
        "schedulerAddress": builders.scheduler_address(cluster),
        "dashboardAddress": builders.dashboard_address(cluster),
    }
    return status_patch(DASK_CLUSTERS, cluster.identity, cluster.status, wanted, conditions, here.now)


def _counts(health: _Health, cluster_name: str, group_name: str) -> builders.Object:
    return {
        "replicas": health.staff.alive,
        "readyReplicas": health.serving,
        "drainingReplicas": len(health.staff.draining),
        "selector": naming.selector(naming.worker_labels(cluster_name, group_name)),
    }


def _health(group: DaskWorkerGroup, here: Circumstances) -> _Health:
    staff = staff_of(group, here.cluster, here.observed)
    ready = [pod for pod in staff.staying if pod.ready]
    if here.observed.scheduler_report.refusal is not None:
        return _Health(staff, here.wanted(group), serving=len(ready), lost=())
    if here.roster is None:
        # Not asked yet, as after a start of the operator: what was found before is not taken back for that.
        found_before = int(group.status.get("readyReplicas") or 0)
        return _Health(staff, here.wanted(group), serving=min(len(ready), found_before), lost=())
    unknown = [pod for pod in ready if not here.roster.of(pod)]
    lost = tuple(pod for pod in unknown if (pod.ready_since or here.now) + REGISTRATION_DEADLINE <= here.now)
    return _Health(staff, here.wanted(group), serving=len(ready) - len(unknown), lost=lost)


def _workers_ready(health: _Health, here: Circumstances, generation: int) -> Condition:
    def condition(status: str, reason: str, message: str = "") -> Condition:
        return Condition("WorkersReady", status, reason, message, generation)

    if here.rest.suspended:
        return condition("False", "Suspended", "the cluster is suspended")
    if health.lost:
        return condition("False", "WorkersNotRegistered", _lost(health))
    if health.serving < health.wanted:
        return condition("False", "WorkersNotReady", f"{health.serving} of {health.wanted} workers are ready")
    return condition("True", "Idle" if here.rest.without_workers else "AllWorkersReady")


def _scheduler_ready(here: Circumstances) -> Condition:
    def condition(status: str, reason: str, message: str = "", event: str = "") -> Condition:
        return Condition("SchedulerReady", status, reason, message, here.cluster.generation, event)

    if here.rest.suspended:
        return condition("False", "Suspended", "the cluster is suspended")
    if here.scheduler is not None and here.scheduler.available:
        return condition("True", "SchedulerAvailable")
    problem = _scheduler_problem(here)
    stored = find_condition(here.cluster.status.get("conditions"), "SchedulerReady")
    if stored.get("status") == "True" or (stored.get("reason") == "SchedulerLost" and problem is None):
        message = "the scheduler has ended and starts again: what it knew is lost"
        return condition("False", "SchedulerLost", message, "Warning")
    if problem is not None:
        return condition("False", problem.reason, f"the scheduler does not start: {problem.message}")
    return condition("False", "SchedulerNotAvailable", "the scheduler is not available yet")


def _suspended(here: Circumstances) -> Condition:
    generation = here.cluster.generation
    if not here.rest.suspended:
        return Condition("Suspended", "False", "NotSuspended", "", generation)
    if here.cluster.suspend:
        message = "spec.suspend is true: set it to false to start the cluster again"
        return Condition("Suspended", "True", "SuspendRequested", message, generation, event="Normal")
    message = "nothing to do for spec.idleTimeout: edit the DaskCluster to start it again"
    return Condition("Suspended", "True", "Idle", message, generation, event="Normal")


def _idle(here: Circumstances) -> list[Condition]:
    """Only for clusters that may not be idle for ever, and those that once were such."""
    generation, conditions = here.cluster.generation, here.cluster.status.get("conditions")
    if here.cluster.idle_timeout_seconds is None and not find_condition(conditions, "Idle"):
        return []
    if here.rest.without_workers:
        message = "nothing to do for spec.idleTimeout: no workers until the scheduler has work"
        return [Condition("Idle", "True", "IdleTimeout", message, generation, event="Normal")]
    return [Condition("Idle", "False", "NotIdleLongEnough", "", generation)]


def _progressing(health: _Health, generation: int, *, scheduler_ready: bool = True) -> Condition:
    def condition(reason: str, message: str) -> Condition:
        return Condition("Progressing", "True", reason, message, generation)

    staff, wanted = health.staff, health.wanted
    if staff.outdated:
        return condition("UpdatingWorkers", f"{len(staff.outdated)} workers are of an earlier spec")
    surplus = len(staff.draining) + max(0, len(staff.staying) - wanted)
    if surplus:
        return condition("ScalingDown", f"{surplus} workers more than the {wanted} wanted are still there")
    if not scheduler_ready or health.serving < wanted:
        missing = f"{wanted - health.serving} of {wanted} workers are yet to come"
        return condition("Starting", missing if scheduler_ready else "the scheduler is starting")
    return Condition("Progressing", "False", "Complete", "", generation)


def _draining(health: _Health, here: Circumstances, generation: int) -> Condition:
    count = len(health.staff.draining)
    surplus = len(health.staff.staying) - health.wanted
    refusal = here.observed.scheduler_report.refusal
    if refusal is not None and (count or surplus > 0):
        message = f"{count or surplus} workers keep their data, as {refusal.message}"
        return Condition("Draining", "True", refusal.reason, message, generation)
    if count:
        message = f"{count} workers hand over their data before they are deleted"
        return Condition("Draining", "True", "HandingOver", message, generation)
    return Condition("Draining", "False", "NotDraining", "", generation)


def _degraded(problem: Problem | None, failure: Condition | None, generation: int) -> Condition:
    if failure is not None:
        return failure
    if problem is not None:
        return Condition("Degraded", "True", problem.reason, problem.message, generation, event="Warning")
    return Condition("Degraded", "False", "AsExpected", "", generation)


def _scheduler_problem(here: Circumstances) -> Problem | None:
    if here.rest.suspended:
        return None
    refused = here.scheduler.problem if here.scheduler else None
    return refused or _problem(pod for pod in here.observed.scheduler_pods if not pod.terminating)


def _worker_problem(health: _Health) -> Problem | None:
    problem = _problem(health.staff.staying)
    if problem is None and health.lost:
        return Problem("WorkersNotRegistered", _lost(health))
    return problem


def _silence(here: Circumstances) -> Problem | None:
    """The scheduler is available and does not answer the operator."""
    refusal = here.observed.scheduler_report.refusal
    available = here.scheduler is not None and here.scheduler.available
    if refusal is None or not available or here.now < refusal.since + TOLERATED_SILENCE:
        return None
    return Problem(refusal.reason, refusal.message)


def _problem(pods: Iterable[Pod]) -> Problem | None:
    """What keeps most Pods from running, told by the example of one of them."""
    troubled = sorted((pod for pod in pods if pod.problem is not None), key=lambda pod: pod.name)
    if not troubled:
        return None
    reason, count = Counter(pod.problem.reason for pod in troubled if pod.problem).most_common(1)[0]
    pod = next(pod for pod in troubled if pod.problem and pod.problem.reason == reason)
    others = f" (and {count - 1} more)" if count > 1 else ""
    return Problem(reason, f"pod {pod.name}{others}: {pod.problem.message if pod.problem else ''}")


def _lost(health: _Health) -> str:
    names = ", ".join(pod.name for pod in health.lost[:3])
    seconds = int(REGISTRATION_DEADLINE.total_seconds())
    return (
        f"{len(health.lost)} workers run for over {seconds} s and have not registered with the scheduler ({names}): "
        "look at their logs, and whether they use DASK_SCHEDULER_ADDRESS"
    )
