"""The sign of life that a client gives for a cluster with a timeout, and only for such a one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dask
import pytest

from dask_kubernetes.operator import KubeCluster, make_cluster_spec
from dask_kubernetes.operator.api import Api
from dask_kubernetes.operator.kubecluster import heartbeat
from dask_kubernetes.operator.kubecluster.heartbeat import Heartbeat

from .fake_api import FakeApi, refusal, until
from .fake_operator import FakeOperator, at_work

pytestmark = pytest.mark.unit

SEEN = "kubernetes.dask.org/client-seen"


@pytest.fixture
async def api(server: FakeApi) -> AsyncIterator[Api]:
    async with await Api.connect(str(server.kubeconfig)) as api:
        yield api


@pytest.fixture
def operator(server: FakeApi) -> Iterator[FakeOperator]:
    """An operator with its API server."""
    with (
        dask.config.set({"kubernetes.resource-timeout": 5, "kubernetes.count.start": 0}),
        at_work(server) as operator,
    ):
        yield operator


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life every few hundredths of a second."""
    monkeypatch.setattr(heartbeat, "_SIGNS_PER_TIMEOUT", 500)
    monkeypatch.setattr(heartbeat, "_MIN_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(heartbeat, "_FIRST_PAUSE_SECONDS", 0.01)


def seen(server: FakeApi) -> str:
    """What was said last; empty when nothing was."""
    metadata = server.objects["daskclusters", "default", "foo"]["metadata"]
    return str((metadata.get("annotations") or {}).get(SEEN, ""))


def renewed(server: FakeApi, before: str) -> None:
    """Wait for another sign of life."""
    until(lambda: seen(server) not in (before, ""), "there is a sign of life")


# One heartbeat


def put(server: FakeApi, **given: Any) -> dict[str, Any]:
    return server.put("daskclusters", make_cluster_spec("foo", **given))


@pytest.mark.parametrize(("given", "seconds"), [(5, 1.25), (60, 15), (3600, 900)])
async def test_four_signs_are_given_within_a_timeout(api: Api, server: FakeApi, given: int, seconds: float) -> None:
    assert Heartbeat(api, "default", put(server, client_timeout=given))._interval_seconds == seconds


async def test_there_is_at_most_one_a_second(api: Api, server: FakeApi) -> None:
    cluster = make_cluster_spec("foo")
    cluster["spec"]["clientTimeout"] = 1
    assert Heartbeat(api, "default", server.put("daskclusters", cluster))._interval_seconds == 1


async def test_it_writes_the_time_and_nothing_else(api: Api, server: FakeApi) -> None:
    before = put(server, client_timeout=60, annotations={"note": "mine"})
    sign = Heartbeat(api, "default", before)
    sign.start()
    await asyncio.to_thread(renewed, server, "")
    await sign.stop()
    after = server.objects["daskclusters", "default", "foo"]
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"] == {"note": "mine", SEEN: seen(server)}
    assert seen(server).endswith("Z")
    assert abs(datetime.fromisoformat(seen(server)) - datetime.now(UTC)) < timedelta(minutes=1)
    assert server.count("patch") == 1, "the next one is due in 15 s"


@pytest.mark.usefixtures("hasty")
async def test_errors_do_not_end_it_and_are_told_once(
    api: Api, server: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.refusals["patch", "daskclusters"] = refusal(403, "Forbidden", "not you")
    sign = Heartbeat(api, "default", put(server, client_timeout=60))
    sign.start()
    await asyncio.to_thread(until, lambda: server.count("patch") >= 3, "it goes on")
    del server.refusals["patch", "daskclusters"]
    await asyncio.to_thread(renewed, server, "")
    await asyncio.to_thread(until, lambda: "is told again" in caplog.text, "that it is well again is told")
    await sign.stop()
    assert caplog.text.count("No sign of life for the cluster foo") == 1
    assert "after 60 s without one (client_timeout) the operator deletes the cluster" in caplog.text


@pytest.mark.usefixtures("hasty")
async def test_one_that_hangs_does_not_take_the_time_of_those_after_it(
    api: Api, server: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_MIN_ATTEMPT_SECONDS", 0.1)
    patch, hung = api.patch, asyncio.Event()

    async def hang_once(*arguments: Any) -> Any:
        if not hung.is_set():
            hung.set()
            await asyncio.Event().wait()
        return await patch(*arguments)

    monkeypatch.setattr(api, "patch", hang_once)
    sign = Heartbeat(api, "default", put(server, client_timeout=5))
    sign.start()
    await asyncio.to_thread(renewed, server, "")
    await sign.stop()
    assert hung.is_set()


@pytest.mark.usefixtures("hasty")
async def test_a_cluster_that_is_made_anew_is_kept_too(api: Api, server: FakeApi) -> None:
    sign = Heartbeat(api, "default", put(server, client_timeout=60))
    sign.start()
    await asyncio.to_thread(renewed, server, "")
    await asyncio.to_thread(server.remove, "daskclusters", "foo")
    await asyncio.to_thread(put, server, client_timeout=60)
    await asyncio.to_thread(renewed, server, "")
    await sign.stop()


async def test_a_timeout_that_is_edited_counts(api: Api, server: FakeApi) -> None:
    sign = Heartbeat(api, "default", put(server, client_timeout=3600))
    server.patch("daskclusters", "foo", {"spec": {"clientTimeout": 60}})
    await sign._give_sign()
    assert sign._interval_seconds == 15
    server.patch("daskclusters", "foo", {"spec": {"clientTimeout": None}})
    await sign._give_sign()
    assert sign._interval_seconds == 15


async def test_nothing_is_said_for_a_cluster_without_a_timeout(api: Api, server: FakeApi) -> None:
    sign = Heartbeat(api, "default", put(server))
    sign.start()
    assert sign._beating is None
    await sign.stop()


# That of a KubeCluster


@pytest.mark.usefixtures("operator", "hasty")
def test_an_open_cluster_gives_signs_of_life_and_a_closed_one_none(server: FakeApi) -> None:
    with KubeCluster(name="foo", client_timeout="1 minute", shutdown_on_close=False) as cluster:
        assert cluster.client_timeout == 60
        assert server.objects["daskclusters", "default", "foo"]["spec"]["clientTimeout"] == 60
        renewed(server, "")
        renewed(server, seen(server))
    signs = server.count("patch", "daskclusters")
    with KubeCluster.from_name("foo", client_timeout=None, shutdown_on_close=True) as other:
        assert server.count("patch", "daskclusters") > signs, "connecting is a sign of life"
        assert other.client_timeout == 60
        renewed(server, seen(server))
    assert not server.named("daskclusters")


@pytest.mark.usefixtures("hasty")
def test_it_gives_them_while_the_scheduler_starts(server: FakeApi, operator: FakeOperator) -> None:
    operator.takes_up = False
    values: set[str] = set()
    server.listeners.append(
        lambda _event, _plural, body: values.add((body["metadata"].get("annotations") or {}).get(SEEN, ""))
    )
    with pytest.raises(TimeoutError):
        KubeCluster(name="foo", client_timeout=5, resource_timeout=1)
    assert len(values) > 3
    assert not server.named("daskclusters")


@pytest.mark.usefixtures("operator")
def test_a_cluster_without_a_timeout_costs_no_request(server: FakeApi) -> None:
    with KubeCluster(name="foo") as cluster:
        assert cluster.client_timeout is None
    assert not server.count("patch", "daskclusters")


@pytest.mark.usefixtures("operator", "hasty")
async def test_no_task_is_left_in_the_loop(server: FakeApi) -> None:
    before = asyncio.all_tasks()
    async with KubeCluster(name="foo", client_timeout=60, asynchronous=True):
        await asyncio.to_thread(renewed, server, "")
        assert [task for task in asyncio.all_tasks() if task.get_name() == "sign of life for foo"]
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
