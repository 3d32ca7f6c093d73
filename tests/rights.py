"""Rights to Kubernetes' API: what roles give, and what the audit log says that operators asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pytest_kind import KindCluster

from ci import audit

Object = dict[str, Any]

#: What the chart calls the operator's ServiceAccount and the bindings of its roles, after the name of the release.
ACCOUNT_SUFFIX = "dask-kubernetes-operator"

_ACCOUNT_PREFIX = "system:serviceaccount:"
_BINDINGS = ("rolebindings", "clusterrolebindings")
# A release has a binding of this name too.
_LEASES_SUFFIX = "-leader-election"


class Right(NamedTuple):
    """To do something with a kind: ``("kubernetes.dask.org", "daskclusters/status", "patch")``."""

    group: str
    resource: str
    verb: str


class Account(NamedTuple):
    """A ServiceAccount."""

    namespace: str
    name: str

    @property
    def user(self) -> str:
        """What the API server calls it."""
        return f"{_ACCOUNT_PREFIX}{self.namespace}:{self.name}"


@dataclass(frozen=True)
class Request:
    """What an operator asked for.

    Attributes:
        account: who asked.
        right: what it takes; for what is no resource the path stands for one, such as ``/version``.
        namespace: in which one; empty for all of them, and for what is in none.
        denied: whether access rules were in the way, and not, say, a quota.
    """

    account: Account
    right: Right
    namespace: str
    denied: bool


def granted(rules: Iterable[Object]) -> set[Right]:
    """What the rules of a role give."""
    return {
        Right(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def roles_of(kind: KindCluster, account: Account) -> Iterator[Object]:
    """The roles that are bound to a ServiceAccount, cluster-wide ones included."""
    bindings = json.loads(kind.kubectl("get", "rolebindings,clusterrolebindings", "-A", "-o", "json"))["items"]
    subject = {"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}
    for binding in bindings:
        if subject in binding.get("subjects", ()):
            reference = binding["roleRef"]
            place = binding["metadata"].get("namespace", account.namespace)
            yield json.loads(kind.kubectl("get", reference["kind"], reference["name"], "-n", place, "-o", "json"))


def asked_by_operators(cluster: str, since: datetime) -> Iterator[Request]:
    """What the operators on a kind cluster have asked for, whatever their release is called.

    What is asked for while a release is being uninstalled, when its rights are gone already, is left out.
    """
    unbound: set[Account] = set()
    for event in audit.read(cluster):
        if datetime.fromisoformat(event["requestReceivedTimestamp"]) < since:
            continue
        reference = event.get("objectRef", {})
        if reference.get("resource") in _BINDINGS and event.get("responseStatus", {}).get("code", 0) < 300:
            name = reference.get("name", "").removesuffix(_LEASES_SUFFIX)
            bound = Account(reference.get("namespace", ""), name)
            (unbound.discard if event["verb"] == "create" else unbound.add)(bound)
        if request := _request(event):
            account = request.account
            if not request.denied or not unbound & {account, Account("", account.name)}:
                yield request


def _request(event: Object) -> Request | None:
    user = event["user"]["username"]
    namespace, _, name = user.removeprefix(_ACCOUNT_PREFIX).partition(":")
    if not (user.startswith(_ACCOUNT_PREFIX) and name.endswith(ACCOUNT_SUFFIX)):
        return None
    reference = event.get("objectRef", {})
    resource = "/".join(filter(None, (reference.get("resource"), reference.get("subresource"))))
    return Request(
        account=Account(namespace, name),
        right=Right(reference.get("apiGroup", ""), resource or event["requestURI"], event["verb"]),
        namespace=reference.get("namespace", ""),
        denied=event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid",
    )
