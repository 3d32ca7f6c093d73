"""Which replica leads: the one whose name is in a Lease that it renews in time.

The rules are those of Kubernetes' own components (client-go's leaderelection). Nobody compares clocks: a replica
that wants to lead waits until it has itself seen no change of the Lease for as long as the Lease is to last, and the
leader stops acting well before that, counted from the moment at which it sent its last successful renewal.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from math import inf
from typing import Any

from .kube import ApiError, Client
from .metrics import LEADER
from .resources import LEASES
from .settings import Election

logger = logging.getLogger(__name__)

# What the last leader wrote last may still be on its way through this replica's watches.
_SETTLE_SECONDS = 0.5
# What it takes to give the Lease back may not keep a process from ending.
_RELEASE_SECONDS = 2.0

_FORBIDDEN = 403
_NOT_FOUND = 404
_CONFLICT = 409


class Elector:
    """Takes part in the election of a leader.

    Args:
        client: for the Lease alone, so that no other request is waited for.
        election: which Lease, who this is, and how long it lasts.
        now: the wall clock; only people read what it gives.
    """

    def __init__(
        self, client: Client, election: Election, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._election = election
        self._now = now
        # A leader acts for two thirds of the time that its peers wait. In these two thirds there are two attempts to
        # renew even if the first one is never answered.
        self._deadline_seconds = election.lease_seconds * 2 / 3
        self._renewal_seconds = election.lease_seconds / 5
        self._answer_seconds = election.lease_seconds / 4
        self._retry_seconds = election.lease_seconds / 15
        self._poll_seconds = election.lease_seconds * 2 / 15
        self._leading = False
        self._alone = False
        self._taken_over = False
        self._sent_at = -inf  # when the last successful renewal was sent
        self._version: str | None = None  # the Lease's, if what is known of it is up to date
        self._record: dict[str, Any] = {}  # the Lease's spec as last seen
        self._seen_at = -inf  # when it was first seen so
        self._refused_since: float | None = None
        self._told = ""

    @property
    def leads(self) -> bool:
        """Whether this replica may act now, whatever has or has not been noticed of late."""
        return self._leading and (self._alone or _clock() < self._sent_at + self._deadline_seconds)

    async def run(self, lead: Callable[[], None], rest: Callable[[], Awaitable[None]]) -> None:
        """Take part until cancelled; then rest and give the Lease back.

        Args:
            lead: called when this replica is to begin acting.
            rest: called when it is to stop; it has stopped when this returns.
        """
        try:
            while True:
                await self._acquire()
                self._leading = True
                LEADER.set(1)
                logger.info("%s leads", self._election.identity)
                try:
                    lead()
                    await self._hold()
                finally:
                    self._leading = False
                    LEADER.set(0)
                    await rest()
                logger.warning("%s does not lead any more", self._election.identity)
        finally:
            await self._release()

    async def _acquire(self) -> None:
        """Wait until the Lease is free, and take it."""
        while not await self._attempt():
            if self._goes_without():
                logger.warning(
                    "there is no right to Leases in namespace %s: this replica leads, and there may be no other one; "
                    'grant "get", "create" and "patch" on "leases" in "coordination.k8s.io", or set '
                    "DASK_OPERATOR_LEADER_ELECTION=false",
                    self._election.namespace,
                )
                self._alone = True
                return
            await asyncio.sleep(self._poll_seconds * random.uniform(0.8, 1.0))  # noqa: S311
        if self._taken_over:
            await asyncio.sleep(_SETTLE_SECONDS)

    async def _hold(self) -> None:
        """Renew the Lease; returns when that did not succeed in time, or somebody else has it."""
        if self._alone:
            await asyncio.Event().wait()
        while True:
            try:
                async with asyncio.timeout_at(self._sent_at + self._deadline_seconds):
                    await asyncio.sleep(self._renewal_seconds)
                    while not await self._attempt():
                        if not self._ours:
                            return
                        await asyncio.sleep(self._retry_seconds)
            except TimeoutError:
                return

    async def _attempt(self) -> bool:
        """Take or renew the Lease, unless somebody else has it; returns whether that succeeded."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._take_or_renew()
        except TimeoutError:
            error = ApiError(0, "NoAnswer", "no answer from the API server")
        except ApiError as refused:
            error = refused
        self._version = None  # whether it was done or not has to be looked up
        self._refused(error)
        return False

    async def _take_or_renew(self) -> bool:
        if self._version is None or not self._ours:
            lease = await self._read()
            if lease is not None:
                self._observe(lease)
            if not self._ours and not self._expired:
                return False  # not even if the Lease was deleted: whose it was does not know that yet
            if lease is None:
                return await self._create()
        sent_at = _clock()
        spec = self._spec()
        metadata = {"resourceVersion": self._version}
        lease = await self._client.patch(LEASES, *self._where, {"metadata": metadata, "spec": spec})
        self._renewed(lease, sent_at)
        return True

    async def _read(self) -> dict[str, Any] | None:
        try:
            return await self._client.get(LEASES, *self._where)
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
            return None

    async def _create(self) -> bool:
        sent_at = _clock()
        name, namespace = self._election.name, self._election.namespace
        body = {
            "apiVersion": f"{LEASES.group}/{LEASES.version}",
            "kind": LEASES.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": self._spec(),
        }
        self._renewed(await self._client.create(LEASES, namespace, body), sent_at)
        return True

    async def _release(self) -> None:
        """Let the next one lead at once, instead of when the Lease runs out."""
        if self._version is None or not self._ours:
            return
        spec = {**self._record, "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._timestamp()}
        patch = {"metadata": {"resourceVersion": self._version}, "spec": spec}
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._client.patch(LEASES, *self._where, patch)
        except (ApiError, TimeoutError) as error:
            logger.warning("the Lease %s could not be given back, it will run out: %s", self._election.name, error)

    # What is known of the Lease

    @property
    def _where(self) -> tuple[str, str]:
        return self._election.namespace, self._election.name

    @property
    def _holder(self) -> str:
        return str(self._record.get("holderIdentity") or "")

    @property
    def _ours(self) -> bool:
        return self._holder == self._election.identity

    @property
    def _expired(self) -> bool:
        lasts = float(self._record.get("leaseDurationSeconds") or self._election.lease_seconds)
        return not self._holder or _clock() >= self._seen_at + lasts

    def _observe(self, lease: dict[str, Any]) -> None:
        spec = dict(lease.get("spec") or {})
        if spec != self._record:
            before, self._record = self._holder, spec
            self._seen_at = _clock()
            if self._holder not in (before, "", self._election.identity):
                logger.info("%s stands by, %s leads", self._election.identity, self._holder)
        self._version = lease["metadata"]["resourceVersion"]
        self._refused_since = None
        self._told = ""

    def _renewed(self, lease: dict[str, Any], sent_at: float) -> None:
        self._taken_over = bool(self._record) and not self._ours
        self._observe(lease)
        self._sent_at = sent_at

    def _spec(self) -> dict[str, Any]:
        """What the Lease is to say from now on."""
        now = self._timestamp()
        transitions = int(self._record.get("leaseTransitions") or 0)
        if self._ours:
            acquired = self._record.get("acquireTime") or now
        else:
            acquired = now
            transitions += bool(self._record)
        return {
            "holderIdentity": self._election.identity,
            "leaseDurationSeconds": max(1, round(self._election.lease_seconds)),
            "acquireTime": acquired,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    def _timestamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    # What goes wrong

    def _refused(self, error: ApiError) -> None:
        if error.code != _FORBIDDEN:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = _clock()
        if error.code == _CONFLICT:
            return  # somebody else was quicker
        if error.message != self._told:
            self._told = error.message
            logger.warning("the Lease %s/%s: %s", *self._where, error.message)

    def _goes_without(self) -> bool:
        """Whether to lead without a Lease: nobody insists on one, and there has been no right to it for a while."""
        if self._election.insisted_on or self._refused_since is None:
            return False
        return _clock() - self._refused_since >= self._election.lease_seconds


def _clock() -> float:
    return asyncio.get_running_loop().time()
