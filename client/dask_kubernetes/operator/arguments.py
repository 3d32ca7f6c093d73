"""The arguments of a KubeCluster: completed from dask.config and checked, before anything is sent to Kubernetes."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from .. import config
from ..exceptions import ValidationError
from . import checks, names, specs

MIN_PORT, MAX_PORT = 1, 65535
# What distributed's own Cluster takes besides.
CLUSTER_ARGUMENTS = ("scheduler_sync_interval",)

POD_OPTIONS = tuple(sorted(specs.ObjectOptions.__optional_keys__))
# What a manifest says itself, so that it cannot be said besides.
_SAID_BY_MANIFEST = (
    *("image", "n_workers", "resources", "env", "worker_command", "scheduler_service_type", "idle_timeout", "gpu"),
    "client_timeout",
    *POD_OPTIONS,
)
_OPTIONS_WITH_DEFAULTS = tuple(option for option in POD_OPTIONS if option != "tls_secret")


class CreateMode(Enum):
    """What to do depending on whether the cluster is there.

    Attributes:
        CREATE_ONLY: create it; that it is there is an error.
        CREATE_OR_CONNECT: create it, or connect to it if it is there.
        CONNECT_ONLY: connect to it; that it is not there is an error.
    """

    CREATE_ONLY = "CREATE_ONLY"
    CREATE_OR_CONNECT = "CREATE_OR_CONNECT"
    CONNECT_ONLY = "CONNECT_ONLY"


@dataclass(frozen=True)
class ClusterArguments:
    """All that a KubeCluster was asked for, checked and in one form.

    Attributes:
        name: name of the cluster.
        namespace: where it is to be; None for the current namespace.
        create_mode: what to do depending on whether it is there.
        shutdown_on_close: whether closing deletes it; None: if it was created here.
        resource_timeout_seconds: how long to wait for what should happen in Kubernetes.
        port_forward_cluster_ip: whether to forward ports of a ClusterIP Service; None: unless inside the cluster.
        scheduler_forward_port: local port for the dashboard; None: any that is free.
        jupyter: whether the scheduler has a Jupyter server.
        quiet: whether to print nothing.
        own_secret: name of the Secret with certificates that is to be made for it; None for none.
        worker: arguments of `specs.make_worker_spec` but ``n_workers``, which further worker groups start from.
        manifest: the DaskCluster, as it is to be created.
    """

    name: str
    namespace: str | None
    create_mode: CreateMode
    shutdown_on_close: bool | None
    resource_timeout_seconds: float
    port_forward_cluster_ip: bool | None
    scheduler_forward_port: int | None
    jupyter: bool
    quiet: bool
    own_secret: str | None
    worker: Mapping[str, Any] = field(repr=False)
    manifest: Mapping[str, Any] = field(repr=False)

    @property
    def image(self) -> str:
        """Image of the scheduler."""
        return str(self.manifest["spec"]["scheduler"]["spec"]["containers"][0]["image"])

    @property
    def n_workers(self) -> int | None:
        """Workers of the default group to begin with; None leaves it to the operator."""
        replicas = self.manifest["spec"]["worker"].get("replicas")
        return None if replicas is None else int(replicas)


def cluster_arguments(
    *,
    name: str | None = None,
    namespace: str | None = None,
    image: str | None = None,
    n_workers: int | None = None,
    resources: Mapping[str, Any] | None = None,
    env: specs.Env | None = None,
    worker_command: str | list[str] | None = None,
    port_forward_cluster_ip: bool | None = None,
    create_mode: CreateMode | str | None = None,
    shutdown_on_close: bool | None = None,
    idle_timeout: float | str | None = None,
    resource_timeout: float | str | None = None,
    scheduler_service_type: str | None = None,
    custom_cluster_spec: str | PathLike[str] | Mapping[str, Any] | None = None,
    scheduler_forward_port: int | None = None,
    jupyter: bool | None = None,
    quiet: bool = False,
    gpu: int | Mapping[str, int] | None = None,
    client_timeout: float | str | None = None,
    security: bool = False,
    **options: Any,
) -> ClusterArguments:
    """Complete arguments of KubeCluster from dask.config, and check them.

    Args:
        name: template of the name, see `names.fill_name`.
        namespace: see `ClusterArguments`, as for what is not mentioned here.
        image: see `specs.make_cluster_spec`, as n_workers, resources, env, worker_command, idle_timeout,
            scheduler_service_type, gpu and the options.
        n_workers: see there.
        resources: see there.
        env: see there.
        worker_command: see there.
        port_forward_cluster_ip: see `ClusterArguments`.
        create_mode: a `CreateMode` or its name.
        shutdown_on_close: see `ClusterArguments`.
        idle_timeout: seconds, or a string such as ``"1 hour"``.
        resource_timeout: seconds, or a string such as ``"5 minutes"``.
        scheduler_service_type: see `specs.make_cluster_spec`.
        custom_cluster_spec: a DaskCluster as a mapping, as YAML, or as the path of a file with YAML.
        scheduler_forward_port: see `ClusterArguments`.
        jupyter: see `ClusterArguments`.
        quiet: see `ClusterArguments`.
        gpu: see `specs.make_cluster_spec`.
        client_timeout: seconds, or a string such as ``"10 minutes"``.
        security: whether there are certificates for a Secret of its own, or are to be made. It is not made where
            there is a ``tls_secret``, nor for a ``custom_cluster_spec``, which says itself how it talks.
        options: see `specs.ObjectOptions`; None is as good as nothing.

    Raises:
        TypeError: an argument is unknown or of a wrong type.
        ValidationError: an argument cannot be used; it is a ``ValueError``.
    """
    known = (*(cluster_arguments.__kwdefaults__ or {}), *POD_OPTIONS)
    reject_unknown([option for option in options if option not in POD_OPTIONS], known)
    given = {key: value for key, value in options.items() if value is not None}
    worker = {
        "image": _configured("image", image),
        "resources": _configured("resources", resources),
        "env": _configured("env", env),
        "worker_command": _configured("worker-command", worker_command),
        "gpu": _configured("gpu", gpu),
        **{option: _configured(option.replace("_", "-"), given.get(option)) for option in _OPTIONS_WITH_DEFAULTS},
        "tls_secret": given.get("tls_secret"),
    }
    own_secret = None
    if config.get("count.max"):
        warnings.warn(
            "kubernetes.count.max has no effect: limit what a namespace may use with a ResourceQuota", stacklevel=3
        )
    with_jupyter = checks.flag("jupyter", _configured("scheduler-jupyter", jupyter))
    custom = _configured("custom-cluster-spec", custom_cluster_spec)
    if custom is not None:
        said = {
            **{"image": image, "n_workers": n_workers, "resources": resources, "env": env, "gpu": gpu},
            **{"worker_command": worker_command, "scheduler_service_type": scheduler_service_type},
            **{"idle_timeout": idle_timeout, "client_timeout": client_timeout, **given},
        }
        ignored = [argument for argument in _SAID_BY_MANIFEST if said.get(argument) is not None]
        if ignored:
            warnings.warn(
                f"{', '.join(ignored)}: without effect, because custom_cluster_spec is given; write it into that",
                stacklevel=3,
            )
        manifest = load_cluster_spec(custom)
        with_jupyter = with_jupyter or _has_jupyter(manifest)
        worker["tls_secret"] = None
    else:
        filled = names.fill_name(_configured("name", name))
        if security and worker["tls_secret"] is None:
            worker["tls_secret"] = own_secret = f"{filled}-tls"
        manifest = specs.make_cluster_spec(
            filled,
            n_workers=_configured("count.start", n_workers),
            scheduler_service_type=_configured("scheduler-service-type", scheduler_service_type),
            idle_timeout=_configured("idle-timeout", idle_timeout),
            client_timeout=_configured("client-timeout", client_timeout),
            jupyter=with_jupyter,
            **worker,
        )
    chosen_namespace = _configured("namespace", namespace)
    manifest_namespace = manifest["metadata"].get("namespace")
    if chosen_namespace is not None:
        names.check_namespace(chosen_namespace)
    if manifest_namespace is not None:
        names.check_namespace(manifest_namespace, "custom_cluster_spec.metadata.namespace")
        if namespace is not None and namespace != manifest_namespace:
            checks.wrong_value(
                "namespace",
                namespace,
                f"and custom_cluster_spec has the namespace {manifest_namespace!r}",
                "remove one of them, or make them the same",
            )
        chosen_namespace = manifest_namespace
    port = _configured("scheduler-forward-port", scheduler_forward_port)
    forward = _configured("port-forward-cluster-ip", port_forward_cluster_ip)
    shutdown = _configured("shutdown-on-close", shutdown_on_close)
    return ClusterArguments(
        name=manifest["metadata"]["name"],
        namespace=chosen_namespace,
        create_mode=read_create_mode(_configured("create-mode", create_mode)),
        shutdown_on_close=None if shutdown is None else checks.flag("shutdown_on_close", shutdown),
        resource_timeout_seconds=_positive_seconds(
            "resource_timeout", _configured("resource-timeout", resource_timeout)
        ),
        port_forward_cluster_ip=None if forward is None else checks.flag("port_forward_cluster_ip", forward),
        scheduler_forward_port=None
        if port is None
        else checks.count("scheduler_forward_port", port, least=MIN_PORT, most=MAX_PORT),
        jupyter=with_jupyter,
        quiet=checks.flag("quiet", quiet),
        own_secret=own_secret,
        worker=worker,
        manifest=manifest,
    )


def reject_unknown(given: Collection[str], known: Collection[str]) -> None:
    """Find arguments that there are not.

    Args:
        given: names of arguments that were not recognised.
        known: names of those that there are.

    Raises:
        TypeError: there is one; the message has the nearest one that is known.
    """
    for argument in given:
        near = difflib.get_close_matches(argument, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
        raise TypeError(f"{argument} is no argument of KubeCluster: {remedy}")


def read_create_mode(value: object, argument: str = "create_mode") -> CreateMode:
    """A create mode from itself or its name, as in a configuration file."""
    if isinstance(value, Enum):
        value = value.value
    modes = [mode.value for mode in CreateMode]
    return CreateMode(checks.choice(argument, value.upper() if isinstance(value, str) else value, modes))


def worker_group_arguments(base: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """The arguments of `specs.make_worker_spec` for a further worker group.

    Args:
        base: those of the cluster, which count where there is nothing else: ``ClusterArguments.worker``.
        given: those of the group; None is as good as nothing, and an ``n_workers`` of 0 is 0.

    Raises:
        TypeError: an argument is unknown.
    """
    known = ("n_workers", *base)
    reject_unknown([argument for argument in given if argument not in known], known)
    return {**base, **{key: value for key, value in given.items() if value is not None}}


def check_worker_spec(value: object, argument: str = "custom_spec") -> dict[str, Any]:
    """The ``spec.worker`` of a worker group as a user wrote it: a copy, without what is None.

    Raises:
        TypeError: it is no mapping.
        ValidationError: something that it has to have is missing.
    """
    if not isinstance(value, Mapping):
        checks.wrong_type(argument, value, "give what make_worker_spec returns")
    worker: dict[str, Any] = _without_none(value)
    _check_pod(worker, argument)
    if "replicas" in worker:
        checks.count(f"{argument}.replicas", worker["replicas"])
    return worker


def load_cluster_spec(value: object, argument: str = "custom_cluster_spec") -> dict[str, Any]:
    """A DaskCluster from a mapping, from YAML, or from a file with YAML; a copy, without what is None.

    Args:
        value: a mapping; or a string, which is YAML if it has several lines or begins with ``{``, else a path.
        argument: what it is called in messages.

    Raises:
        TypeError: it is nothing of these.
        ValidationError: it cannot be read, or it is no DaskCluster that the operator can run.
    """
    if isinstance(value, Mapping):
        loaded: object = deepcopy(dict(value))
    elif isinstance(value, (str, PathLike)):
        loaded = _parse_manifest(*_read_manifest(value, argument), argument)
    else:
        checks.wrong_type(argument, value, "give a mapping, YAML, or the path of a file with YAML")
    if not isinstance(loaded, Mapping):
        raise ValidationError(f"{argument} is no mapping: give a DaskCluster, such as make_cluster_spec makes")
    manifest: dict[str, Any] = _without_none(loaded)
    _check_manifest(manifest, argument)
    return manifest


def _configured(key: str, value: Any) -> Any:
    return config.get(key) if value is None else value


def _positive_seconds(argument: str, value: object) -> float:
    length = checks.seconds(argument, value)
    if length <= 0:
        checks.wrong_value(argument, value, "which is no time at all", "give more than 0 seconds, such as 60")
    return length


def _read_manifest(value: str | PathLike[str], argument: str) -> tuple[str, str]:
    """The YAML, and where it is from."""
    if isinstance(value, str) and ("\n" in value or value.lstrip().startswith("{")):
        return value, "the YAML"
    path = Path(value).expanduser()
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except OSError as error:
        raise ValidationError(
            f"{argument} is {str(value)!r}, and the file cannot be read ({error.strerror or error}): give the path "
            "of a file with a DaskCluster, or the YAML itself"
        ) from error
    except UnicodeDecodeError as error:
        raise ValidationError(
            f"{argument} is {str(value)!r}, which is no text in UTF-8: give a file with YAML"
        ) from error


def _parse_manifest(text: str, source: str, argument: str) -> object:
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise ValidationError(f"{argument}: {source} is no valid YAML, correct it there: {error}") from error
    if len(documents) != 1:
        raise ValidationError(f"{argument}: {source} has {len(documents)} documents: leave one, the DaskCluster")
    return documents[0]


def _check_manifest(manifest: Mapping[str, Any], argument: str) -> None:
    if manifest.get("kind") != "DaskCluster":
        checks.wrong_value(
            f"{argument}.kind", manifest.get("kind"), "which is no DaskCluster", "give one, kind: DaskCluster"
        )
    if manifest.get("apiVersion") != specs.API_VERSION:
        checks.wrong_value(
            f"{argument}.apiVersion", manifest.get("apiVersion"), "which is unknown", f"write {specs.API_VERSION}"
        )
    metadata = _section(manifest, "metadata", argument)
    names.check_cluster_name(metadata.get("name"), f"{argument}.metadata.name")
    spec = _section(manifest, "spec", argument)
    worker = _section(spec, "worker", f"{argument}.spec")
    scheduler = _section(spec, "scheduler", f"{argument}.spec")
    _check_pod(worker, f"{argument}.spec.worker")
    _check_pod(scheduler, f"{argument}.spec.scheduler")
    _section(scheduler, "service", f"{argument}.spec.scheduler")
    if "replicas" in worker:
        checks.count(f"{argument}.spec.worker.replicas", worker["replicas"])


def _check_pod(section: Mapping[str, Any], argument: str) -> None:
    pod = _section(section, "spec", argument)
    containers = pod.get("containers")
    if not isinstance(containers, list) or not containers:
        checks.wrong_value(
            f"{argument}.spec.containers",
            containers,
            "and a Pod needs one",
            "add a container with a name and an image",
        )
    for index, container in enumerate(containers):
        item = f"{argument}.spec.containers[{index}]"
        if not isinstance(container, Mapping) or not container.get("name") or not container.get("image"):
            checks.wrong_value(item, container, "which has no name or no image", "add both")


def _section(value: Mapping[str, Any], key: str, argument: str) -> Mapping[str, Any]:
    section = value.get(key)
    if not isinstance(section, Mapping):
        checks.wrong_value(
            f"{argument}.{key}", section, "and has to be a mapping", "write it as in what make_cluster_spec makes"
        )
    return section


def _without_none(value: Any) -> Any:
    """Without fields that are None: the API server takes them for mistakes, and older code has them for "nothing"."""
    if isinstance(value, Mapping):
        return {key: _without_none(of) for key, of in value.items() if of is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(item) for item in value]
    return value


def _has_jupyter(manifest: Mapping[str, Any]) -> bool:
    container = manifest["spec"]["scheduler"]["spec"]["containers"][0]
    return "--jupyter" in [*container.get("command", []), *container.get("args", [])]
