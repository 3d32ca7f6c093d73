"""The programs of Kubernetes, etcd and CoreDNS, built from Go modules."""

from __future__ import annotations

from pathlib import Path

from ci import golang, host
from ci.cache import Cache, key
from ci.console import console
from ci.pins import Kubernetes, pins

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler")
NODE = ("kubeadm", "kubectl", "kubelet")
ETCD = "go.etcd.io/etcd/server/v3"
# What the releases of Kubernetes and etcd are built with, too: no tracing of gRPC, which keeps whole packages out.
TAGS = "grpcnotrace,notest"
VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
BUILD_GIGABYTES = 8


def symbols(version: str) -> dict[str, str]:
    """What kubeadm takes its version from, without which it does nothing; a fixed date keeps builds reproducible."""
    major, minor, _ = version.split(".")
    values = {
        "gitVersion": f"v{version}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "unknown",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    return {f"{package}.{name}": value for package in VERSION_PACKAGES for name, value in values.items()}


def _key(kubernetes: Kubernetes) -> str:
    return key(kubernetes.module, symbols(kubernetes.version), TAGS, host.architecture())


def binaries(kubernetes: Kubernetes, cache: Cache) -> Path:
    """The directory with every program of a cluster's node and control plane, etcd among them.

    :raises Failure: no Go, too old a Go, or a build that failed.
    """
    what = f"Kubernetes {kubernetes.version}"

    def build(folder: Path) -> None:
        host.require_disk(cache.root, 1, f"building {what}")
        host.require_disk(golang.build_cache(), BUILD_GIGABYTES, f"building {what}")
        packages = [*(f"k8s.io/kubernetes/cmd/{name}" for name in (*CONTROL_PLANE, *NODE)), ETCD]
        with console.step(f"build {what} from Go modules") as step:
            golang.build(
                packages,
                module=kubernetes.module,
                into=folder,
                step=step,
                log=cache.log(f"build-kubernetes-{kubernetes.version}"),
                what=f"building {what}",
                symbols=symbols(kubernetes.version),
                tags=TAGS,
                system="linux",
            )
        (folder / "server").rename(folder / "etcd")

    return cache.make(f"kubernetes-{kubernetes.version}", _key(kubernetes), build)


def coredns(cache: Cache) -> Path:
    """The directory with CoreDNS.

    :raises Failure: no Go, too old a Go, or a build that failed.
    """
    module = pins().coredns_module

    def build(folder: Path) -> None:
        with console.step("build CoreDNS from Go modules") as step:
            golang.build(
                ["."],
                module=module,
                into=folder,
                step=step,
                log=cache.log("build-coredns"),
                what="building CoreDNS",
                system="linux",
            )

    return cache.make("coredns", key(module, host.architecture()), build)


def built_kubectl(cache: Cache) -> Path | None:
    """The kubectl of the default version, where a node's programs were built already and run on this machine."""
    kubernetes = pins().kubernetes(None)
    path = cache.path(f"kubernetes-{kubernetes.version}", _key(kubernetes)) / "kubectl"
    return path if host.system() == "linux" and path.is_file() else None
