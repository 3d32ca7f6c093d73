"""What was measured, and whether it is what was aimed at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, median


@dataclass(frozen=True)
class Goal:
    """A bound on a measure.

    Attributes:
        measure: its name in the results, which begins with that of its benchmark.
        bound: what the measure may be at most, or has to be at least.
        at_least: whether more is better.
        of: what is made of the rounds.
    """

    measure: str
    bound: float
    at_least: bool = False
    of: Callable[[Sequence[float]], float] = median

    def words(self, units: Mapping[str, str]) -> str:
        """The bound for people."""
        return f"{'at least' if self.at_least else 'at most'} {self.bound:g} {units.get(self.measure, '')}".rstrip()


GOALS = (
    Goal("start/speed against the peer", 10, at_least=True),
    Goal("start/speed against the floor", 0.9, at_least=True),
    Goal("start/requests per worker/ours", 1.05),
    Goal("start/deletion/ours", 3),
    Goal("start/creation p50/ours", 100),
    Goal("neighbours/longest wait", 2),
    Goal("thousand/memory", 200),
    Goal("thousand/memory after a restart", 200),
    Goal("thousand/idle CPU", 2, of=mean),
    Goal("thousand/caught up", 30),
    Goal("thousand/writes for nothing", 0, of=max),
    Goal("autoscaler/requests per cluster", 0.05, of=mean),
    Goal("client/first result against the peer", 0.5),
)


@dataclass
class Results:
    """Measures by name, each with its unit and a value a round.

    Attributes:
        goals: those that are aimed at.
        values: of each measure, in the order of the rounds.
        units: of each measure.
        failures: why something could not be measured.
    """

    goals: Sequence[Goal] = GOALS
    values: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, measure: str, value: float, unit: str) -> None:
        """Take note of a round's value, and tell it."""
        self.values.setdefault(measure, []).append(value)
        self.units[measure] = unit
        print(f"    {measure}: {value:.3g} {unit}".rstrip(), flush=True)

    def fail(self, what: str, error: Exception) -> None:
        """Take note of why something could not be measured, and tell it."""
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        self.failures.append(f"{what}: {error or type(error).__name__}")
        print(f"    failed: {error or type(error).__name__}", flush=True)

    def missed(self) -> list[str]:
        """The goals that are not reached, in words."""
        return [f"{goal.measure} is not {goal.words(self.units)}" for goal in self.goals if not self.holds(goal)]

    def as_json(self) -> dict[str, dict[str, object]]:
        """Every value of every round."""
        return {name: {"unit": self.units[name], "values": values} for name, values in self.values.items()}

    def holds(self, goal: Goal) -> bool:
        """Whether a goal is reached; one that was not measured is not."""
        if goal.measure not in self.values:
            return False
        value = goal.of(self.values[goal.measure])
        return value >= goal.bound if goal.at_least else value <= goal.bound

    def tables(self) -> str:
        """All measures, and then the goals."""
        measures = [("measure", "median", "min", "max", "rounds", "")]
        for name, values in sorted(self.values.items()):
            figures = (f"{figure:.3g}" for figure in (median(values), min(values), max(values)))
            measures.append((name, *figures, str(len(values)), self.units[name]))  # type: ignore[arg-type]
        goals = [("goal", "measured", "bound", "")]
        for goal in self.goals:
            measured = f"{goal.of(self.values[goal.measure]):.3g}" if goal.measure in self.values else "not measured"
            goals.append((goal.measure, measured, goal.words(self.units), "holds" if self.holds(goal) else "MISSED"))
        return f"{_aligned(measures)}\n\n{_aligned(goals)}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
