"""A few keyword arguments in, custom resources out. Pure: nothing here talks to Kubernetes.

What is made can be changed further, applied with kubectl, or given to ``KubeCluster(custom_cluster_spec=...)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from ..exceptions import ValidationError
from . import checks, names

API_VERSION = "kubernetes.dask.org/v1"
DEFAULT_IMAGE = "ghcr.io/dask/dask:latest"
DEFAULT_WORKER_COMMAND = ("dask", "worker")
DEFAULT_WORKERS = 3
# What ``adapt()`` without a maximum asks for; what the nodes and quotas give is less, or the scheduler's wish is.
DEFAULT_MAXIMUM = 1000
# A client says once a second at most that it lives, and a sign of life may be late.
MIN_CLIENT_TIMEOUT_SECONDS = 5

SCHEDULER_COMM_PORT = 8786
SCHEDULER_DASHBOARD_PORT = 8787
WORKER_DASHBOARD_PORT = 8788

TLS_FOLDER = "/etc/dask/tls"
TLS_VOLUME = "dask-tls"
# The keys of a Secret as cert-manager and `kubectl create secret tls` write them.
TLS_CA_KEY = "ca.crt"
TLS_CERTIFICATE_KEY = "tls.crt"
TLS_PRIVATE_KEY_KEY = "tls.key"

JOB_DELETION_POLICIES = ("Delete", "DeleteOnSuccess", "Retain")
JOB_RESTART_POLICIES = ("OnFailure", "Never")

Object = dict[str, Any]
Env = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_CLUSTER_NAME_LABEL = "dask.org/cluster-name"
_COMPONENT_LABEL = "dask.org/component"


class Metadata(TypedDict, total=False):
    """Labels and annotations of every object of a cluster.

    Attributes:
        labels: labels by their keys.
        annotations: annotations by their keys.
    """

    labels: Mapping[str, str] | None
    annotations: Mapping[str, str] | None


class PodOptions(TypedDict, total=False):
    """What the Pods of a cluster have in common, all of it optional.

    Attributes:
        tolerations: taints of nodes that the Pods tolerate, as in a Pod.
        node_selector: labels that a node has to have.
        affinity: rules for where the Pods go, as in a Pod.
        service_account: name of the ServiceAccount that the Pods run as.
        image_pull_secrets: names of Secrets with credentials for the image's registry: one, or a list.
        volumes: volumes, as in a Pod.
        volume_mounts: where the volumes are mounted, as in a container.
        priority_class: name of a PriorityClass.
        tls_secret: name of a Secret with ``ca.crt``, ``tls.crt`` and ``tls.key``; Dask then talks TLS only.
    """

    tolerations: Sequence[Mapping[str, Any]] | None
    node_selector: Mapping[str, str] | None
    affinity: Mapping[str, Any] | None
    service_account: str | None
    image_pull_secrets: str | Sequence[str | Mapping[str, str]] | None
    volumes: Sequence[Mapping[str, Any]] | None
    volume_mounts: Sequence[Mapping[str, Any]] | None
    priority_class: str | None
    tls_secret: str | None


class ObjectOptions(PodOptions, Metadata, total=False):
    """`PodOptions` and `Metadata`."""


def make_cluster_spec(
    name: str,
    image: str = DEFAULT_IMAGE,
    n_workers: int | None = None,
    resources: Mapping[str, Any] | None = None,
    env: Env | None = None,
    worker_command: str | Sequence[str] = DEFAULT_WORKER_COMMAND,
    scheduler_service_type: str = "ClusterIP",
    idle_timeout: float | str | None = 0,
    jupyter: bool = False,
    gpu: int | Mapping[str, int] | None = None,
    client_timeout: float | str | None = 0,
    **options: Unpack[ObjectOptions],
) -> Object:
    """Make a DaskCluster.

    Args:
        name: name of the cluster, at most 53 lower case letters, digits and ``-``.
        image: image of the scheduler and the workers.
        n_workers: workers of the default group; None leaves it to the operator, which starts 1.
        resources: resource requests and limits of every container, as in a Pod.
        env: environment variables of every container: a mapping, or a list as in a Pod.
        worker_command: what starts a worker: a list of words, or one string of words.
        scheduler_service_type: ``ClusterIP``, ``NodePort`` or ``LoadBalancer``.
        idle_timeout: seconds without work after which the cluster is deleted; 0 or None for never.
        jupyter: run a Jupyter server inside the scheduler.
        gpu: GPUs of each worker: a number of ``nvidia.com/gpu``, or another resource with a number.
        client_timeout: seconds without an open `KubeCluster` after which the cluster is deleted, 5 or more; 0 or None
            for never.
        options: see `ObjectOptions`; of the scheduler and of the workers.

    Returns:
        The object, ready to be applied or changed further.

    Raises:
        TypeError: an argument is of a wrong type.
        ValidationError: an argument cannot be used; it is a ``ValueError``.
    """
    checked = names.check_cluster_name(name)
    spec: Object = {
        "worker": make_worker_spec(
            image=image,
            n_workers=n_workers,
            resources=resources,
            env=env,
            worker_command=worker_command,
            cluster_name=name,
            gpu=gpu,
            **_without_metadata(options),
        ),
        "scheduler": make_scheduler_spec(
            name,
            env=env,
            resources=resources,
            image=image,
            scheduler_service_type=scheduler_service_type,
            jupyter=jupyter,
            **_without_metadata(options),
        ),
    }
    idle_seconds = 0 if idle_timeout is None else checks.whole_seconds("idle_timeout", idle_timeout)
    if idle_seconds:
        spec["idleTimeout"] = idle_seconds
    client_seconds = 0 if client_timeout is None else checks.whole_seconds("client_timeout", client_timeout)
    if 0 < client_seconds < MIN_CLIENT_TIMEOUT_SECONDS:
        checks.wrong_value(
            "client_timeout",
            client_timeout,
            "which is too short for a sign of life to arrive in time",
            f"give at least {MIN_CLIENT_TIMEOUT_SECONDS} seconds, better minutes, or 0 for never",
        )
    if client_seconds:
        spec["clientTimeout"] = client_seconds
    # What the cluster is labelled with, the operator writes to all that it makes of it.
    return _object("DaskCluster", checked, spec, options)


def make_worker_spec(
    image: str = DEFAULT_IMAGE,
    n_workers: int | None = DEFAULT_WORKERS,
    resources: Mapping[str, Any] | None = None,
    env: Env | None = None,
    worker_command: str | Sequence[str] = DEFAULT_WORKER_COMMAND,
    cluster_name: str | None = None,
    gpu: int | Mapping[str, int] | None = None,
    **options: Unpack[ObjectOptions],
) -> Object:
    """Make the ``spec.worker`` of a DaskCluster or DaskWorkerGroup.

    Args:
        image: image of the workers.
        n_workers: how many; None leaves it to the operator, which starts 1.
        resources: resource requests and limits, as in a Pod.
        env: environment variables: a mapping, or a list as in a Pod.
        worker_command: what starts a worker: a list of words, or one string of words.
        cluster_name: name of the cluster; it is needed with ``tls_secret`` and has no effect without.
        gpu: GPUs of each worker: a number of ``nvidia.com/gpu``, or another resource with a number.
        options: see `ObjectOptions`.

    Raises:
        TypeError: an argument is of a wrong type.
        ValidationError: an argument cannot be used; it is a ``ValueError``.
    """
    container: Object = {
        "name": "worker",
        "image": checks.image("image", image),
        "args": [
            *checks.command("worker_command", worker_command),
            *("--name", "$(DASK_WORKER_NAME)"),
            *("--dashboard", "--dashboard-address", str(WORKER_DASHBOARD_PORT)),
        ],
        **_container_options(_with_gpus(resources, gpu), env),
        "ports": [_container_port("http-dashboard", WORKER_DASHBOARD_PORT)],
    }
    worker = _section(container, options)
    if options.get("tls_secret") is not None:
        if cluster_name is None:
            checks.wrong_value(
                "cluster_name", None, "and tls_secret is given", "give the name of the cluster that the workers join"
            )
        # Its Service's name, which every pod of the namespace can look up, whatever the cluster's domain is.
        address = f"tls://{names.check_cluster_name(cluster_name, 'cluster_name')}-scheduler:{SCHEDULER_COMM_PORT}"
        _append_env(container, {"DASK_SCHEDULER_ADDRESS": address})
    if n_workers is not None:
        worker["replicas"] = checks.count("n_workers", n_workers)
    return worker


def make_scheduler_spec(
    cluster_name: str,
    env: Env | None = None,
    resources: Mapping[str, Any] | None = None,
    image: str = DEFAULT_IMAGE,
    scheduler_service_type: str = "ClusterIP",
    jupyter: bool = False,
    **options: Unpack[ObjectOptions],
) -> Object:
    """Make the ``spec.scheduler`` of a DaskCluster.

    Args:
        cluster_name: name of the cluster.
        env: environment variables: a mapping, or a list as in a Pod.
        resources: resource requests and limits, as in a Pod.
        image: image of the scheduler.
        scheduler_service_type: ``ClusterIP``, ``NodePort`` or ``LoadBalancer``.
        jupyter: run a Jupyter server inside the scheduler.
        options: see `ObjectOptions`.

    Raises:
        TypeError: an argument is of a wrong type.
        ValidationError: an argument cannot be used; it is a ``ValueError``.
    """
    arguments = ["dask", "scheduler", "--host", "0.0.0.0"]  # noqa: S104
    if checks.flag("jupyter", jupyter):
        arguments.append("--jupyter")
    if options.get("tls_secret") is not None:
        arguments += ["--protocol", "tls"]
    container: Object = {
        "name": "scheduler",
        "image": checks.image("image", image),
        "args": arguments,
        **_container_options(resources, env),
        "ports": [
            _container_port("tcp-comm", SCHEDULER_COMM_PORT),
            _container_port("http-dashboard", SCHEDULER_DASHBOARD_PORT),
        ],
        "readinessProbe": {**_health(), "periodSeconds": 1, "failureThreshold": 30},
        "livenessProbe": {**_health(), "initialDelaySeconds": 15, "periodSeconds": 20},
    }
    service = {
        "type": checks.choice("scheduler_service_type", scheduler_service_type, checks.SERVICE_TYPES),
        "selector": {
            _CLUSTER_NAME_LABEL: names.check_cluster_name(cluster_name, "cluster_name"),
            _COMPONENT_LABEL: "scheduler",
        },
        "ports": [
            _service_port("tcp-comm", SCHEDULER_COMM_PORT),
            _service_port("http-dashboard", SCHEDULER_DASHBOARD_PORT),
        ],
    }
    return {**_section(container, options), "service": service}


def make_worker_group_spec(
    name: str,
    cluster: str,
    *,
    worker: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Object:
    """Make a DaskWorkerGroup.

    Args:
        name: what the cluster calls the group; the object is called ``<cluster>-<name>``.
        cluster: name of the cluster.
        worker: its ``spec.worker``, as from `make_worker_spec`, instead of arguments for that function.
        labels: labels of the group and its workers.
        annotations: annotations of the group and its workers.
        arguments: those of `make_worker_spec`.

    Raises:
        TypeError: an argument is of a wrong type.
        ValidationError: an argument cannot be used; it is a ``ValueError``.
    """
    names.check_cluster_name(cluster, "cluster")
    if worker is None:
        worker = make_worker_spec(cluster_name=cluster, **arguments)
    elif arguments:
        raise ValidationError(
            f"{next(iter(arguments))} is given besides a whole spec: write it into that, or leave that out"
        )
    spec = {"cluster": cluster, "worker": dict(worker)}
    metadata: Metadata = {"labels": labels, "annotations": annotations}
    return _object("DaskWorkerGroup", names.worker_group_name(cluster, name), spec, metadata)


def make_autoscaler_spec(
    cluster: str,
    minimum: int | None = None,
    maximum: int | None = None,
    *,
    name: str | None = None,
    worker_group: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """Make a DaskAutoscaler.

    Args:
        cluster: name of the cluster.
        minimum: the fewest workers there may be; None for 0.
        maximum: the most workers there may be; None for 1000, or for ``minimum`` if that is more.
        name: name of the object; None for that of the cluster.
        worker_group: ``metadata.name`` of the group to scale; None for the default group.
        labels: labels of the object.
        annotations: annotations of the object.

    Raises:
        TypeError: an argument is of a wrong type.
        ValidationError: an argument cannot be used; it is a ``ValueError``.
    """
    names.check_cluster_name(cluster, "cluster")
    least, most = scaling_bounds(minimum, maximum)
    spec: Object = {"cluster": cluster, "minimum": least, "maximum": most}
    if worker_group is not None:
        spec["workerGroup"] = checks.object_name("worker_group", worker_group, f"{cluster}-highmem")
    metadata: Metadata = {"labels": labels, "annotations": annotations}
    return _object("DaskAutoscaler", names.check_cluster_name(cluster if name is None else name), spec, metadata)


def scaling_bounds(minimum: int | None, maximum: int | None) -> tuple[int, int]:
    """The numbers of workers between which a cluster adapts, as whole numbers.

    Raises:
        TypeError: one is no number.
        ValidationError: one is out of range, or ``minimum`` is greater than ``maximum``.
    """
    least = 0 if minimum is None else checks.count("minimum", minimum)
    most = max(least, DEFAULT_MAXIMUM) if maximum is None else checks.count("maximum", maximum)
    if least > most:
        checks.wrong_value(
            "minimum", least, f"which is greater than maximum={most}", "lower minimum or raise maximum"
        )
    return least, most


def make_job_spec(
    name: str,
    command: str | Sequence[str],
    image: str = DEFAULT_IMAGE,
    n_workers: int | None = DEFAULT_WORKERS,
    resources: Mapping[str, Any] | None = None,
    env: Env | None = None,
    worker_command: str | Sequence[str] = DEFAULT_WORKER_COMMAND,
    gpu: int | Mapping[str, int] | None = None,
    restart_policy: str = "OnFailure",
    backoff_limit: int | None = None,
    active_deadline: float | str | None = None,
    ttl_after_finished: float | str | None = None,
    deletion_policy: str | None = None,
    **options: Unpack[ObjectOptions],
) -> Object:
    """Make a DaskJob: a Pod that runs a command beside a cluster of its own.

    Args:
        name: name of the job and of its cluster.
        command: what the job runs: a list of words, or one string of words.
        image: image of the job, the scheduler and the workers.
        n_workers: how many; None leaves it to the operator, which starts 1.
        resources: resource requests and limits of every container, as in a Pod.
        env: environment variables of every container: a mapping, or a list as in a Pod.
        worker_command: what starts a worker: a list of words, or one string of words.
        gpu: GPUs of each worker: a number of ``nvidia.com/gpu``, or another resource with a number.
        restart_policy: ``OnFailure`` or ``Never``, what happens to a command that fails.
        backoff_limit: how often it is started again before the job has failed; None for no limit.
        active_deadline: seconds after which the job is stopped; None for no limit.
        ttl_after_finished: seconds after its end at which the job is deleted; None for never.
        deletion_policy: what becomes of the cluster then: ``Delete``, ``DeleteOnSuccess`` or ``Retain``.
        options: see `ObjectOptions`; of all Pods.

    Raises:
        TypeError: an argument is of a wrong type.
        ValidationError: an argument cannot be used; it is a ``ValueError``.
    """
    pod_options = _without_metadata(options)
    cluster = make_cluster_spec(
        name,
        image=image,
        n_workers=n_workers,
        resources=resources,
        env=env,
        worker_command=worker_command,
        gpu=gpu,
        **pod_options,
    )
    runner: Object = {
        "name": "job",
        "image": image,
        "args": checks.command("command", command),
        **_container_options(resources, env),
    }
    job = _section(runner, pod_options)
    job["spec"]["restartPolicy"] = checks.choice("restart_policy", restart_policy, JOB_RESTART_POLICIES)
    if options.get("tls_secret") is not None:
        _append_env(runner, {"DASK_SCHEDULER_ADDRESS": f"tls://{name}-scheduler:{SCHEDULER_COMM_PORT}"})
    spec: Object = {"job": job, "cluster": {"spec": cluster["spec"]}}
    if backoff_limit is not None:
        spec["backoffLimit"] = checks.count("backoff_limit", backoff_limit)
    if active_deadline is not None:
        spec["activeDeadlineSeconds"] = checks.whole_seconds("active_deadline", active_deadline, least=1)
    if ttl_after_finished is not None:
        spec["ttlSecondsAfterFinished"] = checks.whole_seconds("ttl_after_finished", ttl_after_finished)
    if deletion_policy is not None:
        spec["deletionPolicy"] = checks.choice("deletion_policy", deletion_policy, JOB_DELETION_POLICIES)
    return _object("DaskJob", name, spec, options)


def make_pod_spec(
    image: str = DEFAULT_IMAGE,
    labels: Mapping[str, str] | None = None,
    threads_per_worker: int = 1,
    env: Env | None = None,
    extra_container_config: Mapping[str, Any] | None = None,
    extra_pod_config: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    memory_limit: str | int | None = None,
    memory_request: str | int | None = None,
    cpu_limit: str | float | None = None,
    cpu_request: str | float | None = None,
    gpu_limit: int | Mapping[str, int] | None = None,
    annotations: Mapping[str, str] | None = None,
    worker_command: str | Sequence[str] = DEFAULT_WORKER_COMMAND,
    **options: Unpack[PodOptions],
) -> Object:
    """Make the Pod of one worker; its ``["spec"]`` goes where a DaskCluster has ``["spec"]["worker"]["spec"]``.

    Code that was written for the classic KubeCluster has its Pods from a function of this name.

    Args:
        image: image of the worker.
        labels: labels of the Pod.
        threads_per_worker: threads that compute.
        env: environment variables: a mapping, or a list as in a Pod.
        extra_container_config: fields of the container, over those that are made here.
        extra_pod_config: fields of the Pod's spec, over those that are made here.
        resources: resource requests and limits, as in a Pod.
        memory_limit: limit of memory, also told to Dask.
        memory_request: request for memory.
        cpu_limit: limit of CPUs.
        cpu_request: request for CPUs.
        gpu_limit: GPUs: a number of ``nvidia.com/gpu``, or another resource with a number.
        annotations: annotations of the Pod.
        worker_command: what starts a worker: a list of words, or one string of words.
        options: see `PodOptions`.

    Raises:
        TypeError: an argument is of a wrong type.
        ValidationError: an argument cannot be used; it is a ``ValueError``.
    """
    limits = {"memory": memory_limit, "cpu": cpu_limit}
    requests = {"memory": memory_request, "cpu": cpu_request}
    merged = {} if resources is None else checks.resources("resources", resources)
    for section, given in (("limits", limits), ("requests", requests)):
        for resource, amount in given.items():
            if amount is not None:
                checks.quantity(f"{resource}_{section.removesuffix('s')}", amount)
                merged[section] = {**merged.get(section, {}), resource: amount}
    worker = make_worker_spec(
        image=image, n_workers=None, resources=merged, env=env, worker_command=worker_command, gpu=None, **options
    )
    container = worker["spec"]["containers"][0]
    container["args"] += ["--nthreads", str(checks.count("threads_per_worker", threads_per_worker, least=1))]
    if memory_limit is not None:
        # In bytes, because a unit of Kubernetes may be none of Dask's.
        container["args"] += ["--memory-limit", str(int(checks.quantity("memory_limit", memory_limit)))]
    if gpu_limit is not None:
        container["resources"] = _with_gpus(merged, gpu_limit, "gpu_limit")
    container.update(_extra("extra_container_config", extra_container_config))
    worker["spec"].update(_extra("extra_pod_config", extra_pod_config))
    metadata = _metadata({"labels": labels, "annotations": annotations})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": worker["spec"]}


def _object(kind: str, name: str, spec: Object, options: Metadata) -> Object:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, **_metadata(options)}, "spec": spec}


def _metadata(options: Metadata) -> Object:
    metadata: Object = {}
    given_labels, given_annotations = options.get("labels"), options.get("annotations")
    if given_labels is not None and (labels := checks.object_labels("labels", given_labels)):
        metadata["labels"] = labels
    if given_annotations is not None and (annotations := checks.object_annotations("annotations", given_annotations)):
        metadata["annotations"] = annotations
    return metadata


def _without_metadata(options: ObjectOptions) -> ObjectOptions:
    kept = options.copy()
    kept.pop("labels", None)
    kept.pop("annotations", None)
    return kept


def _section(container: Object, options: ObjectOptions) -> Object:
    """A pod spec with this container, which is completed, and metadata if there is some."""
    unknown = sorted(set(options) - ObjectOptions.__optional_keys__)
    if unknown:
        raise TypeError(
            f"{unknown[0]} is unknown: the options of a Pod are {', '.join(sorted(ObjectOptions.__optional_keys__))}"
        )
    pod: Object = {"containers": [container]}
    # An empty list or mapping, as from the configuration, is as good as none.
    given: Mapping[str, Any] = {key: value for key, value in options.items() if value not in (None, [], {}, ())}
    if "tolerations" in given:
        pod["tolerations"] = checks.tolerations("tolerations", given["tolerations"])
    if "node_selector" in given:
        pod["nodeSelector"] = checks.node_selector("node_selector", given["node_selector"])
    if "affinity" in given:
        pod["affinity"] = checks.affinity("affinity", given["affinity"])
    if "service_account" in given:
        pod["serviceAccountName"] = checks.object_name("service_account", given["service_account"], "dask-sa")
    if "image_pull_secrets" in given:
        pod["imagePullSecrets"] = checks.image_pull_secrets("image_pull_secrets", given["image_pull_secrets"])
    if "priority_class" in given:
        pod["priorityClassName"] = checks.object_name("priority_class", given["priority_class"], "batch")
    volumes = checks.volumes("volumes", given.get("volumes", []))
    mounts = checks.volume_mounts(
        "volume_mounts", given.get("volume_mounts", []), [volume["name"] for volume in volumes]
    )
    if "tls_secret" in given:
        secret = checks.object_name("tls_secret", given["tls_secret"], "my-cluster-tls")
        volumes.append({"name": TLS_VOLUME, "secret": {"secretName": secret}})
        mounts.append({"name": TLS_VOLUME, "mountPath": TLS_FOLDER, "readOnly": True})
        _append_env(container, _tls_env())
    if volumes:
        pod["volumes"] = volumes
    if mounts:
        container["volumeMounts"] = mounts
    metadata = _metadata(options)
    return {"metadata": metadata, "spec": pod} if metadata else {"spec": pod}


def _tls_env() -> dict[str, str]:
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    variables = {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true", f"{tls}CA_FILE": f"{TLS_FOLDER}/{TLS_CA_KEY}"}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        variables[f"{tls}{role}__CERT"] = f"{TLS_FOLDER}/{TLS_CERTIFICATE_KEY}"
        variables[f"{tls}{role}__KEY"] = f"{TLS_FOLDER}/{TLS_PRIVATE_KEY_KEY}"
    return variables


def _append_env(container: Object, variables: Mapping[str, str]) -> None:
    """Add variables, less those that are there."""
    there = container.setdefault("env", [])
    taken = {variable["name"] for variable in there}
    there += [{"name": name, "value": value} for name, value in variables.items() if name not in taken]


def _container_options(resources: Mapping[str, Any] | None, env: Env | None) -> Object:
    options: Object = {}
    if resources is not None and (checked := checks.resources("resources", resources)):
        options["resources"] = checked
    if env is not None and (variables := checks.env("env", env)):
        options["env"] = variables
    return options


def _with_gpus(
    resources: Mapping[str, Any] | None, gpu: int | Mapping[str, int] | None, argument: str = "gpu"
) -> Mapping[str, Any] | None:
    if gpu is None:
        return resources
    checked = {} if resources is None else checks.resources("resources", resources)
    for resource, number in checks.gpus(argument, gpu).items():
        if resource in checked.get("limits", {}) or resource in checked.get("requests", {}):
            checks.wrong_value(argument, gpu, f"and resources has {resource} too", "remove one of them")
        if number:
            checked["limits"] = {**checked.get("limits", {}), resource: number}
    return checked


def _extra(argument: str, value: Mapping[str, Any] | None) -> Object:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        checks.wrong_type(
            argument, value, "give fields as in a Pod by their names, such as {'imagePullPolicy': 'Always'}"
        )
    return dict(value)


def _health() -> Object:
    return {"httpGet": {"port": "http-dashboard", "path": "/health"}}


def _container_port(name: str, port: int) -> Object:
    return {"name": name, "containerPort": port, "protocol": "TCP"}


def _service_port(name: str, port: int) -> Object:
    return {"name": name, "protocol": "TCP", "port": port, "targetPort": name}
