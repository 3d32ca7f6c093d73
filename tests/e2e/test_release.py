"""The image of a release: built from the tag, pushed to a registry, one manifest for all architectures."""

from __future__ import annotations

import json

import pytest

from ci import host
from ci.process import output
from tests.releases import NAME, VERSION, Site

pytestmark = pytest.mark.e2e


def engine(*arguments: str) -> str:
    status, said, error = output(["docker", *arguments])
    assert status == 0, error
    return said


def test_image_is_pushed_for_its_architecture_and_listed_in_one_manifest(released: Site) -> None:
    architecture = host.architecture()
    tags = [tag for tag in released.registry.tags(f"dask/{NAME}") if VERSION in tag]
    assert tags == [VERSION, f"{VERSION}-{architecture}"]
    listed = json.loads(engine("manifest", "inspect", "--insecure", released.image))["manifests"]
    assert [one["platform"] for one in listed] == [{"architecture": architecture, "os": "linux"}]
    bill = json.loads((released.artifacts / f"sbom-{architecture}.json").read_text())
    assert {"kopf", "libc6"} <= {one["name"] for one in bill["components"]}


def test_same_image_again_changes_nothing(released: Site) -> None:
    before = released.digest("image")
    again = released.run("manifest", f"--to={released.registry.host}/dask", f"--architectures={host.architecture()}")
    assert again.returncode == 0, again.stderr
    assert released.digest("image") == before


def test_image_that_is_out_is_not_built_again(released: Site) -> None:
    bill = released.artifacts / f"sbom-{host.architecture()}.json"
    before = bill.read_text()
    bill.unlink()
    again = released.run("image", f"--to={released.registry.host}/dask")
    assert again.returncode == 0, again.stderr
    assert "which is out already" in again.stderr
    assert bill.read_text() == before


def test_other_image_of_the_same_version_replaces_nothing(released: Site) -> None:
    reference = f"{released.registry.host}/dask/{NAME}:{VERSION}-{host.architecture()}"
    kept = f"{reference}-kept"
    engine("tag", reference, kept)
    container = engine("create", reference).strip()
    try:
        engine("commit", "--change", "LABEL another=one", container, reference)
        engine("push", reference)
        refused = released.run(
            "manifest", f"--to={released.registry.host}/dask", "--architectures", host.architecture()
        )
        assert refused.returncode == 1
        assert f"{NAME}:{VERSION} is there already, with other images; no release is ever replaced" in refused.stderr
    finally:
        engine("rm", container)
        engine("tag", kept, reference)
        engine("push", reference)
        engine("rmi", kept)


def test_architecture_that_nobody_built_is_told(released: Site) -> None:
    refused = released.run("manifest", f"--to={released.registry.host}/dask", "--architectures=amd64,arm64")
    assert refused.returncode == 1
    assert " is not there; on a machine of that architecture run: python -m scripts.release image" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_registry_that_cannot_be_reached_is_told(released: Site) -> None:
    refused = released.run("manifest", "--to=127.0.0.1:1/dask", f"--architectures={host.architecture()}")
    assert refused.returncode == 1
    assert "the registry 127.0.0.1:1 cannot be reached; check --to and the network" in refused.stderr
