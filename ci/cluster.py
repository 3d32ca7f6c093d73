"""A kind cluster: made, kept healthy, loaded with images, removed; or one that exists already and is only checked."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ci import audit, engine, existing, host, kind_config, node_image, nodes, readiness, tools
from ci.cache import Cache
from ci.console import Failure, console
from ci.nodes import Node
from ci.pins import pins
from ci.process import output, run

DEFAULT_NAME = "dev"
CREATE_SECONDS = 180
RESTART_SECONDS = 120
ADOPT_SECONDS = 60
CLUSTER_GIGABYTES = 3


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers. ``kind``, ``node_image`` and ``config`` are None for one that we did not make."""

    name: str
    kubeconfig: Path
    kubectl: Path
    kind: Path | None
    node_image: str | None
    config: Path | None


def is_existing() -> bool:
    """Whether the user brings a cluster: CLUSTER=existing."""
    return existing.is_wanted()


def ensure(
    name: str = DEFAULT_NAME,
    kubernetes: str | None = None,
    config: Path | None = None,
    cache: Cache | None = None,
) -> Cluster:
    """Have a cluster that answers: a healthy one is reused, a stopped one started, a broken one replaced.

    With CLUSTER=existing the cluster of KUBECONFIG is checked and returned; nothing is made.

    :param kubernetes: the version; the default one unless given.
    :param config: a kind configuration of the user's.
    :raises Failure: any of the sentences this package knows.
    """
    cache = cache or Cache()
    if is_existing():
        return _existing(cache)
    _check_name(name)
    wanted = pins().kubernetes(kubernetes)
    user = _read(config)
    engine.ensure(cache)
    with cache.lock(f"cluster-{name}", f"the making of the cluster {name}"):
        if containers := nodes.of_cluster(name):
            _check_version(name, containers, wanted.version)
            if _revive(name, containers, cache):
                return _cluster(name, containers[0].image, cache)
            _delete(name, cache)
        _check_ports(user)
        image = node_image.ensure(wanted.version, cache)
        found = tools.ensure(["kind", "kubectl"], cache)
        _require_space()
        file = _write_config(name, image, user, cache)
        _create(name, image, file, found["kind"], cache)
        return _cluster(name, image, cache)


def write_kind_config(name: str, image: str, user: Path | None = None, cache: Cache | None = None) -> Path:
    """The kind configuration that this host needs for a node image, in a file of the cluster's own.

    :param user: a kind configuration to start from.
    :raises Failure: that one cannot be read, or contradicts what the host needs.
    """
    return _write_config(name, image, _read(user), cache or Cache())


def down(name: str = DEFAULT_NAME, cache: Cache | None = None) -> bool:
    """Remove a cluster and its files.

    :returns: whether there was one. With CLUSTER=existing nothing is removed.
    """
    cache = cache or Cache()
    if is_existing():
        console.say("CLUSTER=existing: the cluster is yours, nothing is removed.")
        return False
    _check_name(name)
    with cache.lock(f"cluster-{name}", f"work on the cluster {name}"):
        # Without an engine there is no cluster; none is started to say so.
        found = engine.runs() and bool(nodes.of_cluster(name))
        if found:
            _delete(name, cache)
        shutil.rmtree(_folder(name, cache), ignore_errors=True)
    return found


def load(images: Sequence[str], name: str = DEFAULT_NAME, cache: Cache | None = None) -> list[str]:
    """Load images of the engine into the nodes of a cluster.

    :returns: those that were not there yet; an image that a node holds under the same ID is left alone.
    :raises Failure: the engine has no such image, there is no such cluster, or it is not one on this engine.
    """
    cache = cache or Cache()
    if is_existing():
        found = _existing(cache)
        name = existing.kind_name(found.kubeconfig, found.kubectl)
    else:
        _check_name(name)
        engine.ensure(cache)
    containers = nodes.of_cluster(name)
    if not containers:
        raise Failure(f"there is no cluster named {name}; make it with: python3 -m ci cluster up --name {name}")
    missing = [image for image in images if not all(nodes.holds(node, image) for node in containers)]
    if missing:
        kind = tools.ensure(["kind"], cache)["kind"]
        with console.step(f"load {', '.join(missing)} into the cluster {name}") as step:
            command = [str(kind), "load", "docker-image", "--name", name, *missing]
            run(command, step=step, log=cache.log(f"load-{name}"), what=f"loading {', '.join(missing)}")
    return missing


def status(name: str = DEFAULT_NAME, cache: Cache | None = None) -> list[str]:
    """What there is to say about a cluster, a line each; nothing is started or changed."""
    cache = cache or Cache()
    if is_existing():
        found = _existing(cache)
        return [f"cluster: the one of {found.kubeconfig}", *readiness.describe(found.kubeconfig, found.kubectl)]
    if not engine.runs():
        return ["engine: none runs"]
    containers = nodes.of_cluster(name)
    if not containers:
        return [f"cluster {name}: there is none"]
    kubeconfig = kubeconfig_path(name, cache)
    lines = [f"cluster: {name}", f"image: {containers[0].image}", f"kubeconfig: {kubeconfig}"]
    if not all(node.running for node in containers):
        return [*lines, "state: stopped; start it with: python3 -m ci cluster up"]
    if not kubeconfig.is_file():
        return [*lines, "state: made by another cache, or unfinished; take it over with: python3 -m ci cluster up"]
    return [*lines, *readiness.describe(kubeconfig, tools.ensure(["kubectl"], cache)["kubectl"])]


def kubeconfig_path(name: str, cache: Cache | None = None) -> Path:
    """Where the kubeconfig of a cluster is, once there is one."""
    return (cache or Cache()).root / "clusters" / name / "kubeconfig"


def _folder(name: str, cache: Cache) -> Path:
    return kubeconfig_path(name, cache).parent


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,48}", name):
        raise Failure(f"'{name}' cannot be the name of a cluster; use lower-case letters, digits, dots and dashes.")


def _read(config: Path | None) -> str:
    if config is None:
        return ""
    try:
        return config.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Failure(
            f"the kind configuration {config} cannot be read ({reason}); give the path of a text file."
        ) from error


def _check_version(name: str, containers: list[Node], wanted: str) -> None:
    image = containers[0].image
    versions = node_image.versions_of(image)
    if wanted not in versions:
        raise Failure(
            f"the cluster {name} runs Kubernetes {' or '.join(versions) or f'of {image}'}, not {wanted};"
            f" choose another --name, or remove it with: python3 -m ci cluster down --name {name}"
        )


def _revive(name: str, containers: list[Node], cache: Cache) -> bool:
    """Bring an existing cluster to answer; False where it has to be replaced.

    :raises Failure: it was whole, nobody stopped it, and it does not answer: that is for its owner to look into.
    """
    marker = _folder(name, cache) / "whole"
    whole = marker.exists()
    stopped = [node.container for node in containers if not node.running]
    if stopped and not whole:
        console.say(f"  the cluster {name} was never finished; it is replaced")
        return False
    restarted = bool(stopped) or any(node.started > marker.stat().st_mtime for node in containers if whole)
    if stopped and not _start(name, stopped, cache):
        return False
    found = tools.ensure(["kind", "kubectl"], cache)
    kubeconfig = kubeconfig_path(name, cache)
    if not (whole and kubeconfig.is_file()) and not _adopt(name, found["kind"], cache):
        return False
    containers = nodes.of_cluster(name)
    if not readiness.is_ready(kubeconfig, found["kubectl"], containers):
        limit = RESTART_SECONDS if whole else ADOPT_SECONDS
        try:
            with console.step(f"wait for the cluster {name}") as step:
                readiness.wait(kubeconfig, found["kubectl"], containers, step, limit)
        except Failure as failure:
            if whole and not restarted:
                raise Failure(
                    f"the cluster {name} runs but is not ready after {limit} s; look into it with"
                    f" KUBECONFIG={kubeconfig}, or remove it with: python3 -m ci cluster down --name {name}"
                ) from failure
            console.say(f"  the cluster {name} is not ready after {limit} s; it is replaced")
            return False
    marker.touch()
    return True


def _start(name: str, stopped: list[str], cache: Cache) -> bool:
    """Start the containers of stopped nodes; False where the engine cannot."""
    with console.step(f"start the stopped cluster {name}") as step:
        try:
            what = f"starting the cluster {name}"
            run(["docker", "start", *stopped], step=step, log=cache.log(f"start-{name}"), what=what)
        except Failure as failure:
            console.say(f"  {failure.sentence} It is replaced.")
            return False
    return True


def _adopt(name: str, kind: Path, cache: Cache) -> bool:
    """Write the kubeconfig of a cluster that another cache made, or that was interrupted late."""
    status, text, _ = output([str(kind), "get", "kubeconfig", "--name", name])
    if status:
        return False
    file = cache.folder(f"clusters/{name}") / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(text)
    return True


def _check_ports(user: str) -> None:
    for address, port in kind_config.host_ports(user):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                raise Failure(
                    f"port {port}, which the kind configuration asks for, cannot be used ({error.strerror});"
                    " choose another or stop the program that has it."
                ) from error


def _require_space() -> None:
    status, root, _ = output(["docker", "info", "--format", "{{.DockerRootDir}}"])
    # The engine may be on another machine; its disk is its own affair then.
    if not status and Path(root.strip()).is_dir():
        host.require_disk(Path(root.strip()), CLUSTER_GIGABYTES, "making a cluster")


def _write_config(name: str, image: str, user: str, cache: Cache) -> Path:
    own = node_image.is_built_here(image)
    if own and kind_config.node_count(user) > 1:
        raise Failure(
            "the node image that is built where Docker Hub cannot be reached makes clusters of one node; ask for one"
            " node, or connect to a network that reaches Docker Hub."
        )
    sections = kind_config.required(
        own_image=own, cgroup_v1=host.has_cgroup_v1(), lacks_sys_resource=host.lacks_sys_resource()
    )
    folder = cache.folder(f"clusters/{name}")
    text = kind_config.render(sections, user)
    if not user:
        policy = Path(shutil.copy(audit.POLICY, folder))
        text = kind_config.render(audit.sections(policy), text)
    file = folder / "kind.yaml"
    file.write_text(text)
    return file


def _create(name: str, image: str, config: Path, kind: Path, cache: Cache) -> None:
    log = cache.log(f"create-{name}")
    kubeconfig = kubeconfig_path(name, cache)
    whole = _folder(name, cache) / "whole"
    whole.unlink(missing_ok=True)
    kubeconfig.unlink(missing_ok=True)
    kubectl = tools.ensure(["kubectl"], cache)["kubectl"]
    command = [str(kind), "create", "cluster", "--name", name, "--image", image, "--config", str(config)]
    command += ["--kubeconfig", str(kubeconfig), "--wait", "0s"]
    try:
        with console.step(f"create the cluster {name}") as step:
            run(command, step=step, log=log, what=f"creating the cluster {name}")
            containers = nodes.of_cluster(name)
            for node in containers:
                nodes.refuse_unknown_services(node)
            readiness.wait(kubeconfig, kubectl, containers, step, CREATE_SECONDS)
    except Failure as failure:
        nodes.remove(name)
        raise _explained(failure, log) from failure
    except BaseException:
        nodes.remove(name)
        raise
    whole.touch()


def _explained(failure: Failure, log: Path) -> Failure:
    """The known reasons for which a cluster cannot be created, in a sentence each."""
    text = log.read_text(errors="replace") if log.is_file() else ""
    if "port is already allocated" in text or "address already in use" in text:
        return Failure(
            "a port that the kind configuration asks for is in use; choose another or stop the program that has it.",
            log,
            failure.tail,
        )
    if "unable to apply caps" in text:
        return Failure(
            "the Docker engine cannot start privileged containers because this host lacks CAP_SYS_RESOURCE; stop the"
            " engine and run the command again as root, which starts one that can.",
            log,
            failure.tail,
        )
    if "too many open files" in text:
        return Failure(
            "this host allows too few inotify instances for another cluster; raise fs.inotify.max_user_instances.",
            log,
            failure.tail,
        )
    return Failure(failure.sentence, failure.log or log, failure.tail)


def _delete(name: str, cache: Cache) -> None:
    with console.step(f"remove the cluster {name}"):
        nodes.remove(name)
    shutil.rmtree(_folder(name, cache), ignore_errors=True)


def _cluster(name: str, image: str, cache: Cache) -> Cluster:
    found = tools.ensure(["kind", "kubectl"], cache)
    folder = _folder(name, cache)
    config = folder / "kind.yaml"
    if not config.is_file():
        config = _write_config(name, image, "", cache)
    return Cluster(name, folder / "kubeconfig", found["kubectl"], found["kind"], image, config)


def _existing(cache: Cache) -> Cluster:
    kubeconfig = existing.kubeconfig(lambda: tools.ensure(["kubectl"], cache)["kubectl"])
    return Cluster("existing", kubeconfig, tools.ensure(["kubectl"], cache)["kubectl"], None, None, None)
