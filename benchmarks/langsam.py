"""The LangSAM finder against the packages it is built on, with full-size random weights, all in one run, as ratios.

The packages' own bare forwards are the floor; no trained weights are needed, for the cost does not depend on them. Run
it in an environment with torch, transformers below 5, groundingdino-py 0.4.0 and segment-anything 1.0:

    OMP_NUM_THREADS=2 python -m benchmarks.langsam [--rounds 3] [--check]

Each ratio is the median over the rounds of (ours : theirs), measured one after the other in the same round, in
processor seconds of all threads (wall-clock seconds beside it): on a shared machine those move least. `--check` exits
with 1 above a limit. It needs 8 GB of memory and some minutes.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.equality import Seen, distance, observe
from benchmarks.random_models import SWIN_T, VIT_B, write_detector, write_segmenter
from lib_prodshot import weights
from lib_prodshot.finding import groundingdino, sam
from lib_prodshot.finding.classes import class_scores, make_captions
from lib_prodshot.finding.grounded import GroundedDetector
from lib_prodshot.finding.interface import Box, Finder
from lib_prodshot.finding.pixels import detector_pixels, segmenter_pixels
from lib_prodshot.finding.prompted import BoxSegmenter
from lib_prodshot.finding.runtime import Slot, inference
from lib_prodshot.products import ProductClass

FOUR = tuple(ProductClass(name, (name,), threshold=1.0) for name in ("hand bag", "shoe", "car", "watch"))
"""Four classes that no box can reach: an absent picture."""


@dataclass(frozen=True)
class Cost:
    """Processor seconds of all threads, and wall-clock seconds."""

    processor: float
    wall: float


@dataclass(frozen=True)
class Line:
    """One line of the table: a ratio of processor seconds (or bytes) and its limit, None when it only informs."""

    what: str
    ratio: float
    wall: float | None = None
    limit: float | None = None

    @property
    def kept(self) -> bool:
        return self.limit is None or self.ratio <= self.limit

    def to_markdown(self) -> str:
        wall = "" if self.wall is None else f"{self.wall:.2f}"
        limit = "" if self.limit is None else f"≤ {self.limit:.2f}"
        return f"| {self.what} | {self.ratio:.2f} | {wall} | {limit} | {'' if self.kept else 'missed'} |"


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


def compare(what: str, ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, limit: float | None) -> Line:
    """The median ratio over the rounds; who goes first alternates."""
    pairs: list[tuple[Cost, Cost]] = []
    for number in range(rounds):
        if number % 2:
            mine = cost(ours)
            pairs.append((mine, cost(theirs)))
        else:
            other = cost(theirs)
            pairs.append((cost(ours), other))
    ratio = statistics.median(mine.processor / other.processor for mine, other in pairs)
    wall = statistics.median(mine.wall / other.wall for mine, other in pairs)
    line = Line(what, ratio, wall, limit)
    seconds = statistics.median(mine.processor for mine, _ in pairs), statistics.median(o.processor for _, o in pairs)
    print(f"  {what}: {line.ratio:.3f} (wall {wall:.3f}; {seconds[0]:.1f} : {seconds[1]:.1f} s)", file=sys.stderr)
    return line


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
    pixels, square = detector_pixels(shot), segmenter_pixels(shot, VIT_B.side)
    caption = make_captions(FOUR, models.plain_detector.tokenizer, "benchmark").captions[0].text
    single = make_captions(FOUR[:1], models.plain_detector.tokenizer, "benchmark").captions[0].text
    plain, fast = models.plain_detector, models.fast_detector
    detector, reference = detector_of(fast), detector_of(plain)
    encoder_fast, encoder_plain = models.fast_segmenter.encode, models.plain_segmenter.encode
    cost(lambda: (fast.look(pixels, single), plain.look(pixels, single)))  # the first call of each pays for its pages
    cost(lambda: (encoder_fast(square), encoder_plain(square)))

    def bare() -> None:
        plain.look(pixels, caption)

    def both(detect: Any, encode: Any) -> Callable[[], None]:
        def run() -> None:
            detect.look(pixels, caption)
            encode(square)

        return run

    segmenter = CountingSegmenter()
    absent = Finder("benchmark", detector, segmenter)
    lines = [
        compare("detector : package's bare forward", lambda: fast.look(pixels, caption), bare, rounds, 0.50),
        compare("SAM encoder : package's", lambda: encoder_fast(square), lambda: encoder_plain(square), rounds, 0.75),
        compare("both together : packages'", both(fast, encoder_fast), both(plain, encoder_plain), rounds, 0.65),
        compare(
            "reference mode, whole call : package's bare forward",
            lambda: reference.detect(shot, FOUR, 0.25),
            bare,
            rounds,
            1.03,
        ),
        compare("absent picture : package's bare forward", lambda: absent.find(shot, FOUR), bare, rounds, 1.02),
        compare(
            "absent picture : fast detector's bare forward",
            lambda: absent.find(shot, FOUR),
            lambda: fast.look(pixels, caption),
            rounds,
            1.02,
        ),
        compare(
            "4 classes : 1 class",
            lambda: detector.detect(shot, FOUR, 0.25),
            lambda: detector.detect(shot, FOUR[:1], 0.25),
            rounds,
            1.05,
        ),
    ]
    assert segmenter.calls == 0, "SAM was called for an absent picture"
    return lines


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
    return GroundedDetector("benchmark", Slot(lambda: model, "cpu"))


def sixteen_boxes(models: Models, shot: Any, rounds: int) -> list[Line]:
    """Decoding 16 boxes as we do against all at once; and a whole picture with 16 against one with a single box."""
    square = segmenter_pixels(shot, VIT_B.side)
    model = models.fast_segmenter
    with inference():
        embedding = model.encode(square)
    import torch

    prompts = torch.tensor([box.corners for box in boxes(16)])

    def singly() -> None:
        for prompt in prompts:
            model.decode(embedding, prompt[None], False)

    whole = BoxSegmenter("benchmark", Slot(lambda: model, "cpu"))
    return [
        compare(
            "16 boxes decoded singly : together", singly, lambda: model.decode(embedding, prompts, False), rounds, 1
        ),
        compare(
            "16 boxes, whole picture : 1 box",
            lambda: whole.segment(shot, boxes(16)),
            lambda: whole.segment(shot, boxes(1)),
            rounds,
            None,
        ),
    ]


def second_picture(detector_file: Path, vocabulary: Path, shot: Any) -> list[Line]:
    """One process, two pictures: the second loads nothing."""
    loads: list[int] = []

    def load() -> Any:
        loads.append(1)
        return groundingdino.load(detector_file, vocabulary)

    detector = GroundedDetector("benchmark", Slot(load, "cpu"))
    first = cost(lambda: detector.detect(shot, FOUR, 0.25))
    second = cost(lambda: detector.detect(shot, FOUR, 0.25))
    assert len(loads) == 1, "the second picture loaded the model again"
    return [
        Line("second picture : first (which loads)", second.processor / first.processor, second.wall / first.wall, 1)
    ]


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
            lambda: models.fast_detector.look(pixels, "car ."),
            lambda: models.plain_detector.look(pixels, "car ."),
        ),
        ("SAM encoder", lambda: models.fast_segmenter.encode(square), lambda: models.plain_segmenter.encode(square)),
    ):
        mine, other = peak(ours), peak(theirs)
        print(f"  {what}: {mine / 2**20:.0f} : {other / 2**20:.0f} MiB above the loaded model", file=sys.stderr)
        lines.append(Line(f"peak memory above the loaded model, {what}", mine / other, None, 1.0))
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
    lines = [
        Line(
            "encoder output, image side: largest difference × 10⁴", 1e4 * distance(fast.image, plain.image), None, 1.0
        ),
        Line("encoder output, text side: largest difference × 10⁴", 1e4 * distance(fast.text, plain.text), None, 1.0),
        Line(
            "proposals' scores: largest difference × 10⁴", 1e4 * distance(fast.proposals, plain.proposals), None, None
        ),
        Line("900 boxes, same proposals: largest difference × 10³", 1e3 * distance(same.boxes, plain.boxes), None, 1.0),
        Line(
            "900 × 4 scores, same proposals: largest difference × 10³",
            1e3 * float(abs(scores[0] - scores[1]).max()),
            None,
            1.0,
        ),
        Line(
            "boxes of another class, same proposals",
            float((scores[0].argmax(1) != scores[1].argmax(1)).sum()),
            None,
            None,
        ),
        Line("SAM embedding: largest difference × 10⁴", 1e4 * distance(embedding, other), None, 1.0),
        Line("SAM masks: 1 - smallest IoU, × 10³", 1e3 * (1 - float(iou)), None, 1.0),
    ]
    lines.append(Line("boxes without a partner within 10⁻³, as sets", unmatched(plain, fast, caption), None, None))
    return lines


def unmatched(one: Seen, other: Seen, caption: Any) -> float:
    """Of the boxes scored .5 or more: how many lack a box of the same class within 10⁻³ in corners and score."""
    sets = []
    for seen in (one, other):
        scores = class_scores(seen.logits.numpy(), caption, len(FOUR))
        sets.append(np.column_stack((seen.boxes.numpy(), scores.max(1), 10.0 * scores.argmax(1))))
    above = [rows[rows[:, 4] >= 0.5] for rows in sets]
    missing = 0
    for rows, others in ((above[0], sets[1]), (above[1], sets[0])):
        for row in rows:
            missing += not (np.abs(others - row).max(axis=1) < 1e-3).any()
    print(f"  boxes scored .5 or more: {len(above[0])} and {len(above[1])}", file=sys.stderr)
    return float(missing)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3, help="pairs of runs behind each ratio")
    options.add_argument("--check", action="store_true", help="exit with 1 when a limit is missed")
    chosen = options.parse_args()
    vocabulary = weights.fetch(weights.select(["bert-vocab"])[0])
    with tempfile.TemporaryDirectory() as folder:
        detector_file = write_detector(SWIN_T, vocabulary, Path(folder, "detector.pth"))
        segmenter_file = write_segmenter(VIT_B, Path(folder, "sam.pth"))
        shot = picture()
        lines = second_picture(detector_file, vocabulary, shot)
        models = Models(
            groundingdino.load(detector_file, vocabulary, reference=True),
            groundingdino.load(detector_file, vocabulary),
            sam.load(segmenter_file, reference=True),
            sam.load(segmenter_file),
        )
        lines = equality(models, shot) + memory(models, shot) + speed(models, shot, chosen.rounds) + lines
        lines += sixteen_boxes(models, shot, chosen.rounds)
    print("| ours : theirs | processor time | wall clock | limit | |\n|---|---|---|---|---|")
    for line in lines:
        print(line.to_markdown())
    return int(chosen.check and not all(line.kept for line in lines))


if __name__ == "__main__":
    sys.exit(main())
