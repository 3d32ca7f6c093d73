"""What an autoscaler says of itself: conditions with the meanings of a HorizontalPodAutoscaler's, and counts. Pure.

The table of conditions and reasons for people is docs/autoscaling.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from ..builders import Object
from ..resources import DASK_AUTOSCALERS
from ..spec import DaskAutoscaler, Identity, ScalingRules
from .actions import Patch
from .conditions import Condition, find_condition, timestamp
from .history import History, Level, recorded
from .observed import CustomResource, parse_time
from .status import status_patch


def replicas_history(autoscaler: DaskAutoscaler, replicas: int, now: datetime) -> History:
    """How many workers the group was to have, as far as policies still count it.

    It is kept in the status, so that a policy's period outlasts the controller. That the number is another one is
    noticed after the fact, whoever changed it: a controller that ends between its write to the group and the one to
    the status leaves nothing uncounted.
    """
    stored = autoscaler.status.get("recentReplicas") or ()
    known = tuple(Level(parse_time(entry["since"]), int(entry["replicas"])) for entry in stored)
    policies = (rules.policy for rules in (autoscaler.scale_up, autoscaler.scale_down))
    longest_seconds = max((policy.period_seconds for policy in policies if policy), default=0)
    return recorded(known, now, replicas, keep=timedelta(seconds=longest_seconds))


def autoscaler_status(
    autoscaler: DaskAutoscaler,
    conditions: Iterable[Condition],
    now: datetime,
    *,
    current: int | None = 0,
    desired: int | None = None,
    history: History = (),
) -> list[Patch]:
    """The status of a DaskAutoscaler.

    Args:
        autoscaler: as it is.
        conditions: those that are known; others stay.
        now: the present, UTC.
        current: workers of the group that the scheduler knows; None while that is not known.
        desired: workers that the group is to have; None when there is nothing to scale.
        history: of the replicas of the group.
    """
    wanted: Object = {"observedGeneration": autoscaler.generation}
    if current is not None or "currentReplicas" not in autoscaler.status:
        wanted["currentReplicas"] = current or 0
    conditions = list(conditions)
    blocked = next((c for c in conditions if (c.type, c.status) == ("ScalingActive", "False")), None)
    if desired is not None or blocked is not None:
        wanted["desiredReplicas"] = desired
    if blocked is not None and not any(condition.type == "ScalingLimited" for condition in conditions):
        # What was true while it followed the scheduler is not known any more.
        conditions.append(replace(blocked, type="ScalingLimited", status="Unknown"))
    if history:
        wanted["recentReplicas"] = [{"since": timestamp(since), "replicas": value} for since, value in history]
    return status_patch(DASK_AUTOSCALERS, autoscaler.identity, autoscaler.status, wanted, conditions, now)


def unreadable_status(resource: CustomResource, trouble: str, now: datetime) -> list[Patch]:
    """The status of a DaskAutoscaler that cannot be read."""
    meta = resource.body["metadata"]
    about = Identity(DASK_AUTOSCALERS.kind, meta["namespace"], resource.name, resource.uid)
    generation = resource.generation
    conditions = [
        Condition("AbleToScale", "False", "Invalid", trouble, generation, event="Warning"),
        Condition("ScalingActive", "False", "Invalid", trouble, generation),
    ]
    wanted = {"observedGeneration": generation}
    return status_patch(DASK_AUTOSCALERS, about, resource.body.get("status") or {}, wanted, conditions, now)


def unable(autoscaler: DaskAutoscaler, reason: str, message: str, *, event: str = "") -> list[Condition]:
    """There is nothing that it could scale."""
    generation = autoscaler.generation
    return [
        Condition("AbleToScale", "False", reason, message, generation, event),
        Condition("ScalingActive", "False", reason, message, generation),
    ]


def able(autoscaler: DaskAutoscaler, reason: str = "ReadyForNewScale", message: str = "") -> Condition:
    """There is a group that it can scale; the reason says what holds it back, if something does."""
    return Condition("AbleToScale", "True", reason, message, autoscaler.generation)


def stabilized(autoscaler: DaskAutoscaler, *, up: bool) -> Condition:
    """It waits until a window has passed."""
    rules = autoscaler.scale_up if up else autoscaler.scale_down
    direction, number = ("Up", "more") if up else ("Down", "fewer")
    message = (
        f"the scheduler asks for {number} workers, but has not done so for all of the last "
        f"{rules.stabilization_window_seconds} s (spec.behavior.scale{direction}.stabilizationWindowSeconds)"
    )
    return able(autoscaler, f"Scale{direction}Stabilized", message)


def active(autoscaler: DaskAutoscaler) -> Condition:
    """It follows the scheduler."""
    return Condition("ScalingActive", "True", "TargetFound", "", autoscaler.generation)


def inactive(autoscaler: DaskAutoscaler, reason: str, message: str) -> Condition:
    """It does not follow the scheduler, and leaves the number of workers as it is."""
    stored = find_condition(autoscaler.status.get("conditions"), "ScalingActive")
    if (stored.get("status"), stored.get("reason")) == ("False", reason):
        # The same trouble, even where its wording is another one at each attempt.
        message = stored.get("message", message)
    return Condition("ScalingActive", "False", reason, message, autoscaler.generation)


def awaiting(autoscaler: DaskAutoscaler) -> list[Condition]:
    """The scheduler is being asked and has yet to answer: until then nothing is new."""
    stored = autoscaler.status.get("conditions")
    conditions = []
    if find_condition(stored, "AbleToScale").get("status") != "True":
        conditions.append(able(autoscaler))
    if not find_condition(stored, "ScalingActive"):
        message = "the scheduler has yet to say how many workers it takes"
        conditions.append(Condition("ScalingActive", "Unknown", "AwaitingTarget", message, autoscaler.generation))
    return conditions


def limited_by_policy(autoscaler: DaskAutoscaler, *, up: bool) -> Condition:
    """A policy lets the number change only so fast."""
    rules: ScalingRules = autoscaler.scale_up if up else autoscaler.scale_down
    direction = "Up" if up else "Down"
    pace = f"{rules.policy.percent} % in {rules.policy.period_seconds} s" if rules.policy else ""
    message = f"the number of workers changes by at most {pace} (spec.behavior.scale{direction}.policies)"
    return Condition("ScalingLimited", "True", f"Scale{direction}Limit", message, autoscaler.generation)


def limited_by_bounds(autoscaler: DaskAutoscaler, asked: int) -> Condition:
    """Whether the scheduler asks for a number outside minimum and maximum."""
    generation = autoscaler.generation
    if asked > autoscaler.maximum:
        message = f"the scheduler asks for more workers than spec.maximum, which is {autoscaler.maximum}"
        return Condition("ScalingLimited", "True", "TooManyReplicas", message, generation)
    if asked < autoscaler.minimum:
        message = f"the scheduler asks for fewer workers than spec.minimum, which is {autoscaler.minimum}"
        return Condition("ScalingLimited", "True", "TooFewReplicas", message, generation)
    return Condition("ScalingLimited", "False", "DesiredWithinRange", "", generation)
