"""How measurements are told."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def report(what: str, values: Sequence[float], unit: str) -> None:
    """Print a measurement: its median, and how far the rounds were apart."""
    low, middle, high = min(values), median(values), max(values)
    print(f"\n{what}: median {middle:.2f} {unit} (min {low:.2f}, max {high:.2f}, {len(values)} rounds)")
