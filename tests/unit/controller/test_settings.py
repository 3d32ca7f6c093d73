"""Settings: what each of the places says where something can be set, and what is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from dask_kubernetes_operator.settings import Election, Settings, SettingsError, read_settings

pytestmark = pytest.mark.unit

NOWHERE = Path("/nowhere")
BATCH_SIZE = "DASK_KUBERNETES__CONTROLLER__WORKER_ALLOCATION__BATCH_SIZE"
DELAY = "DASK_KUBERNETES__CONTROLLER__WORKER_ALLOCATION__DELAY"


def read(
    environ: dict[str, str] | None = None,
    *,
    flags: dict[str, Any] | None = None,
    folders: tuple[Path, ...] = (),
    namespace_file: Path = NOWHERE,
) -> Settings:
    return read_settings(environ or {}, command_line=flags or {}, dask_folders=folders, namespace_file=namespace_file)


def refusal(environ: dict[str, str], **places: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        read(environ, **places)
    return str(caught.value)


def test_nothing_has_to_be_set() -> None:
    assert read() == Settings(http_port=8081)


def test_empty_is_not_set() -> None:
    names = ("HTTP_PORT", "LOG_FORMAT", "LOG_LEVEL", "LEADER_ELECTION", "LEASE_NAME", "LEASE_SECONDS")
    assert read({**{f"DASK_OPERATOR_{name}": "" for name in names}, BATCH_SIZE: "", DELAY: ""}) == read()


# Namespaces ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "flags", "namespaces", "exact"),
    [
        ({}, {"clusterwide": True, "namespaces": ()}, None, None),
        ({}, {"namespaces": ("a",)}, ("a",), ("a",)),
        ({}, {"namespaces": ("a", "b")}, ("a", "b"), ("a", "b")),
        ({"KOPF_RUN_NAMESPACE": "c"}, {"namespaces": ()}, ("c",), ("c",)),
        ({}, {"namespaces": ("a", "team-*")}, ("a", "team-*"), None),
        ({}, {"namespaces": ("!kube-system",)}, ("!kube-system",), None),
        ({}, {"namespaces": ("a, b",)}, ("a, b",), None),
    ],
)
def test_namespaces_are_those_on_the_command_line_of_kopf(
    environ: dict[str, str], flags: dict[str, Any], namespaces: Any, exact: Any
) -> None:
    settings = read(environ, flags=flags)
    assert (settings.namespaces, settings.exact_namespaces) == (namespaces, exact)


def test_flags_are_found_when_kopf_runs() -> None:
    command = click.Command("run", params=[click.Option(["-n", "--namespace", "namespaces"], multiple=True)])
    with command.make_context("run", ["-n", "a", "--namespace=b"]):
        assert read_settings({}, dask_folders=()).namespaces == ("a", "b")


# HTTP ----------------------------------------------------------------------------------------------------------


def test_port_for_health_and_metrics() -> None:
    assert read({"DASK_OPERATOR_HTTP_PORT": "9000"}).http_port == 9000
    assert read({"DASK_OPERATOR_HTTP_PORT": "0"}).http_port == 0


@pytest.mark.parametrize("text", ["http", "-1", "65536", "80.5", "8 0", "٣"])
def test_port_that_is_none_is_refused(text: str) -> None:
    message = refusal({"DASK_OPERATOR_HTTP_PORT": text})
    assert message == f"DASK_OPERATOR_HTTP_PORT: expected a whole number from 0 to 65535, got {text!r}"


def test_liveness_of_kopf_may_be_anywhere_else() -> None:
    read(flags={"liveness_endpoint": "http://0.0.0.0:8080/healthz"})
    read({"DASK_OPERATOR_HTTP_PORT": "0"}, flags={"liveness_endpoint": "http://0.0.0.0:8081/healthz"})


def test_liveness_of_kopf_on_the_same_port_is_refused() -> None:
    message = refusal({}, flags={"liveness_endpoint": "http://0.0.0.0:8081/healthz"})
    assert "--liveness=http://0.0.0.0:8081/healthz" in message
    assert "DASK_OPERATOR_HTTP_PORT" in message


# Logs ----------------------------------------------------------------------------------------------------------


def test_logs() -> None:
    settings = read({"DASK_OPERATOR_LOG_FORMAT": "JSON", "DASK_OPERATOR_LOG_LEVEL": "debug"})
    assert (settings.log_format, settings.log_level) == ("json", "DEBUG")


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("DASK_OPERATOR_LOG_FORMAT", "text or json"),
        ("DASK_OPERATOR_LOG_LEVEL", "debug or info or warning or error"),
    ],
)
def test_logs_of_another_kind_are_refused(name: str, choices: str) -> None:
    assert refusal({name: "xml"}) == f"{name}: expected {choices}, got 'xml'"


# Election ------------------------------------------------------------------------------------------------------

POD = {"POD_NAME": "operator-1", "POD_NAMESPACE": "dask-operator", "POD_UID": "u-1"}


def test_pod_takes_part_in_an_election() -> None:
    assert read(POD).election == Election(
        namespace="dask-operator",
        name="dask-kubernetes-operator",
        identity="operator-1_u-1",
        lease_seconds=15.0,
        insisted_on=False,
    )


def test_pod_without_a_name_in_its_environment_takes_part(tmp_path: Path) -> None:
    namespace_file = tmp_path / "namespace"
    namespace_file.write_text("dask-operator\n", encoding="utf-8")
    first, second = read(namespace_file=namespace_file).election, read(namespace_file=namespace_file).election
    assert first is not None
    assert second is not None
    assert first.namespace == "dask-operator"
    assert first.identity != second.identity


def test_election_can_be_asked_for() -> None:
    environ = {
        **POD,
        "DASK_OPERATOR_LEADER_ELECTION": "true",
        "DASK_OPERATOR_LEASE_NAME": "mine",
        "DASK_OPERATOR_LEASE_NAMESPACE": "elsewhere",
        "DASK_OPERATOR_LEASE_SECONDS": "30",
    }
    assert read(environ).election == Election("elsewhere", "mine", "operator-1_u-1", 30.0, insisted_on=True)


@pytest.mark.parametrize("text", ["false", "False", "0", "no", "off"])
def test_election_can_be_turned_off(text: str) -> None:
    assert read({**POD, "DASK_OPERATOR_LEADER_ELECTION": text}).election is None


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"DASK_OPERATOR_LEADER_ELECTION": "maybe"}, "expected true or false, got 'maybe'"),
        ({"DASK_OPERATOR_LEASE_NAME": "My Lease"}, "'My Lease' cannot name a Kubernetes object"),
        ({"DASK_OPERATOR_LEASE_SECONDS": "soon"}, "expected a number of seconds, 3 or more, got 'soon'"),
        ({"DASK_OPERATOR_LEASE_SECONDS": "2"}, "expected a number of seconds, 3 or more, got '2'"),
        ({"DASK_OPERATOR_LEASE_SECONDS": "inf"}, "expected a number of seconds, 3 or more, got 'inf'"),
    ],
)
def test_election_that_cannot_be_held_is_refused(environ: dict[str, str], named: str) -> None:
    (name,) = environ
    assert refusal({**POD, **environ}).startswith(f"{name}: {named}")


def test_election_outside_of_a_cluster_needs_a_namespace() -> None:
    environ = {"DASK_OPERATOR_LEADER_ELECTION": "true"}
    assert "DASK_OPERATOR_LEASE_NAMESPACE" in refusal(environ)
    assert read({**environ, "DASK_OPERATOR_LEASE_NAMESPACE": "here"}).election is not None


# Dask's configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "allocation"),
    [
        ({BATCH_SIZE: "40"}, (40, 0.0)),
        ({BATCH_SIZE: "40", DELAY: "2.5"}, (40, 2.5)),
        ({BATCH_SIZE: "null", DELAY: "None"}, (0, 0.0)),
        ({BATCH_SIZE.lower().replace("dask_", "DASK_", 1): "40"}, (40, 0.0)),
        ({BATCH_SIZE: "'40'"}, (40, 0.0)),
    ],
)
def test_worker_allocation_from_the_environment(environ: dict[str, str], allocation: tuple[int, float]) -> None:
    settings = read(environ)
    assert (settings.batch_size, settings.batch_delay_seconds) == allocation


@pytest.mark.parametrize("text", ["ten", "0", "-1", "2.5", "True", "[1]"])
def test_batch_of_no_workers_is_refused(text: str) -> None:
    assert refusal({BATCH_SIZE: text}).startswith(f"{BATCH_SIZE}: expected a whole number of workers, 1 or more")


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "True", "{}"])
def test_delay_that_is_none_is_refused(text: str) -> None:
    assert refusal({DELAY: text}).startswith(f"{DELAY}: expected a number of seconds, 0 or more")


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def allocation(batch_size: object, delay: object, *, key: str = "worker-allocation") -> str:
    return f"kubernetes:\n  controller:\n    {key}:\n      batch-size: {batch_size}\n      delay: {delay}\n"


def test_worker_allocation_from_files_of_which_the_last_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "etc", "a.yaml", allocation(1, 1))
    write(first, "b.yml", "kubernetes: {controller: {worker_allocation: {batch_size: 2}}}")
    second = write(tmp_path / "home", "c.json", '{"kubernetes": {"controller": {"worker-allocation": {"delay": 3}}}}')
    write(second, "notes.txt", allocation(9, 9))
    settings = read(folders=(first, second, NOWHERE))
    assert (settings.batch_size, settings.batch_delay_seconds) == (2, 3.0)


def test_environment_wins_over_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "etc", "a.yaml", allocation(1, 1))
    settings = read({BATCH_SIZE: "5"}, folders=(folder,))
    assert (settings.batch_size, settings.batch_delay_seconds) == (5, 1.0)


def test_folders_are_where_dask_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / ".config", "ignored.yaml", "")
    write(tmp_path / ".config" / "dask", "a.yaml", allocation(1, 1))
    write(tmp_path / "root", "a.yaml", allocation(2, 2))
    chosen = write(tmp_path / "chosen", "one.yaml", allocation("null", 3)) / "one.yaml"
    root = {"DASK_ROOT_CONFIG": str(tmp_path / "root")}
    assert read_settings(root, command_line={}).batch_size == 1
    assert read_settings({**root, "DASK_CONFIG": str(chosen)}, command_line={}).batch_size == 0


def test_bad_value_in_a_file_names_the_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "etc", "a.yaml", allocation("lots", 1))
    assert refusal({}, folders=(folder,)).startswith(
        f"kubernetes.controller.worker-allocation.batch-size in {folder / 'a.yaml'}: expected a whole number"
    )


def test_file_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "etc", "a.yaml", "kubernetes: [")
    assert refusal({}, folders=(folder,)).startswith(f"{folder / 'a.yaml'}: Dask's configuration cannot be read")


def test_file_that_may_not_be_read_is_none_of_ours(tmp_path: Path) -> None:
    folder = write(tmp_path / "etc", "a.yaml", allocation(1, 1))
    (folder / "b.yaml").symlink_to(NOWHERE)
    assert read(folders=(folder,)).batch_size == 1


def test_dask_itself_is_not_imported() -> None:
    code = "import sys, dask_kubernetes_operator.settings; print('dask' in sys.modules, 'distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_path())
    assert done.stdout.split() == ["False", "False"]


def _path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_every_variable_is_documented() -> None:
    root = Path(__file__).parents[3]
    read_from = root / "controller" / "dask_kubernetes_operator" / "settings.py"
    variables = set(re.findall(r'"(DASK_OPERATOR_\w+|POD_\w+)"', read_from.read_text("utf-8"))) | {BATCH_SIZE, DELAY}
    documented = re.findall(r"`(DASK_\w+|POD_\w+)", (root / "docs" / "settings.md").read_text("utf-8"))
    assert set(documented) == variables
