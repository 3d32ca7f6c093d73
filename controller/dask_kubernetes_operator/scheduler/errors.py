"""What can go wrong with a scheduler."""

from __future__ import annotations

UNREACHABLE = "SchedulerUnreachable"
ANSWER_INVALID = "SchedulerAnswerInvalid"
RETIREMENT_UNFINISHED = "RetirementUnfinished"


class SchedulerError(Exception):
    """A scheduler did not answer, or not as one that can be understood.

    Attributes:
        reason: for conditions and metrics: ``SchedulerUnreachable`` (no connection, or no answer in time),
            ``SchedulerAnswerInvalid`` (it failed, or answered nonsense) or ``RetirementUnfinished`` (the scheduler
            goes on moving data).
        message: for people; names the address, and what to look at.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class NotAsked(SchedulerError):
    """The request certainly did not begin: there is no connection, or no such route."""


class NoAnswerInTime(SchedulerError):
    """The request was sent, and the scheduler may still be at it."""
