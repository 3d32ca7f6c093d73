"""The API server, and nothing else: the few requests that the controller makes, as raw objects over one session.

Watches are not here: kopf keeps them, over a session that is made here too, so that all requests are counted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

import aiohttp

from . import passes
from .metrics import API_REQUESTS
from .resources import EVENTS, Resource
from .slots import FairSlots

# Beyond 20 requests at once creating Pods gets no faster; above it, one large cluster may not starve the others.
MAX_CONNECTIONS = 64
# A page of Pods is a few megabytes.
_PAGE = 500
REQUEST_TIMEOUT_SECONDS = 30.0
CONNECT_TIMEOUT_SECONDS = 10.0

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_ERROR = 400

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}

Object = dict[str, Any]
# Some objects, and the resource version at which they were listed.
Page = tuple[list[Object], int]
# The operations of a JSON patch.
Operations = list[Object]


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
    def is_farewell(self) -> bool:
        """Whether it is refused because the namespace is being deleted, and everything in it with it."""
        return self.code == _FORBIDDEN and "because it is being terminated" in self.message

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

    @property
    def proxy_url(self) -> str | None:
        """The HTTP proxy between here and the API server, if there is one."""

    @property
    def trust_env(self) -> bool:
        """Whether the proxy is to be looked for in the environment."""


class Client:
    """Requests to one API server over a session that keeps its connections.

    Args:
        login: reads the credentials; called again when the server refuses them, because tokens rotate.
        may_write: asked before every write; while it says no, nothing is sent and the write fails as if unanswered.
    """

    def __init__(
        self,
        login: Callable[[], Awaitable[Credentials]],
        *,
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self._login = login
        self._may_write = may_write
        self._session: aiohttp.ClientSession | None = None
        self._server = ""
        self._headers: dict[str, str] = {}
        self._logged_in = asyncio.Lock()
        # Requests wait here and not inside the session, whose time limit would run meanwhile.
        self._slots = FairSlots(MAX_CONNECTIONS)

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
        patch: Object | Operations,
        *,
        subresource: str | None = None,
    ) -> Object:
        """Apply a JSON merge patch, or the operations of a JSON patch, and return the object as stored.

        Raises:
            ApiError: the object is gone (404) or changed since (409, when the patch names a resourceVersion).
        """
        path = resource.path(namespace, name, subresource)
        content_type = JSON_PATCH if isinstance(patch, list) else MERGE_PATCH
        return await self._request("PATCH", path, body=patch, content_type=content_type)

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
    ) -> Page:
        """All objects that the selectors name, and the resource version at which the list was made.

        The list is at least as new as what any earlier answer showed.
        """
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        params = {key: value for key, value in selectors.items() if value}
        return _listed(resource, await self._request("GET", resource.path(namespace), params=params))

    async def pages(
        self, resource: Resource, namespace: str | None, *, label_selector: str | None = None
    ) -> AsyncIterator[Page]:
        """The same in pieces that do not take much memory, all made at the same resource version.

        Args:
            resource: what to list.
            namespace: where; None for everywhere.
            label_selector: which objects.
        """
        params = {"limit": str(_PAGE), **({"labelSelector": label_selector} if label_selector else {})}
        while True:
            answer = await self._request("GET", resource.path(namespace), params=params)
            yield _listed(resource, answer)
            if not (rest := answer["metadata"].get("continue")):
                return
            params["continue"] = rest

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Read one object.

        Raises:
            ApiError: with code 404 when there is none of that name.
        """
        return await self._request("GET", resource.path(namespace, name))

    async def served(self, group: str, version: str) -> frozenset[str]:
        """The plurals of the kinds that are served in an API group; none when the API server does not know it."""
        try:
            answer = await self._request("GET", f"/apis/{group}/{version}")
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
            return frozenset()
        return frozenset(str(kind["name"]) for kind in answer.get("resources") or ())

    async def may_list_namespaces(self) -> bool:
        """Whether there is a right to find out which namespaces there are."""
        try:
            await self._request("GET", "/api/v1/namespaces", params={"limit": "1"})
        except ApiError as error:
            if error.code != _FORBIDDEN:
                raise
            return False
        return True

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
        body: Object | Operations | None = None,
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
        body: Object | Operations | None,
        content_type: str,
        params: Mapping[str, str] | None,
    ) -> Object:
        data = None if body is None else json.dumps(body, separators=(",", ":"))
        try:
            with passes.asking() as cluster:
                async with self._slots.one(cluster):
                    if method != "GET" and not self._may_write():
                        raise ApiError(0, "NotLeading", f"another replica leads: {method} {path} is left to it")
                    async with session.request(
                        method,
                        self._server + path,
                        data=data,
                        headers={**headers, "Content-Type": content_type},
                        params=params,
                    ) as response:
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
                    self._session = new_session(credentials)
            return self._session, self._headers


def new_session(credentials: Credentials, *traces: aiohttp.TraceConfig) -> aiohttp.ClientSession:
    """A session with the API server, whose requests are counted; its owner closes it.

    Args:
        credentials: whose address, TLS and proxy are used; the Authorization header is left to the caller.
        traces: who else is to be told of the requests.
    """
    return aiohttp.ClientSession(
        headers={"User-Agent": "dask-kubernetes-operator"},
        connector=aiohttp.TCPConnector(ssl=credentials.as_ssl_context(), limit=0),
        timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS),
        proxy=credentials.proxy_url,
        trust_env=credentials.trust_env,
        trace_configs=[_counting(), *traces],
    )


def _counting() -> aiohttp.TraceConfig:
    async def answered(_session: object, _context: object, params: aiohttp.TraceRequestEndParams) -> None:
        verb, resource = verb_and_resource(params.method, params.url.path, params.url.query)
        API_REQUESTS.labels(verb, resource, str(params.response.status)).inc()

    async def failed(_session: object, _context: object, params: aiohttp.TraceRequestExceptionParams) -> None:
        verb, resource = verb_and_resource(params.method, params.url.path, params.url.query)
        API_REQUESTS.labels(verb, resource, "none").inc()

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(answered)
    trace.on_request_exception.append(failed)
    return trace


def verb_and_resource(method: str, path: str, query: Mapping[str, str]) -> tuple[str, str]:
    """What a request asks for, in the words of Kubernetes' access rules: ``("patch", "daskclusters/status")``.

    What is no matter of resources, such as the list of what is served, is of the resource ``other``.
    """
    root, *parts = path.strip("/").split("/")
    parts = parts[1 if root == "api" else 2 :]
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    if root not in ("api", "apis") or not parts:
        return method.lower(), "other"
    named = len(parts) > 1
    resource = "/".join([parts[0], *parts[2:]])
    if method == "GET":
        verb = "get" if named else "watch" if query.get("watch") in ("true", "1") else "list"
    elif method == "DELETE":
        verb = "delete" if named else "deletecollection"
    else:
        verb = _VERBS.get(method, method.lower())
    return verb, resource


def _listed(resource: Resource, answer: Object) -> Page:
    try:
        return list(answer.get("items") or ()), int(answer["metadata"]["resourceVersion"])
    except (KeyError, TypeError, ValueError) as error:
        raise ApiError(0, "NoAnswer", f"the API server's list of {resource.plural} has no version") from error


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
