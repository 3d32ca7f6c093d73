"""Plugins: other packages' kopf handlers, found by their entry points; docs/plugins.md tells how to write one."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

import kopf

from .metrics import PLUGIN_LOADED

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "dask_operator_plugin"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that is installed.

    Attributes:
        name: of its entry point.
        source: the distribution that it is part of, with its version.
        error: why it could not be loaded; None for one that is.
    """

    name: str
    source: str
    error: str | None = None

    @property
    def loaded(self) -> bool:
        """Whether its handlers are registered."""
        return self.error is None


def load_plugins() -> tuple[Plugin, ...]:
    """Load all plugins that are installed, which registers their handlers with kopf.

    To be called before kopf starts, or their startup handlers and indexes would be missing. One that cannot be loaded
    is left out whole, also the handlers that it had registered by then, and says why in the log.
    """
    found = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry_point: entry_point.name)
    plugins = tuple(_load(entry_point) for entry_point in found)
    for plugin in plugins:
        PLUGIN_LOADED.labels(plugin.name).set(plugin.loaded)
    return plugins


def _load(entry_point: EntryPoint) -> Plugin:
    distribution = entry_point.dist
    source = f"{distribution.name} {distribution.version}" if distribution is not None else entry_point.value
    registry = kopf.get_default_registry()
    kopf.set_default_registry(copy.deepcopy(registry))
    try:
        entry_point.load()
    except (Exception, SystemExit) as error:  # whatever it is, the operator goes on without it
        kopf.set_default_registry(registry)
        logger.exception("plugin %s (%s) is left out, it cannot be loaded", entry_point.name, source)
        return Plugin(entry_point.name, source, f"{type(error).__name__}: {error}")
    logger.info("plugin %s (%s) is loaded", entry_point.name, source)
    return Plugin(entry_point.name, source)
