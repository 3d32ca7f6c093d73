"""Measure all that there is a goal for, in one run: the arms take turns, and every figure is told.

Run as ``make bench``. Ends with status 1 when a goal is missed or was not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from ci import tools
from ci.cache import Cache
from ci.cli import guarded
from ci.console import Failure
from ci.kubernetes import binaries
from ci.pins import pins
from tests.bench import arms, autoscaler, client, neighbours, operators, start, thousand
from tests.bench.machine import describe, load
from tests.bench.results import GOALS, Results

FILE = operators.ROOT / "build" / "bench.json"

BENCHES = ("start", "neighbours", "thousand", "autoscaler", "client")


def parser() -> argparse.ArgumentParser:
    """The parser of ``python -m tests.bench``."""
    options = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    options.add_argument(
        "--rounds", type=int, default=5, help="of each measurement (%(default)s; 1 for a quick look)"
    )
    options.add_argument("--only", choices=BENCHES, nargs="+", default=BENCHES, help="some of them; all unless given")
    options.add_argument("--kubernetes", default=pins().default_kubernetes, help="version (%(default)s)")
    return options


async def run(options: argparse.Namespace, results: Results, loads: list[float]) -> None:
    """Measure: those that have arms round by round, those that take their time once."""
    ours, peer = operators.ours(), operators.peer()
    kubernetes, rounds = options.kubernetes, options.rounds
    turns: list[tuple[str, Callable[[], Awaitable[None]]]] = []
    for _ in range(rounds):
        turns.append(("start", lambda: start.measure(kubernetes, ours, peer, results)))
        turns.append(("neighbours", lambda: neighbours.measure(kubernetes, ours, results)))
    turns.append(("thousand", lambda: thousand.measure(kubernetes, ours, rounds, results)))
    turns.append(("autoscaler", lambda: autoscaler.measure(kubernetes, ours, rounds, results)))
    turns.append(("client", lambda: client.measure(kubernetes, rounds, results)))
    for name, measure in turns:
        if name in options.only:
            loads.append(load())
            print(f"{name}, load {loads[-1]:.2f}", flush=True)
            try:
                await measure()
            except Exception as error:
                # The others can still be measured.
                results.fail(name, error)


def main() -> None:
    """Measure, print the tables and write the file; what was measured is told also when the rest fails.

    Raises:
        Failure: a goal was missed, or could not be measured.
    """
    options = parser().parse_args()
    tools.ensure(["helm", "kwok"])
    binaries(pins().kubernetes(options.kubernetes), Cache())
    results, loads = Results([goal for goal in GOALS if goal.measure.partition("/")[0] in options.only]), [load()]
    shutil.rmtree(arms.FOLDER, ignore_errors=True)
    started = time.monotonic()
    report: dict[str, Any] = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "machine": describe()}
    try:
        asyncio.run(run(options, results, loads))
    finally:
        report |= {"rounds": options.rounds, "kubernetes": options.kubernetes, "loads": loads}
        report |= {"seconds": round(time.monotonic() - started), "failures": results.failures}
        report |= {"measures": results.as_json()}
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"\n{results.tables()}\n\n{FILE.relative_to(operators.ROOT)}, {report['seconds']} s", flush=True)
    if problems := [*results.failures, *results.missed()]:
        raise Failure(f"{'; '.join(problems)}.")


if __name__ == "__main__":
    sys.exit(guarded(main))
