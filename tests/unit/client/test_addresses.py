"""The ways to a scheduler, with a scheduler at the end of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from distributed import Scheduler

from dask_kubernetes.exceptions import ForbiddenError, ResourceTimeoutError, SchedulerConnectionError
from dask_kubernetes.operator.api import Api
from dask_kubernetes.operator.kubecluster import addresses
from dask_kubernetes.operator.kubecluster.addresses import Wanted, find_way, scheduler_pod

from .fake_api import FakeApi, refusal

pytestmark = pytest.mark.unit

WANTED = Wanted(forward=None, dashboard_port=None, protocol="tcp", connection_args={}, timeout_seconds=0.2)
LABELS = {"dask.org/cluster-name": "foo", "dask.org/component": "scheduler"}


@pytest.fixture
async def scheduler() -> AsyncIterator[Scheduler]:
    async with Scheduler(port=0, dashboard_address=":0", dashboard=False, host="127.0.0.1") as scheduler:
        yield scheduler


@pytest.fixture
async def api(server: FakeApi) -> AsyncIterator[Api]:
    async with await Api.connect(str(server.kubeconfig)) as api:
        yield api


@pytest.fixture
async def ports() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as ports:
        yield ports


def service(server: FakeApi, kind: str, scheduler: Scheduler, **status: Any) -> None:
    port = {"name": "tcp-comm", "port": scheduler.port, "nodePort": scheduler.port, "targetPort": "tcp-comm"}
    dashboard = {"name": "http-dashboard", "port": 80, "nodePort": 30080, "targetPort": 9999}
    spec = {"type": kind, "ports": [port, dashboard]}
    server.put("services", {"metadata": {"name": "foo-scheduler"}, "spec": spec, "status": status})


def pod(server: FakeApi, scheduler: Scheduler, name: str = "pod") -> None:
    container = {"name": "scheduler", "ports": [{"name": "tcp-comm", "containerPort": 7777}]}
    status = {"containerStatuses": [{"name": "scheduler", "state": {"running": {}}}]}
    metadata = {"name": name, "labels": LABELS}
    server.put("pods", {"metadata": metadata, "spec": {"containers": [container]}, "status": status})
    server.ports[name, 7777] = scheduler.port


def node(server: FakeApi, name: str, kind: str, address: str) -> None:
    status = {"addresses": [{"type": kind, "address": address}], "conditions": [{"type": "Ready", "status": "True"}]}
    server.put("nodes", {"metadata": {"name": name}, "status": status}, "")


async def test_from_outside_ports_are_forwarded(
    api: Api, server: FakeApi, scheduler: Scheduler, ports: AsyncExitStack
) -> None:
    service(server, "ClusterIP", scheduler)
    pod(server, scheduler)
    way = await find_way(api, "default", "foo", WANTED, ports)
    assert way.scheduler.startswith("tcp://127.0.0.1:")
    assert way.scheduler != scheduler.address
    assert way.dashboard_host == "127.0.0.1"


async def test_the_dashboard_may_have_a_name_of_its_own(
    api: Api, server: FakeApi, scheduler: Scheduler, ports: AsyncExitStack
) -> None:
    dashboard = {"name": "dashboard", "port": 8787, "nodePort": 30080, "targetPort": "dashboard"}
    comm = {"name": "tcp-comm", "port": 8786, "nodePort": scheduler.port, "targetPort": "tcp-comm"}
    service = {"metadata": {"name": "foo-scheduler"}, "spec": {"type": "NodePort", "ports": [comm, dashboard]}}
    server.put("services", service)
    node(server, "one", "InternalIP", "127.0.0.1")
    way = await find_way(api, "default", "foo", WANTED, ports)
    assert (way.dashboard_host, way.dashboard_port) == ("127.0.0.1", 30080)


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
async def test_from_inside_it_is_the_service(
    api: Api,
    server: FakeApi,
    scheduler: Scheduler,
    ports: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setattr(addresses, "_service_host", lambda _name, _namespace: "127.0.0.1")
    api.in_cluster = True
    service(server, kind, scheduler)
    way = await find_way(api, "default", "foo", WANTED, ports)
    assert (way.scheduler, way.dashboard_port) == (scheduler.address, 80)


async def test_ports_are_forwarded_inside_if_that_is_wanted(
    api: Api, server: FakeApi, scheduler: Scheduler, ports: AsyncExitStack
) -> None:
    api.in_cluster = True
    service(server, "ClusterIP", scheduler)
    pod(server, scheduler)
    way = await find_way(api, "default", "foo", replace(WANTED, forward=True), ports)
    assert way.scheduler != scheduler.address


async def test_a_load_balancer(api: Api, server: FakeApi, scheduler: Scheduler, ports: AsyncExitStack) -> None:
    service(server, "LoadBalancer", scheduler)
    with pytest.raises(ResourceTimeoutError, match="got no address"):
        await find_way(api, "default", "foo", replace(WANTED, timeout_seconds=0), ports)
    service(server, "LoadBalancer", scheduler, loadBalancer={"ingress": [{"hostname": "localhost"}]})
    way = await find_way(api, "default", "foo", WANTED, ports)
    assert way.scheduler == f"tcp://localhost:{scheduler.port}"


async def test_a_node_that_answers(api: Api, server: FakeApi, scheduler: Scheduler, ports: AsyncExitStack) -> None:
    service(server, "NodePort", scheduler)
    node(server, "a", "InternalIP", "127.0.0.9")
    node(server, "b", "ExternalIP", "127.0.0.1")
    way = await find_way(api, "default", "foo", WANTED, ports)
    assert (way.scheduler, way.dashboard_port) == (scheduler.address, 30080)


async def test_ports_are_forwarded_where_no_node_answers_or_none_is_known(
    api: Api, server: FakeApi, scheduler: Scheduler, ports: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "PROBE_SECONDS", 0.2)
    service(server, "NodePort", scheduler)
    pod(server, scheduler)
    node(server, "a", "InternalIP", "127.0.0.9")
    way = await find_way(api, "default", "foo", WANTED, ports)
    assert way.dashboard_host == "127.0.0.1"
    server.refusals["list", "nodes"] = refusal(403, "Forbidden", "no nodes for you")
    await find_way(api, "default", "foo", WANTED, ports)


async def test_what_may_not_be_forwarded_is_told(
    api: Api, server: FakeApi, scheduler: Scheduler, ports: AsyncExitStack
) -> None:
    service(server, "ClusterIP", scheduler)
    pod(server, scheduler)
    server.refusals["get", "pods/portforward"] = refusal(403, "Forbidden", "no")
    with pytest.raises(ForbiddenError):
        await find_way(api, "default", "foo", WANTED, ports)


async def test_the_pod_is_one_that_runs(api: Api, server: FakeApi, scheduler: Scheduler) -> None:
    with pytest.raises(SchedulerConnectionError, match="does not run"):
        await scheduler_pod(api, "default", "foo")
    pod(server, scheduler, "leaving")
    leaving = server.objects["pods", "default", "leaving"]
    leaving["metadata"]["deletionTimestamp"] = "now"
    with pytest.raises(SchedulerConnectionError):
        await scheduler_pod(api, "default", "foo")
    pod(server, scheduler, "next")
    assert await scheduler_pod(api, "default", "foo") == "next"
