"""Names, labels and selectors: what users and other tools rely on."""

from __future__ import annotations

import pytest

from dask_kubernetes_operator import naming

pytestmark = pytest.mark.unit


def test_names_are_those_of_the_contract() -> None:
    assert naming.scheduler_name("simple") == "simple-scheduler"
    assert naming.default_worker_group_name("simple") == "simple-default"
    assert naming.worker_name("simple-default", "4f0d13bbc4") == "simple-default-worker-4f0d13bbc4"
    assert naming.job_runner_name("simple-job") == "simple-job-runner"


@pytest.mark.parametrize("group", ["simple-default", "a", "worker-worker"])
def test_suffix_of_a_worker_is_what_its_name_was_made_with(group: str) -> None:
    assert naming.worker_suffix(naming.worker_name(group, "4f0d13bbc4")) == "4f0d13bbc4"


def test_labels_and_ports_are_those_of_the_contract() -> None:
    assert naming.scheduler_labels("simple") == {
        "dask.org/cluster-name": "simple",
        "dask.org/component": "scheduler",
    }
    assert naming.worker_group_labels("simple") == {
        "dask.org/cluster-name": "simple",
        "dask.org/component": "workergroup",
    }
    assert naming.worker_labels("simple", "simple-default") == {
        "dask.org/cluster-name": "simple",
        "dask.org/workergroup-name": "simple-default",
        "dask.org/component": "worker",
    }
    assert (naming.COMM_PORT_NAME, naming.COMM_PORT) == ("tcp-comm", 8786)
    assert (naming.DASHBOARD_PORT_NAME, naming.DASHBOARD_PORT) == ("http-dashboard", 8787)


def test_selector_does_not_depend_on_the_order_of_labels() -> None:
    assert naming.selector({"b": "2", "a": "1"}) == naming.selector({"a": "1", "b": "2"}) == "a=1,b=2"


def test_workers_of_two_groups_or_clusters_are_never_selected_together() -> None:
    selectors = {
        naming.selector(naming.worker_labels(cluster, group))
        for cluster in ("a", "b")
        for group in ("a-default", "b-default")
    }
    assert len(selectors) == 4


@pytest.mark.parametrize(
    "key",
    ["team", "app.kubernetes.io/name", "example.com/helm.sh", "dask.org/owner", "xmeta.helm.sh/release-name"],
)
def test_what_is_not_bookkeeping_is_kept(key: str) -> None:
    assert naming.without_bookkeeping({key: "value"}) == {key: "value"}


@pytest.mark.parametrize("key", ["cluster-replicas", "spec-hash", "propagated-metadata", "draining-since"])
def test_operators_own_annotations_are_never_a_users(key: str) -> None:
    assert naming.without_reserved({f"dask.org/{key}": "forged", "dask.org/owner": "me"}) == {"dask.org/owner": "me"}


def test_sign_of_life_of_a_client_is_not_passed_on() -> None:
    assert naming.without_reserved({"kubernetes.dask.org/client-seen": "2026-11-21T12:00:00Z"}) == {}


def test_input_is_not_changed() -> None:
    labels = {"helm.sh/chart": "app-1", "team": "data"}
    naming.without_bookkeeping(labels)
    naming.without_reserved({**labels, naming.CLUSTER_REPLICAS_ANNOTATION: "3"})
    assert labels == {"helm.sh/chart": "app-1", "team": "data"}
