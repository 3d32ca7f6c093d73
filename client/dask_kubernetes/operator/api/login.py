"""Who asks, and whom: credentials as kubectl finds them, and the namespace that goes with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from dask_kubernetes.exceptions import CredentialsError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_HOSTS_OF_A_POD = ("kubernetes.default", "kubernetes.default.svc", "kubernetes")


@dataclass(frozen=True)
class Login:
    """A connection to an API server.

    Attributes:
        client: kubernetes_asyncio's client, with credentials that renew themselves.
        namespace: that of the context, or of the Pod.
        source: where the credentials come from, for people.
        in_cluster: whether this process runs in a Pod of the cluster that it talks to.
    """

    client: ApiClient
    namespace: str
    source: str
    in_cluster: bool


async def log_in(kubeconfig: str | None = None, context: str | None = None) -> Login:
    """Find credentials: what is named, else KUBECONFIG, else ~/.kube/config, else those of the Pod.

    Args:
        kubeconfig: paths of kubeconfig files, joined as in KUBECONFIG.
        context: a context of these files other than the current one.

    Raises:
        CredentialsError: there are none, or they cannot be used; the message says what was tried.
    """
    files = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    paths = [Path(os.path.expanduser(path)) for path in files.split(os.pathsep) if path]  # noqa: PTH111, ASYNC240
    asked_for = bool(kubeconfig or context)
    if any(path.is_file() for path in paths):
        return await _from_kubeconfig(os.pathsep.join(map(str, paths)), context)
    if not asked_for and (SERVICE_ACCOUNT / "token").is_file() and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _from_pod()
    tried = ", ".join(map(str, paths))
    raise CredentialsError(
        f"no credentials for Kubernetes: there is no kubeconfig at {tried}, and this is no Pod with a "
        "ServiceAccount. Set KUBECONFIG to the file that kubectl uses, or pass kubeconfig="
    )


async def _from_kubeconfig(files: str, context: str | None) -> Login:
    configuration = Configuration()
    try:
        loader = await load_kube_config(
            config_file=files, context=context, client_configuration=configuration, persist_config=False
        )
    except (ConfigException, OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        named = f"context {context!r} of " if context else ""
        raise CredentialsError(f"{named}{files} cannot be used: {_reason(error)}") from error

    async def renew(configuration: Configuration) -> None:
        """An exec plugin's token is asked for anew shortly before it expires."""
        if hasattr(loader, "exec_plugin_expiry"):
            await loader.load_from_exec_plugin()
            configuration.api_key["BearerToken"] = loader.token

    configuration.refresh_api_key_hook = renew
    chosen: Mapping[str, Any] = loader.current_context or {}
    namespace = (chosen.get("context") or {}).get("namespace") or _namespace_of_pod() or "default"
    name = context or chosen.get("name", "")
    return Login(
        ApiClient(configuration), namespace, f"context {name!r} of {files}", _is_own_server(str(configuration.host))
    )


def _from_pod() -> Login:
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise CredentialsError(f"the ServiceAccount of this Pod cannot be used: {error}") from error
    return Login(
        ApiClient(configuration), _namespace_of_pod() or "default", "the Pod's ServiceAccount", in_cluster=True
    )


def _namespace_of_pod() -> str | None:
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _is_own_server(url: str) -> bool:
    """Whether a kubeconfig in a Pod leads to the API server of that very Pod."""
    own = os.environ.get("KUBERNETES_SERVICE_HOST")
    if not own or not (SERVICE_ACCOUNT / "token").is_file():
        return False
    host = url.split("://")[-1].split("/")[0].rpartition(":")[0] or url.split("://")[-1]
    return host.strip("[]") in (own, *_HOSTS_OF_A_POD)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
