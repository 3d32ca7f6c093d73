"""What a cluster's Dask scheduler last said, and what it is to be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, filterfalse

from ..scheduler.model import Worker
from .history import History, recorded

# The longest stabilizationWindowSeconds that a DaskAutoscaler can have.
_LONGEST_WINDOW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Workers:
    """Which workers are registered."""


@dataclass(frozen=True, slots=True)
class IdleSince:
    """Since when there has been nothing to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """How many workers it takes to do the work within this time.

    ``duration_seconds`` is None where the scheduler's own setting decides.
    """

    duration_seconds: float | None


Question = Workers | IdleSince | Target


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and when it was asked for: what happened after that moment it may not know.

    ``heard_at`` is when it came, much later where a scheduler is slow.
    """

    asked_at: datetime
    workers: tuple[Worker, ...] = ()
    idle_since: datetime | None = None
    target: int = 0
    heard_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the scheduler did not answer, and since when it has not."""

    reason: str
    message: str
    since: datetime


@dataclass(frozen=True, slots=True)
class SchedulerReport:
    """The last answer to each question; ``refusal`` is set while any question is not answered.

    ``retired`` are the uids of Pods whose workers it confirmed to have retired, ``registered`` the names and hosts of
    the workers that it has named, as long as there is a Pod of that name or address. ``targets`` are also the earlier
    answers to `Target`, from the first one on, for at most the last hour. What was answered last counts until
    something else is, also while the scheduler starts anew: that it is gone, and asks for nothing when it comes back,
    does not mean that nobody wants its workers.
    """

    answers: Mapping[Question, Answer] = field(default_factory=dict)
    refusal: Refusal | None = None
    targets: Mapping[Target, History] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()
    registered: frozenset[str] = frozenset()

    def answer(self, question: Question, *, not_before: datetime) -> Answer | None:
        """The answer to a question, if it was asked at that time or later."""
        answer = self.answers.get(question)
        return answer if answer is not None and answer.asked_at >= not_before else None

    def answered(self, question: Question, answer: Answer) -> SchedulerReport:
        """The report with one more answer; of a scheduler that refused another question that is still true."""
        named = {text for worker in answer.workers for text in (worker.name, worker.host)}
        return replace(
            self,
            answers={**self.answers, question: answer},
            targets=self._targets_with(question, answer),
            registered=self.registered | named if named - self.registered else self.registered,
        )

    def confirmed(self, pod_uids: Iterable[str]) -> SchedulerReport:
        """The report of a scheduler that has retired the workers of these Pods."""
        return replace(self, retired=self.retired.union(pod_uids))

    def unconfirmed(self, pod_uids: Iterable[str]) -> SchedulerReport:
        """The report of a scheduler that knows workers of these Pods again."""
        back = self.retired.intersection(pod_uids)
        return replace(self, retired=self.retired - back) if back else self

    def without(self, gone: Callable[[str], bool]) -> SchedulerReport:
        """The report less what it says of Pods of which uid, name or address are ``gone``."""
        if not any(map(gone, chain(self.retired, self.registered))):
            return self
        retired, registered = (frozenset(filterfalse(gone, known)) for known in (self.retired, self.registered))
        return replace(self, retired=retired, registered=registered)

    def satisfied(self) -> SchedulerReport:
        """The report of a scheduler that has refused nothing."""
        return replace(self, refusal=None)

    def refused(self, reason: str, message: str, now: datetime) -> SchedulerReport:
        """The report of a scheduler that does not answer, with what it said before."""
        since = self.refusal.since if self.refusal else now
        return replace(self, refusal=Refusal(reason, message, since))

    def _targets_with(self, question: Question, answer: Answer) -> Mapping[Target, History]:
        if not isinstance(question, Target):
            return self.targets
        forgotten_before = answer.asked_at - _LONGEST_WINDOW
        targets = {
            asked: history
            for asked, history in self.targets.items()
            if self.answers[asked].asked_at >= forgotten_before
        }
        known = targets.get(question, ())
        targets[question] = recorded(known, answer.asked_at, answer.target, keep=_LONGEST_WINDOW)
        return targets


NOTHING_SAID = SchedulerReport()
