"""Health checks run as Argo CD and Flux run them, on an object as the API server returns it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import cel
import yaml
from lupa import lua51

REPOSITORY = Path(__file__).resolve().parents[3]
ARGOCD = REPOSITORY / "kustomize" / "argocd"
CHECKS = ARGOCD / "resource_customizations" / "kubernetes.dask.org"
KINDS = ("DaskAutoscaler", "DaskCluster", "DaskJob", "DaskWorkerGroup")

# What Argo CD takes for the health of a resource.
HEALTHS = {"Healthy", "Progressing", "Suspended", "Degraded", "Missing", "Unknown"}
# What Flux is to call what Argo CD calls so.
IN_FLUX = {"Healthy": "Current", "Suspended": "Current", "Progressing": "InProgress", "Degraded": "Failed"}

Object = dict[str, Any]

# All that is left when Argo CD runs a script that a user configured; methods of strings go with their library.
_SANDBOX = """
getmetatable("").__index = nil
string, math, io, os, debug, python = nil
"""


def argocd_health(kind: str, body: Object) -> tuple[str, str]:
    """Status and message that the script for a kind returns.

    Raises:
        LuaError: the script fails.
    """
    lua = sandbox()
    lua.globals().obj = lua.table_from(body, recursive=True)
    answer = lua.execute((CHECKS / kind / "health.lua").read_text())
    return str(answer.status), str(answer.message)


def sandbox() -> Any:
    """A Lua 5.1 with base and table functions alone."""
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute(_SANDBOX)
    return lua


def flux_health(kind: str, body: Object) -> str:
    """``InProgress``, ``Failed``, ``Current``; ``Unknown`` where an expression asks for a status that is not there.

    The order, and that an edit not seen yet comes first, is Flux's: its RFC 0009.
    """
    status = body.get("status", {})
    if status.get("observedGeneration") not in (None, body["metadata"]["generation"]):
        return "InProgress"
    expressions = _expressions()[kind]
    for outcome, key in (("InProgress", "inProgress"), ("Failed", "failed"), ("Current", "current")):
        if key not in expressions:
            continue
        try:
            holds = cel.evaluate(expressions[key], body)
        except RuntimeError:
            return "Unknown"
        assert isinstance(holds, bool)
        if holds:
            return outcome
    return "InProgress"


@functools.cache
def _expressions() -> dict[str, dict[str, str]]:
    documents = yaml.safe_load_all((REPOSITORY / "kustomize/flux/clusters/clusters.yaml").read_text())
    (sync,) = (one for one in documents if one["kind"] == "Kustomization")
    return {each["kind"]: each for each in sync["spec"]["healthCheckExprs"]}
