"""Checks of single arguments, before anything is sent to Kubernetes. Pure.

Each takes what a user gave and the argument's name, and returns it in the form in which Kubernetes takes it. A wrong
type is a ``TypeError``, a wrong value a `ValidationError`; both name the argument and say what to do.
"""

from __future__ import annotations

import math
import operator
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from dask.utils import parse_timedelta

from ..exceptions import ValidationError

MAX_INT32 = 2**31 - 1
SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")
GPU_RESOURCE = "nvidia.com/gpu"

_RESOURCE_SECTIONS = ("requests", "limits", "claims")
_QUANTITY = re.compile(r"([+-]?[0-9]+(?:[.][0-9]*)?|[+-]?[.][0-9]+)(m|k|[KMGTPE]i|[MGTPEnu]|[eE][+-]?[0-9]+)?")
_UNITS = {
    **{"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": Decimal(10**3)},
    **{unit: Decimal(10 ** (3 * power)) for power, unit in enumerate("MGTPE", 2)},
    **{f"{unit}i": Decimal(2 ** (10 * power)) for power, unit in enumerate("KMGTPE", 1)},
}
_IMAGE = re.compile(
    r"(?:(?:[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(?:[.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9A-Fa-f]{32,})?"
)
_ENV_NAME = re.compile(r"[^=\x00-\x1f\x7f-\U0010ffff]+")
_LABEL_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_OPERATOR_LABELS = ("dask.org/cluster-name", "dask.org/workergroup-name", "dask.org/component")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_AFFINITIES = ("nodeAffinity", "podAffinity", "podAntiAffinity")


def wrong_type(argument: str, value: object, remedy: str) -> NoReturn:
    """Raise the TypeError for an argument of a type that it cannot have."""
    raise TypeError(f"{argument} is {value!r}, of type {type(value).__name__}: {remedy}")


def wrong_value(argument: str, value: object, why: str, remedy: str) -> NoReturn:
    """Raise the ValidationError for an argument with a value that it cannot have."""
    raise ValidationError(f"{argument} is {value!r}, {why}: {remedy}")


def text(argument: str, value: object, example: str) -> str:
    """A string that is not empty."""
    if not isinstance(value, str):
        wrong_type(argument, value, f"give a string such as {example!r}")
    if not value.strip():
        wrong_value(argument, value, "which is empty", f"give it such as {example!r}, or leave it out")
    return value


def flag(argument: str, value: object) -> bool:
    """True or False, nothing that could mean either."""
    if not isinstance(value, bool):
        wrong_type(argument, value, "give True or False")
    return value


def count(argument: str, value: object, *, least: int = 0, most: int = MAX_INT32) -> int:
    """A whole number; NumPy's are taken too.

    Args:
        argument: its name.
        value: what was given.
        least: the smallest that is allowed.
        most: the largest that is allowed.
    """
    if isinstance(value, bool):
        wrong_type(argument, value, "give a whole number such as 3")
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # what else there is raises the TypeError
    except TypeError:
        wrong_type(argument, value, "give a whole number such as 3")
    if not least <= number <= most:
        wrong_value(argument, value, "which is out of range", f"give a number from {least} to {most}")
    return number


def seconds(argument: str, value: object, *, least: float = 0) -> float:
    """A length of time in seconds, from a number of them, a string such as ``"5 minutes"`` or a timedelta."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, timedelta)):
        wrong_type(argument, value, "give a number of seconds, or a string such as '5 minutes'")
    try:
        # Its own reading of numbers is by way of strings, which leaves out the negative ones.
        length = float(parse_timedelta(value, "s") if isinstance(value, (str, timedelta)) else value)
    except (ValueError, KeyError, TypeError):
        wrong_value(argument, value, "which is no length of time", "give a number of seconds, or such as '5 minutes'")
    if math.isnan(length) or not least <= length <= MAX_INT32:
        wrong_value(argument, value, "which is out of range", f"give from {least:g} to {MAX_INT32} seconds")
    return length


def whole_seconds(argument: str, value: object, *, least: int = 0) -> int:
    """As `seconds`, rounded up to whole ones."""
    return math.ceil(seconds(argument, value, least=least))


def choice(argument: str, value: object, choices: Sequence[str]) -> str:
    """One of some words."""
    listed = ", ".join(choices[:-1]) + f" or {choices[-1]}"
    if not isinstance(value, str):
        wrong_type(argument, value, f"give {listed}")
    if value not in choices:
        wrong_value(argument, value, "which is unknown", f"give {listed}")
    return value


def image(argument: str, value: object) -> str:
    """A reference to a container image."""
    reference = text(argument, value, "ghcr.io/dask/dask:latest")
    if not _IMAGE.fullmatch(reference):
        wrong_value(
            argument,
            value,
            "which no image can be called",
            "write it [registry/]name[:tag][@digest], the name in lower case, such as 'ghcr.io/dask/dask:latest'",
        )
    return reference


def command(argument: str, value: object) -> list[str]:
    """The words of a command, from a list of them or from one string, which is split as a shell would."""
    remedy = "give a list of words, or one string of words, such as 'dask worker'"
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError:
            wrong_value(argument, value, "in which a quotation does not end", remedy)
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        words = list(value)
        for word in words:
            if not isinstance(word, str):
                wrong_type(argument, value, f"every word has to be a string, and {word!r} is not; {remedy}")
    else:
        wrong_type(argument, value, remedy)
    if not words or not all(words):
        wrong_value(argument, value, "which has an empty word or none", remedy)
    return words


def env(argument: str, value: object) -> list[dict[str, Any]]:
    """Environment variables as in a Pod, from a mapping, or from a list as in a Pod. Numbers become strings."""
    remedy = "give {'NAME': 'value'}, or a list of {'name': ..., 'value': ...} as in a Pod"
    if isinstance(value, Mapping):
        return [
            {"name": _env_name(argument, name), "value": _env_value(argument, name, of)} for name, of in value.items()
        ]
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        wrong_type(argument, value, remedy)
    variables: list[dict[str, Any]] = []
    for variable in value:
        if not isinstance(variable, Mapping):
            wrong_type(f"{argument}[{len(variables)}]", variable, remedy)
        if "name" not in variable:
            wrong_value(f"{argument}[{len(variables)}]", variable, "which has no name", remedy)
        unknown = sorted(set(map(str, variable)) - {"name", "value", "valueFrom"})
        if unknown:
            wrong_value(
                f"{argument}[{len(variables)}]",
                variable,
                f"and {unknown[0]} is unknown",
                "use name, and value or valueFrom",
            )
        if "value" in variable and variable.get("valueFrom"):
            wrong_value(
                f"{argument}[{len(variables)}]", variable, "which has value and valueFrom", "remove one of them"
            )
        taken = deepcopy(dict(variable))
        _env_name(argument, variable["name"])
        if "value" in variable:
            taken["value"] = _env_value(argument, variable["name"], variable["value"])
        variables.append(taken)
    return variables


def _env_name(argument: str, name: object) -> str:
    if not isinstance(name, str):
        wrong_type(argument, name, "the name of an environment variable has to be a string")
    if not _ENV_NAME.fullmatch(name):
        wrong_value(argument, name, "which no environment variable can be called", "use letters, digits and '_'")
    return name


def _env_value(argument: str, name: object, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    wrong_type(
        f"{argument}[{name!r}]", value, "write the value as a string, as the program is to read it, such as 'true'"
    )


def resources(argument: str, value: object) -> dict[str, Any]:
    """Requests and limits as in a Pod: ``{"requests": {"cpu": 1, "memory": "4Gi"}, "limits": {...}}``."""
    remedy = "write it as in a Pod, {'requests': {'cpu': '1', 'memory': '4Gi'}, 'limits': {'memory': '4Gi'}}"
    if not isinstance(value, Mapping):
        wrong_type(argument, value, remedy)
    taken: dict[str, Any] = {}
    for section, of in value.items():
        if section not in _RESOURCE_SECTIONS:
            wrong_value(argument, value, f"and {section!r} is none of its sections", remedy)
        if of is None:
            continue
        if section == "claims":
            taken[section] = [dict(mapping) for mapping in mappings(f"{argument}.claims", of, "{'name': 'gpu'}")]
            continue
        if not isinstance(of, Mapping):
            wrong_type(f"{argument}.{section}", of, remedy)
        for name, amount in of.items():
            _resource_name(f"{argument}.{section}", name)
            quantity(f"{argument}.{section}[{name!r}]", amount)
        taken[section] = dict(of)
    limits = taken.get("limits", {})
    for name, requested in taken.get("requests", {}).items():
        if name in limits and quantity(argument, requested) > quantity(argument, limits[name]):
            wrong_value(
                f"{argument}.requests[{name!r}]",
                requested,
                f"which is more than the limit of {limits[name]!r}",
                "lower the request or raise the limit",
            )
    return taken


def _resource_name(argument: str, name: object) -> None:
    if not isinstance(name, str) or not name:
        wrong_type(argument, name, "name a resource with a string such as 'cpu', 'memory' or 'nvidia.com/gpu'")
    prefix, slash, last = name.rpartition("/")
    if (slash and not _LABEL_PREFIX.fullmatch(prefix)) or not _LABEL_NAME.fullmatch(last):
        wrong_value(
            argument, name, "which no resource can be called", "use such as 'cpu', 'memory' or 'nvidia.com/gpu'"
        )


def quantity(argument: str, value: object) -> Decimal:
    """The number that a quantity of Kubernetes stands for: ``"500m"`` is 0.5, ``"1Ki"`` is 1024."""
    remedy = "write a number with a unit of Kubernetes or none, such as 2, '500m' or '4Gi'"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        wrong_type(argument, value, remedy)
    matched = _QUANTITY.fullmatch(str(value))
    if not matched:
        wrong_value(argument, value, "which is no quantity", remedy)
    number, unit = matched.groups()
    try:
        amount = Decimal(number) * (_UNITS[unit] if unit in _UNITS else Decimal(f"1{unit or ''}"))
    except InvalidOperation:
        wrong_value(argument, value, "which is no quantity", remedy)
    if amount < 0:
        wrong_value(argument, value, "which is negative", remedy)
    return amount


def gpus(argument: str, value: object) -> dict[str, int]:
    """How many GPUs of which resource: a number is of ``nvidia.com/gpu``, a mapping names its own, at most one."""
    remedy = "give a number of GPUs such as 1, or the resource with it such as {'amd.com/gpu': 1}"
    if isinstance(value, Mapping):
        if len(value) != 1:
            wrong_value(argument, value, "which does not name one resource", remedy)
        ((name, number),) = value.items()
        _resource_name(argument, name)
        return {str(name): count(argument, number)}
    if isinstance(value, (str, float)) or value is None:
        wrong_type(argument, value, remedy)
    return {GPU_RESOURCE: count(argument, value)}


def object_labels(argument: str, value: object) -> dict[str, str]:
    """Labels, less those that are the operator's."""
    taken = _metadata(argument, value)
    for key, of in taken.items():
        if key in _OPERATOR_LABELS:
            wrong_value(argument, value, f"and {key} is the operator's", f"remove {key}")
        if of and not _LABEL_NAME.fullmatch(of):
            wrong_value(
                f"{argument}[{key!r}]",
                of,
                "which no label can have as its value",
                "use at most 63 letters, digits, '-', '_' and '.', a letter or digit first and last, or annotations",
            )
    return taken


def object_annotations(argument: str, value: object) -> dict[str, str]:
    """Annotations."""
    return _metadata(argument, value)


def _metadata(argument: str, value: object) -> dict[str, str]:
    remedy = "give strings by their keys, such as {'team': 'climate'}"
    if not isinstance(value, Mapping):
        wrong_type(argument, value, remedy)
    for key, of in value.items():
        _metadata_key(argument, key)
        if not isinstance(of, str):
            wrong_type(f"{argument}[{key!r}]", of, "write the value as a string, such as 'true' or '1'")
    return dict(value)


def _metadata_key(argument: str, key: object) -> None:
    if not isinstance(key, str):
        wrong_type(argument, key, "a key has to be a string such as 'team' or 'example.com/team'")
    prefix, slash, name = key.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or (slash and not _LABEL_PREFIX.fullmatch(prefix)):
        wrong_value(
            argument,
            key,
            "which cannot be a key",
            "write it such as 'team' or 'example.com/team', in at most 63 characters",
        )


def node_selector(argument: str, value: object) -> dict[str, str]:
    """The labels that a node has to have."""
    taken = _metadata(argument, value)
    for key, of in taken.items():
        if of and not _LABEL_NAME.fullmatch(of):
            wrong_value(
                f"{argument}[{key!r}]",
                of,
                "which no label of a node can have",
                "see `kubectl get nodes --show-labels`",
            )
    return taken


def mappings(argument: str, value: object, example: str) -> list[dict[str, Any]]:
    """A list of mappings, such as a Pod has for many things; copied."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        wrong_type(argument, value, f"give a list such as [{example}]")
    taken: list[dict[str, Any]] = []
    for item in value:
        if not isinstance(item, Mapping):
            wrong_type(f"{argument}[{len(taken)}]", item, f"write it as in a Pod, such as {example}")
        taken.append(deepcopy(dict(item)))
    return taken


def tolerations(argument: str, value: object) -> list[dict[str, Any]]:
    """Tolerations as in a Pod."""
    example = "{'key': 'dedicated', 'operator': 'Equal', 'value': 'dask', 'effect': 'NoSchedule'}"
    taken = mappings(argument, value, example)
    for index, toleration in enumerate(taken):
        item = f"{argument}[{index}]"
        _only_keys(item, toleration, ("key", "operator", "value", "effect", "tolerationSeconds"))
        how = toleration.get("operator", "Equal")
        if how not in ("Equal", "Exists"):
            wrong_value(f"{item}.operator", how, "which is unknown", "use Equal or Exists")
        if how == "Exists" and toleration.get("value"):
            wrong_value(f"{item}.value", toleration["value"], "and operator is Exists", "remove value, or use Equal")
        if how == "Equal" and not toleration.get("key"):
            wrong_value(item, toleration, "which has no key", "add the key of the taint, or use the operator Exists")
        if toleration.get("effect") not in (None, "", *_EFFECTS):
            wrong_value(
                f"{item}.effect", toleration["effect"], "which is unknown", f"use {', '.join(_EFFECTS)} or none"
            )
    return taken


def affinity(argument: str, value: object) -> dict[str, Any]:
    """Affinity as in a Pod."""
    if not isinstance(value, Mapping):
        wrong_type(argument, value, "write it as in a Pod, such as {'nodeAffinity': {...}}")
    _only_keys(argument, value, _AFFINITIES)
    for key, of in value.items():
        if not isinstance(of, Mapping):
            wrong_type(f"{argument}.{key}", of, "write it as in a Pod, as a mapping")
    return deepcopy(dict(value))


def object_name(argument: str, value: object, example: str) -> str:
    """The name of another object in the namespace."""
    name = text(argument, value, example)
    if not _OBJECT_NAME.fullmatch(name) or len(name) > 253:
        wrong_value(
            argument,
            value,
            "which no object can be called",
            f"use lower case letters, digits, '-' and '.', such as {example!r}",
        )
    return name


def image_pull_secrets(argument: str, value: object) -> list[dict[str, str]]:
    """Names of Secrets with credentials for registries: one, a list of them, or a list of ``{"name": ...}``."""
    example = "regcred"
    if isinstance(value, str):
        return [{"name": object_name(argument, value, example)}]
    if not isinstance(value, Sequence) or isinstance(value, (bytes, bytearray)):
        wrong_type(argument, value, f"give the name of a Secret, or a list of names, such as ['{example}']")
    secrets: list[dict[str, str]] = []
    for secret in value:
        item = f"{argument}[{len(secrets)}]"
        if isinstance(secret, Mapping):
            _only_keys(item, secret, ("name",))
            secret = secret.get("name")
        secrets.append({"name": object_name(item, secret, example)})
    return secrets


def volumes(argument: str, value: object) -> list[dict[str, Any]]:
    """Volumes as in a Pod."""
    example = "{'name': 'data', 'persistentVolumeClaim': {'claimName': 'data'}}"
    taken = mappings(argument, value, example)
    seen = set()
    for index, volume in enumerate(taken):
        item = f"{argument}[{index}]"
        name = volume.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
            wrong_value(f"{item}.name", name, "which no volume can be called", f"write it such as {example}")
        if len(volume) == 1:
            wrong_value(item, volume, "which does not say what it consists of", f"write it such as {example}")
        if name in seen:
            wrong_value(f"{item}.name", name, "which another volume is called", "give each a name of its own")
        seen.add(name)
    return taken


def volume_mounts(argument: str, value: object, volume_names: Iterable[str]) -> list[dict[str, Any]]:
    """Mounts as in a container, of volumes that there are."""
    example = "{'name': 'data', 'mountPath': '/data'}"
    taken = mappings(argument, value, example)
    known = sorted(volume_names)
    seen = set()
    for index, mount in enumerate(taken):
        item = f"{argument}[{index}]"
        path = mount.get("mountPath")
        if not isinstance(path, str) or not path or ":" in path:
            wrong_value(f"{item}.mountPath", path, "which is no path", f"write it such as {example}")
        if path in seen:
            wrong_value(f"{item}.mountPath", path, "where another one is mounted", "give each a path of its own")
        if mount.get("name") not in known:
            wrong_value(
                f"{item}.name",
                mount.get("name"),
                "which is the name of no volume",
                f"use one of {known}" if known else "add the volume to volumes",
            )
        seen.add(path)
    return taken


def _only_keys(argument: str, value: Mapping[Any, Any], keys: Sequence[str]) -> None:
    for key in value:
        if key not in keys:
            wrong_value(argument, dict(value), f"and {key!r} is unknown", f"use {', '.join(keys)}")
