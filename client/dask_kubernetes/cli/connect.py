"""``connect``: a way to the scheduler and its dashboard, for as long as the command runs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import click

from ..exceptions import SchedulerConnectionError
from ..operator import checks
from . import output
from .failures import ExitCode, run, told
from .options import Connection, connection_options
from .targets import CLUSTER, JOB, Target, TargetType

if TYPE_CHECKING:
    from ..operator.api import Api, Object

SCHEDULER_PORT, DASHBOARD_PORT = 8786, 8787
_POLL_SECONDS = 0.5


@click.command(short_help="Forward the ports of a scheduler.")
@click.argument("target", type=TargetType(CLUSTER, JOB))
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--scheduler-port", type=click.IntRange(0, 65535), default=0, help="Local port.  [default: any free one]"
)
@click.option(
    "--dashboard-port", type=click.IntRange(0, 65535), default=0, help="Local port.  [default: any free one]"
)
@click.option("--timeout", default="60", show_default=True, metavar="TIME", help="How long the scheduler may take.")
@click.option("--output", "-o", "form", type=click.Choice(["json", "yaml"]), help="Print the addresses so.")
@connection_options
def connect(
    target: Target,
    command: tuple[str, ...],
    scheduler_port: int,
    dashboard_port: int,
    timeout: str,
    form: str | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    """Forward the ports of the scheduler of TARGET until Ctrl-C, or while COMMAND runs.

    In a Pod no ports are forwarded unless one is asked for: there, the addresses are those of the Service.

    TARGET is the name of a cluster, or job/NAME. COMMAND stands after `--`; it finds the scheduler's address in
    DASK_SCHEDULER_ADDRESS, as `Client()` does, and its exit code is that of this command.
    """
    with told():
        seconds = checks.seconds("--timeout", timeout)
    connection = Connection(kubeconfig, context, namespace)
    code = run(_connect(connection, target, command, (scheduler_port, dashboard_port), seconds, form))
    click.get_current_context().exit(code)


async def _connect(
    connection: Connection,
    target: Target,
    command: tuple[str, ...],
    ports: tuple[int, int],
    timeout_seconds: float,
    form: str | None,
) -> int:
    from ..operator.api import DASK_CLUSTERS

    async with connection.api() as (api, namespace), AsyncExitStack() as open_ports:
        await api.get(target.resource, target.name, namespace)
        pod = await _scheduler(api, namespace, target.name, timeout_seconds)
        addresses: dict[str, str] = {}
        if api.in_cluster and not any(ports):  # a Pod needs no ports, nor the right to forward them
            addresses = _addresses(await api.get(DASK_CLUSTERS, target.name, namespace), _protocol(pod))
        if not addresses:
            addresses = await _forwarded(api, namespace, target.name, pod, ports, open_ports)
        if command:
            return await _run(command, {"DASK_SCHEDULER_ADDRESS": addresses["scheduler"]})
        if form is None:
            click.echo(f"Scheduler: {addresses['scheduler']}\nDashboard: {addresses['dashboard']}")
            click.echo("Ctrl-C ends it.", err=True)
        else:
            click.echo(output.structured(addresses, form), nl=False)
        await _interrupted()
        return ExitCode.DONE


def _addresses(cluster: Object, protocol: str) -> dict[str, str]:
    """Those inside of Kubernetes, as the operator tells them; empty where one tells none."""
    status = cluster.get("status") or {}
    scheduler, dashboard = status.get("schedulerAddress"), status.get("dashboardAddress")
    if not scheduler or not dashboard:
        return {}
    return {"scheduler": f"{protocol}://{scheduler.partition('://')[2]}", "dashboard": f"{dashboard}/status"}


async def _forwarded(
    api: Api, namespace: str, cluster: str, pod: Object, ports: tuple[int, int], open_ports: AsyncExitStack
) -> dict[str, str]:
    from ..operator.api import PortForward, check_may_forward

    async def find_pod() -> str:
        return str((await _running_scheduler(api, namespace, cluster))["metadata"]["name"])

    await check_may_forward(api, pod["metadata"]["name"], SCHEDULER_PORT, namespace)
    scheduler, dashboard = [
        await open_ports.enter_async_context(PortForward(api, namespace, find_pod, remote, local))
        for remote, local in zip((SCHEDULER_PORT, DASHBOARD_PORT), ports, strict=True)
    ]
    return {
        "scheduler": f"{_protocol(pod)}://127.0.0.1:{scheduler.port}",
        "dashboard": f"http://127.0.0.1:{dashboard.port}/status",
    }


async def _scheduler(api: Api, namespace: str, cluster: str, timeout_seconds: float) -> Object:
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                try:
                    return await _running_scheduler(api, namespace, cluster)
                except SchedulerConnectionError:
                    await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise SchedulerConnectionError(
            f"the scheduler of {cluster} does not run after {timeout_seconds:g} s: "
            f"see `describe {cluster}`, or raise --timeout"
        ) from None


async def _running_scheduler(api: Api, namespace: str, cluster: str) -> Object:
    from ..operator.api import PODS

    labels = f"dask.org/cluster-name={cluster},dask.org/component=scheduler"
    for pod in await api.list(PODS, namespace, labels=labels):
        if not pod["metadata"].get("deletionTimestamp") and _is_ready(pod):
            return pod
    raise SchedulerConnectionError(f"the scheduler of {cluster} does not run")


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _protocol(pod: Mapping[str, Any]) -> str:
    container = pod["spec"]["containers"][0]
    words = [*container.get("command", []), *container.get("args", [])]
    return "tls" if "tls" in words or "--protocol=tls" in words else "tcp"


async def _run(command: tuple[str, ...], variables: Mapping[str, str]) -> int:
    try:
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **variables})
    except OSError as error:
        raise click.UsageError(f"{command[0]!r} cannot be started: {error.strerror}") from error
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        # Ctrl-C reaches the command as well; it ends in its own way, and what it answers counts.
        code = await process.wait()
    return code if code >= 0 else 128 - code


async def _interrupted() -> None:
    """Wait until this process is told to end."""
    told_to_end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told_to_end.set)
    await told_to_end.wait()
