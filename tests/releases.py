"""A release made in a checkout of its own, as docs/releasing.md says, with a registry and a web server beside it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypedDict

from ci import host, tools
from scripts import images
from tests import documented
from tests.registry import Registry, serving

NAME = "dask-kubernetes-operator"
VERSION = "2026.9.0"
#: Of an image that there is none of.
NO_DIGEST = f"sha256:{'a' * 64}"
_WHO = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "Test"), ("EMAIL", "test@localhost"))
}


class Place(TypedDict):
    """Where the commands of a page are run, and with which variables."""

    environment: Mapping[str, str]
    folder: Path


@dataclass(frozen=True)
class Site:
    """A checkout, with what belongs beside it, and where it publishes to.

    Attributes:
        checkout: of this repository as it is on disk, with a changelog that has the version.
        pages: what the web server serves.
        registry: that images and charts go to.
        url: of the web server.
    """

    checkout: Path
    pages: Path
    registry: Registry
    url: str

    @property
    def artifacts(self) -> Path:
        """The files of the release."""
        return self.checkout / "build" / "release" / VERSION

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the commands of the pages: keys of the test's own, and someone to commit and tag."""
        return {**_WHO, "GNUPGHOME": str(self.checkout.parent / "gnupg")}

    @property
    def local(self) -> dict[str, str]:
        """What stands for the names on the pages."""
        return {
            ".venv/bin/python": sys.executable,
            "ghcr.io": self.registry.host,
            "https://helm.dask.org": self.url,
        }

    @property
    def in_registry(self) -> dict[str, str]:
        """What stands for the registry of charts, as Helm has to be told of one that has no TLS."""
        return {"oci://ghcr.io": f"--plain-http oci://{self.registry.host}"}

    def digest(self, what: str) -> str:
        """The digest of the ``image`` or the ``chart`` that was published."""
        return (self.artifacts / f"{what}.txt").read_text().strip().partition("@")[2]

    @property
    def image(self) -> str:
        """The image that was published, by its digest."""
        return f"{self.registry.host}/dask/{NAME}@{self.digest('image')}"

    @property
    def chart(self) -> str:
        """The chart that was published, by its digest."""
        return f"oci://{self.registry.host}/dask/charts/{NAME}@{self.digest('chart')}"

    def replacements(self, *names: str, **more: str) -> dict[str, str]:
        """Those of them that a section needs."""
        return {**{name: self.local[name] for name in names}, **more}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of ``scripts.release`` in the checkout."""
        return subprocess.run(
            [sys.executable, "-m", "scripts.release", *arguments],
            cwd=self.checkout,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def git(self, *arguments: str) -> None:
        """Run git in the checkout."""
        git(self.checkout, *arguments)


@contextmanager
def site(folder: Path, registry: Registry) -> Iterator[Site]:
    """A checkout that is ready to be tagged, and its web server.

    Args:
        folder: an empty one.
        registry: to publish to.
    """
    checkout, pages, keys = (folder / name for name in ("checkout", "pages", "gnupg"))
    pages.mkdir()
    keys.mkdir(mode=0o700)
    (folder / "passphrase").write_text("a passphrase of the test's\n")
    _clone(checkout)
    with served(pages) as url:
        try:
            yield Site(checkout, pages, registry, url)
        finally:
            stop = ["gpgconf", "--homedir", str(keys), "--kill", "gpg-agent"]
            subprocess.run(stop, check=False)


@contextmanager
def published(folder: Path, have_image: Callable[[Site], None]) -> Iterator[Site]:
    """A release in a registry and in an index of its own, made as the page says.

    Args:
        folder: an empty one.
        have_image: `publish_image`, or `pretend_image`.
    """
    with serving(folder / "registry") as registry, site(folder, registry) as made:
        tag(made)
        have_image(made)
        publish_chart(made)
        yield made


def tag(site: Site) -> None:
    """Tag the checkout, and make a key to sign with, as the page says."""
    options: Place = {"environment": site.environment, "folder": site.checkout}
    documented.run("docs/releasing.md", "Before", replace=site.replacements(".venv/bin/python"), **options)
    documented.run("docs/releasing.md", "The key", replace={"rsa4096": "rsa2048"}, **options)  # quicker to make


def publish_image(site: Site) -> None:
    """Build the image of the release and push it, for the one architecture that there is a machine of."""
    documented.run(
        "docs/releasing.md",
        "Images",
        replace=site.replacements(".venv/bin/python", "ghcr.io", **{"amd64,arm64": host.architecture()}),
        environment=site.environment,
        folder=site.checkout,
    )


def forget_images(site: Site) -> None:
    """Take from the engine the names by which images were pushed to the registry."""
    name = '{{.Repository}}{{if eq .Tag "<none>"}}@{{.Digest}}{{else}}:{{.Tag}}{{end}}'
    listing = f"docker image ls --digests --filter 'reference={site.registry.host}/*/*' --format '{name}'"
    # The last tag takes the digests of its repository with it.
    shell(f"{listing} | sort --unique | xargs --no-run-if-empty docker image rm", {})


def pretend_image(site: Site) -> None:
    """Have a release whose image nobody has pushed, where no node is to run it."""
    site.artifacts.mkdir(parents=True)
    (site.artifacts / "image.txt").write_text(f"{site.registry.host}/dask/{NAME}:{VERSION}@{NO_DIGEST}")
    (site.artifacts / "sbom-amd64.json").write_text("{}")


def publish_chart(site: Site) -> None:
    """Package, sign and publish the chart of the release."""
    documented.run(
        "docs/releasing.md",
        "Chart",
        replace=site.replacements(".venv/bin/python", "ghcr.io", "https://helm.dask.org"),
        environment=site.environment,
        folder=site.checkout,
    )


def publish_older(site: Site, built: images.Built) -> list[str]:
    """Push the chart and the controller image of a revision that may have no tooling for releases yet.

    Args:
        site: that publishes to the same registry.
        built: of that revision.

    Returns:
        What Helm is told to install it from there.
    """
    name, tag = f"{site.registry.host}/dask/{NAME}", built.controller.rpartition(":")[2]
    charts = f"oci://{site.registry.host}/dask/charts"
    helm = tools.ensure(["helm"])["helm"]
    shell(f"docker tag {built.controller} {name}:{tag} && docker push {name}:{tag}", {})
    shell(f"{helm} push --plain-http {built.chart} {charts}", {})
    version = built.chart.stem.removeprefix(f"{NAME}-")
    return ["--plain-http", f"{charts}/{NAME}", f"--version={version}", f"--set=image.name={name}"]


def helm_environment(folder: Path, helm: str, kubectl: Path | None = None) -> dict[str, str]:
    """Variables that have one Helm go by its name, with repositories and a cache of its own.

    Args:
        folder: for what it keeps.
        helm: ``helm`` or ``helm4``, as ``python -m ci tools`` has them.
        kubectl: that goes by its name, too.
    """
    bin_ = folder / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "helm").symlink_to(tools.ensure([helm])[helm])
    if kubectl:
        (bin_ / "kubectl").symlink_to(kubectl)
    own = {f"HELM_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA")}
    return {**own, "PATH": f"{bin_}:{os.environ['PATH']}"}


def shell(script: str, environment: Mapping[str, str], folder: Path | None = None) -> str:
    """What a script prints.

    Args:
        script: for bash; it ends with the first command that fails.
        environment: variables on top of this process's own.
        folder: where it runs.

    Raises:
        AssertionError: it failed; with what it printed.
    """
    bash = ["bash", "-euo", "pipefail", "-c", script]
    own = {**os.environ, **environment}
    done = subprocess.run(bash, env=own, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(folder: Path, *arguments: str) -> None:
    """Run git."""
    subprocess.run(["git", *arguments], cwd=folder, env={**os.environ, **_WHO}, check=True, capture_output=True)


def _clone(checkout: Path) -> None:
    root = documented.ROOT
    git(root, "clone", "--quiet", "--shared", str(root), str(checkout))
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listing, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0"):
        source, target = root / name, checkout / name
        if name and source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        elif name:
            target.unlink(missing_ok=True)
    changelog = checkout / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text().replace("## Unreleased", f"## Unreleased\n\n## {VERSION} - 2026-09-01")
    )
    render = [sys.executable, "-m", "scripts.render", "revision"]
    subprocess.run(render, cwd=checkout, check=True, capture_output=True)
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", f"Changelog of {VERSION}")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A web server for a folder; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
