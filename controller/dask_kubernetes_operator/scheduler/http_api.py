"""The HTTP API of a Dask scheduler: JSON, each request over a connection of its own.

Its routes exist only if the scheduler's configuration ``distributed.scheduler.http.routes`` names
``distributed.http.scheduler.api``, which is not the default.
"""

from __future__ import annotations

import json
import ssl
from typing import Any

import aiohttp

from .errors import ANSWER_INVALID, UNREACHABLE, NoAnswerInTime, NotAsked, SchedulerError

CONNECT_TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 4 * 2**20

_CHUNK_BYTES = 2**16
_OK = 200
_NOT_OFFERED = (404, 405)


class HttpApi:
    """A session that asks any scheduler; certificates are verified, redirects and proxies are not followed.

    Args:
        tls: for https; None for the system's certificate authorities.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def request(self, dashboard: str, route: str, *, body: object = None, timeout_seconds: float) -> Any:
        """Get a route of the API, or post to it when there is a body.

        Args:
            dashboard: URL of the scheduler's HTTP server.
            route: what follows ``/api/v1/``.
            body: what to post, as JSON.
            timeout_seconds: for everything together.

        Raises:
            NotAsked: no connection, or no such route.
            NoAnswerInTime: no complete answer after ``timeout_seconds``.
            SchedulerError: the connection broke, or the answer is not success, too large or no JSON.
        """
        url = f"{dashboard.rstrip('/')}/api/v1/{route}"
        try:
            async with self._connected().request(
                "GET" if body is None else "POST",
                url,
                json=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_TIMEOUT_SECONDS),
            ) as response:
                text = await _read(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise NotAsked(UNREACHABLE, f"{url}: {_text(error)}") from error
        except TimeoutError as error:
            raise NoAnswerInTime(UNREACHABLE, f"{url}: no answer within {timeout_seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise SchedulerError(UNREACHABLE, f"{url}: {_text(error)}") from error
        except ValueError as error:
            raise SchedulerError(ANSWER_INVALID, f"{url}: {_text(error)}") from error
        if response.status in _NOT_OFFERED:
            raise NotAsked(UNREACHABLE, f"{url}: HTTP {response.status}, the scheduler's HTTP API is not enabled")
        if response.status != _OK:
            raise SchedulerError(ANSWER_INVALID, f"{url}: HTTP {response.status} {str(response.reason)[:200]}")
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SchedulerError(ANSWER_INVALID, f"{url}: the answer is no JSON: {text[:100]!r}") from error

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={"User-Agent": "dask-kubernetes-operator", "Accept-Encoding": "identity"},
                # A kept connection may break under a request, and then nobody knows whether the request arrived.
                connector=aiohttp.TCPConnector(ssl=self._tls or True, limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A small answer may otherwise unpack to a large one.
                auto_decompress=False,
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    chunks = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        chunks += chunk
        if len(chunks) > MAX_ANSWER_BYTES:
            raise ValueError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(chunks)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
