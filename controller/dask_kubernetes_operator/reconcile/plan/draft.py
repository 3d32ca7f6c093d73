"""A plan in the making."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..actions import Action, Patch, Retire
from ..conditions import Condition
from ..report import Question


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now.

    Attributes:
        actions: independent of each other; any of them may fail without harm to the rest.
        statuses: patches of the status subresource, only of what changed.
        retirements: what to ask the scheduler to do.
        questions: what to ask the scheduler for, unless it was asked at that moment or later.
        look_again_at: when something is due that no event will announce.
        bereaved: whether objects are deleted because their owner is not there; to be done only when that is certain.
        unsure: whether it takes another look at the DaskCluster, past all watches, to decide.
    """

    actions: tuple[Action, ...] = ()
    statuses: tuple[Patch, ...] = ()
    retirements: tuple[Retire, ...] = ()
    questions: Mapping[Question, datetime] = field(default_factory=dict)
    look_again_at: datetime | None = None
    bereaved: bool = False
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Allocation:
    """How many workers of a group may be created within ``delay``; ``batch_size`` 0 is any number."""

    batch_size: int = 0
    delay: timedelta = timedelta(0)


UNLIMITED = Allocation()


@dataclass(slots=True)
class Draft:
    """What has been decided so far; ``failure`` is why the last plan could not be carried out, if it could not."""

    now: datetime
    new_suffix: Callable[[], str]
    allocation: Allocation = UNLIMITED
    failure: Condition | None = None
    actions: list[Action] = field(default_factory=list)
    statuses: list[Patch] = field(default_factory=list)
    retirements: list[Retire] = field(default_factory=list)
    questions: dict[Question, datetime] = field(default_factory=dict)
    look_again_at: datetime | None = None
    unsure: bool = False

    def due(self, moment: datetime) -> None:
        """Look again at that time at the latest."""
        self.look_again_at = min(moment, self.look_again_at or moment)

    def ask(self, question: Question, *, not_before: datetime) -> None:
        """Have the scheduler asked, unless its last answer was asked for at that moment or later."""
        self.questions[question] = max(not_before, self.questions.get(question, not_before))

    def finished(self, *, bereaved: bool) -> Plan:
        """The plan."""
        return Plan(
            actions=tuple(self.actions),
            statuses=tuple(self.statuses),
            retirements=tuple(self.retirements),
            questions=self.questions,
            look_again_at=self.look_again_at,
            bereaved=bereaved,
            unsure=self.unsure,
        )
