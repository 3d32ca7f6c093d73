"""versions.toml, and that the Go modules agree with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ci import pins as pins_module
from ci.console import Failure
from ci.pins import FILE, Pins, Tool, parse, pins

pytestmark = pytest.mark.unit

TEXT = FILE.read_text()
TOOLS = list(pins().tools.values())


def required(module: Path, package: str) -> str:
    """The version a go.mod requires of the module that a package is in."""
    text = (module / "go.mod").read_text()
    versions: dict[str, str] = dict(re.findall(r"^\s*(?:require )?(\S+) (v\S+)", text, re.MULTILINE))
    parts = package.split("/")
    found = [versions[name] for n in range(len(parts), 0, -1) if (name := "/".join(parts[:n])) in versions]
    return found[0]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_is_built_in_the_version_it_is_downloaded_in(tool: Tool) -> None:
    assert required(tool.module, tool.package) == f"v{tool.version}"
    assert (tool.module / "go.sum").is_file()


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_checksums_are_checksums(tool: Tool) -> None:
    assert bool(tool.sha256) == bool(tool.url)
    for platform, checksum in tool.sha256.items():
        assert re.fullmatch(r"(linux|darwin)-(amd64|arm64)", platform)
        assert re.fullmatch(r"[0-9a-f]{64}", checksum)
    assert len(set(tool.sha256.values())) == len(tool.sha256)


@pytest.mark.parametrize("version", sorted(pins().kubernetes_versions))
def test_kubernetes_is_built_from_modules_of_one_release(version: str) -> None:
    module = pins().kubernetes(version).module
    assert required(module, "k8s.io/kubernetes") == f"v{version}"
    staging = re.findall(r"^\s+(\S+) => (\S+) (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    assert len(staging) > 25
    assert {release for _, _, release in staging} == {f"v0.{version.split('.', 1)[1]}"}
    assert all(old == new for old, new, _ in staging)


@pytest.mark.parametrize("version", sorted(pins().kubernetes_versions))
def test_a_published_node_image_is_pinned_and_of_the_same_minor_release(version: str) -> None:
    minor = re.escape(version.rsplit(".", 1)[0])
    assert re.fullmatch(rf"kindest/node:v{minor}\.\d+@sha256:[0-9a-f]{{64}}", pins().kubernetes(version).node_image)


def test_helm_renders_for_the_kubernetes_it_is_built_against() -> None:
    tool = pins().tool("helm")
    minor = required(tool.module, "k8s.io/client-go").split(".")[1]
    said = {value for name, value in tool.symbols.items() if name.endswith("k8sVersionMinor")}
    assert said == {minor}


def test_the_python_image_is_pinned() -> None:
    assert re.fullmatch(r"python:[\w.-]+@sha256:[0-9a-f]{64}", pins().python_image)


def test_versions_are_given_with_and_without_v() -> None:
    known: Pins = pins()
    assert known.kubernetes(None).version == known.default_kubernetes
    assert known.kubernetes("v1.34.4") == known.kubernetes("1.34.4")


def test_an_unknown_kubernetes_names_the_known_ones() -> None:
    with pytest.raises(Failure, match=r"1\.2\.3 is not known here; use one of 1\.34\.4 and 1\.36\.3"):
        pins().kubernetes("1.2.3")


def test_an_unknown_tool_names_the_known_ones() -> None:
    with pytest.raises(Failure, match=r"no tool named hlem; use one of .*helm, .*helm4"):
        pins().tool("hlem")


def test_a_broken_file_is_a_sentence() -> None:
    with pytest.raises(Failure, match=r"versions\.toml is not valid TOML"):
        parse("[kubernetes")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ('debian_suite = "bookworm"', "has no 'debian_suite'"),
        ("[tools.kind]", "has no 'kind'"),
    ],
)
def test_a_missing_field_is_named(damage: str, sentence: str) -> None:
    assert damage in TEXT
    with pytest.raises(Failure, match=sentence):
        parse(TEXT.replace(damage, "[tools.other]" if damage.startswith("[") else ""))


def test_kubectl_is_of_the_default_version() -> None:
    with pytest.raises(Failure, match="kubectl"):
        parse(TEXT.replace('default = "1.36.3"', 'default = "1.34.4"'))


def test_the_pins_are_read_where_they_are() -> None:
    assert pins_module.HERE / "versions.toml" == FILE
