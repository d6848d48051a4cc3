"""Whole runs of the program, each told as its exit code and the lines that Prodshot reads.

`python -m tests.training.scenes` (with PRODSHOT_SD_SCRIPTS and PRODSHOT_SD_SCRIPTS_PYTHON) records what the real
sd-scripts says in `recorded/scenes.json`.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_prodshot.training.trainer import progress
from lib_prodshot.training.trainer.process import TrainerProcess, command
from lib_prodshot.training.trainer.runner import DATASET, TRAINING, TrainingJob
from lib_prodshot.training.trainer.sd_scripts import environment_variables
from tests.training.photographs import make_folder
from tests.training.rigs import Rig, broken
from tests.training.trainers import tiny_model, tiny_trainer

RECORDED = Path(__file__).parent / "recorded" / "scenes.json"

_READ = (progress._EPOCH, progress._TOTAL, progress._SAVED)
_COUNTS = re.compile(r"^(?:num batches per epoch\b.*?: \d+|gradient accumulation steps\b.*?= \d+)$")
_STAGES = tuple(words for words, _ in progress._STAGE_OF)
_ENDS = re.compile(r"^(?:No data found|AssertionError|UnicodeDecodeError|OSError: image file is truncated)")
_PATH = re.compile(r"/\S*/")


@dataclass(frozen=True)
class Scene:
    """What came of one run of the program."""

    code: int
    lines: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "lines": list(self.lines)}


def telling(said: list[str]) -> tuple[str, ...]:
    """The lines that the reader and the diagnosis take, without paths and what follows an error's first words."""
    found = []
    for line in map(str.strip, said):
        end = _ENDS.match(line)
        if end:
            found.append(end[0])
        elif any(pattern.match(line) for pattern in (*_READ, _COUNTS)) or line.startswith(_STAGES):
            found.append(_PATH.sub("…/", line))
    return tuple(found)


def play(job: TrainingJob) -> Scene:
    """Run the program as the job would, to its own end; nothing ends it early and nothing judges it."""
    report = job.prepare()
    job._prepare_folder()
    job._write_files(report)
    line = command(job.trainer, job.recipe, (job.folder / TRAINING, job.folder / DATASET), job._options())
    program = TrainerProcess(line, job.folder, environment_variables())
    said = [one.text for one in program.lines() if one.final]
    code = program.wait()
    return Scene(min(code, 1), telling(said))


def _whole(rig: Rig, _: Path) -> Scene:
    return play(rig.job(sample_prompts=["bag --w 64 --h 64 --s 1 --d 1"], max_train_epochs=2))


def _resumed(rig: Rig, _: Path) -> Scene:
    rig.train(max_train_epochs=1)
    return play(rig.job(max_train_epochs=2))


def _of_broken(kind: str) -> Callable[[Rig, Path], Scene]:
    return lambda rig, folder: play(rig.job(force=True, image_dir=str(broken(folder / "broken", kind))))


SCENES: dict[str, Callable[[Rig, Path], Scene]] = {
    "whole": _whole,
    "resumed": _resumed,
    **{kind: _of_broken(kind) for kind in ("empty folder", "empty caption", "caption not UTF-8")},
    "truncated photograph": _of_broken("truncated photograph"),
}


def record() -> None:
    """Play all with the real program."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tiny = tiny_model(folder / "tiny")
        photographs = make_folder(folder / "photos", size=(128, 128))
        told = {}
        for name, scene in SCENES.items():
            rig = Rig(
                tiny_trainer(), photographs, tiny / "model", tiny / "tokenizers", folder / name / "runs", is_real=True
            )
            (folder / name).mkdir()
            told[name] = scene(rig, folder / name).to_json()
            print(name, told[name]["code"], len(told[name]["lines"]), file=sys.stderr, flush=True)
    RECORDED.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
