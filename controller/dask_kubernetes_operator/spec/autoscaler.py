"""DaskAutoscaler."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import (
    Body,
    Identity,
    Metadata,
    SpecError,
    duration_seconds,
    generation_of,
    identity_of,
    integer,
    is_terminating,
    metadata_of,
    required,
)

# Those of a HorizontalPodAutoscaler.
DEFAULT_SCALE_UP_STABILIZATION_SECONDS = 0
DEFAULT_SCALE_DOWN_STABILIZATION_SECONDS = 300


@dataclass(frozen=True, slots=True)
class PercentPolicy:
    """By how much of what it was at the start of a period the number of workers may change in it."""

    percent: int
    period_seconds: int


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """``behavior`` of a DaskAutoscaler in one direction; without a policy any change is allowed."""

    stabilization_window_seconds: int
    policy: PercentPolicy | None


@dataclass(frozen=True, slots=True)
class DaskAutoscaler:
    """A DaskAutoscaler as the controller reads it.

    ``worker_group_name`` is None for the default group of the cluster, ``target_duration_seconds`` where the
    configuration of the scheduler decides.
    """

    identity: Identity
    generation: int
    metadata: Metadata
    terminating: bool
    cluster_name: str
    worker_group_name: str | None
    minimum: int
    maximum: int
    scale_up: ScalingRules
    scale_down: ScalingRules
    target_duration_seconds: float | None
    status: Body


def parse_autoscaler(body: Body) -> DaskAutoscaler:
    """Read a DaskAutoscaler.

    Raises:
        SpecError: what to scale or how far is missing, or a value is none that there is.
    """
    spec = body.get("spec") or {}
    minimum, maximum = (int(required(spec, field, "spec")) for field in ("minimum", "maximum"))
    if minimum > maximum:
        raise SpecError("spec.minimum is greater than spec.maximum: lower minimum or raise maximum")
    behavior = spec.get("behavior") or {}
    return DaskAutoscaler(
        identity=identity_of(body, "DaskAutoscaler"),
        generation=generation_of(body),
        metadata=metadata_of(body.get("metadata")),
        terminating=is_terminating(body),
        cluster_name=required(spec, "cluster", "spec"),
        worker_group_name=spec.get("workerGroup") or None,
        minimum=minimum,
        maximum=maximum,
        scale_up=_scaling_rules(behavior.get("scaleUp") or {}, DEFAULT_SCALE_UP_STABILIZATION_SECONDS),
        scale_down=_scaling_rules(behavior.get("scaleDown") or {}, DEFAULT_SCALE_DOWN_STABILIZATION_SECONDS),
        target_duration_seconds=duration_seconds(spec.get("targetDuration"), "spec.targetDuration"),
        status=body.get("status") or {},
    )


def _scaling_rules(rules: Body, default_window_seconds: int) -> ScalingRules:
    window_seconds = integer(rules, "stabilizationWindowSeconds")
    policies = [
        PercentPolicy(percent=int(policy["value"]), period_seconds=int(policy["periodSeconds"]))
        for policy in rules.get("policies") or ()
    ]
    return ScalingRules(
        stabilization_window_seconds=default_window_seconds if window_seconds is None else window_seconds,
        policy=policies[0] if policies else None,
    )
