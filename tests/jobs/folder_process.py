"""`python -m tests.jobs.folder_process PAUSE batch …`: the real command in a process of its own, with the finder of
known answers, which takes PAUSE seconds for each picture."""

from __future__ import annotations

import sys

from lib_prodshot.cli import main
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Backend
from tests.jobs.tools import finder


def run(pause: float, arguments: list[str]) -> int:
    backend = Backend("fixed", lambda _: (), lambda _: finder(pause))
    registry.choose = lambda name="auto", models_dir=None: registry.Choice(backend, "for a test")  # type: ignore[assignment]
    return main(arguments)


if __name__ == "__main__":
    raise SystemExit(run(float(sys.argv[1]), sys.argv[2:]))
