"""`python3 -m benchmarks [--rounds 5] [--only WORD …] [--json FILE]`: what Prodshot costs, as ratios, in one table.

Runs in the tests' environment, which it makes when it does not stand. Prints Markdown, and writes JSON besides. Every
ratio is measured within this run against its own floor, several times; single times are worth nothing on a shared
machine. The finders with full-size models have a benchmark of their own (`benchmarks.langsam`), so have training
(`benchmarks.training`) and killed jobs (`benchmarks.kill_resume`). Exits with 1 when a ratio is above its limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lib_prodshot.bootstrap import BootstrapError, inside, run_in
from tests import environments

if TYPE_CHECKING:
    from benchmarks.measure import Ratio

ROUNDS = 5


def main() -> int:
    """Run here when this is the tests' environment, else there."""
    if not inside(environments.TESTS):
        try:
            return run_in(environments.TESTS, ["-m", "benchmarks", *sys.argv[1:]])
        except BootstrapError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 1
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks", description="What Prodshot costs, as ratios.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of each (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=(), metavar="WORD", help="only groups with these in their names")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="default: %(default)s")
    return _run(parser.parse_args())


def _run(arguments: argparse.Namespace) -> int:
    from benchmarks import measure

    groups = {name: group for name, group in _groups().items() if _is_wanted(name, arguments.only)}
    ratios: list[Ratio] = []
    for name, group in groups.items():
        print(f"benchmarks: {name}", file=sys.stderr, flush=True)
        ratios += group(arguments.rounds)
    words = f"{arguments.rounds} rounds, each against its own floor in the same run"
    print(measure.to_markdown(ratios, words))
    told = {"machine": measure.machine(), "rounds": arguments.rounds, "ratios": [one.to_json() for one in ratios]}
    arguments.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 1 if any(one.limit is not None and one.median > one.limit for one in ratios) else 0


def _is_wanted(name: str, words: tuple[str, ...]) -> bool:
    return not words or any(word in name for word in words)


def _groups() -> dict[str, Callable[[int], Iterator[Ratio]]]:
    from benchmarks import job_costs, picture_costs, start_costs, whole_way

    return {
        "whole way": whole_way.rows,
        "classes": picture_costs.classes,
        "skip": picture_costs.skip,
        "packshot": picture_costs.packshot,
        "masks": picture_costs.mask_kit,
        "preserve": picture_costs.last_composite,
        "import": start_costs.imports,
        "webui start": start_costs.webui_start,
        "throughput": job_costs.throughput,
        "memory": job_costs.memory,
        "report": job_costs.reports,
    }


if __name__ == "__main__":
    raise SystemExit(main())
