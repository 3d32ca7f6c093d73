"""What can be set: read once at the start, from the environment, Dask's configuration files and kopf's command line.

Dask itself is not imported for its configuration: it would cost more memory than the whole controller.
"""

from __future__ import annotations

import ast
import os
import re
import site
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import click
import yaml

_BATCH_SIZE_KEY = "kubernetes.controller.worker-allocation.batch-size"
_DELAY_KEY = "kubernetes.controller.worker-allocation.delay"

_DEFAULT_HTTP_PORT = 8081  # not 8080, where kopf's own `--liveness` is usually put
_DEFAULT_LEASE_NAME = "dask-kubernetes-operator"
_DEFAULT_LEASE_SECONDS = 15.0
_SHORTEST_LEASE_SECONDS = 3.0
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_YES, _NO = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
# What makes a name on kopf's command line a pattern.
_PATTERN = re.compile(r"[!*?,]")
_LEVELS = ("debug", "info", "warning", "error")

LogFormat = Literal["text", "json"]


class SettingsError(Exception):
    """Something is set to what it cannot be; the message names it and says what it can be."""


@dataclass(frozen=True, slots=True)
class Election:
    """How the replicas agree on which of them leads.

    Attributes:
        namespace: where the Lease is.
        name: of the Lease; replicas that use the same one are peers.
        identity: what tells this replica from its peers.
        lease_seconds: how long a leader that is not heard of any more keeps its peers waiting.
        insisted_on: whether it was asked for. If not, a replica that has no right to Leases goes without.
    """

    namespace: str
    name: str
    identity: str
    lease_seconds: float = _DEFAULT_LEASE_SECONDS
    insisted_on: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the operator.

    Attributes:
        namespaces: those that are served, as they stand on kopf's command line; None for all.
        http_port: where health and metrics are served; 0 for nowhere.
        log_format: `json`, or `text` for whatever kopf's command line says.
        log_level: the least severe level that is logged, in capitals; None for what kopf's command line says.
        election: None when there is one replica only.
        batch_size: how many workers of a group may be created within ``batch_delay_seconds``; 0 for any number.
        batch_delay_seconds: see ``batch_size``.
    """

    namespaces: tuple[str, ...] | None = None
    http_port: int = 0
    log_format: LogFormat = "text"
    log_level: str | None = None
    election: Election | None = None
    batch_size: int = 0
    batch_delay_seconds: float = 0.0

    @property
    def exact_namespaces(self) -> tuple[str, ...] | None:
        """The namespaces that are served, if all of them are known by name."""
        if self.namespaces is None or any(_PATTERN.search(name) for name in self.namespaces):
            return None
        return self.namespaces


def read_settings(
    environ: Mapping[str, str] | None = None,
    *,
    command_line: Mapping[str, Any] | None = None,
    dask_folders: tuple[Path, ...] | None = None,
    namespace_file: Path = _NAMESPACE_FILE,
) -> Settings:
    """Read all settings.

    Args:
        environ: the environment; by default the process's.
        command_line: kopf's flags by the names of their parameters; by default those that it was started with.
        dask_folders: where Dask's configuration files are, those that win last; by default where Dask looks for them.
        namespace_file: tells in which namespace this process runs, if it runs in a cluster.

    Raises:
        SettingsError: one of them cannot be used.
    """
    environ = os.environ if environ is None else environ
    flags = _kopf_flags() if command_line is None else command_line
    dask = _DaskConfiguration(environ, _dask_folders(environ) if dask_folders is None else dask_folders)
    port = _integer(environ, "DASK_OPERATOR_HTTP_PORT", _DEFAULT_HTTP_PORT, least=0, most=65535)
    _check_port_is_free(port, flags)
    log_format = _choice(environ, "DASK_OPERATOR_LOG_FORMAT", ("text", "json"))
    log_level = _choice(environ, "DASK_OPERATOR_LOG_LEVEL", _LEVELS)
    return Settings(
        namespaces=_namespaces(environ, flags),
        http_port=port,
        log_format="json" if log_format == "json" else "text",
        log_level=log_level.upper() if log_level else None,
        election=_election(environ, namespace_file),
        batch_size=dask.batch_size(),
        batch_delay_seconds=dask.delay_seconds(),
    )


# kopf's command line -------------------------------------------------------------------------------------------


def _kopf_flags() -> Mapping[str, Any]:
    context = click.get_current_context(silent=True)
    return context.params if context is not None else {}


def _namespaces(environ: Mapping[str, str], flags: Mapping[str, Any]) -> tuple[str, ...] | None:
    names = [*(flags.get("namespaces") or ())]
    if single := environ.get("KOPF_RUN_NAMESPACE"):  # kopf's old way of saying it
        names.append(single)
    return tuple(str(name) for name in names) or None


def _check_port_is_free(port: int, flags: Mapping[str, Any]) -> None:
    endpoint = flags.get("liveness_endpoint")
    if port and endpoint and (urlsplit(endpoint).port or 80) == port:
        raise SettingsError(
            f"--liveness={endpoint}: port {port} is where the operator itself serves /healthz, /readyz and /metrics; "
            "leave --liveness out and probe those, or set DASK_OPERATOR_HTTP_PORT to another port"
        )


# The environment -----------------------------------------------------------------------------------------------


def _election(environ: Mapping[str, str], namespace_file: Path) -> Election | None:
    wanted = _boolean(environ, "DASK_OPERATOR_LEADER_ELECTION")
    namespace = environ.get("DASK_OPERATOR_LEASE_NAMESPACE") or environ.get("POD_NAMESPACE")
    if not namespace and namespace_file.is_file():
        namespace = namespace_file.read_text(encoding="utf-8").strip()
    if wanted is False or (wanted is None and not namespace):
        return None
    if not namespace:
        raise SettingsError(
            "DASK_OPERATOR_LEADER_ELECTION: outside of a cluster it is not known where the Lease is to be; "
            "set DASK_OPERATOR_LEASE_NAMESPACE to a namespace"
        )
    name = environ.get("DASK_OPERATOR_LEASE_NAME") or _DEFAULT_LEASE_NAME
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"DASK_OPERATOR_LEASE_NAME: {name!r} cannot name a Kubernetes object: lower case letters, digits, "
            "'-' and '.' only"
        )
    return Election(
        namespace=namespace,
        name=name,
        identity=_identity(environ),
        lease_seconds=_number(
            environ.get("DASK_OPERATOR_LEASE_SECONDS"),
            "DASK_OPERATOR_LEASE_SECONDS",
            _DEFAULT_LEASE_SECONDS,
            least=_SHORTEST_LEASE_SECONDS,
        ),
        insisted_on=wanted is True,
    )


def _identity(environ: Mapping[str, str]) -> str:
    """A pod's name and uid outlive a restart of its container, which may then go on leading at once."""
    name, uid = environ.get("POD_NAME"), environ.get("POD_UID")
    if name and uid:
        return f"{name}_{uid}"
    return f"{name or os.uname().nodename}_{uuid.uuid4()}"


def _boolean(environ: Mapping[str, str], name: str) -> bool | None:
    text = environ.get(name, "").strip().lower()
    if text and text not in _YES | _NO:
        raise SettingsError(f"{name}: expected true or false, got {environ[name]!r}")
    return text in _YES if text else None


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    text = environ.get(name, "").strip().lower()
    if text and text not in choices:
        raise SettingsError(f"{name}: expected {' or '.join(choices)}, got {environ[name]!r}")
    return text or None


def _integer(environ: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= most:
        raise SettingsError(f"{name}: expected a whole number from {least} to {most}, got {environ[name]!r}")
    return int(text)


def _number(value: Any, name: str, default: float, *, least: float) -> float:
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not least <= number < float("inf"):
        raise SettingsError(f"{name}: expected a number of seconds, {least:g} or more, got {value!r}")
    return number


# Dask's configuration ------------------------------------------------------------------------------------------


class _DaskConfiguration:
    """Dask's keys that the controller knows: from the files first, then from the environment, which wins.

    The rules are those of https://docs.dask.org/en/stable/configuration.html.
    """

    def __init__(self, environ: Mapping[str, str], folders: tuple[Path, ...]) -> None:
        self._found: dict[str, tuple[str, Any]] = {}
        for path in _files(folders):
            for key, value in _flattened(_content(path)):
                self._found[_canonical(key)] = (f"{key} in {path}", value)
        for name, text in environ.items():
            if name.startswith("DASK_"):
                key = name.removeprefix("DASK_").replace("__", ".")
                self._found[_canonical(key)] = (name, _literal(text))

    def batch_size(self) -> int:
        name, value = self._found.get(_canonical(_BATCH_SIZE_KEY), (_BATCH_SIZE_KEY, None))
        if value is None:
            return 0
        whole = isinstance(value, int | str) and not isinstance(value, bool) and str(value).strip().isdecimal()
        if not whole or int(value) < 1:
            raise SettingsError(
                f"{name}: expected a whole number of workers, 1 or more, got {value!r}; leave it out to have all "
                "workers created at once"
            )
        return int(value)

    def delay_seconds(self) -> float:
        name, value = self._found.get(_canonical(_DELAY_KEY), (_DELAY_KEY, None))
        return _number(value, name, 0.0, least=0.0)


def _dask_folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    prefixes = [sys.prefix, *site.PREFIXES]
    folders = [
        Path(environ.get("DASK_ROOT_CONFIG") or "/etc/dask"),
        *(Path(prefix, "etc", "dask") for prefix in prefixes),
        Path("~/.config/dask").expanduser(),
    ]
    if chosen := environ.get("DASK_CONFIG"):
        folders.append(Path(chosen))
    return tuple(dict.fromkeys(folders))


def _files(folders: tuple[Path, ...]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if path.suffix in (".json", ".yaml", ".yml"))
        elif folder.is_file():
            yield folder


def _content(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        return None  # as Dask has it: what may not be read is not meant for this process
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: Dask's configuration cannot be read: {error}") from error


def _flattened(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, nested in value.items():
            yield from _flattened(nested, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _canonical(key: str) -> str:
    return key.lower().replace("_", "-")


def _literal(text: str) -> Any:
    """A value in the environment is what it means in Python, or else text; ``null`` unsets."""
    if text.strip().lower() in ("", "none", "null"):
        return None
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
