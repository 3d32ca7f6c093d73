"""Where a scheduler can be reached from here: by its Service, by a node, a load balancer, or forwarded ports."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from distributed.comm.core import connect

from dask_kubernetes.exceptions import ForbiddenError, ResourceTimeoutError, SchedulerConnectionError

from ..api import NODES, PODS, SERVICES, Api, Object, PortForward, check_may_forward
from .diagnosis import is_ready, is_running
from .labels import (
    DASHBOARD_PORT,
    DASHBOARD_PORT_NAME,
    SCHEDULER_PORT,
    SCHEDULER_PORT_NAME,
    is_leaving,
    of_scheduler,
    scheduler_service,
)

logger = logging.getLogger(__name__)

# A node that does not answer this soon is behind a firewall.
PROBE_SECONDS = 3.0
_ATTEMPT_SECONDS = 10.0
_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.5)
_POLL_SECONDS = 1.0
_DEFAULT_PORTS = {SCHEDULER_PORT_NAME: SCHEDULER_PORT, DASHBOARD_PORT_NAME: DASHBOARD_PORT}


@dataclass(frozen=True)
class Wanted:
    """What a user said about the way.

    Attributes:
        forward: whether ports of a ClusterIP Service are forwarded; None: unless this is inside the cluster.
        dashboard_port: the local port of the dashboard; None for any that is free.
        protocol: ``tcp`` or ``tls``.
        connection_args: of distributed's `connect`.
        timeout_seconds: how long a load balancer may take to get its address.
    """

    forward: bool | None
    dashboard_port: int | None
    protocol: str
    connection_args: Mapping[str, Any]
    timeout_seconds: float


@dataclass(frozen=True)
class Way:
    """A way to a scheduler.

    Attributes:
        scheduler: address, such as ``tcp://127.0.0.1:40123``.
        dashboard_host: host of the dashboard.
        dashboard_port: its port.
    """

    scheduler: str
    dashboard_host: str
    dashboard_port: int


async def find_way(api: Api, namespace: str, name: str, wanted: Wanted, open_ports: AsyncExitStack) -> Way:
    """Find a way to the scheduler of a cluster, and see that it answers there.

    Args:
        api: the API server.
        namespace: where the cluster is.
        name: its name.
        wanted: what the user said.
        open_ports: closes the forwarded ports.

    Raises:
        ResourceTimeoutError: the Service did not get an address in time.
        ApiError: the API server refuses.
    """
    service = await api.get(SERVICES, scheduler_service(name), namespace)
    kind = (service.get("spec") or {}).get("type") or "ClusterIP"
    if api.in_cluster and wanted.forward is not True:
        return await _direct(_service_host(name, namespace), service, "port", wanted)
    if wanted.forward is False and kind == "ClusterIP":
        return await _direct(_service_host(name, namespace), service, "port", wanted)
    if kind == "LoadBalancer" and wanted.forward is not True:
        host = await _load_balancer(api, namespace, name, wanted.timeout_seconds)
        return await _direct(host, service, "port", wanted)
    if kind == "NodePort" and wanted.forward is not True:
        way = await _by_node(api, service, wanted)
        if way is not None:
            return way
        logger.info("No node of the cluster answers from here: ports are forwarded instead")
    return await _forwarded(api, namespace, name, service, wanted, open_ports)


async def answers(address: str, connection_args: Mapping[str, Any], *, patience_seconds: float | None = None) -> None:
    """Try until a scheduler answers at an address.

    Raises:
        SchedulerConnectionError: it did not, for so long.
    """
    began, pauses = time.monotonic(), iter(_PAUSES_SECONDS)
    while True:
        attempt_seconds = min(_ATTEMPT_SECONDS, patience_seconds or _ATTEMPT_SECONDS)
        try:
            comm = await connect(address, timeout=attempt_seconds, **connection_args)
        except Exception as error:  # what answers may be something else, a proxy before the Service is known to it
            if patience_seconds is not None and time.monotonic() > began + patience_seconds:
                raise SchedulerConnectionError(f"no scheduler answers at {address}: {error}") from error
            logger.debug("No scheduler at %s yet: %s", address, error)
        else:
            await comm.close()
            return
        await asyncio.sleep(next(pauses, _PAUSES_SECONDS[-1]))


async def scheduler_pod(api: Api, namespace: str, name: str) -> str:
    """The name of the Pod in which a cluster's scheduler runs.

    Raises:
        SchedulerConnectionError: there is none now.
    """
    pods = [pod for pod in await api.list(PODS, namespace, labels=of_scheduler(name)) if not is_leaving(pod)]
    running = [pod for pod in pods if is_running(pod)]
    if not running:
        raise SchedulerConnectionError(f"the scheduler of {name} does not run")
    best = max(running, key=lambda pod: (is_ready(pod), pod["metadata"]["creationTimestamp"]))
    return str(best["metadata"]["name"])


async def _direct(host: str, service: Object, field: str, wanted: Wanted) -> Way:
    address = f"{wanted.protocol}://{_in_url(host)}:{_port(service, SCHEDULER_PORT_NAME, field)}"
    await answers(address, wanted.connection_args)
    return Way(address, host, _port(service, DASHBOARD_PORT_NAME, field))


async def _by_node(api: Api, service: Object, wanted: Wanted) -> Way | None:
    try:
        nodes = await api.list(NODES)
    except ForbiddenError:
        logger.info("Nodes may not be listed, so that no address of one is known")
        return None
    for host in _node_addresses(nodes):
        address = f"{wanted.protocol}://{_in_url(host)}:{_port(service, SCHEDULER_PORT_NAME, 'nodePort')}"
        try:
            await answers(address, wanted.connection_args, patience_seconds=PROBE_SECONDS)
        except SchedulerConnectionError as error:
            logger.debug("%s", error)
            continue
        return Way(address, host, _port(service, DASHBOARD_PORT_NAME, "nodePort"))
    return None


def _node_addresses(nodes: list[Object], most: int = 2) -> list[str]:
    """A few addresses of nodes that are ready, those for the outside first."""
    found: dict[str, None] = {}
    ready = [node for node in nodes if is_ready(node)]
    for kind in ("ExternalIP", "ExternalDNS", "InternalIP"):
        for node in ready:
            for address in (node.get("status") or {}).get("addresses") or ():
                if address["type"] == kind:
                    found.setdefault(address["address"])
    return list(found)[:most]


async def _load_balancer(api: Api, namespace: str, name: str, timeout_seconds: float) -> str:
    deadline = time.monotonic() + timeout_seconds
    while True:
        service = await api.get(SERVICES, scheduler_service(name), namespace)
        for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if host := ingress.get("ip") or ingress.get("hostname"):
                return str(host)
        if time.monotonic() > deadline:
            raise ResourceTimeoutError(
                f"the load balancer of the Service {scheduler_service(name)} got no address within "
                f"{timeout_seconds:g} s: raise resource_timeout, or leave scheduler_service_type out"
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _forwarded(
    api: Api, namespace: str, name: str, service: Object, wanted: Wanted, open_ports: AsyncExitStack
) -> Way:
    async def find_pod() -> str:
        return await scheduler_pod(api, namespace, name)

    pod = await api.get(PODS, await find_pod(), namespace)
    ports = [
        (_target(service, pod, SCHEDULER_PORT_NAME), 0),
        (_target(service, pod, DASHBOARD_PORT_NAME), wanted.dashboard_port or 0),
    ]
    await check_may_forward(api, pod["metadata"]["name"], ports[0][0], namespace)
    scheduler, dashboard = [
        await open_ports.enter_async_context(PortForward(api, namespace, find_pod, remote, local))
        for remote, local in ports
    ]
    address = f"{wanted.protocol}://127.0.0.1:{scheduler.port}"
    await answers(address, wanted.connection_args)
    return Way(address, "127.0.0.1", dashboard.port)


def _service_host(name: str, namespace: str) -> str:
    return f"{scheduler_service(name)}.{namespace}.svc"


def _port(service: Object, name: str, field: str) -> int:
    """The port of a Service, or of the nodes, that leads to what has a name in Dask."""
    default = _DEFAULT_PORTS[name]
    return int(_entry(service, name).get(field, default))


def _target(service: Object, pod: Object, name: str) -> int:
    """The port of the Pod that a port of the Service leads to."""
    port = _entry(service, name)
    target = port.get("targetPort", port.get("port", name))
    if isinstance(target, int):
        return target
    for container in pod["spec"].get("containers") or ():
        for declared in container.get("ports") or ():
            if declared.get("name") == target:
                return int(declared["containerPort"])
    return _DEFAULT_PORTS[name]


def _entry(service: Object, name: str) -> Object:
    """A port of a Service: the one of that name, or of its usual number, since Flyte calls one "dashboard"."""
    named = [port for port in _ports(service) if port.get("name") == name]
    numbered = [port for port in _ports(service) if port.get("port") == _DEFAULT_PORTS[name]]
    return next(iter([*named, *numbered]), {})


def _ports(service: Object) -> list[Object]:
    return (service.get("spec") or {}).get("ports") or []


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
