"""RPC to a Dask scheduler: the few messages of distributed's protocol that the controller needs.

Not by means of ``distributed`` itself. Its reader unpickles whatever a message marks as pickled, even when it was
told not to deserialize (``distributed.protocol.core.loads``), so that whoever runs a scheduler, which is any user,
could run code in the controller and with the controller's rights. Here an answer is msgpack and stays plain data.

The framing (distributed.comm.tcp, distributed.protocol.utils) is the same from 2023.1 to 2026.8: the number of bytes,
then the number of frames, their lengths, and the frames, of which the first is the message in msgpack. All numbers
are 64 bits wide, in the byte order of the machine. Both sides first send a handshake.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgpack  # type: ignore[import-untyped]

from .errors import ANSWER_INVALID, UNREACHABLE, NoAnswerInTime, NotAsked, SchedulerError

CONNECT_TIMEOUT_SECONDS = 5.0
# A worker takes about 2 kB and 50 containers in the largest answer, which describes all workers.
MAX_ANSWER_BYTES = 8 * 2**20
MAX_CONTAINERS = 250_000

_NUMBER = struct.Struct("=Q")
_HANDSHAKE = {"compression": None, "pickle-protocol": 4}
_SCHEMES = ("tcp", "tls")

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def call(
    address: str,
    operation: str,
    arguments: Mapping[str, object],
    *,
    tls: ssl.SSLContext | None,
    timeout_seconds: float,
) -> Any:
    """Call one operation of a scheduler, over a connection of its own.

    Connecting takes at most 5 s more. A scheduler goes on with what it was asked when the connection is closed early.

    Args:
        address: of the scheduler, e.g. ``tcp://simple-scheduler.default.svc:8786``.
        operation: a key of ``Scheduler.handlers``. One that does not exist answers None.
        arguments: for the handler; what msgpack can express.
        tls: for tls addresses; None for the system's certificate authorities and no client certificate.
        timeout_seconds: how long the answer may take.

    Returns:
        What the handler returned; lists and tuples are tuples, and what is not plain data is a placeholder.

    Raises:
        NotAsked: no connection.
        NoAnswerInTime: no answer after ``timeout_seconds``.
        SchedulerError: the connection broke, the operation failed, or the answer is no message.
    """
    async with _connected(address, tls) as connection:
        return await _exchange(connection, address, operation, arguments, timeout_seconds)


@asynccontextmanager
async def _connected(address: str, tls: ssl.SSLContext | None) -> AsyncIterator[_Connection]:
    """A connection after the handshake; closed at once at the end, whatever the end was."""
    host, port, encrypted = _parse(address)
    writer: asyncio.StreamWriter | None = None
    try:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_connection(host, port, ssl=(tls or True) if encrypted else None)
                _send(writer, _HANDSHAKE)
                await _receive(reader)
        except TimeoutError as error:
            text = f"{address}: no connection within {CONNECT_TIMEOUT_SECONDS:.0f} s"
            raise NotAsked(UNREACHABLE, text) from error
        except EOFError as error:
            raise NotAsked(UNREACHABLE, f"{address}: closed the connection") from error
        except OSError as error:
            raise NotAsked(UNREACHABLE, f"{address}: {_text(error)}") from error
        except (ValueError, TypeError) as error:
            raise NotAsked(ANSWER_INVALID, f"{address}: not a Dask scheduler: {_text(error)}") from error
        yield reader, writer
    finally:
        if writer is not None:
            writer.transport.abort()


async def _exchange(
    connection: _Connection, address: str, operation: str, arguments: Mapping[str, object], timeout_seconds: float
) -> Any:
    reader, writer = connection
    try:
        async with asyncio.timeout(timeout_seconds):
            _send(writer, {"op": operation, "reply": True, "close": True, **arguments})
            answer = await _receive(reader)
    except TimeoutError as error:
        text = f"{address}: no answer to {operation} within {timeout_seconds:g} s"
        raise NoAnswerInTime(UNREACHABLE, text) from error
    except EOFError as error:
        text = f"{address}: closed the connection before it answered {operation}"
        raise SchedulerError(UNREACHABLE, text) from error
    except OSError as error:
        raise SchedulerError(UNREACHABLE, f"{address}: {operation}: {_text(error)}") from error
    except (ValueError, TypeError) as error:
        raise SchedulerError(ANSWER_INVALID, f"{address}: {operation}: {_text(error)}") from error
    if isinstance(answer, dict) and answer.get("status") == "uncaught-error":
        told = answer.get("exception_text")
        cause = told[:300] if isinstance(told, str) else "it does not say why"
        raise SchedulerError(ANSWER_INVALID, f"{address}: {operation} failed: {cause}")
    return answer


def _parse(address: str) -> tuple[str, int, bool]:
    """Host, port, and whether the connection is encrypted."""
    try:
        parts = urlsplit(address)
        if parts.scheme in _SCHEMES and parts.hostname and parts.port:
            return parts.hostname, parts.port, parts.scheme == "tls"
    except ValueError:
        pass
    raise NotAsked(UNREACHABLE, f"{address}: not an address like tcp://host:8786 or tls://host:8786")


def _send(writer: asyncio.StreamWriter, message: Mapping[str, object]) -> None:
    frame = msgpack.packb(message)
    frames = _NUMBER.pack(1) + _NUMBER.pack(len(frame)) + frame
    writer.write(_NUMBER.pack(len(frames)) + frames)


async def _receive(reader: asyncio.StreamReader) -> Any:
    """One message.

    Raises:
        OSError: the connection broke.
        EOFError: it was closed in the middle of the message.
        ValueError, TypeError: this is no message.
    """
    (length,) = _NUMBER.unpack(await reader.readexactly(_NUMBER.size))
    if length > MAX_ANSWER_BYTES:
        raise ValueError(f"an answer of {length} bytes is too large")
    frames = memoryview(await reader.readexactly(length))
    # The frames after the first hold what is not plain data.
    try:
        (count,) = _NUMBER.unpack_from(frames, 0)
        (size,) = _NUMBER.unpack_from(frames, _NUMBER.size)
    except struct.error as error:
        raise ValueError("the answer is cut off") from error
    start = _NUMBER.size * (1 + count)
    if not count or start + size > len(frames):
        raise ValueError("the answer is cut off")
    return _decode(frames[start : start + size])


def _decode(frame: memoryview) -> Any:
    containers = 0

    def count(container: Any) -> Any:
        # A byte of an answer can become an object of 64 bytes.
        nonlocal containers
        containers += 1
        if containers > MAX_CONTAINERS:
            raise ValueError("the answer has too many parts")
        return container

    try:
        # Some of distributed's mappings have tuples as keys.
        return msgpack.unpackb(
            frame, use_list=False, strict_map_key=False, object_hook=count, list_hook=count, raw=False
        )
    except RecursionError as error:
        raise ValueError("the answer is nested too deep") from error


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
