"""The command line: one verb for each thing that is rendered, each with ``--check``."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Callable, Sequence

from ci.console import Failure
from scripts import schemata
from scripts.render import argocd, client, crds, dashboards, goldens, kustomize, reference, revision, schemas, values
from scripts.render.outputs import Rendered, stale, write
from scripts.tree import TreeError

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A verb renders from the tree at a root, for a minor of Kubernetes, and writes nothing.
Render = Callable[[pathlib.Path, str], Rendered]

VERBS: dict[str, tuple[str, Render]] = {
    "crds": ("the CRDs of the chart and of kustomize, from crds-src/", crds.render),
    "reference": ("docs/reference/custom-resources.md, from crds-src/", reference.render),
    "client": ("docs/reference/client.md and cli.md, from the Python client", client.render),
    "values": ("values.schema.json and the values in the README of the chart, from values.yaml", values.render),
    "dashboards": ("the Grafana dashboards of the chart, from dashboards-src/", dashboards.render),
    "goldens": ("what the chart renders, into tests/render/chart/goldens/, with Helm", goldens.render),
    "revision": ("the release that kustomize/ names, from CHANGELOG.md", revision.render),
    "kustomize": ("resources and flat manifests of kustomize/, from the chart", kustomize.render),
    "argocd": ("the health checks of kustomize/argocd as a patch of argocd-cm", argocd.render),
    "schemas": ("JSON schemas for editors and kubeconform, from crds-src/", schemas.render),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.render", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, summary in {**{verb: summary for verb, (summary, _) in VERBS.items()}, "all": "everything"}.items():
        one = verbs.add_parser(verb, help=summary, description=summary)
        one.add_argument("--check", action="store_true", help="write nothing, fail when something is stale")
        one.add_argument(
            "--kubernetes",
            choices=schemata.MINORS,
            default=schemata.DEFAULT_MINOR,
            help="whose pod specs to use (default: %(default)s, which is what is committed)",
        )
        one.add_argument("--into", type=pathlib.Path, help="write below this folder instead of the repository")
    return parser


def main(arguments: Sequence[str] | None = None, root: pathlib.Path = ROOT) -> int:
    """Runs the command; returns its exit code: 0 done, 1 stale or wrong."""
    options = _parser().parse_args(arguments)
    chosen = VERBS if options.verb == "all" else {options.verb: VERBS[options.verb]}
    target = options.into or root
    outdated = False
    try:
        for verb, (_, render) in chosen.items():
            rendered = render(root, options.kubernetes)
            if not options.check:
                for line in write(rendered, target):
                    print(line)
                continue
            for line in stale(rendered, target):
                outdated = True
                print(f"{line}: run `python -m scripts.render {verb}`", file=sys.stderr)
    except (TreeError, Failure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 1 if outdated else 0


if __name__ == "__main__":
    raise SystemExit(main())
