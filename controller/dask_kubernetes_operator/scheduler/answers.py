"""What a scheduler's answers mean; pure. Nothing about an answer is taken for granted.

Every function raises ValueError, with what is wrong, when an answer is not what it should be.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from .model import Worker

# Of the states in which a worker has tasks: those in which it has yet to finish them.
_UNFINISHED = ("waiting", "ready", "constrained", "executing", "long-running")


def workers(identity: Any) -> tuple[Worker, ...]:
    """The workers in an answer of the RPC operation ``identity``."""
    described = _mapping(_mapping(identity).get("workers"))
    return tuple(_worker(address, info) for address, info in described.items())


def workers_by_name(answer: Any) -> tuple[Worker, ...]:
    """The workers in an answer of the HTTP route ``get_workers``, which tells only addresses and names.

    The other route that lists workers, ``/json/identity.json``, fails as soon as a task has run: the metrics in it
    have tuples as keys, which JSON has not (seen in 2023.9 to 2026.8).
    """
    listed = _mapping(answer).get("workers")
    if not isinstance(listed, list):
        raise _invalid("a list of workers", listed)
    named = (_mapping(item) for item in listed)
    return tuple(
        _known(item.get("address"), item.get("name"), managed_bytes=0, tasks=0, status="unknown") for item in named
    )


def retired(answer: Any) -> frozenset[str]:
    """The addresses in an answer to ``retire_workers``: the keys of a mapping, or a list in old versions."""
    if not isinstance(answer, (Mapping, list, tuple)):
        raise _invalid("the retired workers", answer)
    return frozenset(_text(address, "the address of a retired worker") for address in answer)


def target(answer: Any) -> int:
    """How many workers the scheduler wants."""
    return _count(answer, "a number of workers")


def target_in_object(answer: Any) -> int:
    """The same as the HTTP route ``adaptive_target`` answers it."""
    return target(_mapping(answer).get("workers"))


def idle_since(answer: Any) -> datetime | None:
    """Since when the scheduler has been idle; None if it is not."""
    if answer is None:
        return None
    if isinstance(answer, bool) or not isinstance(answer, (int, float)) or answer < 0:
        raise _invalid("a time", answer)
    try:
        return datetime.fromtimestamp(answer, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise _invalid("a time", answer) from error


def idle_since_in_object(answer: Any) -> datetime | None:
    """The same as the HTTP route ``check_idle`` answers it."""
    answered = _mapping(answer)
    if "idle_since" not in answered:
        raise _invalid("idle_since", answer)
    return idle_since(answered["idle_since"])


def _worker(address: Any, info: Any) -> Worker:
    described = _mapping(info)
    metrics = _mapping(described.get("metrics", {}))
    task_counts = _mapping(metrics.get("task_counts", {}))
    return _known(
        address,
        described.get("name"),
        managed_bytes=_count(metrics.get("managed_bytes", 0), "a number of bytes"),
        tasks=sum(_count(task_counts.get(state, 0), "a number of tasks") for state in _UNFINISHED),
        status=_text(described.get("status"), "the status of a worker"),
    )


def _known(address: Any, name: Any, *, managed_bytes: int, tasks: int, status: str) -> Worker:
    address = _text(address, "the address of a worker")
    try:
        host = urlsplit(address).hostname
    except ValueError:
        host = None
    return Worker(
        address=address,
        host=_text(host, f"the host in {reprlib.repr(address)}"),
        name=str(name) if isinstance(name, (str, int)) else address,
        managed_bytes=managed_bytes,
        tasks=tasks,
        status=status,
    )


def _mapping(value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise _invalid("an object", value)
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise _invalid(what, value)
    return value


def _count(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _invalid(what, value)
    return value


def _invalid(expected: str, found: Any) -> ValueError:
    return ValueError(f"the answer has {reprlib.repr(found)[:100]} where {expected} should be")
