"""One cluster's reconciliation: observe, plan, act, and again when something changed, is due or went wrong."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from math import inf

from .. import builders, naming, passes
from ..kube import ApiError, Client
from ..metrics import RECONCILE_ERRORS
from ..resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_JOBS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Resource,
)
from ..scheduler import Endpoint, SchedulerClient
from ..spec import parse_cluster
from .act import carry_out
from .actions import Action, Create, Subject, subject
from .backoff import backoff_seconds
from .conditions import Condition
from .conversation import Conversation
from .heartbeat import Heartbeat
from .observed import CustomResource, Key, Store
from .plan import UNLIMITED, Allocation, Plan, plan

logger = logging.getLogger(__name__)

# Fifty workers becoming ready within a second are a few status updates, not fifty.
_MIN_INTERVAL_SECONDS = 0.25
_FIRST_BACKOFF_SECONDS = 0.5
_MAX_BACKOFF_SECONDS = 60.0
# What may pass by itself is over soon or not; thirty seconds after it is, all should be well again.
_MAX_TRANSIENT_BACKOFF_SECONDS = 15.0
# What passes by itself within a second or two is not worth a condition and an Event.
_TOLERATED_TRANSIENT_ERRORS = 2

_BAD_REQUEST = 400
_FORBIDDEN = 403


@dataclass(slots=True)
class _Trouble:
    """What was refused, how often in a row, and when it is tried again (seconds of the loop's clock)."""

    error: ApiError
    times: int
    retry_at: float
    pause_seconds: float


class ClusterReconciler:
    """Reconciles one cluster, one pass at a time."""

    def __init__(
        self,
        key: Key,
        client: Client,
        scheduler: SchedulerClient,
        store: Store,
        *,
        allocation: Allocation = UNLIMITED,
    ) -> None:
        self.key = key
        self._client = client
        self._store = store
        self._allocation = allocation
        self._conversation = Conversation(self._name, scheduler, lambda: _now(), self.wake)
        self._heartbeat = Heartbeat()
        self._waker = asyncio.Event()
        self._relist_at = inf
        self._asked: object = None
        self._troubles: dict[Subject, _Trouble] = {}
        self._failure: Condition | None = None
        self._unanswered: list[str] = []

    def wake(self) -> None:
        """Something changed: reconcile soon."""
        passes.due(self._name)
        self._waker.set()

    async def run(self) -> None:
        """Reconcile for as long as anything bears the cluster's name."""
        try:
            await self._reconcile()
        finally:
            await self._conversation.end()

    async def _reconcile(self) -> None:
        failures = 0
        while True:
            self._waker.clear()
            try:
                with passes.reconciling(self._name):
                    due_at = await self._told_pass()
            except Exception:
                # Neither a bug nor an API server that is away may end the care for this cluster.
                self._relist_at = _clock()
                self._heartbeat.begin_anew(_clock())
                failures += 1
                await asyncio.sleep(_pause_seconds(failures, transient=True))
                continue
            failures = 0
            if self._store.observe(self.key).empty and not self._waker.is_set():
                return
            await asyncio.sleep(_MIN_INTERVAL_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_at):
                    await self._waker.wait()

    async def _told_pass(self) -> float:
        """A pass that says in the log why it failed."""
        try:
            return await self._pass()
        except Exception as error:
            logger.error("%s: %s", self._name, error, exc_info=None if isinstance(error, ApiError) else error)
            raise

    async def _pass(self) -> float:
        """One pass; returns when the next one is due at the latest, by the loop's clock."""
        if fresh := _clock() >= self._relist_at:
            await self._list()
        self._forgive()
        # A group that was just made has its workers made at once: what one round leads to, the next one sees.
        tried: set[Subject] = set()
        while True:
            todo = self._plan()
            if todo.bereaved and not fresh:
                # An owner that is not in the store may only be late: nothing is deleted for it before the API
                # server, asked directly, does not know it either.
                await self._list()
                fresh = True
                todo = self._plan()
            if todo.unsure:
                await self._list_cluster()
                todo = self._plan()
            untried = [action for action in todo.actions if subject(action) not in tried]
            if not untried:
                break
            tried.update(map(subject, untried))
            await self._attempt(untried)
        # Made after the last answer, the plan has the present statuses; only what went wrong may be news to it.
        told = self._failure
        self._explain(todo)
        if self._failure != told:
            todo = self._plan()
        await self._attempt(todo.statuses)
        self._converse(todo)
        due_at = min(self._relist_at, *(trouble.retry_at for trouble in self._troubles.values()), inf)
        if todo.look_again_at is not None:
            due_at = min(due_at, _clock() + (todo.look_again_at - _now()).total_seconds())
        return due_at

    def _converse(self, todo: Plan) -> None:
        """Have the scheduler asked and told what the plan says; what it answers wakes this reconciler."""
        resource = self._store.observe(self.key).cluster
        if resource is None or not (todo.questions or todo.retirements):
            self._conversation.leave_off()
            return
        cluster = parse_cluster(resource.body)
        endpoint = Endpoint(builders.dashboard_address(cluster), builders.scheduler_address(cluster))
        self._conversation.go_on(endpoint, todo.questions, todo.retirements)

    async def _attempt(self, actions: Sequence[Action]) -> None:
        """Carry out what is not held back because it was refused a short while ago."""
        now = _clock()
        due = [
            action
            for action in actions
            if (held := self._troubles.get(subject(action))) is None or held.retry_at <= now
        ]
        refused = await carry_out(self._client, self._store, self.key, due, _now())
        errors = {subject(action): error for action, error in refused}
        for refusal in errors.values():
            RECONCILE_ERRORS.labels(refusal.reason or "ApiError").inc()
        unanswered = {_suffix(action) for action, error in refused if error.code == 0}
        asked = {_suffix(action) for action in due}
        self._unanswered = [*(set(self._unanswered) - asked), *(unanswered - {""})]
        for about in {subject(action) for action in due}:
            error = errors.get(about)
            if error is None:
                self._troubles.pop(about, None)
                continue
            times = self._troubles[about].times + 1 if about in self._troubles else 1
            pause_seconds = _pause_seconds(times, transient=error.transient)
            self._troubles[about] = _Trouble(error, times, _clock() + pause_seconds, pause_seconds)
            # What a refused or unanswered request left behind, only the API server knows.
            self._relist_at = _clock()

    def _forgive(self) -> None:
        """Try everything at once when something else is asked for: it may be the remedy."""
        observed = self._store.observe(self.key)
        resources = (observed.job, observed.cluster, *observed.groups)
        asked = {(resource.uid, resource.generation) for resource in resources if resource is not None}
        if asked != self._asked:
            for trouble in self._troubles.values():
                trouble.retry_at = _clock()
        self._asked = asked

    def _explain(self, present: Plan) -> None:
        """Turn what was refused into the condition that the cluster shows."""
        wanted = {subject(action) for action in (*present.actions, *present.statuses)}
        self._troubles = {
            about: trouble
            for about, trouble in self._troubles.items()
            if about in wanted or self._is_paused(about, trouble)
        }
        # That a status could not be written is no news once it can be.
        errors = [
            trouble.error
            for about, trouble in self._troubles.items()
            if not _is_status(about)
            and not trouble.error.is_farewell
            and (not trouble.error.transient or trouble.times > _TOLERATED_TRANSIENT_ERRORS)
        ]
        if not errors:
            self._failure = None
            return
        observed = self._store.observe(self.key)
        known, failure = self._failure, _failure_condition(errors, observed.cluster or observed.job)
        if known and (known.reason, known.observed_generation) == (failure.reason, failure.observed_generation):
            return  # the same trouble, even where the message names another Pod each time
        self._failure = failure
        logger.warning("%s: %s: %s", self._name, failure.reason, failure.message)

    def _is_paused(self, about: Subject, trouble: _Trouble) -> bool:
        """Whether a refused deletion is only waiting, for the scheduler to be asked once more before it."""
        resource, verb, uid = about
        waiting = _clock() < trouble.retry_at + trouble.pause_seconds
        return verb == "delete" and waiting and self._store.knows(self.key, resource, uid)

    def _plan(self) -> Plan:
        observed = self._store.observe(self.key)
        clock, now = _clock(), _now()
        self._heartbeat.notice(_sign_of_life(observed.cluster), clock)
        self._conversation.with_partner(observed.cluster.uid if observed.cluster else None)
        self._conversation.forget_all_but(text for pod in observed.pods for text in (pod.uid, pod.name, pod.ip))
        present = {naming.worker_suffix(pod.name) for pod in observed.pods}
        # First the names of workers that a request without an answer may yet create: asking for those again cannot
        # make a second one.
        self._unanswered = [suffix for suffix in self._unanswered if suffix not in present]
        suffixes = chain(self._unanswered, iter(partial(secrets.token_hex, 5), ""))
        return plan(
            replace(
                observed,
                scheduler_report=self._conversation.report,
                silence=self._heartbeat.silence(clock, now),
            ),
            now,
            new_suffix=suffixes.__next__,
            failure=self._failure,
            allocation=self._allocation,
        )

    async def _list(self) -> None:
        """List everything afresh: children first, so that an owner missing from a later list is truly gone."""
        labelled = f"{naming.CLUSTER_NAME_LABEL}={self.key.cluster}"
        await self._list_resource(PODS, label_selector=labelled)
        await self._list_resource(SERVICES, label_selector=labelled)
        await self._list_resource(DEPLOYMENTS, label_selector=labelled)
        for resource in (DASK_WORKER_GROUPS, DASK_AUTOSCALERS):
            try:
                await self._list_resource(resource, field_selector=f"spec.cluster={self.key.cluster}")
            except ApiError as error:
                if error.code != _BAD_REQUEST:
                    raise
                # The definitions of an earlier release cannot be asked by that field.
                await self._list_resource(resource)
        await self._list_cluster()
        await self._list_resource(DASK_JOBS, field_selector=f"metadata.name={self.key.cluster}")
        self._relist_at = inf

    async def _list_cluster(self) -> None:
        asked_at = _clock()
        await self._list_resource(DASK_CLUSTERS, field_selector=f"metadata.name={self.key.cluster}")
        self._heartbeat.checked(asked_at)

    async def _list_resource(
        self, resource: Resource, *, label_selector: str | None = None, field_selector: str | None = None
    ) -> None:
        items, version = await self._client.list(
            resource, self.key.namespace, label_selector=label_selector, field_selector=field_selector
        )
        self._store.replace(self.key, resource, items, version=version)

    @property
    def _name(self) -> str:
        return f"{self.key.namespace}/{self.key.cluster}"


def _sign_of_life(cluster: CustomResource | None) -> object:
    """What changes when a client lives; a timeout that is edited counts from then on."""
    if cluster is None:
        return None
    annotations = cluster.body["metadata"].get("annotations") or {}
    timeout = (cluster.body.get("spec") or {}).get("clientTimeout")
    return (cluster.uid, annotations.get(naming.CLIENT_SEEN_ANNOTATION), timeout)


def _is_status(about: Subject) -> bool:
    return about[1] == "patch status"


def _failure_condition(errors: Sequence[ApiError], resource: CustomResource | None) -> Condition:
    """What went wrong; of several errors, one that will not go away by itself."""
    error = min(errors, key=lambda error: error.transient)
    reason = error.reason or "ApiError"
    if error.code == _FORBIDDEN and "exceeded quota" in error.message:
        reason = "QuotaExceeded"
    return Condition(
        "Degraded", "True", reason, error.message, resource.generation if resource else 0, event="Warning"
    )


def _pause_seconds(times: int, *, transient: bool) -> float:
    longest = _MAX_TRANSIENT_BACKOFF_SECONDS if transient else _MAX_BACKOFF_SECONDS
    return backoff_seconds(times, first=_FIRST_BACKOFF_SECONDS, longest=longest)


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _now() -> datetime:
    return datetime.now(UTC)


def _suffix(action: Action) -> str:
    """What makes the name of the worker unique that an action creates; empty for any other action."""
    if isinstance(action, Create) and naming.WORKER_GROUP_NAME_LABEL in action.body["metadata"]["labels"]:
        return naming.worker_suffix(action.body["metadata"]["name"])
    return ""
