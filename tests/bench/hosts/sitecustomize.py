"""Read by Python at its start where this folder is on its path: the Services of Dask schedulers get addresses here.

A control plane without machines has no DNS either. Nothing else about the process is changed.
"""

import json
import os
import pathlib
import socket
from contextlib import suppress
from typing import Any

# By the name of a host and a port: the address and the port to use instead.
_SERVICES = json.loads(pathlib.Path(os.environ["BENCH_SERVICES"]).read_text(encoding="utf-8"))
_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
    """As ``socket.getaddrinfo``."""
    return _getaddrinfo(*_SERVICES.get(f"{host}:{port}", (host, port)), *args, **kwargs)


socket.getaddrinfo = getaddrinfo

with suppress(ImportError):  # what has no uvloop resolves names as above
    import uvloop

    _create_connection = uvloop.Loop.create_connection

    async def create_connection(
        loop: uvloop.Loop, factory: Any, host: Any = None, port: Any = None, **kwargs: Any
    ) -> Any:
        """As ``uvloop.Loop.create_connection``, which has a resolver of its own."""
        host, port = _SERVICES.get(f"{host}:{port}", (host, port))
        return await _create_connection(loop, factory, host, port, **kwargs)

    setattr(uvloop.Loop, "create_connection", create_connection)  # noqa: B010 - as it is typed it cannot be set
