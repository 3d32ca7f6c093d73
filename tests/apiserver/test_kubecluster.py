"""The client against a real API server: what it may do, what is refused, and in which words."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, aclosing
from typing import Any

import pytest
import yaml

from dask_kubernetes.exceptions import (
    ConflictError,
    ForbiddenError,
    InvalidObjectError,
    NotFoundError,
    NotInstalledError,
    OperatorNotRunningError,
    UnauthorizedError,
)
from dask_kubernetes.operator import KubeCluster, make_autoscaler_spec, make_cluster_spec, make_worker_group_spec
from dask_kubernetes.operator.api import DASK_AUTOSCALERS, DASK_CLUSTERS, DASK_WORKER_GROUPS, PODS, Api, client
from tests.apiserver.conftest import ROOT
from tests.apiserver.operator_process import operator
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver

ROLE = next(yaml.safe_load_all((ROOT / "examples" / "user-role.yaml").read_text()))
NAMESPACE = "kubecluster"


@pytest.fixture
def there(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """The API server as the client's, with a namespace that is deleted afterwards."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    server.kubectl("create", "namespace", NAMESPACE)
    yield server
    server.kubectl("delete", "daskclusters,daskworkergroups,daskautoscalers", "--all", "--namespace", NAMESPACE)


def names(server: ApiServer, kind: str) -> list[str]:
    """The names of the objects of a kind in the namespace."""
    listed = server.kubectl("get", kind, "--namespace", NAMESPACE, "--output", "json")
    return [item["metadata"]["name"] for item in json.loads(listed.stdout)["items"]]


@pytest.mark.usefixtures("there")
async def test_objects_and_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that the watch ends and is begun again while it is looked at.
    monkeypatch.setattr(client, "WATCH_SECONDS", 2)
    async with (
        await Api.connect() as api,
        aclosing(api.watch(DASK_WORKER_GROUPS, NAMESPACE)) as events,
        asyncio.timeout(30),
    ):
        assert (await anext(events)).type == "SYNCED"
        made = await api.create(DASK_CLUSTERS, make_cluster_spec("one"), NAMESPACE)
        with pytest.raises(ConflictError, match="daskclusters/one in the namespace 'kubecluster'"):
            await api.create(DASK_CLUSTERS, make_cluster_spec("one"), NAMESPACE)
        await api.create(DASK_WORKER_GROUPS, make_worker_group_spec("more", "one"), NAMESPACE)
        assert (await anext(events)).object["metadata"]["name"] == "one-more"
        await asyncio.sleep(3)  # the watch of before is over
        await api.scale(DASK_WORKER_GROUPS, "one-more", 7, NAMESPACE)
        event = await anext(events)
        assert (event.type, event.object["spec"]["worker"]["replicas"]) == ("MODIFIED", 7)
        owner = {
            "apiVersion": made["apiVersion"],
            "kind": made["kind"],
            "name": "one",
            "uid": made["metadata"]["uid"],
        }
        autoscaler = make_autoscaler_spec("one")
        autoscaler["metadata"]["ownerReferences"] = [owner]
        assert (await api.create(DASK_AUTOSCALERS, autoscaler, NAMESPACE))["spec"]["minimum"] == 0
        assert await api.may("create", DASK_CLUSTERS, NAMESPACE)
        with pytest.raises(ConflictError):
            await api.delete(DASK_CLUSTERS, "one", NAMESPACE, uid="another")
        await api.delete(DASK_CLUSTERS, "one", NAMESPACE, uid=made["metadata"]["uid"])
        with pytest.raises(NotFoundError):
            await api.get(DASK_CLUSTERS, "one", NAMESPACE)


def test_nobody_takes_the_cluster_up(there: ApiServer) -> None:
    with pytest.raises(OperatorNotRunningError, match="no operator took up the DaskCluster lonely"):
        KubeCluster(name="lonely", namespace=NAMESPACE, resource_timeout=1)
    assert not names(there, "daskclusters")


def test_what_admission_refuses_names_the_field(there: ApiServer) -> None:
    spec = make_cluster_spec("refused")
    spec["spec"]["scheduler"]["service"]["ports"][0]["port"] = "eighty"
    with pytest.raises(InvalidObjectError, match=r"spec\.scheduler\.service\.ports\[0\]\.port"):
        KubeCluster(custom_cluster_spec=spec, namespace=NAMESPACE)
    assert not names(there, "daskclusters")


def test_with_the_role_of_the_documentation(there: ApiServer, tmp_path: pathlib.Path) -> None:
    kubeconfig = as_account(there, tmp_path, "notebook", ROLE["rules"])
    with pytest.raises(OperatorNotRunningError):
        KubeCluster(name="allowed", kubeconfig=kubeconfig, namespace=NAMESPACE, resource_timeout=1)
    assert not names(there, "daskclusters"), "it may delete what it made"


# The client is still waiting for a scheduler, which nobody starts here, and lives nevertheless.
LIVING = """
import sys
from dask_kubernetes.operator import KubeCluster

KubeCluster(name=sys.argv[1], client_timeout=int(sys.argv[2]), kubeconfig=sys.argv[3], namespace=sys.argv[4])
"""
TIMEOUT_SECONDS = 12
SEEN = "kubernetes.dask.org/client-seen"


def test_a_cluster_goes_when_its_client_was_killed(there: ApiServer, tmp_path: pathlib.Path) -> None:
    """With the role of the documentation, which gives no right to Leases."""
    kubeconfig = as_account(there, tmp_path, "notebook", ROLE["rules"])

    def client(name: str) -> subprocess.Popen[bytes]:
        arguments = (name, str(TIMEOUT_SECONDS), str(kubeconfig), NAMESPACE)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
        return subprocess.Popen([sys.executable, "-c", LIVING, *arguments], env=environment)

    def wait(name: str, condition: str) -> None:
        waiting = ("wait", f"daskcluster/{name}", "--namespace", NAMESPACE, f"--for={condition}", "--timeout=120s")
        assert (waited := there.kubectl(*waiting)).returncode == 0, waited.stderr

    def cluster(name: str) -> dict[str, Any]:
        got = there.kubectl("get", "daskcluster", name, "--namespace", NAMESPACE, "--output", "json")
        return dict(json.loads(got.stdout))

    with operator(there.kubeconfig, tmp_path / "log", f"--namespace={NAMESPACE}") as controller:
        controller.wait_until("/readyz", 200)
        with client("killed") as killed, client("living") as living:
            try:
                for name in ("killed", "living"):
                    wait(name, "create")
                    wait(name, r"jsonpath={.metadata.annotations.kubernetes\.dask\.org/client-seen}")
                    wait(name, "jsonpath={.status.phase}=Running")
                before = cluster("living")
                killed.kill()
                killed_at = time.monotonic()
                wait("killed", "delete")
                lasted_seconds = time.monotonic() - killed_at
                after = cluster("living")
                assert living.poll() is None
            finally:
                killed.kill()
                living.kill()
    # The last sign was given a quarter of the timeout before, and half a second in which nothing is written at most.
    assert lasted_seconds > TIMEOUT_SECONDS * 3 / 4 - 0.5
    assert after["metadata"]["annotations"][SEEN] > before["metadata"]["annotations"][SEEN]
    assert after["metadata"]["generation"] == before["metadata"]["generation"] == 1
    listed = there.kubectl("get", "events", "--namespace", NAMESPACE, "--output", "json")
    told = [event for event in json.loads(listed.stdout)["items"] if event["reason"] == "ClientTimeout"]
    assert [event["involvedObject"]["name"] for event in told] == ["killed"]


def test_the_secret_of_a_cluster_that_talks_tls(there: ApiServer, tmp_path: pathlib.Path) -> None:
    """Nobody collects garbage here, so that it can be looked at afterwards, and is in the way of the next cluster."""
    rules = [*ROLE["rules"], {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]
    given: dict[str, Any] = {"kubeconfig": as_account(there, tmp_path, "encrypting", rules), "namespace": NAMESPACE}
    with pytest.raises(OperatorNotRunningError):
        KubeCluster(name="secret", security=True, resource_timeout=1, **given)
    got = there.kubectl("get", "secret", "secret-tls", "--namespace", NAMESPACE, "--output", "json")
    made = json.loads(got.stdout)
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("DaskCluster", "secret")
    assert (made["type"], sorted(made["data"])) == ("kubernetes.io/tls", ["ca.crt", "tls.crt", "tls.key"])
    with pytest.raises(ConflictError, match="there is a Secret secret-tls in the namespace kubecluster"):
        KubeCluster(name="secret", security=True, resource_timeout=1, **given)
    assert not names(there, "daskclusters")
    left = there.kubectl("get", "secret", "secret-tls", "--namespace", NAMESPACE, "--output", "json")
    assert json.loads(left.stdout) == made


def test_secrets_that_may_not_be_created_are_told_and_nothing_is_left(
    there: ApiServer, tmp_path: pathlib.Path
) -> None:
    kubeconfig = as_account(there, tmp_path, "plain", ROLE["rules"])
    words = f"system:serviceaccount:{NAMESPACE}:plain lacks the verb 'create' on 'secrets'"
    with pytest.raises(ForbiddenError, match=words):
        KubeCluster(
            name="refused", security=True, shutdown_on_close=False, kubeconfig=kubeconfig, namespace=NAMESPACE
        )
    assert not names(there, "daskclusters")
    assert "refused-tls" not in names(there, "secrets")


def test_a_verb_that_is_missing_is_named(there: ApiServer, tmp_path: pathlib.Path) -> None:
    rules = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != "create"]} for rule in ROLE["rules"]]
    kubeconfig = as_account(there, tmp_path, "reader", rules)
    words = (
        f"system:serviceaccount:{NAMESPACE}:reader lacks the verb 'create' on 'daskclusters' of kubernetes.dask.org"
    )
    with pytest.raises(ForbiddenError, match=words):
        KubeCluster(name="refused", kubeconfig=kubeconfig, namespace=NAMESPACE)


async def test_credentials_that_are_none(there: ApiServer, tmp_path: pathlib.Path) -> None:
    config = with_token(there, tmp_path, "not a token")
    async with await Api.connect(str(config)) as api:
        with pytest.raises(UnauthorizedError, match="log in again"):
            await api.list(PODS)


async def test_the_operator_is_not_installed(
    start_server: Callable[..., AbstractContextManager[ApiServer]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_server() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        with pytest.raises(NotInstalledError, match="install the operator's chart"):
            await KubeCluster(name="foo", asynchronous=True)


def as_account(server: ApiServer, folder: pathlib.Path, name: str, rules: list[dict[str, Any]]) -> pathlib.Path:
    """A kubeconfig for a ServiceAccount that has some rights in the namespace."""
    api = "rbac.authorization.k8s.io"
    metadata = {"name": name, "namespace": NAMESPACE}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}
    items = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
            "subjects": [subject],
        },
    ]
    applied = server.kubectl("apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": items})
    assert applied.returncode == 0, applied.stderr
    token = server.kubectl("create", "token", name, "--namespace", NAMESPACE)
    assert token.returncode == 0, token.stderr
    return with_token(server, folder, token.stdout.strip())


def with_token(server: ApiServer, folder: pathlib.Path, token: str) -> pathlib.Path:
    """A kubeconfig with another token."""
    config = json.loads(server.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return path
