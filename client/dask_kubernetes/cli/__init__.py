"""``dask kubernetes ...`` and ``kubectl dask ...``."""

from .main import kubectl_complete, kubectl_dask, main

__all__ = ["kubectl_complete", "kubectl_dask", "main"]
