"""The command line: results on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from ci import base_image, cluster, engine, gitops, node_image, tools
from ci.cache import Cache
from ci.console import Failure, console
from ci.pins import pins
from ci.process import disk_full_sentence, is_disk_full, stop_children

SLOW_SECONDS = 5.0
INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The parser of ``python3 -m ci``."""
    top = argparse.ArgumentParser(
        prog="python3 -m ci",
        description="A Kubernetes cluster on this machine, with or without an image registry in reach.",
        epilog="The cache is CI_CACHE_DIR, else kind-from-anywhere in XDG_CACHE_HOME or ~/.cache; it may be deleted"
        " while no engine runs that was started from it. With CLUSTER=existing the cluster of KUBECONFIG is used and"
        " nothing is made or removed.",
    )
    top.add_argument("--verbose", action="store_true", help="show every command and where its log is")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("tools", help="have command-line tools; prints a directory for PATH")
    verb.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(tools.names())}; all unless given")
    verb.add_argument("--path", action="store_true", help="print the path of each tool instead, a line each")
    verb = verbs.add_parser("engine", help="have a Docker engine that runs; prints its version")
    verb.add_argument(
        "--stop", action="store_true", help="stop the engine if this command started it and no container runs in it"
    )
    verbs.add_parser("base-image", help="have a Python base image; prints its reference")
    verb = verbs.add_parser(
        "gitops-images", help="have images of a Git server, Flux and Argo CD; prints their references"
    )
    verb.add_argument(
        "--if-built",
        action="store_true",
        help="fail where their programs, which take long to build, are not built yet",
    )
    verb = verbs.add_parser("node-image", help="have the image of a kind node; prints its reference")
    _add_kubernetes(verb)
    cluster_verb = verbs.add_parser("cluster", help="make, load, inspect and remove a cluster")
    actions = cluster_verb.add_subparsers(dest="action", required=True, metavar="ACTION")
    up = actions.add_parser("up", help="have a cluster that answers; prints the path of its kubeconfig")
    _add_kubernetes(up)
    up.add_argument("--config", type=Path, metavar="FILE", help="a kind configuration; what this host needs is added")
    down = actions.add_parser("down", help="remove a cluster")
    load = actions.add_parser("load", help="load images of the engine; prints those that were not there")
    load.add_argument("images", nargs="+", metavar="IMAGE")
    status = actions.add_parser("status", help="print what there is to know about a cluster")
    for action in (up, down, load, status):
        action.add_argument("--name", default=cluster.DEFAULT_NAME, help="of the cluster (%(default)s)")
    return top


def _add_kubernetes(verb: argparse.ArgumentParser) -> None:
    known = ", ".join(sorted(pins().kubernetes_versions))
    verb.add_argument("--kubernetes", metavar="VERSION", help=f"one of {known} ({pins().default_kubernetes})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :returns: its exit status, see :func:`guarded`.
    """

    def work() -> None:
        started = time.monotonic()
        options = parser().parse_args(arguments)
        console.verbose = options.verbose
        for line in _answer(options, Cache()):
            print(line, flush=True)
        elapsed = time.monotonic() - started
        if elapsed > SLOW_SECONDS:
            console.say(f"total: {elapsed:.1f} s")

    return guarded(work)


def guarded(work: Callable[[], None]) -> int:
    """Do some work, and say what went wrong in a sentence.

    :returns: the exit status: 0, 1 for a failure, 130 when interrupted.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        work()
    except KeyboardInterrupt:
        console.say("interrupted; running the same command again continues")
        return INTERRUPTED
    except Failure as failure:
        _report(failure)
        return 1
    except OSError as error:
        if not is_disk_full(error):
            raise
        _report(Failure(disk_full_sentence("the command")))
        return 1
    return 0


def _answer(options: argparse.Namespace, cache: Cache) -> list[str]:
    match options.verb:
        case "tools":
            if options.path:
                return [str(path) for path in tools.ensure(options.names, cache).values()]
            return [str(tools.directory(options.names, cache))]
        case "engine":
            if options.stop:
                engine.stop(cache)
                return []
            return [engine.ensure(cache)]
        case "base-image":
            return [base_image.ensure(cache)]
        case "gitops-images":
            if options.if_built and not gitops.is_built(cache):
                raise Failure("Flux and Argo CD are not built yet; have that done with: python3 -m ci gitops-images")
            return gitops.images(cache)
        case "node-image":
            return [node_image.ensure(options.kubernetes, cache)]
    match options.action:
        case "up":
            return [str(cluster.ensure(options.name, options.kubernetes, options.config, cache).kubeconfig)]
        case "down":
            cluster.down(options.name, cache)
            return []
        case "load":
            return cluster.load(options.images, options.name, cache)
    return cluster.status(options.name, cache)


def _report(failure: Failure) -> None:
    for line in failure.tail:
        console.say(f"  | {line}")
    if failure.log:
        console.say(f"  log: {failure.log}")
    console.say(f"error: {failure.sentence}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    # The end of our children takes a moment, in which a second Ctrl-C must not cut it short.
    for signals in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signals, signal.SIG_IGN)
    stop_children()
    raise KeyboardInterrupt
