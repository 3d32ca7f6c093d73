"""The API server, and nothing else: the few requests that the controller makes, as raw objects over one session.

Watches are not here: kopf keeps them, each on a connection of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import aiohttp

from .resources import EVENTS, Resource

# Beyond 20 requests at once creating Pods gets no faster; above it, one large cluster may not starve the others.
MAX_CONNECTIONS = 64
REQUEST_TIMEOUT_SECONDS = 30.0
CONNECT_TIMEOUT_SECONDS = 10.0

MERGE_PATCH = "application/merge-patch+json"

_UNAUTHORIZED = 401
_ERROR = 400

Object = dict[str, Any]


class ApiError(Exception):
    """An answer of the API server other than success.

    Attributes:
        code: the HTTP status, e.g. 403; 0 when there was no answer at all.
        reason: the machine-readable reason of the Status object, e.g. ``AlreadyExists``.
        message: what the server says to people.
    """

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later with nobody changing anything."""
        return self.code in (0, 401, 408, 409, 429) or self.code >= 500


class Credentials(Protocol):
    """What is needed to talk to one API server (kopf's ConnectionInfo fits)."""

    @property
    def server(self) -> str:
        """Base URL of the API server."""

    def as_http_headers(self) -> dict[str, str]:
        """The Authorization header."""

    def as_ssl_context(self) -> Any:
        """The TLS context with the cluster's CA."""


class Client:
    """Requests to one API server over a session that keeps its connections.

    Args:
        login: reads the credentials; called again when the server refuses them, because tokens rotate.
    """

    def __init__(self, login: Callable[[], Awaitable[Credentials]]) -> None:
        self._login = login
        self._session: aiohttp.ClientSession | None = None
        self._server = ""
        self._headers: dict[str, str] = {}
        self._logged_in = asyncio.Lock()
        # Requests wait here and not inside the session, whose time limit would run meanwhile.
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        """Create an object and return it as stored.

        Raises:
            ApiError: with reason ``AlreadyExists`` when the name is taken.
        """
        return await self._request("POST", resource.path(namespace), body=body)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Object,
        *,
        subresource: str | None = None,
    ) -> Object:
        """Apply a JSON merge patch and return the object as stored.

        Raises:
            ApiError: the object is gone (404) or changed since (409, when the patch names a resourceVersion).
        """
        path = resource.path(namespace, name, subresource)
        return await self._request("PATCH", path, body=patch, content_type=MERGE_PATCH)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, version: int | None = None
    ) -> Object:
        """Delete one object, only if it is still the one with this uid; its children go in the background.

        Args:
            resource: its kind.
            namespace: where it is.
            name: its name.
            uid: its uid.
            version: the resource version that it must still have; None for any.

        Raises:
            ApiError: the object is gone already (404), is another one or has changed (409).
        """
        preconditions = {"uid": uid} if version is None else {"uid": uid, "resourceVersion": str(version)}
        body = {"propagationPolicy": "Background", "preconditions": preconditions}
        return await self._request("DELETE", resource.path(namespace, name), body=body)

    async def delete_collection(self, resource: Resource, namespace: str, *, label_selector: str) -> None:
        """Delete all objects that a label selector names, in one request."""
        await self._request(
            "DELETE",
            resource.path(namespace),
            body={"propagationPolicy": "Background"},
            params={"labelSelector": label_selector},
        )

    async def create_event(self, namespace: str, body: Object) -> None:
        """Write an Event."""
        await self.create(EVENTS, namespace, body)

    async def list(
        self,
        resource: Resource,
        namespace: str,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> tuple[list[Object], int]:
        """All objects that the selectors name, and the resource version at which the list was made.

        The list is at least as new as what any earlier answer showed.
        """
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        params = {key: value for key, value in selectors.items() if value}
        answer = await self._request("GET", resource.path(namespace), params=params)
        try:
            return list(answer.get("items") or ()), int(answer["metadata"]["resourceVersion"])
        except (KeyError, TypeError, ValueError) as error:
            raise ApiError(0, "NoAnswer", f"the API server's list of {resource.plural} has no version") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Object:
        session, headers = await self._connected()
        try:
            return await self._send(session, headers, method, path, body, content_type, params)
        except ApiError as error:
            if error.code != _UNAUTHORIZED:
                raise
        session, headers = await self._connected(refused=headers)
        return await self._send(session, headers, method, path, body, content_type, params)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        headers: Mapping[str, str],
        method: str,
        path: str,
        body: Object | None,
        content_type: str,
        params: Mapping[str, str] | None,
    ) -> Object:
        data = None if body is None else json.dumps(body, separators=(",", ":"))
        try:
            async with (
                self._slots,
                session.request(
                    method,
                    self._server + path,
                    data=data,
                    headers={**headers, "Content-Type": content_type},
                    params=params,
                ) as response,
            ):
                return await _answer(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            text = f"no answer from the API server to {method} {path}: {str(error) or type(error).__name__}"
            raise ApiError(0, "NoAnswer", text) from error

    async def _connected(
        self, *, refused: Mapping[str, str] | None = None
    ) -> tuple[aiohttp.ClientSession, Mapping[str, str]]:
        """The session and the credentials' headers; those that were ``refused`` are replaced first."""
        async with self._logged_in:
            if self._session is None or self._headers is refused:
                try:
                    credentials = await self._login()
                except Exception as error:
                    raise ApiError(0, "LoginFailed", f"no credentials for the API server: {error}") from error
                self._headers = credentials.as_http_headers()
                if self._session is None:
                    self._server = credentials.server.rstrip("/")
                    self._session = _new_session(credentials)
            return self._session, self._headers


def _new_session(credentials: Credentials) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers={"User-Agent": "dask-kubernetes-operator"},
        connector=aiohttp.TCPConnector(ssl=credentials.as_ssl_context(), limit=0),
        timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS),
    )


async def _answer(response: aiohttp.ClientResponse) -> Object:
    text = await response.text()
    try:
        payload = json.loads(text)
    except ValueError:
        payload = None
    if response.status >= _ERROR:
        status = payload if isinstance(payload, dict) else {}
        message = status.get("message") or text[:500] or response.reason or "no message"
        raise ApiError(response.status, status.get("reason") or "", message)
    if not isinstance(payload, dict):
        raise ApiError(0, "NoAnswer", f"the API server answered something that is not an object: {text[:200]!r}")
    return payload
