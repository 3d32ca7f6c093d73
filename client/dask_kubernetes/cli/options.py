"""Options that several commands have, and how their words are read."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click
import yaml

if TYPE_CHECKING:
    from ..operator.api import Api

F = TypeVar("F", bound=Callable[..., Any])

_EFFECT = re.compile(r"(?P<key>[^=:]*)(?:=(?P<value>[^:]*))?(?::(?P<effect>.+))?")


@dataclass(frozen=True)
class Connection:
    """Which API server and which namespace a command is about.

    Attributes:
        kubeconfig: path of a kubeconfig; None for the usual one.
        context: a context in it; None for the current one.
        namespace: a namespace; None for that of the context.
        is_all: whether it is about all namespaces.
    """

    kubeconfig: str | None
    context: str | None
    namespace: str | None
    is_all: bool = False

    @asynccontextmanager
    async def api(self) -> AsyncIterator[tuple[Api, str]]:
        """The API server, and the namespace; ``*`` for all."""
        # It takes a while to import, and `dask --help` imports all commands.
        from ..operator.api import ALL_NAMESPACES, Api

        async with await Api.connect(self.kubeconfig, self.context) as api:
            yield api, ALL_NAMESPACES if self.is_all else self.namespace or api.namespace


def connection_options(function: F) -> F:
    """``--namespace``, ``--context`` and ``--kubeconfig``, as kubectl has them."""
    for option in (
        click.option("--kubeconfig", metavar="PATH", help="A kubeconfig other than the usual one."),
        click.option("--context", metavar="NAME", help="A context other than the current one."),
        click.option("--namespace", "-n", metavar="NAME", help="A namespace other than that of the context."),
    ):
        function = option(function)
    return function


def output_option(*formats: str) -> Callable[[F], F]:
    """``--output``, with the formats that the command has."""
    return click.option("--output", "-o", type=click.Choice(formats), help="How to print it; a table if left out.")


def pairs(values: Iterable[str], option: str) -> dict[str, str]:
    """``KEY=VALUE`` of an option that can be given several times; the value may have more of ``=``."""
    found: dict[str, str] = {}
    for given in values:
        key, equals, value = given.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{given!r} is no pair: write it KEY=VALUE", param_hint=option)
        if key in found:
            raise click.BadParameter(f"{key} is given twice: remove one of them", param_hint=option)
        found[key] = value
    return found


def structure(value: str | None, option: str, kind: type, example: str) -> Any:
    """A mapping or a list that is written as JSON or YAML."""
    if value is None:
        return None
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise click.BadParameter(
            f"{value!r} is neither JSON nor YAML: write it such as {example}", param_hint=option
        ) from error
    if not isinstance(parsed, kind):
        raise click.BadParameter(f"{value!r} is not what it has to be: write it such as {example}", param_hint=option)
    return parsed


def tolerations(values: Iterable[str], option: str) -> list[dict[str, Any]]:
    """Tolerations as taints are written: ``key=value:Effect``, ``key:Effect``, ``key``; or as JSON."""
    found = []
    for given in values:
        if given.lstrip().startswith("{"):
            found.append(structure(given, option, dict, '{"key": "dedicated", "operator": "Exists"}'))
            continue
        taint = _EFFECT.fullmatch(given)
        if not taint or not taint["key"]:
            raise click.BadParameter(
                f"{given!r} is no taint: write it such as dedicated=dask:NoSchedule", param_hint=option
            )
        toleration: dict[str, Any] = {"key": taint["key"]}
        toleration |= (
            {"operator": "Exists"} if taint["value"] is None else {"operator": "Equal", "value": taint["value"]}
        )
        if taint["effect"]:
            toleration["effect"] = taint["effect"]
        found.append(toleration)
    return found


def mounts(values: Iterable[str], option: str) -> list[dict[str, Any]]:
    """Mounts as ``volume:/path`` or ``volume:/path:ro``; or as JSON."""
    found = []
    for given in values:
        if given.lstrip().startswith("{"):
            found.append(structure(given, option, dict, '{"name": "data", "mountPath": "/data"}'))
            continue
        name, *rest = given.split(":")
        if len(rest) not in (1, 2) or (len(rest) == 2 and rest[1] not in ("ro", "rw")):
            raise click.BadParameter(
                f"{given!r} is no mount: write it such as data:/data or data:/data:ro", param_hint=option
            )
        found.append({"name": name, "mountPath": rest[0], **({"readOnly": True} if rest[1:] == ["ro"] else {})})
    return found


def gpus(value: str | None, option: str) -> int | dict[str, int] | None:
    """A number of GPUs, or ``resource=number``."""
    if value is None:
        return None
    resource, equals, number = value.rpartition("=")
    if not number.isdigit() or (equals and not resource):
        raise click.BadParameter(
            f"{value!r} is no number of GPUs: write it such as 1 or amd.com/gpu=1", param_hint=option
        )
    return {resource: int(number)} if resource else int(number)


def as_json(value: object) -> str:
    """JSON for people and programs."""
    return json.dumps(value, indent=2)
