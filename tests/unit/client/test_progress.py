"""What is seen while a cluster starts."""

from __future__ import annotations

import asyncio
import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from dask_kubernetes.operator.api import Api
from dask_kubernetes.operator.kubecluster import progress
from dask_kubernetes.operator.kubecluster.diagnosis import Problem
from dask_kubernetes.operator.kubecluster.observation import Observation
from dask_kubernetes.operator.kubecluster.progress import Picture, Silence, Terminal, as_html, choose, picture, table

from .fake_api import FakeApi, refusal

pytestmark = pytest.mark.unit

SHOWN = Picture(
    "foo",
    "Pending",
    (("scheduler", "foo-<x>", "ErrImagePull", "Pulling <y>"),),
    3,
    "Pod foo-<x>: ErrImagePull: <no> [/no]",
)


def printed(shown: Picture) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(table(shown))
    return out.getvalue()


def test_a_picture_has_the_scheduler_first_and_not_all_workers() -> None:
    seen = Observation(None, "default", "foo")  # type: ignore[arg-type]
    assert picture("foo", seen).phase == "Waiting for the operator"
    seen.cluster = {"status": {"phase": "Running"}}
    for number in range(10):
        labels = {"dask.org/component": "worker"}
        seen.pods[f"a-{number}"] = {"metadata": {"name": f"a-{number}", "labels": labels}}
    seen.pods["z"] = {"metadata": {"name": "z", "labels": {"dask.org/component": "scheduler"}}}
    shown = picture("foo", seen, Problem("Because", "it is so"))
    assert (shown.phase, shown.problem, shown.left_out) == ("Running", "Because: it is so", 3)
    assert shown.pods[0] == ("scheduler", "z", "Pending", "")
    seen.events["z"] = 'Pulling image "dask"'
    assert picture("foo", seen).pods[0] == ("scheduler", "z", "Pending", 'Pulling image "dask"')
    seen.pods["z"]["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert picture("foo", seen).pods[0] == ("scheduler", "z", "Ready", "")


def test_a_terminal_shows_all_of_it() -> None:
    text = printed(SHOWN)
    for words in ("KubeCluster foo: Pending", "foo-<x>", "ErrImagePull", "Pulling <y>", "and 3 more", "<no> [/no]"):
        assert words in text


def test_a_notebook_shows_words_and_no_markup_of_others() -> None:
    text = as_html(SHOWN)
    assert "foo-&lt;x&gt;" in text
    assert "Pulling &lt;y&gt;" in text
    assert "<x>" not in text
    assert "and 3 more" in text


def test_a_terminal_is_drawn_over_and_left_clean() -> None:
    out = io.StringIO()
    display = Terminal(Console(file=out, force_terminal=True, width=100))
    display.close()
    assert out.getvalue() == "", "nothing was shown"
    display = Terminal(Console(file=out, force_terminal=True, width=100))
    display.show(SHOWN)
    drawn = len(out.getvalue())
    display.show(SHOWN)
    assert len(out.getvalue()) == drawn, "the same is not drawn twice"
    display.close()
    assert "\x1b[2K" in out.getvalue()[drawn:], "it is wiped away"


def test_where_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose(quiet=True), Silence)
    assert isinstance(choose(quiet=False), Silence), "nobody looks at a pipe"
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True, write=lambda _: None))
    assert isinstance(choose(quiet=False), Terminal)
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(progress, "find_spec", lambda _name: None)
    assert isinstance(choose(quiet=False), Silence), "without ipywidgets there is nothing to draw over"
    made: list[Any] = []
    monkeypatch.setattr(progress, "find_spec", lambda name: name)
    monkeypatch.setattr(progress, "Notebook", lambda: made.append("a widget"))
    choose(quiet=False)
    assert made == ["a widget"]


async def test_what_events_say_of_pods_that_start(server: FakeApi) -> None:
    labels = {"dask.org/cluster-name": "foo", "dask.org/component": "scheduler"}
    server.put("pods", {"metadata": {"name": "one", "labels": labels}})
    for name, at in (("b", "2026-11-27T10:00:00Z"), ("a", "2026-11-27T10:00:09Z")):
        about = {"involvedObject": {"kind": "Pod", "name": "one"}, "message": name, "lastTimestamp": at}
        server.put("events", {"metadata": {"name": name}, **about})
    async with await Api.connect(str(server.kubeconfig)) as api:
        async with Observation(api, "default", "foo", with_events=True) as seen, asyncio.timeout(20):
            while not seen.events:
                await seen.change(at_most_seconds=5)
            assert seen.events == {"one": "a"}
        server.refusals["list", "events"] = refusal(403, "Forbidden", "no")
        async with Observation(api, "default", "foo", with_events=True) as seen, asyncio.timeout(20):
            assert seen._listening is not None
            await seen._listening  # it does not ask again
            assert not seen.events
