"""Runs a DaskJob through to its end and says how that went: what `helm test` starts in a Pod of its own.

``python -m dask_kubernetes_operator.selftest --namespace team-a --timeout-seconds 240 JOB``, JOB being the DaskJob as
JSON. The exit status is 0 when it succeeded; the job is deleted in any case.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import kopf

from .kube import ApiError, Client, Credentials, Object
from .login import credentials
from .resources import DASK_JOBS

_POLL_SECONDS = 0.5
# Whatever keeps the API server from answering, deleting the job is not to take longer.
_DELETE_SECONDS = 10.0

_FORBIDDEN = 403
_NOT_FOUND = 404

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_IMAGE_REMEDY = (
    "Set tests.image to an image with Dask that the nodes can pull, and imagePullSecrets if that takes credentials."
)
_NOT_SERVED_REMEDY = (
    "Is the operator running and ready, and does it serve this namespace (watchNamespaces, kopfArgs)? If it serves "
    "others alone, set tests.namespace to one of them."
)


class SelfTestError(Exception):
    """The job did not succeed; the text says why, and what to do about it."""


async def run(client: Client, namespace: str, job: Object, *, timeout_seconds: float) -> str:
    """Create a job, wait until it has ended, and delete it.

    Args:
        client: of the API server.
        namespace: where the operator looks after jobs.
        job: the DaskJob.
        timeout_seconds: how long it may take.

    Returns:
        The name of the job, which has succeeded.

    Raises:
        SelfTestError: it has not.
    """
    try:
        created = await client.create(DASK_JOBS, namespace, job)
    except ApiError as error:
        raise SelfTestError(_refusal(error, namespace)) from error
    name = str(created["metadata"]["name"])
    try:
        await _success(client, namespace, name, timeout_seconds)
    finally:
        await _delete(client, created)
    return name


async def _success(client: Client, namespace: str, name: str, timeout_seconds: float) -> None:
    """Return once the job has succeeded."""
    status: Mapping[str, Any] = {}
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                status = await _status(client, namespace, name, status)
                if status.get("jobStatus") == "Successful":
                    return
                if status.get("jobStatus") == "Failed":
                    raise SelfTestError("\n".join([f"DaskJob {namespace}/{name} failed.", *_troubles(status)]))
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise SelfTestError("\n".join(_unfinished(namespace, name, timeout_seconds, status))) from None


async def _status(client: Client, namespace: str, name: str, last: Mapping[str, Any]) -> Mapping[str, Any]:
    """The job's status; the last one known while the API server cannot answer."""
    try:
        found = await client.get(DASK_JOBS, namespace, name)
    except ApiError as error:
        if error.transient:
            return last
        raise SelfTestError(f"DaskJob {namespace}/{name} cannot be read: {error.message}") from error
    return found.get("status") or {}


async def _delete(client: Client, job: Object) -> None:
    meta = job["metadata"]
    try:
        async with asyncio.timeout(_DELETE_SECONDS):
            await client.delete(DASK_JOBS, meta["namespace"], meta["name"], uid=meta["uid"])
    except (ApiError, TimeoutError) as error:
        if getattr(error, "code", 0) != _NOT_FOUND:
            print(f"DaskJob {meta['namespace']}/{meta['name']} is left behind: {error or 'no answer'}", flush=True)


def _refusal(error: ApiError, namespace: str) -> str:
    text = f"The API server takes no DaskJob in namespace {namespace}: {error.message}"
    if error.code == _NOT_FOUND:
        return f"{text}\nAre the custom resource definitions installed (crds.enabled), and is there such a namespace?"
    if error.code == _FORBIDDEN:
        return f"{text}\nThe service account of the test may have to be given rights on daskjobs."
    return text


def _unfinished(namespace: str, name: str, timeout_seconds: float, status: Mapping[str, Any]) -> Iterator[str]:
    if not status:
        yield f"Within {timeout_seconds:g} s no operator has taken up DaskJob {namespace}/{name}."
        yield _NOT_SERVED_REMEDY
        return
    yield f"DaskJob {namespace}/{name} has not ended within {timeout_seconds:g} s; it is {status.get('jobStatus')}."
    troubles = list(_troubles(status))
    yield from troubles or [
        "Nothing is wrong so far; give it more time with tests.timeoutSeconds and helm's --timeout."
    ]


def _troubles(status: Mapping[str, Any]) -> Iterator[str]:
    """What the conditions say is wrong, and what to do about it."""
    for condition in status.get("conditions") or ():
        if condition.get("type") in ("Degraded", "Failed") and condition.get("status") == "True":
            yield f"{condition['type']}: {condition.get('reason')}: {condition.get('message')}"
            if condition.get("reason") in _IMAGE_REASONS:
                yield _IMAGE_REMEDY


async def _main(namespace: str, job: Object, timeout_seconds: float) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)

    async def log_in() -> Credentials:
        return credentials(kopf.OperatorSettings())

    client = Client(log_in)
    try:
        name = await run(client, namespace, job, timeout_seconds=timeout_seconds)
    except SelfTestError as error:
        print(error)
        return 1
    except asyncio.CancelledError:
        print("The test was ended before the job was.")
        return 1
    finally:
        await client.close()
    print(f"DaskJob {namespace}/{name} has computed its result on a Dask cluster of its own.")
    return 0


def main() -> None:
    """Run a DaskJob through to its end, and say how that went."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--namespace", required=True, help="where to run it")
    parser.add_argument("--timeout-seconds", type=float, required=True, help="how long it may take")
    parser.add_argument("job", type=json.loads, help="the DaskJob as JSON")
    options = parser.parse_args()
    sys.exit(asyncio.run(_main(options.namespace, options.job, options.timeout_seconds)))


if __name__ == "__main__":
    main()
