"""A few pictures of one size through a folder job, in a process of its own: processor time, its floor, peak memory.

    python benchmarks/one_folder.py KIND PICTURE SMALL ROUNDS

KIND is batch, ROUNDS is 1. The folder holds `PICTURES` of PICTURE, each shifted by some columns, for the finder keeps
what it saw last; a folder with SMALL goes first, so that all is imported. The floor is loading the models and their own
calls, decoding the files and encoding the results. Prints one JSON object, as `one_picture.py` does, and imports
`lib_prodshot` from wherever PYTHONPATH says.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from time import process_time, thread_time
from typing import Any

import numpy as np
from one_picture import bare_files, models_clock, peak_memory
from PIL import Image

PICTURES = 4
_SHIFT = 16
"""Columns between one picture and the next: a whole block of a JPEG, whose size then stays."""


def shifted(picture: Path, folder: Path) -> list[Path]:
    """`PICTURES` files like this one in a new folder, of the same format, each shifted further to the side."""
    folder.mkdir()
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    files = [folder / f"{number}{picture.suffix}" for number in range(PICTURES)]
    for number, file in enumerate(files):
        Image.fromarray(np.roll(pixels, number * _SHIFT, axis=1)).save(file, quality=92)
    return files


def main(picture: Path, small: Path) -> dict[str, Any]:
    """The figures of one run."""
    # pictures in progress at once: each thread's own time
    spent = models_clock(thread_time)
    from lib_prodshot.jobs.folder.job import FolderJob
    from lib_prodshot.jobs.folder.runner import Runner
    from lib_prodshot.jobs.workers.local_pool import local_pool
    from lib_prodshot.request import Request

    request = Request(products="coffee cup", finder="lite")

    def run(inputs: Path, out: Path) -> Any:
        runner = Runner(FolderJob(inputs, out, request), local_pool(request))
        runner.start()
        return runner.result()

    with tempfile.TemporaryDirectory() as folder:
        scratch, first, out = (Path(folder) / name for name in ("scratch", "first", "out"))
        scratch.mkdir()
        first.mkdir()
        shutil.copy(small, first)
        run(first, Path(folder) / "first out")
        files = shifted(picture, Path(folder) / "in")
        before = peak_memory(anew=True)
        spent[0], start = 0.0, process_time()
        summary = run(files[0].parent, out)
        total, models, peak = process_time() - start, spent[0], peak_memory()
        if summary.statuses["found"] != PICTURES:
            raise SystemExit(f"{picture.name}: {dict(summary.statuses)}")
        results = {file: sorted(out.glob(f"{file.stem}.*")) for file in files}
        bare = sum(bare_files(file, made, scratch) for file, made in results.items())
        digests = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for made in results.values() for path in made
        }
    # the stages of pictures in progress at once are on the wall's clock, and say nothing of processor time
    told = {"total": total, "models": models, "engine": 0.0, "files": bare, "stages": {}}
    memory = None if before is None or peak is None else round(peak - before)
    return {"rounds": [told], "memory": memory, "results": digests}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[2]), Path(sys.argv[3]))))
