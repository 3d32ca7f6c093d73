"""A local port that leads to a port of a Pod, and finds the Pod again when there is a new one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import aiohttp

from dask_kubernetes.exceptions import ApiError, DaskKubernetesError, SchedulerConnectionError, ValidationError

from .client import Api

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
CHUNK_BYTES = 256 * 1024
# How long a connection waits for a Pod that takes it.
PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.5
_DATA, _ERROR = 0, 1


class PortForward:
    """A port of this machine that leads to a Pod; each connection asks anew which Pod that is.

    So whatever connects again after a Pod was replaced, or the network was away, arrives at the right one.

    Attributes:
        port: the local port, from `start` on.
    """

    def __init__(
        self, api: Api, namespace: str, find_pod: Callable[[], Awaitable[str]], remote_port: int, port: int = 0
    ) -> None:
        """Nothing is done yet.

        Args:
            api: the API server.
            namespace: where the Pod is.
            find_pod: gives the Pod's name, or raises `ApiError` or `SchedulerConnectionError` while there is none.
            remote_port: the port of the Pod.
            port: the local port, 0 for any that is free.
        """
        self._api = api
        self._namespace = namespace
        self._find_pod = find_pod
        self._remote_port = remote_port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = port

    async def start(self) -> Self:
        """Listen.

        Raises:
            ValidationError: the local port is taken.
        """
        try:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)
        except OSError as error:
            raise ValidationError(
                f"scheduler_forward_port is {self.port}, which cannot be used on this machine: {error.strerror}. "
                "Choose another, or leave it out for any that is free"
            ) from error
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def close(self) -> None:
        """Close the port and every connection through it."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own, as one of the server's cannot be cancelled without a complaint.
        task = asyncio.get_running_loop().create_task(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._carry(reader, writer)
        except DaskKubernetesError as error:
            logger.warning("Nothing is forwarded from port %s to port %s: %s", self.port, self._remote_port, error)
        except (aiohttp.ClientError, OSError) as error:
            logger.debug("A connection from port %s to port %s ended: %s", self.port, self._remote_port, error)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                pod = await self._find_pod()
                async with self._api.forward_stream(pod, self._remote_port, self._namespace) as websocket:
                    if await self._opened(websocket):
                        await _both_ways(reader, writer, websocket)
                        return
            except (ApiError, SchedulerConnectionError) as error:
                if _is_final(error) or time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise SchedulerConnectionError(f"the Pod does not take connections to its port {self._remote_port}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _opened(self, websocket: aiohttp.ClientWebSocketResponse) -> bool:
        """Whether both channels began: each with a message of its own that has the port in it."""
        for _ in (_DATA, _ERROR):
            message = await websocket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return False
        return True


async def check_may_forward(api: Api, pod: str, port: int, namespace: str) -> None:
    """See that the ports of a Pod may be forwarded: once a port is open, there is nobody to tell.

    Raises:
        ApiError: they may not. Whatever else is wrong is met again at the open port.
    """
    try:
        async with api.forward_stream(pod, port, namespace):
            pass
    except ApiError as error:
        if _is_final(error):
            raise
        logger.debug("%s", error)


def _is_final(error: DaskKubernetesError) -> bool:
    return isinstance(error, ApiError) and error.status in (401, 403)


async def _both_ways(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, websocket: aiohttp.ClientWebSocketResponse
) -> None:
    """Carry data until one side ends; the protocol cannot end in one direction only."""
    directions = [
        asyncio.create_task(_outward(reader, websocket)),
        asyncio.create_task(_inward(writer, websocket)),
    ]
    try:
        done, _ = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for direction in done:
            direction.result()
    finally:
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)


async def _outward(reader: asyncio.StreamReader, websocket: aiohttp.ClientWebSocketResponse) -> None:
    while data := await reader.read(CHUNK_BYTES):
        await websocket.send_bytes(b"\0" + data)


async def _inward(writer: asyncio.StreamWriter, websocket: aiohttp.ClientWebSocketResponse) -> None:
    async for message in websocket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            return
        if message.data[0] == _ERROR:
            raise ConnectionError(bytes(message.data[1:]).decode(errors="replace"))
        writer.write(memoryview(message.data)[1:])
        await writer.drain()
