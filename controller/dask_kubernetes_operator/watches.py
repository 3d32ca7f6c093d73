"""kopf's watches, seen from their requests: which of them have begun, or begun anew, and whether they go on.

kopf tells none of it. It begins every watch with a list, renews it at the latest after the time that it asks the
server to end it, and tries again when there is no answer; so a watch that asks for nothing at all any more is stuck.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import aiohttp

from .kube import verb_and_resource
from .resources import Resource

_ERROR = 400


@dataclass(slots=True)
class _Stream:
    """The watch of one collection.

    Attributes:
        resource: the plural of its kind.
        scope: the namespace that it is of; None for all.
        task: the one that keeps it; when that has ended, the watch was given up on purpose.
        asked_at: when it last sent a request, by the event loop's clock.
        begun: whether the list is over and the watch was begun once.
        listing: whether the last request was for a list.
        code: of the last answer; 0 when there was none.
    """

    resource: str
    scope: str | None
    task: asyncio.Task[object] | None
    asked_at: float
    begun: bool = False
    listing: bool = True
    code: int = 0


class Watches:
    """Follows the watches of all sessions that its `trace` is part of.

    Args:
        resources: the kinds that are needed together.
        began: is called with a namespace (None for all of them) when all those kinds are watched there, and again
            whenever one of them was listed and watched anew.
        ended: is called with it when one of them is not watched any more.
    """

    def __init__(
        self,
        resources: Collection[Resource] = (),
        *,
        began: Callable[[str | None], None] = lambda _: None,
        ended: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._kinds = {resource.plural for resource in resources}
        self._began = began
        self._ended = ended
        self._streams: dict[str, _Stream] = {}

    def trace(self) -> aiohttp.TraceConfig:
        """What a session is to be made with."""
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._asked)
        trace.on_request_end.append(self._answered)
        return trace

    def missing(self, resources: Collection[Resource], *, each: int) -> list[str]:
        """What is still to be listed before all is known of some kinds.

        Args:
            resources: the kinds; what plugins watch is not waited for.
            each: how many watches there are to be of each kind at least, e.g. one in every namespace.
        """
        kinds = {resource.plural for resource in resources}
        streams = {path: stream for path, stream in self._present().items() if stream.resource in kinds}
        problems = []
        for resource in resources:
            begun = sum(stream.begun for stream in streams.values() if stream.resource == resource.plural)
            if begun < each:
                problems.append(f"{begun} of {each} watches of {resource.plural} have begun")
        problems += [
            f"{path} is not listed yet" + (f": the API server answers {stream.code}" if stream.code >= _ERROR else "")
            for path, stream in streams.items()
            if not stream.begun
        ]
        return problems

    def silent(self, limit_seconds: float) -> list[str]:
        """The watches that have not asked for anything for longer than that."""
        now = asyncio.get_running_loop().time()
        return [
            f"the watch of {path} is silent for {now - stream.asked_at:.0f} s"
            for path, stream in self._present().items()
            if now - stream.asked_at > limit_seconds
        ]

    def _present(self) -> dict[str, _Stream]:
        for path in [path for path, stream in self._streams.items() if stream.task is None or stream.task.done()]:
            del self._streams[path]
        return self._streams

    async def _asked(self, _session: object, _context: object, params: aiohttp.TraceRequestStartParams) -> None:
        path = params.url.path
        verb, resource = verb_and_resource(params.method, path, params.url.query)
        if verb not in ("list", "watch") or resource == "other":
            return
        now, task = asyncio.get_running_loop().time(), asyncio.current_task()
        stream = self._streams.get(path)
        if stream is None or stream.task is not task:
            stream = self._streams[path] = _Stream(resource, _scope(path), task, now)
            if task is not None and resource in self._kinds:
                task.add_done_callback(partial(self._over, stream.scope))
        stream.asked_at = now
        stream.listing |= verb == "list"

    async def _answered(self, _session: object, _context: object, params: aiohttp.TraceRequestEndParams) -> None:
        stream = self._streams.get(params.url.path)
        if stream is None:
            return
        stream.code = params.response.status
        verb, _ = verb_and_resource(params.method, params.url.path, params.url.query)
        if verb != "watch" or not params.response.ok:
            return
        anew, stream.begun, stream.listing = stream.listing, True, False
        if anew and stream.resource in self._kinds and self._all_begun(stream.scope):
            self._began(stream.scope)

    def _all_begun(self, scope: str | None) -> bool:
        streams = self._present().values()
        return self._kinds <= {stream.resource for stream in streams if stream.scope == scope and stream.begun}

    def _over(self, scope: str | None, _task: asyncio.Task[object]) -> None:
        if not self._all_begun(scope):
            self._ended(scope)


def _scope(path: str) -> str | None:
    """The namespace of a collection's URL path."""
    before, _, after = path.partition("/namespaces/")
    return after.partition("/")[0] if before and "/" in after else None
