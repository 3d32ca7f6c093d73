"""``gen``: manifests from options, to be applied, committed, or changed further. Nothing is sent to Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from ..exceptions import ValidationError
from ..operator import specs
from . import options, output

F = TypeVar("F", bound=Callable[..., Any])

_RESOURCES = '\'{"limits": {"memory": "4Gi"}}\''
_VOLUME = '\'{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}\''
# What a builder calls an argument, where it is not the name of the option.
_OPTION_NAMES = {
    "annotations": "--annotation",
    "command": "COMMAND",
    "image_pull_secrets": "--image-pull-secret",
    "labels": "--label",
    "tolerations": "--toleration",
    "volume_mounts": "--volume-mount",
    "volumes": "--volume",
}


@click.group(short_help="Print manifests of Dask resources.")
def gen() -> None:
    """Print manifests of Dask resources, ready for `kubectl apply -f -`."""


def _metadata_options(function: F) -> F:
    for option in (
        output.format_option,
        click.option("--annotation", multiple=True, metavar="KEY=VALUE", help="An annotation; can be given again."),
        click.option("--label", multiple=True, metavar="KEY=VALUE", help="A label; can be given again."),
        click.option("--namespace", "-n", metavar="NAME", help="Namespace to write into the manifest."),
    ):
        function = option(function)
    return function


def _pod_options(function: F) -> F:
    for option in (
        click.option(
            "--tls-secret", metavar="NAME", help="A Secret with ca.crt, tls.crt and tls.key: Dask talks TLS."
        ),
        click.option("--priority-class", metavar="NAME", help="A PriorityClass."),
        click.option(
            "--volume-mount", multiple=True, metavar="VOLUME:PATH[:ro]", help="A mount; can be given again."
        ),
        click.option("--volume", multiple=True, metavar="JSON", help=f"A volume as in a Pod, such as {_VOLUME}."),
        click.option("--image-pull-secret", multiple=True, metavar="NAME", help="A Secret for the image's registry."),
        click.option("--service-account", metavar="NAME", help="The ServiceAccount that the Pods run as."),
        click.option("--affinity", metavar="JSON", help="Affinity, as in a Pod."),
        click.option("--node-selector", multiple=True, metavar="KEY=VALUE", help="A label that nodes have to have."),
        click.option(
            "--toleration", multiple=True, metavar="KEY[=VALUE][:EFFECT]", help="A taint of nodes that is tolerated."
        ),
        click.option("--gpu", metavar="N|RESOURCE=N", help="GPUs of each worker, such as 1 or amd.com/gpu=1."),
    ):
        function = option(function)
    return function


def _container_options(function: F) -> F:
    for option in (
        click.option("--worker-command", metavar="WORDS", help="What starts a worker.  [default: dask worker]"),
        click.option("--env", "-e", multiple=True, metavar="KEY=VALUE", help="A variable; can be given again."),
        click.option("--resources", metavar="JSON", help=f"Requests and limits, as in a Pod, such as {_RESOURCES}."),
        click.option(
            "--n-workers", type=int, default=specs.DEFAULT_WORKERS, show_default=True, help="Number of workers."
        ),
        click.option("--image", default=specs.DEFAULT_IMAGE, show_default=True, help="Image of all containers."),
    ):
        function = option(function)
    return function


@gen.command()
@click.option("--name", required=True, help="Name of the DaskCluster.")
@_container_options
@click.option(
    "--scheduler-service-type",
    default="ClusterIP",
    show_default=True,
    help="Type of the scheduler's Service: ClusterIP, NodePort or LoadBalancer.",
)
@click.option(
    "--idle-timeout", default="0", metavar="TIME", help="Time without work until it is deleted, such as 1h."
)
@click.option(
    "--client-timeout", default="0", metavar="TIME", help="Time without a client until it is deleted, such as 10m."
)
@click.option("--jupyter", is_flag=True, help="Run a Jupyter server in the scheduler.")
@_pod_options
@_metadata_options
def cluster(output_format: str, namespace: str | None, **given: Any) -> None:
    """Print a DaskCluster."""
    with _arguments_told():
        _print(specs.make_cluster_spec(**_arguments(given)), namespace, output_format)


@gen.command(short_help="Print a DaskJob.")
@click.argument("command", nargs=-1, required=True)
@click.option("--name", required=True, help="Name of the DaskJob and of its cluster.")
@_container_options
@click.option("--restart-policy", default="OnFailure", show_default=True, help="OnFailure or Never.")
@click.option("--backoff-limit", type=int, help="How often a command that fails is started again.")
@click.option("--active-deadline", metavar="TIME", help="Time after which the job is stopped, such as 2h.")
@click.option("--ttl-after-finished", metavar="TIME", help="Time after its end at which the job is deleted.")
@click.option("--deletion-policy", help="What becomes of the cluster: Delete, DeleteOnSuccess or Retain.")
@_pod_options
@_metadata_options
def job(output_format: str, namespace: str | None, command: tuple[str, ...], **given: Any) -> None:
    """Print a DaskJob that runs COMMAND, which stands after all options and `--`."""
    with _arguments_told():
        _print(specs.make_job_spec(command=list(command), **_arguments(given)), namespace, output_format)


@gen.command(short_help="Print a DaskWorkerGroup.")
@click.option("--name", required=True, help="What the cluster calls the group; it becomes <cluster>-<name>.")
@click.option("--cluster", required=True, help="Name of the DaskCluster that the workers join.")
@_container_options
@_pod_options
@_metadata_options
def workergroup(output_format: str, namespace: str | None, name: str, cluster: str, **given: Any) -> None:
    """Print a DaskWorkerGroup, further workers for a cluster."""
    with _arguments_told():
        _print(specs.make_worker_group_spec(name, cluster, **_arguments(given)), namespace, output_format)


@gen.command()
@click.option("--cluster", required=True, help="Name of the DaskCluster to scale.")
@click.option("--name", help="Name of the DaskAutoscaler.  [default: that of the cluster]")
@click.option("--minimum", type=int, help="The fewest workers there may be.  [default: 0]")
@click.option("--maximum", type=int, help=f"The most workers there may be.  [default: {specs.DEFAULT_MAXIMUM}]")
@click.option("--worker-group", metavar="NAME", help="DaskWorkerGroup to scale.  [default: <cluster>-default]")
@_metadata_options
def autoscaler(output_format: str, namespace: str | None, cluster: str, **given: Any) -> None:
    """Print a DaskAutoscaler."""
    with _arguments_told():
        _print(specs.make_autoscaler_spec(cluster, **_arguments(given)), namespace, output_format)


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a builder from the values of options."""
    arguments = {name: value for name, value in given.items() if value not in (None, ())}
    for option, argument in (("label", "labels"), ("annotation", "annotations"), ("env", "env")):
        if option in arguments:
            arguments[argument] = options.pairs(arguments.pop(option), f"--{option}")
    if "node_selector" in arguments:
        arguments["node_selector"] = options.pairs(arguments["node_selector"], "--node-selector")
    if "toleration" in arguments:
        arguments["tolerations"] = options.tolerations(arguments.pop("toleration"), "--toleration")
    if "volume" in arguments:
        given_volumes = arguments.pop("volume")
        arguments["volumes"] = [options.structure(volume, "--volume", dict, _VOLUME) for volume in given_volumes]
    if "volume_mount" in arguments:
        arguments["volume_mounts"] = options.mounts(arguments.pop("volume_mount"), "--volume-mount")
    if "image_pull_secret" in arguments:
        arguments["image_pull_secrets"] = list(arguments.pop("image_pull_secret"))
    if "resources" in arguments:
        arguments["resources"] = options.structure(arguments["resources"], "--resources", dict, _RESOURCES)
    if "affinity" in arguments:
        arguments["affinity"] = options.structure(
            arguments["affinity"], "--affinity", dict, "'{\"nodeAffinity\": {}}'"
        )
    if "gpu" in arguments:
        arguments["gpu"] = options.gpus(arguments["gpu"], "--gpu")
    return arguments


@contextmanager
def _arguments_told() -> Iterator[None]:
    """Tell what a builder refuses by the name of the option."""
    try:
        yield
    except (TypeError, ValidationError) as error:
        refused = re.match(r"[a-z_]+", str(error))
        argument = refused[0] if refused else ""
        option = _OPTION_NAMES.get(argument, f"--{argument.replace('_', '-')}")
        raise click.BadParameter(str(error), param_hint=option) from error


def _print(manifest: dict[str, Any], namespace: str | None, output_format: str) -> None:
    if namespace is not None:
        from ..operator.names import check_namespace

        manifest["metadata"]["namespace"] = check_namespace(namespace)
    click.echo(output.structured(manifest, output_format), nl=False)
