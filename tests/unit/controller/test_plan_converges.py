"""Plans followed one after the other lead from any state to exactly the one that was asked for, and then to rest."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count

import pytest

from dask_kubernetes_operator.kube import ApiError
from dask_kubernetes_operator.reconcile.actions import Action, Create, Delete, DeleteCollection, Patch
from dask_kubernetes_operator.reconcile.plan import Plan, plan
from dask_kubernetes_operator.resources import (
    DASK_CLUSTERS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Resource,
)

from .objects import KEY, NOW, Object, cluster, deployment, group, owned_by, service, terminating, worker
from .world import World, store_of

pytestmark = pytest.mark.unit

SEEDS = range(200)
FEWER_SEEDS = range(40)
ROUNDS = 8

FOREIGN = {"apiVersion": "example.com/v1", "kind": "App", "name": "app", "uid": "uid-app"}


class Story:
    """A world in a random state, and time that goes by in it."""

    def __init__(self, seed: int, *, starting: bool) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.starting = starting
        self.world = World()
        self.now: datetime = NOW
        self.world.now = lambda: self.now
        self.suffixes = count(1)
        self.asked: dict[str, int] = {}
        self.held: dict[str, int] = {}
        self._past()
        self._present()

    def _past(self) -> None:
        """What a former cluster of the name left behind, some of it on its way out."""
        if self.random.random() < 0.5:
            return
        old = cluster(uid="uid-old")
        old_group = group(uid="uid-old-group", owners=(old,), replicas=3)
        parts: list[tuple[Resource, Object]] = [
            (DASK_WORKER_GROUPS, old_group),
            (DEPLOYMENTS, deployment(old, uid="uid-old-deployment")),
            (SERVICES, service(old, uid="uid-old-service")),
            *((PODS, worker(f"old-{number}", old_group, uid=f"uid-old-{number}")) for number in range(3)),
        ]
        for resource, body in parts:
            if self.random.random() < 0.5:
                continue
            going = resource == PODS and self.random.random() < 0.5
            self.world.put(resource, terminating(body) if going else body)

    def _present(self) -> None:
        taken = {(body["kind"], body["metadata"]["name"]) for _, body in self.world.watched()}
        replicas = self.random.randrange(5)
        body = self.world.put(DASK_CLUSTERS, cluster(replicas=replicas))
        self.asked["simple-default"] = replicas
        for resource, part in ((DEPLOYMENTS, deployment(body)), (SERVICES, service(body))):
            if (part["kind"], part["metadata"]["name"]) not in taken and self.random.random() < 0.5:
                self.world.put(resource, part)
        if ("DaskWorkerGroup", "simple-default") not in taken and self.random.random() < 0.7:
            # Edited last: the cluster, the group, or neither.
            asked_of_group = self.random.randrange(5)
            carried_over = replicas if self.random.random() < 0.7 else replicas + 1
            self.asked["simple-default"] = asked_of_group if carried_over == replicas else replicas
            made = self.world.put(
                DASK_WORKER_GROUPS,
                group(owners=(body,), replicas=asked_of_group, cluster_replicas=carried_over),
            )
            self._workers(made)
        for number in range(self.random.randrange(3)):
            name = f"simple-extra{number}"
            extra = group(name, replicas=self.random.randrange(4), cluster_replicas=None)
            owners = [[], [FOREIGN], [owned_by(body)], [FOREIGN, owned_by(body)]]
            extra["metadata"]["ownerReferences"] = self.random.choice(owners)
            self.asked[name] = extra["spec"]["worker"]["replicas"]
            self._workers(self.world.put(DASK_WORKER_GROUPS, extra))

    def _workers(self, owner: Object) -> None:
        name = owner["metadata"]["name"]
        for number in range(self.random.randrange(6)):
            phase = self.random.choice(["Pending", "Running", "Failed", "Succeeded"])
            age = timedelta(seconds=self.random.randrange(60))
            ended = NOW if phase in ("Failed", "Succeeded") else None
            pod = worker(
                f"{name}-{number}", owner, group_name=name, phase=phase, created_at=NOW - age, finished_at=ended
            )
            if self.random.random() < 0.2:
                pod = terminating(pod)
            elif phase == "Running":
                self.held[name] = self.held.get(name, 0) + 1
            self.world.put(PODS, pod)

    def plan(self) -> Plan:
        return plan(store_of(self.world).observe(KEY), self.now, new_suffix=lambda: f"s{next(self.suffixes)}")

    def follow(self, actions: list[Action]) -> None:
        """Send the actions in any order; some do not arrive."""
        self.random.shuffle(actions)
        for action in actions:
            if self.random.random() < 0.1:
                continue
            with suppress(ApiError):
                self.send(action)

    def send(self, action: Action) -> None:
        match action:
            case Create(resource, body):
                self.world.create(resource, "default", body)
            case Patch(resource, name, patch, subresource):
                self.world.patch(resource, "default", name, patch, subresource)
            case Delete(resource, name, uid, version):
                self.world.delete(resource, "default", name, uid, version)
            case DeleteCollection(resource, selector):
                self.world.delete_collection(resource, "default", selector)

    def live_on(self) -> None:
        """Time goes by, and the rest of Kubernetes does its part, now and then."""
        self.now += timedelta(seconds=10)
        if self.random.random() < 0.7:
            self.world.run_nodes(starting=self.starting)
        if self.random.random() < 0.7:
            self.world.collect_garbage()

    def come_to_rest(self) -> None:
        for _ in range(ROUNDS):
            result = self.plan()
            self.follow([*result.actions, *result.statuses])
            self.live_on()
        for _ in range(3):
            self.world.collect_garbage()
            self.world.run_nodes(starting=self.starting)
            for action in (*(result := self.plan()).actions, *result.statuses):
                self.send(action)
        self.world.run_nodes()
        for patch in self.plan().statuses:
            self.send(patch)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_state_ends_in_the_one_that_was_asked_for(seed: int) -> None:
    # A worker that starts is not taken away any more: the count is exact only as long as none does.
    story = Story(seed, starting=False)
    world = story.world
    story.come_to_rest()

    body = world.get(DASK_CLUSTERS, "simple")
    groups = {found["metadata"]["name"]: found for found in world.all(DASK_WORKER_GROUPS)}
    assert set(groups) == set(story.asked)
    for found in (*world.all(DEPLOYMENTS), *world.all(SERVICES), *groups.values()):
        assert body["metadata"]["uid"] in {owner["uid"] for owner in found["metadata"]["ownerReferences"]}
    assert len(world.all(DEPLOYMENTS)) == len(world.all(SERVICES)) == 1

    for name, asked in story.asked.items():
        uid = groups[name]["metadata"]["uid"]
        live = world.live_pods(name)
        assert all(owner["uid"] == uid for pod in live for owner in pod["metadata"]["ownerReferences"])
        # Workers that run are kept beyond what is asked for; everything else is exact.
        assert len(live) == max(asked, story.held.get(name, 0)), name
        assert groups[name]["status"]["replicas"] == groups[name]["status"]["readyReplicas"] == len(live)
    assert len(world.live_pods()) == len(world.all(PODS))
    assert body["status"]["phase"] == "Running"
    assert {c["type"]: c["status"] for c in body["status"]["conditions"]}["Ready"] == "True"

    assert story.plan() == Plan(), "at rest there is nothing left to do"


@pytest.mark.parametrize("seed", FEWER_SEEDS)
def test_deletion_from_any_state_leaves_nothing(seed: int) -> None:
    story = Story(seed, starting=True)
    for _ in range(story.random.randrange(3)):
        story.follow(list(story.plan().actions))
        story.live_on()
    adopted = {
        found["metadata"]["name"]
        for found in story.world.all(DASK_WORKER_GROUPS)
        if "uid-simple" in {owner["uid"] for owner in found["metadata"].get("ownerReferences") or []}
        and FOREIGN not in found["metadata"]["ownerReferences"]
    }
    story.world.drop(DASK_CLUSTERS, "simple")
    story.come_to_rest()
    assert not story.world.all(DEPLOYMENTS)
    assert not story.world.all(SERVICES)
    left = {found["metadata"]["name"] for found in story.world.all(DASK_WORKER_GROUPS)}
    assert not left & adopted
    assert not story.plan().actions


@pytest.mark.parametrize("seed", FEWER_SEEDS)
def test_actions_of_a_plan_do_not_meddle_with_each_other(seed: int) -> None:
    # They are sent at the same time: two for one object would make the outcome a matter of luck.
    story = Story(seed, starting=True)
    for _ in range(4):
        result = story.plan()
        meant: Counter[tuple[str, str]] = Counter()
        for action in result.actions:
            match action:
                case Create(resource, body):
                    meant[resource.kind, body["metadata"]["name"]] += 1
                case Patch(resource, name) | Delete(resource, name):
                    meant[resource.kind, name] += 1
                case DeleteCollection(resource, selector):
                    hit = story.world.list(resource, "default", selector, None)[0]
                    created = [made.body for made in result.actions if isinstance(made, Create)]
                    labelled = {pod["metadata"]["labels"]["dask.org/workergroup-name"] for pod in hit}
                    new = [
                        made["metadata"]["name"]
                        for made in created
                        if made["kind"] == "Pod"
                        and made["metadata"]["labels"]["dask.org/workergroup-name"] in labelled
                    ]
                    assert not new, "fresh workers bear the labels by which old ones are deleted"
        assert [key for key, times in meant.items() if times > 1] == []
        story.follow(list(result.actions))
        story.live_on()


@pytest.mark.parametrize("seed", FEWER_SEEDS)
def test_running_worker_of_a_living_group_is_never_deleted(seed: int) -> None:
    story = Story(seed, starting=True)
    for _ in range(ROUNDS):
        owners = {
            found["metadata"]["uid"]
            for found in story.world.all(DASK_WORKER_GROUPS)
            if {owner["uid"] for owner in found["metadata"].get("ownerReferences") or []} != {"uid-old"}
        }
        running = {
            pod["metadata"]["uid"]
            for pod in story.world.live_pods()
            if pod["status"]["phase"] == "Running" and pod["metadata"]["ownerReferences"][0]["uid"] in owners
        }
        story.follow(list(story.plan().actions))
        still = {pod["metadata"]["uid"] for pod in story.world.live_pods()}
        assert running <= still
        story.live_on()
