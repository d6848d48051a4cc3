"""Pixel preservation: the final composite, exact where the feathered mask is 0, and the audit that verifies it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.bounds import bounding_box
from lib_prodshot.outcome import Audit
from lib_prodshot.pictures.loaded import LoadedPicture, Native, RestoredPicture

Rgb = npt.NDArray[np.uint8]
"""H×W×3 RGB."""

Alpha = npt.NDArray[np.uint8]
"""H×W, 0..255."""

SAMPLE = 16384
"""At most this many pixels inside the mask are measured for the colour shift; see `delta_e`."""

_ROWS = 128


def composite(original: Rgb, new: Rgb, alpha: Alpha) -> Rgb:
    """Blend two H×W×3 pictures by an H×W mask: exactly `original` where alpha is 0, exactly `new` where it is 255,
    in between (original · (255 − alpha) + new · alpha) / 255, rounded to the nearest level.

    >>> before, after = np.full((1, 3, 3), 10, np.uint8), np.full((1, 3, 3), 210, np.uint8)
    >>> composite(before, after, np.array([[0, 128, 255]], np.uint8))[0, :, 0].tolist()
    [10, 110, 210]
    """
    result = original.copy()
    x, y, width, height = bounding_box(alpha)
    for top in range(y, y + height, _ROWS):
        part = (slice(top, min(top + _ROWS, y + height)), slice(x, x + width))
        result[part] = _blend(*(np.ascontiguousarray(layer[part]) for layer in (original, new, alpha)))
    return result


def _blend(original: Rgb, new: Rgb, alpha: Alpha) -> Rgb:
    blended = original.copy()
    cv2.copyTo(new, np.equal(alpha, 255).view(np.uint8), blended)
    # places and not a mask, by which each of the four arrays would be searched
    edge = np.flatnonzero(cv2.inRange(alpha, 1, 254))
    if len(edge):
        old, fresh = (colours.reshape(-1, 3)[edge] for colours in (original, new))
        blended.reshape(-1, 3)[edge] = blend_colours(old, fresh, alpha.ravel()[edge])
    return blended


def blend_colours(original: Rgb, new: Rgb, alpha: Alpha) -> Rgb:
    """N×3 colours blended by N weights 0..255, rounded to the nearest level."""
    weight = alpha.astype(np.uint16)[:, None]
    # v / 255 rounded, in 16 bits: v + 128 is at most 65153
    total = original * (np.uint16(255) - weight) + new * weight + np.uint16(128)
    return np.asarray((total + (total >> np.uint16(8))) >> np.uint16(8), dtype=np.uint8)


def audit(before: LoadedPicture, after: RestoredPicture, picture: Rgb, alpha: Alpha) -> Audit:
    """Compare a result with its input, sample by sample in the picture's own mode, and measure the colour shift.

    `picture` is the result as H×W×3 RGB, `alpha` the feathered mask (H×W): where it is 0, not one sample may differ.
    The colour shift is ΔE2000 where it is above 0; 0 for a picture without such pixels.
    """
    changed, largest = _changes_outside(before.native, after.native, alpha)
    mean, p95 = delta_e(before.rgb, picture, alpha)
    return Audit(changed, largest, mean, p95, changed_inside_share(before.rgb, picture, alpha))


def changed_inside_share(before: Rgb, after: Rgb, alpha: Alpha) -> float:
    """The share of the pixels with alpha above 0 that differ between two H×W×3 pictures; 0 where there are none."""
    inside = changed = 0
    for top in range(0, len(alpha), _ROWS):
        rows = slice(top, top + _ROWS)
        covered = cv2.countNonZero(alpha[rows])
        if not covered:
            continue
        inside += covered
        same = cv2.inRange(cv2.absdiff(before[rows], after[rows]), (0, 0, 0), (0, 0, 0))
        changed += covered - cv2.countNonZero(cv2.bitwise_and(alpha[rows], same))
    return changed / inside if inside else 0.0


def _changes_outside(before: Native, after: Native, alpha: Alpha) -> tuple[int, int]:
    """How many pixels differ where `alpha` is 0, and by how many levels at most."""
    if before.shape != after.shape or before.dtype != after.dtype:
        raise ValueError(f"cannot compare {before.shape} {before.dtype} with {after.shape} {after.dtype}")
    changed, largest = 0, 0
    for top in range(0, len(alpha), _ROWS):
        rows = slice(top, top + _ROWS)
        if np.array_equal(before[rows], after[rows]):
            continue
        outside = np.where(alpha[rows] == 0, np.uint8(255), np.uint8(0))
        difference = cv2.absdiff(_countable(before[rows]), _countable(after[rows]))
        difference = cv2.bitwise_and(difference, difference, mask=outside)
        largest = max(largest, int(difference.max()))
        if difference.any():
            changed += int(np.count_nonzero(difference.reshape(*outside.shape, -1).any(axis=2)))
    return changed, largest


def _countable(samples: Native) -> Native:
    return samples.view(np.uint8) if samples.dtype == bool else samples


def delta_e(before: Rgb, after: Rgb, alpha: Alpha) -> tuple[float, float]:
    """Mean and 95th percentile of ΔE2000 between two H×W×3 sRGB pictures where `alpha` (H×W) is above 0.

    Exact up to `SAMPLE` pixels. Above that over a sample of them (`sample_inside`), which costs a tenth of a second
    less per megapixel and was within 1 % of the exact figures on all pictures tried.
    """
    rows, columns = sample_inside(alpha)
    shift = delta_e_of(before[rows, columns], after[rows, columns])
    return summary(shift)


def summary(shift: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and 95th percentile; 0 and 0 of nothing."""
    if not shift.size:
        return 0.0, 0.0
    return float(shift.mean()), float(np.percentile(shift, 95))


def sample_inside(alpha: Alpha) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Sample pixels with alpha above 0: rows and columns in reading order, one out of every k if more than `SAMPLE`.

    The place within each k varies, so that no pattern in the picture is missed, and is deterministic.
    """
    x, y, width, height = bounding_box(alpha)
    wanted = _places(cv2.countNonZero(alpha))
    rows: list[npt.NDArray[np.intp]] = [np.empty(0, np.intp)]
    columns: list[npt.NDArray[np.intp]] = [np.empty(0, np.intp)]
    seen = 0
    for top in range(y, y + height, _ROWS):
        inside = np.flatnonzero(alpha[top : min(top + _ROWS, y + height), x : x + width])
        first, last = np.searchsorted(wanted, (seen, seen + len(inside)))
        picked = inside[wanted[first:last] - seen]
        seen += len(inside)
        rows.append(picked // width + top)
        columns.append(picked % width + x)
    return np.concatenate(rows), np.concatenate(columns)


def _places(count: int) -> npt.NDArray[np.int64]:
    """Increasing indices below `count`, one in each of at most `SAMPLE` equal runs."""
    step = max(1, -(-count // SAMPLE))
    runs = np.arange(count // step, dtype=np.int64)
    return runs * step + (runs * 2654435761 % 2**32) * step // 2**32


def delta_e_of(before: Rgb, after: Rgb) -> npt.NDArray[np.float64]:
    """ΔE2000 (Sharma, Wu, Dalal 2005, by scikit-image) between N×3 colours and N×3 colours, sRGB with D65 white."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    shift = np.zeros(len(before))
    moved = (before != after).any(axis=1)
    if moved.any():
        old, new = rgb2lab(before[None, moved]), rgb2lab(after[None, moved])  # type: ignore[no-untyped-call]
        shift[moved] = deltaE_ciede2000(old, new)[0]  # type: ignore[no-untyped-call]
    return shift
