"""The controller image: one for each architecture, built where that is, then one manifest for all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ci import engine, host
from ci.console import Failure, console
from ci.process import output
from scripts import images, sbom
from scripts.release import registry
from scripts.release.artifacts import NAME, Artifacts

ARCHITECTURES = ("amd64", "arm64")
_PUSH_SECONDS = 900


def push(artifacts: Artifacts, prefix: str) -> str:
    """Build the image of the tag for this machine's architecture and push it, unless it is out already.

    Its bill of materials is written in either case.

    Args:
        artifacts: of the release.
        prefix: registry and folder, such as ``ghcr.io/dask``.

    Returns:
        Its reference: the version, and the architecture behind it.

    Raises:
        Failure: it cannot be built or pushed.
    """
    architecture = host.architecture()
    engine.ensure()
    reference = _of(artifacts, prefix, architecture)
    if _is_there(reference):
        # Built again it would be another one, with other bytes.
        with console.step(f"pull {reference}, which is out already"):
            _docker(reference, "pull", reference)
    else:
        built = images.build(artifacts.version)
        with console.step(f"push {reference}"):
            _docker(reference, "tag", built.controller, reference)
            _docker(reference, "push", reference)
    artifacts.bill_of_materials(architecture).write_text(sbom.document(sbom.inventory(reference)))
    return reference


def join(artifacts: Artifacts, prefix: str, architectures: Sequence[str]) -> str:
    """Push the manifest that leads each node to the image for its architecture.

    Args:
        artifacts: of the release.
        prefix: as for ``push``.
        architectures: whose images were pushed.

    Returns:
        The reference of the image of the release, with its digest.

    Raises:
        Failure: an image is missing, the registry refuses, or the version is there with other images.
    """
    if unknown := sorted(set(architectures) - set(ARCHITECTURES)):
        raise Failure(f"--architectures: {', '.join(unknown)} is not known; choose from {', '.join(ARCHITECTURES)}.")
    engine.ensure()
    target = f"{prefix}/{NAME}:{artifacts.version}"
    parts = {_digest(one): one for one in (_of(artifacts, prefix, each) for each in architectures)}
    there = _digests_of_manifest(target)
    if there and there != set(parts):
        raise Failure(f"{target} is there already, with other images; no release is ever replaced: tag a new one.")
    with console.step(f"push {target} for {', '.join(architectures)}"):
        plain = registry.insecure(target, "--insecure")
        output(["docker", "manifest", "rm", target])  # what is left of an earlier attempt, on this machine
        _docker(target, "manifest", "create", *plain, target, *parts.values())
        said = _docker(target, "manifest", "push", "--purge", *plain, target)
    reference = f"{target}@{registry.digest_in(said, 'docker manifest push')}"
    artifacts.remember("image", reference)
    return reference


def _of(artifacts: Artifacts, prefix: str, architecture: str) -> str:
    return f"{prefix}/{NAME}:{artifacts.version}-{architecture}"


def _is_there(reference: str) -> bool:
    plain = registry.insecure(reference, "--insecure")
    status, _, _ = output(["docker", "manifest", "inspect", *plain, reference])
    return status == 0


def _digest(reference: str) -> str:
    try:
        said = _docker(
            reference, "manifest", "inspect", "--verbose", *registry.insecure(reference, "--insecure"), reference
        )
    except Failure as failure:
        if "no such manifest" in str(failure) or "manifest unknown" in str(failure):
            raise Failure(
                f"{reference} is not there; on a machine of that architecture run: python -m scripts.release image"
            ) from failure
        raise
    return str(json.loads(said)["Descriptor"]["digest"])


def _digests_of_manifest(reference: str) -> set[str]:
    """The digests that a manifest of several architectures names; none if there is no such manifest."""
    plain = registry.insecure(reference, "--insecure")
    status, said, _ = output(["docker", "manifest", "inspect", *plain, reference])
    return {one["digest"] for one in json.loads(said).get("manifests", ())} if not status else set()


def _docker(reference: str, *arguments: str) -> str:
    status, said, error = output(["docker", *arguments], timeout_seconds=_PUSH_SECONDS)
    if status:
        raise registry.failure(reference, f"docker {' '.join(arguments[:2])}", error or said)
    return said
