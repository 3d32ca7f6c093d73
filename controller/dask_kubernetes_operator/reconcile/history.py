"""A number that changes now and then: what it was, and since when. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple


class Level(NamedTuple):
    """A number that holds from a moment on, until the next one does."""

    since: datetime
    value: int


History = tuple[Level, ...]


def recorded(history: History, since: datetime, value: int, *, keep: timedelta) -> History:
    """The history with one more level, if the number is another one; what ended ``keep`` before that is forgotten."""
    if history and history[-1].value == value:
        return history
    return (*in_force_after(history, since - keep), Level(since, value))


def in_force_after(history: History, start: datetime) -> History:
    """The levels that held at any time after ``start``; the last one holds still."""
    ended = sum(later.since <= start for later in history[1:])
    return history[ended:]
