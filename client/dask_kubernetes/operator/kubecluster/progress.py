"""What a user sees while a cluster starts: a table in a terminal, a widget in Jupyter, otherwise nothing."""

from __future__ import annotations

import html
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..api import Object
from .diagnosis import Problem, describe, is_ready
from .labels import SCHEDULER, component
from .observation import Observation

# Of a large cluster only so many Pods are named.
MOST_PODS = 8


@dataclass(frozen=True)
class Picture:
    """What there is to show.

    Attributes:
        name: name of the cluster.
        phase: the operator's word for how far it is.
        pods: component, name and state of each Pod, and what was last said of one that is not ready; the scheduler's
            first.
        left_out: how many Pods there are besides.
        problem: what is wrong, empty if nothing.
    """

    name: str
    phase: str
    pods: tuple[tuple[str, str, str, str], ...] = ()
    left_out: int = 0
    problem: str = ""


def picture(name: str, seen: Observation, problem: Problem | None = None) -> Picture:
    """What there is to show of a cluster."""
    phase = ((seen.cluster or {}).get("status") or {}).get("phase") or "Waiting for the operator"
    pods = sorted(seen.pods.values(), key=lambda pod: (component(pod) != SCHEDULER, pod["metadata"]["name"]))
    rows = tuple(_row(pod, seen.events) for pod in pods[:MOST_PODS])
    return Picture(name, str(phase), rows, max(0, len(pods) - MOST_PODS), str(problem) if problem else "")


def _row(pod: Object, events: Mapping[str, str]) -> tuple[str, str, str, str]:
    name = pod["metadata"]["name"]
    return component(pod), name, describe(pod), "" if is_ready(pod) else events.get(name, "")


def table(shown: Picture) -> RenderableType:
    """A picture for a terminal."""
    rows = Table(box=None, pad_edge=False)
    for heading in ("component", "pod", "state", "event"):
        rows.add_column(heading, overflow="fold")
    for row in shown.pods:
        rows.add_row(*map(Text, row))  # what Kubernetes says is no markup
    if shown.left_out:
        rows.add_row("", f"and {shown.left_out} more")
    if shown.problem:
        rows.add_row("problem", "", "", Text(shown.problem), style="bold")
    title = Text(f"KubeCluster {shown.name}: {shown.phase}")
    return Panel(rows, title=title, title_align="left", expand=False)


def as_html(shown: Picture) -> str:
    """A picture for a notebook."""
    rows = "".join(
        "<tr>" + "".join(f"<td style='text-align: left'>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in shown.pods
    )
    more = f"<p>and {shown.left_out} more</p>" if shown.left_out else ""
    problem = f"<p><b>{html.escape(shown.problem)}</b></p>" if shown.problem else ""
    title = f"<b>KubeCluster {html.escape(shown.name)}</b>: {html.escape(shown.phase)}"
    return f"<div>{title}<table>{rows}</table>{more}{problem}</div>"


class Display(Protocol):
    """Where a picture is shown."""

    def show(self, shown: Picture) -> None:
        """Show a picture in place of the last one."""

    def close(self) -> None:
        """Take the picture away."""


class Silence:
    """Nobody looks."""

    def show(self, shown: Picture) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Terminal:
    """A table that is drawn over, and gone at the end."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._last: Picture | None = None

    def show(self, shown: Picture) -> None:
        """Draw the table if it is another one."""
        if shown == self._last:
            return
        if self._last is None:
            self._live.start()
        self._last = shown
        self._live.update(table(shown), refresh=True)

    def close(self) -> None:
        """Take the table away."""
        self._live.stop()


class Notebook:
    """A widget of ipywidgets, gone at the end."""

    def __init__(self) -> None:
        from IPython.display import display
        from ipywidgets import HTML

        self._widget: Any = HTML()
        display(self._widget)  # type: ignore[no-untyped-call]

    def show(self, shown: Picture) -> None:
        """Put the picture into the widget."""
        self._widget.value = as_html(shown)

    def close(self) -> None:
        """Take the widget away."""
        self._widget.close()


def choose(*, quiet: bool) -> Display:
    """The display that fits where this runs. Call it in the thread of the user."""
    if quiet:
        return Silence()
    if _is_notebook():
        return Notebook() if find_spec("ipywidgets") else Silence()
    if sys.stdout is not None and sys.stdout.isatty():
        return Terminal(Console())
    return Silence()


def _is_notebook() -> bool:
    """Whether this is a kernel that a browser looks at; one that runs already has imported IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


class Progress:
    """The display of one start. Use it as a context manager."""

    def __init__(self, name: str, *, quiet: bool) -> None:
        self._name = name
        self._display = choose(quiet=quiet)

    @property
    def is_seen(self) -> bool:
        """Whether anybody looks."""
        return not isinstance(self._display, Silence)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._display.close()

    def show(self, seen: Observation, problem: Problem | None) -> None:
        """Show how far the cluster is."""
        self._display.show(picture(self._name, seen, problem))
