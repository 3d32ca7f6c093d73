"""What the API server was asked for, by its own log: the one clock and the one count for every arm."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

_WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclass(frozen=True)
class Request:
    """A request that was answered.

    Attributes:
        user: who asked, such as ``system:serviceaccount:dask-operator:default``.
        verb: ``get``, ``list``, ``create``, ``patch``, ``delete``, ``deletecollection``, ...
        resource: plural with its subresource, such as ``pods`` or ``daskclusters/status``; for what is no resource
            its path, such as ``/version``.
        name: of the object; empty where the request named none.
        code: of the answer.
        received_at: seconds since the epoch, by the API server's clock.
    """

    user: str
    verb: str
    resource: str
    name: str
    code: int
    received_at: float

    @property
    def is_write(self) -> bool:
        """Whether it was about to change something."""
        return self.verb in _WRITES


class AuditLog:
    """The log, read in parts: each part begins where a mark was set.

    Args:
        path: of the API server's audit log.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def mark(self) -> int:
        """Here: what is asked from now on comes behind it."""
        return self._path.stat().st_size if self._path.exists() else 0

    def since(self, mark: int) -> Iterator[Request]:
        """The requests behind a mark, in the order of their answers; watches, which never end, are none."""
        with self._path.open("rb") as lines:
            lines.seek(mark)
            for line in lines:
                # A last line without its end is still being written.
                if line.endswith(b"\n") and (request := _request(json.loads(line))):
                    yield request


def _request(event: dict[str, object]) -> Request | None:
    if event["verb"] == "watch" or event["stage"] != "ResponseComplete":
        return None
    reference = event.get("objectRef")
    reference = reference if isinstance(reference, dict) else {}
    resource = "/".join(filter(None, (reference.get("resource"), reference.get("subresource"))))
    user, status = event["user"], event.get("responseStatus")
    assert isinstance(user, dict)
    return Request(
        user=user["username"],
        verb=str(event["verb"]),
        resource=resource or str(event["requestURI"]),
        name=str(reference.get("name", "")),
        code=status.get("code", 0) if isinstance(status, dict) else 0,
        received_at=datetime.fromisoformat(str(event["requestReceivedTimestamp"])).timestamp(),
    )
