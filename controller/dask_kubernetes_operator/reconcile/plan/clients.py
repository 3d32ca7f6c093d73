"""Whether a cluster has outlived its clients for longer than it may."""

from __future__ import annotations

from datetime import timedelta

from ...resources import DASK_CLUSTERS
from ...spec import DaskCluster
from ..actions import Delete, Event, subject
from ..observed import Observed
from .draft import Draft

_PAUSE = timedelta(seconds=1)


def end_without_clients(draft: Draft, cluster: DaskCluster, observed: Observed) -> None:
    """Delete a cluster of which no client gave a sign of life for its ``clientTimeout``.

    Before that the API server is asked twice: when three quarters of the time are over, which no client that lives
    lets pass, and at the end. Where it was away, clients had no way to be heard: then either it does not answer, and
    counting begins anew, or they have had the last quarter to make up for it.
    """
    resource, silence = observed.cluster, observed.silence
    if cluster.client_timeout_seconds is None or silence is None or resource is None:
        return
    timeout = timedelta(seconds=cluster.client_timeout_seconds)
    over = silence.since + timeout
    for moment in (over - timeout / 4, over):
        if draft.now < moment:
            draft.due(moment)
            return
        if silence.checked_at < moment:
            draft.unsure = True
            draft.due(draft.now + _PAUSE)
            return
    message = f"no client for {cluster.client_timeout_seconds} s (spec.clientTimeout): the cluster is deleted"
    event = Event(cluster.identity, "Normal", "ClientTimeout", message)
    # As it was seen, so that one sign of life more keeps it.
    deletion = Delete(DASK_CLUSTERS, resource.name, resource.uid, resource.version, events=(event,))
    if subject(deletion) not in map(subject, draft.actions):
        draft.actions.append(deletion)
