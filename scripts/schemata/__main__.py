"""``python -m scripts.schemata refresh``: rewrite the vendored schemas from one of their sources."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Sequence

from scripts.schemata import MINORS
from scripts.schemata.closure import closure, definitions
from scripts.schemata.sources import Source, SourceError, from_go_module, from_live, from_pypi
from scripts.tree import TreeError

FOLDER = pathlib.Path(__file__).parent

READERS: dict[str, Callable[[str], Source]] = {"go": from_go_module, "pypi": from_pypi}


def vendored_text(source: Source) -> str:
    """The content of a vendored file: provenance, then the definitions."""
    content = {
        "provenance": {"sha256": source.sha256, "source": source.name, "version": source.version},
        "definitions": closure(definitions(source.document, source.name), source.name),
    }
    return json.dumps(content, indent=1) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.schemata", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    refresh = verbs.add_parser("refresh", help="rewrite the vendored schemas")
    refresh.add_argument("--source", choices=("go", "pypi", "live"), default="go")
    refresh.add_argument("--kubernetes", choices=MINORS, action="append", help="a minor; all of them if not given")
    refresh.add_argument("--context", help="kubeconfig context, for --source live")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.source == "live":
            source = from_live(options.context)
            minor = ".".join(source.version.removeprefix("v").split(".")[:2])
            sources = {minor: source}
        else:
            sources = {minor: READERS[options.source](minor) for minor in options.kubernetes or MINORS}
        for minor, source in sources.items():
            file = FOLDER / f"k8s-{minor}.json"
            file.write_text(vendored_text(source), encoding="utf-8")
            print(f"{file.name}: {file.stat().st_size} bytes from {source.name}")
    except (SourceError, TreeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
