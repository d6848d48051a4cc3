"""One picture: what more products cost, what a skip costs, and the mask kit and the last composite against the plain
way of writing them. What stands around the bare models is in `whole_way.py`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from scipy import ndimage

from benchmarks.measure import Ratio, Unseen, compare
from benchmarks.overhead import make_pictures
from lib_prodshot import masks, pictures, pipeline, preserve
from lib_prodshot.enhancing import load_enhancer
from lib_prodshot.finding.interface import Box, Find
from lib_prodshot.finding.registry import load_finder
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.jobs.report.report import Report
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.request import Request

MANY = (
    "coffee cup, motorcycle, handbag, shoe, watch, bottle, car, bicycle, laptop, camera, chair, sofa, table, lamp, "
    "backpack, sunglasses"
)


def classes(rounds: int) -> Iterator[Ratio]:
    """Many products are looked for in one pass."""
    with tempfile.TemporaryDirectory() as folder:
        another = Unseen(pictures.read(make_pictures(Path(folder), 512)[1]).seen())
    finder = load_finder("lite")
    one, many = (Request(products=text, finder="lite").classes for text in ("coffee cup", MANY))
    yield compare(
        f"finding {len(many)} products",
        lambda: finder.find(another(), many),
        "finding one",
        lambda: finder.find(another(), one),
        rounds,
    )


def packshot(rounds: int) -> Iterator[Ratio]:
    """A packshot of a large photograph, from its cut-out to the picture as a shop takes it, against its find."""
    with tempfile.TemporaryDirectory() as folder:
        photograph = pictures.read(make_pictures(Path(folder), 2048)[1]).seen()
    finder, values = load_finder("lite"), []
    request = Request(products="coffee cup", finder="lite", make="packshot", marketplace="amazon")
    for number in range(rounds + 1):
        # another picture each time: a finder keeps what it found in the last one
        loaded = LoadedPicture.from_rgb(np.roll(photograph, number, axis=1))
        outcome = pipeline.run(loaded, request, finder, load_enhancer(request.running_engine))
        if outcome.status != "found":
            raise SystemExit(f"the cup was to be found: {outcome.verdict.reason}")
        made = sum(outcome.seconds.get(stage, 0.0) for stage in _PACKSHOT)
        values.append(made / outcome.seconds["find"])
    yield Ratio("a packshot of 2048 × 2048 pixels", "its find by the lite finder", tuple(values[1:]), 0.6)


_PACKSHOT = ("cutout", "frame", "cast_shadow", "compose", "shop")


def skip(rounds: int) -> Iterator[Ratio]:
    """A picture without the product, from its file to its copy and its line, against the detector alone."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        out.mkdir()
        finder, request = load_finder("lite"), Request(products="coffee cup", finder="lite")
        another = Unseen(pictures.read(make_pictures(Path(folder), 512)[0]).seen())
        sources = iter([_written(another(), Path(folder) / f"{number}.png") for number in range(rounds + 1)])
        worker = PictureProcessor(request, finder, load_enhancer("retouch"))
        with Report(out) as report:

            def whole() -> None:
                source = next(sources)
                outcome = worker.process(source, out, source.stem)
                report.add(outcome)
                if outcome.status != "skipped":
                    raise SystemExit(f"{source.name} was to be skipped: {outcome.status}")

            def detector() -> None:
                finder.detector.detect(another(), request.classes, 0.25)

            yield compare("a picture that is skipped, 512 × 512", whole, "the detector alone", detector, rounds)


def _written(picture: npt.NDArray[np.uint8], path: Path) -> Path:
    Image.fromarray(picture).save(path)
    return path


def mask_kit(rounds: int) -> Iterator[Ratio]:
    """Three instances on 2048 × 2048: threshold, holes, growth, union, feather."""
    request = Request(products="mug", grow=6, feather=4.0, drop_specks=0.0, fill_holes=1.0)
    soft = _soft_masks(2048)
    finds = [Find(Box(0, 0.9, (x, x, x + 500.0, x + 500.0)), mask) for x, mask in zip((60, 700, 1400), soft)]
    yield compare(
        "the mask kit, three instances on 2048 × 2048",
        lambda: masks.build_mask(finds, request),
        "the same with Pillow, NumPy and SciPy",
        lambda: _plain_mask(soft, request),
        rounds,
    )


def _soft_masks(side: int) -> list[npt.NDArray[np.uint8]]:
    """Rings with a hole, soft at their edges."""
    found = []
    for place in (60, 700, 1400):
        ring = Image.new("L", (side, side))
        draw = ImageDraw.Draw(ring)
        draw.ellipse((place, place, place + 500, place + 500), fill=255)
        draw.ellipse((place + 200, place + 200, place + 260, place + 260), fill=0)
        found.append(np.asarray(ring.filter(ImageFilter.GaussianBlur(2))))
    return found


def _plain_mask(soft: list[npt.NDArray[np.uint8]], request: Request) -> Image.Image:
    """As one writes it down first: whole frames, SciPy's and Pillow's own filters."""
    joined = Image.new("L", soft[0].shape[::-1])
    for mask in soft:
        binary = ndimage.binary_fill_holes(mask >= 255 * request.mask_threshold)
        filled = Image.fromarray(np.where(binary, 255, 0).astype(np.uint8))
        joined = ImageChops.lighter(joined, filled.filter(ImageFilter.MaxFilter(2 * request.grow + 1)))
    return joined.filter(ImageFilter.GaussianBlur(request.feather))


def last_composite(rounds: int) -> Iterator[Ratio]:
    """The last composite with its audit against one in floats that is checked for equality."""
    chance = np.random.default_rng(4)
    original = chance.integers(0, 256, (2048, 2048, 3), dtype=np.uint8)
    new = np.clip(original.astype(np.int16) + 9, 0, 255).astype(np.uint8)
    alpha = masks.feather(np.asarray(Image.fromarray(_soft_masks(2048)[1]).point(lambda v: 255 * (v > 127))), 4.0)
    loaded = LoadedPicture.from_rgb(original)

    def ours() -> None:
        composed = preserve.composite(original, new, alpha)
        result = pictures.restore(loaded, composed, alpha)
        if preserve.audit(loaded, result, result.rgb, alpha).changed_outside:
            raise SystemExit("the composite leaks")

    def plain() -> None:
        weight = (alpha / 255.0)[..., None]
        blended = np.rint(original * (1 - weight) + new * weight).astype(np.uint8)
        if (blended != original).any(axis=2)[alpha == 0].any():
            raise SystemExit("the plain composite leaks")

    yield compare(
        "composite, audit and colour shift, 2048 × 2048",
        ours,
        "a float composite and its check, without colour shift",
        plain,
        rounds,
        clock=process_time,
    )
