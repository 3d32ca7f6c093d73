"""The controller image: what is in it. Takes the engine that built it, and no cluster."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts import images, sbom

pytestmark = pytest.mark.e2e

REQUIREMENTS = Path(__file__).resolve().parents[2] / "controller" / "requirements.txt"


def test_bill_of_materials_has_what_is_locked_and_nothing_else_of_python(built: images.Built) -> None:
    found = sbom.inventory(built.controller)
    locked = dict(re.findall(r"^(\S+?)==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE))
    python = {name.lower().replace("_", "-").replace(".", "-"): version for name, version in found.python}
    del python[images.CONTROLLER_IMAGE]
    # A Python that a base image brings has its pip beside it.
    python.pop("pip", None)
    # Some are locked for other Pythons and other systems.
    assert python.items() <= locked.items()
    assert {"kopf", "aiohttp"} <= python.keys()
    assert {"libc6", "base-files"} <= {package.name for package in found.debian}
    told = json.loads(sbom.document(found))
    assert len(told["components"]) == len(found.debian) + len(found.python) + bool(found.interpreter)
