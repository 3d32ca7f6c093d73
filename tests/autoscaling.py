"""A DaskAutoscaler, and work for it to scale by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from distributed import Client, Event

from tests.platform import Object

# Each is taken for half a second as long as none has ended, and five seconds is what all may take.
TASKS = 100


def autoscaler(name: str, *, minimum: int, maximum: int, window_seconds: int = 5, **spec: object) -> Object:
    """A DaskAutoscaler for the cluster of its name, quick enough for a test to wait for."""
    rules = {"stabilizationWindowSeconds": window_seconds}
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "cluster": name,
            "minimum": minimum,
            "maximum": maximum,
            "behavior": {"scaleDown": rules},
            **spec,
        },
    }


@contextmanager
def load(client: Client) -> Iterator[None]:
    """More work than any worker finishes, until the end of the block; then all of it is done."""
    go = Event(client=client)  # of a name of its own, so that the work may come back
    futures = client.map(_waiting(go.name), range(TASKS), pure=False)
    yield
    go.set()
    assert client.gather(futures) == list(range(TASKS))
    client.cancel(futures)


def _waiting(name: str) -> Callable[[int], int]:
    """A task that waits for an event."""

    def wait_for_go(number: int) -> int:  # in here, so that it travels whole: the scheduler has no module of tests
        Event(name).wait(timeout=300)
        return number

    return wait_for_go
