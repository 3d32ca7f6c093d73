"""Real ones of Flux and Argo CD sync the operator and a team's Dask objects, with what the tree has for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.autoscaling import autoscaler, load
from tests.platform import CLUSTER_NAME_LABEL, Object, dask_cluster, eventually
from tests.render.kustomize.overlays import TREE, read
from tests.sync.conftest import CLUSTER_FILE, Site
from tests.sync.tool import CLUSTER, DEFINITIONS, OPERATOR, TEAM, now, part_of

pytestmark = pytest.mark.gitops

MINE = part_of(TEAM)


def worker(cluster: Object) -> Object:
    """The container of a cluster's workers."""
    container: Object
    [container] = cluster["spec"]["worker"]["spec"]["containers"]
    return container


def images_of_workers(site: Site) -> list[str]:
    """The image of each worker that is ready."""
    ready = site.platform.ready_pods(CLUSTER)
    return [
        pod["spec"]["containers"][0]["image"]
        for pod in site.platform.pods(CLUSTER)
        if pod["metadata"]["name"] in ready
    ]


def test_objects_without_their_definitions_are_told_what_they_lack(site: Site) -> None:
    site.tool.apply(*site.tool.team(TEAM, site.team))
    told = site.tool.says(MINE, site.tool.blames_missing_definitions)
    assert not told.synced


def test_all_is_synced_and_healthy(synced: Site) -> None:
    # The fixture has waited for just that; what the tool calls healthy is.
    assert len(synced.platform.ready_pods(CLUSTER)) == 2
    with synced.platform.client(CLUSTER) as client:
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3


def test_commit_with_another_image_rolls_the_workers(synced: Site) -> None:
    cluster = dask_cluster(CLUSTER, synced.platform.dask_image, replicas=2)
    worker(cluster)["image"] = synced.other_image
    worker(cluster)["env"] = [{"name": "ROLLED", "value": "true"}]
    synced.team.write(CLUSTER_FILE, cluster)
    synced.tool.healthy(MINE, synced.team.push("Another image"))
    assert images_of_workers(synced) == [synced.other_image] * 2


def elastic(site: Site) -> list[Object]:
    """A cluster of which the default group is scaled, and another group, which is in Git itself."""
    cluster = dask_cluster("elastic", site.platform.dask_image, replicas=1)
    template = {key: value for key, value in cluster["spec"]["worker"].items() if key != "replicas"}
    group = {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskWorkerGroup",
        "metadata": {"name": "elastic-extra"},
        "spec": {"cluster": "elastic", "worker": {**template, **site.tool.replicas_of_scaled_group}},
    }
    extra = autoscaler("elastic", minimum=1, maximum=2, workerGroup="elastic-extra")
    extra["metadata"] = {"name": "elastic-extra"}
    return [cluster, group, autoscaler("elastic", minimum=1, maximum=2), extra]


def test_what_autoscalers_scale_is_left_alone(synced: Site, request: pytest.FixtureRequest) -> None:
    seconds = request.config.getoption("autoscaling_seconds")
    synced.team.write("clusters/elastic.yaml", *elastic(synced))
    synced.tool.healthy(MINE, synced.team.push("A cluster that is scaled"))

    def has(count: int) -> None:
        eventually(
            f"{count} workers", lambda: synced.platform.ready_pods("elastic"), lambda names: len(names) == count
        )

    has(2)
    began, deadline, times = now(), time.monotonic() + seconds, 0
    with synced.tool.watched(MINE) as seen, synced.platform.client("elastic") as client:
        while time.monotonic() < deadline:
            with load(client):
                has(4)
            has(2)
            times += 1
    print(f"scaled up and down {times} times in {seconds:.0f} s")
    assert times >= 1
    assert synced.tool.writes(began) == []
    assert seen
    assert [told for told in seen if not told.synced] == []
    synced.team.remove("clusters/elastic.yaml")
    synced.tool.healthy(MINE, synced.team.push("No cluster that is scaled"))


@pytest.mark.parametrize("kind", ["deployment", "service", "pod"])
def test_child_deleted_by_hand_is_made_anew_by_the_operator_alone(synced: Site, kind: str) -> None:
    component = "worker" if kind == "pod" else "scheduler"
    selector = f"{CLUSTER_NAME_LABEL}={CLUSTER},dask.org/component={component}"
    victim = synced.platform.find(kind, selector)[0]["metadata"]
    began = now()
    with synced.tool.watched(MINE) as seen:
        synced.platform.kubectl("delete", kind, victim["name"], "--wait=false")
        eventually(
            "another one",
            lambda: [found["metadata"]["uid"] for found in synced.platform.find(kind, selector)],
            lambda uids: victim["uid"] not in uids and bool(uids),
        )
        synced.platform.wait("condition=Ready", f"daskcluster/{CLUSTER}")
    assert [told for told in seen if not told.synced] == []
    assert synced.tool.writes(began) == []


@contextmanager
def another_team(site: Site, name: str, branch: str = "main", *, has_namespace: bool = True) -> Iterator[str]:
    """What the tree has for a team, for one of another name that syncs a branch; the name of its part."""
    if has_namespace:
        site.platform.kubectl("create", "namespace", name)
    objects = site.tool.team(name, site.team, branch)
    for one in objects:
        # Nothing gets applied that would have to go with it, and Argo CD sees to no deletion between two attempts.
        one["metadata"].pop("finalizers", None)
    site.tool.apply(*objects)
    try:
        yield part_of(name)
    finally:
        for one in reversed(objects):
            site.tool.kubectl("delete", one["kind"], one["metadata"]["name"])
        site.platform.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def test_missing_namespace_is_named(synced: Site) -> None:
    with another_team(synced, "nowhere", has_namespace=False) as part:
        told = synced.tool.says(part, 'namespaces "nowhere" not found')
    assert not told.synced


def test_patch_that_does_not_fit_is_named(synced: Site) -> None:
    patch = {"target": {"kind": "DaskCluster"}, "patch": "- {op: remove, path: /spec/idleTimeout}"}
    kustomization = {"resources": [f"{CLUSTER}.yaml"], "patches": [patch]}
    with synced.team.branch("misfit"):
        synced.team.write("clusters/kustomization.yaml", kustomization)
        synced.team.push("A patch that does not fit", "misfit")
    with another_team(synced, "misfit", "misfit") as part:
        told = synced.tool.says(part, "/spec/idleTimeout")
    assert not told.synced


def test_field_that_is_refused_is_named(synced: Site) -> None:
    cluster = dask_cluster("refused", synced.platform.dask_image, replicas=1)
    cluster["spec"]["worker"]["replicas"] = -1
    with synced.team.branch("refused"):
        synced.team.write("clusters/refused.yaml", cluster)
        synced.team.push("A field that is refused", "refused")
    with another_team(synced, "refused", "refused") as part:
        told = synced.tool.says(part, "spec.worker.replicas")
    assert not told.synced


def test_cluster_that_is_removed_from_git_is_pruned(synced: Site) -> None:
    synced.team.remove(CLUSTER_FILE)
    # Argo CD prunes no application to the last object unless it is told to.
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    synced.team.write("clusters/settings.yaml", settings)
    synced.tool.healthy(MINE, synced.team.push("No cluster"))
    eventually("nothing of it left", synced.platform.remains, lambda found: not found)
    assert synced.platform.get("configmap", "settings")


def test_definitions_outlive_what_brought_them(synced: Site) -> None:
    synced.platform.apply(dask_cluster("kept", synced.platform.dask_image, replicas=1))
    synced.tool.delete(OPERATOR, DEFINITIONS)
    eventually(
        "no operator",
        lambda: synced.platform.kubectl("get", "deployments", "--namespace", OPERATOR, "-o", "name"),
        lambda names: names == "",
    )
    for definition in read(TREE / "crds" / "crds.yaml"):
        found = synced.platform.get("customresourcedefinition", definition["metadata"]["name"])
        assert "deletionTimestamp" not in found["metadata"]
    assert synced.platform.get("daskcluster", "kept")["spec"]["worker"]["replicas"] == 1
