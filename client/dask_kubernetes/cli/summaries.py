"""Objects in a line each, and one object in a page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import output
from .targets import AUTOSCALER, CLUSTER, JOB, WORKER_GROUP

Object = Mapping[str, Any]
Objects = Sequence[Object]


def lines(kind: str, objects: Objects, groups: Objects, *, is_wide: bool, with_namespace: bool) -> str:
    """A table of objects of one kind.

    Args:
        kind: their kind.
        objects: what to list, at least one.
        groups: the worker groups there are, to count the workers of clusters.
        is_wide: with more columns.
        with_namespace: with the namespace first.
    """
    rows = []
    for body in objects:
        row = {"NAMESPACE": body["metadata"].get("namespace")} if with_namespace else {}
        rows.append(row | _line(kind, body, groups) | (_rest_of_line(kind, body) if is_wide else {}))
    return output.table(list(rows[0]), [list(row.values()) for row in rows])


def page(
    kind: str, body: Object, groups: Objects, autoscalers: Objects, pods: Objects, events: Objects | None
) -> str:
    """All that is to be known of one object.

    Args:
        kind: its kind.
        body: the object.
        groups: the worker groups of its cluster.
        autoscalers: the autoscalers of its cluster.
        pods: the Pods of its cluster.
        events: the events about all of these, the oldest first; None if they may not be seen.
    """
    metadata, status = body["metadata"], body.get("status") or {}
    head = {
        **{"Name": metadata["name"], "Namespace": metadata.get("namespace"), "Kind": body.get("kind")},
        **_head(kind, body),
        "Age": output.age(metadata.get("creationTimestamp")),
    }
    width = max(len(label) for label in head) + 1
    text = "".join(
        f"{label + ':':<{width}} {output.NOTHING if value in (None, '') else value}\n"
        for label, value in head.items()
    )
    conditions = [
        [c.get("type"), c.get("status"), c.get("reason"), c.get("message")] for c in status.get("conditions") or ()
    ]
    text += _titled("Conditions", ("TYPE", "STATUS", "REASON", "MESSAGE"), conditions)
    if kind != WORKER_GROUP:
        text += _titled(
            "Worker groups",
            ("NAME", "READY", "IMAGE"),
            [[g["metadata"]["name"], _ready([g]), _image(g, "worker")] for g in groups],
        )
    if kind != AUTOSCALER:
        text += _titled(
            "Autoscalers", ("NAME", "MINIMUM", "MAXIMUM", "DESIRED"), [_autoscaler(scaler) for scaler in autoscalers]
        )
    text += _titled("Pods", ("NAME", "STATUS", "RESTARTS", "NODE", "AGE"), [_pod(pod) for pod in pods])
    if events is None:
        return text + "\nEvents: you may not list them.\n"
    return text + _titled(
        "Events", ("AGE", "TYPE", "REASON", "OBJECT", "MESSAGE"), [_event(event) for event in events]
    )


def pod_status(pod: Object) -> str:
    """What a Pod is doing, in a word or two, as ``kubectl get pods`` has it."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for container in statuses:
        state = container.get("state") or {}
        for name in ("waiting", "terminated"):
            reason = (state.get(name) or {}).get("reason")
            if reason and reason != "Completed":
                return str(reason)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("reason") or "Unschedulable")
    if status.get("reason"):
        return str(status["reason"])
    is_ready = bool(statuses) and all(container.get("ready") for container in status.get("containerStatuses") or ())
    return "Ready" if is_ready else str(status.get("phase") or "Pending")


def _titled(title: str, columns: Sequence[str], rows: list[list[Any]]) -> str:
    if not rows:
        return ""
    indented = "".join(f"  {line}\n" for line in output.table(columns, rows).splitlines())
    return f"\n{title}:\n{indented}"


def _line(kind: str, body: Object, groups: Objects) -> dict[str, Any]:
    name, spec, status = body["metadata"]["name"], _spec(body), _status(body)
    line: dict[str, Any] = {"NAME": name}
    if kind == CLUSTER:
        namespace = body["metadata"].get("namespace")
        own = [g for g in groups if _spec(g).get("cluster") == name and g["metadata"].get("namespace") == namespace]
        line |= {"PHASE": status.get("phase"), "READY": _ready(own) if own else None}
    elif kind == JOB:
        line |= {"STATUS": status.get("jobStatus"), "RUNNER": status.get("jobRunnerPodName")}
    elif kind == WORKER_GROUP:
        line |= {"CLUSTER": spec.get("cluster"), "READY": _ready([body])}
    else:
        line |= {"CLUSTER": spec.get("cluster"), "MINIMUM": spec.get("minimum"), "MAXIMUM": spec.get("maximum")}
        line |= {"DESIRED": status.get("desiredReplicas")}
    return line | {"AGE": output.age(body["metadata"].get("creationTimestamp"))}


def _rest_of_line(kind: str, body: Object) -> dict[str, Any]:
    spec, status = _spec(body), _status(body)
    if kind == CLUSTER:
        addresses = {"SCHEDULER": status.get("schedulerAddress"), "DASHBOARD": status.get("dashboardAddress")}
        return {**addresses, "IMAGE": _image(body, "scheduler")}
    if kind == JOB:
        return {"STARTED": status.get("startTime"), "ENDED": status.get("endTime"), "IMAGE": _image(body, "job")}
    if kind == WORKER_GROUP:
        return {"DRAINING": status.get("drainingReplicas") or 0, "IMAGE": _image(body, "worker")}
    group = spec.get("workerGroup") or f"{spec.get('cluster')}-default"
    return {"WORKERGROUP": group, "CURRENT": status.get("currentReplicas")}


def _head(kind: str, body: Object) -> dict[str, Any]:
    spec, status = _spec(body), _status(body)
    if kind == CLUSTER:
        return {
            "Phase": status.get("phase"),
            "Image": _image(body, "scheduler"),
            "Scheduler": status.get("schedulerAddress"),
            "Dashboard": status.get("dashboardAddress"),
        }
    if kind == JOB:
        return {
            "Status": status.get("jobStatus"),
            "Image": _image(body, "job"),
            "Runner": status.get("jobRunnerPodName"),
            "Started": status.get("startTime"),
            "Ended": status.get("endTime"),
        }
    if kind == WORKER_GROUP:
        return {"Cluster": spec.get("cluster"), "Image": _image(body, "worker"), "Ready": _ready([body])}
    return {
        "Cluster": spec.get("cluster"),
        "Between": f"{spec.get('minimum')} and {spec.get('maximum')}",
        "Current": status.get("currentReplicas"),
        "Desired": status.get("desiredReplicas"),
    }


def _autoscaler(body: Object) -> list[Any]:
    spec = _spec(body)
    return [body["metadata"]["name"], spec.get("minimum"), spec.get("maximum"), _status(body).get("desiredReplicas")]


def _pod(pod: Object) -> list[Any]:
    restarts = sum(c.get("restartCount") or 0 for c in (pod.get("status") or {}).get("containerStatuses") or ())
    node = (pod.get("spec") or {}).get("nodeName")
    return [
        pod["metadata"]["name"],
        pod_status(pod),
        restarts,
        node,
        output.age(pod["metadata"].get("creationTimestamp")),
    ]


def _event(event: Object) -> list[Any]:
    about = event.get("involvedObject") or {}
    since = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    message = " ".join(str(event.get("message") or "").split())
    return [
        output.age(since),
        event.get("type"),
        event.get("reason"),
        f"{about.get('kind')}/{about.get('name')}",
        message,
    ]


def _ready(groups: Iterable[Object]) -> str:
    """``ready/wanted`` of worker groups."""
    ready = wanted = 0
    for group in groups:
        ready += (group.get("status") or {}).get("readyReplicas") or 0
        replicas = (_spec(group).get("worker") or {}).get("replicas")
        wanted += 1 if replicas is None else replicas
    return f"{ready}/{wanted}"


def _spec(body: Object) -> Object:
    return body.get("spec") or {}


def _status(body: Object) -> Object:
    return body.get("status") or {}


def _image(body: Object, part: str) -> Any:
    """The image of the first container of a part of a spec."""
    pod_spec = (_spec(body).get(part) or {}).get("spec") or {}
    return (pod_spec.get("containers") or [{}])[0].get("image")
