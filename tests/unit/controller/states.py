"""How a world looks, less what is another one in every run."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from difflib import unified_diff

from dask_kubernetes_operator.resources import Resource

from .objects import Object
from .world import WATCHED, World

_WORKER_SUFFIX = re.compile(r"-worker-[0-9a-f]{10}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# Of metadata: what is another one in every run, or tells of the way by which a state was reached.
_INCIDENTAL = ("uid", "resourceVersion", "generation", "creationTimestamp", "namespace", "managedFields")
_INCIDENTAL_STATUS = ("podIP", "recentReplicas")
_INCIDENTAL_ANNOTATIONS = ("dask.org/draining-since",)


def state_of(world: World) -> list[str]:
    """All objects, less what is another one in every run: names of workers, uids, versions, times, addresses."""
    uids = {body["metadata"]["uid"] for resource in WATCHED for body in world.all(resource)}
    normal = [_normal(resource, body, uids) for resource in WATCHED for body in world.all(resource)]
    return sorted(plain(json.dumps(body, sort_keys=True)) for body in normal)


def plain(text: str) -> str:
    """A text less the names of workers and the times in it."""
    return _TIME.sub("*", _WORKER_SUFFIX.sub("-worker-*", text))


def _normal(resource: Resource, body: Object, uids: Collection[str]) -> Object:
    meta = {key: value for key, value in body["metadata"].items() if key not in _INCIDENTAL}
    if "annotations" in meta:
        annotations = meta["annotations"]
        meta["annotations"] = {k: v for k, v in annotations.items() if k not in _INCIDENTAL_ANNOTATIONS}
    meta["ownerReferences"] = [
        {**owner, "uid": "there" if owner["uid"] in uids or owner["kind"] == "ReplicaSet" else "gone"}
        for owner in meta.get("ownerReferences") or ()
    ]
    status = dict(body.get("status") or {})
    for key in _INCIDENTAL_STATUS:
        status.pop(key, None)
    generation = body["metadata"].get("generation")
    if "observedGeneration" in status:
        status["observedGeneration"] = _observed(status["observedGeneration"], generation)
    if "conditions" in status:
        conditions = [_normal_condition(entry, generation) for entry in status["conditions"]]
        status["conditions"] = sorted(conditions, key=lambda condition: condition["type"])
    return {"kind": resource.kind, "metadata": meta, "spec": body.get("spec"), "status": status}


def _normal_condition(condition: Object, generation: int | None) -> Object:
    normal = {key: value for key, value in condition.items() if key != "lastTransitionTime"}
    if "observedGeneration" in normal:
        normal["observedGeneration"] = _observed(normal["observedGeneration"], generation)
    return normal


def _observed(observed: int, generation: int | None) -> str:
    return "the present one" if observed == generation else "an earlier one"


def difference(expected: list[str], found: list[str]) -> str:
    """What two states differ in, for people."""
    lines = unified_diff(_lines(expected), _lines(found), "expected", "found", n=6, lineterm="")
    return "\n".join(lines)


def _lines(state: list[str]) -> list[str]:
    return [line for body in state for line in json.dumps(json.loads(body), indent=1).splitlines()]
