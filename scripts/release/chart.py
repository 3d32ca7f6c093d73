"""The chart of a release: packaged from the tag, with the image by digest, signed; then pushed."""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from ci import tools
from ci.console import Failure, console
from ci.process import output
from scripts import images
from scripts.release import registry
from scripts.release.artifacts import NAME, Artifacts

# As it stands in values.yaml, whichever way it is quoted.
_NO_DIGEST = re.compile(r"""^  digest: (""|'')$""", re.MULTILINE)
_TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Signer:
    """Who signs.

    Attributes:
        key: name, mail address or fingerprint of the key.
        keyring: file with the secret key, as ``gpg --export-secret-keys`` writes it.
        passphrase: file with its passphrase; None if it has none.
    """

    key: str
    keyring: Path
    passphrase: Path | None

    def options(self) -> list[str]:
        """What ``helm package`` is told.

        Raises:
            Failure: a file is not there.
        """
        for flag, file in (("--keyring", self.keyring), ("--passphrase-file", self.passphrase)):
            if file is not None and not file.is_file():
                raise Failure(f"{flag}: there is no file {file}; see docs/releasing.md for how it is made.")
        passphrase = [f"--passphrase-file={self.passphrase}"] if self.passphrase else []
        return ["--sign", f"--key={self.key}", f"--keyring={self.keyring}", *passphrase]


def package(artifacts: Artifacts, image: str, signer: Signer) -> Path:
    """Package the chart of the tag.

    Args:
        artifacts: of the release.
        image: reference of the controller image, with its digest.
        signer: who signs it.

    Returns:
        The packaged chart; its signature is beside it.

    Raises:
        Failure: there is no such key, or a tool failed.
    """
    options = signer.options()
    name, tag, digest = _parts(image)
    helm = str(tools.ensure(["helm"])["helm"])
    with images.snapshot(artifacts.version) as tree, console.step("package and sign the chart"):
        prefix = name.removesuffix(NAME)
        _run([sys.executable, "-m", "chartpress", "--skip-build", f"--image-prefix={prefix}"], "chartpress", tree)
        chart = tree / images.CHART
        pin(chart / "values.yaml", name, tag, digest)
        made = tree / "made"
        _sign([helm, "package", str(chart), f"--destination={made}", *options], signer)
        # Only now, so that the chart of an earlier attempt keeps its signature when this one fails.
        for file in (artifacts.chart, artifacts.provenance):
            if not (made / file.name).is_file():
                raise Failure(f"helm package made no {file.name}: chartpress found another version than the tag.")
            shutil.copy2(made / file.name, file)
    return artifacts.chart


def pin(values: Path, name: str, tag: str, digest: str) -> None:
    """Write a digest into a chart's values, which name an image by its tag.

    Raises:
        Failure: they are not about that image, or have no place for its digest.
    """
    text = values.read_text(encoding="utf-8")
    image = yaml.safe_load(text)["image"]
    if (image["name"], image["tag"]) != (name, tag):
        raise Failure(f"{values.name}: image is {image['name']}:{image['tag']} and the one pushed is {name}:{tag}.")
    text = _NO_DIGEST.sub(f'  digest: "{digest}"', text, count=1)
    if yaml.safe_load(text)["image"] != {**image, "digest": digest}:
        raise Failure(f'{values.name}: there is no line `digest: ""` below `image`.')
    values.write_text(text, encoding="utf-8")


def push(artifacts: Artifacts, repository: str) -> str:
    """Push the packaged chart, with its signature, to a registry.

    Args:
        artifacts: of the release.
        repository: such as ``oci://ghcr.io/dask/charts``.

    Returns:
        The chart's reference with its digest.

    Raises:
        Failure: nothing is packaged, the registry refuses, or it has another chart of that version.
    """
    if not repository.startswith("oci://"):
        raise Failure(f"--to: {repository} is no registry for charts; write it as oci://HOST/FOLDER.")
    chart = artifacts.packaged()
    helm = str(tools.ensure(["helm"])["helm"])
    plain = registry.insecure(repository, "--plain-http")
    reference = f"{repository}/{NAME}:{artifacts.version}"
    there = _published(helm, artifacts, repository, plain)
    if there is None:
        with console.step(f"push {reference}"):
            command = [helm, "push", *plain, str(chart), repository]
            status, said, error = output(command, timeout_seconds=_TIMEOUT_SECONDS)
        if status:
            raise registry.failure(repository, "helm push", error)
        there = said + error
    # Helm 3 says it on stderr.
    reference = f"{reference}@{registry.digest_in(there, 'helm')}"
    artifacts.remember("chart", reference)
    return reference


def _published(helm: str, artifacts: Artifacts, repository: str, plain: list[str]) -> str | None:
    """What Helm says of the chart of this version that the registry has, or None if it has none.

    A release that is begun anew packages its chart again: the same files, at another time. What is out then takes the
    place of what is here.
    """
    pull = [helm, "pull", *plain, f"{repository}/{NAME}", f"--version={artifacts.version}"]
    with tempfile.TemporaryDirectory() as folder:
        status, said, error = output([*pull, f"--destination={folder}"], timeout_seconds=_TIMEOUT_SECONDS)
        if status:
            return None
        if _files(Path(folder) / artifacts.chart.name) != _files(artifacts.chart):
            raise Failure(
                f"{repository} has another chart of {artifacts.version} already; a release is never replaced: tag a"
                " new version."
            )
        again = [*pull, "--prov", f"--destination={artifacts.folder}"]
        status, _, refusal = output(again, timeout_seconds=_TIMEOUT_SECONDS)
        if status:
            raise registry.failure(repository, "helm pull", refusal)
        return said + error


def _files(chart: Path) -> dict[str, bytes]:
    with tarfile.open(chart) as archive:
        return {one.name: found.read() for one in archive if (found := archive.extractfile(one))}


def _parts(image: str) -> tuple[str, str, str]:
    """Name, tag and digest of a reference."""
    rest, _, digest = image.partition("@")
    name, _, tag = rest.rpartition(":")
    return name, tag, digest


def _sign(command: list[str], signer: Signer) -> None:
    status, said, error = output(command, timeout_seconds=_TIMEOUT_SECONDS)
    if not status:
        return
    last = ((error or said).strip().splitlines() or ["no reason given"])[-1]
    if "not found" in last or "no private key" in last:
        raise Failure(f"--key: {signer.keyring} has no secret key of '{signer.key}' ({last})")
    if "pass" in last or "decrypt" in last or "checksum" in last or "EOF" in last:
        raise Failure(f"--passphrase-file: it does not open the key of '{signer.key}' ({last})")
    raise Failure(f"helm package failed: {last}")


def _run(command: list[str], what: str, folder: Path) -> None:
    status, said, error = output(command, cwd=folder, timeout_seconds=_TIMEOUT_SECONDS)
    if status:
        raise Failure(f"{what} failed: {(error or said).strip()}")
