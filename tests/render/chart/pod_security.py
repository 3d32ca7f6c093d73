"""The Pod Security Standard "restricted".

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/. Only what the API server's admission
would refuse is listed; Windows is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_VOLUME_TYPES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SECCOMP_TYPES = {"RuntimeDefault", "Localhost"}


def violations(pod_spec: dict[str, Any]) -> list[str]:
    """Return what in a pod spec the standard forbids, one sentence each."""
    pod = pod_spec.get("securityContext") or {}
    found = [f"{field} is true" for field in ("hostNetwork", "hostPID", "hostIPC") if pod_spec.get(field)]
    if pod.get("sysctls"):
        found.append("sysctls are set")
    for volume in pod_spec.get("volumes", []):
        types = set(volume) - {"name"}
        if not types <= _VOLUME_TYPES:
            found.append(f"volume {volume['name']} is of type {sorted(types)}")
    for each in pod_spec.get("initContainers", []) + pod_spec["containers"]:
        found += [f"container {each['name']}: {what}" for what in _container_violations(each, pod)]
    return found


def _container_violations(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext") or {}
    both = {**pod, **own}
    capabilities = own.get("capabilities") or {}
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if "ALL" not in capabilities.get("drop", []):
        yield "capability ALL is not dropped"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"capabilities {capabilities['add']} are added"
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if both.get("runAsUser") == 0:
        yield "runAsUser is 0"
    if (both.get("seccompProfile") or {}).get("type") not in _SECCOMP_TYPES:
        yield "no seccompProfile"
    if (both.get("appArmorProfile") or {}).get("type") == "Unconfined":
        yield "AppArmor is unconfined"
    if own.get("procMount", "Default") != "Default":
        yield "procMount is set"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "a host port is taken"
