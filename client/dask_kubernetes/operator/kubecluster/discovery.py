"""What ``dask.distributed`` and JupyterLab's extension ask for: the clusters that there are."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from dask_kubernetes.exceptions import DaskKubernetesError, ForbiddenError

if TYPE_CHECKING:
    from ..api import Api

logger = logging.getLogger(__name__)


async def discover() -> AsyncIterator[tuple[str, Callable[..., Any]]]:
    """The clusters of all namespaces, or of the current one where that is all one may see.

    It is the ``dask_cluster_discovery`` entry point: without Kubernetes there are none.

    Yields:
        The name of a cluster, and what makes an object of it.
    """
    from ..api import Api  # takes its time
    from .cluster import KubeCluster

    try:
        async with await Api.connect() as api:
            names = await _names(api)
    except DaskKubernetesError as error:
        logger.debug("No clusters are discovered: %s", error)
        return
    for name in names:
        yield name, KubeCluster


async def _names(api: Api) -> list[str]:
    from ..api import ALL_NAMESPACES, DASK_CLUSTERS

    try:
        clusters = await api.list(DASK_CLUSTERS, ALL_NAMESPACES)
    except ForbiddenError:
        clusters = await api.list(DASK_CLUSTERS)
    return [cluster["metadata"]["name"] for cluster in clusters]
