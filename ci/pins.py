"""The versions everything is pinned to: versions.toml, typed."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ci.console import Failure

HERE = Path(__file__).parent
FILE = HERE / "versions.toml"


@dataclass(frozen=True)
class Tool:
    """A command-line tool.

    ``package`` is built in the Go module at ``module``; ``url``, with ``{version}``, ``{os}`` and ``{arch}`` in it,
    is downloaded where the SHA-256 for "os-arch" is known. ``member`` is the tool's path inside a .tar.gz.
    ``symbols`` are Go variables and what a release build sets them to.
    """

    name: str
    version: str
    package: str
    module: Path
    url: str = ""
    member: str = ""
    sha256: dict[str, str] = field(default_factory=dict)
    symbols: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kubernetes:
    """A Kubernetes version: the published node image, by digest, and the module it is built in otherwise."""

    version: str
    node_image: str
    module: Path


@dataclass(frozen=True)
class Pins:
    """All of versions.toml."""

    kind_version: str
    python_image: str
    debian_suite: str
    coredns_module: Path
    default_kubernetes: str
    kubernetes_versions: dict[str, Kubernetes]
    tools: dict[str, Tool]

    def kubernetes(self, version: str | None) -> Kubernetes:
        """A version by its number, with or without a ``v``; the default for None.

        :raises Failure: it is not one of the known ones.
        """
        wanted = (version or self.default_kubernetes).removeprefix("v")
        if wanted not in self.kubernetes_versions:
            known = " and ".join(sorted(self.kubernetes_versions))
            raise Failure(f"Kubernetes {wanted} is not known here; use one of {known}.")
        return self.kubernetes_versions[wanted]

    def tool(self, name: str) -> Tool:
        """A tool by name.

        :raises Failure: there is none of that name.
        """
        if name not in self.tools:
            raise Failure(f"there is no tool named {name}; use one of {', '.join(sorted(self.tools))}.")
        return self.tools[name]


def parse(text: str, here: Path = HERE) -> Pins:
    """The pins a TOML document describes.

    :raises Failure: it is not TOML, or a field is missing.
    """
    try:
        return _pins(tomllib.loads(text), here)
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"{FILE.name} is not valid TOML ({error}); restore it from version control.") from error
    except KeyError as error:
        raise Failure(f"{FILE.name} has no {error}; restore it from version control.") from error


def _pins(document: dict[str, Any], here: Path) -> Pins:
    tools = {
        name: Tool(
            name=name,
            version=entry["version"],
            package=entry["package"],
            module=here / "go" / (name if name != "kubectl" else f"kubernetes/{entry['version']}"),
            url=entry.get("url", ""),
            member=entry.get("member", ""),
            sha256=dict(entry.get("sha256", {})),
            symbols=dict(entry.get("symbols", {})),
        )
        for name, entry in document["tools"].items()
    }
    default = document["kubernetes"]["default"]
    versions = {
        version: Kubernetes(version, entry["node_image"], here / "go" / "kubernetes" / version)
        for version, entry in document["kubernetes"]["versions"].items()
    }
    if tools["kubectl"].version != default:
        raise KeyError(f"tools.kubectl.version = {default}")
    if default not in versions:
        raise KeyError(f"kubernetes.versions.{default}")
    return Pins(
        kind_version=document["tools"]["kind"]["version"],
        python_image=document["images"]["python"],
        debian_suite=document["images"]["debian_suite"],
        coredns_module=here / "go" / "coredns",
        default_kubernetes=default,
        kubernetes_versions=versions,
        tools=tools,
    )


@cache
def pins() -> Pins:
    """The pins of this repository."""
    return parse(FILE.read_text())
