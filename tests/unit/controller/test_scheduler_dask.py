"""The client against a real Dask scheduler with real workers: what it learns, and that retiring loses nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import Actor, Client, Nanny, Scheduler, SchedulerPlugin, Worker
from distributed.core import Server, Status
from distributed.protocol.serialize import ToPickle

from dask_kubernetes_operator.scheduler import Endpoint, SchedulerClient, SchedulerError, client

pytestmark = pytest.mark.unit

# Generous, because it only bounds how long a failure takes to be told.
PATIENCE_SECONDS = 30.0

DEFAULT_ROUTES = ["distributed.http.scheduler.json", "distributed.http.health"]
API_ROUTES = [*DEFAULT_ROUTES, "distributed.http.scheduler.api"]

# Nobody listens there: the port is reserved.
NOWHERE = "127.0.0.1:1"

runs: list[str] = []
gate = threading.Event()


def compute(name: str) -> bytes:
    """A result of 1000 bytes; remembers that it was computed."""
    runs.append(name)
    return name.encode() * (1000 // len(name))


def wait() -> str:
    gate.wait(PATIENCE_SECONDS)
    return "done"


class Counter:
    """State that lives in one worker only."""

    value = 7


class SlowToGive(Worker):
    """A worker whose data cannot be fetched before it is allowed."""

    asked: asyncio.Event
    allowed: asyncio.Event

    async def get_data(self, comm: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked.set()
        await self.allowed.wait()
        return await super().get_data(comm, *args, **kwargs)


class Dask:
    """A scheduler, its workers, and a user's client, all in this process."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.scheduler: Any = None

    async def start(self, *, routes: list[str] = API_ROUTES, host: str = "127.0.0.1", port: int = 0) -> Endpoint:
        with dask.config.set({"distributed.scheduler.http.routes": routes}):
            scheduler = Scheduler(host=host, port=port, dashboard_address="127.0.0.1:0", dashboard=False)
        self.scheduler = await self._stack.enter_async_context(scheduler)
        return Endpoint(f"http://127.0.0.1:{self.scheduler.http_server.port}", self.scheduler.address)

    async def worker(self, name: object = None, kind: type[Worker] = Worker) -> Any:
        worker = kind(self.scheduler.address, name=name, nthreads=1, local_directory=str(self._folder))
        return await self._stack.enter_async_context(worker)

    async def user(self) -> Any:
        user = await Client(self.scheduler.address, asynchronous=True)
        self._stack.push_async_callback(user.close)
        return user

    def status(self, worker: Any) -> str:
        return str(self.scheduler.workers[worker.address].status.name)


@pytest.fixture
async def dask_cluster(tmp_path: Path) -> AsyncIterator[Dask]:
    runs.clear()
    gate.clear()
    async with AsyncExitStack() as stack:
        yield Dask(stack, tmp_path)
        gate.set()  # a worker waits for its tasks before it ends


@pytest.fixture
async def asking() -> AsyncIterator[SchedulerClient]:
    asking = SchedulerClient()
    yield asking
    await asking.close()


@pytest.fixture(params=["rpc", "http"])
def way(request: pytest.FixtureRequest) -> Callable[[Endpoint], Endpoint]:
    """Leaves of an endpoint only one way to ask."""

    def only(at: Endpoint) -> Endpoint:
        if request.param == "rpc":
            return Endpoint(f"http://{NOWHERE}", at.comm)
        return Endpoint(at.dashboard, f"tcp://{NOWHERE}")

    return only


async def until(holds: Callable[[], object]) -> object:
    """Wait for something that happens in the scheduler by itself, and return it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = holds()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.01)


async def test_workers_are_told_by_their_names(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    named = await dask_cluster.worker("simple-default-worker-1")
    numbered = await dask_cluster.worker(3)
    unnamed = await dask_cluster.worker()
    found = {worker.address: worker for worker in await asking.workers(at)}
    assert {address: worker.name for address, worker in found.items()} == {
        named.address: "simple-default-worker-1",
        numbered.address: "3",
        unnamed.address: unnamed.address,
    }
    # Several workers of one host are told apart by their ports.
    assert {(worker.host, worker.status) for worker in found.values()} == {("127.0.0.1", "running")}


async def test_workers_are_told_with_what_they_hold_and_do(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    holder, worker = await dask_cluster.worker("holder"), await dask_cluster.worker("worker")
    user = await dask_cluster.user()
    result = user.submit(compute, "a", workers=["holder"])
    running = [user.submit(wait, workers=["worker"], pure=False) for _ in range(3)]
    await result
    known = dask_cluster.scheduler.workers[worker.address]
    await until(lambda: 0 < len(known.processing) == len(worker.state.tasks) <= len(running))
    await holder.heartbeat()
    await worker.heartbeat()
    found = {worker.name: worker for worker in await asking.workers(at)}
    assert (found["holder"].managed_bytes, found["holder"].tasks) == (holder.state.nbytes, 0)
    assert holder.state.nbytes >= 1000
    assert (found["worker"].managed_bytes, found["worker"].tasks) == (0, len(known.processing))


async def test_workers_over_http_have_names_and_addresses(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    named, unnamed = await dask_cluster.worker("a"), await dask_cluster.worker()
    # After a task /json/identity.json fails; the client may not depend on it.
    await (await dask_cluster.user()).submit(compute, "a", workers=["a"])
    await named.heartbeat()
    found = await asking.workers(Endpoint(at.dashboard, f"tcp://{NOWHERE}"))
    assert {(worker.address, worker.name, worker.host, worker.status) for worker in found} == {
        (named.address, "a", "127.0.0.1", "unknown"),
        (unnamed.address, unnamed.address, "127.0.0.1", "unknown"),
    }


async def test_no_workers(dask_cluster: Dask, asking: SchedulerClient, way: Callable[[Endpoint], Endpoint]) -> None:
    at = way(await dask_cluster.start())
    assert await asking.workers(at) == ()
    assert await asking.retire(at, ["tcp://10.0.0.1:40000"], timeout_seconds=5) == frozenset()


async def test_ipv6_hosts_have_no_brackets(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start(host="[::1]")
    worker = Worker(dask_cluster.scheduler.address, host="[::1]", nthreads=1)
    async with worker:
        [found] = await asking.workers(at)
        assert (found.address, found.host) == (worker.address, "::1")
        [found] = await asking.workers(Endpoint(at.dashboard, f"tcp://{NOWHERE}"))
        assert (found.address, found.host) == (worker.address, "::1")


async def test_retiring_moves_the_only_copy(
    dask_cluster: Dask, asking: SchedulerClient, way: Callable[[Endpoint], Endpoint]
) -> None:
    at = way(await dask_cluster.start())
    leaving, _staying = await dask_cluster.worker("a"), await dask_cluster.worker("b")
    user = await dask_cluster.user()
    result = user.submit(compute, "a", workers=["a"])
    await result
    assert await asking.retire(at, [leaving.address], timeout_seconds=20) == {leaving.address}
    assert [worker.name for worker in await asking.workers(at)] == ["b"]
    await leaving.close()
    assert await result == b"a" * 1000
    assert runs == ["a"]


async def test_retired_processes_end_by_themselves(
    dask_cluster: Dask, asking: SchedulerClient, tmp_path: Path
) -> None:
    at = await dask_cluster.start()
    async with Nanny(dask_cluster.scheduler.address, name="a", nthreads=1, local_directory=str(tmp_path)) as nanny:
        [found] = await asking.workers(at)
        assert (found.address, found.name) == (nanny.worker_address, "a")
        assert await asking.retire(at, [found.address], timeout_seconds=20) == {found.address}
        async with asyncio.timeout(PATIENCE_SECONDS):
            await nanny.finished()
        assert await asking.workers(at) == ()


async def test_a_worker_whose_data_nobody_can_take_is_kept(
    dask_cluster: Dask, asking: SchedulerClient, way: Callable[[Endpoint], Endpoint]
) -> None:
    at = way(await dask_cluster.start())
    only = await dask_cluster.worker("a")
    user = await dask_cluster.user()
    result = user.submit(compute, "a")
    await result
    # A scheduler that is asked twice at once would never let the worker go on.
    assert await asking.retire(at, [only.address], timeout_seconds=20) == frozenset()
    assert await asking.retire(at, [only.address], timeout_seconds=20) == frozenset()
    await until(lambda: dask_cluster.status(only) == "running")
    assert only.status == Status.running
    assert await user.submit(compute, "b") == b"b" * 1000
    assert await result == b"a" * 1000
    assert runs == ["a", "b"]


async def test_a_kept_worker_can_be_retired_later(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    leaving = await dask_cluster.worker("a")
    user = await dask_cluster.user()
    result = user.submit(compute, "a")
    await result
    assert await asking.retire(at, [leaving.address], timeout_seconds=20) == frozenset()
    await dask_cluster.worker("b")
    await until(lambda: dask_cluster.status(leaving) == "running")
    asking._not_before.clear()  # as if the pause were over
    assert await asking.retire(at, [leaving.address], timeout_seconds=20) == {leaving.address}
    await leaving.close()
    await result
    assert runs == ["a"]


async def test_a_worker_with_an_actor_is_kept(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    holder, _other = await dask_cluster.worker("a"), await dask_cluster.worker("b")
    user = await dask_cluster.user()
    actor = await user.submit(Counter, actor=True, workers=["a"])
    assert isinstance(actor, Actor)
    assert await asking.retire(at, [holder.address], timeout_seconds=20) == frozenset()
    assert await actor.value == 7


async def test_only_what_is_asked_for_is_retired(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    workers = [await dask_cluster.worker(name) for name in "abc"]
    unknown = "tcp://127.0.0.1:2"
    asked = [workers[0].address, unknown, workers[0].address]
    assert await asking.retire(at, asked, timeout_seconds=20) == {workers[0].address}
    assert await asking.retire(at, [], timeout_seconds=20) == frozenset()
    assert {worker.name for worker in await asking.workers(at)} == {"b", "c"}


async def test_two_holders_of_the_same_key_leave_it_with_a_third(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    leaving = [await dask_cluster.worker(name) for name in "ab"]
    user = await dask_cluster.user()
    result = user.submit(compute, "x")
    await result
    await user.replicate([result])
    assert [len(worker.data) for worker in leaving] == [1, 1]
    staying = await dask_cluster.worker("c")
    addresses = {worker.address for worker in leaving}
    assert await asking.retire(at, addresses, timeout_seconds=20) == addresses
    assert list(staying.data) == [result.key]
    assert runs == ["x"]


async def test_of_two_calls_at_once_one_has_the_worker(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    leaving, staying = await dask_cluster.worker("a"), await dask_cluster.worker("b")
    user = await dask_cluster.user()
    result = user.submit(compute, "a", workers=["a"])
    await result
    calls = (asking.retire(at, [leaving.address], timeout_seconds=20) for _ in range(2))
    confirmed = await asyncio.gather(*calls)
    assert sorted(confirmed, key=len) == [frozenset(), {leaving.address}]
    assert list(staying.data) == [result.key]


async def test_two_controllers_at_once_are_both_told(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    leaving, staying = await dask_cluster.worker("a", SlowToGive), await dask_cluster.worker("b")
    leaving.asked, leaving.allowed = asyncio.Event(), asyncio.Event()
    user = await dask_cluster.user()
    result = user.submit(compute, "a", workers=["a"])
    await until(lambda: result.done())
    first = asyncio.create_task(asking.retire(at, [leaving.address], timeout_seconds=20))
    await leaving.asked.wait()
    second = asyncio.create_task(SchedulerClient().retire(at, [leaving.address], timeout_seconds=20))
    await until(lambda: len(retirements(dask_cluster)) == 2)
    leaving.allowed.set()
    assert list(await asyncio.gather(first, second)) == [{leaving.address}] * 2
    assert list(staying.data) == [result.key]


async def test_what_takes_too_long_goes_on_in_the_scheduler(
    dask_cluster: Dask, asking: SchedulerClient, way: Callable[[Endpoint], Endpoint]
) -> None:
    at = way(await dask_cluster.start())
    leaving, staying = await dask_cluster.worker("a", SlowToGive), await dask_cluster.worker("b")
    leaving.asked, leaving.allowed = asyncio.Event(), asyncio.Event()
    user = await dask_cluster.user()
    result = user.submit(compute, "a", workers=["a"])
    await until(lambda: result.done())
    with pytest.raises(SchedulerError, match="goes on moving the data of 1 worker") as raised:
        await asking.retire(at, [leaving.address], timeout_seconds=1)
    assert raised.value.reason == "RetirementUnfinished"
    assert dask_cluster.status(leaving) == "closing_gracefully"
    leaving.allowed.set()
    await until(lambda: leaving.address not in dask_cluster.scheduler.workers)
    assert list(staying.data) == [result.key]
    assert runs == ["a"]


async def test_a_worker_that_dies_while_it_is_retired_is_done_with(
    dask_cluster: Dask, asking: SchedulerClient
) -> None:
    at = await dask_cluster.start()
    leaving, _staying = await dask_cluster.worker("a", SlowToGive), await dask_cluster.worker("b")
    leaving.asked, leaving.allowed = asyncio.Event(), asyncio.Event()
    user = await dask_cluster.user()
    result = user.submit(compute, "a", workers=["a"], allow_other_workers=True)
    await until(lambda: result.done())
    retiring = asyncio.create_task(asking.retire(at, [leaving.address], timeout_seconds=20))
    await leaving.asked.wait()
    await leaving.batched_stream.close()
    assert await retiring == {leaving.address}
    leaving.allowed.set()
    assert await result == b"a" * 1000
    assert runs == ["a", "a"]


async def test_a_worker_that_came_back_is_not_confirmed(dask_cluster: Dask, asking: SchedulerClient) -> None:
    class ComesBack(SchedulerPlugin):
        async def remove_worker(self, scheduler: Any, worker: str, **_kwargs: Any) -> None:
            assert worker == leaving.address
            scheduler.remove_plugin("comes-back")
            await dask_cluster.worker("a")

    at = await dask_cluster.start()
    leaving = await dask_cluster.worker("a")
    dask_cluster.scheduler.add_plugin(ComesBack(), name="comes-back")
    assert await asking.retire(at, [leaving.address], timeout_seconds=20) == frozenset()
    [again] = await asking.workers(at)
    assert again.name == "a"
    assert again.address != leaving.address


async def test_a_cancelled_call_leaves_no_connection(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    leaving, _staying = await dask_cluster.worker("a", SlowToGive), await dask_cluster.worker("b")
    leaving.asked, leaving.allowed = asyncio.Event(), asyncio.Event()
    user = await dask_cluster.user()
    result = user.submit(compute, "a", workers=["a"])
    await until(lambda: result.done())
    retiring = asyncio.create_task(asking.retire(at, [leaving.address], timeout_seconds=20))
    await leaving.asked.wait()
    assert len(retirements(dask_cluster)) == 1
    retiring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await retiring
    leaving.allowed.set()
    await until(lambda: not retirements(dask_cluster))
    assert leaving.address not in dask_cluster.scheduler.workers


async def test_asking_leaves_neither_connections_nor_threads(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    worker = await dask_cluster.worker("a")
    await worker.heartbeat()
    connections, threads = set(dask_cluster.scheduler._comms), set(threading.enumerate())
    await asking.workers(at)
    await asking.adaptive_target(at)
    await asking.idle_since(at)
    await until(lambda: set(dask_cluster.scheduler._comms) <= connections)
    assert set(threading.enumerate()) <= threads


def retirements(dask_cluster: Dask) -> list[Any]:
    """The connections over which a retirement is going on."""
    return [comm for comm, operation in dask_cluster.scheduler._comms.items() if operation == "retire_workers"]


async def test_the_target_follows_the_work(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    by_http = Endpoint(at.dashboard, f"tcp://{NOWHERE}")
    assert await asking.adaptive_target(at) == await asking.adaptive_target(by_http) == 0
    user = await dask_cluster.user()
    waiting = [user.submit(wait, pure=False) for _ in range(20)]
    await until(lambda: len(dask_cluster.scheduler.queued) == len(waiting))
    # A task of unknown duration is taken for half a second, and the default target duration is five.
    assert await asking.adaptive_target(at) == await asking.adaptive_target(by_http) == 2
    assert await asking.adaptive_target(at, target_duration_seconds=1) == 10
    assert await asking.adaptive_target(at, target_duration_seconds=2.5) == 4


async def test_a_target_duration_needs_rpc(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    with pytest.raises(SchedulerError, match=r"only by RPC.*127\.0\.0\.1:1") as raised:
        await asking.adaptive_target(Endpoint(at.dashboard, f"tcp://{NOWHERE}"), target_duration_seconds=1)
    assert raised.value.reason == "SchedulerUnreachable"


async def test_idle_from_the_start_busy_at_work_and_idle_after_it(
    dask_cluster: Dask, asking: SchedulerClient, way: Callable[[Endpoint], Endpoint]
) -> None:
    started = datetime.now(UTC)
    at = way(await dask_cluster.start())
    never_used = await asking.idle_since(at)
    assert never_used is not None
    assert started <= never_used <= datetime.now(UTC)
    await dask_cluster.worker("a")
    user = await dask_cluster.user()
    running = user.submit(wait)
    await until(lambda: dask_cluster.scheduler.total_occupancy)
    assert await asking.idle_since(at) is None
    released = datetime.now(UTC)
    gate.set()
    await running
    idle = await until(lambda: asking.idle_since(at))
    assert isinstance(idle, datetime)
    # The client is connected and holds a result; that does not make a scheduler busy.
    assert released <= idle <= datetime.now(UTC)
    assert await asking.idle_since(at) == idle


async def test_a_scheduler_with_default_routes_answers_everything(
    dask_cluster: Dask, asking: SchedulerClient
) -> None:
    at = await dask_cluster.start(routes=DEFAULT_ROUTES)
    leaving = await dask_cluster.worker("a")
    assert [worker.name for worker in await asking.workers(at)] == ["a"]
    assert await asking.adaptive_target(at) == 0
    assert await asking.idle_since(at) is not None
    assert await asking.retire(at, [leaving.address], timeout_seconds=20) == {leaving.address}


async def test_a_scheduler_that_is_gone_is_named(asking: SchedulerClient) -> None:
    at = Endpoint(f"http://{NOWHERE}", f"tcp://{NOWHERE}")
    calls: list[Awaitable[object]] = [
        asking.workers(at),
        asking.adaptive_target(at),
        asking.idle_since(at),
        asking.retire(at, ["tcp://127.0.0.1:2"], timeout_seconds=5),
    ]
    for call in calls:
        with pytest.raises(SchedulerError, match=r"tcp://127\.0\.0\.1:1.*http://127\.0\.0\.1:1") as raised:
            await call
        assert raised.value.reason == "SchedulerUnreachable"
        assert "network policies" in raised.value.message


async def test_a_restarted_scheduler_is_asked_again(dask_cluster: Dask, asking: SchedulerClient) -> None:
    at = await dask_cluster.start()
    await dask_cluster.worker("a")
    port = dask_cluster.scheduler.port
    assert [worker.name for worker in await asking.workers(at)] == ["a"]
    await dask_cluster.scheduler.close()
    with pytest.raises(SchedulerError, match="neither by RPC nor by HTTP"):
        await asking.workers(at)
    again = await dask_cluster.start(port=port)
    assert again.comm == at.comm
    await dask_cluster.worker("b")
    assert [worker.name for worker in await asking.workers(at)] == ["b"]


async def test_a_scheduler_without_rpc_is_asked_by_http_for_a_while(
    dask_cluster: Dask, asking: SchedulerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = await dask_cluster.start()
    connections = 0

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as refusing:
        host, port = refusing.sockets[0].getsockname()
        by_http = Endpoint(at.dashboard, f"tcp://{host}:{port}")
        for _ in range(3):
            await asking.adaptive_target(by_http)
        assert connections == 1
        monkeypatch.setattr(client, "HTTP_FIRST_SECONDS", 0.0)
        asking._http_first_until.clear()  # as if the while were over
        for _ in range(3):
            await asking.adaptive_target(by_http)
        assert connections == 4


class Harmful:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> Any:
        return os._exit, (3,)


async def test_answers_are_never_unpickled(asking: SchedulerClient) -> None:
    answers = {"identity": {"workers": ToPickle(Harmful())}, "adaptive_target": ToPickle(Harmful())}
    server = Server({name: lambda answer=answer: answer for name, answer in answers.items()})
    await server.listen("tcp://127.0.0.1:0")
    at = Endpoint(f"http://{NOWHERE}", server.address)
    try:
        with pytest.raises(SchedulerError, match="neither by RPC nor by HTTP"):
            await asking.workers(at)
        with pytest.raises(SchedulerError, match="a number of workers should be"):
            await asking.adaptive_target(at)
    finally:
        await server.close()


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path) -> Iterator[None]:
    with dask.config.set({"temporary_directory": str(tmp_path), "distributed.admin.low-level-log-length": 0}):
        yield
