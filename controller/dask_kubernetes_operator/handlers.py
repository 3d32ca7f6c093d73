"""kopf's side: which object changed, and a word to the reconciler.

Nothing is stored on the objects themselves: no finalizer, no annotation. There is no index either: while kopf fills
one, every object waits for every other, which for some thousands of them takes minutes.

`kopf run --module` loads this module, and with it the settings and the plugins.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import kopf

from . import logs, naming
from .controller import CHILDREN, WATCH_SECONDS, WATCHED, Controller, StartError
from .kube import CONNECT_TIMEOUT_SECONDS, REQUEST_TIMEOUT_SECONDS, Credentials, new_session
from .login import credentials as _credentials
from .plugins import load_plugins
from .resources import Resource
from .settings import SettingsError, read_settings

_RESOURCES: Mapping[tuple[str, str], Resource] = {(resource.group, resource.plural): resource for resource in WATCHED}

# A list of thousands of Pods is read and parsed in pieces.
_LIST_CHUNK = 500
# A bookmark comes every minute, or the connection is dead.
_INACTIVITY_SECONDS = 70
# kopf keeps an object in memory, as it came, for as long as it waits for more events of it.
_QUEUE_IDLE_SECONDS = 0.2
# After these kopf gives watches and queues up, and what still runs is ended with the process.
_QUEUE_EXIT_SECONDS = 1.0
_EXIT_SECONDS = 20.0
_LAST_SECONDS = 5.0
_PLUGIN_FINALIZER = "kubernetes.dask.org/plugin"
# Credentials that were refused are not tried again at once.
_LOGIN_PAUSE_SECONDS = 5.0

try:
    SETTINGS = read_settings()
except SettingsError as error:
    sys.exit(f"The operator cannot start: {error}")
logs.configure(SETTINGS)


class _Backoffs:
    """Seconds between attempts to list and watch; without end, because an API server that is away comes back."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1.0, 2.0, 4.0, 8.0)
        while True:
            yield 15.0


class _NoComparison(kopf.DiffBaseStorage):
    """Keeps nothing of an object to compare it with: only handlers of plugins ask what has changed.

    kopf copies every object of every event for them, asked or not, which takes it longer than all the rest.
    """

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:  # noqa: ARG002
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing is kept."""


@kopf.on.login()
async def login(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> kopf.AiohttpSession:
    """A session with the credentials of the pod's ServiceAccount, or of whoever runs the operator by hand.

    Asked for again when the API server refuses them.
    """
    credentials = _credentials(settings)
    if credentials == memo.get("credentials"):
        await asyncio.sleep(_LOGIN_PAUSE_SECONDS)
        credentials = _credentials(settings)
    memo.credentials = credentials
    session = new_session(credentials, _controller(memo).watches.trace())
    session.headers.update(credentials.as_http_headers())
    return kopf.AiohttpSession(
        server=credentials.server,
        default_namespace=credentials.default_namespace,
        expiration=credentials.expiration,
        aiohttp_session=session,
    )


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Settings of kopf, and all that runs beside it."""
    configure(settings)

    async def log_in() -> Credentials:
        return _credentials(settings)

    memo.controller = controller = Controller(SETTINGS, PLUGINS, log_in, give_up=_give_up)
    try:
        await controller.start()
    except StartError as error:
        sys.exit(f"The operator cannot start: {error}")  # kopf would say it in a hundred lines


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """End what runs beside kopf; its watches have ended by now, or never will.

    They do not when the API server knows the definitions no more: then kopf waits for another login for ever. Its
    last resort is to kill itself, of which the first process of a container does not die.
    """
    await _controller(memo).stop()
    end = threading.Timer(_LAST_SECONDS, _give_up)
    end.daemon = True
    end.start()


@kopf.on.probe(id="alive")
async def probe(memo: kopf.Memo, **_: Any) -> str:
    """The answer of kopf's own ``--liveness``, for those who start it with one: that of /healthz."""
    ailments = list(_controller(memo).ailments())
    if ailments:
        raise kopf.PermanentError("; ".join(ailments))
    return "ok"


async def changed(event: kopf.RawEvent, resource: kopf.Resource, memo: kopf.Memo, **_: Any) -> None:
    """Have the cluster reconciled whose object changed."""
    _controller(memo).reconciler.changed(
        _RESOURCES[resource.group, resource.plural],
        cast(Mapping[str, Any], event["object"]),
        event=event["type"],
    )


for _resource in WATCHED:
    _watched = (_resource.group, _resource.version, _resource.plural)
    kopf.on.event(*_watched, id=f"changed-{_resource.plural}")(changed)

PLUGINS = load_plugins()


def configure(settings: kopf.OperatorSettings) -> None:
    """Set kopf up: filtered watches that cannot hang unnoticed, and nothing that writes to objects."""
    with_plugins = any(plugin.loaded for plugin in PLUGINS)
    settings.peering.standalone = True
    settings.posting.enabled = with_plugins
    settings.posting.loggers = False
    # Only plugins can need one. It is not kopf's own, which another operator may have left behind: taking that away
    # is for the leader alone.
    settings.persistence.finalizer = _PLUGIN_FINALIZER
    # What is there to find out about the cluster is found out before kopf starts, and takes fewer rights; only
    # namespaces that are named by a pattern come and go.
    settings.scanning.disabled = SETTINGS.namespaces is None or SETTINGS.exact_namespaces is not None
    settings.networking.request_timeout = REQUEST_TIMEOUT_SECONDS
    settings.networking.connect_timeout = CONNECT_TIMEOUT_SECONDS
    settings.networking.error_backoffs = _Backoffs()
    settings.watching.connect_timeout = CONNECT_TIMEOUT_SECONDS
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.client_timeout = WATCH_SECONDS + REQUEST_TIMEOUT_SECONDS
    settings.watching.inactivity_timeout = _INACTIVITY_SECONDS
    settings.watching.chunk_size = _LIST_CHUNK
    for resource in CHILDREN:
        key = (resource.group, resource.version, resource.plural)
        settings.watching.label_selectors[key] = naming.CLUSTER_NAME_LABEL
    settings.queueing.idle_timeout = _QUEUE_IDLE_SECONDS
    settings.queueing.exit_timeout = _QUEUE_EXIT_SECONDS
    settings.process.ultimate_exiting_timeout = _EXIT_SECONDS
    objects = logging.getLogger(logs.OBJECTS_LOGGER)
    if with_plugins:
        objects.addFilter(logs.SilenceFilter(frozenset(f"changed-{resource.plural}" for resource in WATCHED)))
    else:
        objects.setLevel(logging.WARNING)
        settings.persistence.diffbase_storage = _NoComparison()


def _controller(memo: kopf.Memo) -> Controller:
    return cast(Controller, memo.controller)


def _give_up() -> None:
    """End as a killed process does: within the time in which nobody else leads yet."""
    os._exit(1)
