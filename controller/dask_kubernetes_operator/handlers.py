"""kopf's side: which object changed, whose cluster that is, and a word to its reconciler.

Indexes are filled before any handler runs, with everything there is at the start; that makes them the place to
take note of objects, and the handlers the place to act on them. Nothing is stored on the objects themselves: no
finalizer, no annotation.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

import kopf

from . import naming
from .kube import Client, Credentials
from .reconcile.loop import Reconciler
from .resources import DASK_CLUSTERS, DASK_WORKER_GROUPS, DEPLOYMENTS, PODS, SERVICES, Resource

_RESOURCES: Mapping[tuple[str, str], Resource] = {
    (resource.group, resource.plural): resource
    for resource in (DASK_CLUSTERS, DASK_WORKER_GROUPS, DEPLOYMENTS, SERVICES, PODS)
}
_CHILD_SELECTORS = {
    DEPLOYMENTS: naming.CLUSTER_NAME_LABEL,
    SERVICES: naming.CLUSTER_NAME_LABEL,
    PODS: naming.WORKER_GROUP_NAME_LABEL,
}


@kopf.on.login()
async def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
    """The pod's ServiceAccount, or else the kubeconfig of whoever runs the controller by hand."""
    return _credentials(settings)


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Settings of kopf, and the reconciler."""
    for chatter in ("aiohttp.access", "kopf.activities", "kopf.objects"):
        # A line for every probe and every event would bury what the reconciler says.
        logging.getLogger(chatter).setLevel(logging.WARNING)
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.networking.request_timeout = 30
    settings.watching.connect_timeout = 10
    for resource, selector in _CHILD_SELECTORS.items():
        settings.watching.label_selectors[resource.group, resource.version, resource.plural] = selector

    async def log_in() -> Credentials:
        credentials = _credentials(settings)
        if credentials is None:
            raise kopf.LoginError("no ServiceAccount and no kubeconfig to reach the API server with")
        return credentials

    memo.reconciler = Reconciler(Client(log_in))


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """End the reconciler's work."""
    reconciler = memo.get("reconciler")
    if reconciler is not None:  # there is none when the start failed
        await reconciler.stop()


async def note(body: kopf.Body, resource: kopf.Resource, memo: kopf.Memo, **_: Any) -> None:
    """Take note of an object, also of those that are there at the start."""
    _reconciler(memo).note(_RESOURCES[resource.group, resource.plural], dict(body))


async def changed(event: kopf.RawEvent, resource: kopf.Resource, memo: kopf.Memo, **_: Any) -> None:
    """Have the cluster reconciled whose object changed."""
    _reconciler(memo).changed(
        _RESOURCES[resource.group, resource.plural],
        cast(Mapping[str, Any], event["object"]),
        event=event["type"],
    )


for _resource in _RESOURCES.values():
    _watched = (_resource.group, _resource.version, _resource.plural)
    kopf.index(*_watched, id=f"note-{_resource.plural}")(note)
    kopf.on.event(*_watched, id=f"changed-{_resource.plural}")(changed)


def _reconciler(memo: kopf.Memo) -> Reconciler:
    return cast(Reconciler, memo.reconciler)


def _credentials(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
