"""The commands by their names, and the three programs that they are reached through."""

from __future__ import annotations

import os
import sys
from copy import copy

import click
from click.shell_completion import get_completion_class

from .connect import connect
from .gen import gen
from .logs import logs
from .manage import delete, describe, list_objects, scale

_KUBECTL = "kubectl dask"


@click.group(name="kubernetes", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dask-kubernetes", message="%(version)s")
def main() -> None:
    """Dask on Kubernetes: print manifests, and look after clusters, jobs, worker groups and autoscalers."""


@main.command(short_help="Print what makes a shell complete commands.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a SHELL complete the commands of `dask`, names of clusters too.

    Put `eval "$(dask kubernetes completion bash)"` into ~/.bashrc, and likewise for zsh; for fish put it into
    ~/.config/fish/completions/dask.fish.
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(click.get_current_context().find_root().command, {}, "dask", "_DASK_COMPLETE").source())


for command in (gen, list_objects, describe, logs, scale, connect, delete):
    main.add_command(command)
# What the public client calls it.
_port_forward = copy(connect)
_port_forward.hidden = True
main.add_command(_port_forward, "port-forward")


def kubectl_dask() -> None:
    """The kubectl plugin ``kubectl dask``: kubectl runs what is called kubectl-dask on PATH."""
    main(prog_name=_KUBECTL)


def kubectl_complete() -> None:
    """Completion of ``kubectl dask``: kubectl runs what is called kubectl_complete-dask with the words so far."""
    words = sys.argv[1:]
    os.environ["COMP_WORDS"] = " ".join(["dask", *words])
    found = get_completion_class("bash")
    assert found is not None
    completer = found(main, {}, "dask", "_KUBECTL_DASK_COMPLETE")
    for item in completer.get_completions(words[:-1], words[-1] if words else ""):
        click.echo(f"{item.value}\t{item.help}" if item.help else item.value)
    click.echo(":4")  # no file names, in the language of cobra's completion
