"""Have all that the tests need before they start, because inside them nobody sees how it gets on."""

from __future__ import annotations

import sys

from ci import debian, engine, node_image, prometheus, registry, tools
from ci.cache import Cache
from ci.cli import guarded
from ci.kubernetes import binaries
from ci.pins import pins
from scripts import environments, images


def main() -> None:
    """Have tools, engine, API servers, and all images: of nodes, Prometheus, this tree and the release before it."""
    cache = Cache()
    tools.ensure(cache=cache)
    registry.program(cache)
    for name, package in (("gpg", "gnupg"), ("curl", "curl")):
        debian.install_program(name, package, cache)
    for name in ("checkov", "jupyter"):
        environments.python(name, cache)
    engine.ensure(cache)
    for version in sorted(pins().kubernetes_versions):
        binaries(pins().kubernetes(version), cache)
    node_image.ensure(cache=cache)
    prometheus.images(cache)
    prometheus.promtool(cache)
    images.build()
    images.build(images.PREVIOUS_RELEASE)


if __name__ == "__main__":
    sys.exit(guarded(main))
