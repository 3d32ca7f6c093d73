"""The command line: one verb for each step of a release; results on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ci.cli import guarded
from ci.console import Failure
from scripts.release import changelog, chart, image, index, notes, version
from scripts.release.artifacts import Artifacts
from scripts.render import revision

ROOT = Path(__file__).resolve().parents[2]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.release", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("check", help="see that HEAD can be released; prints its version")
    verb = verbs.add_parser("image", help="build the image for this machine's architecture, and push it")
    _add_prefix(verb)
    verb = verbs.add_parser("manifest", help="make one image of those pushed; prints it with its digest")
    _add_prefix(verb)
    verb.add_argument(
        "--architectures",
        default=",".join(image.ARCHITECTURES),
        metavar="LIST",
        help="whose images were pushed (%(default)s)",
    )
    verb = verbs.add_parser("chart", help="package the chart, with the image by digest, and sign it")
    verb.add_argument("--key", required=True, help="name, mail address or fingerprint of the key that signs")
    verb.add_argument("--keyring", required=True, type=Path, metavar="FILE", help="that has the secret key")
    verb.add_argument("--passphrase-file", type=Path, metavar="FILE", help="that has the key's passphrase")
    verb = verbs.add_parser("push", help="push the chart and its signature to a registry; prints it with its digest")
    verb.add_argument("--to", required=True, metavar="OCI", help="such as oci://ghcr.io/dask/charts")
    verb = verbs.add_parser("index", help="add the chart to a repository that a web server serves")
    verb.add_argument("--folder", required=True, type=Path, help="that is served")
    verb.add_argument("--url", required=True, help="where it is served")
    verbs.add_parser("notes", help="write the release notes and the checksums; prints their paths")
    return parser


def _add_prefix(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--to", required=True, metavar="PREFIX", help="registry and folder, such as ghcr.io/dask")


def _answer(options: argparse.Namespace, root: Path) -> list[object]:
    artifacts = Artifacts(root, version.of_head(root))
    changelog.notes(root, artifacts.version)
    _see_that_the_tree_names(artifacts.version, root)
    match options.verb:
        case "image":
            return [image.push(artifacts, options.to)]
        case "manifest":
            return [image.join(artifacts, options.to, options.architectures.split(","))]
        case "chart":
            signer = chart.Signer(options.key, options.keyring, options.passphrase_file)
            return [chart.package(artifacts, artifacts.published("image", "manifest"), signer)]
        case "push":
            return [chart.push(artifacts, options.to)]
        case "index":
            return [index.add(artifacts, options.folder, options.url)]
        case "notes":
            return [*notes.write(artifacts)]
    return [artifacts.version]


def _see_that_the_tree_names(version: str, root: Path) -> None:
    if f"newTag: {version}\n" not in (root / revision.BASE).read_text(encoding="utf-8"):
        raise Failure(
            f"{revision.BASE} does not name {version}; run: make render, commit what it writes, and tag that."
        )


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run one verb.

    Returns:
        Its exit status: 0, 1 for a failure, 130 when interrupted.
    """
    options = _parser().parse_args(arguments)

    def work() -> None:
        for line in _answer(options, root):
            print(line)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
