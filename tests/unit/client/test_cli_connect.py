"""``connect``: the way to a scheduler, and commands that are run with it; completion of names."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import dask.cli
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner, Result

import dask_kubernetes
from dask_kubernetes.cli import kubectl_complete, kubectl_dask, main
from dask_kubernetes.cli.failures import ExitCode
from dask_kubernetes.operator import make_cluster_spec
from dask_kubernetes.operator.api.login import Login

from .fake_api import FakeApi, refusal
from .greeting import scheduler_pod

pytestmark = pytest.mark.unit

CLIENT = Path(__file__).parents[3] / "client"
# Writes what it was given, and ends with a code of its own.
SCRIPT = "import os, sys; open(sys.argv[1], 'w').write(os.environ['DASK_SCHEDULER_ADDRESS']); sys.exit(42)"


@pytest.fixture
def foo(scheduler: FakeApi) -> FakeApi:
    """A cluster foo whose scheduler runs."""
    scheduler.put("daskclusters", make_cluster_spec("foo"))
    return scheduler


def connect(*words: str) -> Result:
    """``connect foo``, as from a shell."""
    return CliRunner().invoke(main, ["connect", "foo", *words])


def address_of(file: Path, *words: str) -> str:
    """The address that a command gets."""
    done = connect(*words, "--", sys.executable, "-c", SCRIPT, str(file))
    assert done.exit_code == 42, done.output
    return file.read_text()


@pytest.mark.usefixtures("foo")
def test_a_command_finds_the_scheduler_and_says_how_it_ended(tmp_path: Path) -> None:
    assert address_of(tmp_path / "address").startswith("tcp://127.0.0.1:")


def test_a_scheduler_with_tls_has_an_address_with_tls(tmp_path: Path, foo: FakeApi) -> None:
    foo.put("pods", scheduler_pod("True", "--protocol", "tls"))
    assert address_of(tmp_path / "address").startswith("tls://127.0.0.1:")


def test_in_a_pod_it_is_the_address_of_the_service(
    tmp_path: Path, foo: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Login, "in_cluster", property(lambda _: True, lambda *_: None), raising=False)
    foo.refusals["get", "pods/portforward"] = refusal(403, "Forbidden", "no")
    assert connect("--", "true").exit_code == ExitCode.NOT_ALLOWED, "no operator tells an address"
    addresses = {
        "schedulerAddress": "tcp://foo-scheduler.default.svc:8786",
        "dashboardAddress": "http://foo-scheduler.default.svc:8787",
    }
    foo.put("daskclusters", {**make_cluster_spec("foo"), "status": addresses})
    assert address_of(tmp_path / "address") == "tcp://foo-scheduler.default.svc:8786"
    foo.put("pods", scheduler_pod("True", "--protocol", "tls"))
    assert address_of(tmp_path / "address") == "tls://foo-scheduler.default.svc:8786"
    assert connect("--dashboard-port", "8787", "--", "true").exit_code == ExitCode.NOT_ALLOWED, "a port was asked for"


@pytest.mark.usefixtures("foo")
def test_a_command_that_there_is_not() -> None:
    done = connect("--", "no-such-command")
    assert done.exit_code == ExitCode.USAGE
    assert "'no-such-command' cannot be started" in done.stderr


@pytest.mark.usefixtures("foo")
def test_a_command_that_is_killed_has_the_exit_code_of_a_shell() -> None:
    assert connect("--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)").exit_code == 137


@pytest.mark.usefixtures("foo")
def test_a_local_port_can_be_chosen(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert address_of(tmp_path / "address", "--scheduler-port", str(port)) == f"tcp://127.0.0.1:{port}"


@pytest.mark.usefixtures("foo")
def test_a_local_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        done = connect("--dashboard-port", str(taken.getsockname()[1]), "--", "true")
    assert done.exit_code == ExitCode.USAGE
    assert "cannot be used on this machine" in done.stderr


def test_a_scheduler_that_does_not_run(foo: FakeApi) -> None:
    foo.put("pods", scheduler_pod("False"))
    done = CliRunner().invoke(main, ["port-forward", "foo", "--timeout", "0.1"])
    assert done.exit_code == ExitCode.UNREACHABLE
    assert "the scheduler of foo does not run after 0.1 s: see `describe foo`" in done.stderr


def test_who_may_not_forward_ports_is_told(foo: FakeApi) -> None:
    foo.refusals["get", "pods/portforward"] = refusal(403, "Forbidden", "no")
    done = connect()
    assert done.exit_code == ExitCode.NOT_ALLOWED
    assert "pods/foo-scheduler-1/portforward" in done.stderr


def test_the_version_is_that_of_the_package() -> None:
    declared = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]["version"]
    assert CliRunner().invoke(main, ["--version"]).stdout == f"{declared}\n"
    assert dask_kubernetes.__version__ == declared
    with pytest.raises(AttributeError, match="'dask_kubernetes' has no attribute 'nope'"):
        dask_kubernetes.nope  # noqa: B018


# Completion --------------------------------------------------------------------------------------------------------


def completed(*words: str) -> list[str]:
    """What a shell offers for the last of some words after ``dask``."""
    dask.cli.cli.add_command(main)
    completion = BashComplete(dask.cli.cli, {}, "dask", "_DASK_COMPLETE")
    return [item.value for item in completion.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["kubernetes", "de"], ["delete", "describe"]),
        (["kubernetes", "gen", ""], ["autoscaler", "cluster", "job", "workergroup"]),
        (["kubernetes", "list", ""], ["cluster", "job", "workergroup", "autoscaler"]),
        (["kubernetes", "list", "-o", ""], ["wide", "yaml", "json", "name"]),
        (["kubernetes", "describe", ""], ["foo"]),
        (["kubernetes", "describe", "x"], []),
        (["kubernetes", "describe", "cluster/"], ["cluster/foo"]),
        (["kubernetes", "describe", "dsk/f"], ["dsk/foo"]),
        (["kubernetes", "describe", "job/"], []),
        (["kubernetes", "describe", "pod/"], []),
        (["kubernetes", "describe", "-n", "elsewhere", ""], ["bar"]),
        (["kubernetes", "delete", "foo", ""], ["foo"]),
    ],
)
def test_commands_kinds_and_names_are_completed(foo: FakeApi, words: list[str], offered: list[str]) -> None:
    foo.put("daskclusters", make_cluster_spec("bar"), "elsewhere")
    assert completed(*words) == offered


def test_completion_without_an_api_server_is_silent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nope"))
    assert completed("kubernetes", "describe", "") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_for_the_program_dask(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert f"_DASK_COMPLETE={shell}_complete" in done.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


def test_kubectl_completes_with_descriptions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["kubectl_complete-dask", "de"])
    kubectl_complete()
    assert capsys.readouterr().out == (
        "delete\tDelete clusters and the like.\ndescribe\tTell all about a cluster.\n:4\n"
    )


@pytest.mark.usefixtures("foo")
def test_kubectl_is_how_the_plugin_calls_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["kubectl-dask", "describe"])
    with pytest.raises(SystemExit) as ended:
        kubectl_dask()
    assert ended.value.code == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("Usage: kubectl dask describe [OPTIONS] TARGET\n")


@pytest.mark.usefixtures("foo")
def test_addresses_are_printed_for_people_and_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once() -> None:
        """Ctrl-C, as soon as it is waited for."""

    monkeypatch.setattr("dask_kubernetes.cli.connect._interrupted", at_once)
    done = connect()
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["Scheduler:", "Dashboard:"]
    assert done.stderr == "Ctrl-C ends it.\n"
    assert sorted(json.loads(connect("-o", "json").stdout)) == ["dashboard", "scheduler"]
