"""The commands that talk to an API server, over real HTTP: what they print, what they change, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from dask_kubernetes import exceptions
from dask_kubernetes.cli import main
from dask_kubernetes.cli.failures import ExitCode, exit_code_of
from dask_kubernetes.cli.output import age, table
from dask_kubernetes.operator import (
    make_autoscaler_spec,
    make_cluster_spec,
    make_job_spec,
    make_worker_group_spec,
)

from .fake_api import FakeApi, refusal

pytestmark = pytest.mark.unit

Object = dict[str, Any]


def run(*words: str) -> Result:
    """A command, as from a shell."""
    return CliRunner().invoke(main, list(words))


def pod(name: str, component: str, *, ready: bool = True, **status: Any) -> Object:
    """A Pod of the cluster foo, as the operator makes it."""
    return {
        "metadata": {
            "name": name,
            "labels": {
                "dask.org/cluster-name": "foo",
                "dask.org/component": component,
                **({"dask.org/workergroup-name": "foo-default"} if component == "worker" else {}),
            },
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": component, "args": ["dask", component]}, {"name": "proxy"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"name": component, "ready": ready, "restartCount": 1, "state": {"running": {}}}],
            **status,
        },
    }


@pytest.fixture
def foo(server: FakeApi) -> FakeApi:
    """An API server with the cluster foo, its workers, another group, an autoscaler and a job."""
    cluster = make_cluster_spec("foo", n_workers=2)
    cluster["status"] = {
        "phase": "Running",
        "schedulerAddress": "tcp://foo-scheduler.default.svc:8786",
        "dashboardAddress": "http://foo-scheduler.default.svc:8787/status",
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "AllReady", "message": "2 of 2 workers are ready"}
        ],
    }
    cluster["metadata"]["labels"] = {"team": "climate"}
    cluster["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    stored = server.put("daskclusters", cluster)
    for name, ready in (("default", 2), ("highmem", 0)):
        group = make_worker_group_spec(name, "foo", n_workers=2)
        group["status"] = {"replicas": 2, "readyReplicas": ready}
        server.put("daskworkergroups", group)
    server.put("daskautoscalers", {**make_autoscaler_spec("foo", 1, 10), "status": {"desiredReplicas": 4}})
    job = make_job_spec("train", "python train.py")
    server.put("daskjobs", {**job, "status": {"jobStatus": "Running", "jobRunnerPodName": "train-runner"}})
    server.put("pods", pod("foo-scheduler-1", "scheduler"))
    server.put("pods", pod("foo-default-worker-1", "worker"))
    server.put("pods", pod("foo-default-worker-2", "worker", ready=False))
    server.logs = {
        "foo-scheduler-1": "scheduling\n",
        "foo-default-worker-1": "one\ntwo\n",
        "foo-default-worker-1/previous": "zero\n",
    }
    server.put(
        "events",
        {
            "metadata": {"name": "e"},
            "type": "Normal",
            "reason": "SchedulerStarted",
            "message": "The scheduler\n runs.",
            "involvedObject": {"kind": "DaskCluster", "name": "foo", "uid": stored["metadata"]["uid"]},
            "lastTimestamp": "2026-01-01T00:00:00Z",
        },
    )
    server.put(
        "events",
        {
            "metadata": {"name": "other"},
            "reason": "Elsewhere",
            "involvedObject": {"kind": "DaskCluster", "name": "foo", "uid": "of-one-before"},
        },
    )
    return server


def columns(text: str) -> list[list[str]]:
    """A table's cells, less the ages."""
    return [line.split()[:-1] for line in text.splitlines()]


# list --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("foo")
def test_clusters_are_listed() -> None:
    done = run("list")
    assert done.exit_code == 0
    assert columns(done.stdout) == [["NAME", "PHASE", "READY"], ["foo", "Running", "2/4"]]


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("cluster", [["NAME", "PHASE", "READY"], ["foo", "Running", "2/4"]]),
        ("clusters", [["NAME", "PHASE", "READY"], ["foo", "Running", "2/4"]]),
        ("daskclusters.kubernetes.dask.org", [["NAME", "PHASE", "READY"], ["foo", "Running", "2/4"]]),
        ("job", [["NAME", "STATUS", "RUNNER"], ["train", "Running", "train-runner"]]),
        (
            "workergroup",
            [["NAME", "CLUSTER", "READY"], ["foo-default", "foo", "2/2"], ["foo-highmem", "foo", "0/2"]],
        ),
        (
            "autoscaler",
            [["NAME", "CLUSTER", "MINIMUM", "MAXIMUM", "DESIRED"], ["foo", "foo", "1", "10", "4"]],
        ),
    ],
)
@pytest.mark.usefixtures("foo")
def test_every_kind_is_listed(kind: str, cells: list[list[str]]) -> None:
    assert columns(run("list", kind).stdout) == cells


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("cluster", "http://foo-scheduler.default.svc:8787/status   ghcr.io/dask/dask:latest"),
        ("job", "ghcr.io/dask/dask:latest"),
        ("workergroup", "0          ghcr.io/dask/dask:latest"),
        ("autoscaler", "foo-default   -"),
    ],
)
@pytest.mark.usefixtures("foo")
def test_a_wide_list_has_more_columns(kind: str, told: str) -> None:
    narrow, wide = run("list", kind), run("list", kind, "-o", "wide")
    assert told in wide.stdout
    assert told not in narrow.stdout


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.usefixtures("foo")
def test_programs_get_the_objects(form: str) -> None:
    done = run("list", "-o", form)
    listed = yaml.safe_load(done.stdout) if form == "yaml" else json.loads(done.stdout)
    assert (listed["kind"], listed["apiVersion"]) == ("List", "v1")
    (cluster,) = listed["items"]
    assert cluster["kind"] == "DaskCluster"
    assert cluster["spec"] == make_cluster_spec("foo", n_workers=2)["spec"]
    assert "managedFields" not in cluster["metadata"]


@pytest.mark.usefixtures("foo")
def test_names_can_be_handed_on_to_other_commands() -> None:
    assert run("list", "workergroup", "-o", "name").stdout == "workergroup/foo-default\nworkergroup/foo-highmem\n"


@pytest.mark.usefixtures("foo")
def test_a_selector_chooses() -> None:
    assert "foo" in run("list", "-l", "team=climate").stdout
    assert run("list", "-l", "team=weather").stdout == ""


def test_all_namespaces_are_listed(foo: FakeApi) -> None:
    foo.put("daskclusters", make_cluster_spec("bar"), "elsewhere")
    done = run("list", "-A")
    assert columns(done.stdout) == [
        ["NAMESPACE", "NAME", "PHASE", "READY"],
        ["default", "foo", "Running", "2/4"],
        ["elsewhere", "bar", "-", "-"],
    ]


def test_that_there_is_none_is_no_failure(server: FakeApi) -> None:
    done = run("list", "--namespace", "empty")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "There is no cluster in the namespace empty.\n"
    assert run("list", "-A").stderr == "There is no cluster in any namespace.\n"
    assert json.loads(run("list", "-o", "json").stdout)["items"] == []
    assert server.count("list", "empty/daskworkergroups") == 0


# describe ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("foo")
def test_a_cluster_is_described_on_a_page() -> None:
    done = run("describe", "foo")
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "Name: foo",
        "Namespace: default",
        "Phase: Running",
        "Scheduler: tcp://foo-scheduler.default.svc:8786",
        "Ready True AllReady 2 of 2 workers are ready",
        "foo-highmem 0/2 ghcr.io/dask/dask:latest",
        "foo 1 10 4",
    ):
        assert line in lines
    assert any(line.startswith("foo-scheduler-1 Ready 1 node-1 ") for line in lines)
    assert any(line.startswith("foo-default-worker-2 Running 1 node-1 ") for line in lines)
    assert any(line.endswith("Normal SchedulerStarted DaskCluster/foo The scheduler runs.") for line in lines)
    assert "Elsewhere" not in done.stdout


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("job/train", "Status:    Running"),
        ("workergroup/foo-default", "foo-default-worker-1"),
        ("autoscaler/foo", "Between:   1 and 10"),
    ],
)
@pytest.mark.usefixtures("foo")
def test_every_kind_is_described(target: str, told: str) -> None:
    done = run("describe", target)
    assert done.exit_code == 0
    assert told in done.stdout


@pytest.mark.usefixtures("foo")
def test_workers_of_one_group_have_a_page_without_the_scheduler() -> None:
    assert "foo-scheduler-1" not in run("describe", "workergroup/foo-default").stdout


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.usefixtures("foo")
def test_programs_get_the_object(form: str) -> None:
    done = run("describe", "foo", "-o", form)
    described = yaml.safe_load(done.stdout) if form == "yaml" else json.loads(done.stdout)
    assert described["kind"] == "DaskCluster"
    assert described["status"]["phase"] == "Running"
    assert "managedFields" not in described["metadata"]


def test_who_may_not_see_events_sees_the_rest(foo: FakeApi) -> None:
    foo.refusals["list", "events"] = refusal(403, "Forbidden", "no")
    done = run("describe", "foo")
    assert done.exit_code == 0
    assert "foo-default-worker-1" in done.stdout
    assert "Events: you may not list them." in done.stdout


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
            },
            "Unschedulable",
        ),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}, "ImagePullBackOff"),
        ({"containerStatuses": [{"state": {"terminated": {"reason": "OOMKilled"}}}]}, "OOMKilled"),
        ({"initContainerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}, "CrashLoopBackOff"),
        ({"phase": "Failed", "reason": "Evicted", "containerStatuses": []}, "Evicted"),
        ({"phase": "Pending", "containerStatuses": []}, "Pending"),
    ],
)
def test_a_pod_says_what_is_wrong_with_it(foo: FakeApi, status: Object, told: str) -> None:
    foo.put("pods", pod("foo-default-worker-2", "worker", **status))
    line = next(line for line in run("describe", "foo").stdout.splitlines() if "foo-default-worker-2" in line)
    assert line.split()[1] == told


# logs --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("foo")
def test_logs_of_all_pods_have_their_names() -> None:
    done = run("logs", "foo")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "foo-default-worker-1 one",
        "foo-default-worker-1 two",
        "foo-scheduler-1 scheduling",
    ]
    assert done.stderr.startswith("foo-default-worker-2 has no log: ")


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["--component", "scheduler"], "scheduling\n"),
        (["--pod", "foo-default-worker-1"], "one\ntwo\n"),
        (["--pod", "foo-default-worker-1", "--tail", "1"], "two\n"),
        (["--pod", "foo-default-worker-1", "--previous"], "zero\n"),
        (["--pod", "foo-default-worker-1", "--follow"], "one\ntwo\n"),
        (["--worker-group", "foo-default"], "foo-default-worker-1 one\nfoo-default-worker-1 two\n"),
        (["--worker-group", "foo-default", "-f"], "foo-default-worker-1 one\nfoo-default-worker-1 two\n"),
    ],
)
@pytest.mark.usefixtures("foo")
def test_logs_can_be_chosen(words: list[str], printed: str) -> None:
    done = run("logs", "foo", *words)
    assert (done.exit_code, done.stdout) == (0, printed)


@pytest.mark.usefixtures("foo")
def test_programs_get_logs_by_pod() -> None:
    done = run("logs", "foo", "-o", "json")
    assert json.loads(done.stdout) == {"foo-default-worker-1": "one\ntwo\n", "foo-scheduler-1": "scheduling\n"}


# scale -------------------------------------------------------------------------------------------------------------


def replicas(server: FakeApi, group: str) -> int:
    return int(server.objects["daskworkergroups", "default", group]["spec"]["worker"]["replicas"])


def test_a_cluster_is_scaled_and_its_autoscaler_does_not_scale_it_back(foo: FakeApi) -> None:
    done = run("scale", "foo", "5")
    assert (done.exit_code, done.stdout) == (0, "workergroup/foo-default scaled to 5\n")
    assert done.stderr == "autoscaler/foo deleted\n"
    assert replicas(foo, "foo-default") == 5
    assert foo.named("daskautoscalers") == []


@pytest.mark.parametrize("words", [["foo", "0", "--worker-group", "highmem"], ["workergroup/foo-highmem", "0"]])
def test_another_group_is_scaled_and_the_autoscaler_stays(foo: FakeApi, words: list[str]) -> None:
    done = run("scale", *words)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "workergroup/foo-highmem scaled to 0\n", "")
    assert replicas(foo, "foo-highmem") == 0
    assert replicas(foo, "foo-default") == 2
    assert foo.named("daskautoscalers") == ["foo"]


def operator_follows(server: FakeApi) -> Callable[[str, str, Object], None]:
    """What the operator does once a group is to have other workers."""

    def follow(event: str, plural: str, body: Object) -> None:
        wanted = body.get("spec", {}).get("worker", {}).get("replicas")
        if plural == "daskworkergroups" and event != "DELETED" and body["status"]["readyReplicas"] != wanted:
            status = {"replicas": wanted, "readyReplicas": wanted}
            server.store(plural, {**body, "status": status}, body["metadata"]["namespace"])

    return follow


def test_scaling_can_wait_for_the_workers(foo: FakeApi) -> None:
    foo.listeners.append(operator_follows(foo))
    done = run("scale", "foo", "5", "--wait", "--timeout", "20s")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "workergroup/foo-default has 5 ready workers"


@pytest.mark.usefixtures("foo")
def test_scaling_waits_no_longer_than_it_may() -> None:
    done = run("scale", "foo", "5", "--wait", "--timeout", "0.2")
    assert done.exit_code == ExitCode.TIMEOUT
    assert "workergroup/foo-default has not 5 ready workers after 0.2 s: see `describe`" in done.stderr


# delete ------------------------------------------------------------------------------------------------------------


def test_a_cluster_is_deleted(foo: FakeApi) -> None:
    done = run("delete", "foo")
    assert (done.exit_code, done.stdout) == (0, "cluster/foo deleted\n")
    assert foo.named("daskclusters") == []


def test_several_things_are_deleted(foo: FakeApi) -> None:
    done = run("delete", "workergroup/foo-highmem", "job/train", "autoscaler/foo", "--no-wait")
    assert done.stdout == "workergroup/foo-highmem deleted\njob/train deleted\nautoscaler/foo deleted\n"
    assert foo.named("daskworkergroups") == ["foo-default"]
    assert foo.named("daskjobs") == foo.named("daskautoscalers") == []


def test_all_clusters_of_the_namespace_are_deleted_and_no_others(foo: FakeApi) -> None:
    foo.put("daskclusters", make_cluster_spec("bar"))
    foo.put("daskclusters", make_cluster_spec("bar"), "elsewhere")
    assert run("delete", "--all").stdout == "cluster/bar deleted\ncluster/foo deleted\n"
    assert [key for key in foo.objects if key[0] == "daskclusters"] == [("daskclusters", "elsewhere", "bar")]
    done = run("delete", "--all")
    assert (done.exit_code, done.stderr) == (0, "There is no cluster in the namespace default.\n")


def test_one_that_is_not_there_does_not_keep_the_others(foo: FakeApi) -> None:
    done = run("delete", "nope", "foo", "neither")
    assert done.exit_code == ExitCode.NOT_FOUND
    assert done.stdout == "cluster/foo deleted\n"
    assert foo.named("daskclusters") == []
    assert '"nope" not found' in done.stderr
    assert '"neither" not found' in done.stderr


@pytest.mark.usefixtures("foo")
def test_what_is_not_there_can_count_as_deleted() -> None:
    done = run("delete", "nope", "--ignore-not-found")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")


# How commands end --------------------------------------------------------------------------------------------------

VERBS = [["describe", "nope"], ["logs", "nope"], ["scale", "nope", "1"], ["connect", "nope"], ["delete", "nope"]]


@pytest.mark.parametrize("words", VERBS)
@pytest.mark.usefixtures("foo")
def test_a_name_that_nothing_has(words: list[str]) -> None:
    done = run(*words)
    assert done.exit_code == ExitCode.NOT_FOUND
    assert done.stdout == ""
    assert 'daskclusters "nope" not found' in done.stderr


def test_a_group_that_the_cluster_has_not(foo: FakeApi) -> None:
    done = run("scale", "foo", "1", "-g", "gpu")
    assert done.exit_code == ExitCode.NOT_FOUND
    assert "cluster/foo has no worker group foo-gpu: it has default, highmem" in done.stderr
    assert foo.count("patch") == 0


@pytest.mark.usefixtures("foo")
def test_a_pod_that_the_cluster_has_not() -> None:
    done = run("logs", "foo", "--pod", "nope")
    assert done.exit_code == ExitCode.NOT_FOUND
    assert "there is foo-default-worker-1, foo-default-worker-2, foo-scheduler-1" in done.stderr


def test_definitions_that_are_not_installed(server: FakeApi) -> None:
    missing = refusal(404, "NotFound", "the server could not find the requested resource")
    server.refusals = {(verb, "daskclusters"): missing for verb in ("get", "list")}
    for words in (["list"], ["describe", "foo"], ["delete", "foo", "--ignore-not-found"]):
        done = run(*words)
        assert done.exit_code == ExitCode.NOT_FOUND
        assert "install the operator's chart" in done.stderr


def test_what_is_not_allowed(foo: FakeApi) -> None:
    message = (
        'daskclusters.kubernetes.dask.org "foo" is forbidden: User "alice" cannot delete resource "daskclusters" '
        'in API group "kubernetes.dask.org" in the namespace "default"'
    )
    foo.refusals["delete", "daskclusters"] = refusal(403, "Forbidden", message)
    done = run("delete", "foo")
    assert done.exit_code == ExitCode.NOT_ALLOWED
    assert "delete" in done.stderr
    assert "alice" in done.stderr


def test_credentials_that_are_not_accepted(server: FakeApi) -> None:
    server.token = "another"  # noqa: S105
    done = run("list")
    assert done.exit_code == ExitCode.NOT_ALLOWED
    assert "log in again" in done.stderr


@pytest.mark.usefixtures("server")
def test_a_context_that_there_is_not() -> None:
    done = run("list", "--context", "nope")
    assert done.exit_code == ExitCode.NOT_ALLOWED
    assert "context 'nope'" in done.stderr


def test_an_api_server_that_does_not_answer(server: FakeApi) -> None:
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    server.kubeconfig.write_text(yaml.safe_dump(config))
    done = run("list", "--kubeconfig", str(server.kubeconfig))
    assert done.exit_code == ExitCode.UNREACHABLE
    assert "127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["list", "pods"], "'pods' is no kind: use cluster, job, workergroup, autoscaler"),
        (["list", "-o", "xml"], "'xml' is not one of"),
        (["describe"], "Missing argument 'TARGET'"),
        (["describe", "pod/foo"], "'pod' is no kind"),
        (["describe", "job/"], "'job/' names nothing: write it NAME or KIND/NAME"),
        (["logs", "autoscaler/foo"], "'autoscaler/foo' is of a kind that this is not for: use cluster or job"),
        (["logs", "foo", "--tail", "-1"], "-1 is not in the range"),
        (["logs", "foo", "-f", "-o", "json"], "--follow goes with neither --output nor --previous"),
        (["logs", "foo", "--component", "web"], "'web' is not one of"),
        (["scale", "foo"], "Missing argument 'REPLICAS'"),
        (["scale", "foo", "many"], "'many' is not a valid integer"),
        (["scale", "foo", "--", "-1"], "-1 is not in the range"),
        (["scale", "job/foo", "1"], "use cluster or workergroup"),
        (["scale", "workergroup/foo-a", "1", "-g", "a"], "remove one of them"),
        (["scale", "foo", "1", "-g", "No"], "--worker-group is 'No'"),
        (["scale", "foo", "1", "--timeout", "soon"], "--timeout is 'soon', which is no length of time"),
        (["connect", "autoscaler/foo"], "use cluster or job"),
        (["connect", "foo", "--scheduler-port", "65536"], "65536 is not in the range"),
        (["connect", "foo", "--timeout", "-1"], "--timeout is '-1'"),
        (["delete"], "give either TARGETS or --all"),
        (["delete", "foo", "--all"], "give either TARGETS or --all"),
        (["delete", "foo", "--timeout", "soon"], "--timeout is 'soon'"),
        (["completion", "csh"], "'csh' is not one of"),
        (["frobnicate"], "No such command"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_sent(server: FakeApi, words: list[str], told: str) -> None:
    done = run(*words)
    assert done.exit_code == ExitCode.USAGE
    assert told in done.stderr, done.stderr
    assert server.requests == []


def test_every_exception_has_an_exit_code_and_most_have_one_of_their_own() -> None:
    kinds = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    codes = {kind.__name__: exit_code_of(kind("x")) for kind in kinds}
    assert {name for name, code in codes.items() if code is ExitCode.FAILED} == {
        "ApiError",
        "ClusterExistsError",
        "CrashLoopBackOffError",
        "DaskKubernetesError",
        "ImagePullError",
        "SchedulerStartupError",
        "UnschedulableError",
    }
    assert codes["QuotaExceededError"] is ExitCode.REFUSED
    assert codes["ForbiddenError"] is ExitCode.NOT_ALLOWED
    assert codes["OperatorNotRunningError"] is ExitCode.TIMEOUT


# What is printed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (3600, "1h"),
        (3661, "1h1m"),
        (90000, "1d1h"),
        (200000, "2d"),
        (-5, "0s"),
    ],
)
def test_ages_are_short(seconds: int, told: str) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    assert age((now - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ"), now) == told


def test_an_age_that_is_not_known() -> None:
    assert age(None) == "-"


def test_a_table_is_aligned_and_has_no_empty_cells() -> None:
    assert table(["NAME", "N"], [["a", 1], ["long-name", None], ["", 0]]) == (
        "NAME        N\na           1\nlong-name   -\n-           0\n"
    )
