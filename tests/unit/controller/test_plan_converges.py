"""Plans followed one after the other lead from any state to exactly the one that was asked for, and then to rest."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count

import pytest

from dask_kubernetes_operator.kube import ApiError
from dask_kubernetes_operator.reconcile.actions import Action, Create, Delete, DeleteCollection, Patch
from dask_kubernetes_operator.reconcile.plan import Plan, plan
from dask_kubernetes_operator.reconcile.report import Answer, Refusal, SchedulerReport, Workers
from dask_kubernetes_operator.resources import (
    DASK_CLUSTERS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Resource,
)

from .objects import KEY, NOW, Object, cluster, deployment, group, owned_by, service, terminating, worker
from .planning import registered
from .world import World, store_of

pytestmark = pytest.mark.unit

SEEDS = range(150)
FEWER_SEEDS = range(40)
ROUNDS = 8
# An update of six workers one by one, each handed over and started in three rounds, is well within these.
MOST_ROUNDS = 60

FOREIGN = {"apiVersion": "example.com/v1", "kind": "App", "name": "app", "uid": "uid-app"}
STRATEGIES: tuple[Object | None, ...] = (
    None,
    {"type": "Rolling", "rolling": {"maxSurge": 0, "maxUnavailable": 1}},
    {"type": "Rolling", "rolling": {"maxSurge": 1, "maxUnavailable": 0}},
    {"type": "Recreate"},
)


class Story:
    """A world in a random state, and time that goes by in it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.world = World()
        self.now: datetime = NOW
        self.world.now = lambda: self.now
        self.suffixes = count(1)
        self.asked: dict[str, int] = {}
        self.retired: set[str] = set()
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
        wanted = cluster(replicas=replicas)
        if strategy := self.random.choice(STRATEGIES):
            wanted["spec"]["updateStrategy"] = strategy
        body = self.world.put(DASK_CLUSTERS, wanted)
        self.asked["simple-default"] = replicas
        built_from = body if self.random.random() < 0.7 else _edited_scheduler(body)
        for resource, part in ((DEPLOYMENTS, deployment(built_from)), (SERVICES, service(body))):
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
                f"{name}-{number}",
                owner if self.random.random() < 0.7 else _edited_worker(owner),
                group_name=name,
                phase=phase,
                created_at=NOW - age,
                finished_at=ended,
                draining_since=NOW - age if self.random.random() < 0.2 else None,
            )
            self.world.put(PODS, terminating(pod) if self.random.random() < 0.2 else pod)

    def plan(self) -> Plan:
        observed = replace(store_of(self.world).observe(KEY), scheduler_report=self._report())
        return plan(observed, self.now, new_suffix=lambda: f"s{next(self.suffixes)}")

    def _report(self) -> SchedulerReport:
        """What the scheduler says now, or said a while ago, or why it says nothing."""
        running = [pod for pod in self.world.live_pods() if pod["status"]["phase"] == "Running"]
        known = [pod["metadata"]["name"] for pod in running if pod["metadata"]["uid"] not in self.retired]
        age = timedelta(seconds=self.random.choice([0, 0, 0, 60]))
        answer = Answer(self.now - age, workers=tuple(map(registered, known)))
        refusal = Refusal("SchedulerUnreachable", "", self.now) if self.random.random() < 0.1 else None
        return SchedulerReport({Workers(): answer}, refusal, retired=frozenset(self.retired))

    def follow(self, result: Plan) -> None:
        """Send what is to be done in any order; some does not arrive."""
        actions = [*result.actions, *result.statuses]
        self.random.shuffle(actions)
        for action in actions:
            if self.random.random() < 0.1:
                continue
            with suppress(ApiError):
                self.send(action)
        self.retired |= {retirement.pod_uid for retirement in result.retirements if self.random.random() < 0.7}

    def send(self, action: Action) -> None:
        match action:
            case Create():
                self.world.create(action.resource, "default", action.body)
            case Patch():
                self.world.patch(action.resource, "default", action.name, action.patch, action.subresource)
            case Delete():
                self.world.delete(action.resource, "default", action.name, action.uid, action.version)
            case DeleteCollection():
                self.world.delete_collection(action.resource, "default", action.selector)

    def live_on(self) -> None:
        """Time goes by, and the rest of Kubernetes does its part, now and then."""
        self.now += timedelta(seconds=10)
        if self.random.random() < 0.7:
            self.world.run_nodes()
        if self.random.random() < 0.7:
            self.world.collect_garbage()

    def come_to_rest(self) -> None:
        """Live on until there is nothing to do any more."""
        for _ in range(ROUNDS):
            self.follow(self.plan())
            self.live_on()
        self.random.random = lambda: 0.5  # type: ignore[method-assign]
        self.random.choice = lambda options: options[0]  # type: ignore[method-assign, assignment]
        for _ in range(MOST_ROUNDS):
            before = self.world.version
            self.follow(self.plan())
            self.live_on()
            if self.world.version == before and not self.plan().actions:
                return
        raise AssertionError("it never comes to rest")


def _edited_worker(owner: Object) -> Object:
    """The group as it was before an edit of its spec."""
    former = deepcopy(owner)
    former["spec"]["worker"]["spec"]["containers"][0]["image"] = "former"
    return former


def _edited_scheduler(owner: Object) -> Object:
    """The cluster as it was before an edit of its spec."""
    former = deepcopy(owner)
    former["spec"]["scheduler"]["spec"]["containers"][0]["image"] = "former"
    return former


@pytest.mark.parametrize("seed", SEEDS)
def test_any_state_ends_in_the_one_that_was_asked_for(seed: int) -> None:
    story = Story(seed)
    world = story.world
    story.come_to_rest()

    body = world.get(DASK_CLUSTERS, "simple")
    groups = {found["metadata"]["name"]: found for found in world.all(DASK_WORKER_GROUPS)}
    assert set(groups) == set(story.asked)
    for found in (*world.all(DEPLOYMENTS), *world.all(SERVICES), *groups.values()):
        assert body["metadata"]["uid"] in {owner["uid"] for owner in found["metadata"]["ownerReferences"]}
    [scheduler], [_] = world.all(DEPLOYMENTS), world.all(SERVICES)
    fresh_scheduler = deployment(body)
    for key in ("dask.org/spec-hash", "dask.org/propagated-metadata"):
        assert scheduler["metadata"]["annotations"][key] == fresh_scheduler["metadata"]["annotations"][key]

    for name, asked in story.asked.items():
        live = world.live_pods(name)
        assert len(live) == asked, name
        fresh = worker("any", groups[name])["metadata"]
        for pod in live:
            meta = pod["metadata"]
            assert [owner["uid"] for owner in meta["ownerReferences"]] == [groups[name]["metadata"]["uid"]]
            assert meta["annotations"] == fresh["annotations"]
        assert groups[name]["status"]["replicas"] == groups[name]["status"]["readyReplicas"] == asked
    assert len(world.live_pods()) + 1 == len(world.all(PODS)), "and the one of the scheduler"
    assert body["status"]["phase"] == "Running"
    states = {condition["type"]: condition["status"] for condition in body["status"]["conditions"]}
    assert states == {
        "Ready": "True",
        "SchedulerReady": "True",
        "WorkersReady": "True",
        "Progressing": "False",
        "Draining": "False",
        "Suspended": "False",
        "Degraded": "False",
    }

    assert story.plan() == Plan(), "at rest there is nothing left to do"


@pytest.mark.parametrize("seed", FEWER_SEEDS)
def test_deletion_from_any_state_leaves_nothing(seed: int) -> None:
    story = Story(seed)
    for _ in range(story.random.randrange(3)):
        story.follow(story.plan())
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
    story = Story(seed)
    for _ in range(6):
        result = story.plan()
        meant: Counter[tuple[str, str]] = Counter()
        patched: dict[tuple[str, str], list[str]] = {}
        for action in result.actions:
            match action:
                case Create():
                    meant[action.resource.kind, action.body["metadata"]["name"]] += 1
                case Delete():
                    meant[action.resource.kind, action.name] += 1
                case Patch():
                    patched.setdefault((action.resource.kind, action.name), []).extend(_fields(action))
                case DeleteCollection():
                    hit = story.world.list(action.resource, "default", action.selector, None)[0]
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
        assert not meant.keys() & patched.keys()
        for fields in patched.values():
            assert len(fields) == len(set(fields)), "two patches of one object never write the same field"
        story.follow(result)
        story.live_on()


def _fields(action: Patch) -> list[str]:
    if isinstance(action.patch, list):
        return [operation["path"] for operation in action.patch if operation["path"] != "/metadata/uid"]
    metadata = action.patch.get("metadata", {})
    return [f"/{part}/{key}" for part in ("labels", "annotations") for key in metadata.get(part, {})]


@pytest.mark.parametrize("seed", FEWER_SEEDS)
def test_running_worker_of_a_living_group_is_never_deleted_unasked(seed: int) -> None:
    story = Story(seed)
    for _ in range(2 * ROUNDS):
        owners = {
            found["metadata"]["uid"]
            for found in story.world.all(DASK_WORKER_GROUPS)
            if {owner["uid"] for owner in found["metadata"].get("ownerReferences") or []} != {"uid-old"}
        }
        needed = {
            pod["metadata"]["uid"]
            for pod in story.world.live_pods()
            if pod["status"]["phase"] == "Running"
            and pod["metadata"]["ownerReferences"][0]["uid"] in owners
            and pod["metadata"]["uid"] not in story.retired
            and "dask.org/draining-since" not in pod["metadata"]["annotations"]
        }
        story.follow(story.plan())
        still = {pod["metadata"]["uid"] for pod in story.world.live_pods()}
        assert needed <= still
        story.live_on()
