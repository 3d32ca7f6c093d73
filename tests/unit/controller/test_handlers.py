"""kopf's side: that what is registered is what the reconciler needs, and nothing that leaves traces on objects."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

import kopf
import pytest

from dask_kubernetes_operator import handlers, naming
from dask_kubernetes_operator.controller import CHILDREN, CUSTOM_RESOURCES, WATCHED
from dask_kubernetes_operator.plugins import Plugin
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
from dask_kubernetes_operator.settings import Settings
from dask_kubernetes_operator.watches import Watches

from .objects import Object, cluster, deployment, group, service, worker

pytestmark = pytest.mark.unit

# kopf types a handler by all the arguments that it could ask for.
called: Any = handlers


def custom(resource: Resource) -> Object:
    meta = {"name": "simple", "namespace": "default", "uid": "u"}
    return {"apiVersion": "kubernetes.dask.org/v1", "kind": resource.kind, "metadata": meta, "spec": {}}


BODIES: dict[Resource, Object] = {
    DASK_CLUSTERS: cluster(),
    DASK_WORKER_GROUPS: group(),
    DASK_JOBS: custom(DASK_JOBS),
    DASK_AUTOSCALERS: custom(DASK_AUTOSCALERS),
    DEPLOYMENTS: deployment(cluster()),
    SERVICES: service(cluster()),
    PODS: worker("w1", group()),
}


def in_kopf(resource: Resource) -> kopf.Resource:
    return kopf.Resource(
        group=resource.group,
        version=resource.version,
        plural=resource.plural,
        kind=resource.kind,
        namespaced=True,
        preferred=True,
        verbs=frozenset({"list", "watch", "patch"}),
    )


@pytest.fixture
def registry() -> Iterator[kopf.OperatorRegistry]:
    """The handlers, registered in a registry of their own."""
    before = kopf.get_default_registry()
    kopf.set_default_registry(kopf.OperatorRegistry())
    importlib.reload(handlers)
    yield kopf.get_default_registry()
    kopf.set_default_registry(before)


class Noted:
    """A controller that only writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.reconciler = self
        self.watches = Watches()
        self.problems: list[str] = []

    def changed(self, resource: Resource, body: Any, *, event: str | None) -> None:
        self.told.append(("changed", resource, body, event))

    def ailments(self) -> list[str]:
        return self.problems


# What is registered --------------------------------------------------------------------------------------------


def test_every_kind_has_a_test_object() -> None:
    assert set(BODIES) == set(WATCHED)


@pytest.mark.parametrize("resource", WATCHED, ids=lambda resource: resource.kind)
def test_every_kind_is_watched_and_none_is_indexed(registry: kopf.OperatorRegistry, resource: Resource) -> None:
    assert not registry._indexing.has_handlers(resource=in_kopf(resource))
    assert registry._watching.has_handlers(resource=in_kopf(resource))


@pytest.mark.parametrize("resource", WATCHED, ids=lambda resource: resource.kind)
def test_nothing_needs_a_finalizer_or_a_note_on_the_object(
    registry: kopf.OperatorRegistry, resource: Resource
) -> None:
    assert not registry._changing.has_handlers(resource=in_kopf(resource))
    assert not registry._spawning.has_handlers(resource=in_kopf(resource))


def test_no_other_kind_is_watched(registry: kopf.OperatorRegistry) -> None:
    metrics = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics")
    assert not registry._watching.has_handlers(resource=in_kopf(metrics))


@pytest.mark.parametrize("event", [None, "ADDED", "MODIFIED", "DELETED"])
@pytest.mark.parametrize("resource", WATCHED, ids=lambda resource: resource.kind)
async def test_event_reaches_the_reconciler(resource: Resource, event: Any) -> None:
    memo = kopf.Memo(controller=Noted())
    raw: Any = {"type": event, "object": BODIES[resource]}
    await called.changed(event=raw, resource=in_kopf(resource), memo=memo)
    assert memo.controller.told == [("changed", resource, BODIES[resource], event)]


async def test_liveness_of_kopf_is_that_of_the_operator() -> None:
    memo = kopf.Memo(controller=Noted())
    assert await called.probe(memo=memo) == "ok"
    memo.controller.problems = ["a watch is silent"]
    with pytest.raises(kopf.PermanentError, match="a watch is silent"):
        await called.probe(memo=memo)


# Settings of kopf ----------------------------------------------------------------------------------------------


@pytest.fixture
def settings() -> kopf.OperatorSettings:
    """What kopf is told to do."""
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    return settings


@pytest.mark.parametrize("resource", CHILDREN, ids=lambda resource: resource.kind)
def test_watches_of_children_are_filtered_on_the_server(settings: kopf.OperatorSettings, resource: Resource) -> None:
    assert list(settings.watching.label_selectors.collect(in_kopf(resource))) == [naming.CLUSTER_NAME_LABEL]


@pytest.mark.parametrize("resource", CUSTOM_RESOURCES, ids=lambda resource: resource.kind)
def test_all_custom_resources_are_watched(settings: kopf.OperatorSettings, resource: Resource) -> None:
    assert list(settings.watching.label_selectors.collect(in_kopf(resource))) == []


def test_kopf_keeps_to_itself(settings: kopf.OperatorSettings) -> None:
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.persistence.finalizer != kopf.OperatorSettings().persistence.finalizer


def test_no_object_is_copied_for_the_sake_of_a_comparison(settings: kopf.OperatorSettings) -> None:
    storage = settings.persistence.diffbase_storage
    body, patch = kopf.Body(cast(Any, cluster())), kopf.Patch({})
    assert storage.build(body=body) == {}
    assert storage.fetch(body=body) is None
    storage.store(body=body, patch=patch, essence=kopf.BodyEssence({}))
    assert patch == {}


def test_watch_that_hangs_is_noticed(settings: kopf.OperatorSettings) -> None:
    watching = settings.watching
    assert watching.server_timeout is not None
    assert watching.client_timeout is not None
    assert watching.connect_timeout is not None
    assert watching.inactivity_timeout < watching.server_timeout < watching.client_timeout


def test_attempts_never_end_and_are_never_far_apart(settings: kopf.OperatorSettings) -> None:
    backoffs = settings.networking.error_backoffs
    assert not isinstance(backoffs, float | int)
    for _ in range(2):
        pauses = list(islice(backoffs, 1000))
        assert len(pauses) == 1000, "an API server that is away for long must not end the operator"
        assert pauses[0] < 1
        assert max(pauses) < 30


@pytest.mark.parametrize(
    ("namespaces", "scanning"), [(None, False), (("a", "b"), False), (("team-*",), True), (("a", "!b"), True)]
)
def test_namespaces_are_looked_for_only_where_a_pattern_names_them(
    monkeypatch: pytest.MonkeyPatch, namespaces: tuple[str, ...] | None, scanning: bool
) -> None:
    monkeypatch.setattr(handlers, "SETTINGS", Settings(namespaces=namespaces))
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    assert settings.scanning.disabled is not scanning


def test_plugins_may_post_events_and_compare_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "PLUGINS", (Plugin("a", "a 1.0"),))
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    assert type(settings.persistence.diffbase_storage) is kopf.AnnotationsDiffBaseStorage
    assert settings.posting.enabled
    assert not settings.posting.loggers, "not every line of the log"


# Login ---------------------------------------------------------------------------------------------------------


class Logins:
    """Gives one token after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *tokens: str) -> None:
        self._tokens = list(tokens)
        self.pauses: list[float] = []
        monkeypatch.setattr(handlers, "_credentials", self._next)
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    def _next(self, _settings: object) -> kopf.ConnectionInfo:
        token = self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]
        return kopf.ConnectionInfo(server="http://127.0.0.1:1", token=token, insecure=True)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


async def token_of(memo: kopf.Memo) -> str:
    session = (await called.login(settings=kopf.OperatorSettings(), memo=memo)).aiohttp_session
    token = str(session.headers["Authorization"])
    await session.close()
    return token


async def test_login_gives_a_session_with_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    logins = Logins(monkeypatch, "first")
    assert await token_of(kopf.Memo(controller=Noted())) == "Bearer first"
    assert logins.pauses == []


async def test_token_that_was_replaced_is_used_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    logins = Logins(monkeypatch, "first", "second")
    memo = kopf.Memo(controller=Noted())
    assert [await token_of(memo), await token_of(memo)] == ["Bearer first", "Bearer second"]
    assert logins.pauses == []


async def test_token_that_was_refused_is_not_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    logins = Logins(monkeypatch, "first", "first", "second")
    memo = kopf.Memo(controller=Noted())
    assert [await token_of(memo), await token_of(memo)] == ["Bearer first", "Bearer second"]
    assert len(logins.pauses) == 1


# The process ---------------------------------------------------------------------------------------------------


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the operator, up to the point where it needs a cluster."""
    return subprocess.run(
        [sys.executable, "-m", "kopf", "run", "--module", "dask_kubernetes_operator.handlers", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "KUBECONFIG": "/nowhere", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_setting_that_cannot_be_used_ends_the_start_with_one_line() -> None:
    done = run("--all-namespaces", DASK_OPERATOR_LOG_FORMAT="xml")
    assert done.returncode == 1
    assert done.stderr == "The operator cannot start: DASK_OPERATOR_LOG_FORMAT: expected text or json, got 'xml'\n"
