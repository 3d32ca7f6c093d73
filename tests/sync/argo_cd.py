"""Argo CD: its application controller and its repository server."""

from __future__ import annotations

from typing import ClassVar

from ci import gitops
from tests.platform import Object
from tests.render.kustomize.overlays import TREE, build, read, renamed
from tests.sync.repositories import Repository
from tests.sync.tool import TEAM, Told, Tool, account, deployment, namespace

HEALTH_CHECKS = TREE / "argocd" / "health" / "argocd-cm.yaml"

_CONTROLLER = "argocd-application-controller"
_REPOSITORIES = "argocd-repo-server"
_REDIS = ["--redis=localhost:6379"]
# Its other parts, and tests, find its settings by this label.
_SETTINGS = {"app.kubernetes.io/part-of": "argocd"}


class ArgoCD(Tool):
    """Argo CD, whose parts are Applications."""

    namespace: ClassVar[str] = "argocd"
    account: ClassVar[str] = _CONTROLLER
    parts: ClassVar[str] = "applications.argoproj.io"
    group: ClassVar[str] = "argoproj.io"
    # It leaves alone what its Application says that it is to ignore.
    replicas_of_scaled_group: ClassVar[dict[str, int]] = {"replicas": 1}
    blames_missing_definitions: ClassVar[str] = 'Make sure the "DaskCluster" CRD is installed'

    @staticmethod
    def built() -> str:
        """The reference of its image, which is built if it is not there."""
        return gitops.argo_cd()

    def install(self) -> None:
        """Install it, and wait until it runs."""
        self.define(gitops.definitions(gitops.ARGO_CD_DEFINITIONS))
        self.apply(
            namespace(self.namespace),
            *account(self.namespace, _CONTROLLER),
            self._settings("ConfigMap", "argocd-cm"),
            self._settings("Secret", "argocd-secret"),
            deployment(self.namespace, "argo-cd", _CONTROLLER, self._containers()),
        )
        self.kubectl("patch", "configmap", "argocd-cm", f"--patch-file={HEALTH_CHECKS}")
        self.kubectl("wait", "--for=condition=Available", "deployments", "--all", "--timeout=120s")

    def operator(self, repository: Repository) -> list[Object]:
        """What the tree has for syncing the definitions and the operator, with a repository of ours put in."""
        return [_pointed(one, repository, "main") for one in build(TREE / "argocd")]

    def team(self, team: str, repository: Repository, branch: str = "main") -> list[Object]:
        """What the tree has for syncing a team's Dask objects, for a team and a repository of ours."""
        objects = renamed(read(TREE / "argocd" / "clusters.yaml"), TEAM, team)
        return [_pointed(one, repository, branch) for one in objects]

    def read(self, part: Object) -> Told:
        """What the status of an Application tells."""
        status = part.get("status", {})
        sync, operation = status.get("sync", {}), status.get("operationState", {})
        messages = [condition["message"] for condition in status.get("conditions", ())]
        if operation.get("phase") != "Succeeded":
            messages.append(operation.get("message", ""))
            messages += [
                f"{one['kind']}/{one['name']}: {one.get('message', '')}"
                for one in operation.get("syncResult", {}).get("resources", ())
                if one.get("status") == "SyncFailed"
            ]
        return Told(
            revision=sync.get("revision", ""),
            synced=sync.get("status") == "Synced",
            healthy=status.get("health", {}).get("status") == "Healthy",
            message="\n".join(messages),
        )

    def _settings(self, kind: str, name: str) -> Object:
        metadata = {"name": name, "namespace": self.namespace, "labels": _SETTINGS}
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata}

    def _containers(self) -> list[Object]:
        image = self.image
        resync_seconds, forget = 10, "5s"  # as often as a test wants it
        return [
            {
                "name": "redis",
                "image": image,
                "command": ["redis-server", "--save", "", "--appendonly", "no"],
                "workingDir": "/tmp",  # noqa: S108
            },
            {
                "name": _REPOSITORIES,
                "image": image,
                "args": [_REPOSITORIES, "--disable-tls", f"--revision-cache-expiration={forget}", *_REDIS],
                "env": [{"name": "ARGOCD_GPG_ENABLED", "value": "false"}],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8084}, "periodSeconds": 1},
            },
            {
                "name": _CONTROLLER,
                "image": image,
                "args": [
                    _CONTROLLER,
                    "--repo-server=localhost:8081",
                    "--repo-server-plaintext",
                    f"--app-resync={resync_seconds}",
                    *_REDIS,
                ],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8082}, "periodSeconds": 1},
            },
        ]


def _pointed(one: Object, repository: Repository, branch: str) -> Object:
    """An object of the tree with a repository of ours in it."""
    match one["kind"]:
        case "AppProject":
            return {**one, "spec": {**one["spec"], "sourceRepos": [repository.url]}}
        case "Application":
            source = {**one["spec"]["source"], "repoURL": repository.url, "targetRevision": branch}
            return {**one, "spec": {**one["spec"], "source": source}}
    return one
