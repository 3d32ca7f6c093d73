"""Requests to the API server, with plain dicts in and out.

kubernetes_asyncio finds the credentials, keeps them fresh and holds the connections. It was chosen over kr8s and
lightkube by what they do (versions of November 2026, measured on the same machine):

- A request that is forbidden is one request. kr8s makes four, and runs the exec plugin of the kubeconfig before each.
- Private keys of a kubeconfig are written to temporary files once, and removed at exit. kr8s leaves a new set behind
  whenever it logs in.
- exec plugins of ``client.authentication.k8s.io/v1``, client certificates from them and expiring tokens work.
  lightkube takes neither the first nor the second; kr8s waits until a token is refused.
- It stands on aiohttp, whose websockets are masked in C: what a port-forward costs is that. lightkube has none.
- It takes 2.3 s to import, kr8s 0.9 s, lightkube 0.4 s. That is why nothing imports this module before it is needed.

Nothing of its 700 generated classes is used: objects are dicts, as they are in manifests.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp

from dask_kubernetes.exceptions import ApiError, ApiUnreachableError, CredentialsError, NotFoundError

from .errors import error_of
from .login import Login, log_in
from .resources import EVENTS, PODS, REVIEWS, SERVICES, Object, Resource

REQUEST_TIMEOUT_SECONDS = 30.0
_ROUNDS_TO_CLOSE = 3
CONNECT_TIMEOUT_SECONDS = 10.0
# How long a request that may be repeated is, once the API server has been there.
RETRY_SECONDS = 60.0
# A watch that is cut off without a word is noticed this late.
WATCH_SECONDS = 30
# Before a watch that was lost begins anew.
WATCH_PAUSE_SECONDS = 0.5
PAGE = 500

ALL_NAMESPACES = "*"
"""As a namespace: all of them."""

Objects = list[Object]

_BUSY = (429, 500, 502, 503, 504)
_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class WatchEvent:
    """What a watch tells.

    Attributes:
        type: ``ADDED``, ``MODIFIED`` or ``DELETED``; ``SYNCED``, without an object, once all there was has been told.
        object: the object after that.
    """

    type: str
    object: Object


class Api:
    """An API server, for one event loop. Use `connect`; close it when done, or use it as a context manager.

    A namespace that is None is `namespace`. Every method raises `ApiError` or what derives from it.

    Attributes:
        namespace: that of the context, or of the Pod.
        source: where the credentials come from, for people.
        in_cluster: whether this process runs in a Pod of the same cluster, and reaches Services by their names.
    """

    def __init__(self, login: Login, kubeconfig: str | None = None, context: str | None = None) -> None:
        self._login = login
        self._replaced: list[Login] = []
        self._options = (kubeconfig, context)
        self._answered = False
        self.namespace = login.namespace
        self.source = login.source
        self.in_cluster = login.in_cluster

    @classmethod
    async def connect(cls, kubeconfig: str | None = None, context: str | None = None) -> Self:
        """Find credentials; nothing is sent yet.

        Args:
            kubeconfig: path of a kubeconfig other than KUBECONFIG or ~/.kube/config.
            context: a context other than the current one.

        Raises:
            CredentialsError: there are none that can be used.
        """
        return cls(await log_in(kubeconfig, context), kubeconfig, context)

    async def close(self) -> None:
        """Close all connections."""
        for login in (*self._replaced, self._login):
            await login.client.close()
        # What was hung up a moment ago is closed in the next rounds of the event loop, which may end after this.
        for _ in range(_ROUNDS_TO_CLOSE):
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return str(self._login.client.configuration.host)

    # Objects -------------------------------------------------------------------------------------------------------

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        """One object.

        Raises:
            NotFoundError: there is none of that name.
            NotInstalledError: the kind is not known.
        """
        return await self._json("GET", resource, namespace, name, what=("get", name))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> Objects:
        """The objects that a label selector and a field selector name, in pages of 500."""
        objects, _ = await self._list(resource, namespace, _selectors(labels, fields))
        return objects

    async def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None, *, dry_run: bool = False
    ) -> Object:
        """Create an object, or only see whether that would be refused.

        Raises:
            ConflictError: there is one of that name.
            InvalidObjectError: the API server says which field is wrong.
        """
        name = str(body.get("metadata", {}).get("name", "")) or None
        query = {"dryRun": "All"} if dry_run else None
        return await self._json("POST", resource, namespace, query=query, body=body, what=("create", name))

    async def patch(
        self, resource: Resource, name: str, body: Mapping[str, Any], namespace: str | None = None
    ) -> Object:
        """Change what a JSON merge patch names."""
        return await self._json("PATCH", resource, namespace, name, body=body, what=("patch", name))

    async def scale(self, resource: Resource, name: str, replicas: int, namespace: str | None = None) -> Object:
        """Set ``spec.replicas`` of an object's scale."""
        body = {"spec": {"replicas": replicas}}
        return await self._json("PATCH", resource, namespace, name, "scale", body=body, what=("patch", name))

    async def delete(
        self, resource: Resource, name: str, namespace: str | None = None, *, uid: str | None = None
    ) -> None:
        """Delete an object; garbage collection sees to what it owns. One that is not there is deleted already.

        Args:
            resource: its kind.
            name: its name.
            namespace: its namespace.
            uid: delete it only if it is still this one.

        Raises:
            ConflictError: it has another uid.
        """
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        with suppress(NotFoundError):
            await self._json("DELETE", resource, namespace, name, body=body, what=("delete", name))

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        name: str | None = None,
        labels: str | None = None,
    ) -> AsyncGenerator[WatchEvent]:
        """What is there, then every change, without end.

        It goes on after the connection is lost: all there is is told again as ADDED, and what is gone as DELETED.

        Raises:
            ApiError: the API server refuses, or cannot be reached for longer than a minute.
        """
        selectors = _selectors(labels, f"metadata.name={name}" if name else None)
        known: dict[str, Object] = {}
        while True:
            objects, version = await self._list(resource, namespace, selectors)
            there = {_key(found): found for found in objects}
            for key in known.keys() - there.keys():
                yield WatchEvent("DELETED", known[key])
            for found in objects:
                yield WatchEvent("ADDED", found)
            known = there
            yield WatchEvent("SYNCED", {})
            async with aclosing(self._changes(resource, namespace, selectors, version)) as changes:
                async for event in changes:
                    if event.type == "DELETED":
                        known.pop(_key(event.object), None)
                    else:
                        known[_key(event.object)] = event.object
                    yield event
            await asyncio.sleep(WATCH_PAUSE_SECONDS)

    # What is not an object -----------------------------------------------------------------------------------------

    async def logs(
        self,
        pod: str,
        namespace: str | None = None,
        *,
        container: str | None = None,
        tail_lines: int | None = None,
        previous: bool = False,
    ) -> str:
        """The log of a container, or the last lines of it, or of the one before it ended and was started again."""
        query = _log_query(container, tail_lines, previous)
        url, what = self._target(PODS, namespace, pod, "log"), self._what("get", PODS, namespace, f"{pod}/log")
        return (await self._read("GET", url, what, query)).decode(errors="replace")

    async def follow_logs(
        self,
        pod: str,
        namespace: str | None = None,
        *,
        container: str | None = None,
        tail_lines: int | None = None,
    ) -> AsyncIterator[str]:
        """The lines of a log as they are written, until the container ends."""
        query = {**_log_query(container, tail_lines, previous=False), "follow": "true"}
        url, what = self._target(PODS, namespace, pod, "log"), self._what("get", PODS, namespace, f"{pod}/log")
        endless = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_SECONDS)
        async with self._response("GET", url, what, query, limits=endless) as response:
            async for line in response.content:
                yield line.decode(errors="replace").rstrip("\n")

    async def events(self, kind: str, name: str, namespace: str | None = None) -> Objects:
        """The events about an object, the oldest first."""
        fields = f"involvedObject.kind={kind},involvedObject.name={name}"
        found = await self.list(EVENTS, namespace, fields=fields)
        return sorted(found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    async def may(
        self, verb: str, resource: Resource, namespace: str | None = None, *, subresource: str | None = None
    ) -> bool:
        """Whether the credentials may do something, which is not tried."""
        attributes = {"verb": verb, "group": resource.group, "resource": resource.plural}
        if resource.namespaced and namespace != ALL_NAMESPACES:
            attributes["namespace"] = namespace or self.namespace
        if subresource:
            attributes["subresource"] = subresource
        review = {"apiVersion": REVIEWS.api_version, "kind": REVIEWS.kind, "spec": {"resourceAttributes": attributes}}
        answer = await self.create(REVIEWS, review)
        return bool(answer.get("status", {}).get("allowed"))

    async def version(self) -> dict[str, Any]:
        """What the API server says of itself, with ``gitVersion`` in it."""
        return dict(json.loads(await self._read("GET", self.server + "/version", "read the version")))

    async def fetch_from_service(
        self, service: str, port: str | int, path: str, namespace: str | None = None
    ) -> bytes:
        """What a Service answers to GET, by way of the API server's proxy."""
        url = self._target(SERVICES, namespace, f"{service}:{port}", "proxy") + path
        return await self._read("GET", url, self._what("get", SERVICES, namespace, f"{service}/proxy"))

    @asynccontextmanager
    async def forward_stream(
        self, pod: str, port: int, namespace: str | None = None
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A websocket that leads to a port of a Pod; `forward.PortForward` makes a local port of it.

        The first byte of every message is the channel: 0 for data both ways, 1 for an error.
        """
        url = self._target(PODS, namespace, pod, "portforward") + f"?ports={port}"
        what = self._what("create", PODS, namespace, f"{pod}/portforward")
        session, headers = self._login.client.rest_client.pool_manager, await self._headers()
        headers.pop("Content-Type", None)
        headers["Accept"] = "*/*"  # what is answered is a stream, and to ask for JSON is refused with 406
        try:
            websocket = await session.ws_connect(
                url.replace("http", "ws", 1),
                headers=headers,
                protocols=("v4.channel.k8s.io",),
                max_msg_size=0,
                # An API server that is gone for half a minute may come back; a connection that is lost is not kept.
                heartbeat=150,
                **self._connection_options(),
            )
        except aiohttp.WSServerHandshakeError as error:
            raise error_of(error.status, _of_handshake(error), request=what) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(what, error) from error
        connection = websocket.get_extra_info("socket")
        try:
            yield websocket
        finally:
            await websocket.close()
            with suppress(OSError):  # as in _hang_up; a websocket does not show its transport
                connection.shutdown(socket.SHUT_RDWR)

    # How -----------------------------------------------------------------------------------------------------------

    async def _list(self, resource: Resource, namespace: str | None, query: Mapping[str, str]) -> tuple[Objects, str]:
        found: Objects = []
        page = {**query, "limit": str(PAGE)}
        while True:
            answer = await self._json("GET", resource, namespace, query=page, what=("list", None))
            found += answer.get("items") or []
            metadata = answer.get("metadata") or {}
            if not metadata.get("continue"):
                break
            page["continue"] = metadata["continue"]
        # A list does not repeat for each object what is the same for all.
        known = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [{**known, **item} for item in found], str(metadata.get("resourceVersion", ""))

    async def _changes(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str], version: str
    ) -> AsyncGenerator[WatchEvent]:
        """Changes after a version, until the connection is lost or the API server knows that version no longer."""
        url, what = self._target(resource, namespace), self._what("watch", resource, namespace, None)
        limits = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=WATCH_SECONDS + 10)
        while True:
            asked = {
                **query,
                "watch": "true",
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(WATCH_SECONDS),
            }
            began = time.monotonic()
            try:
                async with self._response("GET", url, what, asked, limits=limits) as response:
                    async for line in response.content:
                        event = json.loads(line)
                        body = event["object"]
                        if event["type"] == "ERROR":
                            return
                        version = body["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            yield WatchEvent(event["type"], body)
            except ApiUnreachableError:
                return
            except ApiError as error:
                if error.status != 410 and error.status not in _BUSY:
                    raise
                return
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
                return
            if time.monotonic() < began + 1:
                return  # something on the way does not let watches through

    async def _json(
        self,
        method: str,
        resource: Resource,
        namespace: str | None,
        name: str | None = None,
        subresource: str | None = None,
        *,
        what: tuple[str, str | None],
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Object:
        url = self._target(resource, namespace, name, subresource)
        verb, asked_for = what
        named = f"{asked_for}/{subresource}" if asked_for and subresource else asked_for
        answer = await self._read(method, url, self._what(verb, resource, namespace, named), query, body)
        return dict(json.loads(answer))

    async def _read(
        self,
        method: str,
        url: str,
        what: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Send a request until it is answered, as long as it may be repeated and there is hope."""
        limits = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS)
        began = time.monotonic()
        pauses = iter(_PAUSES_SECONDS)
        while True:
            try:
                async with self._response(method, url, what, query, body, limits=limits) as response:
                    return await response.read()
            except ApiError as error:
                if not _may_be_repeated(method, error) or self._has_no_hope(began):
                    raise
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if method == "POST" or self._has_no_hope(began):
                    raise self._unreachable(what, error) from error
            await asyncio.sleep(next(pauses, _PAUSES_SECONDS[-1]))

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        url: str,
        what: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        limits: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body)
        if query:
            url = f"{url}?{urlencode(query)}"
        for attempt in (1, 2):
            session = self._login.client.rest_client.pool_manager
            headers = {**await self._headers(), "Content-Type": content}
            try:
                response = await session.request(
                    method, url, data=data, headers=headers, timeout=limits, **self._connection_options()
                )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise self._unreachable(what, error) from error
            async with response:
                self._answered = True
                if response.status == 401 and attempt == 1:
                    await self._log_in_again()
                    continue
                if response.status >= 400:
                    raise error_of(response.status, await response.read(), request=what)
                try:
                    yield response
                finally:
                    _hang_up(response)
                return

    def _has_no_hope(self, began: float) -> bool:
        """An API server that never answered is not waited for: its address is wrong, or the network is."""
        return not self._answered or time.monotonic() > began + RETRY_SECONDS

    async def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        try:
            await self._login.client.update_params_for_auth(headers, [], ["BearerToken"])
        except Exception as error:  # whatever a plugin that renews credentials comes up with
            raise CredentialsError(f"the credentials of {self.source} cannot be renewed: {error}") from error
        return headers

    async def _log_in_again(self) -> None:
        """A token that was replaced in the kubeconfig, or taken back, is read anew. What is under way goes on."""
        login = await log_in(*self._options)
        self._replaced.append(self._login)
        self._login = login

    def _connection_options(self) -> dict[str, Any]:
        configuration = self._login.client.configuration
        options: dict[str, Any] = {}
        if configuration.proxy:
            options["proxy"] = configuration.proxy
        if configuration.tls_server_name:
            options["server_hostname"] = configuration.tls_server_name
        return options

    def _target(
        self, resource: Resource, namespace: str | None, name: str | None = None, subresource: str | None = None
    ) -> str:
        place = None if namespace == ALL_NAMESPACES else namespace or self.namespace
        return self.server + resource.path(place, name, subresource)

    def _what(self, verb: str, resource: Resource, namespace: str | None, name: str | None) -> str:
        target = f"{resource.plural}/{name}" if name else resource.plural
        if not resource.namespaced:
            return f"{verb} {target}"
        if namespace == ALL_NAMESPACES:
            return f"{verb} {target} in all namespaces"
        return f"{verb} {target} in the namespace {namespace or self.namespace!r}"

    def _unreachable(self, what: str, error: Exception) -> ApiUnreachableError:
        reason = str(error) or type(error).__name__
        return ApiUnreachableError(
            f"cannot {what}: the API server at {self.server} ({self.source}) does not answer: {reason}"
        )


def _may_be_repeated(method: str, error: ApiError) -> bool:
    if isinstance(error, ApiUnreachableError):
        # A request that may have arrived is not sent twice, unless it does the same twice.
        return method != "POST" or isinstance(error.__cause__, aiohttp.ClientConnectorError)
    return error.status == 429 or (error.status in _BUSY and method != "POST")


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """End the connection of an answer that was not read to its end.

    TLS would first wait for the farewell of the other side, for up to half a minute, and an event loop that ends
    meanwhile leaves the socket open.
    """
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


def _of_handshake(error: aiohttp.WSServerHandshakeError) -> str:
    """The body of the answer does not get through aiohttp."""
    if error.status == 403:
        return json.dumps({"message": "the credentials lack the verbs 'get' and 'create' on 'pods/portforward'"})
    return error.message


def _selectors(labels: str | None, fields: str | None) -> dict[str, str]:
    asked = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in asked.items() if value}


def _log_query(container: str | None, tail_lines: int | None, previous: bool) -> dict[str, str]:
    query = {} if container is None else {"container": container}
    if tail_lines is not None:
        query["tailLines"] = str(tail_lines)
    if previous:
        query["previous"] = "true"
    return query


def _key(body: Object) -> str:
    return str(body["metadata"]["uid"])
