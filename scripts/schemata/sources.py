"""Where the OpenAPI of a Kubernetes version is had: the Go module, PyPI, a running API server. All I/O is here."""

from __future__ import annotations

import hashlib
import json
import pathlib
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass

from scripts.tree import Mapping, as_mapping

# The last patch release of each minor that the Go module proxy had when the vendored files were made.
GO_MODULE = "k8s.io/kubernetes"
GO_VERSIONS = {
    "1.31": "v1.31.14",
    "1.32": "v1.32.13",
    "1.33": "v1.33.13",
    "1.34": "v1.34.4",
    "1.35": "v1.35.4",
    "1.36": "v1.36.3",
    "1.37": "v1.37.0",
}
PYPI_PROJECT = "kubernetes-validate"
PYPI_VERSION = "1.37.0"


class SourceError(RuntimeError):
    """A source could not be had; the message says which command failed and how."""


@dataclass(frozen=True)
class Source:
    """One OpenAPI document and where it is from.

    Attributes:
        name: a line that lets others find the same document.
        version: version of Kubernetes, or of the package that carries its schema.
        sha256: of the bytes that were read, hexadecimal.
        document: the parsed document.
    """

    name: str
    version: str
    sha256: str
    document: Mapping


def from_go_module(minor: str) -> Source:
    """``api/openapi-spec/swagger.json`` of the Go module k8s.io/kubernetes.

    Raises:
        SourceError: the module cannot be downloaded.
    """
    version = GO_VERSIONS[minor]
    described = _run("go", "mod", "download", "-json", f"{GO_MODULE}@{version}")
    folder = pathlib.Path(json.loads(described)["Dir"])
    inside = "api/openapi-spec/swagger.json"
    return _source(f"{GO_MODULE}@{version}/{inside}", version, (folder / inside).read_bytes())


def from_pypi(minor: str, wheel: pathlib.Path | None = None) -> Source:
    """The bundle of definitions for a minor inside the wheel of kubernetes-validate.

    Args:
        minor: such as ``1.36``.
        wheel: a downloaded wheel; downloaded with pip when None.

    Raises:
        SourceError: the wheel cannot be downloaded.
    """
    if wheel is None:
        with tempfile.TemporaryDirectory() as folder:
            return from_pypi(minor, download_wheel(pathlib.Path(folder)))
    inside = f"kubernetes_validate/kubernetes-json-schema/v{minor}.0-local/_definitions.json"
    with zipfile.ZipFile(wheel) as archive:
        return _source(f"{PYPI_PROJECT}=={PYPI_VERSION}/{inside}", f"v{minor}.0", archive.read(inside))


def download_wheel(folder: pathlib.Path) -> pathlib.Path:
    """The wheel of kubernetes-validate, downloaded with pip into a folder.

    Raises:
        SourceError: it cannot be downloaded.
    """
    requirement = f"{PYPI_PROJECT}=={PYPI_VERSION}"
    _run("python3", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement)
    return next(folder.glob("*.whl"))


def from_live(context: str | None = None) -> Source:
    """``/openapi/v3/api/v1`` of the API server that kubectl talks to.

    Args:
        context: name of a kubeconfig context; the current one when None.

    Raises:
        SourceError: kubectl failed.
    """
    options = () if context is None else ("--context", context)
    version = json.loads(_run("kubectl", *options, "get", "--raw", "/version"))["gitVersion"]
    path = "/openapi/v3/api/v1"
    return _source(f"{path} of a live API server", version, _run("kubectl", *options, "get", "--raw", path))


def _source(name: str, version: str, content: bytes) -> Source:
    document = as_mapping(json.loads(content), name, ())
    return Source(name, version, hashlib.sha256(content).hexdigest(), document)


def _run(*command: str) -> bytes:
    try:
        return subprocess.run(command, check=True, capture_output=True).stdout
    except FileNotFoundError as error:
        raise SourceError(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        raise SourceError(f"{' '.join(command)}: {error.stderr.decode(errors='replace').strip()}") from error
