"""Carry out a plan: send its requests, many at once, and take note of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..kube import ApiError, Client, Object
from .actions import Action, Create, Delete, DeleteCollection, Patch
from .observed import Key, Store

# See kube.MAX_CONNECTIONS: more at once make nothing faster.
_CONCURRENCY = 24

_NOT_FOUND = 404


async def carry_out(
    client: Client, store: Store, key: Key, actions: Sequence[Action]
) -> list[tuple[Action, ApiError]]:
    """Send the requests of a plan and take note in the store of what the API server answers.

    Returns:
        What was refused, and why. What is achieved already (a deleted object is gone) is not an error.
    """
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def guarded(action: Action) -> None:
        async with slots:
            await _send(client, store, key, action)

    # All of them end before anything is raised: a request that goes on unseen would be made a second time.
    results = await asyncio.gather(*map(guarded, actions), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, ApiError):
            raise result
    return [(action, error) for action, error in zip(actions, results, strict=True) if isinstance(error, ApiError)]


async def _send(client: Client, store: Store, key: Key, action: Action) -> None:
    match action:
        case Create(resource, body):
            store.put(resource, await client.create(resource, key.namespace, body))
        case Patch(resource, name, patch, subresource):
            answer = await client.patch(resource, key.namespace, name, patch, subresource=subresource)
            store.put(resource, answer)
        case Delete():
            await _delete(client, store, key, action)
        case DeleteCollection(resource, selector):
            await client.delete_collection(resource, key.namespace, label_selector=selector)


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
