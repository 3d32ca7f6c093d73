"""Looks things up in dashboards as Grafana reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tests.render.chart.helm import Object


def queries(dashboard: Object) -> dict[str, str]:
    """The expressions, each by the title of its panel and the letter that it has there."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }


def choices(dashboard: Object) -> Iterator[tuple[str, str, str]]:
    """The variables that are looked up: name, the series to look at, and the label whose values there are."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
            assert found, variable
            yield variable["name"], found.group(1), found.group(2)


def filled(query: str, values: Mapping[str, str]) -> str:
    """A query with the values of its variables in it.

    Raises:
        KeyError: it has a variable for which there is no value.
    """
    return re.sub(r"\$(\w+)", lambda found: values[found.group(1)], query)
