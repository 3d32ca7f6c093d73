"""What of a cluster rests. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Rest:
    """What of a cluster rests.

    Attributes:
        suspended: neither scheduler nor workers.
        without_workers: no workers, until the scheduler has something to do.
        idle_since: since when there is nothing to do, where that is known and asked for.
    """

    suspended: bool = False
    without_workers: bool = False
    idle_since: datetime | None = None
