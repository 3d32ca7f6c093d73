"""A few keyword arguments in, custom resources out. Pure: nothing here talks to Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

DEFAULT_IMAGE = "ghcr.io/dask/dask:latest"
DEFAULT_WORKER_COMMAND = ("dask", "worker")

Env = Mapping[str, str] | Sequence[Mapping[str, Any]]

_CLUSTER_NAME = "dask.org/cluster-name"
_COMPONENT = "dask.org/component"


def make_cluster_spec(
    name: str,
    image: str = DEFAULT_IMAGE,
    n_workers: int | None = None,
    resources: Mapping[str, Any] | None = None,
    env: Env | None = None,
    worker_command: str | Sequence[str] = DEFAULT_WORKER_COMMAND,
    scheduler_service_type: str = "ClusterIP",
    idle_timeout: int = 0,
    jupyter: bool = False,
) -> dict[str, Any]:
    """Make a DaskCluster.

    Args:
        name: name of the cluster.
        image: image of the scheduler and the workers.
        n_workers: workers of the default group; None leaves it to the operator, which starts 1.
        resources: resource requests and limits of every container, as in a Pod.
        env: environment variables of every container: a mapping, or a list as in a Pod.
        worker_command: what starts a worker: a list of words, or one string of words.
        scheduler_service_type: ``ClusterIP``, ``NodePort`` or ``LoadBalancer``.
        idle_timeout: seconds without work after which the cluster is deleted; 0 for never.
        jupyter: run a Jupyter server inside the scheduler.

    Returns:
        The object, ready to be applied or changed further.
    """
    scheduler_args = ["dask", "scheduler", "--host", "0.0.0.0"]  # noqa: S104
    if jupyter:
        scheduler_args.append("--jupyter")
    probe = {"httpGet": {"port": "http-dashboard", "path": "/health"}}
    spec: dict[str, Any] = {
        "worker": make_worker_spec(
            image=image, n_workers=n_workers, resources=resources, env=env, worker_command=worker_command
        ),
        "scheduler": {
            "spec": {
                "containers": [
                    {
                        "name": "scheduler",
                        "image": image,
                        "args": scheduler_args,
                        **_container_options(resources, env),
                        "ports": [
                            {"name": "tcp-comm", "containerPort": 8786, "protocol": "TCP"},
                            {"name": "http-dashboard", "containerPort": 8787, "protocol": "TCP"},
                        ],
                        "readinessProbe": {**probe, "periodSeconds": 1, "failureThreshold": 30},
                        "livenessProbe": {**probe, "initialDelaySeconds": 15, "periodSeconds": 20},
                    }
                ]
            },
            "service": {
                "type": scheduler_service_type,
                "selector": {_CLUSTER_NAME: name, _COMPONENT: "scheduler"},
                "ports": [
                    {"name": "tcp-comm", "protocol": "TCP", "port": 8786, "targetPort": "tcp-comm"},
                    {"name": "http-dashboard", "protocol": "TCP", "port": 8787, "targetPort": "http-dashboard"},
                ],
            },
        },
    }
    if idle_timeout:
        spec["idleTimeout"] = idle_timeout
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {"name": name},
        "spec": spec,
    }


def make_worker_spec(
    image: str = DEFAULT_IMAGE,
    n_workers: int | None = 3,
    resources: Mapping[str, Any] | None = None,
    env: Env | None = None,
    worker_command: str | Sequence[str] = DEFAULT_WORKER_COMMAND,
) -> dict[str, Any]:
    """Make the ``spec.worker`` of a DaskCluster or DaskWorkerGroup.

    Args:
        image: image of the workers.
        n_workers: how many; None leaves it to the operator, which starts 1.
        resources: resource requests and limits, as in a Pod.
        env: environment variables: a mapping, or a list as in a Pod.
        worker_command: what starts a worker: a list of words, or one string of words.
    """
    command = worker_command.split() if isinstance(worker_command, str) else list(worker_command)
    worker: dict[str, Any] = {
        "spec": {
            "containers": [
                {
                    "name": "worker",
                    "image": image,
                    "args": [
                        *command,
                        "--name",
                        "$(DASK_WORKER_NAME)",
                        "--dashboard",
                        "--dashboard-address",
                        "8788",
                    ],
                    **_container_options(resources, env),
                    "ports": [{"name": "http-dashboard", "containerPort": 8788, "protocol": "TCP"}],
                }
            ]
        },
    }
    if n_workers is not None:
        worker["replicas"] = n_workers
    return worker


def _container_options(resources: Mapping[str, Any] | None, env: Env | None) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if resources:
        options["resources"] = deepcopy(dict(resources))
    if isinstance(env, Mapping):
        options["env"] = [{"name": key, "value": value} for key, value in env.items()]
    elif env:
        options["env"] = [dict(variable) for variable in env]
    return options
