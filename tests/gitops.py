"""The custom resource definitions of Argo CD and Flux, from the Go modules of their controllers."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Module:
    """A released Go module.

    Attributes:
        name: its path.
        version: of it.
        sum: what go.sum has for it: the module that is answered must have it.
        crds: the folder in it that holds definitions.
    """

    name: str
    version: str
    sum: str
    crds: str


ARGOCD = Module(
    "github.com/argoproj/argo-cd/v2",
    "v2.14.21",
    "h1:Ux50vfMUITW+Y+6GAYgQlZbr6WHE5ogiLg9OxxvP9EA=",
    "manifests/crds",
)
FLUX = (
    Module(
        "github.com/fluxcd/source-controller",
        "v1.9.1",
        "h1:FF8XTxLND/pXzVtUESKURUDiItFJQDZBZkbHvZimN8s=",
        "config/crd/bases",
    ),
    Module(
        "github.com/fluxcd/kustomize-controller",
        "v1.9.5",
        "h1:/XY2zy3K7fntyppEXIHG7oRMzmfgIt50eJzUfaPX1Kc=",
        "config/crd/bases",
    ),
    Module(
        "github.com/fluxcd/helm-controller",
        "v1.6.1",
        "h1:b0XKTQCGlQy4nOGfEFMbn/e+/j9IMEHSDlKecbZkG9M=",
        "config/crd/bases",
    ),
)


def definitions(module: Module) -> list[Path]:
    """The files with the definitions of a module; it is downloaded unless Go has it already.

    Raises:
        AssertionError: the module cannot be had, or is not the one that is pinned here.
    """
    if not shutil.which("go"):
        pytest.skip("the definitions come from Go modules, and there is no Go on PATH")
    command = ["go", "mod", "download", "-json", f"{module.name}@{module.version}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["Sum"] == module.sum, f"{module.name} {module.version} is another one than was pinned"
    folder = Path(answer["Dir"]) / module.crds
    return [file for file in sorted(folder.glob("*.yaml")) if file.name != "kustomization.yaml"]
