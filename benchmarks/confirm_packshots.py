"""Confirms a folder of packshots by other means than Prodshot's: nothing of it is imported here.

    python -m benchmarks.confirm_packshots RESULTS CUTOUTS

RESULTS holds STEM-MARKETPLACE.jpg as `prodshot packshot --marketplace amazon,zalando,google` writes them; CUTOUTS the
same run's with `--ground transparent`: STEM-MARKETPLACE.png, whose alpha says where the product is. Files are decoded
by imagecodecs; JPEG segments, the ICC profile and all geometry are read here. Every file that is not as it must be is
named; the exit code is 1 when there is one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from scipy import ndimage

ASKED = {"amazon": (2000, 2000, 0.9), "zalando": (1801, 2600, 0.9), "google": (1500, 1500, 0.85)}
"""Width, height and fill that were asked for."""

BOX_LEVEL = 26
"""A pixel counts for the product's box from a tenth of full opacity on."""

FAR = 16
"""Pixels from all that is less faint from which on a faint alpha is haze, and no edge."""


@dataclass(frozen=True)
class Figures:
    """What one file measures: its size, the fill along the side where it is larger, pixels that are not 255 outside of
    the alpha and of the blocks it touches (`not_white`), how far from 255 those blocks are (`ringing`), pixels of faint
    alpha far from all that is less faint (`haze`) and pieces of alpha that are nowhere opaque (`islands`)."""

    size: tuple[int, int]
    fill: float
    not_white: int
    ringing: int
    haze: int
    islands: int


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and contents of a JPEG file up to its first scan."""
    place = 2
    while data[place] == 0xFF and data[place + 1] != 0xDA:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        yield data[place + 1], data[place + 4 : place + 2 + length]
        place += 2 + length


def profile_name(data: bytes) -> str:
    """The description of the ICC profile in a JPEG file; '' without one."""
    parts = [content[14:] for marker, content in segments(data) if marker == 0xE2 and content[:12] == b"ICC_PROFILE\0"]
    icc = b"".join(parts)
    for number in range(int.from_bytes(icc[128:132], "big")):
        entry = icc[132 + 12 * number : 144 + 12 * number]
        if entry[:4] == b"desc":
            start, length = (int.from_bytes(entry[4 * k : 4 * k + 4], "big") for k in (1, 2))
            return icc[start : start + length].replace(b"\0", b"").decode("latin-1")[4:]
    return ""


def sampling(data: bytes) -> set[int]:
    """The sampling factors of a JPEG file's components; one where no channel is subsampled."""
    frame = next(content for marker, content in segments(data) if 0xC0 <= marker <= 0xC2)
    return {frame[7 + 3 * number] for number in range(frame[5])}


def measured(rgb: np.ndarray[Any, Any], alpha: np.ndarray[Any, Any]) -> Figures:
    """The figures of a decoded file and its cut-out's alpha."""
    height, width = alpha.shape
    rows, columns = np.nonzero(alpha >= BOX_LEVEL)
    fill = max((np.ptp(rows) + 1) / height, (np.ptp(columns) + 1) / width) if len(rows) else 0.0
    support = alpha > 0
    side = 8
    padded = np.pad(support, ((0, -height % side), (0, -width % side)))
    touched = padded.reshape(len(padded) // side, side, -1, side).any(axis=(1, 3))
    touched = touched.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    darkest = rgb.min(axis=2)
    opaque = alpha >= 128
    far = ndimage.distance_transform_edt(alpha < BOX_LEVEL) > FAR
    labels, count = ndimage.label(support, np.ones((3, 3)))
    opaque_pieces = np.unique(labels[opaque])
    return Figures(
        (width, height),
        float(fill),
        int(np.count_nonzero((darkest < 255) & ~touched)),
        int(255 - darkest[touched & ~support].min(initial=255)),
        int(np.count_nonzero(support & far)),
        count - len(opaque_pieces[opaque_pieces > 0]),
    )


def problems(path: Path, cutout: Path) -> tuple[Figures | None, list[str]]:
    """The figures of a file, and what is wrong with it."""
    market = path.stem.rpartition("-")[2]
    width, height, fill = ASKED[market]
    data = path.read_bytes()
    found = []
    name = profile_name(data)
    if "srgb" not in name.lower():
        found.append(f"the profile is {name!r}")
    if len(sampling(data)) > 1:
        found.append("chroma is subsampled")
    if not cutout.is_file():
        return None, [*found, "no cut-out to compare with"]
    rgb, rgba = imagecodecs.jpeg8_decode(data), imagecodecs.png_decode(cutout.read_bytes())
    if rgb.shape[:2] != rgba.shape[:2]:
        return None, [*found, f"file {rgb.shape[:2]} and cut-out {rgba.shape[:2]} differ in size"]
    figures = measured(rgb, rgba[..., 3])
    if figures.size != (width, height):
        found.append(f"{figures.size[0]}×{figures.size[1]}, not {width}×{height}")
    if not fill - 1e-9 <= figures.fill <= fill * 1.01 + 1e-9:
        found.append(f"fill {figures.fill:.4f} for {fill}")
    if figures.not_white:
        found.append(f"{figures.not_white} pixels that are not white")
    if figures.haze:
        found.append(f"{figures.haze} pixels of haze")
    if figures.islands:
        found.append(f"{figures.islands} islands")
    return figures, found


def main() -> int:
    """Check every file; prints a line for each that is not as it must be, and the counts."""
    results, cutouts = Path(sys.argv[1]), Path(sys.argv[2])
    files = sorted(path for path in results.rglob("*.jpg") if path.stem.rpartition("-")[2] in ASKED)
    wrong, ringing = 0, []
    for path in files:
        figures, found = problems(path, cutouts / path.relative_to(results).with_suffix(".png"))
        if figures is not None:
            ringing.append(figures.ringing)
        if found:
            wrong += 1
            print(f"{path.relative_to(results)}: {'; '.join(found)}")
    print(f"{len(files)} files, {len(files) - wrong} as they must be, {wrong} not")
    if ringing:
        told = f"{np.median(ringing):.0f} levels from white (median), {max(ringing)} at most"
        print(f"beside the product, in its blocks: {told}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
