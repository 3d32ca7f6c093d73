"""The examples for Kubeflow: what a notebook's Pod gets, and the notebook."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import pytest
import yaml
from distributed.utils import format_dashboard_link

from dask_kubernetes.operator import make_cluster_spec

pytestmark = pytest.mark.render

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "kubeflow"
POD_DEFAULT, SETTINGS = yaml.safe_load_all((FOLDER / "poddefault.yaml").read_text())
NOTEBOOK = json.loads((FOLDER / "dask.ipynb").read_text())
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def allows(host: str) -> bool:
    """Whether Jupyter's proxy goes to a host, with the settings of the PodDefault."""
    proxy: Any = SimpleNamespace()
    exec(SETTINGS["data"]["jupyter_server_config.py"], {"c": SimpleNamespace(ServerProxy=proxy)})  # noqa: S102
    return bool(proxy.host_allowlist(None, host))


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "demo-scheduler", "demo-scheduler.team-a", "demo-scheduler.team-a.svc.cluster.local"],
)
def test_the_proxy_goes_to_schedulers_and_where_it_went_before(host: str) -> None:
    assert allows(host)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "kubernetes.default.svc",
        "example.com",
        "evil.com/-scheduler",
        "a.b-scheduler",
        "",
    ],
)
def test_the_proxy_goes_nowhere_else(host: str) -> None:
    assert not allows(host)


def test_links_to_dashboards_lead_through_jupyter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NB_PREFIX", "/notebook/team-a/mine")
    (link,) = POD_DEFAULT["spec"]["env"]
    assert link["name"] == "DASK_DISTRIBUTED__DASHBOARD__LINK"
    value = dask.config.get(
        "distributed.dashboard.link", config=dask.config.collect_env({link["name"]: link["value"]})
    )
    with dask.config.set({"distributed.dashboard.link": value}):
        found = format_dashboard_link("demo-scheduler.team-a", 8787)
    assert found == "/notebook/team-a/mine/proxy/demo-scheduler.team-a:8787/status"


def test_what_is_mounted_is_there() -> None:
    spec = POD_DEFAULT["spec"]
    (mount,), (volume,) = spec["volumeMounts"], spec["volumes"]
    assert mount["name"] == volume["name"]
    assert volume["configMap"]["name"] == SETTINGS["metadata"]["name"]
    assert mount["subPath"] in SETTINGS["data"]
    assert mount["mountPath"] == f"/etc/jupyter/{mount['subPath']}"


def test_the_notebook_is_one_without_results() -> None:
    assert NOTEBOOK["nbformat"] == 4
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    assert not any(cell.get("outputs") for cell in NOTEBOOK["cells"])


def test_the_notebook_gives_arguments_that_a_cluster_takes() -> None:
    (call,) = [
        node
        for text in CODE
        if not text.startswith("%")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "KubeCluster"
    ]
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
    inspect.signature(make_cluster_spec).bind(**given)
    assert make_cluster_spec(**given)["spec"]["worker"]["replicas"] == given["n_workers"]
