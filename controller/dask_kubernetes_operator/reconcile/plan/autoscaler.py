"""Autoscalers: each brings one worker group to as many workers as the scheduler asks for.

The scheduler says how many workers the whole cluster should have (``Scheduler.adaptive_target``): a number that does
not depend on how many Pods are on their way. Workers of groups that nobody scales count towards it as soon as the
scheduler knows them; what is missing then is divided among the scaled groups, the one with the oldest autoscaler
first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from ... import naming
from ...resources import DASK_WORKER_GROUPS
from ...spec import DaskAutoscaler, DaskCluster, DaskWorkerGroup, SpecError, parse_autoscaler
from ..actions import Event, Patch
from ..autoscaler_status import (
    able,
    active,
    autoscaler_status,
    awaiting,
    inactive,
    limited_by_bounds,
    limited_by_policy,
    replicas_history,
    stabilized,
    unable,
    unreadable_status,
)
from ..conditions import Condition, find_condition
from ..history import History
from ..observed import CustomResource, Observed, Pod
from ..report import Target, Workers
from ..scaling import Share, asked_of, highest, largest_step, lowest
from ..staff import Roster
from .draft import Draft

# How often the scheduler is asked.
_INTERVAL = timedelta(seconds=5)
# For how long an answer is good enough to act on.
_ANSWER_MAX_AGE = 3 * _INTERVAL


def plan_autoscalers(
    draft: Draft,
    cluster: DaskCluster | None,
    groups: Sequence[DaskWorkerGroup],
    observed: Observed,
    roster: Roster | None,
) -> None:
    """Scale what the autoscalers of a cluster name, ask for what they go by, and write their statuses.

    Args:
        draft: takes what is decided.
        cluster: the cluster, or None if there is none that can be acted on.
        groups: its worker groups, with the replicas that are stored.
        observed: everything that bears its name.
        roster: which workers run in which Pod, as the scheduler last said.
    """
    autoscalers, unreadable = _read(observed.autoscalers)
    for resource, trouble in unreadable:
        draft.statuses += unreadable_status(resource, trouble, draft.now)
    scaling = _in_charge(autoscalers)
    present = {group.identity.name: group for group in groups if not group.terminating}
    teams = [
        _team(autoscaler, present[name], observed, roster) for name, autoscaler in scaling.items() if name in present
    ]
    planner = None if cluster is None else _Planner(draft, cluster, teams, observed, roster)
    for autoscaler in autoscalers:
        team = next((team for team in teams if team.autoscaler is autoscaler), None)
        if planner is not None and team is not None:
            planner.scale(team)
            continue
        other = scaling[_group_name(autoscaler)]
        conditions = _unable(autoscaler, observed, cluster, other)
        draft.statuses += autoscaler_status(autoscaler, conditions, draft.now)


def within_bounds(groups: Iterable[DaskWorkerGroup], observed: Observed) -> list[DaskWorkerGroup]:
    """The groups with replicas between the minimum and maximum of their autoscalers.

    Who scales a group by hand beyond these is corrected in the next moment: going by this, no worker is made or
    retired meanwhile.
    """
    autoscalers, _ = _read(observed.autoscalers)
    scaling = _in_charge(autoscalers)
    bounded = []
    for group in groups:
        autoscaler = scaling.get(group.identity.name)
        replicas = group.worker.replicas if autoscaler is None else _within(autoscaler, group.worker.replicas)
        bounded.append(replace(group, worker=replace(group.worker, replicas=replicas)))
    return bounded


@dataclass(frozen=True, slots=True)
class _Team:
    """A group that is scaled, and who scales it.

    ``registered`` of its Pods have a worker that the scheduler knows, None while it has not said; ``busy`` of those
    that are to stay have unfinished tasks.
    """

    autoscaler: DaskAutoscaler
    group: DaskWorkerGroup
    share: Share
    registered: int | None
    busy: int


class _Planner:
    """Decides for one team after the other."""

    def __init__(
        self, draft: Draft, cluster: DaskCluster, teams: Sequence[_Team], observed: Observed, roster: Roster | None
    ) -> None:
        self._draft = draft
        self._cluster = cluster
        self._teams = teams
        self._observed = observed
        self._roster = roster
        # Whose workers count as well: then it has to be known which ones there are, and which of them work.
        self._accompanied = len(observed.groups) > 1
        self._unscaled_workers = _unscaled_workers(teams, observed, roster)

    def scale(self, team: _Team) -> None:
        """Bring one group to the number of workers that it is to have."""
        autoscaler, replicas = team.autoscaler, team.group.worker.replicas
        bounded = _within(autoscaler, replicas)
        history = replicas_history(autoscaler, replicas, self._draft.now)
        listening = self._listen(autoscaler)
        if bounded != replicas:
            bound = "minimum" if bounded > replicas else "maximum"
            self._rescale(team, bounded, f"spec.{bound} is {bounded}")
            desired, conditions = bounded, [able(autoscaler)]
        elif not listening and self._has_answer(autoscaler):
            desired, conditions = self._follow(team, history)
        else:
            desired, conditions = replicas, [able(autoscaler), *listening] if listening else awaiting(autoscaler)
        self._draft.statuses += autoscaler_status(
            autoscaler,
            conditions,
            self._draft.now,
            current=team.registered,
            desired=desired,
            history=history,
        )

    def _listen(self, autoscaler: DaskAutoscaler) -> list[Condition]:
        """Have the scheduler asked; returns why it does not tell, if it does not."""
        draft, cluster = self._draft, self._cluster
        stored = find_condition(cluster.status.get("conditions"), "Suspended")
        if cluster.suspend or stored.get("status") == "True":
            return [inactive(autoscaler, "Suspended", "the cluster is suspended")]
        uid = cluster.identity.uid
        if not any(d.available and uid in d.owner_uids and not d.terminating for d in self._observed.deployments):
            return [inactive(autoscaler, "SchedulerNotAvailable", "the scheduler is not available yet")]
        draft.ask(_question(autoscaler), not_before=draft.now - _INTERVAL)
        if self._accompanied:
            draft.ask(Workers(), not_before=draft.now - _INTERVAL)
        draft.due(draft.now + _INTERVAL)
        refusal = self._observed.scheduler_report.refusal
        if refusal is not None and not self._has_answer(autoscaler):
            return [inactive(autoscaler, refusal.reason, refusal.message)]
        return []

    def _has_answer(self, autoscaler: DaskAutoscaler) -> bool:
        report, not_before = self._observed.scheduler_report, self._draft.now - _ANSWER_MAX_AGE
        if report.answer(_question(autoscaler), not_before=not_before) is None:
            return False
        return not self._accompanied or report.answer(Workers(), not_before=not_before) is not None

    def _follow(self, team: _Team, history: History) -> tuple[int, list[Condition]]:
        """The number of workers that the group is to have, by what the scheduler asked for."""
        autoscaler, replicas, now = team.autoscaler, team.group.worker.replicas, self._draft.now
        up, down = autoscaler.scale_up, autoscaler.scale_down
        targets = self._observed.scheduler_report.targets[_question(autoscaler)]
        latest = self._asked(team, targets[-1].value)
        fewest = lowest(targets, now, up.stabilization_window_seconds)
        most = highest(targets, now, down.stabilization_window_seconds)

        asked = replicas
        if fewest is not None and self._asked(team, fewest) > replicas:
            asked = self._asked(team, fewest)
        elif most is not None and self._asked(team, most) < replicas:
            asked = self._asked(team, most)
        wish = _within(autoscaler, asked)
        state = able(autoscaler)
        if wish < replicas and self._accompanied and wish < team.busy:
            # Idle workers of another group cannot always do what this group's do.
            wish = min(team.busy, replicas)
            state = able(autoscaler, "WorkersBusy", "the workers of this group are at work, while others are idle")
        elif asked == replicas != _within(autoscaler, latest):
            state = stabilized(autoscaler, up=latest > replicas)

        growing = wish > replicas
        step = largest_step((up if growing else down).policy, history, now, up=growing)
        if step is not None and "recentReplicas" not in autoscaler.status:
            step = 0  # the number from which policies count is noted first
        limits = limited_by_bounds(autoscaler, latest)
        if step is not None and abs(wish - replicas) > step:
            wish = replicas + step if growing else replicas - step
            limits = limited_by_policy(autoscaler, up=growing)
        if wish != replicas:
            self._rescale(team, wish, f"the scheduler asks for {max(asked, 0)}")
        return wish, [state, active(autoscaler), limits]

    def _asked(self, team: _Team, target: int) -> int:
        """How many Pods of one group a target of the scheduler comes to, whatever its bounds."""
        shares = [other.share for other in self._teams]
        return asked_of(shares, self._teams.index(team), target - self._unscaled_workers)

    def _rescale(self, team: _Team, replicas: int, why: str) -> None:
        draft, group, name = self._draft, team.group, team.group.identity.name
        if any(isinstance(a, Patch) and (a.resource, a.name) == (DASK_WORKER_GROUPS, name) for a in draft.actions):
            return  # what somebody else asked for is written first, and looked at again
        # Refused, when somebody else changed the group meanwhile.
        metadata = {"uid": group.identity.uid, "resourceVersion": group.resource_version}
        patch = {"metadata": metadata, "spec": {"worker": {"replicas": replicas}}}
        message = f"DaskWorkerGroup {name}: {group.worker.replicas} -> {replicas} workers, as {why}"
        event = Event(team.autoscaler.identity, "Normal", "Rescaled", message)
        draft.actions.append(Patch(DASK_WORKER_GROUPS, name, patch, events=(event,)))


def _read(
    resources: Iterable[CustomResource],
) -> tuple[list[DaskAutoscaler], list[tuple[CustomResource, str]]]:
    """The autoscalers that are there to stay, oldest first, and those that cannot be read, with the trouble."""
    autoscalers: list[DaskAutoscaler] = []
    unreadable: list[tuple[CustomResource, str]] = []
    for resource in sorted(resources, key=lambda r: (r.body["metadata"]["creationTimestamp"], r.name)):
        if resource.terminating:
            continue
        try:
            autoscalers.append(parse_autoscaler(resource.body))
        except SpecError as error:
            unreadable.append((resource, str(error)))
    return autoscalers, unreadable


def _in_charge(autoscalers: Iterable[DaskAutoscaler]) -> dict[str, DaskAutoscaler]:
    """Who scales which group, by the group's name: of several the oldest."""
    scaling: dict[str, DaskAutoscaler] = {}
    for autoscaler in autoscalers:
        scaling.setdefault(_group_name(autoscaler), autoscaler)
    return scaling


def _group_name(autoscaler: DaskAutoscaler) -> str:
    return autoscaler.worker_group_name or naming.default_worker_group_name(autoscaler.cluster_name)


def _question(autoscaler: DaskAutoscaler) -> Target:
    return Target(autoscaler.target_duration_seconds)


def _within(autoscaler: DaskAutoscaler, replicas: int) -> int:
    return min(max(replicas, autoscaler.minimum), autoscaler.maximum)


def _unable(
    autoscaler: DaskAutoscaler, observed: Observed, cluster: DaskCluster | None, other: DaskAutoscaler
) -> list[Condition]:
    """Why an autoscaler has nothing to scale."""
    name, group_name = autoscaler.cluster_name, _group_name(autoscaler)
    if cluster is None and observed.cluster is None:
        message = f"there is no DaskCluster {name} in this namespace: create it, or correct spec.cluster"
        return unable(autoscaler, "ClusterNotFound", message)
    if cluster is None:
        message = f"DaskCluster {name} is being deleted or cannot be read: see its conditions"
        return unable(autoscaler, "ClusterNotUsable", message)
    if other is not autoscaler:
        message = (
            f"DaskAutoscaler {other.identity.name} is older and scales DaskWorkerGroup {group_name} already: delete "
            "one of the two, or give this one another spec.workerGroup"
        )
        return unable(autoscaler, "Conflict", message, event="Warning")
    if any(resource.name == group_name for resource in observed.groups):
        message = f"DaskWorkerGroup {group_name} is being deleted or cannot be read: see its conditions"
        return unable(autoscaler, "WorkerGroupNotUsable", message)
    message = f"DaskCluster {name} has no DaskWorkerGroup {group_name}: create it, or correct spec.workerGroup"
    return unable(autoscaler, "WorkerGroupNotFound", message)


def _team(autoscaler: DaskAutoscaler, group: DaskWorkerGroup, observed: Observed, roster: Roster | None) -> _Team:
    pods = [pod for pod in observed.pods if group.identity.uid in pod.owner_uids and not pod.terminating]
    workers_per_pod, registered, busy = 1, None if pods else 0, 0
    if roster is not None:
        known = [pod for pod in pods if roster.of(pod)]
        registered = len(known)
        if known:
            # While Pods start, not all of a Pod's workers may be registered yet.
            workers_per_pod = -(-len(_addresses(known, roster)) // len(known))
        busy = sum(pod.draining_since is None and any(w.tasks for w in roster.of(pod)) for pod in known)
    share = Share(autoscaler.minimum, autoscaler.maximum, workers_per_pod)
    return _Team(autoscaler, group, share, registered, busy)


def _unscaled_workers(teams: Iterable[_Team], observed: Observed, roster: Roster | None) -> int:
    """How many workers the scheduler knows that are to stay and that no autoscaler scales."""
    if roster is None:
        return 0
    scaled = {team.group.identity.uid for team in teams}
    pods = [
        pod
        for pod in observed.pods
        if not pod.owner_uids & scaled and not pod.terminating and pod.draining_since is None
    ]
    return len(_addresses(pods, roster))


def _addresses(pods: Iterable[Pod], roster: Roster) -> set[str]:
    """The workers in some Pods: on the network of the host a worker may count for several of them."""
    return {worker.address for pod in pods for worker in roster.of(pod)}
