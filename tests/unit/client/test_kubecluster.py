"""KubeCluster against a small API server and a real scheduler: how it starts, works, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client
from distributed.core import Status
from ipywidgets import Button, IntText

from dask_kubernetes.exceptions import (
    ClusterExistsError,
    ClusterNotFoundError,
    ConflictError,
    CrashLoopBackOffError,
    ForbiddenError,
    ImagePullError,
    NotInstalledError,
    OperatorNotRunningError,
    QuotaExceededError,
    ResourceTimeoutError,
    SchedulerConnectionError,
    SchedulerStartupError,
    UnschedulableError,
    ValidationError,
    WorkerGroupNotFoundError,
)
from dask_kubernetes.operator import KubeCluster, discover, make_cluster_spec, make_worker_spec
from dask_kubernetes.operator.kubecluster import CreateMode

from .fake_api import FakeApi, refusal, until
from .fake_operator import FakeOperator, at_work

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("operator")]

ROOT = Path(__file__).parents[3]


@pytest.fixture
def operator(server: FakeApi) -> Iterator[FakeOperator]:
    """An operator with its API server; at the end there is no thread and no connection that was not there before."""
    with dask.config.set({"kubernetes.resource-timeout": 5}), at_work(server) as operator:
        yield operator
    assert not server.open_streams


def test_it_starts_computes_scales_adapts_and_goes(server: FakeApi) -> None:
    with KubeCluster(name="foo", n_workers=1) as cluster, Client(cluster) as client:
        assert cluster.status == Status.running
        assert client.submit(lambda x: x + 1, 1).result(10) == 2
        cluster.scale(2)
        cluster.wait_for_workers(2, timeout=10)
        cluster.adapt(minimum=1, maximum=5)
        autoscaler = server.objects["daskautoscalers", "default", "foo"]
        assert autoscaler["spec"] == {"cluster": "foo", "minimum": 1, "maximum": 5}
        assert autoscaler["metadata"]["ownerReferences"][0]["name"] == "foo"
        cluster.adapt()
        assert server.objects["daskautoscalers", "default", "foo"]["spec"]["minimum"] == 0
        cluster.scale(1)
        assert not server.named("daskautoscalers"), "scaling by hand ends adapting"
        assert repr(cluster).startswith("KubeCluster(foo, 'tcp://127.0.0.1:")
        assert cluster.get_logs() == cluster.logs() == {"foo-scheduler-0": "Scheduler at: somewhere\n"}
        assert "foo" in cluster._repr_html_()
    assert cluster not in KubeCluster._instances
    assert not server.named("daskclusters")
    cluster.close()


def test_the_tab_for_scaling_works(server: FakeApi) -> None:
    with KubeCluster(name="foo", n_workers=1, quiet=True) as cluster:
        tab = cluster._widget()
        request, scale, minimum, maximum, adapt = controls(tab)
        request.value = 3
        scale.click()
        assert server.objects["daskworkergroups", "default", "foo-default"]["spec"]["worker"]["replicas"] == 3
        minimum.value, maximum.value = 2, 5
        adapt.click()
        bounds = server.objects["daskautoscalers", "default", "foo"]["spec"]
        assert (bounds["minimum"], bounds["maximum"]) == (2, 5)


def controls(widget: Any) -> list[Any]:
    """What a person can type into or click on, in its order."""
    if isinstance(widget, (Button, IntText)):
        return [widget]
    return [found for child in getattr(widget, "children", ()) for found in controls(child)]


async def test_it_does_so_in_a_running_loop(server: FakeApi) -> None:
    async with (
        KubeCluster(name="foo", n_workers=1, asynchronous=True) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        assert await client.submit(lambda x: x + 1, 1) == 2
        await cluster.scale(2)
        await cluster.adapt(1, 2)
        await cluster.add_worker_group("more", n_workers=1)
        await cluster._wait_for_workers(2, timeout=10)
        assert list(await cluster.get_logs()) == ["foo-scheduler-0"]
        await cluster.delete_worker_group("more")
    assert not server.named("daskclusters")


async def test_it_can_be_awaited_more_than_once(server: FakeApi) -> None:
    cluster = KubeCluster(name="foo", n_workers=0, asynchronous=True)
    assert cluster.status == Status.created
    assert not server.requests, "nothing is sent before it is awaited"
    await asyncio.gather(cluster, cluster._start())
    assert await cluster is cluster
    assert server.count("create", "daskclusters") == 1
    await cluster.close()
    await cluster.close()
    with pytest.raises(ValueError, match="closed"):
        await cluster


async def test_two_in_one_loop(server: FakeApi) -> None:
    async with (
        KubeCluster(name="one", n_workers=1, asynchronous=True) as one,
        KubeCluster(name="two", n_workers=1, asynchronous=True) as two,
    ):
        assert one.scheduler_address != two.scheduler_address
        async with Client(two, asynchronous=True) as client:
            assert await client.submit(sum, [1, 2]) == 3
    assert not server.named("daskclusters")


# Creating and connecting


def test_connecting_leaves_the_cluster_as_it_is(server: FakeApi) -> None:
    with KubeCluster(name="foo", n_workers=1, jupyter=True, env={"A": "1"}) as cluster:
        with KubeCluster.from_name("foo") as other:
            assert other.jupyter_link.endswith("/jupyter/lab")
            assert other.env == [{"name": "A", "value": "1"}]
            assert other.n_workers == 1
            other.scale(2)
        with KubeCluster(name="foo") as third:
            assert third.shutdown_on_close is False
        assert server.named("daskclusters") == ["foo"]
        cluster.wait_for_workers(2, timeout=10)
    with KubeCluster(name="foo", n_workers=0, shutdown_on_close=False):
        pass
    assert server.named("daskclusters") == ["foo"]
    KubeCluster.from_name("foo", shutdown_on_close=True).close()
    assert not server.named("daskclusters")


def test_create_only_and_connect_only(server: FakeApi) -> None:
    with pytest.raises(ClusterNotFoundError, match="no cluster foo in the namespace default"):
        KubeCluster.from_name("foo")
    with KubeCluster(name="foo", n_workers=0, create_mode="CREATE_ONLY"):
        with pytest.raises(ClusterExistsError, match="a cluster foo in the namespace default already"):
            KubeCluster(name="foo", create_mode=CreateMode.CREATE_ONLY)
        assert server.named("daskclusters") == ["foo"], "that of somebody else is not deleted"


def test_one_that_is_on_its_way_out_is_waited_for(server: FakeApi, operator: FakeOperator) -> None:
    operator.takes_up = False
    old = make_cluster_spec("foo")
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    server.put("daskclusters", old)
    with pytest.raises(ClusterNotFoundError):
        KubeCluster.from_name("foo")
    operator.takes_up = True
    timer = threading.Timer(0.3, lambda: server.remove("daskclusters", "foo"))
    timer.start()
    with KubeCluster(name="foo", n_workers=0):
        pass
    timer.join()


def test_another_cluster_of_the_same_name_is_not_deleted(server: FakeApi, operator: FakeOperator) -> None:
    with KubeCluster(name="foo", n_workers=0):
        operator.takes_up = False
        server.remove("daskclusters", "foo")
        server.put("daskclusters", make_cluster_spec("foo"))
    assert server.named("daskclusters") == ["foo"]


def test_the_namespace_is_that_of_the_context_unless_said(server: FakeApi) -> None:
    with KubeCluster(name="foo", n_workers=0) as cluster:
        assert cluster.namespace == "default"
    server.refusals["get", "daskclusters"] = refusal(403, "Forbidden", "not yours")
    with pytest.raises(ForbiddenError, match="in the namespace 'elsewhere'"):
        KubeCluster(name="foo", namespace="elsewhere")


def test_discovery(server: FakeApi) -> None:
    async def found() -> list[tuple[str, Any]]:
        return [cluster async for cluster in discover()]

    server.put("daskclusters", make_cluster_spec("foo"))
    assert asyncio.run(found()) == [("foo", KubeCluster)]
    server.refusals["list", "daskclusters"] = refusal(404, "NotFound", "what is that")
    assert asyncio.run(found()) == []


# Failing


POD_PROBLEMS: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"waiting": {"reason": "ImagePullBackOff", "message": 'image "x" not found'}},
        ImagePullError,
        'image "x" not found',
    ),
    ({"waiting": {"reason": "InvalidImageName", "message": "no"}}, ImagePullError, "InvalidImageName"),
    (
        {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "a" not found'}},
        SchedulerStartupError,
        "a",
    ),
    (
        {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        CrashLoopBackOffError,
        "the words of the dying",
    ),
]


@pytest.mark.parametrize(("state", "error", "words"), POD_PROBLEMS)
def test_what_keeps_the_scheduler_from_starting_is_told_in_its_own_words(
    server: FakeApi, operator: FakeOperator, state: dict[str, Any], error: type[Exception], words: str
) -> None:
    operator.pod_status = {"phase": "Pending", "containerStatuses": [{"name": "scheduler", "state": state}]}
    server.logs["foo-scheduler-0/previous"] = "many lines\nthe words of the dying\n"
    began = time.monotonic()
    with pytest.raises(error, match=words):
        KubeCluster(name="foo", resource_timeout=0.2)
    assert time.monotonic() - began < 5
    assert not server.named("daskclusters"), "nothing is left behind"


def test_a_pod_that_no_node_takes(server: FakeApi, operator: FakeOperator) -> None:
    message = "0/1 nodes are available: 1 Insufficient cpu"
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    operator.pod_status = {"phase": "Pending", "conditions": [condition]}
    with pytest.raises(UnschedulableError, match="Insufficient cpu"):
        KubeCluster(name="foo", resource_timeout=0.2)
    assert not server.named("daskclusters")


def test_what_the_operator_says_counts_where_there_is_no_pod(operator: FakeOperator) -> None:
    operator.pod_status = {"phase": "Pending"}
    condition = {"type": "SchedulerReady", "status": "False", "reason": "QuotaExceeded", "message": "pods=2 are used"}
    operator.conditions = [condition]
    with pytest.raises(SchedulerStartupError, match="QuotaExceeded: pods=2 are used"):
        KubeCluster(name="foo", resource_timeout=0.2)


def test_no_operator(server: FakeApi, operator: FakeOperator) -> None:
    operator.takes_up = False
    with pytest.raises(OperatorNotRunningError, match=r"no operator took up the DaskCluster foo within 0\.2 s"):
        KubeCluster(name="foo", resource_timeout=0.2)
    assert not server.named("daskclusters")
    with pytest.raises(TimeoutError):
        KubeCluster(name="foo", resource_timeout=0.2, shutdown_on_close=False)
    assert server.named("daskclusters") == ["foo"], "it was asked to be kept"


def test_the_operator_is_not_installed(server: FakeApi) -> None:
    server.refusals["get", "daskclusters"] = refusal(404, "NotFound", "the server could not find the resource")
    with pytest.raises(NotInstalledError, match="install"):
        KubeCluster(name="foo")


def test_rights_and_quotas(server: FakeApi) -> None:
    message = (
        'daskclusters.kubernetes.dask.org is forbidden: User "me" cannot create resource "daskclusters" in API group '
        '"kubernetes.dask.org" in the namespace "default"'
    )
    server.refusals["create", "daskclusters"] = refusal(403, "Forbidden", message)
    with pytest.raises(ForbiddenError, match="me lacks the verb 'create' on 'daskclusters'"):
        KubeCluster(name="foo")
    server.refusals["create", "daskclusters"] = refusal(403, "Forbidden", "exceeded quota: small")
    with pytest.raises(QuotaExceededError, match="exceeded quota: small"):
        KubeCluster(name="foo")


def test_pods_that_may_not_be_seen_are_told_and_nothing_is_left(server: FakeApi) -> None:
    server.refusals["list", "pods"] = refusal(403, "Forbidden", "no pods for you")
    with pytest.raises(ForbiddenError, match="cannot list pods in the namespace 'default': no pods for you"):
        KubeCluster(name="foo")
    assert not server.named("daskclusters")


def test_ports_that_may_not_be_forwarded_are_told_and_nothing_is_left(server: FakeApi) -> None:
    server.refusals["get", "pods/portforward"] = refusal(403, "Forbidden", "no")
    with pytest.raises(ForbiddenError, match="pods/portforward"):
        KubeCluster(name="foo")
    assert not server.named("daskclusters")


def test_a_scheduler_that_is_ready_and_cannot_be_reached(server: FakeApi, operator: FakeOperator) -> None:
    running = [{"name": "scheduler", "state": {"running": {}}}]
    operator.pod_status = {
        "phase": "Running",
        "containerStatuses": running,
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    with pytest.raises(SchedulerConnectionError, match="is ready, and cannot be reached from here"):
        KubeCluster(name="foo", resource_timeout=0.5)
    assert not server.named("daskclusters")
    operator.pod_status = {"phase": "Running", "containerStatuses": running}
    with pytest.raises(
        ResourceTimeoutError, match=r"the scheduler of foo does not run after .* foo-scheduler-0 is Running"
    ):
        KubeCluster(name="foo", resource_timeout=0.1)
    assert not server.named("daskclusters")


async def test_a_start_that_is_cancelled_leaves_nothing(server: FakeApi, operator: FakeOperator) -> None:
    operator.takes_up = False
    cluster = KubeCluster(name="foo", asynchronous=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(cluster, 0.5)
    assert not server.named("daskclusters")
    assert cluster.status == Status.closed


def test_an_interrupted_start_leaves_nothing(server: FakeApi, operator: FakeOperator) -> None:
    operator.takes_up = False
    # What a shell runs in the background ignores Ctrl-C, and what that starts as well.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    script = f"{heeds}; from dask_kubernetes.operator import KubeCluster; KubeCluster(name='foo')"
    with _python(script) as process:
        until(lambda: server.count("watch") >= 2, "the cluster is created", seconds=100)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=100)
    assert "KeyboardInterrupt" in errors
    assert not server.named("daskclusters")


@pytest.mark.parametrize("end", ["", "1/0"])
def test_the_end_of_the_interpreter_deletes_what_it_made(server: FakeApi, end: str) -> None:
    # By its name, which has to be looked up in a thread while none can be started any more.
    server.kubeconfig.write_text(server.kubeconfig.read_text().replace("127.0.0.1", "localhost"))
    script = f"from dask_kubernetes.operator import KubeCluster; c = KubeCluster(name='foo', n_workers=0)\n{end}"
    with _python(script) as process:
        _, errors = process.communicate(timeout=100)
    assert server.count("create", "daskclusters") == 1, errors
    assert not server.named("daskclusters"), errors
    assert "not deleted" not in errors


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _python(script: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "client")}
    return subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "Not A Name"}, ValidationError, "name is 'Not A Name'"),
        ({"n_wokers": 2}, TypeError, "did you mean n_workers"),
        ({"security": "yes"}, TypeError, "security is 'yes'"),
        ({"create_mode": "MAYBE"}, ValidationError, "create_mode"),
        ({"resource_timeout": -1}, ValidationError, "resource_timeout"),
        ({"client_timeout": 1}, ValidationError, "client_timeout is 1"),
    ],
)
def test_bad_arguments_are_told_before_anything_is_sent(
    server: FakeApi, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=words):
            KubeCluster(**{"name": "foo", **arguments})
        gc.collect()
    assert not server.requests


# Worker groups


def test_worker_groups(server: FakeApi) -> None:
    with KubeCluster(name="foo", n_workers=0, image="mine", env={"A": "1"}) as cluster:
        cluster.add_worker_group("highmem", n_workers=2, resources={"limits": {"memory": "2Gi"}})
        group = server.objects["daskworkergroups", "default", "foo-highmem"]["spec"]
        container = group["worker"]["spec"]["containers"][0]
        assert (group["cluster"], group["worker"]["replicas"]) == ("foo", 2)
        assert (container["image"], container["env"][0]["name"]) == ("mine", "A"), "what is not said is as elsewhere"
        cluster.wait_for_workers(2, timeout=10)
        cluster.adapt(0, 3, worker_group="highmem")
        assert server.objects["daskautoscalers", "default", "foo-highmem"]["spec"]["workerGroup"] == "foo-highmem"
        cluster.scale(1, worker_group="foo-highmem")
        assert not server.named("daskautoscalers")
        with pytest.raises(ConflictError):
            cluster.add_worker_group("highmem")
        cluster.delete_worker_group("highmem")
        assert server.named("daskworkergroups") == ["foo-default"]


def test_a_worker_group_from_a_spec_needs_no_name(server: FakeApi) -> None:
    spec = make_worker_spec(cluster_name="foo", n_workers=0, image="other")
    spec["spec"]["nodeSelector"] = {"pool": "gpu"}
    with KubeCluster(name="foo", n_workers=0) as cluster:
        cluster.add_worker_group(custom_spec=spec)
        (name,) = set(server.named("daskworkergroups")) - {"foo-default"}
        worker = server.objects["daskworkergroups", "default", name]["spec"]["worker"]
        assert worker["spec"]["nodeSelector"] == {"pool": "gpu"}
        assert worker["replicas"] == 0
        cluster.add_worker_group("additional", n=0)


def test_a_worker_group_of_somebody_elses_cluster(server: FakeApi) -> None:
    manifest = make_cluster_spec("foo", image="theirs", n_workers=0)
    manifest["spec"]["worker"]["spec"]["nodeSelector"] = {"pool": "a"}
    server.put("daskclusters", manifest)
    with KubeCluster.from_name("foo") as cluster:
        cluster.add_worker_group("more", n_workers=0, env={"B": "2"})
        worker = server.objects["daskworkergroups", "default", "foo-more"]["spec"]["worker"]
        assert worker["spec"]["nodeSelector"] == {"pool": "a"}
        assert worker["spec"]["containers"][0]["image"] == "theirs"
        assert worker["spec"]["containers"][0]["env"] == [{"name": "B", "value": "2"}]
        with pytest.raises(ValidationError, match="custom_spec"):
            cluster.add_worker_group("other", tolerations=[{"key": "a"}])


def test_worker_groups_that_cannot_be() -> None:
    with KubeCluster(name="foo", n_workers=0) as cluster:
        with pytest.raises(WorkerGroupNotFoundError, match=r"'nosuch', and the cluster foo .* it has default"):
            cluster.scale(1, worker_group="nosuch")
        with pytest.raises(WorkerGroupNotFoundError):
            cluster.delete_worker_group("nosuch")
        with pytest.raises(ValidationError, match=r"scale\(0\)"):
            cluster.delete_worker_group("default")
        with pytest.raises(ValidationError, match="name is 'A B'"):
            cluster.add_worker_group("A B")
        with pytest.raises(TypeError, match="did you mean tolerations"):
            cluster.add_worker_group("a", toleration=[])
        with pytest.raises(ValidationError, match="minimum is 5"):
            cluster.adapt(minimum=5, maximum=1)
        with pytest.raises(ValidationError, match="n is -1"):
            cluster.scale(-1)


# What happens meanwhile


def test_a_scheduler_that_is_started_anew_is_found_again(
    operator: FakeOperator, caplog: pytest.LogCaptureFixture
) -> None:
    with KubeCluster(name="foo", n_workers=0) as cluster:
        before = cluster.scheduler_info["id"]
        operator.restart_scheduler("foo")
        until(lambda: cluster.scheduler_info.get("id") not in (None, before), "it follows the new one")
        with Client(cluster) as client:
            assert client.scheduler_info()["id"] == cluster.scheduler_info["id"]
        cluster.close(timeout=20)
    assert "The scheduler of foo was started anew: results that it held" in caplog.text


def test_connections_that_are_cut_are_made_again(server: FakeApi) -> None:
    with KubeCluster(name="foo", n_workers=1) as cluster:
        server.cut()
        with Client(cluster) as client:
            assert client.submit(lambda: 1).result(20) == 1


def test_a_cluster_that_somebody_deleted_can_be_closed(server: FakeApi) -> None:
    with KubeCluster(name="foo", n_workers=0):
        server.remove("daskclusters", "foo")


def test_rounds_leave_no_threads_tasks_or_ports(server: FakeApi) -> None:
    with KubeCluster(name="warm-up", n_workers=0):
        pass
    threads, files, closed = set(threading.enumerate()), open_files(), weakref.WeakSet[KubeCluster]()
    for _ in range(200):
        with KubeCluster(name="foo", n_workers=0) as cluster:
            closed.add(cluster)
        assert cluster.status == Status.closed
    del cluster
    gc.collect()
    assert not closed
    until(lambda: not server.open_streams, "streams are closed")
    left = {thread for thread in set(threading.enumerate()) - threads if not thread.name.startswith("asyncio_")}
    assert not left
    until(lambda: open_files() <= files + 8, "files are closed")


async def test_no_task_is_left_in_the_loop() -> None:
    before = asyncio.all_tasks()
    async with KubeCluster(name="foo", n_workers=1, asynchronous=True):
        pass
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# What it says


def test_the_link_of_the_dashboard_is_configurable() -> None:
    with KubeCluster(name="foo", n_workers=0) as cluster:
        port = cluster.forwarded_dashboard_port
        assert cluster.dashboard_link == f"http://127.0.0.1:{port}/status"
        with dask.config.set({"distributed.dashboard.link": "/user/me/proxy/{host}:{port}/status"}):
            assert cluster.dashboard_link == f"/user/me/proxy/127.0.0.1:{port}/status"
        with pytest.raises(RuntimeError, match="jupyter=True"):
            _ = cluster.jupyter_link


def test_the_port_of_the_dashboard_can_be_chosen(server: FakeApi) -> None:
    with KubeCluster(name="foo", n_workers=0) as cluster:
        taken = int(cluster.forwarded_dashboard_port)
        with pytest.raises(ValidationError, match=f"scheduler_forward_port is {taken}"):
            KubeCluster(name="bar", n_workers=0, scheduler_forward_port=taken)
        assert server.named("daskclusters") == ["foo"]
    with KubeCluster(name="foo", n_workers=0, scheduler_forward_port=taken) as cluster:
        assert cluster.forwarded_dashboard_port == str(taken)


def test_nothing_is_printed_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with KubeCluster(name="foo", n_workers=0) as cluster:
        assert "Connected" in cluster.get_logs(cluster=True)["Cluster"]
    assert capsys.readouterr().out == ""


def test_importing_builders_does_not_import_what_talks_to_kubernetes() -> None:
    script = (
        "import sys; import dask_kubernetes.operator as o; o.make_cluster_spec('a'); "
        "print('kubernetes_asyncio' in sys.modules, 'distributed' in sys.modules)"
    )
    with _python(script) as process:
        out, errors = process.communicate(timeout=100)
    assert out.split() == ["False", "False"], errors
