"""What a plan is made of: one request to the API server each, independent of one another."""

from __future__ import annotations

from dataclasses import dataclass

from ..builders import Object
from ..resources import Resource


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object; one of the same name and owner that is there already is success."""

    resource: Resource
    body: Object


@dataclass(frozen=True, slots=True)
class Patch:
    """Apply a JSON merge patch."""

    resource: Resource
    name: str
    patch: Object
    subresource: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one object by name and uid; one that is gone already is success.

    With a version it is deleted only as it was then, and one that has changed since is looked at again.
    """

    resource: Resource
    name: str
    uid: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteCollection:
    """Delete all objects that a label selector names."""

    resource: Resource
    selector: str


Action = Create | Patch | Delete | DeleteCollection
Subject = tuple[Resource, str, str]


def subject(action: Action) -> Subject:
    """What an action is about: actions of one subject succeed or fail for the same reasons."""
    match action:
        case Create(resource, body):
            owners = body["metadata"]["ownerReferences"]
            return (resource, "create", owners[0]["uid"])
        case Patch(resource, name, _, subresource):
            return (resource, f"patch {subresource or ''}", name)
        case Delete(resource, _, uid, _):
            return (resource, "delete", uid)
        case DeleteCollection(resource, selector):
            return (resource, "delete collection", selector)
