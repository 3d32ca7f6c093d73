"""What is wrong in the source of a dashboard is named by its place."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from scripts.render.dashboards import dashboard
from scripts.tree import TreeError

pytestmark = pytest.mark.unit

SOURCE: dict[str, Any] = {
    "uid": "letters",
    "title": "Letters",
    "description": "All letters",
    "selectors": {"letters": 'letter=~"$letter"'},
    "variables": [{"name": "letter", "title": "Letter", "metric": "size", "label": "letter", "several": True}],
    "rows": [
        {
            "title": "Sizes",
            "panels": [
                {"graph": "Size", "unit": "bytes", "queries": {"{{letter}}": "size{<letters>}", "all": "sum(size)"}},
                {"stat": "Letters", "unit": "short", "query": "count(size{<letters>})"},
            ],
        }
    ],
}


def test_selectors_are_filled_in() -> None:
    row, graph, stat = dashboard(SOURCE, "letters.yaml")["panels"]
    assert row["title"] == "Sizes"
    assert [(one["refId"], one["expr"], one["legendFormat"]) for one in graph["targets"]] == [
        ("A", 'size{letter=~"$letter"}', "{{letter}}"),
        ("B", "sum(size)", "all"),
    ]
    assert stat["targets"][0]["expr"] == 'count(size{letter=~"$letter"})'


def test_panels_stand_side_by_side_and_lines_below_one_another() -> None:
    source = copy.deepcopy(SOURCE)
    source["rows"][0]["panels"] *= 2
    source["rows"].append({"title": "More", "perLine": 1, "panels": SOURCE["rows"][0]["panels"]})
    places = [panel["gridPos"] for panel in dashboard(source, "letters.yaml")["panels"]]
    assert [(place["x"], place["y"], place["w"]) for place in places] == [
        *((0, 0, 24), (0, 1, 8), (8, 1, 8), (16, 1, 8), (0, 9, 8)),
        *((0, 13, 24), (0, 14, 24), (0, 22, 24)),
    ]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("colour",), "red", "letters.yaml: (root): colour means nothing here"),
        (("rows", 0, "colour"), "red", "rows.0: colour means nothing here"),
        (("rows", 0, "panels", 0, "colour"), "red", "rows.0.panels.0: colour means nothing here"),
        (("rows", 0, "panels", 1, "query"), "size{<words>}", "rows.0.panels.1: there is no selector 'words'"),
        (("rows", 0, "panels", 1), {"pie": "Letters"}, "rows.0.panels.1: it is none of graph, stat, table"),
        (("rows", 0, "panels", 1), {"stat": "Letters", "query": "1"}, "rows.0.panels.1: there is no unit"),
        (("variables", 0), {"name": "letter"}, "variables.0: there is no metric"),
    ],
)
def test_mistake_is_named_by_its_place(path: tuple[str | int, ...], value: object, said: str) -> None:
    source = copy.deepcopy(SOURCE)
    parent: Any = source
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    with pytest.raises(TreeError) as caught:
        dashboard(source, "letters.yaml")
    assert said in str(caught.value)
