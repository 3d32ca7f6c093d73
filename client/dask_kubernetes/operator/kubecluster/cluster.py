"""KubeCluster: a Dask cluster on Kubernetes, as distributed's other cluster managers are."""

from __future__ import annotations

import asyncio
import atexit
import logging
import uuid
import weakref
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from os import PathLike
from typing import Any, ClassVar, Self

from distributed.core import Status, rpc
from distributed.deploy.cluster import Cluster
from distributed.objects import SchedulerInfo
from distributed.security import Security
from distributed.utils import Log, Logs, format_dashboard_link
from rich.console import RenderableType
from tornado.ioloop import IOLoop

from dask_kubernetes.exceptions import (
    ConflictError,
    DaskKubernetesError,
    ForbiddenError,
    NotFoundError,
    SchedulerConnectionError,
    ValidationError,
)

from .. import checks, names, specs
from ..api import DASK_CLUSTERS, PODS, Api, Object
from ..arguments import (
    CLUSTER_ARGUMENTS,
    POD_OPTIONS,
    CreateMode,
    check_worker_spec,
    cluster_arguments,
    reject_unknown,
    worker_group_arguments,
)
from . import security as tls
from .addresses import Wanted, Way, find_way
from .creation import Creation
from .heartbeat import Heartbeat, timeout_seconds_of
from .labels import SCHEDULER, WORKER, component, of_cluster
from .observation import Observation, gone, within
from .progress import Progress, picture, table
from .startup import scheduler_answers
from .workers import WorkerGroups, changed_worker

logger = logging.getLogger(__name__)

DEFAULT_WORKERS = 3
# At the end of the interpreter, and when something failed, nobody wants to wait for long.
CLEAN_UP_SECONDS = 30.0
CONNECTIONS_SECONDS = 10.0
REAP_SECONDS = 10.0
_RECONNECT_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_RETRY_SECONDS = 0.3
# A scheduler that is on its way out takes connections and answers nothing.
_ANSWER_SECONDS = 3.0


class KubeCluster(Cluster):
    """A Dask cluster on Kubernetes, made by the Dask Kubernetes Operator.

    It is created, or connected to if it is there, and deleted again when it is closed if it was created here. What is
    not said comes from ``dask.config``, from the key of the same name below ``kubernetes``.

    Args:
        name: name of the cluster, or a template for it with ``{user}``, ``{uuid}`` and environment variables. It
            has no effect beside ``custom_cluster_spec``, which has a name of its own.
        namespace: where the cluster is to be; the current namespace when left out.
        image: image of the scheduler and the workers.
        n_workers: workers of the default group to begin with.
        resources: requests and limits of every container, as in a Pod.
        env: environment variables of every container, a mapping or a list as in a Pod.
        worker_command: what starts a worker, a list of words or one string of words.
        port_forward_cluster_ip: whether ports of a ClusterIP Service are forwarded to this machine; when left out,
            they are unless this runs inside the same cluster.
        create_mode: a `CreateMode`, or its name: what to do when the cluster is, or is not, there.
        shutdown_on_close: whether closing deletes the cluster; when left out, if it was created here.
        idle_timeout: seconds without work after which the operator deletes the cluster, 0 for never.
        client_timeout: seconds after which the operator deletes the cluster when no `KubeCluster` is open for it any
            more, as when its process was killed; 5 or more, better minutes, and 0 for never.
        resource_timeout: seconds for which something may be wrong, such as an image that cannot be pulled.
        scheduler_service_type: ``ClusterIP``, ``NodePort`` or ``LoadBalancer``.
        custom_cluster_spec: a DaskCluster as a mapping, as YAML or as the path of a file, instead of most of this.
        scheduler_forward_port: local port for the dashboard where ports are forwarded; any that is free by default.
        jupyter: whether the scheduler has a Jupyter server.
        loop: tornado's loop to run in.
        asynchronous: whether methods return awaitables; ``await`` the cluster itself, or use ``async with``.
        quiet: whether to show nothing while it starts.
        gpu: GPUs of each worker, a number of ``nvidia.com/gpu`` or a mapping.
        security: True for a cluster that talks TLS with certificates that are made for it, which takes the package
            ``cryptography``; or certificates of one's own, with which it is made. They are in its Secret
            ``<name>-tls``, and go with it. For a cluster that is there, or has ``tls_secret`` or a
            ``custom_cluster_spec``, what to connect with; the certificates of its Secret if True or left out.
        kubeconfig: path of a kubeconfig other than KUBECONFIG or ``~/.kube/config``.
        context: a context of the kubeconfig other than the current one.
        options: what Pods of the cluster have besides: ``labels``, ``annotations``, ``tolerations``,
            ``node_selector``, ``affinity``, ``service_account``, ``image_pull_secrets``, ``volumes``,
            ``volume_mounts``, ``priority_class``, ``tls_secret``; and ``scheduler_sync_interval`` of
            distributed's `Cluster`.

    Raises:
        TypeError: an argument is unknown, or of a wrong type.
        ValidationError: an argument cannot be used; nothing was sent to Kubernetes then. It is a ``ValueError``.
        ClusterExistsError: the cluster is there, against ``create_mode``. It is a ``ValueError``.
        ClusterNotFoundError: it is not there, against ``create_mode``. It is a ``ValueError``.
        CredentialsError: there are no credentials for Kubernetes.
        ApiError: the API server refuses: `ForbiddenError`, `QuotaExceededError`, `NotInstalledError` and so on.
        OperatorNotRunningError: nobody took the cluster up. It is a ``TimeoutError``.
        SchedulerStartupError: the scheduler does not start; `ImagePullError`, `UnschedulableError` and
            `CrashLoopBackOffError` say why.
        SchedulerConnectionError: the scheduler runs, and cannot be reached from here.

    A cluster whose start failed or was interrupted is deleted, unless it was there before or ``shutdown_on_close`` is
    False.
    """

    _instances: ClassVar[weakref.WeakSet[KubeCluster]] = weakref.WeakSet()

    def __init__(
        self,
        *,
        name: str | None = None,
        namespace: str | None = None,
        image: str | None = None,
        n_workers: int | None = None,
        resources: Mapping[str, Any] | None = None,
        env: specs.Env | None = None,
        worker_command: str | list[str] | None = None,
        port_forward_cluster_ip: bool | None = None,
        create_mode: CreateMode | str | None = None,
        shutdown_on_close: bool | None = None,
        idle_timeout: float | str | None = None,
        client_timeout: float | str | None = None,
        resource_timeout: float | str | None = None,
        scheduler_service_type: str | None = None,
        custom_cluster_spec: str | PathLike[str] | Mapping[str, Any] | None = None,
        scheduler_forward_port: int | None = None,
        jupyter: bool | None = None,
        loop: IOLoop | None = None,
        asynchronous: bool = False,
        quiet: bool = False,
        gpu: int | Mapping[str, int] | None = None,
        security: Security | Mapping[str, Any] | bool | None = None,
        kubeconfig: str | PathLike[str] | None = None,
        context: str | None = None,
        **options: Any,
    ) -> None:
        # What base classes look at when one of the checks below says no.
        self.status = Status.closed
        wanted_security = tls.checked(security)
        of_base = {key: options.pop(key) for key in CLUSTER_ARGUMENTS if key in options}
        self._arguments = arguments = cluster_arguments(
            name=name,
            namespace=namespace,
            image=image,
            n_workers=n_workers,
            resources=resources,
            env=env,
            worker_command=worker_command,
            port_forward_cluster_ip=port_forward_cluster_ip,
            create_mode=create_mode,
            shutdown_on_close=shutdown_on_close,
            idle_timeout=idle_timeout,
            client_timeout=client_timeout,
            resource_timeout=resource_timeout,
            scheduler_service_type=scheduler_service_type,
            custom_cluster_spec=custom_cluster_spec,
            scheduler_forward_port=scheduler_forward_port,
            jupyter=jupyter,
            quiet=quiet,
            gpu=gpu,
            security=tls.has_certificates(wanted_security),
            **options,
        )
        if arguments.own_secret is not None and arguments.create_mode is not CreateMode.CONNECT_ONLY:
            tls.check_can_be_written(wanted_security)
        self._has_to_be_secure = wanted_security is True
        if self._has_to_be_secure:
            tls.check_talks_tls(arguments.manifest)
        self._security = wanted_security if isinstance(wanted_security, Security) else None
        self._kubeconfig = None if kubeconfig is None else str(kubeconfig)
        self._context = context
        self.namespace = arguments.namespace
        self.create_mode = arguments.create_mode
        self.shutdown_on_close = arguments.shutdown_on_close
        self.port_forward_cluster_ip = arguments.port_forward_cluster_ip
        self.scheduler_forward_port = arguments.scheduler_forward_port
        self.jupyter = arguments.jupyter
        self._manifest: Object = dict(arguments.manifest)
        self._creation: Creation | None = None
        self._heartbeat: Heartbeat | None = None
        self._progress: Progress | None = None
        self._api_if_open: Api | None = None
        self._open_ports = AsyncExitStack()
        self._way: Way | None = None
        self._starting: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._cleaning: asyncio.Task[None] | None = None
        self._closes: asyncio.Event | None = None
        super().__init__(asynchronous=asynchronous, loop=loop, quiet=quiet, name=arguments.name, **of_base)  # type: ignore[no-untyped-call]
        self._instances.add(self)
        if not self.called_from_running_loop:
            # A notebook shows what is displayed from the thread of the user.
            self._progress = Progress(self.name, quiet=self.quiet)
            self._loop_runner.start()
            try:
                self.sync(self._start)
            except BaseException:
                # KeyboardInterrupt too: then the start goes on in the loop's thread until it is told to stop.
                self._give_up()
                raise

    # What it is -------------------------------------------------------------------------------------------------

    @property
    def image(self) -> str:
        """Image of the scheduler."""
        return str(self._manifest["spec"]["scheduler"]["spec"]["containers"][0]["image"])

    @property
    def n_workers(self) -> int | None:
        """Workers that the default group began with."""
        replicas = self._manifest["spec"]["worker"].get("replicas")
        return None if replicas is None else int(replicas)

    @property
    def resources(self) -> dict[str, Any]:
        """Requests and limits of a worker."""
        return dict(self._worker_container().get("resources") or {})

    @property
    def env(self) -> list[dict[str, Any]]:
        """Environment variables of a worker, as in a Pod."""
        return list(self._worker_container().get("env") or ())

    @property
    def worker_command(self) -> list[str]:
        """What starts a worker, with all its arguments."""
        container = self._worker_container()
        return [*(container.get("command") or ()), *(container.get("args") or ())]

    @property
    def scheduler_service_type(self) -> str:
        """Type of the scheduler's Service."""
        return str((self._manifest["spec"]["scheduler"].get("service") or {}).get("type") or "ClusterIP")

    @property
    def idle_timeout(self) -> float | None:
        """Seconds without work after which the operator deletes the cluster, None or 0 for never."""
        value = self._manifest["spec"].get("idleTimeout")
        return None if value is None else float(value)

    @property
    def client_timeout(self) -> float | None:
        """Seconds without an open `KubeCluster` after which the operator deletes the cluster, None for never."""
        return float(timeout_seconds_of(self._manifest)) or None

    @property
    def dashboard_link(self) -> str:
        """URL of the dashboard as ``distributed.dashboard.link`` of dask.config has it; empty before the start.

        ``{host}`` and ``{port}`` are those of a forwarded port, or of the Service from inside the cluster.
        """
        if self._way is None:
            return ""
        return str(format_dashboard_link(self._way.dashboard_host, self._way.dashboard_port))

    @property
    def forwarded_dashboard_port(self) -> str:
        """Port of the dashboard, as seen from here."""
        return "" if self._way is None else str(self._way.dashboard_port)

    @property
    def jupyter_link(self) -> str:
        """URL of the scheduler's Jupyter server.

        Raises:
            RuntimeError: it has none.
        """
        if not self.jupyter:
            raise RuntimeError("the cluster was made without a Jupyter server: make it with jupyter=True")
        return self.dashboard_link.replace("/status", "/jupyter/lab")

    # Start ------------------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Self]:
        async def start() -> Self:
            await self._start()
            return self

        return start().__await__()

    async def _start(self) -> None:
        """Start, once; whoever comes while it starts waits for the same."""
        if self.status == Status.running:
            return
        if self.status in (Status.closing, Status.closed):
            raise ValueError("the cluster is closed: make another KubeCluster")
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start_or_clean_up())
        try:
            await asyncio.shield(self._starting)
        except asyncio.CancelledError:
            await self._stop_starting()
            raise

    async def _start_or_clean_up(self) -> None:
        self.status = Status.starting
        self._closes = asyncio.Event()
        try:
            with self._progress or Progress(self.name, quiet=self.quiet) as progress:
                await self._bring_up(progress)
            await super()._start()  # type: ignore[no-untyped-call]
        except BaseException:
            await self._cleaned_up()
            raise

    async def _stop_starting(self) -> None:
        assert self._starting is not None
        self._starting.cancel()
        await asyncio.gather(self._starting, return_exceptions=True)
        await self._cleaned_up()

    async def _bring_up(self, progress: Progress) -> None:
        self._api_if_open = api = await Api.connect(self._kubeconfig, self._context)
        self.namespace = namespace = self.namespace or api.namespace
        timeout_seconds, secret = self._arguments.resource_timeout_seconds, None
        if self._arguments.own_secret is not None:
            name, given = self._arguments.own_secret, self._security
            secret = tls.OwnSecret(api, namespace, name, given, timeout_seconds=timeout_seconds)
        self._creation = Creation(api, namespace, self._arguments.manifest, secret)
        cluster = await self._creation.create_or_connect(self.create_mode, timeout_seconds)
        self._manifest = cluster
        self._heartbeat = Heartbeat(api, namespace, cluster)
        self._heartbeat.start()
        self.jupyter = _has_jupyter(cluster)
        if self.shutdown_on_close is None:
            self.shutdown_on_close = self._creation.created
        if self._has_to_be_secure:
            tls.check_talks_tls(cluster)
        if secret is not None and self._creation.created:
            self._security = secret.security
        if self._security is None and (named := tls.tls_secret(cluster)):
            self._security = await tls.from_secret(api, namespace, named)
        if self._security is not None:
            self.security = self._security
        connection_args = {} if self._security is None else self._security.get_connection_args("client")
        wanted = Wanted(
            forward=self.port_forward_cluster_ip,
            dashboard_port=self.scheduler_forward_port,
            protocol="tls" if tls.talks_tls(cluster) or tls.tls_secret(cluster) else "tcp",
            connection_args=connection_args,
            timeout_seconds=self._arguments.resource_timeout_seconds,
        )
        async with Observation(api, namespace, self.name, with_events=progress.is_seen) as seen:
            self._way = await scheduler_answers(
                seen,
                lambda: self._find_way(wanted),
                api=api,
                namespace=namespace,
                name=self.name,
                resource_timeout_seconds=self._arguments.resource_timeout_seconds,
                show=progress.show,
            )
        self.scheduler_comm = rpc(self._way.scheduler, connection_args=connection_args)
        self._log(f"Connected to the scheduler at {self._way.scheduler}, dashboard at {self.dashboard_link}")

    async def _find_way(self, wanted: Wanted) -> Way:
        """Find a way, again while what the operator makes is not there yet."""
        while True:
            ports = AsyncExitStack()
            try:
                way = await find_way(self._api, self._place, self.name, wanted, ports)
            except (NotFoundError, SchedulerConnectionError) as error:
                await ports.aclose()
                logger.debug("No way to the scheduler yet: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            except BaseException:
                await ports.aclose()
                raise
            else:
                self._open_ports = ports
                return way

    # The end ----------------------------------------------------------------------------------------------------

    def close(self, timeout: float | None = 3600) -> Any:
        """Close the connection, and delete the cluster if ``shutdown_on_close`` says so.

        Args:
            timeout: how long to wait until the DaskCluster is gone, in seconds.
        """
        if self.asynchronous:
            return self._close(timeout)
        try:
            if self.status != Status.closed:
                self.sync(self._close, timeout)
        finally:
            self._loop_runner.stop()
        return None

    async def _close(self, timeout: float | None = 3600) -> None:  # noqa: ASYNC109 - as distributed has it
        if self._closing is None:
            if self.status == Status.closed:
                return
            self._closing = asyncio.ensure_future(self._close_once(timeout))
        await asyncio.shield(self._closing)

    async def _close_once(self, timeout_seconds: float | None) -> None:
        if self._starting is not None and not self._starting.done():
            await self._stop_starting()
            return
        if self._closes is not None:
            self._closes.set()
        try:
            await asyncio.wait_for(super()._close(), CONNECTIONS_SECONDS)  # type: ignore[no-untyped-call]
        except Exception as error:  # what is wrong with the scheduler keeps no cluster alive
            logger.debug("The connection to the scheduler did not close well: %s", error)
        finally:
            await self._cleaned_up(timeout_seconds)

    async def _cleaned_up(self, wait_seconds: float | None = None) -> None:
        """Clean up, once, and to the end however often whoever waits is cancelled."""
        if self._cleaning is None:
            self._cleaning = asyncio.ensure_future(self._clean_up(wait_seconds))
        await asyncio.shield(self._cleaning)

    async def _clean_up(self, wait_seconds: float | None = None) -> None:
        """Leave nothing behind: no cluster, no port, no connection."""
        if self._closes is not None:
            self._closes.set()
        try:
            if self._heartbeat is not None:
                await self._heartbeat.stop()
            if self.scheduler_comm is not None:
                with suppress(OSError):
                    await self.scheduler_comm.close_rpc()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._open_ports.aclose(), CONNECTIONS_SECONDS)
        finally:
            try:
                if self._is_to_be_deleted():
                    await self._delete(wait_seconds)
            finally:
                self.status = Status.closed
                self._instances.discard(self)
                if self._api_if_open is not None:
                    api, self._api_if_open = self._api_if_open, None
                    await api.close()

    def _is_to_be_deleted(self) -> bool:
        if self._creation is None or self._creation.found is None:
            return False
        return self._creation.created if self.shutdown_on_close is None else bool(self.shutdown_on_close)

    async def _delete(self, wait_seconds: float | None) -> None:
        assert self._creation is not None
        self._manifest = cluster = self._creation.found or self._manifest
        with suppress(ForbiddenError):  # garbage collection does the same, if a little later
            await self._groups.delete_autoscalers()
        uid = cluster["metadata"]["uid"]
        try:
            await self._api.delete(DASK_CLUSTERS, self.name, self._place, uid=uid)
        except ConflictError:
            return  # it is gone, and another one has its name
        if wait_seconds:
            await within(wait_seconds, gone(self._api, self._place, self.name, uid=uid))

    def _give_up(self) -> None:
        """After a start that failed, or was interrupted: stop it, clean up, and end the loop's thread."""
        try:
            if self.status != Status.closed:
                self.sync(self._close, CLEAN_UP_SECONDS, callback_timeout=CLEAN_UP_SECONDS)
        finally:
            self._loop_runner.stop()

    def __enter__(self) -> Self:
        if self.asynchronous:
            raise TypeError("the cluster is asynchronous: use 'async with' instead of 'with'")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    @classmethod
    def from_name(cls, name: str, **kwargs: Any) -> Self:
        """Connect to a cluster that is there. Closing the object leaves the cluster as it is.

        Args:
            name: name of the cluster.
            kwargs: as for the class.

        Raises:
            ClusterNotFoundError: there is none of that name.
        """
        return cls(name=name, **{"create_mode": CreateMode.CONNECT_ONLY, "shutdown_on_close": False, **kwargs})

    # Workers ----------------------------------------------------------------------------------------------------

    def scale(self, n: int, worker_group: str = names.DEFAULT_WORKER_GROUP) -> Any:
        """Scale a worker group to a number of workers; one that adapts does so no longer.

        Args:
            n: how many workers.
            worker_group: what the cluster calls the group.

        Raises:
            WorkerGroupNotFoundError: there is no such group.
        """
        checks.count("n", n)
        return self.sync(lambda: self._groups.scale(worker_group, n))

    def adapt(  # type: ignore[override]
        self, minimum: int | None = None, maximum: int | None = None, worker_group: str = names.DEFAULT_WORKER_GROUP
    ) -> Any:
        """Have the operator scale a worker group to what the scheduler asks for, until `scale` is called.

        Args:
            minimum: the fewest workers; 0 when left out.
            maximum: the most workers; 1000 when left out.
            worker_group: what the cluster calls the group.

        Raises:
            ValidationError: ``minimum`` is greater than ``maximum``.
            WorkerGroupNotFoundError: there is no such group.
        """
        specs.scaling_bounds(minimum, maximum)
        return self.sync(lambda: self._groups.adapt(worker_group, minimum, maximum))

    def add_worker_group(
        self,
        name: str | None = None,
        n_workers: int | None = None,
        image: str | None = None,
        resources: Mapping[str, Any] | None = None,
        worker_command: str | list[str] | None = None,
        env: specs.Env | None = None,
        custom_spec: Mapping[str, Any] | None = None,
        *,
        n: int | None = None,
        **options: Any,
    ) -> Any:
        """Add a group of workers. What is not said is as in the default group.

        Args:
            name: what the cluster is to call the group; made up when left out.
            n_workers: how many workers, 3 when left out; see `scale` for more later.
            image: image of the workers.
            resources: requests and limits, as in a Pod.
            worker_command: what starts a worker.
            env: environment variables, a mapping or a list as in a Pod.
            custom_spec: what `make_worker_spec` returns, instead of all this but the name.
            n: the same as ``n_workers``.
            options: as for the class, and ``gpu``.

        Raises:
            TypeError: an argument is unknown, or of a wrong type.
            ValidationError: an argument cannot be used.
            ConflictError: there is such a group.
        """
        reject_unknown([option for option in options if option not in (*POD_OPTIONS, "gpu")], (*POD_OPTIONS, "gpu"))
        group = f"group-{uuid.uuid4().hex[:6]}" if name is None else name
        names.worker_group_name(self.name, group)
        given = {
            **{"image": image, "resources": resources, "worker_command": worker_command, "env": env},
            **{option: value for option, value in options.items() if value is not None},
        }
        worker = self._worker_spec(given, custom_spec)
        wanted = n_workers if n_workers is not None else n
        if wanted is not None or "replicas" not in worker:
            worker["replicas"] = checks.count("n_workers", DEFAULT_WORKERS if wanted is None else wanted)
        body = specs.make_worker_group_spec(group, self.name, worker=worker)
        return self.sync(lambda: self._groups.add(body))

    def delete_worker_group(self, name: str) -> Any:
        """Delete a group of workers.

        Args:
            name: what the cluster calls the group.

        Raises:
            WorkerGroupNotFoundError: there is no such group.
            ValidationError: it is the default group, which the operator would make again.
        """
        if name == names.DEFAULT_WORKER_GROUP:
            raise ValidationError(f"name is {name!r}, and every cluster has that group: use scale(0) to empty it")
        return self.sync(lambda: self._groups.delete(name))

    def _worker_spec(self, given: Mapping[str, Any], custom_spec: Mapping[str, Any] | None) -> dict[str, Any]:
        """The ``spec.worker`` of a new group."""
        if custom_spec is not None:
            return check_worker_spec(custom_spec)
        created = self._creation is not None and self._creation.created
        if created and self._arguments.manifest["spec"]["worker"] == self._generated_worker():
            return specs.make_worker_spec(
                cluster_name=self.name, n_workers=None, **worker_group_arguments(self._arguments.worker, **given)
            )
        # It was made by somebody else, or from a manifest: what that has counts, with what is said put into it.
        return changed_worker(self._manifest["spec"]["worker"], self.name, given)

    def _generated_worker(self) -> dict[str, Any]:
        made: dict[str, Any] = specs.make_cluster_spec(self.name, **self._arguments.worker)["spec"]["worker"]
        replicas = self._arguments.manifest["spec"]["worker"].get("replicas")
        return made if replicas is None else {**made, "replicas": replicas}

    # What it says -----------------------------------------------------------------------------------------------

    def get_logs(self, cluster: bool = False, scheduler: bool = True, workers: bool = True) -> Any:
        """The logs of the Pods, by name of the Pod.

        Args:
            cluster: also what this object has noted, as ``Cluster``.
            scheduler: the scheduler's.
            workers: the workers'.

        Raises:
            ForbiddenError: logs may not be read; the Role needs ``get`` on ``pods/log``.
        """
        return self.sync(self._get_logs, cluster=cluster, scheduler=scheduler, workers=workers)

    def logs(self, cluster: bool = False, scheduler: bool = True, workers: bool = True) -> Any:
        """The same as `get_logs`."""
        return self.get_logs(cluster, scheduler, workers)

    async def _get_logs(self, cluster: bool = False, scheduler: bool = True, workers: bool = True) -> Logs:
        logs = Logs()
        if cluster:
            logs["Cluster"] = Log("\n".join(line for _, line in self._cluster_manager_logs))
        wanted = {SCHEDULER: scheduler, WORKER: workers}
        pods = await self._api.list(PODS, self._place, labels=of_cluster(self.name))
        for pod in pods:
            if wanted.get(component(pod), True):
                logs[pod["metadata"]["name"]] = Log(await self._log_of(pod))
        return logs

    async def _log_of(self, pod: Object) -> str:
        name = pod["metadata"]["name"]
        try:
            return await self._api.logs(name, self._place, container=pod["spec"]["containers"][0]["name"])
        except ForbiddenError:
            raise
        except DaskKubernetesError as error:
            phase = (pod.get("status") or {}).get("phase", "Unknown")
            return f"There is no log of this Pod, which is {phase}: {error}"

    async def generate_rich_output(self) -> RenderableType:
        """A table for a terminal of what there is of the cluster."""
        async with Observation(self._api, self._place, self.name) as seen:
            while not seen.is_complete:
                await seen.change(at_most_seconds=self._arguments.resource_timeout_seconds)
            return table(picture(self.name, seen))

    def _log(self, log: str) -> None:
        """Note something for `get_logs`; `Progress` is what is seen."""
        quiet, self.quiet = self.quiet, True
        super()._log(log)  # type: ignore[no-untyped-call]
        self.quiet = quiet

    # Inside -----------------------------------------------------------------------------------------------------

    async def _watch_worker_status(self, comm: Any) -> None:
        """Follow the scheduler's list of workers, also that of a scheduler which came after it."""
        assert self._closes is not None
        pauses = iter(_RECONNECT_PAUSES_SECONDS)
        before = self.scheduler_info.get("id")
        while True:
            with suppress(Exception):  # a list that cannot be followed is asked for anew
                await super()._watch_worker_status(comm)  # type: ignore[no-untyped-call]
            while not self._closes.is_set():
                try:
                    comm = await self._subscribe()
                except (OSError, AssertionError):
                    pause = next(pauses, _RECONNECT_PAUSES_SECONDS[-1])
                    await within(pause, _waits(self._closes))
                else:
                    break
            if self._closes.is_set():
                return
            pauses = iter(_RECONNECT_PAUSES_SECONDS)
            now = self.scheduler_info.get("id")
            if now != before:
                logger.warning(
                    "The scheduler of %s was started anew: results that it held, and tasks that were to run, are "
                    "lost. Workers join it again by themselves; submit the work again",
                    self.name,
                )
            before = now

    async def _subscribe(self) -> Any:
        assert self.scheduler_comm is not None
        comm = await self.scheduler_comm.live_comm()
        comm.name = "Cluster worker status"
        self._watch_worker_status_comm = comm  # at once, so that closing it ends the wait for an answer
        await comm.write({"op": "subscribe_worker_status"})
        info = await asyncio.wait_for(comm.read(), _ANSWER_SECONDS)
        if "workers" not in info:
            raise OSError(f"the scheduler does not tell of its workers: {info}")
        self.scheduler_info = SchedulerInfo(info)
        return comm

    def _worker_container(self) -> Mapping[str, Any]:
        containers: list[Mapping[str, Any]] = self._manifest["spec"]["worker"]["spec"]["containers"]
        return containers[0]

    @property
    def _api(self) -> Api:
        if self._api_if_open is None:
            raise ValidationError(f"the cluster {self.name} is closed, or was not started: await it first")
        return self._api_if_open

    @property
    def _groups(self) -> WorkerGroups:
        timeout_seconds = self._arguments.resource_timeout_seconds
        return WorkerGroups(self._api, self._place, self._manifest, timeout_seconds=timeout_seconds)

    @property
    def _place(self) -> str:
        assert self.namespace is not None
        return self.namespace


def _has_jupyter(cluster: Mapping[str, Any]) -> bool:
    return any("--jupyter" in (c.get("args") or ()) for c in cluster["spec"]["scheduler"]["spec"]["containers"])


async def _waits(event: asyncio.Event) -> None:
    await event.wait()


class _Inline(ThreadPoolExecutor):
    """Does at once what it is asked for: when the interpreter ends, no thread can be started any more."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


def _reap() -> None:
    """When the interpreter ends: delete what was created and not closed."""
    for cluster in list(KubeCluster._instances):
        if cluster.asynchronous or cluster.status == Status.closed:
            continue
        try:
            if cluster.loop is not None:
                cluster.loop.asyncio_loop.set_default_executor(_Inline())  # type: ignore[attr-defined]
            cluster.sync(cluster._close, REAP_SECONDS, callback_timeout=CLEAN_UP_SECONDS)
        except Exception as error:  # whatever it is, the others are to be closed too
            logger.warning("The cluster %s was perhaps not deleted: %s", cluster.name, error)


atexit.register(_reap)
