"""The LangSAM finder against the packages it is built on, with full-size random weights, all in one run, as ratios.

The packages' own bare forwards are the floor; no trained weights are needed, for the cost does not depend on them. Run
it in an environment with torch, transformers below 5, groundingdino-py 0.4.0 and segment-anything 1.0:

    OMP_NUM_THREADS=2 python -m benchmarks.langsam [--rounds 4] [--check]

Every round runs all candidates one after the other, each round starting with another one. A ratio is the median over
the rounds of (ours : theirs), in processor seconds of all threads, with the smallest and the largest: on a shared
machine those move least. What a whole call adds to its forward is less than two equal forwards differ by, so there the
forward is timed inside of the call. It prints docs/performance.md's table, then how far the outputs are from the
packages'; `--check` exits with 1 above a limit. It needs 8 GB of memory and, on two quiet cores, about 8 minutes.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.equality import Seen, distance, observe
from benchmarks.measure import Unseen
from benchmarks.random_models import SWIN_T, VIT_B, write_detector, write_segmenter
from lib_prodshot import weights
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box
from lib_prodshot.finding.langsam import groundingdino, segment_anything
from lib_prodshot.finding.models.captions import class_scores, make_captions
from lib_prodshot.finding.models.grounded_detector import GroundedDetector
from lib_prodshot.finding.models.preprocessing import detector_pixels, segmenter_pixels
from lib_prodshot.finding.models.runtime import ModelHandle, inference
from lib_prodshot.products import ProductClass

FOUR = tuple(ProductClass(name, (name,), threshold=1.0) for name in ("hand bag", "shoe", "car", "watch"))
"""Four classes that no box can reach: an absent picture."""

BEST = 100
"""Boxes of each detector that must have a partner among the other's."""


@dataclass(frozen=True)
class Cost:
    """Processor seconds of all threads, and wall-clock seconds."""

    processor: float
    wall: float


@dataclass(frozen=True)
class Line:
    """One line of a table: a ratio of processor seconds (or bytes) or a difference, its limit (None when it only
    informs) and, over several rounds, its smallest and largest value."""

    what: str
    value: float
    limit: float | None = None
    spread: tuple[float, float] | None = None
    wall: float | None = None

    @property
    def kept(self) -> bool:
        return self.limit is None or self.value <= self.limit

    def to_markdown(self) -> str:
        spread = "" if self.spread is None else f"{self.spread[0]:.2f}–{self.spread[1]:.2f}"
        wall = "" if self.wall is None else f"{self.wall:.2f}"
        limit = "" if self.limit is None else f"≤ {self.limit:.2f}"
        value = f"{self.value:.2f}" if self.value >= 0.1 or not self.value else f"{self.value:.1g}"
        return f"| {self.what} | {value}{'' if self.kept else ' (missed)'} | {spread} | {wall} | {limit} |"


Round = dict[str, Cost]
"""What each candidate cost in one round."""


@dataclass
class Models:
    """The same weights twice: as the packages built them, and with the fast layers."""

    plain_detector: Any
    fast_detector: Any
    plain_segmenter: Any
    fast_segmenter: Any


def cost(work: Callable[[], Any]) -> Cost:
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    with inference():
        work()
    return Cost(time.process_time() - processor, time.perf_counter() - wall)


def measure(candidates: dict[str, Callable[[], Any]], rounds: int) -> list[Round]:
    """Run every candidate once in each round; each round starts with another one."""
    names = list(candidates)
    measured: list[Round] = []
    for number in range(rounds):
        first = number * 3 % len(names)
        costs = {name: cost(candidates[name]) for name in (*names[first:], *names[:first])}
        measured.append(costs)
        told = ", ".join(f"{name} {costs[name].processor:.1f}" for name in names)
        print(f"  round {number + 1}, processor seconds: {told}", file=sys.stderr)
    return measured


def ratio(what: str, measured: list[Round], ours: Sequence[str], theirs: Sequence[str], limit: float | None) -> Line:
    """The sum of some candidates against the sum of others, round by round."""

    def total(costs: Round, names: Sequence[str]) -> Cost:
        return Cost(sum(costs[name].processor for name in names), sum(costs[name].wall for name in names))

    pairs = [(total(costs, ours), total(costs, theirs)) for costs in measured]
    processor = [mine.processor / other.processor for mine, other in pairs]
    wall = statistics.median(mine.wall / other.wall for mine, other in pairs)
    return Line(what, statistics.median(processor), limit, (min(processor), max(processor)), wall)


def picture(height: int = 800, width: int = 800) -> Any:
    """A smooth random picture, H×W×3 uint8."""
    from PIL import Image

    coarse = np.random.default_rng(0).integers(0, 255, (25, 25, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def boxes(count: int) -> list[Box]:
    rows = [(20.0 + 40 * (n % 4), 30.0 + 40 * (n // 4)) for n in range(count)]
    return [Box(0, 0.9, (x, y, x + 250.0, y + 200.0)) for x, y in rows]


def speed(models: Models, shot: Any, rounds: int) -> list[Line]:
    """The detector, the encoder, and what the finder adds to them."""
    import torch

    pixels, square = detector_pixels(shot), segmenter_pixels(shot, VIT_B.side)
    plain, fast = models.plain_detector, models.fast_detector
    caption = make_captions(FOUR, plain.tokenizer, "benchmark").captions[0].text
    in_absent, in_reference = Forwards(fast), Forwards(plain)
    reference, detector = detector_of(in_reference.timed()), detector_of(fast)
    segmenter, another = CountingSegmenter(), Unseen(shot)
    absent = Finder("benchmark", detector_of(in_absent.timed()), segmenter)
    prompts = torch.tensor([box.corners for box in boxes(16)])
    with inference():
        embedding = models.fast_segmenter.encode(square)

    def singly() -> None:
        for prompt in prompts:
            models.fast_segmenter.decode(embedding, prompt[None], False)

    # alike stand together: after SAM the next run of a detector has all its memory to ask for anew
    candidates: dict[str, Callable[[], Any]] = {
        "package's detector": lambda: plain.forward(pixels, caption),
        "reference": lambda: reference.detect(another(), FOUR, 0.25),
        "detector": lambda: fast.forward(pixels, caption),
        "absent": lambda: absent.find(another(), FOUR),
        "one class": lambda: detector.detect(another(), FOUR[:1], 0.25),
        "package's SAM": lambda: models.plain_segmenter.encode(square),
        "SAM": lambda: models.fast_segmenter.encode(square),
        "16 boxes": singly,
        "16 boxes at once": lambda: models.fast_segmenter.decode(embedding, prompts, False),
    }
    measured = measure(candidates, rounds)
    assert segmenter.calls == 0, "SAM was called for an absent picture"
    for costs, of_absent, of_reference in zip(measured, in_absent.costs, in_reference.costs, strict=True):
        costs["forward in absent"], costs["forward in reference"] = of_absent, of_reference
    bare, sam_bare = ["package's detector"], ["package's SAM"]
    return [
        ratio("detector : the package's bare forward", measured, ["detector"], bare, 0.50),
        ratio("SAM's encoder : the package's", measured, ["SAM"], sam_bare, 0.75),
        ratio("both : the packages'", measured, ["detector", "SAM"], bare + sam_bare, 0.65),
        ratio("reference mode, whole call : the package's forward in it", measured, *whole("reference"), 1.03),
        ratio("absent picture, whole call : our detector's forward in it", measured, *whole("absent"), 1.02),
        ratio("absent picture, whole call : the package's bare forward", measured, ["absent"], bare, 1.02),
        ratio("4 classes : 1 class", measured, ["absent"], ["one class"], 1.05),
        ratio("16 boxes one by one : at once", measured, ["16 boxes"], ["16 boxes at once"], 1.0),
        ratio("picture with 16 boxes : absent", measured, ["absent", "SAM", "16 boxes"], ["absent"], None),
    ]


def whole(name: str) -> tuple[list[str], list[str]]:
    """A candidate, and the forward inside of it."""
    return [name], [f"forward in {name}"]


@dataclass
class Forwards:
    """A grounding model whose forwards are timed, one in each call of the candidate that it is given to."""

    model: Any
    costs: list[Cost] = field(default_factory=list)

    def timed(self) -> Any:
        return replace(self.model, forward=self._forward)

    def _forward(self, pixels: Any, caption: str) -> Any:
        wall, processor = time.perf_counter(), time.process_time()
        answer = self.model.forward(pixels, caption)
        self.costs.append(Cost(time.process_time() - processor, time.perf_counter() - wall))
        return answer


class CountingSegmenter:
    """Stands where SAM would and counts its calls."""

    name = "counting"

    def __init__(self) -> None:
        self.calls = 0

    def segment(self, picture: Any, boxes: Sequence[Box]) -> list[Any]:
        self.calls += 1
        return [np.zeros(picture.shape[:2], np.uint8) for _ in boxes]

    def unload(self) -> None:
        self.calls = 0


def detector_of(model: Any) -> GroundedDetector:
    return GroundedDetector("benchmark", ModelHandle(lambda: model, "cpu"))


def second_picture(detector_file: Path, vocabulary: Path, shot: Any) -> list[Line]:
    """One process, two pictures: the second loads nothing."""
    loads: list[int] = []

    def load() -> Any:
        loads.append(1)
        return groundingdino.load(detector_file, vocabulary)

    detector = GroundedDetector("benchmark", ModelHandle(load, "cpu"))
    another = Unseen(shot)
    first = cost(lambda: detector.detect(another(), FOUR, 0.25))
    second = cost(lambda: detector.detect(another(), FOUR, 0.25))
    assert len(loads) == 1, "the second picture loaded the model again"
    return [Line("second picture : first (which loads)", second.processor / first.processor, 1.0)]


def peak(work: Callable[[], Any]) -> float:
    """How far memory rises above where it stood while `work` runs, in bytes (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    with inference():
        work()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def memory(models: Models, shot: Any) -> list[Line]:
    """The rise above the loaded models."""
    pixels, square = detector_pixels(shot), segmenter_pixels(shot, VIT_B.side)
    lines = []
    for what, ours, theirs in (
        (
            "detector",
            lambda: models.fast_detector.forward(pixels, "car ."),
            lambda: models.plain_detector.forward(pixels, "car ."),
        ),
        ("SAM encoder", lambda: models.fast_segmenter.encode(square), lambda: models.plain_segmenter.encode(square)),
    ):
        mine, other = peak(ours), peak(theirs)
        print(f"  {what}: {mine / 2**20:.0f} : {other / 2**20:.0f} MiB above the loaded model", file=sys.stderr)
        lines.append(Line(f"peak memory above the loaded model, {what}", mine / other, 1.0))
    return lines


def equality(models: Models, shot: Any) -> list[Line]:
    """How far the fast layers' outputs are from the packages': largest differences, and masks' IoU."""
    import torch

    pixels, square = detector_pixels(shot), segmenter_pixels(shot, VIT_B.side)
    caption = make_captions(FOUR, models.plain_detector.tokenizer, "benchmark").captions[0]
    with inference():
        plain = observe(models.plain_detector, pixels, caption.text)
        fast = observe(models.fast_detector, pixels, caption.text)
        same = observe(models.fast_detector, pixels, caption.text, proposals=plain.proposals)
        embedding, other = models.fast_segmenter.encode(square), models.plain_segmenter.encode(square)
        prompts = torch.tensor([box.corners for box in boxes(4)])
        masks = models.fast_segmenter.decode(embedding, prompts, True)[0] > 0
        others = models.plain_segmenter.decode(other, prompts, True)[0] > 0
    scores = [class_scores(seen.logits.numpy(), caption, len(FOUR)) for seen in (plain, same)]
    iou = ((masks & others).sum((-1, -2)) / (masks | others).sum((-1, -2)).clamp(min=1)).min()
    print(f"  boxes without a partner, ranked anew: {unmatched(plain, fast, caption)}", file=sys.stderr)
    return [
        Line("encoder, image side: largest difference × 10⁴", 1e4 * distance(fast.image, plain.image), 1.0),
        Line("encoder, text side: largest difference × 10⁴", 1e4 * distance(fast.text, plain.text), 1.0),
        Line("900 boxes: largest difference × 10³", 1e3 * distance(same.boxes, plain.boxes), 1.0),
        Line("900 × 4 scores: largest difference × 10³", 1e3 * float(abs(scores[0] - scores[1]).max()), 1.0),
        Line(f"{BEST} best boxes: without a partner of their class within 10⁻³", unmatched(plain, same, caption), 0.0),
        Line("SAM's embedding: largest difference × 10⁴", 1e4 * distance(embedding, other), 1.0),
        Line("SAM's masks: 1 - smallest IoU, × 10³", 1e3 * (1 - float(iou)), 1.0),
    ]


def unmatched(one: Seen, other: Seen, caption: Any) -> float:
    """Of the `BEST` boxes of each: how many lack a box of the same class within 10⁻³ in corners and score."""
    sets = []
    for seen in (one, other):
        scores = class_scores(seen.logits.numpy(), caption, len(FOUR))
        assert scores.std() > 0.01, "the random model scores everything alike"
        sets.append(np.column_stack((seen.boxes.numpy(), scores.max(1), 10.0 * scores.argmax(1))))
    missing = 0
    for rows, others in ((sets[0], sets[1]), (sets[1], sets[0])):
        for row in rows[np.argsort(-rows[:, 4])[:BEST]]:
            missing += not (np.abs(others - row).max(axis=1) < 1e-3).any()
    return float(missing)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=4, help="rounds behind each ratio")
    options.add_argument("--check", action="store_true", help="exit with 1 when a limit is missed")
    chosen = options.parse_args()
    vocabulary = weights.fetch(weights.select(["bert-vocab"])[0])
    with tempfile.TemporaryDirectory() as folder:
        detector_file = write_detector(SWIN_T, vocabulary, Path(folder, "detector.pth"))
        segmenter_file = write_segmenter(VIT_B, Path(folder, "sam.pth"))
        shot = picture()
        again = second_picture(detector_file, vocabulary, shot)
        models = Models(
            groundingdino.load(detector_file, vocabulary, reference=True),
            groundingdino.load(detector_file, vocabulary),
            segment_anything.load(segmenter_file, reference=True),
            segment_anything.load(segmenter_file),
        )
        equal = equality(models, shot)
        costs = [*speed(models, shot, chosen.rounds), *again, *memory(models, shot)]
    for title, lines in (("ours : theirs", costs), ("outputs against the packages'", equal)):
        print(f"\n| {title} | median | smallest–largest | wall clock | limit |\n|---|---|---|---|---|")
        print("\n".join(line.to_markdown() for line in lines))
    return int(chosen.check and not all(line.kept for line in (*costs, *equal)))


if __name__ == "__main__":
    sys.exit(main())
