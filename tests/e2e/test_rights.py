"""The operator has the rights that it uses, and uses the rights that it has: what the audit log says of the suite.

The suite puts this file last, see conftest.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from pytest_kind import KindCluster

from ci import cluster as clusters
from ci import nodes
from tests.conftest import RELEASE
from tests.platform import CLUSTER_NAME_LABEL, OPERATOR_NAMESPACE, Object, Platform, dask_cluster, eventually
from tests.rights import ACCOUNT_SUFFIX, Account, Request, Right, asked_by_operators, granted, roles_of

pytestmark = pytest.mark.e2e

ACCOUNT = Account(OPERATOR_NAMESPACE, f"{RELEASE}-{ACCOUNT_SUFFIX}")

# No request is for these: the admission plugin OwnerReferencesPermissionEnforcement looks whether they are there.
# tests/apiserver/test_rights.py has it look.
ASKED_OF_BY_ADMISSION = {
    Right("kubernetes.dask.org", f"{plural}/finalizers", "update")
    for plural in ("daskclusters", "daskworkergroups", "daskjobs")
}


@pytest.fixture
def asked(kind_cluster: KindCluster, began_at: datetime) -> list[Request]:
    """All that the suite's operators have asked for."""
    if clusters.is_existing():
        pytest.skip("CLUSTER=existing: the audit log of a cluster of yours is not at hand")
    return list(asked_by_operators(kind_cluster.name, began_at))


def test_finalizers_of_the_public_operator_keep_nothing(platform: Platform) -> None:
    left = {"name": "left", "finalizers": ["kopf.zalando.org/KopfFinalizerMarker"]}
    cluster = {**dask_cluster("left", platform.dask_image, replicas=0), "metadata": left}
    rules = {"cluster": "left", "minimum": 0, "maximum": 1}
    autoscaler = {"apiVersion": cluster["apiVersion"], "kind": "DaskAutoscaler", "metadata": left, "spec": rules}
    platform.apply(cluster, autoscaler)
    platform.kubectl("delete", "daskcluster,daskautoscaler", "left", "--timeout=60s")


def test_what_a_deleted_cluster_leaves_goes_without_garbage_collection(platform: Platform) -> None:
    if clusters.is_existing():
        pytest.skip("CLUSTER=existing: the controllers of a cluster of yours are not stopped")
    platform.apply(dask_cluster("bulk", platform.dask_image, replicas=1))
    platform.wait("condition=Ready", "daskcluster/bulk")

    def remains() -> list[Object]:
        # The Pod of a Deployment is its ReplicaSet's, and not the operator's to delete.
        kinds = platform.find("daskworkergroups,services,deployments", f"{CLUSTER_NAME_LABEL}=bulk")
        return [*kinds, *platform.pods("bulk")]

    with controllers_paused(platform.kind.name):
        platform.kubectl("delete", "daskcluster", "bulk", "--wait=false")
        eventually("nothing left that the operator made", remains, lambda found: not found)


@contextmanager
def controllers_paused(cluster: str) -> Iterator[None]:
    """Have Kubernetes' own controllers, garbage collection among them, do nothing."""
    (node,) = nodes.of_cluster(cluster)

    def send(signal: str) -> None:
        command = f"kill -{signal} $(pidof kube-controller-manager)"
        subprocess.run(["docker", "exec", node.container, "sh", "-c", command], check=True, timeout=30)

    send("STOP")
    try:
        yield
    finally:
        send("CONT")


@pytest.mark.usefixtures("operator")
def test_nothing_was_denied(asked: list[Request]) -> None:
    assert asked, "the operator is not in the log at all"
    assert [request for request in asked if request.denied] == []


@pytest.mark.usefixtures("operator", "whole_suite")
def test_every_right_was_used(kind_cluster: KindCluster, asked: list[Request]) -> None:
    roles = list(roles_of(kind_cluster, ACCOUNT))
    has = {right for role in roles for right in granted(role["rules"])}
    assert len(has) > len(ASKED_OF_BY_ADMISSION)
    used = {request.right for request in asked if not request.denied}
    assert has - used == ASKED_OF_BY_ADMISSION
