"""Edges of cut-outs against a known truth: `python -m benchmarks.edges [--side 1024] [--parts] [--check]`.

The scenes are `benchmarks/edge_scenes.py`'s; constants are chosen on its split `tune` alone, figures are told of
`report`. The error is the RMSE in 8-bit levels of the picture laid on a white page, over all pixels within eight pixels
of where the true alpha is partial (side 1024). Where pymatting is installed it solves the same band in the same run
(closed form with its incomplete Cholesky, then its multi-level foreground), and once more told by the truth where alpha
is 0 and where it is 1. Seconds are a processor's, of one core, told as shares of pymatting's where it is there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.edge_scenes import PARTS, Family, Light, Scene, Split, decoded, encoded, scenes
from lib_prodshot.packshot import cutout, matting
from lib_prodshot.packshot.cutout import CutOut

LIMITS = {"plain": 4.0, "textured": 12.0}
"""RMSE on a white page at 1024² that ours must keep on `soft` and `opaque` scenes (issue 17)."""

SECONDS = {1024: 0.6, 2048: 2.0}
"""Processor time of one cut-out that ours must keep on one core."""

Method = Callable[[Scene], CutOut]


def methods() -> dict[str, Method]:
    """How to cut, by name; pymatting only where it is installed."""
    found: dict[str, Method] = {
        "hard": lambda scene: cutout.by_blur(scene.rgb, scene.mask, 0),
        "feather 1.5": lambda scene: cutout.by_blur(scene.rgb, scene.mask, 1.5),
        "feather 4": lambda scene: cutout.by_blur(scene.rgb, scene.mask, 4),
        "guided filter": lambda scene: cutout.by_matte(scene.rgb, scene.mask, scene.soft, guided=True)[0],
        "matte": lambda scene: cutout.by_matte(scene.rgb, scene.mask, scene.soft)[0],
        "matte, no soft mask": lambda scene: cutout.by_matte(scene.rgb, scene.mask, None)[0],
    }
    if find_spec("pymatting"):
        found["pymatting, same band"] = lambda scene: _by_pymatting(scene, matting.band_around(scene.mask, scene.soft))
        found["pymatting, true band"] = lambda scene: _by_pymatting(scene, _true_band(scene))
    return found


def _by_pymatting(scene: Scene, band: npt.NDArray[np.uint8]) -> CutOut:
    from pymatting import estimate_alpha_cf, estimate_foreground_ml

    trimap = np.where(band > 0, 0.5, scene.mask / 255)
    picture = scene.rgb / 255
    alpha = estimate_alpha_cf(picture, trimap)
    colours = np.clip(np.rint(estimate_foreground_ml(picture, alpha) * 255), 0, 255).astype(np.uint8)
    return CutOut.of(scene.rgb, alpha.astype(np.float32), colours, band)


def _true_band(scene: Scene) -> npt.NDArray[np.uint8]:
    """Where the true alpha is neither 0 nor 1, the mask's error, and a pixel more."""
    wrong = (scene.alpha != 1) & (scene.mask > 0) | (scene.alpha != 0) & (scene.mask == 0)
    return cv2.dilate(np.where(wrong, np.uint8(255), np.uint8(0)), np.ones((3, 3), np.uint8))


def squared_error(scene: Scene, cut: CutOut) -> npt.NDArray[np.float32]:
    """Squared difference to the truth on a white page (H×W), mixed as the scene's light is."""
    share = cut.alpha[..., None]
    if scene.light == "srgb":
        page = cut.foreground * share + 255 * (1 - share)
    else:
        page = encoded(decoded(cut.foreground.astype(np.float32)) * share + 1 - share)
    return np.asarray(np.square(scene.on_white() - page).mean(axis=2), np.float32)


def near_the_edge(scene: Scene) -> npt.NDArray[np.bool_]:
    """H×W: within eight pixels (side 1024) of where the true alpha is partial."""
    partial = ((scene.alpha > 0) & (scene.alpha < 1)).astype(np.uint8)
    reach = 2 * round(8 * len(partial) / 1024) + 1
    return cv2.dilate(partial, np.ones((reach, reach), np.uint8)) > 0


@dataclass
class Row:
    """A method's RMSE by family, ground and part, and its seconds."""

    errors: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(self, scene: Scene, cut: CutOut) -> None:
        squared, near = squared_error(scene, cut), near_the_edge(scene)
        self._note(f"{scene.family} {scene.kind}", squared[near])
        for number, part in enumerate(PARTS, 1):
            self._note(f"{scene.family} {scene.kind}: {part}", squared[near & (scene.parts == number)])

    def _note(self, name: str, squared: npt.NDArray[np.float32]) -> None:
        if squared.size:
            self.errors.setdefault(name, []).append(float(np.sqrt(squared.mean())))

    def summary(self) -> dict[str, float]:
        """Means over the scenes; seconds are the median."""
        means = {name: statistics.mean(values) for name, values in self.errors.items()}
        return {**means, "seconds": statistics.median(self.seconds)}


def measure(
    side: int, split: Split, light: Light, first: int | None, families: Sequence[Family]
) -> dict[str, dict[str, float]]:
    """Each method's summary over all scenes, or the `first` of each family and kind of ground; all methods on one
    scene, then the next."""
    rows: dict[str, Row] = {name: Row() for name in methods()}
    for family in families:
        for number, scene in enumerate(scenes(side, split, family, light, first)):
            for name, method in methods().items():
                if number == 0:
                    method(scene)  # imports, compilation
                start = process_time()
                cut = method(scene)
                rows[name].seconds.append(process_time() - start)
                rows[name].add(scene, cut)
            print(f"{family}: {scene.name}", file=sys.stderr, flush=True)
    return {name: row.summary() for name, row in rows.items()}


def show(table: dict[str, dict[str, float]], columns: list[str]) -> None:
    """Print a Markdown table."""
    reference = table.get("pymatting, same band", {}).get("seconds")
    print("| edges | " + " | ".join(columns) + " | seconds | of pymatting's |\n" + "|---" * (len(columns) + 3) + "|")
    for name, row in table.items():
        cells = [f"{row[column]:.1f}" if column in row else "–" for column in columns]
        share = f"{row['seconds'] / reference:.2f}" if reference else "–"
        print(f"| {name} | " + " | ".join(cells) + f" | {row['seconds']:.2f} | {share} |")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edges", description="Edges against a known truth.")
    parser.add_argument("--side", type=int, nargs="+", default=[1024], help="side of the scenes in pixels")
    parser.add_argument("--split", choices=get_args(Split), default="report", help="which scenes")
    parser.add_argument(
        "--family", choices=get_args(Family), nargs="+", default=get_args(Family), help="of which kinds"
    )
    parser.add_argument("--light", choices=get_args(Light), default="srgb", help="how edges mix, in scenes and page")
    parser.add_argument("--first", type=int, help="only so many scenes of each family and kind of ground")
    parser.add_argument("--parts", action="store_true", help="also the error of each part")
    parser.add_argument("--check", action="store_true", help="exit with 1 where ours is above its limits")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    told, broken = {}, []
    for side in arguments.side:
        table = told[side] = measure(side, arguments.split, arguments.light, arguments.first, arguments.family)
        whole = [f"{family} {kind}" for family in arguments.family for kind in LIMITS]
        print(f"\n{side}², {arguments.split}, {arguments.light}\n")
        show(table, whole)
        if arguments.parts:
            for column in whole:
                print()
                show(table, [f"{column}: {part}" for part in PARTS])
        broken += _broken(table["matte"], side)
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print("\n" + ("above the limits: " + "; ".join(broken) if broken else "within the limits"))
    return 1 if broken and arguments.check else 0


def _broken(ours: dict[str, float], side: int) -> list[str]:
    wrong = []
    if side == 1024:
        named = [(f"{family} {kind}", limit) for family in ("soft", "opaque") for kind, limit in LIMITS.items()]
        wrong = [f"{name}: {ours[name]:.2f}" for name, limit in named if ours.get(name, 0) > limit]
    if ours["seconds"] > SECONDS.get(side, np.inf):
        wrong.append(f"{side}²: {ours['seconds']:.2f} s")
    return wrong


if __name__ == "__main__":
    raise SystemExit(main())
