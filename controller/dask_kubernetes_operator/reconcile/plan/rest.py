"""Whether a cluster is to rest: suspended by its spec, or idle for longer than it may be."""

from __future__ import annotations

from datetime import timedelta

from ...resources import DASK_CLUSTERS
from ...spec import DaskCluster, IdleAction
from ..actions import Delete, Event
from ..conditions import find_condition
from ..observed import Observed
from ..report import IdleSince
from ..rest import Rest
from .draft import Draft

_MIN_INTERVAL_SECONDS = 1.0
_MAX_INTERVAL_SECONDS = 10.0


def decide_rest(draft: Draft, cluster: DaskCluster, observed: Observed) -> Rest:
    """Whether a cluster rests, by its spec, its scheduler and its status; one to be deleted for it is deleted."""
    if cluster.suspend:
        return Rest(suspended=True)
    if cluster.idle_timeout_seconds is None:
        return Rest()
    if cluster.idle_action == IdleAction.SUSPEND and _suspended_for_idleness(cluster):
        return Rest(suspended=True)
    timeout = timedelta(seconds=cluster.idle_timeout_seconds)
    seconds = max(_MIN_INTERVAL_SECONDS, min(cluster.idle_timeout_seconds / 10, _MAX_INTERVAL_SECONDS))
    interval = timedelta(seconds=seconds)
    draft.ask(IdleSince(), not_before=draft.now - interval)
    draft.due(draft.now + interval)
    # What a scheduler said that is gone by now does not count.
    started_at = max((pod.created_at for pod in observed.scheduler_pods if not pod.terminating), default=draft.now)
    answer = observed.scheduler_report.answer(IdleSince(), not_before=max(started_at, draft.now - 2 * interval))
    if answer is None:
        # Nobody knows: it stays as it is.
        return Rest(without_workers=cluster.idle_action == IdleAction.SCALE_TO_ZERO and _is_idle(cluster))
    if answer.idle_since is None or draft.now < answer.idle_since + timeout:
        return Rest(idle_since=answer.idle_since)
    if cluster.idle_action == IdleAction.DELETE:
        message = f"nothing to do for {cluster.idle_timeout_seconds} s (spec.idleTimeout): the cluster is deleted"
        event = Event(cluster.identity, "Normal", "IdleTimeout", message)
        name, uid = cluster.identity.name, cluster.identity.uid
        draft.actions.append(Delete(DASK_CLUSTERS, name, uid, events=(event,)))
        return Rest(idle_since=answer.idle_since)
    if cluster.idle_action == IdleAction.SUSPEND:
        return Rest(suspended=True, idle_since=answer.idle_since)
    return Rest(without_workers=True, idle_since=answer.idle_since)


def _suspended_for_idleness(cluster: DaskCluster) -> bool:
    """Whether it was suspended because it was idle, and nobody has edited it since."""
    stored = find_condition(cluster.status.get("conditions"), "Suspended")
    return (stored.get("status"), stored.get("reason"), stored.get("observedGeneration")) == (
        "True",
        "Idle",
        cluster.generation,
    )


def _is_idle(cluster: DaskCluster) -> bool:
    return find_condition(cluster.status.get("conditions"), "Idle").get("status") == "True"
