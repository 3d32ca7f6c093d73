"""How the end-to-end tests read the API server's audit log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ci import audit
from tests.rights import Account, Right, asked_by_operators, granted

pytestmark = pytest.mark.unit

BEGAN_AT = datetime(2026, 11, 21, tzinfo=UTC)
OPERATOR = Account("team", "dask-dask-kubernetes-operator")
LIST_PODS = Right("", "pods", "list")


class Log:
    """An audit log that is written an event a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._events: list[dict[str, Any]] = []
        self._now = BEGAN_AT
        monkeypatch.setattr(audit, "read", lambda _: iter(self._events))

    def write(self, user: str, verb: str, code: int = 200, decision: str = "allow", **reference: str) -> None:
        self._now += timedelta(seconds=1)
        self._events.append(
            {
                "requestReceivedTimestamp": self._now.isoformat(),
                "requestURI": "/version",
                "user": {"username": user},
                "verb": verb,
                "objectRef": reference,
                "responseStatus": {"code": code},
                "annotations": {"authorization.k8s.io/decision": decision},
            }
        )

    def bind(self, verb: str, code: int = 200, name: str = OPERATOR.name) -> None:
        binding = {"resource": "rolebindings", "namespace": OPERATOR.namespace, "name": name}
        self.write("kubernetes-admin", verb, code, **binding)

    def list_pods(self, user: str = OPERATOR.user, code: int = 200, decision: str = "allow") -> None:
        self.write(user, "list", code, decision, resource="pods", namespace="team")

    def denied(self, since: datetime = BEGAN_AT) -> list[Right]:
        return [request.right for request in asked_by_operators("test", since) if request.denied]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log(monkeypatch)


def test_a_denial_is_told_from_other_refusals(log: Log) -> None:
    log.list_pods(code=403, decision="allow")  # a quota, or a namespace on its way out
    assert log.denied() == []
    log.list_pods(code=403, decision="forbid")
    assert log.denied() == [LIST_PODS]


@pytest.mark.parametrize("first", [OPERATOR.name, f"{OPERATOR.name}-leader-election"])
def test_a_release_that_is_being_uninstalled_is_excused_until_it_is_installed_again(log: Log, first: str) -> None:
    log.bind("create")
    log.bind("delete", name=first)
    log.list_pods(code=403, decision="forbid")
    assert log.denied() == []
    log.bind("create")
    log.list_pods(code=403, decision="forbid")
    assert log.denied() == [LIST_PODS]


def test_a_binding_that_could_not_be_deleted_is_there(log: Log) -> None:
    log.bind("delete", code=404)
    log.list_pods(code=403, decision="forbid")
    assert log.denied() == [LIST_PODS]


def test_other_accounts_and_earlier_runs_are_left_out(log: Log) -> None:
    log.list_pods(user="kubernetes-admin", decision="forbid")
    log.list_pods(user="system:serviceaccount:team:default", decision="forbid")
    assert log.denied() == []
    log.list_pods(decision="forbid")
    assert log.denied(since=BEGAN_AT + timedelta(seconds=10)) == []


def test_subresources_and_paths_have_names_of_their_own(log: Log) -> None:
    log.write(OPERATOR.user, "patch", apiGroup="kubernetes.dask.org", resource="daskjobs", subresource="status")
    log.write(OPERATOR.user, "get")
    status, version = asked_by_operators("test", BEGAN_AT)
    assert (status.account, status.right) == (OPERATOR, Right("kubernetes.dask.org", "daskjobs/status", "patch"))
    assert (version.right, version.namespace) == (Right("", "/version", "get"), "")


def test_rules_are_spelled_out() -> None:
    rules = [{"apiGroups": ["", "apps"], "resources": ["a", "b/status"], "verbs": ["get"]}]
    assert granted(rules) == {
        Right(group, resource, "get") for group in ("", "apps") for resource in ("a", "b/status")
    }
