"""The workers of one group: as many as asked for, built from the present spec, and none deleted with its data.

A worker that never ran is deleted at once. Any other is first marked as draining, its data is moved by the
scheduler, and only when the scheduler no longer knows it, or its time is over, its Pod is deleted. The mark is on the
Pod, so that a controller that starts anew goes on where the last one ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import ceil

from ... import builders, naming
from ...resources import PODS
from ...spec import DaskCluster, DaskWorkerGroup, Share, UpdateStrategy, UpdateType
from ..actions import Create, Delete, DeleteCollection, Patch, Retire
from ..conditions import find_condition
from ..observed import Observed, Pod, parse_time
from ..report import Workers
from ..staff import REGISTRATION_DEADLINE, Roster, Staff, staff_of
from .draft import Draft
from .groups import is_behind
from .legacy import dissolve

# A worker that ends is replaced at once, but none is started more often than this in its place: one that ends
# right after its start would else be created again for ever, as fast as the API server allows.
MIN_WORKER_LIFETIME = timedelta(seconds=10)
# What the scheduler said of its workers this long ago is still good enough to go by.
_ANSWER_MAX_AGE = timedelta(seconds=5)
# That a worker is gone holds only for so long: its kubelet may start it again.
_ABSENCE_MAX_AGE = timedelta(seconds=1)
# How often the scheduler is asked for workers that have yet to register, and for those that are late.
_REGISTRATION_INTERVAL = timedelta(seconds=1)
_LATE_REGISTRATION_INTERVAL = timedelta(seconds=30)
# How often a scheduler that moves data is asked whether it is done.
_DRAIN_INTERVAL = timedelta(seconds=2)


class WorkerPlanner:
    """Decides for one group after the other.

    Args:
        draft: takes what is decided.
        cluster: the groups' cluster.
        observed: everything that bears its name.
        roster: which workers run in which Pod, as the scheduler last said.
        may_create: False while something else has to be placed before any worker is.
    """

    def __init__(
        self, draft: Draft, cluster: DaskCluster, observed: Observed, roster: Roster | None, *, may_create: bool
    ) -> None:
        self._draft = draft
        self._cluster = cluster
        self._observed = observed
        self._roster = roster
        self._may_create = may_create

    def ensure(self, group: DaskWorkerGroup, *, wanted: int) -> None:
        """Bring a group to ``wanted`` workers of the present spec."""
        dissolve(self._draft, group, self._observed)
        staff = staff_of(group, self._cluster, self._observed)
        drain_timeout = timedelta(seconds=drain_timeout_seconds(group, self._cluster))
        self._end_draining(staff, drain_timeout)
        held = self._replace_finished(staff)
        strategy = group.update_strategy or self._cluster.update_strategy
        outdated = () if strategy.type == UpdateType.ON_DELETE else staff.outdated
        replaced = {pod.uid for pod in outdated}
        current = [pod for pod in staff.staying if pod.uid not in replaced]
        missing = wanted - len(current) - held
        leaving, most = len(outdated), wanted
        if staff.updating and strategy.type == UpdateType.ROLLING:
            surge, unavailable = _shares(strategy, wanted)
            most = wanted + surge
            missing = min(missing, most - staff.alive - held)
            leaving = _replaceable(outdated, staff, fewest_ready=wanted - unavailable, most=most)
        if self._may_create:
            self._create(group, missing)
        give_up_at = self._give_up_at(group, drain_timeout)
        idle = [pod for pod in outdated if not pod.ready]
        self._release(idle, min(leaving, len(idle)), give_up_at)
        self._release([pod for pod in outdated if pod.ready], leaving - len(idle), give_up_at)
        self._release(current, len(current) - (wanted if leaving == len(outdated) else most), give_up_at)
        self._propagate(group, staff)
        self._await_registration(staff)

    def dismiss(self, group: DaskWorkerGroup) -> None:
        """Delete all workers of a group at once: their scheduler goes too, and nobody is left to take their data."""
        dissolve(self._draft, group, self._observed, with_pods=True)
        labels = naming.worker_labels(group.cluster_name, group.identity.name)
        pods = [pod for pod in self._observed.pods if group.identity.uid in pod.owner_uids and not pod.terminating]
        if pods:
            self._draft.actions.append(DeleteCollection(PODS, naming.selector(labels)))

    def _propagate(self, group: DaskWorkerGroup, staff: Staff) -> None:
        """Write the labels and annotations that were edited to the Pods that are to stay."""
        metadata = builders.worker_metadata(group)
        going = {action.uid for action in self._draft.actions if isinstance(action, Delete)}
        for pod in (*staff.staying, *staff.draining):
            if pod.uid in going:
                continue
            changes: builders.Object = {}
            if not pod.deployment:
                # A ReplicaSet knows its Pods by their labels, and would replace one that has others.
                changes.update(builders.metadata_patch(pod.labels, pod.annotations, metadata))
            if pod.spec_hash is None and not is_behind(self._cluster, group):
                # Made by an earlier operator, and running: taken as it is.
                note = {naming.SPEC_HASH_ANNOTATION: builders.worker_hash(group, self._cluster)}
                changes["annotations"] = {**changes.get("annotations", {}), **note}
            owners = builders.with_owner(pod.owners, group.identity) if pod.owners else []
            if owners != list(pod.owners):
                # A list is replaced whole: refused, when somebody else changed it meanwhile.
                changes.update(resourceVersion=str(pod.version), ownerReferences=owners)
            if changes:
                self._draft.actions.append(Patch(PODS, pod.name, {"metadata": {"uid": pod.uid, **changes}}))

    def _create(self, group: DaskWorkerGroup, count: int) -> None:
        draft, allocation = self._draft, self._draft.allocation
        if allocation.batch_size and count > 0:
            pods = [pod for pod in self._observed.pods if group.identity.uid in pod.owner_uids]
            recent = [pod.created_at for pod in pods if pod.created_at + allocation.delay > draft.now]
            if len(recent) + count > allocation.batch_size:
                count = allocation.batch_size - len(recent)
                draft.due(min(recent, default=draft.now) + allocation.delay)
        draft.actions.extend(
            Create(PODS, builders.build_worker_pod(group, suffix=draft.new_suffix(), cluster=self._cluster))
            for _ in range(count)
        )

    def _replace_finished(self, staff: Staff) -> int:
        """Delete Pods that have ended; returns how many of them stand in the way of a successor for a while."""
        held = 0
        for pod in staff.finished:
            replace_at = pod.created_at + MIN_WORKER_LIFETIME
            if self._draft.now >= replace_at or pod.draining_since:
                self._draft.actions.append(Delete(PODS, pod.name, pod.uid))
            else:
                held += 1
                self._draft.due(replace_at)
        return held

    def _release(self, candidates: Sequence[Pod], count: int, give_up_at: datetime | None) -> None:
        """Have ``count`` of the candidates go: those first that can have no data.

        One that a ReplicaSet would replace waits until it is taken over.
        """
        candidates = [pod for pod in candidates if not pod.deployment]
        if count <= 0:
            return
        draft = self._draft
        never_ran = sorted((pod for pod in candidates if pod.phase == "Pending"), key=_age, reverse=True)[:count]
        # Only as it was seen: one that has begun to run meanwhile is to be asked for.
        draft.actions.extend(Delete(PODS, pod.name, pod.uid, pod.version, outcome="never-ran") for pod in never_ran)
        count -= len(never_ran)
        running = [pod for pod in candidates if pod.phase != "Pending"]
        if count <= 0:
            return
        roster = self._roster
        if count >= len(running):
            self._drain(running)
        elif roster is not None and roster.asked_at >= draft.now - _ANSWER_MAX_AGE:
            self._drain(sorted(running, key=lambda pod: _load(pod, roster))[:count])
        else:
            draft.ask(Workers(), not_before=draft.now - _ANSWER_MAX_AGE)
            if give_up_at is None:
                return
            draft.due(give_up_at)
            if draft.now >= give_up_at:
                youngest = sorted(running, key=_age, reverse=True)[:count]
                draft.actions.extend(Delete(PODS, pod.name, pod.uid, outcome="unasked") for pod in youngest)

    def _give_up_at(self, group: DaskWorkerGroup, drain_timeout: timedelta) -> datetime | None:
        """When workers are chosen without the scheduler: if it has not answered for the whole drain timeout.

        The wait begins when there is somebody to let go, which the status has noted by then.
        """
        refusal = self._observed.scheduler_report.refusal
        if refusal is None:
            return None
        draining = find_condition(group.status.get("conditions"), "Draining")
        begun_at = self._draft.now
        if draining.get("status") == "True":
            begun_at = parse_time(draining["lastTransitionTime"])
        return max(refusal.since, begun_at) + drain_timeout

    def _await_registration(self, staff: Staff) -> None:
        """Have the scheduler asked until it knows all that is ready."""
        draft, roster = self._draft, self._roster
        unknown = [pod.ready_since for pod in staff.staying if pod.ready_since and not (roster and roster.of(pod))]
        if not unknown or not any(deployment.available for deployment in self._observed.deployments):
            return
        overdue = max(unknown) + REGISTRATION_DEADLINE <= draft.now
        interval = _LATE_REGISTRATION_INTERVAL if overdue else _REGISTRATION_INTERVAL
        draft.ask(Workers(), not_before=draft.now - interval)
        if self._observed.scheduler_report.refusal is None:
            draft.due(draft.now + interval)

    def _drain(self, pods: Sequence[Pod]) -> None:
        mark = {naming.DRAINING_SINCE_ANNOTATION: self._draft.now.isoformat()}
        self._draft.actions.extend(
            Patch(PODS, pod.name, {"metadata": {"uid": pod.uid, "annotations": mark}}) for pod in pods
        )

    def _end_draining(self, staff: Staff, drain_timeout: timedelta) -> None:
        draft, roster = self._draft, self._roster
        for pod in staff.draining:
            # Clocks differ: a mark of tomorrow would have no answer new enough.
            since = min(pod.draining_since or draft.now, draft.now)
            deadline = since + drain_timeout
            if draft.now >= deadline:
                draft.actions.append(Delete(PODS, pod.name, pod.uid, outcome="deadline"))
                continue
            draft.due(deadline)
            if roster is None or roster.asked_at < since or roster.heard_at < draft.now - _ABSENCE_MAX_AGE:
                draft.ask(Workers(), not_before=max(since, draft.now - _ABSENCE_MAX_AGE))
                continue
            workers = roster.of(pod)
            if not workers and pod.uid in self._observed.scheduler_report.retired:
                draft.actions.append(Delete(PODS, pod.name, pod.uid, outcome="retired"))
                continue
            if not workers and self._never_registered(pod):
                draft.actions.append(Delete(PODS, pod.name, pod.uid, outcome="unregistered"))
                continue
            if workers:
                addresses = frozenset(worker.address for worker in workers)
                draft.retirements.append(Retire(pod.uid, addresses, deadline))
            # One that is gone and was not confirmed to have retired is waited for: its process starts again, and
            # a scheduler that forgot it for a moment knows it again.
            draft.ask(Workers(), not_before=draft.now - _DRAIN_INTERVAL)
            draft.due(draft.now + _DRAIN_INTERVAL)

    def _never_registered(self, pod: Pod) -> bool:
        """Whether a Pod has no worker that could hold anything: none runs, or none has registered in all its time."""
        if pod.problem is not None:
            return True
        known = self._observed.scheduler_report.registered
        overdue = (pod.ready_since or pod.created_at) + REGISTRATION_DEADLINE <= self._draft.now
        return overdue and not {pod.name, pod.ip} & known


def drain_timeout_seconds(group: DaskWorkerGroup, cluster: DaskCluster) -> int:
    """How long a worker of a group has to hand over its data."""
    own = group.drain_timeout_seconds
    return cluster.drain_timeout_seconds if own is None else own


def _shares(strategy: UpdateStrategy, wanted: int) -> tuple[int, int]:
    """How many workers more than wanted there may be in a rolling update, and how many fewer."""
    surge = _count(strategy.max_surge, wanted, rounded=ceil)
    unavailable = _count(strategy.max_unavailable, wanted, rounded=int)
    # As in a Deployment: percentages that both come to nothing may not stop the update for ever.
    return surge, unavailable or int(not surge)


def _count(share: Share, of: int, *, rounded: Callable[[float], int]) -> int:
    return rounded(share.amount * of / 100) if share.is_percentage else share.amount


def _replaceable(outdated: Sequence[Pod], staff: Staff, *, fewest_ready: int, most: int) -> int:
    """How many outdated workers may go now."""
    idle = sum(not pod.ready for pod in outdated)
    ready = sum(pod.ready for pod in staff.staying)
    spare = max(0, ready - fewest_ready)
    return min(len(outdated), max(idle + spare, len(staff.staying) - most))


def _age(pod: Pod) -> tuple[object, str]:
    return pod.created_at, pod.name


def _load(pod: Pod, roster: Roster) -> tuple[object, ...]:
    """What a worker would leave behind: those that are not registered come first, then those with least."""
    workers = roster.of(pod)
    tasks = sum(worker.tasks for worker in workers)
    held = sum(worker.managed_bytes for worker in workers)
    return bool(workers), tasks, held, -pod.created_at.timestamp(), pod.name
