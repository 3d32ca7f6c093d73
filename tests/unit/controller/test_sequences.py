"""Whatever was asked for before, and whatever happened: what comes of it in the end is what is asked for now."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from dask_kubernetes_operator.kube import ApiError
from dask_kubernetes_operator.resources import (
    DASK_AUTOSCALERS,
    DASK_CLUSTERS,
    DASK_JOBS,
    DASK_WORKER_GROUPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    Resource,
)

from . import jobs
from .dask_world import DaskWorld
from .objects import Object, cluster, group
from .operator import Clock, Operator, play
from .states import difference, state_of
from .virtual_time import simulate
from .world import CUSTOM, WATCHED, World

pytestmark = pytest.mark.unit

SEEDS = range(8)
STORIES_PER_SEED = 10
OPERATIONS_PER_STORY = 20

TRANSITIONS = 1000

# Long enough for a runner that failed twice to be tried again, and for autoscalers.
QUIET_SECONDS = 120
CONVERGED_SECONDS = 30
SOON_SECONDS = 10

CLUSTERS = ("a", "b")
GROUPS = {"a-extra": "a", "b-extra": "b"}
AUTOSCALERS = {"on-a": ("a", None), "on-a-extra": ("a", "a-extra"), "on-b": ("b", None)}
JOB = "j"
BEHAVIOR = {"scaleDown": {"stabilizationWindowSeconds": 5}}

Change = Callable[[Object], None]
T = TypeVar("T")


def any_of(*strategies: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """One of these, each as often as any other, and one that is named twice twice as often."""
    return st.sampled_from(strategies).flatmap(lambda strategy: strategy)


# What is asked for --------------------------------------------------------------------------------------------------


def a_cluster(name: str) -> Object:
    return as_written(cluster(name, replicas=2))


def a_group(name: str) -> Object:
    return as_written(group(name, cluster_name=GROUPS[name], replicas=1, cluster_replicas=None))


def an_autoscaler(name: str) -> Object:
    target, group_name = AUTOSCALERS[name]
    spec: Object = {"cluster": target, "minimum": 1, "maximum": 4, "behavior": deepcopy(BEHAVIOR)}
    if group_name is not None:
        spec["workerGroup"] = group_name
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskAutoscaler",
        "metadata": {"name": name},
        "spec": spec,
    }


def a_job(name: str) -> Object:
    body = as_written(jobs.job(backoffLimit=6, deletionPolicy="Delete"))
    body["metadata"]["name"] = name
    body["spec"]["cluster"]["spec"] = cluster(name, replicas=2)["spec"]
    return body


MADE: dict[Resource, tuple[Callable[[str], Object], Sequence[str]]] = {
    DASK_CLUSTERS: (a_cluster, CLUSTERS),
    DASK_WORKER_GROUPS: (a_group, tuple(GROUPS)),
    DASK_AUTOSCALERS: (an_autoscaler, tuple(AUTOSCALERS)),
    DASK_JOBS: (a_job, (JOB,)),
}


def as_written(body: Object) -> Object:
    """What a user has in a file of an object that the API server stores."""
    meta = {
        key: deepcopy(body["metadata"][key]) for key in ("name", "labels", "annotations") if key in body["metadata"]
    }
    return {**deepcopy(body), "metadata": meta}


def container(part: Object) -> Object:
    found: Object = part["spec"]["containers"][0]
    return found


def edits_of_pods(part: Callable[[Object], Object]) -> st.SearchStrategy[tuple[str, Change]]:
    """Edits of what Pods are made from; ``part`` finds it in an object."""

    def to(what: str, change: Callable[[Object, Any], None], values: Sequence[object]) -> Any:
        return st.sampled_from(values).map(lambda value: (what, lambda body: change(part(body), value)))

    return st.one_of(
        to("image", lambda found, value: container(found).update(image=value), ["new", "newer"]),
        to("env", lambda found, value: container(found).update(env=value), [[], [{"name": "A", "value": "1"}]]),
        to(
            "resources",
            lambda found, value: container(found).update(resources=value),
            [{}, {"limits": {"memory": "2Gi"}}],
        ),
        to("args", lambda found, value: container(found)["args"].append(value), ["--nthreads=1", "--resources=A=1"]),
        to(
            "labels and annotations",
            lambda found, value: found.update(metadata=value),
            [{}, {"labels": {"team": "x"}}, {"annotations": {"note": "z"}}],
        ),
    )


STRATEGIES: list[Object] = [
    {"type": "Rolling"},
    {"type": "Rolling", "rolling": {"maxUnavailable": 1, "maxSurge": 0}},
    {"type": "Rolling", "rolling": {"maxUnavailable": 0, "maxSurge": "50%"}},
    {"type": "Recreate"},
    {"type": "OnDelete"},
]


def set_strategy(value: Object) -> tuple[str, Change]:
    return "strategy", lambda body: body["spec"].update(updateStrategy=deepcopy(value))


def set_replicas(value: int) -> tuple[str, Change]:
    return "replicas", lambda body: body["spec"]["worker"].update(replicas=value)


def set_suspended(value: bool) -> tuple[str, Change]:
    return "suspend", lambda body: body["spec"].update(suspend=value)


def set_service_type(value: str) -> tuple[str, Change]:
    return "service", lambda body: body["spec"]["scheduler"]["service"].update(type=value)


def set_bounds(value: tuple[int, int]) -> tuple[str, Change]:
    return "bounds", lambda body: body["spec"].update(minimum=value[0], maximum=value[1])


def set_metadata(value: Object) -> tuple[str, Change]:
    return "own labels", lambda body: body["metadata"].update(deepcopy(value))


METADATA: list[Object] = [{"labels": {}, "annotations": {}}, {"labels": {"a": "b"}}, {"annotations": {"c": "d"}}]
replicas = st.integers(0, 4).map(set_replicas)

EDITS: dict[Resource, st.SearchStrategy[tuple[str, Change]]] = {
    DASK_CLUSTERS: any_of(
        edits_of_pods(lambda body: body["spec"]["worker"]),
        edits_of_pods(lambda body: body["spec"]["scheduler"]),
        replicas,
        st.booleans().map(set_suspended),
        st.sampled_from(STRATEGIES).map(set_strategy),
        st.sampled_from(["ClusterIP", "NodePort"]).map(set_service_type),
        st.sampled_from(METADATA).map(set_metadata),
    ),
    DASK_WORKER_GROUPS: any_of(
        edits_of_pods(lambda body: body["spec"]["worker"]),
        replicas,
        st.sampled_from(STRATEGIES).map(set_strategy),
    ),
    DASK_AUTOSCALERS: st.sampled_from([(0, 2), (1, 4), (3, 3), (2, 5)]).map(set_bounds),
    DASK_JOBS: st.booleans().map(set_suspended),
}


# What happens -------------------------------------------------------------------------------------------------------


Act = tuple[str, Callable[["Story"], bool]]


@dataclass(frozen=True)
class Operation:
    """Something that a user or the world does, and how long nothing else happens then.

    ``act`` returns whether it was possible.
    """

    name: str
    act: Callable[[Story], bool] = field(repr=False)
    pause_seconds: float


@dataclass
class Story:
    """A world in which one thing happens after the other.

    Attributes:
        restart: whether the controller is to be started anew.
        runners_ended: how many runners did not run to completion.
        specs: what users wrote last, by kind and name.
        autoscaled: the groups that an autoscaler had to do with since users last wrote them.
    """

    world: World
    dask: DaskWorld
    operator: Operator
    restart: bool = False
    runners_ended: int = 0
    specs: dict[tuple[Resource, str], Object] = field(default_factory=dict)
    autoscaled: set[str] = field(default_factory=set)

    def change(self, resource: Resource, name: str, change: Change) -> bool:
        return attempt(lambda: self._wrote(resource, self.world.change(resource, name, change)))

    def create(self, resource: Resource, name: str) -> bool:
        return attempt(lambda: self._wrote(resource, self.world.create(resource, "default", MADE[resource][0](name))))

    def delete(self, resource: Resource, name: str) -> bool:
        return attempt(lambda: self.world.delete(resource, "default", name))

    def note_autoscaled(self) -> None:
        """Take note of the groups whose replicas are not only users' from now on."""
        for body in self.world.all(DASK_AUTOSCALERS):
            spec = body["spec"]
            self.autoscaled.add(spec.get("workerGroup") or f"{spec['cluster']}-default")

    def check_specs(self) -> None:
        """Assert that what users wrote is as they wrote it, but for what they have an autoscaler write."""
        for resource, body in asked_for(self.world):
            name, spec = body["metadata"]["name"], deepcopy(body["spec"])
            written = deepcopy(self.specs[resource, name])
            if name in self.autoscaled:
                del spec["worker"]["replicas"], written["worker"]["replicas"]
            assert spec == written, f"the spec of {resource.kind} {name}"
        for body in self.world.all(DASK_WORKER_GROUPS):
            name = body["metadata"]["name"]
            if is_default(body) and name not in self.autoscaled and (DASK_WORKER_GROUPS, name) in self.specs:
                wanted = self.specs[DASK_WORKER_GROUPS, name]["worker"]["replicas"]
                assert body["spec"]["worker"]["replicas"] == wanted, f"the replicas of {name}"

    def _wrote(self, resource: Resource, body: Object) -> None:
        name = body["metadata"]["name"]
        if resource not in CUSTOM:
            return
        before = self.specs.get((resource, name))
        self.specs[resource, name] = body["spec"]
        if resource == DASK_WORKER_GROUPS:
            self.autoscaled.discard(name)
        elif resource == DASK_CLUSTERS:
            # The later of two edits counts, the cluster's or the group's.
            written = body["spec"]["worker"]["replicas"]
            group_name = f"{name}-default"
            if before is None or before["worker"]["replicas"] != written:
                self.specs[DASK_WORKER_GROUPS, group_name] = {"worker": {"replicas": written}}
                self.autoscaled.discard(group_name)

    def pick(self, resource: Resource, number: int, **labels: str) -> str | None:
        """The name of one of the objects that have these labels."""
        wanted = {f"dask.org/{key.replace('_', '-')}": value for key, value in labels.items()}
        names = [
            body["metadata"]["name"]
            for body in self.world.all(resource)
            if wanted.items() <= body["metadata"]["labels"].items() and not body["metadata"].get("deletionTimestamp")
        ]
        return names[number % len(names)] if names else None


def attempt(act: Callable[[], object]) -> bool:
    try:
        act()
    except ApiError:
        return False  # it is there already, or it is not
    return True


def end_pod(component: str, phase: str, number: int) -> Callable[[Story], bool]:
    """A Pod's containers end for good."""

    def act(story: Story) -> bool:
        name = story.pick(PODS, number, component=component)
        if name is None or story.world.get(PODS, name)["status"]["phase"] != "Running":
            return False
        status = ended_status(phase)
        if component == "job-runner" and phase == "Failed":
            if not may_end_runner(story):
                return False
            if number % 2:
                status = {"phase": "Failed", "reason": "Evicted"}
        return story.change(PODS, name, lambda body: body.update(status=status))

    return act


def ended_status(phase: str) -> Object:
    return {"phase": phase, "containerStatuses": [jobs.ended(0 if phase == "Succeeded" else 1)]}


def may_end_runner(story: Story) -> bool:
    """Whether a runner may end before its time once more: the next one is started after ever longer pauses."""
    story.runners_ended += 1
    return story.runners_ended <= 2


def delete_child(resource: Resource, number: int, **labels: str) -> Callable[[Story], bool]:
    def act(story: Story) -> bool:
        name = story.pick(resource, number, **labels)
        return name is not None and story.delete(resource, name)

    return act


def delete_default_group(name: str) -> Callable[[Story], bool]:
    def act(story: Story) -> bool:
        story.specs.pop((DASK_WORKER_GROUPS, f"{name}-default"), None)  # the next one is as its cluster says
        story.autoscaled.discard(f"{name}-default")
        return story.delete(DASK_WORKER_GROUPS, f"{name}-default")

    return act


def kill_runner(story: Story) -> bool:
    name = story.pick(PODS, 0, component="job-runner")
    if name is None or story.world.get(PODS, name)["status"]["phase"] != "Running":
        return False
    return may_end_runner(story) and story.delete(PODS, name)


def meddle(resource: Resource, number: int) -> Callable[[Story], bool]:
    """Somebody edits what the controller made."""

    def edit(body: Object) -> None:
        if resource == DEPLOYMENTS:
            body["spec"]["replicas"] = 0
        elif resource == SERVICES:
            body["spec"]["selector"] = {"no": "pod"}
        else:
            body["metadata"]["labels"]["sidecar.istio.io/inject"] = "true"

    def act(story: Story) -> bool:
        name = story.pick(resource, number, component="worker" if resource == PODS else "scheduler")
        return name is not None and story.change(resource, name, edit)

    return act


def restart(story: Story) -> bool:
    story.restart = True
    return True


def scale_by_hand(name: str, count: int) -> Callable[[Story], bool]:
    """As ``kubectl scale`` does it."""

    def act(story: Story) -> bool:
        return story.change(DASK_WORKER_GROUPS, f"{name}-default", set_replicas(count)[1])

    return act


def want(count: int) -> Callable[[Story], bool]:
    def act(story: Story) -> bool:
        story.dask.target = count
        return True

    return act


def silence(story: Story) -> bool:
    """The schedulers do not answer for a while."""
    story.dask.away = not story.dask.away
    return True


def _create(resource: Resource, name: str) -> Act:
    return f"create {resource.kind} {name}", lambda story: story.create(resource, name)


def _delete(resource: Resource, name: str) -> Act:
    return f"delete {resource.kind} {name}", lambda story: story.delete(resource, name)


def _edit(resource: Resource, name: str, edit: tuple[str, Change]) -> Act:
    what, change = edit
    return f"edit {what} of {resource.kind} {name}", lambda story: story.change(resource, name, change)


def _named(resource: Resource) -> st.SearchStrategy[str]:
    return st.sampled_from(MADE[resource][1])


numbers = st.integers(0, 5)
nothing: st.SearchStrategy[Act] = st.just(("nothing", lambda _story: False))
creations = any_of(*(st.builds(_create, st.just(resource), _named(resource)) for resource in MADE))
deletions = any_of(*(st.builds(_delete, st.just(resource), _named(resource)) for resource in MADE))
edits = any_of(
    *(st.builds(_edit, st.just(resource), _named(resource), EDITS[resource]) for resource in MADE),
    st.builds(_edit, st.just(DASK_CLUSTERS), _named(DASK_CLUSTERS), EDITS[DASK_CLUSTERS]),
    st.builds(
        lambda name, count: (f"scale {name}-default", scale_by_hand(name, count)), _named(DASK_CLUSTERS), numbers
    ),
    numbers.map(lambda count: ("want workers", want(count))),
)
accidents = any_of(
    numbers.map(lambda number: ("kill a worker", delete_child(PODS, number, component="worker"))),
    numbers.map(lambda number: ("end a worker", end_pod("worker", "Failed", number))),
    numbers.map(lambda number: ("kill a scheduler", delete_child(PODS, number, component="scheduler"))),
    st.just(("kill a runner", kill_runner)),
    numbers.map(lambda number: ("end a runner well", end_pod("job-runner", "Succeeded", number))),
    numbers.map(lambda number: ("end a runner badly", end_pod("job-runner", "Failed", number))),
    st.just(("delete the cluster of a job", lambda story: story.delete(DASK_CLUSTERS, JOB))),
    _named(DASK_CLUSTERS).map(lambda name: ("delete a default group", delete_default_group(name))),
    st.builds(
        lambda resource, number: ("delete a child", delete_child(resource, number, component="scheduler")),
        st.sampled_from([DEPLOYMENTS, SERVICES]),
        numbers,
    ),
    st.builds(
        lambda resource, number: ("edit a child", meddle(resource, number)),
        st.sampled_from([DEPLOYMENTS, SERVICES, PODS]),
        numbers,
    ),
    st.just(("restart the controller", restart)),
    st.just(("silence the schedulers", silence)),
)
acts = any_of(nothing, *[edits] * 6, *[accidents] * 3, creations, deletions)


def an_operation(named: Act, pause_seconds: float) -> Operation:
    name, act = named
    # Which of two edits is the later one, a controller that sees both at once cannot tell.
    return Operation(name, act, max(pause_seconds, 3.0) if "replicas" in name or "scale" in name else pause_seconds)


def some_of(acts: st.SearchStrategy[Act], count: int) -> st.SearchStrategy[list[Operation]]:
    operations = st.builds(an_operation, acts, st.sampled_from([0.0, 0.2, 1.0, 4.0]))
    return st.lists(operations, min_size=count, max_size=count)


# First there is nothing, and in the end there may be nothing again; in between there is enough to do something with.
stories = st.tuples(some_of(creations, 8), some_of(acts, OPERATIONS_PER_STORY)).map(lambda two: two[0] + two[1])


# How it is played ---------------------------------------------------------------------------------------------------


def play_story(operations: Sequence[Operation], clock: Clock, happened: Counter[str]) -> None:
    """One thing after the other, then nothing for a while, and in the end all is deleted."""
    random.seed(0)
    world = World()
    dask = DaskWorld(world)

    async def tell() -> None:
        story = Story(world, dask, Operator(world, dask=dask))
        story.operator.start()
        for operation in operations:
            if operation.act(story):
                happened[operation.name] += 1
                story.note_autoscaled()
                await asyncio.sleep(operation.pause_seconds)
            if story.restart:
                await story.operator.stop()
                story.operator, story.restart = Operator(world, dask=dask), False
                story.operator.start()
        dask.away = False
        await asyncio.sleep(QUIET_SECONDS)
        update_on_delete(world)
        await asyncio.sleep(QUIET_SECONDS / 4)
        story.check_specs()
        found, expected = comparable(world), comparable(made_afresh(world, dask, clock))
        assert found == expected, difference(expected, found)
        for resource, body in asked_for(world):
            story.delete(resource, body["metadata"]["name"])
        await asyncio.sleep(CONVERGED_SECONDS)
        left = [f"{resource.kind} {body['metadata']['name']}" for resource in WATCHED for body in world.all(resource)]
        assert not left, left
        await story.operator.stop()

    simulate(lambda: play(world, clock, tell))


def made_afresh(past: World, dask: DaskWorld, clock: Clock) -> World:
    """What becomes of what is asked for when nothing was there before."""
    world = World()

    async def tell() -> None:
        fresh = DaskWorld(world)
        fresh.target = dask.target
        operator = Operator(world, dask=fresh)
        operator.start()
        finished = []
        for resource, body in asked_for(past):
            written = as_written(body)
            if (body.get("status") or {}).get("jobStatus") == "Successful":
                finished.append(written["metadata"]["name"])
                written["spec"].pop("suspend", None)
            world.create(resource, "default", written)
            if resource == DASK_AUTOSCALERS:
                await asyncio.sleep(1)  # of two, the one that is older by a whole second comes first
        await asyncio.sleep(SOON_SECONDS)
        for name in finished:
            world.change(PODS, f"{name}-runner", lambda body: body.update(status=ended_status("Succeeded")))
        for body in past.all(DASK_WORKER_GROUPS):
            if is_default(body):
                replicas = body["spec"]["worker"]["replicas"]
                world.change(DASK_WORKER_GROUPS, body["metadata"]["name"], set_replicas(replicas)[1])
        await asyncio.sleep(SOON_SECONDS)
        for name in finished:
            world.change(DASK_JOBS, name, rewrite(past.get(DASK_JOBS, name)["spec"]))
        await asyncio.sleep(CONVERGED_SECONDS)
        await operator.stop()

    # A loop of its own, inside the one in which the story is told.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(simulate, lambda: play(world, clock, tell)).result()
    return world


def rewrite(spec: Object) -> Change:
    return lambda body: body.update(spec=deepcopy(spec))


def asked_for(world: World) -> list[tuple[Resource, Object]]:
    """What users made of what is there, the oldest first."""
    found = [
        (resource, body)
        for resource in CUSTOM
        for body in world.all(resource)
        if not is_default(body) and not any(owner["kind"] == "DaskJob" for owner in owners(body))
    ]
    return sorted(found, key=lambda item: int(item[1]["metadata"]["uid"].removeprefix("uid-")))


def is_default(body: Object) -> bool:
    """Whether it is a group that the controller made for a cluster."""
    name: str = body["metadata"]["name"]
    return body["kind"] == "DaskWorkerGroup" and name.endswith("-default")


def owners(body: Object) -> list[Object]:
    return list(body["metadata"].get("ownerReferences") or ())


def update_on_delete(world: World) -> None:
    """Do what the strategy OnDelete leaves to people."""
    for pod in world.live_pods():
        labels = pod["metadata"]["labels"]
        specs = [world.get(DASK_WORKER_GROUPS, labels["dask.org/workergroup-name"])["spec"]]
        with suppress(ApiError):
            specs.append(world.get(DASK_CLUSTERS, labels["dask.org/cluster-name"])["spec"])
        if any((spec.get("updateStrategy") or {}).get("type") == "OnDelete" for spec in specs):
            world.delete(PODS, "default", pod["metadata"]["name"])


def comparable(world: World) -> list[str]:
    """The state of a world, less how often runners failed before one did not.

    Labels and annotations that are edited go to a scheduler's Pod and not to the template in its Deployment, as a new
    template would end the scheduler.
    """
    bodies = [json.loads(body) for body in state_of(world)]
    for body in bodies:
        body["metadata"].get("annotations", {}).pop("dask.org/failures-before", None)
        if body["kind"] == "Deployment":
            del body["spec"]["template"]["metadata"]
        if body["kind"] == "DaskJob":
            for key in ("failed", "lastFailureTime"):
                body["status"].pop(key, None)
    return sorted(json.dumps(body, sort_keys=True) for body in bodies)


@pytest.mark.parametrize("number", SEEDS)
def test_state_is_that_of_a_fresh_creation_whatever_happened_before(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda size: random.randbytes(size).hex())  # noqa: S311
    happened: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=STORIES_PER_SEED,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    @given(stories)
    def tell(operations: list[Operation]) -> None:
        play_story(operations, clock, happened)

    tell()
    assert happened.total() >= TRANSITIONS / len(SEEDS), "most of what was tried was not possible"
