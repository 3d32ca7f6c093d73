"""Names of clusters and worker groups: what they may be, and how they are made from templates. Pure."""

from __future__ import annotations

import getpass
import hashlib
import re
import string
import unicodedata
import uuid as uuids
from collections.abc import Mapping
from os import environ as process_environ

from ..exceptions import ValidationError

# <cluster>-scheduler has to be the name of a Service, and a Service's name has at most 63 characters.
MAX_CLUSTER_NAME_LENGTH = 53
# A worker group's name is the value of a label of its workers.
MAX_WORKER_GROUP_NAME_LENGTH = 63
MAX_NAMESPACE_LENGTH = 63

DEFAULT_WORKER_GROUP = "default"

_CLUSTER_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_WORKER_GROUP_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")

_UUID_LENGTH = 10
_DIGEST_LENGTH = 6
# What a name begins with if it would begin with a digit.
_LETTERS_FIRST = "dask-"


def check_cluster_name(name: object, argument: str = "name") -> str:
    """A name that a DaskCluster can have.

    Raises:
        TypeError: it is no string.
        ValidationError: it is too long, or has characters that the name of a Service cannot have.
    """
    if not isinstance(name, str):
        raise TypeError(f"{argument} is {name!r}, {_kind(name)}: give a string such as 'my-cluster'")
    if not _CLUSTER_NAME.fullmatch(name):
        raise ValidationError(
            f"{argument} is {name!r}, which cannot be the name of a cluster: use lower case letters, digits and '-', "
            f"with a letter first and no '-' last, such as {slug(name) or 'my-cluster'!r}"
        )
    if len(name) > MAX_CLUSTER_NAME_LENGTH:
        raise ValidationError(
            f"{argument} is {name!r}, which has {len(name)} characters: shorten it to {MAX_CLUSTER_NAME_LENGTH}, "
            "because its scheduler's Service is named after it"
        )
    return name


def check_namespace(namespace: object, argument: str = "namespace") -> str:
    """A name that a namespace can have.

    Raises:
        TypeError: it is no string.
        ValidationError: no namespace can have this name.
    """
    if not isinstance(namespace, str):
        raise TypeError(f"{argument} is {namespace!r}, {_kind(namespace)}: give a string such as 'default'")
    if not _NAMESPACE.fullmatch(namespace) or len(namespace) > MAX_NAMESPACE_LENGTH:
        raise ValidationError(
            f"{argument} is {namespace!r}, which no namespace can be called: use at most {MAX_NAMESPACE_LENGTH} "
            "lower case letters, digits and '-', with no '-' first or last, or leave it out for the current namespace"
        )
    return namespace


def worker_group_name(cluster: str, group: object, argument: str = "name") -> str:
    """The name of the DaskWorkerGroup that a cluster calls by a short name: ``<cluster>-<group>``.

    Raises:
        TypeError: the short name is no string.
        ValidationError: the name of both is none that a DaskWorkerGroup can have.
    """
    if not isinstance(group, str):
        raise TypeError(f"{argument} is {group!r}, {_kind(group)}: give a string such as 'highmem'")
    name = f"{cluster}-{group}"
    if not group or not _WORKER_GROUP_NAME.fullmatch(name):
        raise ValidationError(
            f"{argument} is {group!r}, which cannot be the name of a worker group: use lower case letters, digits, "
            f"'-' and '.', with a letter or digit last, such as {slug(group) or 'highmem'!r}"
        )
    if len(name) > MAX_WORKER_GROUP_NAME_LENGTH:
        raise ValidationError(
            f"{argument} is {group!r}, and {name!r} has {len(name)} characters: shorten it by "
            f"{len(name) - MAX_WORKER_GROUP_NAME_LENGTH}, because a label of its workers is to hold the name"
        )
    return name


def short_worker_group_name(cluster: str, name: str) -> str:
    """What a cluster calls a DaskWorkerGroup, the opposite of `worker_group_name`; all of it if it has no prefix."""
    return name.removeprefix(f"{cluster}-")


def slug(text: str) -> str:
    """The nearest thing to a text that a name can hold: accents are dropped, all else that does not fit becomes '-'.

    Returns:
        Lower case letters, digits and single '-', none first or last; empty if nothing is left.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def fill_name(
    template: object,
    *,
    user: str | None = None,
    uuid: str | None = None,
    environ: Mapping[str, str] | None = None,
    argument: str = "name",
) -> str:
    """Make the name of a cluster from a template.

    A name without fields is taken as it is. What is filled in is made fit: it is reduced to what a name can have,
    and shortened where the name would be too long. Where that could make two users' names the same, a digest of
    the whole value is added.

    Args:
        template: such as ``dask-{user}-{uuid}``; fields are ``user``, ``uuid`` and every environment variable.
        user: who; None for the user that this process runs as.
        uuid: ten characters that nobody else has; None for new ones.
        environ: environment variables; None for those of this process.
        argument: what the template is called in messages.

    Raises:
        TypeError: the template is no string.
        ValidationError: a field is unknown, or what results is none that a DaskCluster can have.
    """
    if not isinstance(template, str):
        raise TypeError(f"{argument} is {template!r}, {_kind(template)}: give a string such as 'my-cluster'")
    parts = _parse(template, argument)
    if all(field is None for _, field in parts):
        return check_cluster_name("".join(text for text, _ in parts), argument)
    environment = process_environ if environ is None else environ
    fixed_length = sum(len(text) for text, _ in parts)
    fields = [field for _, field in parts if field is not None]
    values: dict[str, str] = {}
    for field in fields:
        if field == "user":
            values[field] = current_user() if user is None else user
        elif field == "uuid":
            values[field] = uuid or uuids.uuid4().hex[:_UUID_LENGTH]
        elif field in environment:
            values[field] = environment[field]
        else:
            raise ValidationError(
                f"{argument} is {template!r}, and {{{field}}} is unknown: use {{user}}, {{uuid}} or an environment "
                "variable that is set"
            )
    shortened = [field for field in fields if field != "uuid"]
    room = MAX_CLUSTER_NAME_LENGTH - len(_LETTERS_FIRST) - fixed_length
    if "uuid" in values:
        values["uuid"] = slug(values["uuid"])
        room -= len(values["uuid"]) * fields.count("uuid")
    if shortened:
        share = room // len(shortened)
        if share <= _DIGEST_LENGTH:
            raise ValidationError(
                f"{argument} is {template!r}, which leaves no room for what is filled in: shorten it, as a name has "
                f"at most {MAX_CLUSTER_NAME_LENGTH} characters"
            )
        for field in set(shortened):
            values[field] = _fit(values[field], share, is_alone="uuid" not in values)
    filled = "".join(text + ("" if field is None else values[field]) for text, field in parts)
    if not filled[:1].isalpha():
        filled = _LETTERS_FIRST + filled.lstrip("-")
    return check_cluster_name(filled, argument)


def current_user() -> str:
    """Who this process runs as; ``user`` in a container whose user has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "user"


def _parse(template: str, argument: str) -> list[tuple[str, str | None]]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValidationError(
            f"{argument} is {template!r}, and its braces do not match: write fields as in 'dask-{{user}}-{{uuid}}'"
        ) from error
    for _, field, form, conversion in parts:
        if field is not None and (not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", field) or form or conversion):
            raise ValidationError(
                f"{argument} is {template!r}, and a field in it is more than a name: use {{user}}, {{uuid}} or an "
                "environment variable that is set"
            )
    return [(text, field) for text, field, _, _ in parts]


def _fit(value: str, length: int, *, is_alone: bool) -> str:
    fit = slug(value)
    if fit and fit == value and len(fit) <= length:
        return fit
    if fit and not is_alone:
        return fit[:length].strip("-")
    digest = hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
    kept = fit[: max(0, length - _DIGEST_LENGTH - 1)].strip("-")
    return f"{kept}-{digest}" if kept else digest


def _kind(value: object) -> str:
    return "which is None" if value is None else f"of type {type(value).__name__}"
