"""What a process of the operator consists of, kopf aside: how it starts, whether it is well, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta

from . import passes
from .kube import ApiError, Client, Credentials
from .leader import Elector
from .metrics import LEADER, REGISTRY, ClustersCollector
from .plugins import Plugin
from .reconcile.loop import Reconciler
from .reconcile.plan import Allocation
from .resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_JOBS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Resource,
)
from .scheduler import SchedulerClient
from .server import Server
from .settings import Settings
from .spec import API_GROUP, API_VERSION
from .watches import Watches

logger = logging.getLogger(__name__)

CUSTOM_RESOURCES = (DASK_CLUSTERS, DASK_WORKER_GROUPS, DASK_JOBS, DASK_AUTOSCALERS)
CHILDREN = (DEPLOYMENTS, SERVICES, PODS)
WATCHED = (*CUSTOM_RESOURCES, *CHILDREN)
_NAMESPACES = Resource("", "v1", "namespaces", "Namespace")

# How long a watch lasts before it is asked for anew. The shorter, the more requests; the longer, the later it is
# noticed that nobody asks any more.
WATCH_SECONDS = 240
# Beyond WATCH_SECONDS: a list of very many objects from a slow API server, and the longest pause between attempts.
_SILENCE_SECONDS = WATCH_SECONDS + 120.0
# A pass waits for the API server, which is not counted, and for Dask schedulers, which are given up sooner.
_STUCK_SECONDS = 180.0

_FIRST_RETRY_SECONDS = 0.5
_LAST_RETRY_SECONDS = 10.0


class StartError(Exception):
    """The operator cannot start, and trying again will not help."""


class Controller:
    """Everything that runs beside kopf in a process.

    Args:
        settings: what is set.
        plugins: those that are installed.
        log_in: reads the credentials for the API server.
        give_up: ends the process at once; called when plugins may not go on because another replica leads.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: tuple[Plugin, ...],
        log_in: Callable[[], Awaitable[Credentials]],
        *,
        give_up: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._has_plugins = any(plugin.loaded for plugin in plugins)
        self._give_up = give_up
        self._waits_for: list[str] = ["starting"]
        self._leading = asyncio.Event()
        self._elector: Elector | None = None
        if settings.election is not None:
            self._election_client = Client(log_in)
            self._elector = Elector(self._election_client, settings.election)
        self._client = Client(log_in, may_write=self._may_write)
        self.reconciler = Reconciler(
            self._client,
            SchedulerClient(),
            allocation=Allocation(settings.batch_size, timedelta(seconds=settings.batch_delay_seconds)),
            leading=self._elector is None,
        )
        self.watches = Watches(WATCHED, began=self.reconciler.watching, ended=self.reconciler.not_watching)
        self._collector = ClustersCollector(self.reconciler.rows, passes.waiting)
        self._server = Server(alive=self.ailments, ready=self.unready)
        self._campaign: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start serving, and wait for what kopf needs; returns when kopf may begin to watch.

        Raises:
            StartError: the port is taken, or there is no right to what the settings ask for.
        """
        REGISTRY.register(self._collector)
        try:
            await self._serve()
            await self._wait_until_none(self._missing_resources)
            await self._wait_until_none(self._missing_namespaces)
            self._begin_campaign()
            if self._has_plugins:
                await self._wait_to_lead()
            self._waits_for = []
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Finish: reconcile no more, give the lead to another replica, close every connection."""
        if self._campaign is not None:
            self._campaign.cancel()
            await asyncio.gather(self._campaign, return_exceptions=True)
        await self.reconciler.stop()
        if self._elector is not None:
            await self._election_client.close()
        await self._server.stop()
        with suppress(KeyError):
            REGISTRY.unregister(self._collector)

    def ailments(self) -> Iterator[str]:
        """What is wrong that a restart may cure; an API server that is away is not."""
        yield from self.watches.silent(_SILENCE_SECONDS)
        for cluster in passes.stuck(_STUCK_SECONDS):
            yield f"the reconciliation of {cluster} is stuck"
        if self._campaign is not None and self._campaign.done():
            yield "this replica does not take part in leader election any more"

    def unready(self) -> Iterator[str]:
        """What is waited for; one that only stands by is ready."""
        if self._waits_for:
            yield from self._waits_for
            return
        if self._has_plugins and not self._leading.is_set():
            return  # see _wait_to_lead
        if self._by_pattern:
            yield from self.watches.missing((_NAMESPACES,), each=1)
        yield from self.watches.missing(WATCHED, each=self._watches_of_each)
        if not self.reconciler.complete:
            yield "objects are being listed"

    @property
    def _by_pattern(self) -> bool:
        """Whether it has to be found out which namespaces are to be served."""
        return self._settings.namespaces is not None and self._settings.exact_namespaces is None

    @property
    def _watches_of_each(self) -> int:
        """How many watches there are of each kind at least."""
        if self._settings.namespaces is None:
            return 1
        return len(set(self._settings.exact_namespaces or ()))

    def _may_write(self) -> bool:
        return self._elector is None or self._elector.leads

    async def _serve(self) -> None:
        port = self._settings.http_port
        if not port:
            return
        try:
            await self._server.start(port)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise StartError(
                f"DASK_OPERATOR_HTTP_PORT: health and metrics cannot be served on port {port}: {reason}; set it to "
                "another port, or to 0 to serve neither"
            ) from error

    async def _wait_until_none(self, missing: Callable[[], Awaitable[str]]) -> None:
        """Wait until nothing is missing any more, and tell what is."""
        pause_seconds = _FIRST_RETRY_SECONDS
        while problem := await missing():
            if self._waits_for != [problem]:
                logger.warning("waiting: %s", problem)
            self._waits_for = [problem]
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LAST_RETRY_SECONDS)

    async def _missing_resources(self) -> str:
        """The kinds that the API server does not know: kopf would do without them, for good."""
        try:
            served = await self._client.served(API_GROUP, API_VERSION)
        except ApiError as error:
            return f"the API server does not say which kinds it serves: {error.message}"
        missing = [resource.plural for resource in CUSTOM_RESOURCES if resource.plural not in served]
        if not missing:
            return ""
        return f"install the custom resource definitions of {API_GROUP}; not served are {', '.join(missing)}"

    async def _missing_namespaces(self) -> str:
        """Namespaces that are named by a pattern have to be looked for, and there may be no right to."""
        if not self._by_pattern:
            return ""
        try:
            allowed = await self._client.may_list_namespaces()
        except ApiError as error:
            return f"the API server does not list the namespaces: {error.message}"
        if not allowed:
            patterns = ",".join(self._settings.namespaces or ())
            raise StartError(
                f"--namespace={patterns} is a pattern: to find the namespaces that match it the operator needs a "
                'ClusterRole with "list" and "watch" on "namespaces"; grant it, or name each namespace'
            )
        return ""

    def _begin_campaign(self) -> None:
        if self._elector is None:
            LEADER.set(1)
            self._leading.set()
            return
        self._campaign = asyncio.create_task(self._elector.run(self._lead, self._rest), name="leader election")

    async def _wait_to_lead(self) -> None:
        """Handlers of plugins run wherever kopf watches; so that they run once, only the leader's kopf does."""
        self._waits_for = []
        if not self._leading.is_set():
            logger.info("plugins are loaded: this replica begins to watch when it leads")
        await self._leading.wait()

    def _lead(self) -> None:
        self._leading.set()
        self.reconciler.lead()

    async def _rest(self) -> None:
        self._leading.clear()
        await self.reconciler.rest()
        stopping = self._campaign is not None and self._campaign.cancelling()
        if self._has_plugins and not stopping:
            logger.error("another replica may lead now, and handlers of plugins cannot be paused: ending")
            self._give_up()
