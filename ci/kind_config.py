"""The configuration of a kind cluster: what this host needs, added to what the user asked for."""

from __future__ import annotations

import re

from ci.console import Failure

Section = list[str]


def required(*, own_image: bool, cgroup_v1: bool, lacks_sys_resource: bool) -> dict[str, Section]:
    """The lines each top-level key needs, without indentation.

    :param own_image: the node image was built here: it brings its own CNI, for a single node.
    :param cgroup_v1: the kubelet refuses it from 1.35 on unless told not to.
    :param lacks_sys_resource: nothing may raise limits or lower OOM scores, as in a user namespace.
    """
    sections: dict[str, Section] = {}
    if own_image:
        sections["networking"] = ["disableDefaultCNI: true"]
    if lacks_sys_resource:
        sections["featureGates"] = ["KubeletInUserNamespace: true"]
    if cgroup_v1:
        sections["kubeadmConfigPatches"] = [
            "- |",
            "  apiVersion: kubelet.config.k8s.io/v1beta1",
            "  kind: KubeletConfiguration",
            "  failCgroupV1: false",
        ]
    return sections


def render(sections: dict[str, Section], user: str = "") -> str:
    """A kind configuration: the user's YAML with our lines added below the keys that it has, other keys at its end.

    :raises Failure: the user's file is not block-style YAML of a kind cluster, or contradicts what this host needs.
    """
    lines = user.splitlines() if user.strip() else ["kind: Cluster", "apiVersion: kind.x-k8s.io/v1alpha4"]
    if not any(re.match(r"kind:\s*['\"]?Cluster\b", line) for line in lines):
        raise Failure("the kind configuration has no line 'kind: Cluster'; write it as kind documents it.")
    for name, added in sections.items():
        lines = _merge(lines, name, added)
    return "\n".join(lines) + "\n"


def _merge(lines: list[str], name: str, added: Section) -> list[str]:
    places = [index for index, line in enumerate(lines) if re.match(rf"{name}\s*:", line)]
    if not places:
        return [*lines, f"{name}:", *(f"  {line}" for line in added)]
    place = places[0]
    if lines[place].split("#")[0].split(":", 1)[1].strip():
        raise Failure(
            f"'{name}' of the kind configuration must be written one entry to a line, so that one can be added."
        )
    body = [line for line in _body(lines, place) if line.strip() and not line.lstrip().startswith("#")]
    indent = " " * (len(body[0]) - len(body[0].lstrip()) if body else 2)
    if not added[0].startswith("-"):
        key, value = added[0].split(": ")
        said = next(
            (line.split("#")[0].split(":", 1)[1].strip() for line in body if line.strip().startswith(f"{key}:")), ""
        )
        if said == value:
            return lines
        if said:
            raise Failure(
                f"this host needs {key}: {value} in the kind configuration, which says {said}; remove that line."
            )
    return [*lines[: place + 1], *(f"{indent}{line}" for line in added), *lines[place + 1 :]]


def _body(lines: list[str], place: int) -> Section:
    """The lines that belong to a top-level key; a list may begin in the first column."""
    body = []
    for line in lines[place + 1 :]:
        if line.strip() and not line.startswith((" ", "-", "#")):
            break
        body.append(line)
    return body


def node_count(user: str) -> int:
    """How many nodes a configuration asks for; 1 where it lists none."""
    return len(re.findall(r"^\s*-\s*role\s*:", user, re.MULTILINE)) or 1


def host_ports(user: str) -> list[tuple[str, int]]:
    """The addresses and TCP ports of this host that a configuration asks for: the API server's and those of nodes."""
    ports = [("127.0.0.1", int(port)) for port in re.findall(r"^\s*apiServerPort\s*:\s*(\d+)", user, re.MULTILINE)]
    ports += [("0.0.0.0", int(port)) for port in re.findall(r"^[\s-]*hostPort\s*:\s*(\d+)", user, re.MULTILINE)]  # noqa: S104
    return [(address, port) for address, port in ports if port > 0]
