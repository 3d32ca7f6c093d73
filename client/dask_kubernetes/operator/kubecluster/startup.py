"""From a DaskCluster that was created to a scheduler that answers, or to the reason why it does not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dask_kubernetes.exceptions import (
    ApiError,
    ClusterNotFoundError,
    DaskKubernetesError,
    OperatorNotRunningError,
    ResourceTimeoutError,
    SchedulerConnectionError,
)

from ..api import Api, Object
from .diagnosis import Problem, describe, is_ready, is_running, is_taken_up, scheduler_problem
from .labels import SCHEDULER, component, is_leaving
from .observation import Observation

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOG_LINES = 20
# What waiting cannot help is told this soon; Kubernetes tries again a few times before.
FINAL_SECONDS = 10.0
# Images take their time. As long as nothing is said to be wrong, this many times resource_timeout is waited.
PATIENCE_FACTOR = 10
_TICK_SECONDS = 0.5


async def scheduler_answers(
    seen: Observation,
    connect: Callable[[], Awaitable[T]],
    *,
    api: Api,
    namespace: str,
    name: str,
    resource_timeout_seconds: float,
    show: Callable[[Observation, Problem | None], None],
) -> T:
    """Wait until the scheduler runs and a connection to it stands.

    Args:
        seen: the cluster.
        connect: makes a connection; called once the scheduler's containers run, and given as much time as it takes.
        api: the API server.
        namespace: where the cluster is.
        name: its name.
        resource_timeout_seconds: how long a problem may last.
        show: told of every change.

    Returns:
        What ``connect`` returned.

    Raises:
        OperatorNotRunningError: nobody has taken the cluster up.
        SchedulerStartupError: its Pod does not run; or one of the exceptions derived from it.
        SchedulerConnectionError: it runs and cannot be reached.
        ResourceTimeoutError: it takes longer than is sensible, and nobody says why.
        ClusterNotFoundError: somebody deleted the cluster meanwhile.
        ApiError: the API server refuses.
    """
    began = time.monotonic()
    trouble = _Trouble(resource_timeout_seconds)
    connecting: asyncio.Task[T] | None = None
    ready_since: float | None = None
    try:
        while True:
            now = time.monotonic()
            if seen.is_complete and seen.cluster is None:
                raise ClusterNotFoundError(f"the DaskCluster {name} was deleted while it started")
            problem = None if seen.cluster is None else scheduler_problem(seen.cluster, seen.pods.values())
            show(seen, problem)
            if connecting is not None and connecting.done():
                return connecting.result()
            if trouble.is_too_much(problem, now):
                assert problem is not None
                raise await _error(api, namespace, problem)
            if connecting is None and any(is_running(pod) for pod in _schedulers(seen)):
                connecting = asyncio.ensure_future(_task(connect))
            # One that is not ready yet may only be slow; one that is ready and does not answer is behind something.
            is_up = any(is_ready(pod) for pod in _schedulers(seen))
            ready_since = (ready_since or now) if is_up else None
            _check_time(seen, name, now - began, resource_timeout_seconds)
            if ready_since is not None and now > ready_since + resource_timeout_seconds:
                raise SchedulerConnectionError(
                    f"the scheduler of {name} is ready, and cannot be reached from here: it did not answer within "
                    f"{resource_timeout_seconds:g} s. See port_forward_cluster_ip and scheduler_service_type"
                )
            others = [] if connecting is None else [connecting]
            await seen.change(*others, at_most_seconds=_TICK_SECONDS)
    finally:
        if connecting is not None and not connecting.done():
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)


def _check_time(seen: Observation, name: str, passed_seconds: float, resource_timeout_seconds: float) -> None:
    if passed_seconds <= resource_timeout_seconds or seen.cluster is None:
        return
    if not is_taken_up(seen.cluster):
        raise OperatorNotRunningError(
            f"no operator took up the DaskCluster {name} within {resource_timeout_seconds:g} s: none is running, or "
            "it does not look after this namespace. Install the operator's chart, or see the log of its Pod"
        )
    if passed_seconds > PATIENCE_FACTOR * resource_timeout_seconds:
        state = ", ".join(f"{pod['metadata']['name']} is {describe(pod)}" for pod in _schedulers(seen)) or "no Pod"
        raise ResourceTimeoutError(
            f"the scheduler of {name} does not run after {passed_seconds:.0f} s: {state}. "
            "If it only needs more time, raise resource_timeout"
        )


def _schedulers(seen: Observation) -> list[Object]:
    return [pod for pod in seen.pods.values() if component(pod) == SCHEDULER and not is_leaving(pod)]


class _Trouble:
    """How long there has been a problem."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._since: float | None = None
        self._told: set[str] = set()

    def is_too_much(self, problem: Problem | None, now: float) -> bool:
        if problem is None:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if problem.reason not in self._told:
            self._told.add(problem.reason)
            logger.warning("The scheduler does not start yet. %s", problem)
        limit = min(FINAL_SECONDS, self._limit_seconds) if problem.is_final else self._limit_seconds
        return now >= self._since + limit


async def _error(api: Api, namespace: str, problem: Problem) -> DaskKubernetesError:
    """The exception for a problem, with the end of the log of what crashed, if that may be read."""
    lines = ""
    if problem.reason == "CrashLoopBackOff":
        try:
            lines = await api.logs(
                problem.pod, namespace, container=problem.container, tail_lines=LOG_LINES, previous=True
            )
        except ApiError as error:
            logger.debug("No log of what crashed: %s", error)
    told = f"the scheduler does not start. {problem}"
    return problem.error(f"{told}\nThe last lines of its log:\n{lines.rstrip()}" if lines.strip() else told)


async def _task(make: Callable[[], Awaitable[T]]) -> T:
    return await make()
