"""The public operator, to compare with and to move from: installed when it is needed, nothing of it is kept here.

The PyPI package brings the controller, its chart and the definitions of the custom resources.
"""

from __future__ import annotations

from pathlib import Path

from ci import base_image
from ci.cache import key
from scripts import environments
from tests import own_image

_HERE = Path(__file__).parent
_REQUIREMENTS = _HERE / "requirements.txt"


def installed() -> Path:
    """The virtual environment with it, made unless it is there."""
    return environments.ensure("public", key(_REQUIREMENTS), environments.locked(_REQUIREMENTS))


def chart() -> Path:
    """The folder of its chart."""
    (package,) = installed().glob("lib/python*/site-packages/dask_kubernetes")
    return package / "operator" / "deployment" / "helm" / "dask-kubernetes-operator"


def image() -> tuple[str, str]:
    """Repository and tag of an image of it that the engine holds, built unless it is there.

    Raises:
        Failure: it cannot be built.
    """
    reference = own_image.ensure("public/dask-kubernetes-operator", _HERE, {"BASE_IMAGE": base_image.ensure()})
    repository, _, tag = reference.rpartition(":")
    return repository, tag
