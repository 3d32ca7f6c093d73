"""The operator as a process on a real API server: its rights, replicas and plugins, how it starts and how it ends."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import yaml

from ci import tools
from tests.apiserver.conftest import ROOT, install_crds
from tests.apiserver.operator_process import OperatorProcess, free_port, kubeconfig_of, operator
from tests.apiserver.server import ApiServer, resource_path
from tests.unit.controller.test_plugins import documented, install, write

pytestmark = pytest.mark.apiserver

CHART = ROOT / "chart" / "dask-kubernetes-operator"
NAME = "dask-dask-kubernetes-operator"
CLUSTER = yaml.safe_load((ROOT / "tests/apiserver/manifests/simple-cluster.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def namespace(server: ApiServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:50].strip("-")
    server.kubectl("create", "namespace", name)
    yield name
    server.kubectl("delete", "namespace", name, "--wait=false")


def create_cluster(server: ApiServer, namespace: str, **metadata: Any) -> dict[str, Any]:
    body = {**CLUSTER, "metadata": {"name": "simple", **metadata}}
    answer = server.request("POST", resource_path(body, namespace), body)
    assert answer.status == 201, answer.message
    return answer.body


def wait_for(server: ApiServer, namespace: str, what: str, condition: str = "create") -> None:
    waited = server.kubectl("wait", "-n", namespace, f"--for={condition}", what, "--timeout=60s")
    assert waited.returncode == 0, waited.stderr


def holder(server: ApiServer, namespace: str) -> str:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{NAME}"
    return str(server.request("GET", path).body["spec"]["holderIdentity"])


def leases(namespace: str, name: str = "one") -> dict[str, str]:
    """What the chart tells a pod."""
    return {
        "DASK_OPERATOR_LEADER_ELECTION": "true",
        "DASK_OPERATOR_LEASE_NAME": NAME,
        "POD_NAMESPACE": namespace,
        "POD_NAME": name,
        "POD_UID": f"uid-of-{name}",
    }


def install_rights(server: ApiServer, namespace: str) -> None:
    """What the chart gives to an operator that serves its own namespace alone."""
    rendered = subprocess.run(
        [
            *(str(tools.ensure(["helm"])["helm"]), "template", "dask", str(CHART), f"--namespace={namespace}"),
            *("--set=crds.enabled=false", "--set=rbac.cluster=false", f"--set=kopfArgs={{--namespace={namespace}}}"),
            *("--show-only=templates/rbac.yaml", "--show-only=templates/serviceaccount.yaml"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    applied = server.kubectl("apply", "-f", "-", stdin=rendered.stdout)
    assert applied.returncode == 0, applied.stderr


def test_rights_in_one_namespace_are_all_it_needs(server: ApiServer, namespace: str, tmp_path: pathlib.Path) -> None:
    install_rights(server, namespace)
    kubeconfig = kubeconfig_of(server, namespace, NAME, tmp_path)
    with operator(kubeconfig, tmp_path / "log", f"--namespace={namespace}", environ=leases(namespace)) as one:
        one.wait_until("/readyz", 200)
        mine = create_cluster(server, namespace)
        create_cluster(server, "default", annotations={"left": "alone"})
        wait_for(server, namespace, "daskcluster/simple", "jsonpath={.status.phase}=Running")
        for what in ("deployment/simple-scheduler", "service/simple-scheduler", "daskworkergroup/simple-default"):
            wait_for(server, namespace, what)
        assert one.get("/healthz") == (200, "ok\n")
        assert 'dask_operator_clusters{phase="Running"} 1.0' in one.get("/metrics")[1]
        now = server.request("GET", resource_path(mine, namespace, named=True)).body
        others = server.request("GET", resource_path({**mine, "metadata": {"name": "simple"}}, named=True)).body
        assert (one.stop(), holder(server, namespace)) == (0, "")
    assert now["spec"] == mine["spec"]
    assert now["metadata"].keys() == mine["metadata"].keys(), "no finalizer, no annotation"
    assert "status" not in others
    assert "orbidden" not in one.tail()
    server.request("DELETE", resource_path(others, named=True))


def test_finalizers_of_the_public_operator_are_taken_away(
    server: ApiServer, namespace: str, tmp_path: pathlib.Path
) -> None:
    install_rights(server, namespace)
    marked = {"finalizers": ["kopf.zalando.org/KopfFinalizerMarker"]}
    created = create_cluster(server, namespace, **marked)
    autoscaler = {
        "apiVersion": created["apiVersion"],
        "kind": "DaskAutoscaler",
        "metadata": {"name": "on-its-way-out", **marked},
        "spec": {"cluster": "simple", "minimum": 1, "maximum": 2},
    }
    assert server.request("POST", resource_path(autoscaler, namespace), autoscaler).status == 201
    server.request("DELETE", resource_path(autoscaler, namespace, named=True))
    kubeconfig = kubeconfig_of(server, namespace, NAME, tmp_path)
    with operator(kubeconfig, tmp_path / "log", f"--namespace={namespace}", environ=leases(namespace)) as one:
        wait_for(server, namespace, "daskautoscaler/on-its-way-out", "delete")
        wait_for(server, namespace, "daskcluster/simple", "jsonpath={.status.phase}=Running")
        assert (
            "finalizers" not in server.request("GET", resource_path(created, namespace, named=True)).body["metadata"]
        )
        assert "orbidden" not in one.tail()


def test_replica_that_was_killed_is_replaced(server: ApiServer, namespace: str, tmp_path: pathlib.Path) -> None:
    def replica(name: str) -> AbstractContextManager[OperatorProcess]:
        environ = {**leases(namespace, name), "DASK_OPERATOR_LEASE_SECONDS": "3"}
        return operator(server.kubeconfig, tmp_path / name, f"--namespace={namespace}", environ=environ)

    with replica("first") as first:
        first.wait_until("/metrics", 200, "dask_operator_leader 1.0")
        with replica("second") as second:
            second.wait_until("/readyz", 200)
            assert "dask_operator_leader 0.0" in second.get("/metrics")[1]
            first.kill()
            create_cluster(server, namespace)
            wait_for(server, namespace, "daskcluster/simple", "jsonpath={.status.phase}=Running")
            assert holder(server, namespace) == "second_uid-of-second"
            with replica("third") as third:
                third.wait_until("/readyz", 200)
                assert second.stop() == 0
                third.wait_until("/metrics", 200, "dask_operator_leader 1.0")
                third.wait_until("/metrics", 200, 'dask_operator_clusters{phase="Running"} 1.0')


def test_start_without_definitions_waits_for_them(
    start_server: Callable[[], AbstractContextManager[ApiServer]], tmp_path: pathlib.Path
) -> None:
    with start_server() as server, operator(server.kubeconfig, tmp_path / "log", "--all-namespaces") as one:
        one.wait_until("/readyz", 503, "install the custom resource definitions of kubernetes.dask.org")
        assert one.get("/healthz") == (200, "ok\n")
        install_crds(server)
        one.wait_until("/readyz", 200)
        create_cluster(server, "default")
        wait_for(server, "default", "deployment/simple-scheduler")


def test_definitions_that_are_deleted_end_it_for_a_new_start(
    start_server: Callable[[], AbstractContextManager[ApiServer]], tmp_path: pathlib.Path
) -> None:
    with start_server() as server:
        install_crds(server)
        with operator(server.kubeconfig, tmp_path / "log", "--all-namespaces") as one:
            one.wait_until("/readyz", 200)
            server.kubectl("delete", "crds", "--all", "--wait=false")
            assert one.process.wait(timeout=60) == 1, "by itself, and not by a signal"


def test_plugin_of_the_documentation_works(server: ApiServer, namespace: str, tmp_path: pathlib.Path) -> None:
    install(write(tmp_path / "source", documented()), tmp_path / "site")
    port = free_port()
    flags = (f"--namespace={namespace}", f"--liveness=http://127.0.0.1:{port}/healthz")
    with operator(
        server.kubeconfig, tmp_path / "log", *flags, environ=leases(namespace), site=tmp_path / "site"
    ) as one:
        one.wait_until("/readyz", 200)
        cluster = create_cluster(server, namespace)
        hostname = r"jsonpath={.metadata.annotations.external-dns\.alpha\.kubernetes\.io/hostname}"
        wait_for(server, namespace, "service/simple-scheduler")
        wait_for(server, namespace, "service/simple-scheduler", f"{hostname}=simple.{namespace}.dask.example.org")
        now = server.request("GET", resource_path(cluster, namespace, named=True)).body
        assert one.get("/healthz", port) == (200, '{"alive": "ok"}'), "kopf's own liveness is as it ever was"
        assert one.stop() == 0
    assert now["metadata"].keys() == cluster["metadata"].keys()
    assert "plugin my_controller_plugin (my-controller-plugin 1.0.0) is loaded" in one.log.read_text("utf-8")
    assert f"named simple.{namespace}.dask.example.org" in one.log.read_text("utf-8")


def test_port_that_is_taken_is_told_in_a_sentence(server: ApiServer, tmp_path: pathlib.Path) -> None:
    taken = server.kubeconfig.read_text("utf-8").split("https://127.0.0.1:")[1].split('"')[0]
    with operator(server.kubeconfig, tmp_path / "log", "-A", environ={"DASK_OPERATOR_HTTP_PORT": taken}) as one:
        assert one.process.wait(timeout=60) == 1
    assert one.tail() == (
        "The operator cannot start: DASK_OPERATOR_HTTP_PORT: health and metrics cannot be served on port "
        f"{taken}: Address already in use; set it to another port, or to 0 to serve neither\n"
    )
