"""The software bill of materials of the controller image, in CycloneDX: Debian's packages and Python's distributions.

The image is asked itself, so that the list holds whatever base it was built on. The same image has the same list.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from ci.console import Failure
from ci.process import output

# What is not Debian's: the operator's environment, and that of a Python which the base image brings itself.
_PYTHON_PROGRAM = """
import glob, importlib.metadata as metadata, json, platform, sys
folders = glob.glob("/opt/*/lib/python3*/site-packages") + glob.glob("/usr/local/lib/python3*/site-packages")
found = sorted({(one.name, one.version) for one in metadata.distributions(path=folders)})
own = platform.python_version() if sys.base_prefix == "/usr/local" else ""
json.dump({"distributions": found, "interpreter": own}, sys.stdout)
"""
_DPKG_FORMAT = "${Package}\\t${Version}\\t${Architecture}\\t${source:Package}\\t${source:Version}\\n"
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class DebianPackage:
    """A package as dpkg knows it; ``source`` and ``source_version`` are what Debian's advisories speak of."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str


@dataclass(frozen=True)
class Inventory:
    """What is in an image.

    Attributes:
        image: reference of the image.
        identity: its id, ``sha256:...``.
        created: when it was built, with its time zone.
        release: the Debian release, such as 12.
        debian: its packages, by name.
        python: names and versions of distributions, by name.
        interpreter: version of a Python that is not Debian's; empty if it is.
    """

    image: str
    identity: str
    created: datetime.datetime
    release: str
    debian: tuple[DebianPackage, ...]
    python: tuple[tuple[str, str], ...]
    interpreter: str


def inventory(image: str) -> Inventory:
    """What is in an image that the engine holds.

    Raises:
        Failure: the image is not there, or cannot be asked.
    """
    (details,) = json.loads(_answer(["docker", "image", "inspect", image]))
    packages = _in_image(image, "dpkg-query", "--show", f"--showformat={_DPKG_FORMAT}")
    python = json.loads(_in_image(image, "python", "-c", _PYTHON_PROGRAM))
    return Inventory(
        image=image,
        identity=details["Id"],
        created=datetime.datetime.fromisoformat(details["Created"]),
        release=_in_image(image, "sh", "-c", ". /etc/os-release && echo $VERSION_ID").strip(),
        debian=tuple(
            sorted((DebianPackage(*line.split("\t")) for line in packages.splitlines()), key=lambda p: p.name)
        ),
        python=tuple((name, version) for name, version in python["distributions"]),
        interpreter=python["interpreter"],
    )


def document(found: Inventory) -> str:
    """The bill of materials as JSON that ends with a newline."""
    subject = Component(type=ComponentType.CONTAINER, name=found.image, version=found.identity, bom_ref="image")
    components = sorted(_components(found))
    bom = Bom(components=components, serial_number=uuid.uuid5(uuid.NAMESPACE_OID, found.identity))
    bom.metadata.timestamp = found.created
    bom.metadata.component = subject
    bom.register_dependency(subject, components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _components(found: Inventory) -> Iterator[Component]:
    for package in found.debian:
        qualifiers = {"arch": package.architecture, "distro": f"debian-{found.release}"}
        purl = PackageURL("deb", "debian", package.name, package.version, qualifiers)
        source = Property(name="debian:source", value=f"{package.source} {package.source_version}")
        yield _component(purl, ComponentType.LIBRARY, [source])
    for name, version in found.python:
        yield _component(PackageURL("pypi", None, name, version), ComponentType.LIBRARY)
    if found.interpreter:
        yield _component(PackageURL("generic", None, "python", found.interpreter), ComponentType.PLATFORM)


def _component(purl: PackageURL, kind: ComponentType, properties: list[Property] | None = None) -> Component:
    return Component(
        type=kind,
        name=purl.name,
        version=purl.version,
        purl=purl,
        bom_ref=purl.to_string(),
        properties=properties,
    )


def _in_image(image: str, program: str, *arguments: str) -> str:
    return _answer(["docker", "run", "--rm", "--network=none", f"--entrypoint={program}", image, *arguments])


def _answer(command: list[str]) -> str:
    status, answer, error = output(command, timeout_seconds=_TIMEOUT_SECONDS)
    if status:
        raise Failure(f"{' '.join(command[:3])} failed: {error.strip()}")
    return answer
