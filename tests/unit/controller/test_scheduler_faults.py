"""The client against servers that answer nonsense, slowly, too much or not at all: an error, and nothing else."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
from aiohttp import web

from dask_kubernetes_operator.scheduler import Endpoint, SchedulerClient, SchedulerError, client, rpc

pytestmark = pytest.mark.unit

NOWHERE = "127.0.0.1:1"
WORKER = "tcp://10.0.0.7:40000"

IDENTITY = {
    "type": "Scheduler",
    "workers": {
        WORKER: {
            "name": "a",
            "status": "running",
            # As in a real answer.
            "metrics": {"managed_bytes": 5, "task_counts": {"executing": 1}, "digests": {("execute", "x"): 1.0}},
        }
    },
}

CALLS: dict[str, Callable[[SchedulerClient, Endpoint], Awaitable[object]]] = {
    "workers": lambda asking, at: asking.workers(at),
    "adaptive_target": lambda asking, at: asking.adaptive_target(at),
    "adaptive_target_for": lambda asking, at: asking.adaptive_target(at, target_duration_seconds=1),
    "idle_since": lambda asking, at: asking.idle_since(at),
    "retire": lambda asking, at: asking.retire(at, [WORKER], timeout_seconds=1),
}
HTTP_CALLS = [name for name in CALLS if name != "adaptive_target_for"]

RPC_OPERATIONS = {
    "workers": "identity",
    "adaptive_target": "adaptive_target",
    "adaptive_target_for": "adaptive_target",
    "idle_since": "check_idle",
    "retire": "retire_workers",
}
HTTP_ROUTES = {
    "workers": "get_workers",
    "adaptive_target": "adaptive_target",
    "idle_since": "check_idle",
    "retire": "retire_workers",
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading gives up at once; for servers that never answer."""
    monkeypatch.setattr(client, "ANSWER_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(rpc, "CONNECT_TIMEOUT_SECONDS", 0.2)


@pytest.fixture
async def asking() -> AsyncIterator[SchedulerClient]:
    asking = SchedulerClient()
    yield asking
    await asking.close()


def expected_reason(call: str, *, late: bool, silent: bool) -> str:
    if late and call == "retire":
        return "RetirementUnfinished"
    return "SchedulerUnreachable" if silent else "SchedulerAnswerInvalid"


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpScheduler:
    """An HTTP API that answers well but for the routes for which it is told what to do."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.bodies: dict[str, object] = {
            "get_workers": {"num_workers": 1, "workers": [{"name": "a", "address": WORKER}]},
            "adaptive_target": {"workers": 1},
            "check_idle": {"idle_since": 1_700_000_000.5},
            "retire_workers": {WORKER: {}},
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        route = request.path.removeprefix("/api/v1/")
        self.asked.append(route)
        if route in self.answers:
            return await self.answers[route](request)
        return web.json_response(self.bodies[route])


@asynccontextmanager
async def serving_http(
    scheduler: HttpScheduler, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scheduler.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0, ssl_context=tls).start()
    literal = f"[{host}]" if ":" in host else host
    try:
        yield f"{'https' if tls else 'http'}://{literal}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def answering(status: int, body: bytes | str, **headers: str) -> Answer:
    async def answer(_request: web.Request) -> web.StreamResponse:
        content = body.encode() if isinstance(body, str) else body
        return web.Response(status=status, body=content, headers=headers)

    return answer


async def never(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def for_ever(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"[" * 2**16)


async def resets(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    reset(request.transport)
    return web.Response()


async def stops_halfway(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.close()
    return response


def reset(transport: asyncio.BaseTransport) -> None:
    """End a connection as a crashed host does."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.close()


HTTP_FAULTS: dict[str, Answer] = {
    "error 500": answering(500, '{"Error": "Internal Server Error"}'),
    "error 503": answering(503, "upstream connect error"),
    "error 403": answering(403, "{}"),
    "redirect": answering(302, "", Location="/api/v1/elsewhere"),
    "nothing": answering(200, ""),
    "a page": answering(200, "<html>Welcome to nginx!</html>"),
    "no text": answering(200, b"\xff\xfe\x00"),
    "a list": answering(200, "[]"),
    "a number": answering(200, "7"),
    "null": answering(200, "null"),
    "nested": answering(200, "[" * 100_000),
    "nested as deep as can be": answering(200, "[" * 900 + "7" + "]" * 900),
    "compressed": answering(200, gzip.compress(b"[" * 2**24), **{"Content-Encoding": "gzip"}),
    "endless": for_ever,
    "late": never,
    "reset": resets,
    "half": stops_halfway,
}
HTTP_SILENCE = {"late", "reset", "half"}
# An empty list of retired workers is an answer.
HARMLESS = {("a list", "retire")}


@pytest.mark.parametrize("call", HTTP_CALLS)
@pytest.mark.parametrize("fault", HTTP_FAULTS)
async def test_http_faults_are_errors(
    request: pytest.FixtureRequest, asking: SchedulerClient, fault: str, call: str
) -> None:
    if fault == "late" and call != "retire":
        request.getfixturevalue("impatient")
    scheduler = HttpScheduler()
    scheduler.answers[HTTP_ROUTES[call]] = HTTP_FAULTS[fault]
    async with serving_http(scheduler) as url:
        at = Endpoint(url, f"tcp://{NOWHERE}")
        if (fault, call) in HARMLESS:
            assert await CALLS[call](asking, at) == frozenset()
            return
        with pytest.raises(SchedulerError) as raised:
            await CALLS[call](asking, at)
    assert raised.value.reason == expected_reason(call, late=fault == "late", silent=fault in HTTP_SILENCE)
    assert url in raised.value.message
    assert "elsewhere" not in scheduler.asked


WRONG_BODIES: list[tuple[str, object]] = [
    ("get_workers", {}),
    ("get_workers", {"workers": {}}),
    ("get_workers", {"workers": [1]}),
    ("get_workers", {"workers": [{"name": "a"}]}),
    ("get_workers", {"workers": [{"address": 7}]}),
    ("get_workers", {"workers": [{"address": "no address"}]}),
    ("get_workers", {"workers": [{"address": "tcp://[10.0.0.7"}]}),
    ("adaptive_target", {}),
    ("adaptive_target", {"workers": "1"}),
    ("adaptive_target", {"workers": -1}),
    ("adaptive_target", {"workers": 1.5}),
    ("adaptive_target", {"workers": True}),
    ("adaptive_target", {"workers": None}),
    ("check_idle", {}),
    ("check_idle", {"idle_since": "now"}),
    ("check_idle", {"idle_since": True}),
    ("check_idle", {"idle_since": -1}),
    ("check_idle", {"idle_since": 1e300}),
    ("check_idle", {"idle_since": 10**400}),
    ("check_idle", {"idle_since": float("nan")}),
    ("check_idle", {"idle_since": [1]}),
    ("retire_workers", 7),
    ("retire_workers", WORKER),
    ("retire_workers", [7]),
    ("retire_workers", None),
]


@pytest.mark.parametrize(("route", "body"), WRONG_BODIES)
async def test_wrong_types_over_http_are_invalid(asking: SchedulerClient, route: str, body: object) -> None:
    scheduler = HttpScheduler()
    scheduler.bodies[route] = body
    [call] = [name for name, asked in HTTP_ROUTES.items() if asked == route]
    async with serving_http(scheduler) as url:
        with pytest.raises(SchedulerError, match="should be") as raised:
            await CALLS[call](asking, Endpoint(url, f"tcp://{NOWHERE}"))
    assert raised.value.reason == "SchedulerAnswerInvalid"


async def test_more_confirmed_over_http_than_asked_is_left_out(asking: SchedulerClient) -> None:
    scheduler = HttpScheduler()
    other = "tcp://10.0.0.8:40000"

    async def retire(request: web.Request) -> web.StreamResponse:
        assert await request.json() == {"workers": [WORKER]}
        scheduler.bodies["get_workers"] = {"workers": []}
        return web.json_response({WORKER: {}, other: {}})

    scheduler.answers["retire_workers"] = retire
    async with serving_http(scheduler) as url:
        at = Endpoint(url, f"tcp://{NOWHERE}")
        assert await asking.retire(at, [WORKER, other], timeout_seconds=5) == {WORKER}


async def test_confirmed_but_still_registered_is_left_out(asking: SchedulerClient) -> None:
    async with serving_http(HttpScheduler()) as url:
        at = Endpoint(url, f"tcp://{NOWHERE}")
        assert await asking.retire(at, [WORKER], timeout_seconds=5) == frozenset()


async def test_an_api_that_is_off_is_said_to_be_off(asking: SchedulerClient) -> None:
    scheduler = HttpScheduler()
    scheduler.answers = dict.fromkeys(HTTP_ROUTES.values(), answering(404, "<html>"))
    async with serving_http(scheduler) as url:
        with pytest.raises(SchedulerError, match="404, the scheduler's HTTP API is not enabled") as raised:
            await asking.workers(Endpoint(url, f"tcp://{NOWHERE}"))
    assert raised.value.reason == "SchedulerUnreachable"


async def test_http_over_ipv6(asking: SchedulerClient) -> None:
    async with serving_http(HttpScheduler(), host="::1") as url:
        assert await asking.adaptive_target(Endpoint(url, f"tcp://{NOWHERE}")) == 1


class RpcScheduler:
    """An RPC server that answers well but for the operations for which it is told what to do."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.connections = 0
        self.handshake: bytes | None = framed({"compression": None, "python": (3, 12, 1), "pickle-protocol": 5})
        self.answers: dict[str, RpcAnswer] = {}
        self.bodies: dict[str, object] = {
            "identity": IDENTITY,
            "adaptive_target": 1,
            "check_idle": 1_700_000_000.5,
            "retire_workers": {WORKER: {}},
        }

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.handshake is None:
                await reader.read()
                return
            writer.write(self.handshake)
            await received(reader)
            message = await received(reader)
            self.asked.append(message)
            operation = message["op"]
            if operation in self.answers:
                await self.answers[operation](reader, writer)
            else:
                writer.write(framed(self.bodies[operation]))
        except (EOFError, OSError):
            pass  # the client went away
        finally:
            writer.close()


RpcAnswer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def framed(message: object) -> bytes:
    frame: bytes = msgpack.packb(message)
    return struct.pack("QQQ", 16 + len(frame), 1, len(frame)) + frame


async def received(reader: asyncio.StreamReader) -> Any:
    (length,) = struct.unpack("Q", await reader.readexactly(8))
    return msgpack.unpackb((await reader.readexactly(length))[16:])


@asynccontextmanager
async def serving_rpc(
    scheduler: RpcScheduler, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await scheduler.handle(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(handle, host, 0, ssl=tls)
    literal = f"[{host}]" if ":" in host else host
    try:
        yield f"{'tls' if tls else 'tcp'}://{literal}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def writing(content: bytes) -> RpcAnswer:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)

    return answer


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(struct.pack("Q", 1000))
    await silence(reader, writer)


async def resetting(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reset(writer.transport)


def error_message(text: object) -> dict[str, object]:
    return {"status": "uncaught-error", "exception": {"__Serialized__": 1}, "exception_text": text}


RPC_FAULTS: dict[str, RpcAnswer] = {
    "failed": writing(framed(error_message("KeyError('tcp://10.0.0.7:40000')"))),
    "failed strangely": writing(framed(error_message({"no": "text"}))),
    "an http server": writing(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "closed": writing(b""),
    "short": writing(struct.pack("Q", 3) + b"abc"),
    "no frames": writing(struct.pack("QQ", 8, 0)),
    "one number": writing(struct.pack("QQ", 8, 1)),
    "frames that are not there": writing(struct.pack("QQQ", 16, 2**60, 5)),
    "a frame that is not there": writing(struct.pack("QQQ", 16, 1, 2**40)),
    "huge": writing(struct.pack("QQQ", 2**62, 1, 2**61)),
    "too large": writing(struct.pack("Q", rpc.MAX_ANSWER_BYTES + 1) + bytes(2**16)),
    "no msgpack": writing(struct.pack("QQQ", 17, 1, 1) + b"\xc1"),
    "cut off": writing(struct.pack("QQQ", 17, 1, 1) + b"\x92"),
    "no text": writing(struct.pack("QQQ", 18, 1, 2) + b"\xa1\xff"),
    "unhashable key": writing(struct.pack("QQQ", 19, 1, 3) + b"\x81\x80\x01"),
    "nested as deep as can be": writing(struct.pack("QQQ", 16 + 501, 1, 501) + b"\x91" * 500 + b"\x07"),
    "nested": writing(struct.pack("QQQ", 16 + 100_000, 1, 100_000) + b"\x91" * 100_000),
    "too many parts": writing(framed([[{}] * 60_000] * 10)),
    "a number below zero": writing(framed(-1)),
    "a text": writing(framed("OK")),
    "late": silence,
    "slow": dripping,
    "reset": resetting,
}
LATE = {"late", "slow"}
RPC_SILENCE = {"closed", "reset"} | LATE


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", RPC_FAULTS)
async def test_rpc_faults_are_errors(
    request: pytest.FixtureRequest, asking: SchedulerClient, fault: str, call: str
) -> None:
    if fault in LATE and call != "retire":
        request.getfixturevalue("impatient")
    scheduler = RpcScheduler()
    scheduler.answers[RPC_OPERATIONS[call]] = RPC_FAULTS[fault]
    async with serving_rpc(scheduler) as address:
        with pytest.raises(SchedulerError) as raised:
            await CALLS[call](asking, Endpoint(f"http://{NOWHERE}", address))
    assert raised.value.reason == expected_reason(call, late=fault in LATE, silent=fault in RPC_SILENCE)
    assert address in raised.value.message


@pytest.mark.parametrize("handshake", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", framed(7)[:-1], b"\0" * 8])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.usefixtures("impatient")
async def test_what_does_not_shake_hands_is_no_scheduler(
    asking: SchedulerClient, handshake: bytes | None, call: str
) -> None:
    scheduler = RpcScheduler()
    scheduler.handshake = handshake
    async with serving_rpc(scheduler) as address:
        with pytest.raises(SchedulerError) as raised:
            await CALLS[call](asking, Endpoint(f"http://{NOWHERE}", address))
    assert address in raised.value.message
    assert scheduler.asked == []


WRONG_IDENTITIES: list[object] = [
    None,
    {},
    {"workers": None},
    {"workers": [WORKER]},
    {"workers": {7: {"status": "running"}}},
    {"workers": {"": {"status": "running"}}},
    {"workers": {"no address": {"status": "running"}}},
    {"workers": {WORKER: None}},
    {"workers": {WORKER: {}}},
    {"workers": {WORKER: {"status": 7}}},
    {"workers": {WORKER: {"status": "running", "metrics": []}}},
    {"workers": {WORKER: {"status": "running", "metrics": {"managed_bytes": "5"}}}},
    {"workers": {WORKER: {"status": "running", "metrics": {"managed_bytes": -5}}}},
    {"workers": {WORKER: {"status": "running", "metrics": {"managed_bytes": {"__Pickled__": 1}}}}},
    {"workers": {WORKER: {"status": "running", "metrics": {"task_counts": 5}}}},
    {"workers": {WORKER: {"status": "running", "metrics": {"task_counts": {"ready": "5"}}}}},
]


@pytest.mark.parametrize("identity", WRONG_IDENTITIES)
async def test_wrong_types_over_rpc_are_invalid(asking: SchedulerClient, identity: object) -> None:
    scheduler = RpcScheduler()
    scheduler.bodies["identity"] = identity
    async with serving_rpc(scheduler) as address:
        with pytest.raises(SchedulerError, match="should be") as raised:
            await asking.workers(Endpoint(f"http://{NOWHERE}", address))
    assert raised.value.reason == "SchedulerAnswerInvalid"


async def test_any_damage_to_an_answer_is_an_error_or_harmless(asking: SchedulerClient) -> None:
    scheduler = RpcScheduler()
    chance = random.Random(0)  # noqa: S311
    whole = framed(IDENTITY)
    async with serving_rpc(scheduler) as address:
        for _ in range(200):
            damaged = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            scheduler.answers["identity"] = writing(bytes(damaged[: chance.randint(1, len(damaged))]))
            try:
                await asking.workers(Endpoint(f"http://{NOWHERE}", address))
            except SchedulerError as error:
                assert address in error.message  # noqa: PT017


@pytest.mark.parametrize("answer", [{WORKER: {}}, [WORKER]])
async def test_retired_workers_may_come_as_a_mapping_or_a_list(asking: SchedulerClient, answer: object) -> None:
    scheduler = RpcScheduler()
    scheduler.bodies["retire_workers"] = answer

    async def retire(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        scheduler.bodies["identity"] = {"workers": {}}
        writer.write(framed(answer))

    scheduler.answers["retire_workers"] = retire
    async with serving_rpc(scheduler) as address:
        at = Endpoint(f"http://{NOWHERE}", address)
        assert await asking.retire(at, [WORKER], timeout_seconds=5) == {WORKER}
    [asked] = [message for message in scheduler.asked if message["op"] == "retire_workers"]
    assert (asked["workers"], asked["close_workers"], asked["remove"]) == ([WORKER], False, True)


async def test_a_retirement_that_may_have_begun_is_not_asked_for_over_http_too(asking: SchedulerClient) -> None:
    over_rpc, over_http = RpcScheduler(), HttpScheduler()
    over_rpc.answers["retire_workers"] = resetting
    async with serving_rpc(over_rpc) as address, serving_http(over_http) as url:
        with pytest.raises(SchedulerError, match=address):
            await asking.retire(Endpoint(url, address), [WORKER], timeout_seconds=5)
    assert over_http.asked == []


async def test_a_worker_that_was_not_confirmed_is_left_alone_for_a_while(
    asking: SchedulerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = RpcScheduler()
    scheduler.bodies["retire_workers"] = {}

    def times_asked() -> int:
        return len([message for message in scheduler.asked if message["op"] == "retire_workers"])

    async with serving_rpc(scheduler) as address:
        at = Endpoint(f"http://{NOWHERE}", address)
        for _ in range(2):
            assert await asking.retire(at, [WORKER], timeout_seconds=5) == frozenset()
        assert times_asked() == 1
        # Nor after the scheduler failed, for it may still be at it.
        monkeypatch.setattr(client, "SETTLE_SECONDS", 0.0)
        asking = SchedulerClient()
        for _ in range(2):
            assert await asking.retire(at, [WORKER], timeout_seconds=5) == frozenset()
        assert times_asked() == 3


async def test_rpc_that_fails_is_made_up_for_by_http(asking: SchedulerClient) -> None:
    over_rpc, over_http = RpcScheduler(), HttpScheduler()
    over_rpc.answers = dict.fromkeys(RPC_OPERATIONS.values(), writing(b""))
    async with serving_rpc(over_rpc) as address, serving_http(over_http) as url:
        at = Endpoint(url, address)
        assert [worker.name for worker in await asking.workers(at)] == ["a"]
        assert await asking.adaptive_target(at) == 1
        assert await asking.idle_since(at) is not None
    # It connected: it is busy, not absent, and is asked first again.
    assert over_rpc.connections == 3


async def test_http_that_fails_is_made_up_for_by_rpc(asking: SchedulerClient) -> None:
    over_rpc, over_http = RpcScheduler(), HttpScheduler()
    over_rpc.handshake = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    async with serving_rpc(over_rpc) as address, serving_http(over_http) as url:
        at = Endpoint(url, address)
        assert await asking.adaptive_target(at) == 1
        over_rpc.handshake = framed({})
        over_http.answers["adaptive_target"] = answering(404, "")
        over_rpc.bodies["adaptive_target"] = 2
        assert await asking.adaptive_target(at) == 2
        assert await asking.adaptive_target(at) == 2
    assert over_http.asked == ["adaptive_target"] * 2


async def test_rpc_over_ipv6(asking: SchedulerClient) -> None:
    async with serving_rpc(RpcScheduler(), host="::1") as address:
        assert await asking.adaptive_target(Endpoint(f"http://{NOWHERE}", address)) == 1


@pytest.mark.parametrize(
    "comm", ["", "simple-scheduler:8786", "ws://simple:8786", "tcp://simple", "tcp://[::1", "tcp://a:99999"]
)
async def test_addresses_that_are_none_are_errors(asking: SchedulerClient, comm: str) -> None:
    with pytest.raises(SchedulerError, match="not an address like tcp://host:8786") as raised:
        await asking.workers(Endpoint("no url", comm))
    assert raised.value.reason == "SchedulerUnreachable"


async def test_names_that_do_not_resolve_are_errors(asking: SchedulerClient) -> None:
    for host in ("nowhere.invalid", "a" * 70 + ".invalid", "a..b"):
        with pytest.raises(SchedulerError, match=host):
            await asking.workers(Endpoint(f"http://{host}:8787", f"tcp://{host}:8786"))
