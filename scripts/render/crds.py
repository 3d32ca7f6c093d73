"""The verb ``crds``: crds-src/ becomes the CRDs of the chart and of kustomize.

The body of a CRD, all but its first lines, is the same text in every output.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from dataclasses import dataclass
from typing import cast

import jinja2

from scripts import schemata
from scripts.crd.build import build, open_documents
from scripts.render.outputs import Rendered
from scripts.render.yaml_text import to_yaml
from scripts.tree import Mapping, TreeError

SOURCES = pathlib.PurePosixPath("crds-src")
CHART = pathlib.PurePosixPath("chart/dask-kubernetes-operator/templates/crds")
KUSTOMIZE = pathlib.PurePosixPath("kustomize/crds")
# All four in one file, for `kubectl apply -f`; not a resource of the kustomization, which has them one by one.
FLAT = "crds.yaml"

KINDS = ("daskautoscaler", "daskcluster", "daskjob", "daskworkergroup")

# Delimiters that Helm does not use, as the result of a template is a Helm template.
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates"),
    autoescape=False,  # noqa: S701 - YAML, not HTML
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    variable_start_string="[[",
    variable_end_string="]]",
    block_start_string="[%",
    block_end_string="%]",
    comment_start_string="[#",
    comment_end_string="#]",
)


@dataclass(frozen=True)
class Crd:
    """A resolved CRD.

    Attributes:
        source: path of its source from the root of the repository.
        plural: resource name, such as daskclusters.
        resource: the whole object.
    """

    source: pathlib.PurePosixPath
    plural: str
    resource: Mapping

    @property
    def name(self) -> str:
        """Its metadata.name."""
        return str(cast(Mapping, self.resource["metadata"])["name"])

    @property
    def kind(self) -> str:
        """Kind of its objects, such as DaskCluster."""
        return str(cast(Mapping, cast(Mapping, self.resource["spec"])["names"])["kind"])

    @property
    def spec_text(self) -> str:
        """Its spec as YAML, the part that no output changes.

        Raises:
            TreeError: Helm would take a part of it for a template action.
        """
        text = to_yaml({"spec": self.resource["spec"]})
        if "{{" in text:
            raise TreeError(str(self.source), ("spec",), "'{{' cannot be in a Helm template; say it in another way")
        return text


def load(root: pathlib.Path, kubernetes: str = schemata.DEFAULT_MINOR) -> list[Crd]:
    """The four CRDs, resolved against the schema of one minor of Kubernetes, sorted by kind.

    Raises:
        TreeError: a source is wrong; it names the place.
    """
    documents = open_documents(root / SOURCES, kubernetes)
    crds = []
    for kind in KINDS:
        source = SOURCES / f"{kind}.yaml"
        resource = build(root / source, documents)
        crds.append(Crd(source, f"{kind}s", resource))
    return crds


def provenance(kubernetes: str) -> str:
    """Which Kubernetes schema the CRDs are resolved against, for their header."""
    content = (pathlib.Path(schemata.__file__).parent / f"k8s-{kubernetes}.json").read_bytes()
    version = json.loads(content)["provenance"]["version"]
    return (
        f"Kubernetes {version}, scripts/schemata/k8s-{kubernetes}.json, sha256 {hashlib.sha256(content).hexdigest()}"
    )


def render(root: pathlib.Path, kubernetes: str = schemata.DEFAULT_MINOR) -> Rendered:
    """The outputs of the verb.

    Raises:
        TreeError: a source is wrong; it names the place.
    """
    files: dict[pathlib.PurePosixPath, str] = {}
    crds = load(root, kubernetes)
    origin = provenance(kubernetes)
    for crd in crds:
        for folder, template in ((CHART, "crd.chart.yaml"), (KUSTOMIZE, "crd.kustomize.yaml")):
            text = _TEMPLATES.get_template(template).render(crd=crd, origin=origin)
            files[folder / f"{crd.plural}.yaml"] = text
    flat = (files[KUSTOMIZE / f"{crd.plural}.yaml"] for crd in crds)
    files[KUSTOMIZE / FLAT] = "---\n".join(flat)
    kustomization = _TEMPLATES.get_template("crds.kustomization.yaml").render(crds=crds)
    files[KUSTOMIZE / "kustomization.yaml"] = kustomization
    return Rendered(files, frozenset({CHART, KUSTOMIZE}))
