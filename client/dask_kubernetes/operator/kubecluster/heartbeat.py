"""The sign of life of a client, without which the operator deletes a cluster that has a ``clientTimeout``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dask_kubernetes.exceptions import DaskKubernetesError

from ..api import DASK_CLUSTERS, Api
from .labels import CLIENT_SEEN

logger = logging.getLogger(__name__)

_SIGNS_PER_TIMEOUT = 4
_MIN_INTERVAL_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 1.0
# One that hangs must not take the time of those after it.
_MIN_ATTEMPT_SECONDS = 2.0


def timeout_seconds_of(cluster: Mapping[str, Any]) -> int:
    """Seconds for which a DaskCluster outlives its clients; 0 for ever."""
    return int(cluster["spec"].get("clientTimeout") or 0)


class Heartbeat:
    """Renews the annotation of a DaskCluster that says when a client was last seen, until it is stopped.

    It is an annotation because who makes clusters may patch them: a Lease would take a right to ``leases`` of
    coordination.k8s.io, which users need not have. The operator only looks whether it changes, so that clocks may
    differ; of several clients any one keeps the cluster.
    """

    def __init__(self, api: Api, namespace: str, cluster: Mapping[str, Any]) -> None:
        """Nothing is sent yet.

        Args:
            api: the API server.
            namespace: where the cluster is.
            cluster: the DaskCluster; without a ``clientTimeout`` nothing is ever sent.
        """
        self._api, self._namespace = api, namespace
        self._name = str(cluster["metadata"]["name"])
        self._timeout_seconds = timeout_seconds_of(cluster)
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        if self._timeout_seconds:
            self._beating = asyncio.create_task(self._beat(), name=f"sign of life for {self._name}")

    async def stop(self) -> None:
        """End it; whatever is under way is not waited for."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    @property
    def _interval_seconds(self) -> float:
        return max(_MIN_INTERVAL_SECONDS, self._timeout_seconds / _SIGNS_PER_TIMEOUT)

    async def _beat(self) -> None:
        failures = 0
        while True:
            pause_seconds = self._interval_seconds
            try:
                async with asyncio.timeout(max(pause_seconds, _MIN_ATTEMPT_SECONDS)):
                    await self._give_sign()
            except Exception as error:  # whatever it is, the next one may arrive
                if not failures:
                    self._warn(error)
                pause_seconds = min(pause_seconds, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 30))
                failures += 1
            else:
                if failures:
                    logger.info("The operator is told again that a client of %s lives", self._name)
                failures = 0
            await asyncio.sleep(pause_seconds)

    async def _give_sign(self) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        patch = {"metadata": {"annotations": {CLIENT_SEEN: now}}}
        cluster = await self._api.patch(DASK_CLUSTERS, self._name, patch, self._namespace)
        # It may be edited; without one there is none to keep, until there is one again.
        self._timeout_seconds = timeout_seconds_of(cluster) or self._timeout_seconds

    def _warn(self, error: Exception) -> None:
        what = error if isinstance(error, DaskKubernetesError) else repr(error)
        logger.warning(
            "No sign of life for the cluster %s: %s. It is tried again; after %s s without one (client_timeout) the "
            "operator deletes the cluster",
            self._name,
            what,
            self._timeout_seconds,
        )
