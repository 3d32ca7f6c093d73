"""A worker group's Pods, sorted by what they are good for. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from .. import builders
from ..scheduler.model import Worker
from ..spec import DaskCluster, DaskWorkerGroup
from .observed import Observed, Pod
from .report import Workers

# A worker that is ready for this long and still unknown to its scheduler is in trouble.
REGISTRATION_DEADLINE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Staff:
    """The Pods of a group that are not terminating.

    Attributes:
        staying: those that are to stay, as far as is decided.
        draining: those that hand over their data before they go.
        finished: those whose containers have ended for good.
        outdated: those of ``staying`` that were built from another spec than the present one.
        updating: whether any, draining ones too, were.
    """

    staying: tuple[Pod, ...]
    draining: tuple[Pod, ...]
    finished: tuple[Pod, ...]
    outdated: tuple[Pod, ...]
    updating: bool

    @property
    def alive(self) -> int:
        """How many there are, draining ones too."""
        return len(self.staying) + len(self.draining)


def staff_of(group: DaskWorkerGroup, cluster: DaskCluster, observed: Observed) -> Staff:
    """The Pods of a group."""
    known = (None, builders.worker_hash(group, cluster))
    own = [pod for pod in observed.pods if group.identity.uid in pod.owner_uids and not pod.terminating]
    working = [pod for pod in own if not pod.finished]
    staying = tuple(pod for pod in working if pod.draining_since is None)
    return Staff(
        staying=staying,
        draining=tuple(pod for pod in working if pod.draining_since is not None),
        finished=tuple(pod for pod in own if pod.finished),
        outdated=tuple(pod for pod in staying if pod.spec_hash not in known),
        updating=any(pod.spec_hash not in known for pod in working),
    )


@dataclass(frozen=True, slots=True)
class Roster:
    """Which Dask workers run in which Pod, as the scheduler said when it was asked at ``asked_at``."""

    asked_at: datetime
    heard_at: datetime
    by_pod: Mapping[str, tuple[Worker, ...]]

    def of(self, pod: Pod) -> tuple[Worker, ...]:
        """The workers of one Pod: none that is registered, one, or several."""
        return self.by_pod.get(pod.uid, ())


def roster_of(observed: Observed) -> Roster | None:
    """Sort the scheduler's workers to their Pods; None as long as it has not named them.

    A worker bears its Pod's name, with a number behind it where a Pod runs several. One that was given another name
    is found by its Pod's address; on the network of the host that may be the address of several Pods, and it counts
    for each of them: better asked for once too often than deleted unasked.
    """
    answer = observed.scheduler_report.answers.get(Workers())
    if answer is None:
        return None
    by_name = {pod.name: pod for pod in observed.pods}
    by_ip: dict[str, list[Pod]] = defaultdict(list)
    for pod in observed.pods:
        if pod.ip:
            by_ip[pod.ip].append(pod)
    found: dict[str, list[Worker]] = defaultdict(list)
    for worker in answer.workers:
        named = by_name.get(worker.name) or by_name.get(worker.name.rpartition("-")[0])
        for pod in [named] if named else by_ip.get(worker.host, ()):
            found[pod.uid].append(worker)
    return Roster(
        answer.asked_at, answer.heard_at or answer.asked_at, {uid: tuple(workers) for uid, workers in found.items()}
    )
