"""The rules by which a number of workers follows what is asked for: those of a HorizontalPodAutoscaler. Pure.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/, "Configurable scaling behavior".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from ..spec import PercentPolicy
from .history import History, in_force_after

# Times in a status are whole seconds: what is read there may have happened up to a second later.
_RESOLUTION = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Share:
    """What one autoscaled group can contribute to a cluster: between ``minimum`` and ``maximum`` Pods.

    ``workers_per_pod`` is above 1 where a Pod runs several Dask workers.
    """

    minimum: int
    maximum: int
    workers_per_pod: int = 1


def asked_of(shares: Sequence[Share], index: int, workers: int) -> int:
    """How many Pods it takes of one group; not limited to its minimum and maximum.

    Every group has its minimum. What is missing to ``workers`` comes from the first group as far as its maximum
    allows, then from the second, and so on. So the answer depends on ``workers`` alone, and never on how many a group
    has at present: groups that looked at each other would scale up and down in turn.
    """
    missing = workers - sum(share.minimum * share.workers_per_pod for share in shares)
    for earlier in shares[:index]:
        missing -= min(max(missing, 0), (earlier.maximum - earlier.minimum) * earlier.workers_per_pod)
    own = shares[index]
    return own.minimum + _divided_up(missing, own.workers_per_pod)


def lowest(history: History, now: datetime, window_seconds: int) -> int | None:
    """The lowest number within a window; None while less than the whole window is known."""
    window = _window(history, now, window_seconds)
    return min((level.value for level in window), default=None)


def highest(history: History, now: datetime, window_seconds: int) -> int | None:
    """The highest number within a window; None while less than the whole window is known."""
    window = _window(history, now, window_seconds)
    return max((level.value for level in window), default=None)


def largest_step(policy: PercentPolicy | None, history: History, now: datetime, *, up: bool) -> int | None:
    """By how much a policy lets a number change now; None for any change.

    Changes in one direction count together, within any period of the policy's length. Its percentage is of what there
    would be without them.
    """
    if policy is None:
        return None
    start = now - timedelta(seconds=policy.period_seconds) - _RESOLUTION
    numbers = [level.value for level in in_force_after(history, start)]
    changes = [after - before for before, after in pairwise(numbers)]
    changed = sum(change for change in changes if change > 0) if up else -sum(c for c in changes if c < 0)
    unchanged = max(0, numbers[-1] - changed if up else numbers[-1] + changed)
    allowed = max(1, _divided_up(unchanged * policy.percent, 100))
    return max(0, allowed - changed)


def _window(history: History, now: datetime, seconds: int) -> History:
    start = now - timedelta(seconds=seconds)
    known = bool(history) and history[0].since <= start
    return in_force_after(history, start) if known else ()


def _divided_up(number: int, divisor: int) -> int:
    return -(-number // divisor)
