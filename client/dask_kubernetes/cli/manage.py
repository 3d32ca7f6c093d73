"""``list``, ``describe``, ``scale`` and ``delete``: what there is, and changing it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from ..exceptions import ForbiddenError, NotFoundError, ResourceTimeoutError, WorkerGroupNotFoundError
from ..operator import checks, names
from . import output, summaries
from .failures import run, told
from .options import Connection, connection_options
from .targets import AUTOSCALER, CLUSTER, JOB, WORKER_GROUP, KindType, Target, TargetType, resource_of

if TYPE_CHECKING:
    from ..operator.api import Api, Object

CLUSTER_NAME_LABEL = "dask.org/cluster-name"

_ALL_KINDS = TargetType(CLUSTER, JOB, WORKER_GROUP, AUTOSCALER)
_DEFAULT_TIMEOUT = "60"


@click.command("list", short_help="List clusters, or objects of another kind.")
@click.argument("kind", type=KindType(), default=CLUSTER)
@click.option("--all-namespaces", "-A", is_flag=True, help="Those of all namespaces.")
@click.option("--selector", "-l", metavar="SELECTOR", help="Only those with certain labels, such as team=climate.")
@click.option("--output", "-o", "form", type=click.Choice(["wide", "yaml", "json", "name"]), help="How to print it.")
@connection_options
def list_objects(
    kind: str,
    all_namespaces: bool,
    selector: str | None,
    form: str | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """List objects of a KIND: cluster, job, workergroup or autoscaler.

    That there are none is no failure: a line on stderr says so.
    """
    connection = Connection(kubeconfig, context, namespace, all_namespaces)
    where, objects, groups = run(_list(connection, kind, selector))
    if form in ("yaml", "json"):
        click.echo(output.structured(output.as_list(objects), form), nl=False)
    elif not objects:
        click.echo(
            f"There is no {kind} in {'any namespace' if all_namespaces else f'the namespace {where}'}.", err=True
        )
    elif form == "name":
        click.echo("\n".join(f"{kind}/{body['metadata']['name']}" for body in objects))
    else:
        wide = form == "wide"
        click.echo(summaries.lines(kind, objects, groups, is_wide=wide, with_namespace=all_namespaces), nl=False)


@click.command(short_help="Tell all about a cluster.")
@click.argument("target", type=_ALL_KINDS)
@click.option("--output", "-o", "form", type=click.Choice(["yaml", "json"]), help="Print the object itself so.")
@connection_options
def describe(
    target: Target, form: str | None, namespace: str | None, context: str | None, kubeconfig: str | None
) -> None:
    """Tell all about TARGET: its conditions, workers, Pods and events.

    TARGET is the name of a cluster, or KIND/NAME.
    """
    text = run(_describe(Connection(kubeconfig, context, namespace), target, form))
    click.echo(text, nl=False)


@click.command(short_help="Change the number of workers.")
@click.argument("target", type=TargetType(CLUSTER, WORKER_GROUP))
@click.argument("replicas", type=click.IntRange(min=0))
@click.option("--worker-group", "-g", metavar="NAME", help="What the cluster calls the group.  [default: default]")
@click.option("--wait", is_flag=True, help="Wait until as many workers are ready.")
@click.option("--timeout", default="300", show_default=True, metavar="TIME", help="How long to wait at most.")
@connection_options
def scale(
    target: Target,
    replicas: int,
    worker_group: str | None,
    wait: bool,
    timeout: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Bring TARGET to a number of workers.

    TARGET is the name of a cluster, or workergroup/NAME. An autoscaler of the same workers is deleted, as it would
    scale them back.
    """
    with told():
        seconds = checks.seconds("--timeout", timeout)
        if target.kind == WORKER_GROUP and worker_group is not None:
            raise click.UsageError("--worker-group is given, and TARGET is a worker group: remove one of them")
        name = (
            target.name
            if target.kind == WORKER_GROUP
            else names.worker_group_name(target.name, worker_group or names.DEFAULT_WORKER_GROUP, "--worker-group")
        )
    connection = Connection(kubeconfig, context, namespace)
    run(_scale(connection, target, name, replicas, seconds if wait else None))


@click.command(short_help="Delete clusters and the like.")
@click.argument("targets", nargs=-1, type=_ALL_KINDS)
@click.option("--all", "is_all", is_flag=True, help="All clusters of the namespace, instead of TARGETS.")
@click.option("--ignore-not-found", is_flag=True, help="What is not there counts as deleted.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Whether to wait until it is gone.")
@click.option("--timeout", default=_DEFAULT_TIMEOUT, show_default=True, metavar="TIME", help="How long at most.")
@connection_options
def delete(
    targets: tuple[Target, ...],
    is_all: bool,
    ignore_not_found: bool,
    wait: bool,
    timeout: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Delete TARGETS, with all that belongs to them.

    Each is the name of a cluster, or KIND/NAME. All are deleted that can be, also when one of them fails.
    """
    if bool(targets) == is_all:
        raise click.UsageError("give either TARGETS or --all")
    with told():
        seconds = checks.seconds("--timeout", timeout)
    connection = Connection(kubeconfig, context, namespace)
    run(_delete(connection, targets, ignore_not_found, seconds if wait else None))


async def _list(connection: Connection, kind: str, selector: str | None) -> tuple[str, list[Object], list[Object]]:
    async with connection.api() as (api, namespace):
        objects = await api.list(resource_of(kind), namespace, labels=selector)
        groups = await api.list(resource_of(WORKER_GROUP), namespace) if kind == CLUSTER and objects else []
        return namespace, objects, groups


async def _describe(connection: Connection, target: Target, form: str | None) -> str:
    from ..operator.api import EVENTS, PODS

    async with connection.api() as (api, namespace):
        body = await api.get(target.resource, target.name, namespace)
        if form is not None:
            return output.structured(output.without_managed_fields(body), form)
        cluster = _cluster_of(target, body)
        groups = [g for g in await api.list(resource_of(WORKER_GROUP), namespace) if g["spec"]["cluster"] == cluster]
        scalers = [a for a in await api.list(resource_of(AUTOSCALER), namespace) if a["spec"]["cluster"] == cluster]
        labels = f"{CLUSTER_NAME_LABEL}={cluster}"
        if target.kind == WORKER_GROUP:
            labels += f",dask.org/workergroup-name={target.name}"
        pods = await api.list(PODS, namespace, labels=labels) if target.kind != AUTOSCALER else []
        try:
            events = await api.list(EVENTS, namespace)
        except ForbiddenError:
            about = None
        else:
            known = {part["metadata"]["uid"] for part in (body, *groups, *scalers, *pods)}
            about = [event for event in events if (event.get("involvedObject") or {}).get("uid") in known]
            about.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
        return summaries.page(target.kind, body, groups, scalers, pods, about)


def _cluster_of(target: Target, body: Object) -> str:
    return target.name if target.kind in (CLUSTER, JOB) else str(body["spec"]["cluster"])


async def _scale(
    connection: Connection, target: Target, group: str, replicas: int, timeout_seconds: float | None
) -> None:
    async with connection.api() as (api, namespace):
        resource = resource_of(WORKER_GROUP)
        try:
            body = await api.get(resource, group, namespace)
        except NotFoundError as error:
            if error.__class__ is not NotFoundError or target.kind == WORKER_GROUP:
                raise
            await api.get(target.resource, target.name, namespace)
            found = [g for g in await api.list(resource, namespace) if g["spec"]["cluster"] == target.name]
            known = ", ".join(names.short_worker_group_name(target.name, g["metadata"]["name"]) for g in found)
            raise WorkerGroupNotFoundError(
                f"cluster/{target.name} has no worker group {group}: it has {known or 'none yet'}"
            ) from error
        for scaler in await api.list(resource_of(AUTOSCALER), namespace):
            spec = scaler["spec"]
            if (spec.get("workerGroup") or f"{spec['cluster']}-{names.DEFAULT_WORKER_GROUP}") == group:
                await api.delete(resource_of(AUTOSCALER), scaler["metadata"]["name"], namespace)
                click.echo(f"autoscaler/{scaler['metadata']['name']} deleted", err=True)
        await api.scale(resource, group, replicas, namespace)
        click.echo(f"workergroup/{group} scaled to {replicas}")
        if timeout_seconds is None:
            return
        generation = (await api.get(resource, group, namespace))["metadata"].get("generation", 0)
        try:
            async with asyncio.timeout(timeout_seconds):
                body = await _until_scaled(api, namespace, group, replicas, generation, body)
        except TimeoutError:
            raise ResourceTimeoutError(
                f"workergroup/{group} has not {replicas} ready workers after {timeout_seconds:g} s: see "
                "`describe`, or raise --timeout"
            ) from None
        click.echo(f"workergroup/{group} has {replicas} ready workers")


async def _until_scaled(api: Api, namespace: str, group: str, replicas: int, generation: int, body: Object) -> Object:
    async for event in api.watch(resource_of(WORKER_GROUP), namespace, name=group):
        if event.type == "DELETED":
            raise WorkerGroupNotFoundError(f"workergroup/{group} was deleted meanwhile")
        body = event.object or body
        status = body.get("status") or {}
        has_seen = (status.get("observedGeneration") or generation) >= generation
        if event.object and has_seen and status.get("readyReplicas", 0) == status.get("replicas", 0) == replicas:
            break
    return body


async def _delete(
    connection: Connection, targets: tuple[Target, ...], ignore_not_found: bool, timeout_seconds: float | None
) -> None:
    first_failure: Exception | None = None
    async with connection.api() as (api, namespace):
        if not targets:
            clusters = await api.list(resource_of(CLUSTER), namespace)
            targets = tuple(Target(CLUSTER, body["metadata"]["name"]) for body in clusters)
            if not targets:
                click.echo(f"There is no cluster in the namespace {namespace}.", err=True)
        deleted: list[tuple[Target, str]] = []
        for target in targets:
            try:
                uid = (await api.get(target.resource, target.name, namespace))["metadata"]["uid"]
                await api.delete(target.resource, target.name, namespace, uid=uid)
                deleted.append((target, uid))
                click.echo(f"{target} deleted")
            except NotFoundError as error:
                if ignore_not_found and error.__class__ is NotFoundError:
                    continue
                first_failure = _noted(error, first_failure)
            except ForbiddenError as error:
                first_failure = _noted(error, first_failure)
        if timeout_seconds is not None:
            await _until_all_gone(api, namespace, deleted, timeout_seconds)
    if first_failure is not None:
        raise first_failure


def _noted(error: Exception, first: Exception | None) -> Exception:
    """The first failure, which ends the command; those after it are told here."""
    if first is None:
        return error
    click.echo(f"Error: {error}", err=True)
    return first


async def _until_all_gone(
    api: Api, namespace: str, deleted: list[tuple[Target, str]], timeout_seconds: float
) -> None:
    try:
        async with asyncio.timeout(timeout_seconds):
            for target, uid in deleted:
                await _until_gone(api, namespace, target, uid)
    except TimeoutError:
        raise ResourceTimeoutError(
            f"{target} is still there after {timeout_seconds:g} s: see its finalizers with "
            "`describe -o yaml`, or raise --timeout"
        ) from None


async def _until_gone(api: Api, namespace: str, target: Target, uid: str) -> None:
    is_there = False
    async for event in api.watch(target.resource, namespace, name=target.name):
        if event.type == "SYNCED" and not is_there:
            return
        is_it = bool(event.object) and event.object["metadata"]["uid"] == uid
        if event.type == "DELETED" and is_it:
            return
        is_there = is_there or is_it
