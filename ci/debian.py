"""A Debian root file system, and its image: what the images built here stand on."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import ssl
import tarfile
from collections.abc import Mapping
from pathlib import Path

from ci import engine, host
from ci.cache import NAME, Cache, key
from ci.console import Failure, console
from ci.pins import pins
from ci.process import output, run

BOOTSTRAP_GIGABYTES = 2
INCLUDE = "ca-certificates"
LEFTOVERS = ("var/cache/apt/archives", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def identity() -> str:
    """The key of the file system and of its image."""
    return key(pins().debian_suite, INCLUDE, host.architecture())


def rootfs(cache: Cache) -> Path:
    """The tar of a minimal Debian.

    :raises Failure: not root, not on Debian, or the mirror cannot be reached.
    """
    suite = pins().debian_suite

    def build(folder: Path) -> None:
        if not host.is_root() or not host.is_debian():
            raise Failure(
                "Docker Hub cannot be reached and a Debian base can only be bootstrapped as root on Debian;"
                " connect to a network that reaches Docker Hub, or run the command as root on Debian."
            )
        host.require_disk(cache.root, BOOTSTRAP_GIGABYTES, f"bootstrapping Debian {suite}")
        with console.step(f"bootstrap Debian {suite}") as step:
            if shutil.which("debootstrap") is None:
                engine.install_packages(("debootstrap",), cache, step)
            log = cache.log("debootstrap")
            what = f"bootstrapping Debian {suite}"
            tree = folder / "root"
            # In a mount namespace of its own: what debootstrap mounts is gone with it, however it ends.
            command = ["unshare", "--mount", "debootstrap", "--variant=minbase", f"--include={INCLUDE}"]
            run([*command, suite, str(tree)], step=step, log=log, what=what)
            for leftover in LEFTOVERS:
                _empty(tree / leftover)
            archive = ["tar", "--numeric-owner", "-C", str(tree), "-cf", str(folder / "rootfs.tar"), "."]
            run(archive, step=step, log=log, what=what)
            shutil.rmtree(tree)

    return cache.make(f"debian-{suite}", identity(), build) / "rootfs.tar"


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def image(cache: Cache) -> str:
    """The reference of the Debian image in the engine.

    :raises Failure: as for :func:`rootfs`, or the engine refuses it.
    """
    suite = pins().debian_suite
    reference = f"{NAME}/debian:{suite}-{identity()}"
    with cache.lock("image-debian", "the import of Debian"):
        if not has_image(reference):
            archive = rootfs(cache)
            with console.step(f"import Debian {suite} into the engine") as step:
                what = "importing Debian"
                run(["docker", "import", str(archive), reference], step=step, log=cache.log("import"), what=what)
    return reference


def install_program(name: str, package: str, cache: Cache) -> None:
    """Have a program on PATH; on Debian its package is installed.

    :raises Failure: it is not there, and this is no Debian or not root, or the mirror cannot be reached.
    """
    if shutil.which(name):
        return
    if not host.is_root() or not host.is_debian():
        raise Failure(f"{name} is not installed; install it and run the command again.")
    with cache.lock(f"package-{package}", f"the installation of {package}"):
        if not shutil.which(name):
            with console.step(f"install {package}") as step:
                engine.install_packages((package,), cache, step)


def has_image(reference: str) -> bool:
    """Whether the engine holds an image. A cached file says nothing about it: engines are reset."""
    status, _, _ = output(["docker", "image", "inspect", "--format", "{{.Id}}", reference])
    return status == 0


def build_image(context: Path, dockerfile: str, reference: str, arguments: Mapping[str, str], cache: Cache) -> None:
    """Build an image with the classic builder, which every engine has; its steps use the host's network.

    :raises Failure: the build failed; its log comes with it.
    """
    log = cache.log(f"image-{reference.split('/')[-1].replace(':', '-')}")
    proxies = {name: os.environ[name] for name in PROXY_VARIABLES if os.environ.get(name)}
    flags = [part for name, value in {**proxies, **arguments}.items() for part in ("--build-arg", f"{name}={value}")]
    file = context / dockerfile
    command = ["docker", "build", "--force-rm", "--network", "host", "--file", str(file), "--tag", reference, *flags]
    with console.step(f"build the image {reference}") as step:
        what = f"building the image {reference}"
        run([*command, str(context)], step=step, log=log, what=what, env={"DOCKER_BUILDKIT": "0"})


def host_certificates(rootfs: Path) -> list[str]:
    """The certificates, in PEM, that this machine trusts and Debian does not, as networks that intercept TLS need."""
    bundle = Path(os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile or "")
    if not bundle.is_file():
        return []
    known: set[str] = set()
    with tarfile.open(rootfs) as tar:
        for member in tar:
            if "/ca-certificates/mozilla/" in member.name and (source := tar.extractfile(member)):
                known |= {_fingerprint(pem) for pem in _certificates(source.read().decode())}
    return [pem for pem in _certificates(bundle.read_text(errors="replace")) if _fingerprint(pem) not in known]


def _certificates(text: str) -> list[str]:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    bodies = [part.split(end)[0] for part in text.split(begin)[1:] if end in part]
    return [f"{begin}\n{body.strip()}\n{end}\n" for body in bodies]


def _fingerprint(pem: str) -> str:
    return hashlib.sha256(base64.b64decode("".join(pem.splitlines()[1:-1]))).hexdigest()


def write_certificates(certificates: list[str], folder: Path) -> None:
    """Write certificates one to a file, the way update-ca-certificates wants them; the folder is made in any case."""
    folder.mkdir(parents=True)
    for pem in certificates:
        (folder / f"{_fingerprint(pem)[:16]}.crt").write_text(pem)
