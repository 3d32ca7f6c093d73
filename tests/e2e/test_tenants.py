"""Operators that serve some namespaces each: the install of one team is no matter of the other's."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from pytest_kind import KindCluster

from ci import cluster as clusters
from scripts import images
from tests.conftest import RELEASE, installed
from tests.platform import CUSTOM_RESOURCES, Object, Platform, dask_cluster, eventually, restricted_namespace
from tests.rights import ACCOUNT_SUFFIX, Account, Right, asked_by_operators, granted, roles_of

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "restricted-cluster.yaml"
NAME = "restricted"


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest, kind_cluster: KindCluster) -> KindCluster:
    """A cluster that has the definitions, and no operator that serves all namespaces."""
    if not request.config.getoption("single_namespace"):
        pytest.skip("the suite's own operator serves all namespaces, unless it is run with --single-namespace")
    request.getfixturevalue("operator")
    return kind_cluster


@pytest.fixture(scope="module")
def tenants(shared: KindCluster, built: images.Built) -> Iterator[tuple[Platform, Platform]]:
    """Two namespaces that admit restricted Pods only, with an operator in each as the documentation installs it."""
    token = secrets.token_hex(3)
    names = [f"e2e-tenant-{letter}-{token}" for letter in "ab"]
    with ExitStack() as stack:
        for name in names:
            shared.kubectl("apply", "-f", "-", input=json.dumps(restricted_namespace(name)))
            stack.callback(shared.kubectl, "delete", "namespace", name, "--wait=false")
            values = ("rbac.cluster=false", f"kopfArgs={{--namespace={name}}}", "crds.enabled=false")
            stack.enter_context(installed(shared, built, name, *(f"--set={value}" for value in values)))
        first, second = (Platform(shared, name, built.dask, name) for name in names)
        yield first, second


def example(image: str) -> Object:
    """The documented cluster for such a namespace, with an image that the nodes hold."""
    cluster: Object = yaml.safe_load(EXAMPLE.read_text())
    for part in ("scheduler", "worker"):
        cluster["spec"][part]["spec"]["containers"][0]["image"] = image
    return cluster


def made(platform: Platform) -> dict[str, object]:
    """What there is in a namespace, and which edit of it."""
    found = platform.find(f"{CUSTOM_RESOURCES},deployments,services,pods")
    return {one["metadata"]["uid"]: (one["kind"], one["metadata"].get("generation")) for one in found}


def rights(platform: Platform, account: str) -> str:
    """What a ServiceAccount of a namespace may do where it has no business."""
    user = Account(platform.namespace, account).user
    return str(platform.kind.kubectl("auth", "can-i", "--list", f"--as={user}", "--namespace=default"))


def test_what_happens_in_one_namespace_leaves_the_other_alone(
    shared: KindCluster, tenants: tuple[Platform, Platform], began_at: datetime
) -> None:
    for tenant in tenants:
        tenant.apply(example(tenant.dask_image))
    for tenant in tenants:
        tenant.wait("condition=Ready", f"daskcluster/{NAME}")
        with tenant.client(NAME) as client:
            assert client.submit(sum, [1, 2]).result(timeout=60) == 3
    first, second = tenants
    before = made(second)

    first.kubectl("scale", f"daskworkergroup/{NAME}-default", "--replicas=1")
    eventually("1 worker", lambda: first.pods(NAME), lambda pods: len(pods) == 1)
    first.kubectl("delete", f"daskcluster/{NAME}")
    eventually("nothing left", first.remains, lambda found: not found)
    assert made(second) == before

    account = f"{RELEASE}-{ACCOUNT_SUFFIX}"
    for tenant in tenants:
        assert rights(tenant, account) == rights(tenant, "default"), "what everybody may do, and no more"
    if clusters.is_existing():
        return  # the audit log is not at hand
    accounts = {Account(tenant.namespace, account) for tenant in tenants}
    asked = [request for request in asked_by_operators(shared.name, began_at) if request.account in accounts]
    assert {request.account for request in asked} == accounts
    of_resources = [request for request in asked if not request.right.resource.startswith("/")]
    assert [request for request in of_resources if request.namespace != request.account.namespace] == []
    assert [request for request in asked if request.denied] == []


def test_a_cluster_that_is_not_admitted_says_why(tenants: tuple[Platform, Platform]) -> None:
    _, tenant = tenants
    tenant.apply(dask_cluster("plain", tenant.dask_image, replicas=1))
    degraded = eventually(
        "Degraded",
        lambda: condition(tenant, "plain", "Degraded"),
        lambda found: found.get("status") == "True",
    )
    assert "violates PodSecurity" in degraded["message"]
    tenant.kubectl("delete", "daskcluster", "plain")


def test_a_namespace_that_is_made_later_is_served_if_it_matches_a_pattern(
    shared: KindCluster, built: images.Built, began_at: datetime
) -> None:
    token = secrets.token_hex(3)
    own, matching = (f"e2e-pattern-{token}", f"e2e-team-{token}-a")
    values = (f"watchNamespaces={{e2e-team-{token}-*}}", "crds.enabled=false")
    with ExitStack() as stack:
        stack.callback(shared.kubectl, "delete", "namespace", own, matching, "--ignore-not-found", "--wait=false")
        stack.enter_context(installed(shared, built, own, *(f"--set={value}" for value in values)))
        shared.kubectl("create", "namespace", matching)
        team = Platform(shared, matching, built.dask, own)
        team.apply(dask_cluster("late", built.dask, replicas=0))
        team.wait("condition=Ready", "daskcluster/late")
        account = Account(own, f"{RELEASE}-{ACCOUNT_SUFFIX}")
        if clusters.is_existing():
            return  # the audit log is not at hand
        asked = [request for request in asked_by_operators(shared.name, began_at) if request.account == account]
        to_find_them = {
            Right(group, kind, verb)
            for group, kind in (("", "namespaces"), ("apiextensions.k8s.io", "customresourcedefinitions"))
            for verb in ("list", "watch")
        }
        given = {right for role in roles_of(shared, account) for right in granted(role["rules"])}
        assert to_find_them <= given & {request.right for request in asked}
        assert [request for request in asked if request.denied] == []


def condition(platform: Platform, cluster: str, kind: str) -> Object:
    """One of a cluster's conditions; empty when there is none."""
    conditions = platform.get("daskcluster", cluster).get("status", {}).get("conditions", ())
    return next((dict(entry) for entry in conditions if entry["type"] == kind), {})
