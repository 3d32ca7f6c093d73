"""The requests that the controller makes of schedulers, over whichever way a scheduler answers on."""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from math import inf
from typing import Any, TypeVar

from . import answers, rpc
from .errors import ANSWER_INVALID, RETIREMENT_UNFINISHED, UNREACHABLE, NoAnswerInTime, NotAsked, SchedulerError
from .http_api import HttpApi
from .model import Endpoint, Worker

ANSWER_TIMEOUT_SECONDS = 10.0
# Where there is no RPC connection and HTTP answered, HTTP comes first for so long.
HTTP_FIRST_SECONDS = 60.0
# A scheduler that refuses to retire a worker needs a round trip to the worker to let it go on (see `retire`).
SETTLE_SECONDS = 5.0

T = TypeVar("T")

Request = Callable[[], Awaitable[T]]


class SchedulerClient:
    """Asks schedulers, each by RPC, and where that fails by its HTTP API.

    RPC comes first, although HTTP would be simpler, because the HTTP API is off unless a scheduler's configuration
    enables it, tells less about workers, cannot take a target duration, and up to 2025.5 answers that it failed
    after it has retired a worker (dask/distributed#8996).

    Every method raises `SchedulerError`, and nothing else, when neither way gives an answer that makes sense. Each
    way has 5 s to connect and 10 s to answer.

    Args:
        tls: for https and tls addresses: the authorities to trust, and the certificate that Dask's own TLS asks of
            every client. None for the system's authorities and no certificate. Certificates are always verified.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._http = HttpApi(tls)
        self._http_first_until: dict[Endpoint, float] = {}
        self._not_before: dict[tuple[Endpoint, str], float] = {}

    async def workers(self, at: Endpoint) -> tuple[Worker, ...]:
        """The registered workers.

        Over HTTP their bytes and tasks are 0 and their status is ``unknown``.
        """
        return await self._ask(
            at,
            by_rpc=lambda: self._by_rpc(at, "identity", answers.workers, ANSWER_TIMEOUT_SECONDS),
            by_http=lambda: self._by_http(at, "get_workers", answers.workers_by_name, ANSWER_TIMEOUT_SECONDS),
        )

    async def adaptive_target(self, at: Endpoint, *, target_duration_seconds: float | None = None) -> int:
        """How many workers the scheduler wants for the work that it has (``Scheduler.adaptive_target``).

        Args:
            at: the scheduler.
            target_duration_seconds: in what time its work should be done; None for the scheduler's own setting. The
                HTTP API cannot take it, and an answer for another duration would be a wrong one: with it, only RPC
                will do.
        """
        if target_duration_seconds is None:
            return await self._ask(
                at,
                by_rpc=lambda: self._by_rpc(at, "adaptive_target", answers.target, ANSWER_TIMEOUT_SECONDS),
                by_http=lambda: self._by_http(
                    at, "adaptive_target", answers.target_in_object, ANSWER_TIMEOUT_SECONDS
                ),
            )
        duration = f"{target_duration_seconds}s"
        try:
            return await self._by_rpc(
                at, "adaptive_target", answers.target, ANSWER_TIMEOUT_SECONDS, target_duration=duration
            )
        except SchedulerError as error:
            text = f"a target duration can be given to a scheduler only by RPC, which failed: {error.message}"
            raise SchedulerError(error.reason, text) from error

    async def idle_since(self, at: Endpoint) -> datetime | None:
        """Since when the scheduler has had nothing to do, by its own clock; None while it is busy.

        As ``Scheduler.check_idle`` has it, by which Dask's own idle timeout goes: busy is a scheduler with a task
        that runs or waits for a worker, or with any change of a task since it was last asked. Connected clients and
        results in memory do not count, and a scheduler never used is idle since its start. Schedulers up to 2023.3.0
        cannot tell and seem busy for ever. Where a scheduler has an idle timeout of its own, asking can end it.
        """
        return await self._ask(
            at,
            by_rpc=lambda: self._by_rpc(at, "check_idle", answers.idle_since, ANSWER_TIMEOUT_SECONDS),
            by_http=lambda: self._by_http(at, "check_idle", answers.idle_since_in_object, ANSWER_TIMEOUT_SECONDS),
        )

    async def retire(self, at: Endpoint, addresses: Collection[str], *, timeout_seconds: float) -> frozenset[str]:
        """Move the data of workers to the other ones, and remove the workers from the scheduler.

        What ``Scheduler.retire_workers`` does, in 2023.1 to 2026.8:

        - The workers get no new tasks (``closing_gracefully``). Unfinished ones are computed again elsewhere.
        - A worker is removed when each key that it holds is held elsewhere too. The process then ends by itself at
          its next heartbeat, the nanny with it; where something starts it again, it registers under a new address.
        - A worker that holds keys which no running worker can take (there is none, or all are paused or being
          retired too), or an actor, is left out of the answer and goes on. If it is asked for again before it has
          gone on, nothing ever makes it go on; hence `SETTLE_SECONDS`, for which it is not asked again.
        - A worker that the scheduler does not know is left out. One that dies meanwhile is in the answer: there is
          nothing left to save.
        - It goes on when the connection is closed, and there is no way to stop it.

        The workers are removed (``remove=True``), since otherwise two workers that hold the only two copies of a key
        would both be found to be free to go. They are not told to close (``close_workers=False``), as the HTTP API
        does not either.

        Args:
            at: the scheduler.
            addresses: of the workers. Those that another call is retiring are left to it.
            timeout_seconds: how long the data may take to move.

        Returns:
            Of these addresses those that the scheduler confirmed and no longer has; not one whose worker has come
            back under its old name meanwhile. Nothing is lost when these workers end.

        Raises:
            SchedulerError: with reason ``RetirementUnfinished`` when it takes longer, for then the scheduler goes on.
                After any error some of the workers may be retired.
        """
        now = time.monotonic()
        self._not_before = {key: due for key, due in self._not_before.items() if due > now}
        registered = {worker.address: worker.name for worker in await self.workers(at)}
        asked = [a for a in dict.fromkeys(addresses) if a in registered and (at, a) not in self._not_before]
        if not asked:
            return frozenset()
        for address in asked:
            self._not_before[at, address] = inf
        try:
            confirmed = await self._retire(at, asked, timeout_seconds)
        finally:
            for address in asked:
                self._not_before[at, address] = time.monotonic() + SETTLE_SECONDS
        remaining = await self.workers(at)
        known = {worker.address for worker in remaining} | {worker.name for worker in remaining}
        return frozenset(a for a in asked if a in confirmed and not {a, registered[a]} & known)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _retire(self, at: Endpoint, addresses: list[str], timeout_seconds: float) -> frozenset[str]:
        try:
            return await self._ask(
                at,
                by_rpc=lambda: self._by_rpc(
                    at,
                    "retire_workers",
                    answers.retired,
                    timeout_seconds,
                    workers=addresses,
                    close_workers=False,
                    remove=True,
                ),
                by_http=lambda: self._by_http(
                    at,
                    "retire_workers",
                    answers.retired,
                    timeout_seconds,
                    body={"workers": addresses},
                ),
                repeatable=False,
            )
        except NoAnswerInTime as error:
            text = f"{error.message}; the scheduler goes on moving the data of {len(addresses)} worker(s)"
            raise SchedulerError(RETIREMENT_UNFINISHED, text) from error

    async def _ask(self, at: Endpoint, *, by_rpc: Request[T], by_http: Request[T], repeatable: bool = True) -> T:
        """Ask one way and, if that fails, the other; what is not repeatable only if it has not begun."""
        now = time.monotonic()
        first, second = by_rpc, by_http
        if self._http_first_until.get(at, 0.0) > now:
            first, second = second, first
        try:
            return await first()
        except SchedulerError as error:
            if not (repeatable or isinstance(error, NotAsked)):
                raise
            failure = error
        try:
            answer = await second()
        except SchedulerError as error:
            if not (repeatable or isinstance(error, NotAsked)):
                raise
            raise _neither(failure, error) from error
        self._http_first_until = {key: until for key, until in self._http_first_until.items() if until > now}
        if second is by_rpc:
            self._http_first_until.pop(at, None)
        elif isinstance(failure, NotAsked):
            self._http_first_until[at] = now + HTTP_FIRST_SECONDS
        return answer

    async def _by_rpc(
        self,
        at: Endpoint,
        operation: str,
        read: Callable[[Any], T],
        timeout_seconds: float,
        **arguments: object,
    ) -> T:
        answer = await rpc.call(at.comm, operation, arguments, tls=self._tls, timeout_seconds=timeout_seconds)
        return _understood(answer, read, f"{at.comm}: {operation}")

    async def _by_http(
        self,
        at: Endpoint,
        route: str,
        read: Callable[[Any], T],
        timeout_seconds: float,
        *,
        body: object = None,
    ) -> T:
        answer = await self._http.request(at.dashboard, route, body=body, timeout_seconds=timeout_seconds)
        return _understood(answer, read, f"{at.dashboard}: {route}")


def _understood(answer: Any, read: Callable[[Any], T], where: str) -> T:
    try:
        return read(answer)
    except ValueError as error:
        raise SchedulerError(ANSWER_INVALID, f"{where}: {error}") from error


def _neither(first: SchedulerError, second: SchedulerError) -> SchedulerError:
    invalid = ANSWER_INVALID in (first.reason, second.reason)
    return SchedulerError(
        ANSWER_INVALID if invalid else UNREACHABLE,
        "the scheduler answers neither by RPC nor by HTTP; check that its pod is ready, and that network policies "
        f"let the operator reach it ({first.message}; {second.message})",
    )
