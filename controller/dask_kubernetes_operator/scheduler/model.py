"""Where a scheduler is, and the workers that it knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one scheduler is reached.

    Attributes:
        dashboard: URL of its HTTP server, e.g. ``http://simple-scheduler.default.svc:8787``; http or https.
        comm: address of its RPC server, e.g. ``tcp://simple-scheduler.default.svc:8786``; tcp or tls.
    """

    dashboard: str
    comm: str


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process as its scheduler knows it. A pod has several of them if it was told so.

    Attributes:
        address: where it is reached, e.g. ``tcp://10.244.0.7:41001``; a restarted process has another one.
        host: the address's host, e.g. ``10.244.0.7``; an IPv6 address has no brackets.
        name: what it was started with, unique among the workers; an unnamed worker bears its address.
        managed_bytes: results that it holds, as of its last heartbeat (0.5 s ago; 2.5 s with 300 workers).
        tasks: tasks that were assigned to it and are not finished, as of its last heartbeat.
        status: ``running``, ``paused``, ``closing_gracefully`` (being retired), ...; ``unknown`` where only the HTTP
            API answers, which does not tell bytes and tasks either.
    """

    address: str
    host: str
    name: str
    managed_bytes: int
    tasks: int
    status: str
