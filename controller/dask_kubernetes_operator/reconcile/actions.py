"""What a plan is made of: requests to the API server, independent of one another, and those to the Dask scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..builders import Object
from ..resources import Resource
from ..spec import Identity


@dataclass(frozen=True, slots=True)
class Event:
    """What `kubectl describe` shows a person of a transition; ``type`` is Normal or Warning."""

    about: Identity
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object; one of the same name and owner that is there already is success."""

    resource: Resource
    body: Object
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Patch:
    """Apply a JSON merge patch, or a JSON patch where it is a list of operations; ``events`` are told on success."""

    resource: Resource
    name: str
    patch: Object | list[Object]
    subresource: str | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one object by name and uid; one that is gone already is success.

    With a version it is deleted only as it was then, and one that has changed since is looked at again. ``outcome``
    says of a worker how its retirement ended.
    """

    resource: Resource
    name: str
    uid: str
    version: int | None = None
    events: tuple[Event, ...] = ()
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class DeleteCollection:
    """Delete all objects that a label selector names."""

    resource: Resource
    selector: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Have the scheduler move the data of one Pod's workers to others, until the deadline."""

    pod_uid: str
    addresses: frozenset[str]
    deadline: datetime


Action = Create | Patch | Delete | DeleteCollection
Subject = tuple[Resource, str, str]


def subject(action: Action) -> Subject:
    """What an action is about: actions of one subject succeed or fail for the same reasons."""
    match action:
        case Create(resource, body, _):
            owners = body["metadata"]["ownerReferences"]
            return (resource, "create", owners[0]["uid"])
        case Patch(resource, name, _, subresource, _):
            return (resource, f"patch {subresource or ''}", name)
        case Delete(resource, _, uid, _, _, _):
            return (resource, "delete", uid)
        case DeleteCollection(resource, selector):
            return (resource, "delete collection", selector)
