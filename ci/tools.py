"""Command-line tools: downloaded where their release can be reached, built from Go modules elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ci import downloads, golang, host, kubernetes
from ci.cache import Cache, key
from ci.console import console
from ci.pins import Tool, pins
from ci.process import is_disk_full


def names() -> list[str]:
    """Every tool there is."""
    return sorted(pins().tools)


def ensure(wanted: Sequence[str] | None = None, cache: Cache | None = None) -> dict[str, Path]:
    """The paths of tools, made if they are not there.

    :param wanted: names of tools; all unless given.
    :raises Failure: an unknown name, no way to get one, or a build that failed.
    """
    cache = cache or Cache()
    chosen = list(wanted or names())
    for name in chosen:
        pins().tool(name)
    return {name: _ensure(name, cache) for name in chosen}


def _ensure(name: str, cache: Cache) -> Path:
    tool = pins().tool(name)
    if name == "kubectl":
        tool = replace(tool, symbols=kubernetes.symbols(tool.version))
    # Version 4 of helm is a "helm" of its own, too: it says its name in its help.
    file = "helm" if name == "helm4" else name
    platform = f"{host.system()}-{host.architecture()}"
    checksum = tool.sha256.get(platform, "")
    downloaded = key("downloaded", tool.version, checksum, tool.member)
    built = key("built", tool.version, tool.symbols, tool.module, platform)
    # What is there already is not looked for on the network.
    for found in (cache.path(name, downloaded), cache.path(name, built)):
        if found.is_dir():
            return found / file
    if name == "kubectl" and (path := kubernetes.built_kubectl(cache)):
        return path
    if checksum and downloads.reachable(tool.url):
        try:
            return cache.make(name, downloaded, lambda folder: _download(tool, checksum, folder / file)) / file
        except OSError as error:
            if is_disk_full(error):
                raise
            console.say(f"  {name} could not be downloaded ({error}); it is built from Go modules instead")
    return cache.make(name, built, lambda folder: _build(tool, folder, file, cache)) / file


def _download(tool: Tool, checksum: str, target: Path) -> None:
    system, architecture = host.system(), host.architecture()
    url = tool.url.format(version=tool.version, os=system, arch=architecture)
    with console.step(f"download {tool.name} {tool.version}") as step:
        if tool.member:
            archive = target.with_name("archive.tar.gz")
            downloads.fetch(url, checksum, archive, step)
            downloads.extract(archive, tool.member.format(os=system, arch=architecture), target)
            archive.unlink()
        else:
            downloads.fetch(url, checksum, target, step)
    target.chmod(0o755)


def _build(tool: Tool, folder: Path, file: str, cache: Cache) -> None:
    what = f"{tool.name} {tool.version}"
    with console.step(f"build {what}") as step:
        golang.build(
            [tool.package],
            module=tool.module,
            into=folder,
            step=step,
            log=cache.log(f"build-{tool.name}"),
            what=f"building {what}",
            symbols=tool.symbols,
            tags=kubernetes.TAGS if tool.name == "kubectl" else "",
        )
    # "go build" names a program after its package; that of helm 4 is "helm", too.
    made = next(path for path in folder.iterdir())
    if made.name != file:
        made.rename(folder / file)


def directory(wanted: Sequence[str] | None = None, cache: Cache | None = None) -> Path:
    """A directory for PATH in which each tool goes by its name (``helm4`` for version 4 of helm)."""
    cache = cache or Cache()
    folder = cache.folder("bin")
    for name, path in ensure(wanted, cache).items():
        link = folder / name
        if link.is_symlink() and link.readlink() == path:
            continue
        # Made under another name and renamed, so that the tool is never missing for someone using it.
        temporary = folder / f".{name}.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(path)
        temporary.rename(link)
    return folder
