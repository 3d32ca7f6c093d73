"""What one cluster's Dask scheduler is asked and told, in the background: a slow scheduler holds up nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from ..scheduler import SETTLE_SECONDS, Endpoint, SchedulerClient, SchedulerError
from .actions import Retire
from .backoff import backoff_seconds
from .report import NOTHING_SAID, Answer, IdleSince, Question, SchedulerReport, Target, Workers

logger = logging.getLogger(__name__)

_FIRST_BACKOFF_SECONDS = 1.0
_MAX_BACKOFF_SECONDS = 20.0
# What could not move at once is not asked for again sooner.
_RETIREMENT_PAUSE_SECONDS = SETTLE_SECONDS
# After this the scheduler goes on, and it is asked again for what is still there.
_RETIREMENT_TIMEOUT_SECONDS = 30.0
_RETIREMENT_BATCH = 10


class Conversation:
    """Keeps the last answers of one scheduler.

    Args:
        name: the cluster's, for the log.
        client: talks to schedulers.
        now: the present, UTC.
        heard: called when there is something new in `report`.
    """

    def __init__(
        self,
        name: str,
        client: SchedulerClient,
        now: Callable[[], datetime],
        heard: Callable[[], None],
    ) -> None:
        self.report: SchedulerReport = NOTHING_SAID
        self._name = name
        self._client = client
        self._now = now
        self._heard = heard
        self._partner: object = None
        self._endpoint = Endpoint(dashboard="", comm="")
        self._questions: Mapping[Question, datetime] = {}
        self._asking: asyncio.Task[None] | None = None
        self._retiring: dict[str, asyncio.Task[None]] = {}

    def with_partner(self, partner: object) -> None:
        """Forget what another scheduler said; ``partner`` is what tells one from another."""
        if partner != self._partner:
            self._partner = partner
            self.report = NOTHING_SAID

    def forget_all_but(self, present: Iterable[str]) -> None:
        """Forget what was said of Pods that are gone; ``present`` are the uids, names and addresses of the others."""
        known = frozenset(present)
        self.report = self.report.without(lambda text: text not in known)

    def go_on(
        self, endpoint: Endpoint, questions: Mapping[Question, datetime], retirements: Collection[Retire]
    ) -> None:
        """Ask what was not answered since the given moments, and have workers retired, unless that is under way."""
        self._endpoint = endpoint
        self._questions = questions
        self.report = self.report.unconfirmed(retirement.pod_uid for retirement in retirements)
        if self._asking is None and self._open_questions():
            self._asking = asyncio.create_task(self._ask())
        new = [retirement for retirement in retirements if not retirement.addresses & self._retiring.keys()]
        # In batches: the answer to one comes when the last of its workers is done.
        for first in range(0, len(new), _RETIREMENT_BATCH):
            self._begin_retiring(new[first : first + _RETIREMENT_BATCH])

    def leave_off(self) -> None:
        """There is nothing to ask any more, and nothing that was not answered."""
        self._questions = {}
        self.report = self.report.satisfied()

    async def end(self) -> None:
        """End all that is under way; what the scheduler was told to do it goes on with."""
        tasks = {task for task in (self._asking, *self._retiring.values()) if task is not None}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _open_questions(self) -> list[Question]:
        return [
            question
            for question, not_before in self._questions.items()
            if self.report.answer(question, not_before=not_before) is None
        ]

    async def _ask(self) -> None:
        """Ask until everything is answered; a scheduler that does not answer is asked less and less often."""
        failures = 0
        partner = self._partner
        try:
            while questions := self._open_questions():
                try:
                    for question in questions:
                        await self._put(question)
                except SchedulerError as error:
                    failures += 1
                    if partner != self._partner:
                        break  # it is another one's silence
                    self._refuse(error)
                    await asyncio.sleep(
                        backoff_seconds(failures, first=_FIRST_BACKOFF_SECONDS, longest=_MAX_BACKOFF_SECONDS)
                    )
                else:
                    self.report = self.report.satisfied()
                    self._heard()
                    break  # the next plan says what else there is to ask
        except Exception:
            logger.exception("%s: asking the scheduler failed", self._name)
        finally:
            self._asking = None

    async def _put(self, question: Question) -> None:
        partner, endpoint, asked_at = self._partner, self._endpoint, self._now()
        match question:
            case Workers():
                workers = await self._client.workers(endpoint)
                answer = Answer(asked_at, workers=workers, heard_at=self._now())
            case IdleSince():
                answer = Answer(asked_at, idle_since=await self._client.idle_since(endpoint))
            case Target(duration_seconds):
                target = await self._client.adaptive_target(endpoint, target_duration_seconds=duration_seconds)
                answer = Answer(asked_at, target=target)
        if partner == self._partner:
            self.report = self.report.answered(question, answer)

    def _refuse(self, error: SchedulerError) -> None:
        known = self.report.refusal
        self.report = self.report.refused(error.reason, str(error), self._now())
        if known is None or known.reason != error.reason:
            logger.info("%s: %s: %s", self._name, error.reason, error)
            self._heard()

    def _begin_retiring(self, retirements: Collection[Retire]) -> None:
        task = asyncio.create_task(self._retire(retirements))
        self._retiring.update({address: task for retirement in retirements for address in retirement.addresses})

    async def _retire(self, retirements: Collection[Retire]) -> None:
        """Have workers retired once; the plan tells again which of them are still there."""
        addresses = frozenset[str]().union(*(retirement.addresses for retirement in retirements))
        partner, endpoint = self._partner, self._endpoint
        left = (max(retirement.deadline for retirement in retirements) - self._now()).total_seconds()
        timeout_seconds = max(1.0, min(left, _RETIREMENT_TIMEOUT_SECONDS))
        try:
            with suppress(SchedulerError):
                confirmed = await self._client.retire(endpoint, addresses, timeout_seconds=timeout_seconds)
                if partner == self._partner:
                    retired = [retirement.pod_uid for retirement in retirements if retirement.addresses <= confirmed]
                    self.report = self.report.confirmed(retired)
                await self._put(Workers())
                self._heard()
            await asyncio.sleep(_RETIREMENT_PAUSE_SECONDS)
        except Exception:
            logger.exception("%s: retiring workers failed", self._name)
        finally:
            for address in addresses:
                del self._retiring[address]
