"""Flux: its source-controller and its kustomize-controller."""

from __future__ import annotations

from typing import ClassVar

from ci import gitops
from tests.platform import Object
from tests.render.kustomize.overlays import TREE, build, renamed
from tests.sync.repositories import Repository
from tests.sync.tool import TEAM, Told, Tool, account, deployment, namespace

# Often enough for a test to wait for; what a tool that looks often does not touch, one that looks seldom does not.
_POLL = "5s"
_RETRY = "5s"
_TEAM_INTERVAL = "10s"
# A part is not ready while it is looked after, and meanwhile those wait that depend on it.
_OPERATOR_INTERVAL = "1m"


class Flux(Tool):
    """Flux, whose parts are Kustomizations."""

    namespace: ClassVar[str] = "flux-system"
    account: ClassVar[str] = "kustomize-controller"
    parts: ClassVar[str] = "kustomizations.kustomize.toolkit.fluxcd.io"
    group: ClassVar[str] = "kustomize.toolkit.fluxcd.io"
    # It applies every field that it finds, again and again.
    replicas_of_scaled_group: ClassVar[dict[str, int]] = {}
    blames_missing_definitions: ClassVar[str] = "dependency 'flux-system/dask-operator' not found"

    @staticmethod
    def built() -> str:
        """The reference of its image, which is built if it is not there."""
        return gitops.flux()

    def install(self) -> None:
        """Install it, and wait until it runs."""
        self.define(gitops.definitions(gitops.FLUX_DEFINITIONS))
        source, kustomize = "source-controller", "kustomize-controller"
        serve = ["--storage-path=/tmp", f"--storage-adv-addr={source}.{self.namespace}.svc"]
        self.apply(
            namespace(self.namespace),
            *self._controller(source, serve),
            *self._controller(kustomize, ["--requeue-dependency=5s"]),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": source, "namespace": self.namespace},
                "spec": {"selector": {"app": source}, "ports": [{"port": 80, "targetPort": 9090}]},
            },
        )
        self.kubectl("wait", "--for=condition=Available", "deployments", "--all", "--timeout=120s")

    def operator(self, repository: Repository) -> list[Object]:
        """What the tree has for syncing the definitions and the operator, with a repository of ours put in."""
        return [_pointed(one, repository, "main", _OPERATOR_INTERVAL) for one in build(TREE / "flux" / "git")]

    def team(self, team: str, repository: Repository, branch: str = "main") -> list[Object]:
        """What the tree has for syncing a team's Dask objects, for a team and a repository of ours."""
        objects = renamed(build(TREE / "flux" / "clusters"), TEAM, team)
        return [_pointed(one, repository, branch, _TEAM_INTERVAL) for one in objects]

    def read(self, part: Object) -> Told:
        """What the status of a Kustomization tells: Ready is what was applied and is healthy."""
        status = part.get("status", {})
        ready: Object = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {})
        applied, attempted = (status.get(f"last{verb}Revision", "") for verb in ("Applied", "Attempted"))
        return Told(
            revision=applied.rpartition(":")[2],  # main@sha1:...
            synced=bool(applied) and applied == attempted,
            healthy=ready.get("status") == "True",
            message="" if ready.get("status") == "True" else ready.get("message", ""),
        )

    def _controller(self, name: str, arguments: list[str]) -> list[Object]:
        container = {
            "name": name,
            "image": self.image,
            "command": [name],
            "args": ["--log-level=info", *arguments],
            "env": [{"name": "RUNTIME_NAMESPACE", "value": self.namespace}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9440}, "periodSeconds": 1},
        }
        return [*account(self.namespace, name), deployment(self.namespace, name, name, [container])]


def _pointed(one: Object, repository: Repository, branch: str, interval: str) -> Object:
    """An object of the tree with a repository of ours in it."""
    if one["kind"] == "GitRepository":
        source = {"url": repository.url, "ref": {"branch": branch}, "interval": _POLL}
        return {**one, "spec": {**one["spec"], **source}}
    return {**one, "spec": {**one["spec"], "interval": interval, "retryInterval": _RETRY}}
