"""A cluster that the user brings: CLUSTER=existing and KUBECONFIG. It is checked, and never changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ci import engine, nodes
from ci.console import Failure
from ci.process import output
from ci.readiness import ANSWER_SECONDS, kubectl_command


def is_wanted() -> bool:
    """Whether the user brings a cluster."""
    return os.environ.get("CLUSTER") == "existing"


def kubeconfig(kubectl: Callable[[], Path]) -> Path:
    """The kubeconfig of the user's cluster, once its API server answered.

    :param kubectl: gives the path of kubectl; asked only once there is a kubeconfig to use it on.

    :raises Failure: KUBECONFIG is not set or wrong, or nothing answers.
    """
    paths = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if not paths:
        raise Failure("CLUSTER=existing needs KUBECONFIG; set it to the kubeconfig file of the cluster to use.")
    if len(paths) > 1:
        raise Failure("KUBECONFIG names several files; set it to one, for example the output of: kubectl config view")
    file = paths[0].absolute()
    if not file.is_file():
        raise Failure(f"KUBECONFIG names {file}, which is not a file; set it to the cluster's kubeconfig.")
    command = kubectl_command(file, kubectl(), "version", "--output", "json")
    status, answer, error = output(command, timeout_seconds=ANSWER_SECONDS)
    if status or "serverVersion" not in answer:
        reason = (error.strip().splitlines() or ["no answer"])[-1]
        raise Failure(
            f"the cluster of {file} does not answer ({reason}); check KUBECONFIG and that it can be reached."
        )
    return file


def kind_name(kubeconfig: Path, kubectl: Path) -> str:
    """The name of the kind cluster on this engine that the current context is of.

    :raises Failure: it is something else, where images cannot be loaded.
    """
    _, context, _ = output(kubectl_command(kubeconfig, kubectl, "config", "current-context"))
    name = context.strip().removeprefix("kind-")
    if context.startswith("kind-") and engine.runs() and nodes.of_cluster(name):
        return name
    raise Failure(
        "images cannot be loaded into an existing cluster that is not a kind cluster on this engine; push them to a"
        " registry that it can pull from."
    )
