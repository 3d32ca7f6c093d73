"""Logs: the form of the lines, and on each line that a pass writes whose pass it is."""

from __future__ import annotations

import logging
from typing import Any

import click
import kopf

from . import passes
from .settings import Settings

# A line for every probe and every event would bury what the reconciler says.
_CHATTER = ("aiohttp.access", "kopf.activities")
OBJECTS_LOGGER = "kopf.objects"


def configure(settings: Settings) -> None:
    """Arrange the handlers of the root logger, which kopf has made by now.

    kopf's flags ``--log-format``, ``--verbose``, ``--debug`` and ``--quiet`` keep their meaning as long as the
    settings do not say otherwise.
    """
    if settings.log_format == "json":
        flags = _kopf_flags()
        kopf.configure(
            debug=flags.get("debug"),
            verbose=flags.get("verbose"),
            quiet=flags.get("quiet"),
            log_format=kopf.LogFormat.JSON,
            log_prefix=flags.get("log_prefix"),
            log_refkey=flags.get("log_refkey"),
        )
    root = logging.getLogger()
    if settings.log_level is not None:
        root.setLevel(settings.log_level)
    for name in _CHATTER:
        logging.getLogger(name).setLevel(logging.WARNING)
    for handler in root.handlers:
        if not any(isinstance(one, PassFilter) for one in handler.filters):
            handler.addFilter(PassFilter())


class PassFilter(logging.Filter):
    """Puts ``cluster`` ("namespace/name") and ``reconcile_id`` on each record of a pass; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete a record."""
        one = passes.current()
        if one is not None:
            record.cluster = one.cluster
            record.reconcile_id = one.id
        return True


class SilenceFilter(logging.Filter):
    """Drops what kopf says of the success of the operator's own handlers: a line for every event.

    Args:
        handler_ids: their ids.
    """

    def __init__(self, handler_ids: frozenset[str]) -> None:
        super().__init__()
        self._openings = tuple(f"Handler {name!r} " for name in sorted(handler_ids))

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be kept."""
        return record.levelno > logging.INFO or not record.getMessage().startswith(self._openings)


def _kopf_flags() -> dict[str, Any]:
    context = click.get_current_context(silent=True)
    return context.params if context is not None else {}
