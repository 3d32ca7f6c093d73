"""Carry out a plan: send its requests, many at once, and take note of the answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

from ..kube import ApiError, Client, Object
from ..metrics import JOB_DURATION, JOB_RESULTS, WORKER_RETIREMENTS
from ..resources import DASK_JOBS
from ..spec import Body
from .actions import Action, Create, Delete, DeleteCollection, Event, Patch
from .events import event_body
from .observed import Key, Store, parse_time

logger = logging.getLogger(__name__)

# See kube.MAX_CONNECTIONS: more at once make nothing faster.
_CONCURRENCY = 24

_NOT_FOUND = 404


async def carry_out(
    client: Client, store: Store, key: Key, actions: Sequence[Action], now: datetime
) -> list[tuple[Action, ApiError]]:
    """Send the requests of a plan and take note in the store of what the API server answers.

    Returns:
        What was refused, and why. What is achieved already (a deleted object is gone) is not an error.
    """
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def guarded(action: Action) -> None:
        async with slots:
            await _send(client, store, key, action)
        if not isinstance(action, DeleteCollection):
            await _tell(client, key, action.events, now)

    # All of them end before anything is raised: a request that goes on unseen would be made a second time.
    results = await asyncio.gather(*map(guarded, actions), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, ApiError):
            raise result
    return [(action, error) for action, error in zip(actions, results, strict=True) if isinstance(error, ApiError)]


async def _send(client: Client, store: Store, key: Key, action: Action) -> None:
    match action:
        case Create(resource, body, _):
            store.put(resource, await client.create(resource, key.namespace, body))
        case Patch(resource, name, patch, subresource, _):
            answer = await client.patch(resource, key.namespace, name, patch, subresource=subresource)
            store.put(resource, answer)
            if resource == DASK_JOBS and isinstance(patch, dict):
                _measure_job(patch.get("status") or {}, answer["status"])
        case Delete():
            await _delete(client, store, key, action)
            if action.outcome:
                WORKER_RETIREMENTS.labels(action.outcome).inc()
        case DeleteCollection(resource, selector):
            await client.delete_collection(resource, key.namespace, label_selector=selector)


def _measure_job(changes: Body, status: Body) -> None:
    """Note how long a job took that has just ended."""
    result = changes.get("jobStatus")
    if result in JOB_RESULTS and status.get("startTime") and status.get("endTime"):
        took = parse_time(status["endTime"]) - parse_time(status["startTime"])
        JOB_DURATION.labels(result).observe(took.total_seconds())


async def _tell(client: Client, key: Key, events: Iterable[Event], now: datetime) -> None:
    """Write the Events of what was done; one that is lost takes nothing with it."""
    for event in events:
        try:
            await client.create_event(key.namespace, event_body(event, now))
        except ApiError as error:
            if not error.is_farewell:
                logger.warning("%s/%s: no event could be written: %s", key.namespace, key.cluster, error.message)


async def _delete(client: Client, store: Store, key: Key, action: Delete) -> None:
    resource, uid = action.resource, action.uid
    try:
        answer: Object = await client.delete(resource, key.namespace, action.name, uid=uid, version=action.version)
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise
        store.remove_uid(key, resource, uid)
        return
    if answer.get("kind") == "Status":
        store.remove_uid(key, resource, uid)
    else:
        store.put(resource, answer)
