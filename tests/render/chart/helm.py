"""Renders the chart with a given Helm and looks things up in the result."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parents[3]
CHART = REPOSITORY / "chart" / "dask-kubernetes-operator"
HELMS = ("helm3", "helm4")

#: Helm is told which Kubernetes to render for: the one it would assume depends on how it was built.
KUBE_VERSION = "1.34.0"

#: What tells a cluster from none: it names its kinds.
OF_A_CLUSTER = ("v1/Namespace",)

#: What ``pick`` gives for what is not there; ``None`` is a value that can be rendered.
ABSENT = "<absent>"

_TIMEOUT_SECONDS = 60
_BUILD_TIMEOUT_SECONDS = 900
_PROGRAMS = {"helm3": "helm", "helm4": "helm4"}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class HelmMissingError(Exception):
    """No binary was found for a Helm that the tests need."""


class RefusedError(Exception):
    """Helm did not render the chart; the text is what it said."""


@dataclass(frozen=True)
class Helm:
    """One Helm binary."""

    name: str
    binary: Path

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run Helm and return what it wrote to stdout.

        Raises:
            RefusedError: Helm exited with an error.
        """
        done = subprocess.run(
            [str(self.binary), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RefusedError(done.stderr + done.stdout)
        return done.stdout


@functools.cache
def find_helm(name: str) -> Helm:
    """Find ``helm3`` or ``helm4``: where HELM3 or HELM4 points, else what ``python -m ci tools`` has.

    Raises:
        HelmMissingError: There is none, or it is not of the major version that its name says.
    """
    return check_helm(name, os.environ.get(name.upper()) or _built(name))


def check_helm(name: str, path: str | None) -> Helm:
    """Make sure that a path is that of the Helm which a name means.

    Raises:
        HelmMissingError: There is none, or it is not of the major version that its name says.
    """
    variable = name.upper()
    binary = shutil.which(path) if path else None
    if binary is None:
        tried = (
            f"{variable}={path!r} is no executable"
            if path
            else "`python -m ci tools` gave none; what it said is above"
        )
        msg = f"The render tests need {name}: set {variable} to a Helm {name[-1]} binary ({tried})."
        raise HelmMissingError(msg)
    helm = Helm(name, Path(binary))
    version = helm.run("version", "--template", "{{.Version}}")
    if not version.startswith(f"v{name[-1]}"):
        msg = f"{name} is to be a Helm {name[-1]}, but {binary} says that it is {version}."
        raise HelmMissingError(msg)
    return helm


def _built(name: str) -> str | None:
    done = subprocess.run(
        [sys.executable, "-m", "ci", "tools", "--path", _PROGRAMS[name]],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,  # stderr is shown: it says what is missing, or how a build gets on
        text=True,
        timeout=_BUILD_TIMEOUT_SECONDS,
        check=False,
    )
    return done.stdout.strip() or None


def render(
    values: Mapping[str, Any] | None = None,
    *,
    helm: Helm,
    release: str = "dask",
    namespace: str = "dask-operator",
    crds: bool = False,
    kube_version: str = KUBE_VERSION,
    api_versions: Iterable[str] = (),
    chart: Path = CHART,
) -> list[Object]:
    """Render the chart as ``helm template`` does.

    Args:
        values: What a user's values file holds.
        helm: The Helm to render with.
        release: Name of the release.
        namespace: Namespace of the release.
        crds: Whether the custom resource definitions stay in. They are large, and few tests are about them.
        kube_version: The Kubernetes that Helm renders for.
        api_versions: What it has besides what ``helm template`` assumes; ``OF_A_CLUSTER`` for a real one.
        chart: Where the chart is.

    Returns:
        The objects, in the order in which Helm gives them.

    Raises:
        RefusedError: The chart did not render with these values.
    """
    text = helm.run(
        "template",
        release,
        str(chart),
        f"--namespace={namespace}",
        f"--kube-version={kube_version}",
        "--values=-",
        *(f"--api-versions={each}" for each in api_versions),
        *([] if crds else ["--set=crds.enabled=false"]),
        stdin=json.dumps(values or {}),
    )
    return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]


def pick(objects: Iterable[Object], kind: str, *path: str | int) -> Any:
    """Return what is at a path of the first object of a kind, or ``ABSENT``."""
    found: Any = next((one for one in objects if one["kind"] == kind), ABSENT)
    for key in path:
        try:
            found = found[key] if found is not ABSENT else ABSENT
        except (KeyError, IndexError):
            return ABSENT
    return found


def pod_spec(objects: Iterable[Object]) -> Object:
    """Return the pod spec of the operator."""
    spec: Object = pick(objects, "Deployment", "spec", "template", "spec")
    return spec


def container(objects: Iterable[Object]) -> Object:
    """Return the operator's container, which is the only one."""
    (only,) = pod_spec(objects)["containers"]
    result: Object = only
    return result


def job_of_test(objects: Iterable[Object]) -> Object:
    """Return the DaskJob that ``helm test`` has its Pod run."""
    result: Object = json.loads(pick(objects, "Pod", "spec", "containers", 0, "args", -1))
    return result


def nested(path: str, value: Any) -> Object:
    """Write a value as a values file has it: ``a.b`` and 1 is ``{"a": {"b": 1}}``."""
    for key in reversed(path.split(".")):
        value = {key: value}
    result: Object = value
    return result


def merge(*values: Mapping[str, Any]) -> Object:
    """Merge values files, the last one winning, as Helm does."""
    merged: Object = {}
    for layer in values:
        for key, value in layer.items():
            both_maps = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both_maps else value
    return merged
