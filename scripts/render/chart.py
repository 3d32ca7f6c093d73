"""What ``helm template`` makes of the chart, for the verbs that render from it."""

from __future__ import annotations

import pathlib
import subprocess

from ci import tools
from scripts.tree import TreeError

CHART = pathlib.PurePosixPath("chart/dask-kubernetes-operator")
NAMESPACE = "dask-operator"

_TIMEOUT_SECONDS = 120


def template(
    root: pathlib.Path, release: str, *options: str, helm: pathlib.Path | None = None, blame: str = str(CHART)
) -> str:
    """Objects as YAML, without the custom resource definitions: those are rendered from what the chart's are.

    Args:
        root: of the repository.
        release: name of the release; its namespace is ``NAMESPACE``.
        options: of ``helm template``, besides.
        helm: the Helm that renders; the default one if None.
        blame: what an error names.

    Raises:
        TreeError: Helm refuses.
        Failure: there is no Helm, and none can be had.
    """
    helm = helm or tools.ensure(["helm"])["helm"]
    command = [
        *(str(helm), "template", release, str(root / CHART)),
        *(f"--namespace={NAMESPACE}", "--set=crds.enabled=false", *options),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    if done.returncode:
        raise TreeError(blame, (), f"helm template: {done.stderr.strip()}")
    return done.stdout
