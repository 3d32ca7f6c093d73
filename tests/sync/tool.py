"""A GitOps tool in a cluster: what of it is asked for by the tests, whichever it is."""

from __future__ import annotations

import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import ClassVar

from pytest_kind import KindCluster

from ci import audit
from tests.platform import PATIENCE_SECONDS, Object, eventually
from tests.rights import Account
from tests.sync.repositories import Repository

#: What the tree calls the parts that are synced, with either tool.
DEFINITIONS = "dask-crds"
OPERATOR = "dask-operator"
TEAM = "team-a"
#: A DaskCluster of the team.
CLUSTER = "simple"

_LOG_LINES = 200
_WRITING = {"create", "update", "patch", "delete", "deletecollection"}
# Where a tool notes how it gets on.
_NOTES = {("", "events"), ("events.k8s.io", "events"), ("coordination.k8s.io", "leases")}


def part_of(team: str) -> str:
    """What the tree calls the part with a team's own Dask objects."""
    return f"dask-{team}"


@dataclass(frozen=True)
class Told:
    """What a tool tells of a part.

    Attributes:
        revision: the commit that was synced last.
        synced: whether the cluster has what is in it.
        healthy: whether that is as it should be.
        message: what is in the way.
    """

    revision: str
    synced: bool
    healthy: bool
    message: str


class Tool(ABC):
    """Syncs what is in Git into the cluster that it is in."""

    #: Where it is.
    namespace: ClassVar[str]
    #: The ServiceAccount of what syncs.
    account: ClassVar[str]
    #: The kind of the parts, for kubectl.
    parts: ClassVar[str]
    #: The group of its own kinds.
    group: ClassVar[str]
    #: What Git may say of how many workers a group has that is scaled.
    replicas_of_scaled_group: ClassVar[dict[str, int]]
    #: What it says of Dask objects that are there before their definitions.
    blames_missing_definitions: ClassVar[str]

    def __init__(self, kind: KindCluster, image: str) -> None:
        """A tool that is not installed yet.

        Args:
            kind: the cluster.
            image: of the tool, which the nodes hold.
        """
        self.kind = kind
        self.image = image

    @staticmethod
    @abstractmethod
    def built() -> str:
        """The reference of its image, which is built if it is not there."""

    @abstractmethod
    def install(self) -> None:
        """Install it, and wait until it runs."""

    @abstractmethod
    def operator(self, repository: Repository) -> list[Object]:
        """What the tree has for syncing the definitions and the operator, with a repository of ours put in."""

    @abstractmethod
    def team(self, team: str, repository: Repository, branch: str = "main") -> list[Object]:
        """What the tree has for syncing a team's Dask objects, for a team and a repository of ours."""

    @abstractmethod
    def read(self, part: Object) -> Told:
        """What the status of a part tells."""

    def told(self, name: str) -> Told:
        """What it tells of a part at the moment."""
        return self.read(json.loads(self.kubectl("get", self.parts, name, "-o", "json")))

    def healthy(self, name: str, revision: str) -> Told:
        """Wait until it has synced a commit, and that is as it should be."""
        return eventually(
            f"{name} healthy at {revision}",
            lambda: self.told(name),
            lambda told: told.synced and told.healthy and told.revision == revision,
        )

    def says(self, name: str, words: str) -> Told:
        """Wait until it says something of a part."""
        return eventually(f"{name}: {words}", lambda: self.told(name), lambda told: words in told.message)

    @contextmanager
    def watched(self, name: str) -> Iterator[list[Told]]:
        """All that it tells of a part meanwhile, complete after the block."""
        seen: list[Told] = []
        with TemporaryFile("w+") as output:
            watch = subprocess.Popen(
                [*self._command(), "get", self.parts, name, "--watch", "-o", "json"], stdout=output
            )
            try:
                yield seen
            finally:
                watch.terminate()
                watch.wait()
            output.seek(0)
            text, decoder = output.read().lstrip(), json.JSONDecoder()
            while text:
                try:
                    found, end = decoder.raw_decode(text)
                except json.JSONDecodeError:
                    break  # the last one was on its way
                seen.append(self.read(found))
                text = text[end:].lstrip()

    def writes(self, since: datetime) -> list[str]:
        """What it has written since then, but for notes of its own, as the API server has recorded it."""
        user = Account(self.namespace, self.account).user
        return [
            f"{event['verb']} {event['requestURI']}"
            for event in audit.read(self.kind.name)
            if event["user"]["username"] == user
            and event["verb"] in _WRITING
            and "dryRun=All" not in event["requestURI"]
            and datetime.fromisoformat(event["requestReceivedTimestamp"]) >= since
            and not self._is_note(event.get("objectRef", {}))
        ]

    def _is_note(self, what: Object) -> bool:
        group = what.get("apiGroup", "")
        return group == self.group or (group, what.get("resource")) in _NOTES

    def delete(self, *names: str) -> None:
        """Delete parts, and wait until they are gone."""
        self.kubectl("delete", self.parts, *names, f"--timeout={PATIENCE_SECONDS:.0f}s")

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """Run kubectl in its namespace.

        Raises:
            AssertionError: it failed; the message is what it printed.
        """
        done = subprocess.run(
            [*self._command(), *arguments], input=input, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: Object) -> None:
        """Apply objects."""
        self.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def define(self, files: Sequence[Path]) -> None:
        """Apply definitions, the larger of which leave no room for what ``kubectl apply`` would note in them."""
        flags = [part for file in files for part in ("-f", str(file))]
        self.kubectl("apply", "--server-side", *flags)
        self.kubectl("wait", "--for=condition=Established", *flags)

    def findings(self) -> Iterator[tuple[str, str]]:
        """What a person would ask for when a test fails, by title."""
        pods = ("get", "pods", "-o", "jsonpath={range .items[*]}{.metadata.name} {end}")
        commands = {
            "parts": ("get", self.parts, "-o", "yaml"),
            "events": ("get", "events", "--sort-by=.lastTimestamp"),
            "pods": ("describe", "pods"),
            **{
                f"log of {pod}": ("logs", pod, "--all-containers", f"--tail={_LOG_LINES}")
                for pod in self.kubectl(*pods).split()
            },
        }
        for title, command in commands.items():
            try:
                yield f"{type(self).__name__}: {title}", self.kubectl(*command)
            except AssertionError as error:
                yield f"{type(self).__name__}: {title}", str(error)

    def _command(self) -> list[str]:
        return [
            str(self.kind.kubectl_path),
            f"--kubeconfig={self.kind.kubeconfig_path}",
            f"--namespace={self.namespace}",
        ]


def now() -> datetime:
    """As the API server's clock has it, which is this machine's."""
    return datetime.now(UTC)


def account(namespace: str, name: str) -> list[Object]:
    """A ServiceAccount that may do everything, as what syncs has to."""
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{namespace}-{name}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
    ]


def namespace(name: str) -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def deployment(namespace: str, name: str, account: str, containers: list[Object]) -> Object:
    """A Deployment of one Pod, with a directory ``/tmp`` that its containers share."""
    labels = {"app": name}
    mounted = [{"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}], **one} for one in containers]  # noqa: S108
    spec = {
        "serviceAccountName": account,
        "enableServiceLinks": False,
        "containers": mounted,
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
