"""The public operator, to compare with and to move from: installed when it is needed, nothing of it is kept here.

The PyPI package brings the controller, its chart and the definitions of the custom resources.
"""

from __future__ import annotations

from pathlib import Path

from ci import base_image, debian
from ci.cache import Cache, key
from scripts import environments

_HERE = Path(__file__).parent
_REQUIREMENTS = _HERE / "requirements.txt"
_DOCKERFILE = _HERE / "Dockerfile"


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
    cache = Cache()
    base = base_image.ensure(cache)
    repository, tag = "public/dask-kubernetes-operator", key(_DOCKERFILE, _REQUIREMENTS, base)
    with cache.workspace("image-public", "the build of the public operator's image") as context:
        for file in (_DOCKERFILE, _REQUIREMENTS):
            (context / file.name).write_bytes(file.read_bytes())
        if not debian.has_image(f"{repository}:{tag}"):
            debian.build_image(context, _DOCKERFILE.name, f"{repository}:{tag}", {"BASE_IMAGE": base}, cache)
    return repository, tag
