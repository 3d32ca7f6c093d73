"""The DaskCluster: created, or found, as ``create_mode`` says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dask_kubernetes.exceptions import (
    ApiUnreachableError,
    ClusterExistsError,
    ClusterNotFoundError,
    ConflictError,
    DaskKubernetesError,
    NotFoundError,
    NotInstalledError,
    ResourceTimeoutError,
)

from ..api import DASK_CLUSTERS, Api, Object
from ..arguments import CreateMode
from .labels import is_leaving
from .observation import gone, within
from .security import OwnSecret

logger = logging.getLogger(__name__)


class Creation:
    """One DaskCluster that is wanted, and what became of it.

    Attributes:
        created: whether it was created here.
        found: the DaskCluster as it was created or found; None before.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        manifest: Mapping[str, Any],
        secret: OwnSecret | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            api: the API server.
            namespace: where it is to be.
            manifest: what it is to be.
            secret: what it cannot be without; if that cannot be created, it is deleted again.
        """
        self._api, self._namespace, self._manifest, self._secret = api, namespace, manifest, secret
        self._name = str(manifest["metadata"]["name"])
        self.created = False
        self.found: Object | None = None

    async def create_or_connect(self, mode: CreateMode, timeout_seconds: float) -> Object:
        """The DaskCluster, created if there is none and that is allowed.

        Args:
            mode: what is allowed.
            timeout_seconds: how long one of the same name may take to go.

        Raises:
            ClusterExistsError: there is one, and it was to be created.
            ClusterNotFoundError: there is none, and none was to be created.
            ResourceTimeoutError: one of the same name is on its way out, and does not go.
            ApiError: the API server refuses.
        """
        found = await self._find()
        if found is not None and is_leaving(found):
            if mode is not CreateMode.CONNECT_ONLY:
                await self._wait_until_gone(found["metadata"]["uid"], timeout_seconds)
            found = None
        if found is None and mode is CreateMode.CONNECT_ONLY:
            raise ClusterNotFoundError(
                f"there is no cluster {self._name} in the namespace {self._namespace}: see `kubectl get "
                "daskclusters`, or use create_mode=CreateMode.CREATE_OR_CONNECT"
            )
        if found is None:
            found = await self._create()
        if mode is CreateMode.CREATE_ONLY and not self.created:
            raise ClusterExistsError(
                f"there is a cluster {self._name} in the namespace {self._namespace} already: choose another name, "
                "or use create_mode=CreateMode.CREATE_OR_CONNECT"
            )
        self.found = found
        return found

    async def _find(self) -> Object | None:
        try:
            return await self._api.get(DASK_CLUSTERS, self._name, self._namespace)
        except NotInstalledError:
            raise
        except NotFoundError:
            return None

    async def _wait_until_gone(self, uid: str, timeout_seconds: float) -> None:
        logger.info("A cluster %s is being deleted; the new one is created when that is done", self._name)
        if not await within(timeout_seconds, gone(self._api, self._namespace, self._name, uid=uid)):
            raise ResourceTimeoutError(
                f"the cluster {self._name} is being deleted, and is still there after {timeout_seconds:g} s: see its "
                "metadata.finalizers, or choose another name"
            )

    async def _create(self) -> Object:
        """Create it; the one that is there if somebody else did at the same time."""
        if self._secret is not None:
            await self._secret.prepare(self._name)
        creating = asyncio.ensure_future(self._api.create(DASK_CLUSTERS, self._manifest, self._namespace))
        try:
            made = await asyncio.shield(creating)
        except asyncio.CancelledError:
            # The request is on its way: what it makes has to be known to be deleted.
            with suppress(DaskKubernetesError):
                self.found, self.created = await creating, True
                await self._take_back(self.found)
            raise
        except ConflictError:
            return await self._api.get(DASK_CLUSTERS, self._name, self._namespace)
        except ApiUnreachableError:
            # There was none a moment ago, so that one which is there now is the one that was asked for.
            there = await self._find()
            if there is None:
                raise
            made = there
        self.found, self.created = made, True
        if self._secret is not None:
            try:
                await self._secret.create(made)
            except BaseException:
                with suppress(DaskKubernetesError):
                    await self._take_back(made)
                raise
        return made

    async def _take_back(self, made: Object) -> None:
        """Delete what lacks its Secret, also where it is to be kept: it could never start."""
        if self._secret is not None:
            await self._api.delete(DASK_CLUSTERS, self._name, self._namespace, uid=made["metadata"]["uid"])
