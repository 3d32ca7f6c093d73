"""Health and metrics over HTTP, on one port: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from .metrics import REGISTRY

Check = Callable[[], Iterable[str]]

_SHUTDOWN_SECONDS = 0.5


class Server:
    """Answers probes and Prometheus.

    It runs in the event loop of everything else: one that hangs answers no probe.

    Args:
        alive: what is wrong with this process that a restart may cure.
        ready: what this process waits for before it can do its work.
    """

    def __init__(self, *, alive: Check, ready: Check) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", _answer_for(alive)),
                web.get("/readyz", _answer_for(ready)),
                web.get("/metrics", make_aiohttp_handler(REGISTRY)),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS)

    async def start(self, port: int, *, host: str | None = None) -> int:
        """Begin to answer; returns the port, which is a free one for port 0.

        Args:
            port: where.
            host: the one address at which to listen; None for all.

        Raises:
            OSError: the port is taken.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Answer nobody any more."""
        await self._runner.cleanup()


def _answer_for(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        problems = list(check())
        return web.Response(
            status=503 if problems else 200,
            text="".join(f"{problem}\n" for problem in problems) or "ok\n",
            headers={"Cache-Control": "no-store"},
        )

    return answer
