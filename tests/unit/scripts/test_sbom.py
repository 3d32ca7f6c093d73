"""The bill of materials of an inventory."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from scripts.sbom import DebianPackage, Inventory, document

pytestmark = pytest.mark.unit

INVENTORY = Inventory(
    image="registry.test/operator:1",
    identity="sha256:" + 64 * "0",
    created=datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC),
    release="12",
    debian=(DebianPackage("libssl3", "3.0.20-1~deb12u2", "amd64", "openssl", "3.0.20-1~deb12u2"),),
    python=(("kopf", "1.45.0"),),
    interpreter="3.13.9",
)


def test_it_is_what_the_standard_says() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document(INVENTORY)) is None


def test_it_names_everything_as_scanners_look_it_up() -> None:
    assert {one["purl"] for one in json.loads(document(INVENTORY))["components"]} == {
        "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-12",
        "pkg:pypi/kopf@1.45.0",
        "pkg:generic/python@3.13.9",
    }


def test_a_debian_package_says_what_it_was_built_from() -> None:
    (package,) = json.loads(document(replace(INVENTORY, python=(), interpreter="")))["components"]
    assert package["properties"] == [{"name": "debian:source", "value": "openssl 3.0.20-1~deb12u2"}]


def test_it_is_about_the_image_which_depends_on_all_of_it() -> None:
    told = json.loads(document(INVENTORY))
    assert told["metadata"]["component"]["name"] == "registry.test/operator:1"
    assert told["metadata"]["component"]["version"] == INVENTORY.identity
    (image,) = (one for one in told["dependencies"] if one["ref"] == "image")
    assert len(image["dependsOn"]) == 3


def test_the_same_image_has_the_same_one_and_another_has_another() -> None:
    assert document(INVENTORY) == document(INVENTORY)
    other = replace(INVENTORY, identity="sha256:" + 64 * "1")
    assert json.loads(document(other))["serialNumber"] != json.loads(document(INVENTORY))["serialNumber"]
