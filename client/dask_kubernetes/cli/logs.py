"""``logs``: what the Pods of a cluster or a job have written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from ..exceptions import ApiError, NotFoundError
from . import output
from .failures import run
from .options import Connection, connection_options
from .targets import CLUSTER, JOB, Target, TargetType

if TYPE_CHECKING:
    from ..operator.api import Api, Object

COMPONENTS = ("scheduler", "worker", "job-runner")


@click.command(short_help="Print the logs of a cluster.")
@click.argument("target", type=TargetType(CLUSTER, JOB))
@click.option("--component", type=click.Choice(COMPONENTS), help="Only its scheduler, its workers or its job-runner.")
@click.option("--worker-group", "-g", metavar="NAME", help="Only workers of this DaskWorkerGroup.")
@click.option("--pod", metavar="NAME", help="Only this Pod.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last lines of each.")
@click.option("--previous", "-p", is_flag=True, help="Those of the container before it was started again.")
@click.option("--follow", "-f", is_flag=True, help="Go on as more is written.")
@click.option(
    "--output", "-o", "form", type=click.Choice(["yaml", "json"]), help="Print the logs by the Pods' names."
)
@connection_options
def logs(
    target: Target,
    component: str | None,
    worker_group: str | None,
    pod: str | None,
    tail: int | None,
    previous: bool,
    follow: bool,
    form: str | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Print the logs of the Pods of TARGET.

    TARGET is the name of a cluster, or job/NAME. With several Pods each line begins with the name of its Pod. Pods
    that have not started are told on stderr.
    """
    if follow and (form or previous):
        raise click.UsageError("--follow goes with neither --output nor --previous: remove one of them")
    labels = {"component": component, "workergroup-name": worker_group}
    connection = Connection(kubeconfig, context, namespace)
    run(
        _logs(
            connection,
            target,
            {key: value for key, value in labels.items() if value},
            pod,
            tail,
            previous,
            follow,
            form,
        )
    )


async def _logs(
    connection: Connection,
    target: Target,
    labels: dict[str, str],
    only: str | None,
    tail: int | None,
    previous: bool,
    follow: bool,
    form: str | None,
) -> None:
    from ..operator.api import PODS

    async with connection.api() as (api, namespace):
        selector = ",".join(
            f"dask.org/{key}={value}" for key, value in {"cluster-name": target.name, **labels}.items()
        )
        pods = await api.list(PODS, namespace, labels=selector)
        chosen = [pod for pod in pods if only in (None, pod["metadata"]["name"])]
        if not chosen:
            await api.get(target.resource, target.name, namespace)
            there = ", ".join(pod["metadata"]["name"] for pod in pods)
            raise NotFoundError(
                f"{target} has no such Pod: there is {there or 'none yet'}", status=404, reason="NotFound"
            )
        if follow:
            await asyncio.gather(*(_follow(api, namespace, pod, tail, len(chosen) > 1) for pod in chosen))
            return
        texts = await asyncio.gather(*(_text(api, namespace, pod, tail, previous) for pod in chosen))
    read = {pod["metadata"]["name"]: text for pod, text in zip(chosen, texts, strict=True) if text is not None}
    if form is not None:
        click.echo(output.structured(read, form), nl=False)
        return
    for name, text in read.items():
        for line in text.splitlines():
            click.echo(f"{name} {line}" if len(chosen) > 1 else line)


async def _text(api: Api, namespace: str, pod: Object, tail: int | None, previous: bool) -> str | None:
    name = pod["metadata"]["name"]
    try:
        return await api.logs(name, namespace, container=_container(pod), tail_lines=tail, previous=previous)
    except ApiError as error:
        # Of one Pod among many that starts just now, or is gone by now.
        if error.status not in (400, 404):
            raise
        click.echo(f"{name} has no log: {error}", err=True)
        return None


async def _follow(api: Api, namespace: str, pod: Object, tail: int | None, with_name: bool) -> None:
    name = pod["metadata"]["name"]
    try:
        async for line in api.follow_logs(name, namespace, container=_container(pod), tail_lines=tail):
            click.echo(f"{name} {line}" if with_name else line)
    except ApiError as error:
        if error.status not in (400, 404):
            raise
        click.echo(f"{name} has no log: {error}", err=True)


def _container(pod: Object) -> str:
    """The first container, which is Dask's; others may have been put beside it."""
    return str(pod["spec"]["containers"][0]["name"])
