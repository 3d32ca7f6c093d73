"""The dashboards: how they are delivered, and that what they hold is what Grafana and Prometheus can read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dask_kubernetes_operator.metrics import REGISTRY, ClustersCollector
from scripts.render import dashboards as sources
from tests.render.chart.dashboards import choices, filled, queries
from tests.render.chart.helm import REPOSITORY, Helm, Object, RefusedError, merge, nested, pick, render
from tests.render.chart.promtool import check_rules

pytestmark = pytest.mark.render

NAME = "dask-dask-kubernetes-operator"
ENABLED = nested("metrics.dashboards.enabled", True)
# Helm keeps them with every release, twice where they are installed.
MOST_BYTES = 44_000

DASHBOARDS = {path.stem: json.loads(text) for path, text in sources.render(REPOSITORY).files.items()}
# Stand for what a person chooses, and for what Grafana makes of the time range.
VALUES = {"namespace": "a", "cluster": "b", "group": ".*", "__rate_interval": "1m"}


def config_maps(values: Object, helm: Helm) -> list[Object]:
    return [one for one in render(merge(ENABLED, values), helm=helm) if one["kind"] == "ConfigMap"]


def test_default_has_no_dashboard(defaults: list[Object]) -> None:
    assert "ConfigMap" not in {one["kind"] for one in defaults}


def test_each_is_a_config_map_as_the_sidecar_of_grafana_expects(helm: Helm, defaults: list[Object]) -> None:
    found = config_maps({}, helm)
    labels = {**pick(defaults, "Deployment", "metadata", "labels"), "grafana_dashboard": "1"}
    assert [one["metadata"] for one in found] == [
        {"name": f"{NAME}-dashboard-{name}", "namespace": "dask-operator", "labels": labels} for name in DASHBOARDS
    ]
    delivered = {file: json.loads(text) for one in found for file, text in one["data"].items()}
    assert delivered == {f"dask-{name}.json": dashboard for name, dashboard in DASHBOARDS.items()}


def test_they_go_where_grafana_looks(helm: Helm) -> None:
    values = {
        "namespace": "monitoring",
        "labels": {"grafana_dashboard": None, "dashboards": "yes"},
        "annotations": {"grafana_folder": "Dask"},
    }
    for one in config_maps(nested("metrics.dashboards", values), helm):
        meta = one["metadata"]
        assert (meta["namespace"], meta["annotations"]) == ("monitoring", {"grafana_folder": "Dask"})
        assert meta["labels"]["dashboards"] == "yes"
        assert "grafana_dashboard" not in meta["labels"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("enabled", "yes"),
        ("enabled", None),
        ("namespace", 1),
        ("labels", ["a"]),
        ("annotations", {"a": True}),
        ("folder", "Dask"),
    ],
    ids=str,
)
def test_wrong_value_is_refused_by_its_name(helm: Helm, key: str, value: object) -> None:
    with pytest.raises(RefusedError, match=f"at '/metrics/dashboards.*{key}|missing property '{key}'"):
        render(nested(f"metrics.dashboards.{key}", value), helm=helm)


def test_together_they_are_small() -> None:
    assert sum(len(text.encode()) for text in sources.render(REPOSITORY).files.values()) <= MOST_BYTES


def test_links_between_them_lead_somewhere() -> None:
    uids = {dashboard["uid"] for dashboard in DASHBOARDS.values()}
    assert len(uids) == len(DASHBOARDS)
    linked = re.findall(r"/d/([\w-]+)\?", json.dumps(DASHBOARDS))
    assert linked
    assert set(linked) <= uids


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_a_place_of_their_own(name: str) -> None:
    panels = DASHBOARDS[name]["panels"]
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_say_their_unit_and_take_the_data_source_that_is_chosen(name: str) -> None:
    for panel in DASHBOARDS[name]["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert '"unit"' in json.dumps(panel["fieldConfig"])
            assert panel["targets"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_prometheus_can_read_every_query(tmp_path: Path, name: str) -> None:
    dashboard = DASHBOARDS[name]
    expressions = [*queries(dashboard).values(), *(series for _, series, _ in choices(dashboard))]
    rules = [{"record": f"query:{number}", "expr": filled(query, VALUES)} for number, query in enumerate(expressions)]
    assert len(rules) > 10
    assert check_rules([{"name": name, "rules": rules}], tmp_path) == ""


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_of_a_query_can_be_chosen(name: str) -> None:
    known = {choice for choice, _, _ in choices(DASHBOARDS[name])}
    for query in queries(DASHBOARDS[name]).values():
        assert set(re.findall(r"\$(\w+)", query)) <= known | {"__rate_interval"}


def test_what_is_asked_of_the_operator_is_what_it_measures() -> None:
    own = {metric.name for metric in (*REGISTRY.collect(), *ClustersCollector(list, int).describe())}
    asked = set(re.findall(r"dask_operator_\w+", json.dumps(DASHBOARDS)))
    assert asked
    assert {re.sub("_(total|bucket|count|sum)$", "", name) for name in asked} <= own
