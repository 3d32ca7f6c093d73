"""How a command ends when it cannot do what was asked: one line on stderr, and an exit code that scripts can use."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, TypeVar

import click

from .. import exceptions

T = TypeVar("T")


class ExitCode(IntEnum):
    """How a command ended; scripts rely on these.

    Attributes:
        DONE: all that was asked is done.
        FAILED: something went wrong that none of the others tells.
        USAGE: the command line, or a value in it, cannot be used; nothing was sent.
        NOT_FOUND: there is no object of that name, or the operator's CRDs are not installed.
        NOT_ALLOWED: the credentials are missing, not accepted, or may not do this.
        UNREACHABLE: the API server, or the scheduler, does not answer.
        REFUSED: the API server refuses the change: a conflict, a quota, or an invalid object.
        TIMEOUT: it did not happen in time.
        INTERRUPTED: Ctrl-C.
    """

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    UNREACHABLE = 5
    REFUSED = 6
    TIMEOUT = 7
    INTERRUPTED = 130


# The first that fits counts, so what is derived stands before what it is derived from.
_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (exceptions.QuotaExceededError, ExitCode.REFUSED),
    (exceptions.ForbiddenError, ExitCode.NOT_ALLOWED),
    (exceptions.UnauthorizedError, ExitCode.NOT_ALLOWED),
    (exceptions.CredentialsError, ExitCode.NOT_ALLOWED),
    (exceptions.NotFoundError, ExitCode.NOT_FOUND),
    (exceptions.ClusterNotFoundError, ExitCode.NOT_FOUND),
    (exceptions.WorkerGroupNotFoundError, ExitCode.NOT_FOUND),
    (exceptions.ConflictError, ExitCode.REFUSED),
    (exceptions.InvalidObjectError, ExitCode.REFUSED),
    (exceptions.ApiUnreachableError, ExitCode.UNREACHABLE),
    (exceptions.SchedulerConnectionError, ExitCode.UNREACHABLE),
    (exceptions.ResourceTimeoutError, ExitCode.TIMEOUT),
    (exceptions.ValidationError, ExitCode.USAGE),
)


class CommandFailed(click.ClickException):
    """What a command ends with, which click prints.

    Attributes:
        exit_code: see `ExitCode`.
    """

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = int(exit_code)  # type: ignore[misc]  # of each exception, not of the class


def exit_code_of(error: Exception) -> ExitCode:
    """The exit code for an exception of the client."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)


@contextmanager
def told() -> Iterator[None]:
    """Tell exceptions of the client in a line, and end with the exit code for them."""
    try:
        yield
    except exceptions.DaskKubernetesError as error:
        raise CommandFailed(error.message, exit_code_of(error)) from error
    except KeyboardInterrupt:
        click.get_current_context().exit(ExitCode.INTERRUPTED)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what a command does, and end the command as `told` does."""
    with told():
        return asyncio.run(coroutine)
