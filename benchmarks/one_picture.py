"""One picture through `prodshot`, in a process of its own: processor time by stage, its floor, peak memory, results.

    python benchmarks/one_picture.py KIND PICTURE SMALL ROUNDS

KIND is enhance, skip, packshot or scene (its inpaint pass stands in by one colour). SMALL goes first, so that all is
loaded. Prints one JSON object. Imports `lib_prodshot` from wherever PYTHONPATH says: `whole_way.py` runs it for two
checkouts in turn.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from PIL import Image

SETTINGS: dict[str, dict[str, Any]] = {
    "enhance": {},
    "skip": {},
    "packshot": {"make": "packshot", "marketplace": "amazon"},
    "scene": {"make": "packshot", "ground": "scene"},
}

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class _OneColour:
    """In place of an inpaint pass, whose time is not ours."""

    name = "inpaint"

    def enhance(self, task: Any) -> Any:
        from lib_prodshot.enhancing.interface import Enhanced

        return Enhanced(np.full_like(task.picture, 190))


def models_clock(clock: Callable[[], float]) -> list[float]:
    """Seconds by `clock` that the models' own calls and their loading take, in one cell."""
    import onnxruntime

    spent = [0.0]
    original = onnxruntime.InferenceSession

    def timed(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        start = clock()
        try:
            return call(*arguments, **options)
        finally:
            spent[0] += clock() - start

    class Timed(original):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            timed(super().__init__, *arguments, **options)

        def run(self, *arguments: Any, **options: Any) -> Any:
            return timed(super().run, *arguments, **options)

    onnxruntime.InferenceSession = Timed
    return spent


def _engine_clock(enhancer: Any) -> list[float]:
    """Seconds inside the engine's own call, in one cell: where a WebUI's model paints, this would be its time."""
    spent = [0.0]
    original = type(enhancer).enhance

    def timed(self: Any, task: Any) -> Any:
        start = process_time()
        try:
            return original(self, task)
        finally:
            spent[0] += process_time() - start

    type(enhancer).enhance = timed
    return spent


def peak_memory(anew: bool = False) -> float | None:
    """The process's largest memory in MiB, since the last call with `anew`; None where the system does not say."""
    try:
        if anew:
            _CLEAR.write_text("5", encoding="ascii")
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def bare_files(source: Path, results: list[Path], scratch: Path) -> float:
    """Seconds to decode `source`, and to encode what is in `results` as they are, with Pillow and nothing else."""
    pictures = [(path.suffix, Image.open(path).copy()) for path in results]
    start = process_time()
    Image.open(source).load()
    for suffix, picture in pictures:
        options = {"quality": 95, "subsampling": 0} if suffix == ".jpg" else {"compress_level": 2}
        picture.save(scratch / f"bare{suffix}", **options)
    return process_time() - start


def main(kind: str, picture: Path, small: Path, rounds: int) -> dict[str, Any]:
    """The figures of each round; `small` is looked at before each, for the finder keeps what it saw last."""
    spent = models_clock(process_time)
    from lib_prodshot import pipeline
    from lib_prodshot.enhancing import load_enhancer
    from lib_prodshot.finding.registry import load_finder
    from lib_prodshot.jobs import processor
    from lib_prodshot.request import Request

    # stages are timed by the wall otherwise, which says little on a shared machine
    pipeline.perf_counter = processor.perf_counter = process_time  # type: ignore[attr-defined]
    request = Request(products="coffee cup", finder="lite", **SETTINGS[kind])
    enhancer = _OneColour() if kind == "scene" else load_enhancer(request.running_engine)
    begun: list[float] = []

    def begin(stage: str) -> None:
        begun.append(spent[0])

    worker = processor.PictureProcessor(request, load_finder("lite"), enhancer, progress=begin)
    engine = _engine_clock(enhancer) if kind == "enhance" else [0.0]
    told: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        out, scratch = Path(folder) / "out", Path(folder) / "scratch"
        out.mkdir()
        scratch.mkdir()
        for _ in range(rounds):
            worker.process(small, out, "small")
            before = peak_memory(anew=True)
            begun.clear()
            spent[0], engine[0], start = 0.0, 0.0, process_time()
            outcome = worker.process(picture, out, "result")
            total, models = process_time() - start, spent[0]
            if outcome.status != ("skipped" if kind == "skip" else "found"):
                raise SystemExit(f"{picture.name}: {outcome.status}: {outcome.verdict.reason}")
            peak = peak_memory()
            results = [] if kind == "skip" else sorted(out.glob("result*"))
            files = bare_files(picture, results, scratch)
            stages = {name: each for name, each in outcome.seconds.items() if name not in ("detect", "segment")}
            # the find is the first stage; later ones, such as the gates of a scene, may ask the models again
            stages["find"] -= begun[1] if len(begun) > 1 else models
            told.append({"total": total, "models": models, "engine": engine[0], "files": files, "stages": stages})
            digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("result*"))}
    memory = None if before is None or peak is None else round(peak - before)
    return {"rounds": told, "memory": memory, "results": digests}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
