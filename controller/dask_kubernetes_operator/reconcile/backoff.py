"""How long to wait before what failed is tried again."""

from __future__ import annotations

import random


def backoff_seconds(times: int, *, first: float, longest: float) -> float:
    """Seconds to wait after failing so many times in a row: twice as long each time, and never all at one moment."""
    return min(longest, first * 2.0 ** min(times - 1, 16)) * random.uniform(0.5, 1.0)  # noqa: S311
