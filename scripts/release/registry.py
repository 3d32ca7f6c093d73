"""What the tools that talk to registries need to be told, and what they mean when they fail."""

from __future__ import annotations

import ipaddress
import re

from ci.console import Failure

_UNREACHABLE = ("connection refused", "no such host", "i/o timeout", "no route to host", "network is unreachable")
_REFUSED = ("unauthorized", "denied", "forbidden", "401", "403", "authentication required", "no basic auth")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def host_of(reference: str) -> str:
    """The host, with its port, of a reference of an image or of a chart."""
    return reference.removeprefix("oci://").partition("/")[0]


def is_on_this_machine(reference: str) -> bool:
    """Whether a registry is a loopback one: it speaks plain HTTP then, as Docker takes it too."""
    name = host_of(reference).rpartition(":")[0] or host_of(reference)
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def insecure(reference: str, flag: str) -> list[str]:
    """A flag for plain HTTP where the registry of a reference takes it."""
    return [flag] if is_on_this_machine(reference) else []


def digest_in(text: str, what: str) -> str:
    """The digest in what a tool prints.

    Raises:
        Failure: there is none.
    """
    found = _DIGEST.findall(text)
    if not found:
        raise Failure(f"{what} told no digest; it said: {text.strip()}")
    return str(found[-1])


def failure(reference: str, what: str, said: str) -> Failure:
    """Why something that takes a registry failed, in a sentence.

    Args:
        reference: of an image or of a chart, in that registry.
        what: that failed.
        said: what the tool wrote.
    """
    host = host_of(reference)
    last = (said.strip().splitlines() or ["no reason given"])[-1]
    if any(word in said.lower() for word in _UNREACHABLE):
        return Failure(f"{what} failed: the registry {host} cannot be reached; check --to and the network ({last})")
    if any(word in said.lower() for word in _REFUSED):
        return Failure(f"{what} failed: {host} does not let you in; log in with: docker login {host} ({last})")
    return Failure(f"{what} failed: {last}")
