"""A small API server over real HTTP, in a thread of its own: objects, watches, logs, and ports of Pods."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import WSMsgType, web

Object = dict[str, Any]

DASK = ("daskclusters", "daskworkergroups", "daskjobs", "daskautoscalers")
TOKEN = "a-token"  # noqa: S105


@dataclass
class FakeApi:
    """An API server that any client can talk to while the test looks on.

    Attributes:
        url: where it is.
        kubeconfig: a file that leads to it.
        token: the bearer token that it takes.
        objects: what there is, by plural, namespace and name.
        refusals: answers to give instead, by verb and plural: a status and a Status object.
        requests: verb and path of each request, in order.
        logs: the log of each Pod, and of the container before this one under ``<pod>/previous``.
        ports: the local port that stands for the port of a Pod.
        listeners: called with event type, plural and object after each change.
    """

    url: str
    kubeconfig: Path
    token: str = TOKEN
    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    refusals: dict[tuple[str, str], tuple[int, Object]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    listeners: list[Callable[[str, str, Object], None]] = field(default_factory=list)
    open_streams: int = 0
    loop: asyncio.AbstractEventLoop = field(default=None)  # type: ignore[assignment]
    _version: int = 100
    _watches: list[tuple[str, str | None, dict[str, str], asyncio.Queue[Object | None]]] = field(default_factory=list)
    _connections: set[web.WebSocketResponse] = field(default_factory=set)

    # What a test does ----------------------------------------------------------------------------------------------

    def run(self, call: Callable[[], Any]) -> Any:
        """Run something in the server's thread."""
        done: Future[Any] = Future()

        def act() -> None:
            try:
                done.set_result(call())
            except BaseException as error:
                done.set_exception(error)

        self.loop.call_soon_threadsafe(act)
        return done.result(10)

    def put(self, plural: str, body: Object, namespace: str = "default") -> Object:
        """Create or replace an object, as somebody else would."""
        return dict(self.run(lambda: self.store(plural, body, namespace)))

    def patch(self, plural: str, name: str, change: Object, namespace: str = "default") -> None:
        """Change an object, as somebody else would, if it is there."""

        def act() -> None:
            if found := self.objects.get((plural, namespace, name)):
                self.store(plural, _merged(found, change), namespace)

        self.run(act)

    def remove(self, plural: str, name: str, namespace: str = "default") -> None:
        """Delete an object, as somebody else would."""
        self.run(lambda: self.drop(plural, name, namespace))

    def named(self, plural: str) -> list[str]:
        """The names of the objects of a kind."""
        return sorted(name for kind, _, name in self.objects if kind == plural)

    def count(self, verb: str, part: str = "") -> int:
        """How many requests there were of a verb, with something in their path."""
        return sum(1 for asked, path in list(self.requests) if asked == verb and part in path)

    def cut(self) -> None:
        """End all watches and all streams, as a lost connection does."""
        self.run(self._cut)

    # What there is -------------------------------------------------------------------------------------------------

    def store(self, plural: str, body: Object, namespace: str) -> Object:
        self._version += 1
        key = (plural, namespace, body["metadata"]["name"])
        old = self.objects.get(key)
        metadata = {
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "uid": f"uid-{self._version}",
            **(old["metadata"] if old else {}),
            **body["metadata"],
            "namespace": namespace,
            "resourceVersion": str(self._version),
        }
        self.objects[key] = {**body, "metadata": metadata}
        self._tell("MODIFIED" if old else "ADDED", plural, self.objects[key])
        return self.objects[key]

    def drop(self, plural: str, name: str, namespace: str) -> Object | None:
        gone = self.objects.pop((plural, namespace, name), None)
        if gone:
            self._version += 1
            gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self._version)}}
            self._tell("DELETED", plural, gone)
        return gone

    def _tell(self, event: str, plural: str, body: Object) -> None:
        for kind, namespace, query, queue in self._watches:
            if kind == plural and namespace in (None, body["metadata"]["namespace"]) and _selected(body, query):
                queue.put_nowait({"type": event, "object": body})
        for listener in self.listeners:
            listener(event, plural, body)

    def _cut(self) -> None:
        for *_, queue in self._watches:
            queue.put_nowait(None)
        for connection in list(self._connections):
            with suppress(AttributeError):
                connection._req.transport.close()  # type: ignore[union-attr]

    # HTTP ----------------------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if request.path == "/version":
            return web.json_response({"gitVersion": "v1.36.3"})
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = None
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        plural, name, subresource = (*parts, None, None)[:3]
        assert plural is not None
        verb = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(request.method, "get" if name else "list")
        if "watch" in request.query:
            verb = "watch"
        self.requests.append((verb, request.path))
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized", "Unauthorized")
        full = f"{plural}/{subresource}" if subresource else plural
        if (verb, full) in self.refusals:
            status, body = self.refusals[verb, full]
            return web.json_response(body, status=status)
        if plural == "selfsubjectaccessreviews":
            asked = (await request.json())["spec"]["resourceAttributes"]
            allowed = (asked["verb"], asked["resource"]) not in self.refusals
            return web.json_response({"status": {"allowed": allowed}}, status=201)
        if subresource == "log":
            return self._log(request, str(name))
        if subresource == "portforward":
            return await self._forward(request, str(name))
        if verb == "watch":
            return await self._watch(request, plural, namespace)
        if verb == "list":
            return self._list(request, plural, namespace)
        assert namespace is not None or plural == "nodes"
        return await self._one(request, plural, namespace or "", name, subresource)

    async def _one(
        self, request: web.Request, plural: str, namespace: str, name: str | None, subresource: str | None
    ) -> web.Response:
        body = json.loads(await request.text() or "null")
        if request.method == "POST":
            name = body["metadata"]["name"]
            if (plural, namespace, name) in self.objects:
                return _status(409, "AlreadyExists", f'{plural} "{name}" already exists', name)
            if request.query.get("dryRun") == "All":
                return web.json_response(body, status=201)
            return web.json_response(self.store(plural, body, namespace), status=201)
        found = self.objects.get((plural, namespace, str(name)))
        if found is None:
            return _status(404, "NotFound", f'{plural} "{name}" not found', name)
        if request.method == "PATCH":
            if subresource == "scale":
                body = {"spec": {"worker": {"replicas": body["spec"]["replicas"]}}}
            found = self.store(plural, _merged(found, body), namespace)
        elif request.method == "DELETE":
            uid = (body or {}).get("preconditions", {}).get("uid")
            if uid not in (None, found["metadata"]["uid"]):
                return _status(409, "Conflict", "the UID in the precondition does not match", name)
            self.drop(plural, str(name), namespace)
        return web.json_response(found)

    def _list(self, request: web.Request, plural: str, namespace: str | None) -> web.Response:
        items = [
            body
            for (kind, place, _), body in sorted(self.objects.items())
            if kind == plural and namespace in (None, place) and _selected(body, dict(request.query))
        ]
        start, limit = int(request.query.get("continue", 0)), int(request.query.get("limit", 500))
        metadata = {"resourceVersion": str(self._version)}
        if len(items) > start + limit:
            metadata["continue"] = str(start + limit)
        return web.json_response({"items": items[start : start + limit], "metadata": metadata})

    async def _watch(self, request: web.Request, plural: str, namespace: str | None) -> web.StreamResponse:
        queue: asyncio.Queue[Object | None] = asyncio.Queue()
        watch = (plural, namespace, dict(request.query), queue)
        since = int(request.query["resourceVersion"])
        for (kind, place, _), body in self.objects.items():
            new = int(body["metadata"]["resourceVersion"]) > since
            if new and kind == plural and namespace in (None, place) and _selected(body, dict(request.query)):
                queue.put_nowait({"type": "MODIFIED", "object": body})
        self._watches.append(watch)
        response = web.StreamResponse()
        try:
            await response.prepare(request)
            with suppress(ConnectionError):
                await self._tell_watch(response, queue)
        finally:
            self._watches.remove(watch)
        return response

    async def _tell_watch(self, response: web.StreamResponse, queue: asyncio.Queue[Object | None]) -> None:
        while (event := await queue.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")

    def _log(self, request: web.Request, pod: str) -> web.Response:
        key = f"{pod}/previous" if "previous" in request.query else pod
        if key not in self.logs:
            return _status(404, "NotFound", f'pods "{pod}" not found', pod)
        lines = self.logs[key].splitlines(keepends=True)
        return web.Response(text="".join(lines[-int(request.query.get("tailLines", 10**6)) :]))

    async def _forward(self, request: web.Request, pod: str) -> web.StreamResponse:
        port = int(request.query["ports"])
        if request.headers.get("Accept") != "*/*":
            return _status(406, "NotAcceptable", "Available representations: ")
        if ("pods", "default", pod) not in self.objects:
            return _status(404, "NotFound", f'pods "{pod}" not found', pod)
        websocket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",), max_msg_size=0)
        await websocket.prepare(request)
        self._connections.add(websocket)
        self.open_streams += 1
        writer = None
        try:
            for channel in (b"\0", b"\1"):
                await websocket.send_bytes(channel + port.to_bytes(2, "little"))
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[pod, port])
            except (OSError, KeyError) as error:
                await websocket.send_bytes(b"\1" + str(error).encode())
                return websocket
            outward = asyncio.create_task(_pump(reader, websocket))
            async for message in websocket:
                if message.type is WSMsgType.BINARY:
                    writer.write(message.data[1:])
            outward.cancel()
        finally:
            self._connections.discard(websocket)
            self.open_streams -= 1
            if writer is not None:
                writer.close()
        return websocket


async def _pump(reader: asyncio.StreamReader, websocket: web.WebSocketResponse) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            await websocket.send_bytes(b"\0" + data)
        await websocket.close()


def _selected(body: Object, query: dict[str, str]) -> bool:
    labels = body["metadata"].get("labels", {})
    for part in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = part.partition("=")
        if labels.get(key) != value:
            return False
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = part.partition("=")
        at: Any = body
        for step in path.split("."):
            at = at.get(step, {})
        if at != value:
            return False
    return True


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    new = {**old}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = _merged(old.get(key, {}), value)
    return new


def _status(code: int, reason: str, message: str, name: str | None = None) -> web.Response:
    details = {"name": name} if name else {}
    return web.json_response(refusal(code, reason, message, details)[1], status=code)


def refusal(code: int, reason: str, message: str, details: Object | None = None) -> tuple[int, Object]:
    """An answer for `FakeApi.refusals`."""
    return code, {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details or {}}


def kubeconfig(path: Path, url: str, user: Object, namespace: str = "default") -> Path:
    """Write a kubeconfig with one context."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        "users": [{"name": "test", "user": user}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@contextmanager
def running(folder: Path) -> Iterator[FakeApi]:
    """Start one in a thread; ends with everything closed."""
    api = FakeApi("", folder / "kubeconfig")
    started, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        api.loop = asyncio.get_running_loop()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", api.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        kubeconfig(api.kubeconfig, api.url, {"token": TOKEN})
        started.set()
        await stop.wait()
        api._cut()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="fake-api-server")
    thread.start()
    assert started.wait(10)
    try:
        yield api
    finally:
        api.loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def until(holds: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Wait until something holds that another thread brings about."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def tally(requests: list[tuple[str, str]]) -> dict[str, int]:
    """How many requests there were of each verb."""
    counts: dict[str, int] = defaultdict(int)
    for verb, _ in requests:
        counts[verb] += 1
    return dict(counts)
