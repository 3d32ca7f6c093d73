"""Read by Python at its start where this folder is on its path: the Services of Dask schedulers get addresses here.

A control plane without machines has no DNS either. Nothing else about the process is changed.
"""

import json
import os
import pathlib
import socket
from typing import Any

# By the name of a host and a port: the address and the port to use instead.
_SERVICES = json.loads(pathlib.Path(os.environ["BENCH_SERVICES"]).read_text(encoding="utf-8"))
_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
    """As ``socket.getaddrinfo``."""
    return _getaddrinfo(*_SERVICES.get(f"{host}:{port}", (host, port)), *args, **kwargs)


socket.getaddrinfo = getaddrinfo
