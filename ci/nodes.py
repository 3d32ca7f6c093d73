"""The containers that are the nodes of kind clusters."""

from __future__ import annotations

import calendar
import subprocess
import time
from dataclasses import dataclass

from ci.console import Failure
from ci.process import output

LABEL = "io.x-k8s.kind.cluster"
# kind's own default.
SERVICES = "10.96.0.0/16"


@dataclass(frozen=True)
class Node:
    """A node's container, which has the node's name; it was started last at a time in seconds since the epoch."""

    container: str
    image: str
    running: bool
    started: float


def of_cluster(name: str) -> list[Node]:
    """The containers of a cluster's nodes, running or not, the control plane first.

    :raises Failure: the engine does not answer.
    """
    found = _answer(["docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}={name}"]).split()
    if not found:
        return []
    fields = "{{.Name}}\t{{.Config.Image}}\t{{.State.Running}}\t{{.State.StartedAt}}"
    rows = [line.split("\t") for line in _answer(["docker", "inspect", "--format", fields, *found]).splitlines()]
    return [Node(row[0].lstrip("/"), row[1], row[2] == "true", _seconds(row[3])) for row in sorted(rows)]


def _answer(command: list[str]) -> str:
    status, answer, error = output(command)
    if status:
        raise Failure(f"the Docker engine does not list its containers ({error.strip()}); check it with: docker ps")
    return answer


def _seconds(timestamp: str) -> float:
    """Docker's timestamps have nanoseconds, which are dropped."""
    return calendar.timegm(time.strptime(timestamp[:19], "%Y-%m-%dT%H:%M:%S"))


def remove(name: str) -> None:
    """What "kind delete cluster" does, with nothing but the engine's client: it also runs after an interruption."""
    listing = ["docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}={name}"]
    found = subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split()
    if found:
        subprocess.run(["docker", "rm", "--force", "--volumes", *found], capture_output=True, check=False)


def refuse_unknown_services(node: Node) -> None:
    """Have a node refuse what its Pods send to a Service that kube-proxy does not know yet, or any more.

    It would leave by the default route else, and where the network has a gateway that answers for everybody, that
    takes the connection: for Dask the first bytes of an HTTP answer are the length of a message of some exabytes.

    :raises Failure: the node has no iptables.
    """
    rule = ["FORWARD", "--destination", SERVICES, "--jump", "REJECT"]
    status, _, error = output(["docker", "exec", node.container, "iptables", "--append", *rule])
    if status:
        raise Failure(f"iptables in the node {node.container} fails ({error.strip()}); see docker logs of it.")


def holds(node: Node, image: str) -> bool:
    """Whether a node holds an image under the ID the engine knows it by, which is the digest of its configuration.

    :raises Failure: the engine has no such image.
    """
    status, wanted, _ = output(["docker", "image", "inspect", "--format", "{{.Id}}", image])
    if status:
        raise Failure(f"the Docker engine has no image {image}; build or pull it first.")
    name = full_name(image)
    ctr = ["docker", "exec", node.container, "ctr", "--namespace=k8s.io"]
    status, listing, _ = output([*ctr, "images", "list", f"name=={name}"])
    rows = [line.split() for line in listing.splitlines()[1:]]
    if status or not rows:
        return False
    status, manifest, _ = output([*ctr, "content", "get", rows[0][2]])
    return not status and f'"{wanted.strip()}"' in manifest


def full_name(image: str) -> str:
    """The name containerd keeps an image by: with its registry, its folder and its tag."""
    first, _, rest = image.partition("/")
    if not rest:
        image = f"docker.io/library/{image}"
    elif not ("." in first or ":" in first or first == "localhost"):
        image = f"docker.io/{image}"
    return image if ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"
