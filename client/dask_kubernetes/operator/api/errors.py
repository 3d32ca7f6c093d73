"""What the API server says when it refuses, as exceptions that say what to do about it. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from dask_kubernetes.exceptions import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidObjectError,
    NotFoundError,
    NotInstalledError,
    QuotaExceededError,
    UnauthorizedError,
)

from .resources import GROUP

_INSTALL = "install the operator's chart, or ask whoever runs this Kubernetes cluster to"
_MISSING_RIGHT = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)"| at the cluster scope)?'
)


def error_of(status: int, body: bytes | str, *, request: str) -> ApiError:
    """The exception for an answer that is no success.

    Args:
        status: HTTP status code.
        body: what came with it, a Status object if it is from the API server itself.
        request: what was asked, such as ``get daskclusters/demo in the namespace 'default'``.
    """
    answer = _parsed(body)
    reason = str(answer.get("reason") or "")
    message = str(answer.get("message") or "").strip() or f"HTTP status {status}"
    if status == 401:
        return UnauthorizedError(
            f"cannot {request}: the API server does not accept the credentials: log in again, or choose a context",
            status=status,
            reason=reason,
        )
    if status == 403 and "exceeded quota" in message:
        return QuotaExceededError(f"cannot {request}: {message}", status=status, reason=reason)
    if status == 403:
        return ForbiddenError(f"cannot {request}: {_missing_right(message)}", status=status, reason=reason)
    if status == 404 and _unknown_kind(answer, request):
        return NotInstalledError(
            f"cannot {request}: this Kubernetes cluster does not know the kinds of {GROUP}: {_INSTALL}",
            status=status,
            reason=reason,
        )
    kind = {404: NotFoundError, 409: ConflictError, 400: InvalidObjectError, 422: InvalidObjectError}.get(
        status, ApiError
    )
    return kind(f"cannot {request}: {message}", status=status, reason=reason)


def _parsed(body: bytes | str) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        text = body.decode(errors="replace") if isinstance(body, bytes) else body
        return {"message": text[:500]}
    return answer if isinstance(answer, dict) else {}


def _unknown_kind(answer: dict[str, Any], request: str) -> bool:
    """A path that is not served has a 404 without the name of an object."""
    names_object = bool((answer.get("details") or {}).get("name"))
    return not names_object and re.search(r"\bdask\w+", request) is not None


def _missing_right(message: str) -> str:
    found = _MISSING_RIGHT.search(message)
    if not found:
        return message
    where = f"in the namespace {found['namespace']!r}" if found["namespace"] else "in the whole cluster"
    group = f" of {found['group']}" if found["group"] else ""
    return (
        f"{found['user']} lacks the verb {found['verb']!r} on {found['resource']!r}{group} {where}. "
        "Ask for a Role with it, such as examples/user-role.yaml"
    )
