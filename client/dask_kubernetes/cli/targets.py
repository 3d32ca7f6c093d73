"""What a command is about: ``NAME``, or ``KIND/NAME`` as kubectl has it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ..exceptions import DaskKubernetesError
from .options import Connection

if TYPE_CHECKING:
    from ..operator.api import Resource

CLUSTER, JOB, WORKER_GROUP, AUTOSCALER = "cluster", "job", "workergroup", "autoscaler"
# How each can be written: as it is called here, and as kubectl knows it.
_SPELLINGS = {
    CLUSTER: ("cluster", "clusters", "daskcluster", "daskclusters", "dsk"),
    JOB: ("job", "jobs", "daskjob", "daskjobs"),
    WORKER_GROUP: ("workergroup", "workergroups", "daskworkergroup", "daskworkergroups", "dwg"),
    AUTOSCALER: ("autoscaler", "autoscalers", "daskautoscaler", "daskautoscalers"),
}
_COMPLETION_SECONDS = 3.0


@dataclass(frozen=True)
class Target:
    """One object.

    Attributes:
        kind: ``cluster``, ``job``, ``workergroup`` or ``autoscaler``.
        name: its ``metadata.name``.
    """

    kind: str
    name: str

    @property
    def resource(self) -> Resource:
        """Where the API server keeps it."""
        return resource_of(self.kind)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


class KindType(click.ParamType[str]):
    """A kind, in one of its spellings."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The kind as it is called here."""
        word = str(value).lower().removesuffix(".kubernetes.dask.org")
        for kind, spellings in _SPELLINGS.items():
            if word in spellings:
                return kind
        return self.fail(f"{value!r} is no kind: use {', '.join(_SPELLINGS)}", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The kinds."""
        del ctx, param
        return [CompletionItem(kind) for kind in _SPELLINGS if kind.startswith(incomplete)]


class TargetType(click.ParamType[Target]):
    """``NAME`` or ``KIND/NAME``; completed with the names that there are.

    Attributes:
        kinds: those that the command can do something with; the first is that of a bare name.
    """

    name = "target"

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        """The target that is written."""
        if isinstance(value, Target):
            return value
        kind, slash, name = str(value).rpartition("/")
        target = Target(KindType().convert(kind, param, ctx) if slash else self.kinds[0], name)
        if not name:
            self.fail(f"{value!r} names nothing: write it NAME or KIND/NAME", param, ctx)
        if target.kind not in self.kinds:
            self.fail(f"{value!r} is of a kind that this is not for: use {' or '.join(self.kinds)}", param, ctx)
        return target

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that begin so; none when the API server does not answer in time."""
        kind, slash, _ = incomplete.rpartition("/")
        try:
            kind = KindType().convert(kind, param, ctx) if slash else self.kinds[0]
            given = [ctx.params.get(option) for option in ("kubeconfig", "context", "namespace")]
            connection = Connection(given[0], given[1], given[2])
            resource = resource_of(kind)  # what takes long to import is here before the clock runs
            names = asyncio.run(asyncio.wait_for(_names(connection, resource), _COMPLETION_SECONDS))
        except (DaskKubernetesError, TimeoutError, click.UsageError):
            return []
        prefix = incomplete.rpartition("/")[0] + slash
        return [CompletionItem(prefix + name) for name in names if (prefix + name).startswith(incomplete)]


def resource_of(kind: str) -> Resource:
    """Where the API server keeps a kind."""
    from ..operator import api

    return {
        CLUSTER: api.DASK_CLUSTERS,
        JOB: api.DASK_JOBS,
        WORKER_GROUP: api.DASK_WORKER_GROUPS,
        AUTOSCALER: api.DASK_AUTOSCALERS,
    }[kind]


async def _names(connection: Connection, resource: Resource) -> list[str]:
    async with connection.api() as (api, namespace):
        return [body["metadata"]["name"] for body in await api.list(resource, namespace)]
