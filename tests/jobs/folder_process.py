"""`python -m tests.jobs.folder_process PAUSE batch …`: the real command in a process of its own, with the finder of
known answers, which takes PAUSE seconds for each picture. `PRODSHOT_TEST_AT_WORK` names a file that it makes when it
has one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from lib_prodshot.cli import main
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Backend, Finder
from tests.finders import BoxSegmenter
from tests.jobs.tools import SlowDetector, finder

AT_WORK = "PRODSHOT_TEST_AT_WORK"


class TellingDetector(SlowDetector):
    """Makes a file before its pause."""

    def detect(self, *arguments: Any) -> Any:
        Path(os.environ[AT_WORK]).touch()
        return super().detect(*arguments)


def run(pause: float, arguments: list[str]) -> int:
    def load() -> Finder:
        return Finder("fixed", TellingDetector(pause), BoxSegmenter()) if AT_WORK in os.environ else finder(pause)

    backend = Backend("fixed", lambda _: (), lambda _: load())
    registry.choose = lambda name="auto", models_dir=None: registry.Choice(backend, "for a test")  # type: ignore[assignment]
    return main(arguments)


if __name__ == "__main__":
    raise SystemExit(run(float(sys.argv[1]), sys.argv[2:]))
