"""The PrometheusRule: which series make each alert fire, after how long, and which do not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.render.chart.helm import REPOSITORY, Helm, Object, RefusedError, merge, nested, pick, render
from tests.render.chart.promtool import check_rules, check_tests

pytestmark = pytest.mark.render

PAGE = REPOSITORY / "docs" / "alerts.md"
ENABLED = nested("metrics.rules.enabled", True)
CHANGES = "metrics.rules.alerts"

OPERATOR = 'namespace="dask-operator",pod="operator"'
CLUSTER = 'namespace="default",dask_org_cluster_name="simple"'
OF_CLUSTER = {"namespace": "default", "dask_org_cluster_name": "simple"}
SEEN_BY_OPERATOR = {"cluster_namespace": "default", "cluster_name": "simple"}


def groups(values: Object, helm: Helm) -> list[Object]:
    found: list[Object] = pick(render(merge(ENABLED, values), helm=helm), "PrometheusRule", "spec", "groups")
    return found


def alerts(values: Object, helm: Helm) -> dict[str, Object]:
    return {alert["alert"]: alert for group in groups(values, helm) for alert in group["rules"]}


@dataclass(frozen=True)
class Case:
    """Series that make an alert fire.

    Attributes:
        series: series to their values, a minute apart from one another, as promtool writes them.
        at: when it fires, in minutes; a minute before it does not.
        summary: how it is told.
        labels: what it is told with, beside its name and severity.
        harmless: series with which it does not fire.
    """

    series: dict[str, str]
    at: int
    summary: str
    labels: dict[str, str]
    harmless: dict[str, str]
    severity: str = "warning"


def unsettled(condition: str, reason: str = "Why", operator: str = OPERATOR) -> str:
    labels = 'cluster_namespace="default",cluster_name="simple"'
    return f'dask_operator_cluster_unsettled{{{operator},{labels},condition="{condition}",reason="{reason}"}}'


ELSEWHERE = 'namespace="other",pod="operator"'
WORKER = f'{CLUSTER},dask_org_workergroup_name="simple-default"'
ERRORS = f"dask_operator_reconcile_errors_total{{{OPERATOR},reason="
RETIREMENTS = f"dask_operator_worker_retirements_total{{{OPERATOR},outcome="

CASES = {
    "DaskOperatorDown": Case(
        {f"dask_operator_leader{{{OPERATOR}}}": "1x10 0x30", f"dask_operator_leader{{{ELSEWHERE}}}": "1x40"},
        14,
        "No Dask operator is at work.",
        {},
        {
            f"dask_operator_leader{{{OPERATOR}}}": "0x60",
            'dask_operator_leader{namespace="dask-operator",pod="b"}': "1x60",
        },
        severity="critical",
    ),
    "DaskOperatorFailing": Case(
        {f'{ERRORS}"Forbidden"}}': "0+10x60", f'{ERRORS}"Invalid"}}': "0+1x60"},
        22,
        "The Dask operator keeps failing with Forbidden.",
        {"namespace": "dask-operator", "reason": "Forbidden"},
        {f'{ERRORS}"Forbidden"}}': "0+4x60"},
    ),
    "DaskOperatorBehind": Case(
        {f"dask_operator_reconcile_queue_depth{{{OPERATOR}}}": "101x60"},
        10,
        "The Dask operator does not keep up.",
        {"namespace": "dask-operator"},
        {f"dask_operator_reconcile_queue_depth{{{OPERATOR}}}": "100x60"},
    ),
    "DaskWorkersRemovedWithData": Case(
        {f'{RETIREMENTS}"deadline"}}': "0x20 1x60"},
        21,
        "Dask workers were removed before their data was moved.",
        {"namespace": "dask-operator"},
        {f'{RETIREMENTS}"deadline"}}': "2x60", f'{RETIREMENTS}"retired"}}': "0+1x60"},
    ),
    "DaskClusterDegraded": Case(
        # The reason changes to and fro while an image cannot be pulled, and the replica that leads may change.
        {
            unsettled("Degraded", "ErrImagePull"): "1 stale 1 stale 1 stale",
            unsettled("Degraded", "ImagePullBackOff"): "_ 1 stale 1 stale 1x60",
        },
        10,
        "The Dask cluster default/simple is degraded.",
        SEEN_BY_OPERATOR,
        {
            unsettled("Degraded"): "1x8 stale",
            unsettled("Draining"): "1x60",
            unsettled("Degraded", "Why", ELSEWHERE): "1x60",
        },
    ),
    "DaskSchedulerNotReady": Case(
        {unsettled("SchedulerReady"): "1x60"},
        10,
        "The Dask cluster default/simple has no scheduler.",
        SEEN_BY_OPERATOR,
        {unsettled("WorkersReady"): "1x60"},
    ),
    "DaskWorkersNotReady": Case(
        {unsettled("WorkersReady"): "1x60"},
        20,
        "The Dask cluster default/simple lacks workers.",
        SEEN_BY_OPERATOR,
        {unsettled("SchedulerReady"): "1x60"},
    ),
    "DaskWorkersDrainLong": Case(
        {unsettled("Draining", "HandingOver"): "1x90"},
        60,
        "The Dask cluster default/simple does not finish draining.",
        SEEN_BY_OPERATOR,
        {unsettled("Draining", "HandingOver"): "1x50 stale 1x50"},
    ),
    "DaskSchedulerNotAnswering": Case(
        {f"up{{{CLUSTER}}}": "1x10 0x60", f"up{{{WORKER}}}": "1x60"},
        16,
        "The scheduler of default/simple does not answer.",
        OF_CLUSTER,
        {f"up{{{CLUSTER}}}": "1x60", f"up{{{WORKER}}}": "0x60", 'up{job="other"}': "0x60"},
    ),
    "DaskSchedulerEventLoopBlocked": Case(
        {f"dask_scheduler_tick_duration_maximum_seconds{{{CLUSTER}}}": "3x60"},
        5,
        "The scheduler of default/simple is overloaded.",
        OF_CLUSTER,
        {f"dask_scheduler_tick_duration_maximum_seconds{{{CLUSTER}}}": "0.02x10 5 0.02x30"},
    ),
    "DaskWorkersPaused": Case(
        {f'dask_scheduler_workers{{{CLUSTER},state="paused"}}': "2x60"},
        10,
        "Workers of default/simple are out of memory.",
        OF_CLUSTER,
        {
            f'dask_scheduler_workers{{{CLUSTER},state="paused"}}': "0x60",
            f'dask_scheduler_workers{{{CLUSTER},state="saturated"}}': "2x60",
        },
    ),
}


def played(series: dict[str, str], *expected: Object) -> Object:
    """A test as promtool reads it."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": list(expected),
    }


def test_every_alert_has_a_case(helm: Helm) -> None:
    assert set(alerts({}, helm)) == set(CASES)


def test_default_has_no_rule(defaults: list[Object]) -> None:
    assert "PrometheusRule" not in {one["kind"] for one in defaults}


def test_promtool_has_no_objection(helm: Helm, tmp_path: Path) -> None:
    assert check_rules(groups({}, helm), tmp_path) == ""


def test_promtool_objects_to_what_is_wrong(helm: Helm, tmp_path: Path) -> None:
    wrong = groups(nested(f"{CHANGES}.DaskWorkersPaused", {"expr": "sum by ("}), helm)
    assert "could not parse expression" in check_rules(wrong, tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_alert_fires_for_what_it_is_about_and_nothing_else(helm: Helm, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    only = [
        {**group, "rules": [_told(one) for one in group["rules"] if one["alert"] == name]}
        for group in groups({}, helm)
    ]
    fires = {"exp_labels": {"severity": case.severity, **case.labels}, "exp_annotations": {"summary": case.summary}}
    tests = [
        played(
            case.series,
            {"alertname": name, "eval_time": f"{case.at - 1}m"},
            {"alertname": name, "eval_time": f"{case.at}m", "exp_alerts": [fires]},
        ),
        played(case.harmless, *({"alertname": name, "eval_time": f"{minute}m"} for minute in (5, case.at, 45, 60))),
    ]
    assert check_tests([group for group in only if group["rules"]], tests, tmp_path) == ""


def _told(alert: Object) -> Object:
    """An alert as its summary tells it; what else it says has no condition in it."""
    return {**alert, "annotations": {"summary": alert["annotations"]["summary"]}}


def test_every_alert_says_what_to_do(helm: Helm) -> None:
    sections = re.findall(r"^## (\w+)$", PAGE.read_text(), re.MULTILINE)
    found = alerts({}, helm)
    assert sections == list(found)
    for name, alert in found.items():
        runbook = f"https://github.com/dask/dask-kubernetes/blob/main/docs/alerts.md#{name.lower()}"
        assert alert["annotations"]["runbook_url"] == runbook
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
        assert set(alert["labels"]) == {"severity"}


def test_operator_is_looked_for_where_it_is_installed(helm: Helm) -> None:
    found = alerts({"namespaceOverride": "elsewhere"}, helm)
    assert found["DaskOperatorDown"]["expr"] == 'absent(dask_operator_leader{namespace="elsewhere"} == 1)'
    assert not [alert for alert in found.values() if "$operatorNamespace" in str(alert)]


def test_rule_of_another_namespace_looks_for_the_operator_in_its_own(helm: Helm) -> None:
    values = merge(ENABLED, nested("metrics.rules.namespace", "monitoring"))
    objects = render(values, helm=helm)
    assert pick(objects, "PrometheusRule", "metadata", "namespace") == "monitoring"
    assert 'namespace="dask-operator"' in str(pick(objects, "PrometheusRule", "spec"))


def test_alert_can_be_left_out(helm: Helm) -> None:
    changed = nested(f"{CHANGES}.DaskWorkersPaused.enabled", False)
    before, after = alerts({}, helm), alerts(changed, helm)
    del before["DaskWorkersPaused"]
    assert after == before


def test_all_alerts_can_be_left_out(helm: Helm) -> None:
    changed = nested(CHANGES, {name: {"enabled": False} for name in CASES})
    assert alerts(changed, helm) == {}


def test_alert_can_be_changed(helm: Helm) -> None:
    change: dict[str, Any] = {
        "expr": "vector(1)",
        "for": "30m",
        "labels": {"severity": "critical", "team": "data"},
        "annotations": {"summary": "Something.", "runbook_url": "https://wiki.test/dask"},
    }
    before, after = (
        alerts(values, helm)["DaskClusterDegraded"]
        for values in ({}, nested(f"{CHANGES}.DaskClusterDegraded", change))
    )
    annotations = {**before["annotations"], **change["annotations"]}
    assert after == {"alert": "DaskClusterDegraded", **change, "annotations": annotations}


@pytest.mark.parametrize("nothing", [None, {}])
def test_change_that_changes_nothing_is_none(helm: Helm, nothing: Object | None) -> None:
    assert alerts(nested(f"{CHANGES}.DaskClusterDegraded", nothing), helm) == alerts({}, helm)


def test_without_a_page_there_is_no_link(helm: Helm) -> None:
    for alert in alerts(nested("metrics.rules.runbookUrl", ""), helm).values():
        assert "runbook_url" not in alert["annotations"]


WRONG = [
    ("rules.enabled", "yes", "at '/metrics/rules/enabled'"),
    ("rules.namespace", 1, "at '/metrics/rules/namespace'"),
    ("rules.runbookUrl", True, "at '/metrics/rules/runbookUrl'"),
    ("rules.additionalLabels", {"a": 1}, "at '/metrics/rules/additionalLabels/a'"),
    ("rules.labels", {}, "at '/metrics/rules': additional properties 'labels' not allowed"),
    ("rules.alerts", [], "at '/metrics/rules/alerts'"),
    ("rules.alerts.DaskOperatorDown", False, "at '/metrics/rules/alerts/DaskOperatorDown'"),
    ("rules.alerts.DaskOperatorDown.enabled", "no", "at '/metrics/rules/alerts/DaskOperatorDown/enabled'"),
    ("rules.alerts.DaskOperatorDown.for", "5 minutes", "at '/metrics/rules/alerts/DaskOperatorDown/for'"),
    ("rules.alerts.DaskOperatorDown.for", "", "at '/metrics/rules/alerts/DaskOperatorDown/for'"),
    ("rules.alerts.DaskOperatorDown.expr", "", "at '/metrics/rules/alerts/DaskOperatorDown/expr'"),
    ("rules.alerts.DaskOperatorDown.labels", {"a": 1}, "at '/metrics/rules/alerts/DaskOperatorDown/labels/a'"),
    ("rules.alerts.DaskOperatorDown.severity", "info", "additional properties 'severity' not allowed"),
    ("rules.alerts.DaskOperatorUp", {"for": "1m"}, "metrics.rules.alerts.DaskOperatorUp: there is no such alert"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG)
def test_wrong_value_is_refused_by_its_name(helm: Helm, key: str, value: object, said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        render(merge(ENABLED, nested(f"metrics.{key}", value)), helm=helm)
    assert said in str(caught.value)
