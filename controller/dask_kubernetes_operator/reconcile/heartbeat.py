"""How long the clients of a cluster have been silent, by this process's own clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Silence:
    """Of a cluster's clients.

    Attributes:
        since: when their last sign of life was noticed.
        checked_at: when the API server was last asked for one; what watches tell may be late.
    """

    since: datetime
    checked_at: datetime


class Heartbeat:
    """Takes note of when a sign of life changes.

    What it says does not matter, so that clients may have any clock. Nothing of it is stored: a controller that
    starts counts from its start. All times that are given are in seconds of a clock that is never set.
    """

    def __init__(self) -> None:
        self._last: object = None
        self._noticed_at = 0.0
        self._checked_at = 0.0

    def notice(self, sign: object, clock: float) -> None:
        """Take note of what is there as a sign of life, which need not be a new one."""
        if sign != self._last:
            self._last = sign
            self.begin_anew(clock)

    def begin_anew(self, clock: float) -> None:
        """Count from now on, as after a sign of life: a client that could not give one is not silent."""
        self._noticed_at = self._checked_at = clock

    def checked(self, clock: float) -> None:
        """The API server was asked at that time for what is noticed next."""
        self._checked_at = max(clock, self._checked_at)

    def silence(self, clock: float, now: datetime) -> Silence:
        """What there is to tell at ``now``, the time of day at ``clock``."""
        noticed, checked = (now - timedelta(seconds=clock - at) for at in (self._noticed_at, self._checked_at))
        return Silence(noticed, checked)
