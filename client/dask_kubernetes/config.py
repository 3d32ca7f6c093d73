"""The package's defaults in dask.config. Importing this module puts them there, below all that a user has set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.config
import yaml

PREFIX = "kubernetes"


def defaults() -> dict[str, Any]:
    """The defaults as they are shipped: ``{"kubernetes": {...}}``."""
    return dict(yaml.safe_load(Path(__file__).with_name("kubernetes.yaml").read_text(encoding="utf-8")))


def get(key: str) -> Any:
    """The configured value of ``kubernetes.<key>``."""
    return dask.config.get(f"{PREFIX}.{key}")


dask.config.update_defaults(defaults())
