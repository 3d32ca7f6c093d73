"""The image of a kind node: kind's own by digest where Docker Hub can be reached, built from source elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ci import base_image, debian, engine, golang, host, kubernetes
from ci.cache import NAME, Cache, key
from ci.console import Failure, Step, console
from ci.pins import HERE, Kubernetes, pins
from ci.process import output, run

NODE_RECIPE = HERE / "images" / "node"
CONTROL_PLANE_RECIPE = HERE / "images" / "control-plane"
BASE_INPUTS = (NODE_RECIPE / "Dockerfile", NODE_RECIPE / "10-ptp.conflist")
REPOSITORY = f"{NAME}/node"
PRELOAD_SECONDS = 30
IMAGE_GIGABYTES = 5


def ensure(version: str | None = None, cache: Cache | None = None) -> str:
    """The reference of a node image that the engine holds.

    :param version: of Kubernetes; the default one unless given.
    :raises Failure: an unknown version, no engine, or the image can neither be pulled nor built.
    """
    cache = cache or Cache()
    wanted = pins().kubernetes(version)
    engine.ensure(cache)
    # The published image cannot start a privileged container on a host that lacks the capability.
    pulled = None if host.lacks_sys_resource() else base_image.pull(wanted.node_image, cache)
    return pulled or _build(wanted, cache)


def is_built_here(reference: str) -> bool:
    """Whether a node image is one of ours, which bring no CNI but for a single node."""
    return reference.startswith(f"{REPOSITORY}:")


def versions_of(reference: str) -> list[str]:
    """The versions of Kubernetes, as asked for by number, that a node image is an answer to."""
    pinned = [known.version for known in pins().kubernetes_versions.values() if known.node_image == reference]
    tag = re.search(r":v(\d+\.\d+\.\d+)", reference)
    return pinned or ([tag.group(1)] if tag else [])


def _build(wanted: Kubernetes, cache: Cache) -> str:
    base = _base_reference(cache)
    programs = kubernetes.binaries(wanted, cache)
    coredns = kubernetes.coredns(cache)
    identity = key(base, programs.name, coredns.name, NODE_RECIPE, CONTROL_PLANE_RECIPE)
    reference = f"{REPOSITORY}:v{wanted.version}-{identity}"
    if debian.has_image(reference):
        return reference
    what = f"the build of the node image for Kubernetes {wanted.version}"
    with cache.workspace(f"image-node-{identity}", what) as folder:
        if not debian.has_image(reference):
            _require_image_space(wanted)
            _build_base(base, cache)
            _assemble(wanted, reference, base, programs, coredns, folder, cache)
    return reference


def _require_image_space(wanted: Kubernetes) -> None:
    status, root, _ = output(["docker", "info", "--format", "{{.DockerRootDir}}"])
    # The engine may be on another machine; its disk is its own affair then.
    if not status and Path(root.strip()).is_dir():
        host.require_disk(Path(root.strip()), IMAGE_GIGABYTES, f"building the node image for {wanted.version}")


def _wrapper(cache: Cache) -> Path | None:
    return engine.wrapper(cache) / "runc-wrapper" if host.lacks_sys_resource() else None


def _base_reference(cache: Cache) -> str:
    """The node without Kubernetes: Debian's packages, kind's own files, the CNI of a single node."""
    certificates = debian.host_certificates(debian.rootfs(cache))
    identity = key(*BASE_INPUTS, certificates, _wrapper(cache), pins().kind_version, debian.identity())
    return f"{NAME}/node-base:{pins().debian_suite}-{identity}"


def _build_base(reference: str, cache: Cache) -> None:
    if debian.has_image(reference):
        return
    with cache.workspace("image-node-base", "the build of the base of the node image") as context:
        if debian.has_image(reference):
            return
        _copy_kind_files(context / "kind")
        certificates = debian.host_certificates(debian.rootfs(cache))
        debian.write_certificates(certificates, context / "certificates")
        (context / "wrapper").mkdir()
        if wrapper := _wrapper(cache):
            shutil.copy(wrapper, context / "wrapper" / "runc")
        for file in BASE_INPUTS:
            shutil.copy(file, context)
        debian.build_image(context, "Dockerfile", reference, {"DEBIAN": debian.image(cache)}, cache)


def _copy_kind_files(target: Path) -> None:
    """The files of kind's base image, from the module cache, with the modes its Dockerfile gives them."""
    kind = golang.sources("sigs.k8s.io/kind", pins().tool("kind").module)
    shutil.copytree(kind / "images" / "base" / "files", target)
    for path in [target, *target.rglob("*")]:
        executable = path.is_dir() or path.parent.name == "bin"
        path.chmod(0o755 if executable else 0o644)


def _assemble(
    wanted: Kubernetes, reference: str, base: str, programs: Path, coredns: Path, folder: Path, cache: Cache
) -> None:
    """The base with Kubernetes in it and the images of the control plane loaded."""
    tag = reference.split(":")[1]
    bare = f"{NAME}/node-bare:{tag}"
    context = folder / "node"
    (context / "bin").mkdir(parents=True)
    for program in kubernetes.NODE:
        _link(programs / program, context / "bin" / program)
    shutil.copy(NODE_RECIPE / "kubernetes.Dockerfile", context)
    arguments = {"NODE": base, "VERSION": wanted.version}
    debian.build_image(context, "kubernetes.Dockerfile", bare, arguments, cache)
    names = _control_plane_names(wanted, bare)
    # Made under names of our own, so that no image the user may have is replaced; renamed in the node.
    made = {f"{NAME}/control-plane:{_short(name)}-{tag}": name for name in names}
    try:
        with console.step(f"make {len(made)} images of the control plane") as step:
            for own, name in made.items():
                step.progress(name)
                if _short(name) != "kube-proxy":
                    _import_binary(_program(_short(name), programs, coredns, cache), own, folder, step, cache)
        _build_kube_proxy(next(own for own in made if "kube-proxy" in own), programs, folder, cache)
        with console.step(f"load {len(made)} images into the node image") as step:
            _preload(bare, made, reference, step, cache)
    finally:
        # Their layers stay in the node image; nothing else needs their names.
        subprocess.run(["docker", "rmi", *made, bare], capture_output=True, check=False)


def _link(source: Path, target: Path) -> None:
    """A hard link where the file systems allow it, else a copy: Docker follows no symbolic links out of a context."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def _short(name: str) -> str:
    """``etcd`` of ``registry.k8s.io/etcd:3.6.8-0``."""
    return name.rsplit("/", 1)[-1].split(":")[0]


def _control_plane_names(wanted: Kubernetes, node: str) -> list[str]:
    """The images that kubeadm will ask for, under exactly the names it uses."""
    kubeadm = ["kubeadm", "config", "images", "list", "--kubernetes-version", f"v{wanted.version}"]
    listed = _in_node(node, kubeadm).split()
    # containerd's own pause image is the one that is started, whatever kubeadm lists.
    config = _in_node(node, ["cat", "/etc/containerd/config.toml"])
    pause = re.search(r'sandbox_image\s*=\s*"([^"]+)"', config)
    if not pause:
        raise Failure(
            "kind's containerd configuration names no sandbox image; check kind's version in versions.toml."
        )
    return [image for image in listed if "/pause:" not in image] + [pause.group(1)]


def _in_node(image: str, command: list[str]) -> str:
    status, answer, error = output(
        ["docker", "run", "--rm", "--network", "none", "--entrypoint", command[0], image, *command[1:]]
    )
    if status:
        reason = (error.strip().splitlines() or ["no reason given"])[-1]
        raise Failure(f"{command[0]} does not run in the node image ({reason}); remove {image} and try again.")
    return answer


def _program(name: str, programs: Path, coredns: Path, cache: Cache) -> Path:
    if name == "pause":
        return engine.wrapper(cache) / "pause"
    return (coredns if name == "coredns" else programs) / name


def _import_binary(binary: Path, image: str, folder: Path, step: Step, cache: Cache) -> None:
    """An image of one static program, found by its name as kubeadm's manifests call it, and started by default."""
    archive = folder / f"{binary.name}.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(binary, f"usr/local/bin/{binary.name}", filter=_as_root)
    changes = [f'ENTRYPOINT ["/usr/local/bin/{binary.name}"]', "ENV PATH=/usr/local/bin"]
    flags = [part for change in changes for part in ("--change", change)]
    command = ["docker", "import", *flags, str(archive), image]
    run(command, step=step, log=cache.log("import"), what=f"making the image {image}")
    archive.unlink()


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755
    return member


def _build_kube_proxy(image: str, programs: Path, folder: Path, cache: Cache) -> None:
    """kube-proxy calls programs of the system, so its image is a Debian."""
    context = folder / "kube-proxy"
    (context / "bin").mkdir(parents=True)
    _link(programs / "kube-proxy", context / "bin" / "kube-proxy")
    shutil.copy(CONTROL_PLANE_RECIPE / "kube-proxy.Dockerfile", context)
    debian.build_image(context, "kube-proxy.Dockerfile", image, {"DEBIAN": debian.image(cache)}, cache)


def _preload(node: str, made: dict[str, str], reference: str, step: Step, cache: Cache) -> None:
    """Have containerd take the images into its store, and keep what it wrote."""
    log = cache.log("preload")
    what = "loading the control plane's images into the node image"
    with _container(node) as container:
        run(["docker", "exec", "-d", container, "containerd"], step=step, log=log, what=what)
        ctr = ["docker", "exec", "-i", container, "ctr", "--namespace=k8s.io"]
        while output([*ctr, "version"])[0]:
            if step.elapsed_seconds > PRELOAD_SECONDS:
                raise Failure("containerd does not start in the node image; the Docker engine's log may say why.")
            time.sleep(0.2)
        saved = subprocess.Popen(["docker", "save", *made], stdout=subprocess.PIPE)
        assert saved.stdout is not None
        with saved, saved.stdout:
            load = [*ctr, "images", "import", "--no-unpack", "-"]
            run(load, step=step, log=log, what=what, stdin=saved.stdout.fileno())
        for own, name in made.items():
            run([*ctr, "images", "tag", f"docker.io/{own}", name], step=step, log=log, what=what)
        run([*ctr, "images", "rm", *(f"docker.io/{own}" for own in made)], step=step, log=log, what=what)
        run(["docker", "exec", container, "pkill", "-x", "containerd"], step=step, log=log, what=what)
        step.progress("saving the image")
        entrypoint = 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]'
        commit = ["docker", "commit", "--change", entrypoint, "--change", "CMD []", container, reference]
        run(commit, step=step, log=log, what=what)


@contextmanager
def _container(image: str) -> Iterator[str]:
    """A container that does nothing, removed in any case; also one that was left by an earlier, killed build."""
    name = f"{NAME}-{image.split(':')[1]}"
    # Not through output(), which starts nothing once we were interrupted.
    remove = ["docker", "rm", "--force", "--volumes", name]
    subprocess.run(remove, capture_output=True, check=False)
    command = ["docker", "run", "-d", "--name", name, "--security-opt", "seccomp=unconfined", "--entrypoint", "sleep"]
    status, _, error = output([*command, image, "infinity"])
    try:
        if status:
            raise Failure(f"no container can be started from {image} ({error.strip()}); restart the Docker engine.")
        yield name
    finally:
        subprocess.run(remove, capture_output=True, check=False)
