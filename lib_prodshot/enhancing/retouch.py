"""Retouch: photographic correction of the product alone, without diffusion, within a colour limit.

Exposure, white balance, local contrast (CLAHE), clarity and vibrance, all scaled by one strength. Statistics come
from the product's pixels only, and the work is done on the rectangle around them, in strips, so that memory stays
bounded. Two promises are enforced rather than hoped for: no pixel becomes clipped that was not, and the colour shift
(ΔE2000, mean and 95th percentile inside the feathered mask) stays within the request's limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot import preserve
from lib_prodshot.bounds import bounding_box
from lib_prodshot.enhancing import tone
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import EnhanceError

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_ROWS = 128
"""Rows of one band of the base, which is scaled up for all of them at once."""

_PIXELS = 32768
"""About as many pixels are worked on at once: their float copies stay in the processor's cache."""

_BLOCK = 64
"""Columns; no processor computes more floats at once."""

LOCAL_CONTRAST = 0.6
CLARITY = 1.5
VIBRANCE = 0.3
"""Full-strength amounts, in shares of what each step alone would do."""

LOCAL_LIMIT = 24.0
"""No pixel's lightness moves further than this by local contrast and clarity together (levels of 255)."""

SAFETY = 0.98
"""The colour limit is kept with this margin, as the shift is measured on a sample (`preserve.delta_e`)."""


class Retouch:
    """The engine 'retouch'. Has no state; the same task gives the same bytes."""

    name = "retouch"

    def enhance(self, task: Task) -> Enhanced:
        """New colours for the product, scaled by `request.strength`; strength 0 gives the picture itself.

        Above `request.delta_e_limit` the change is reduced, or refused with `EnhanceError` (`request.over_limit`).
        `measures`: local_contrast_before and _after (see `local_contrast`), reduced_to (share of the change kept).
        """
        crop = _Crop.around(task)
        if crop is None or task.request.strength == 0:
            return Enhanced(task.picture)
        before = tone.local_contrast(crop.shrunk, crop.window)
        result = task.picture.copy()
        retouched = result[crop.region]
        _retouch(crop, task, expose=True, into=retouched)
        after = crop.contrast_of(retouched)
        if after <= before:
            # lifting shadows can flatten what lies between them and the lights: then contrast alone is worked on
            _retouch(crop, task, expose=False, into=retouched)
            after = crop.contrast_of(retouched)
        kept, notes = _share_within_limit(crop, retouched, task)
        if kept < 1:
            retouched[...] = cv2.addWeighted(crop.rgb, 1.0 - kept, retouched, kept, 0.0)
            after = crop.contrast_of(retouched)
        if after <= before:
            notes = (*notes, "local contrast could not be raised")
        task.progress(1.0)
        measures = {"local_contrast_before": before, "local_contrast_after": after, "reduced_to": kept}
        return Enhanced(result, notes, measures, is_spare=True)


@dataclass(frozen=True)
class _Crop:
    """The rectangle around the feathered mask: h×w parts of the task's arrays; `shrunk` is the lightness as the window
    shrinks it."""

    region: tuple[slice, slice]
    rgb: Bytes
    mask: Bytes
    alpha: Bytes
    lightness: Bytes
    window: tone.Window
    shrunk: Floats

    @classmethod
    def around(cls, task: Task) -> _Crop | None:
        x, y, width, height = bounding_box(task.alpha)
        if not width or not task.mask.any():
            return None
        region = (slice(y, y + height), slice(x, x + width))
        rgb, mask = task.picture[region], task.mask[region]
        lightness = tone.lightness(rgb)
        window, shrunk = tone.Window.on(mask, lightness)
        return cls(region, rgb, mask, task.alpha[region], lightness, window, shrunk)

    def contrast_of(self, rgb: Bytes) -> float:
        """Local contrast of the product in another version of the crop."""
        return tone.local_contrast(self.window.shrink(tone.lightness(rgb)), self.window)


def _retouch(crop: _Crop, task: Task, expose: bool, into: Bytes) -> None:
    """Write the crop with every step at the request's strength, before the colour limit, `into` an array (h×w×3)."""
    strength = np.float32(task.request.strength)
    histogram = tone.histogram(crop.lightness, crop.mask)
    curve = tone.exposure_curve(histogram) if expose else np.zeros(256, np.float32)
    linear = tone.linear_table(tone.white_balance_gains(crop.rgb, crop.mask), float(strength))
    equalised = tone.equalise_locally(crop.lightness, crop.mask, histogram)
    base = tone.LocalBase.of(crop.shrunk, crop.window)
    strip = max(1, _PIXELS // crop.rgb.shape[1])
    for top in range(0, len(crop.rgb), _ROWS):
        band = slice(top, min(top + _ROWS, len(crop.rgb)))
        shapes_of = base.rows(crop.lightness[band], top)
        for start in range(0, band.stop - top, strip):
            inner = slice(start, min(start + strip, band.stop - top))
            rows = slice(top + inner.start, top + inner.stop)
            columns = _columns(crop.alpha[rows])
            if columns is None:
                continue
            part = (rows, columns)
            level = crop.lightness[part]
            shapes = shapes_of.of(level, (inner, columns))
            # the curve moves the large shapes only, so that it takes no texture with it
            exposure = cv2.LUT(cv2.convertScaleAbs(shapes), curve)
            detail = cv2.subtract(level, shapes, dtype=cv2.CV_32F)
            local = CLARITY * detail + LOCAL_CONTRAST * cv2.subtract(equalised[part], level, dtype=cv2.CV_32F)
            lift = exposure + tone.soft_limit(local, LOCAL_LIMIT) * tone.headroom(level)
            scaled = lift * (strength * np.float32(100 / 255))
            shifted = _shift(crop.rgb[part], linear, scaled, VIBRANCE * float(strength))
            into[part] = _without_new_clipping(crop.rgb[part], shifted)
        task.progress(0.9 * band.stop / len(crop.rgb))


def _columns(alpha: Bytes) -> slice | None:
    """The columns of some rows in which anything is to change, widened to whole blocks: OpenCV's floats of a pixel hang
    on whether it lies in a block that is computed at once, or in the rest of a row. None where nothing is."""
    columns = np.flatnonzero(alpha.max(axis=0))
    if not len(columns):
        return None
    return slice(int(columns[0]) // _BLOCK * _BLOCK, (int(columns[-1]) // _BLOCK + 1) * _BLOCK)


def _shift(rgb: Bytes, linear: Floats, lift: Floats, vibrance: float) -> Bytes:
    """Move lightness by `lift` (h×w, CIE L*) and chroma by vibrance; `linear` (256×3) also holds the white balance."""
    lab = cv2.cvtColor(cv2.LUT(rgb, linear[None]), cv2.COLOR_LRGB2LAB)
    lightness, a, b = (np.asarray(plane, dtype=np.float32) for plane in cv2.split(lab))
    gain = tone.vibrance_gain(a, b, vibrance)
    moved = cv2.merge([cv2.add(lightness, lift), cv2.multiply(a, gain), cv2.multiply(b, gain)])
    return np.asarray(cv2.convertScaleAbs(cv2.cvtColor(moved, cv2.COLOR_LAB2RGB), alpha=255), dtype=np.uint8)


def _without_new_clipping(old: Bytes, new: Bytes) -> Bytes:
    """Hold pixels that had no channel at 0 or 255 between 1 and 254."""
    unclipped = cv2.inRange(old, (1, 1, 1), (254, 254, 254))
    return np.asarray(cv2.copyTo(np.clip(new, 1, 254), unclipped, new), dtype=np.uint8)


def _share_within_limit(crop: _Crop, retouched: Bytes, task: Task) -> tuple[float, tuple[str, ...]]:
    """Which share of the change keeps the colour limit, and what to tell the user.

    Raises `EnhanceError` when all of it would not and the request says 'refuse'.
    """
    limit = task.request.delta_e_limit
    aim = limit * SAFETY
    shift = _ColourShift.between(crop, retouched)
    mean, p95 = shift.at(1.0)
    if max(mean, p95) <= aim:
        return 1.0, ()
    if task.request.over_limit == "refuse":
        raise EnhanceError(
            f"the retouch would move the product's colours by ΔE2000 {mean:.1f} (95th percentile {p95:.1f}), above the "
            f"limit of {limit:g}; lower the strength, raise the colour limit, or let it be reduced"
        )
    share = shift.largest_share(aim)
    return share, (f"retouch reduced to {share:.0%} of its strength to keep ΔE2000 within {limit:g}",)


@dataclass(frozen=True)
class _ColourShift:
    """The audit's own sample of pixels, old and retouched (N×3), and their feather (N)."""

    old: Bytes
    new: Bytes
    alpha: Bytes

    @classmethod
    def between(cls, crop: _Crop, retouched: Bytes) -> _ColourShift:
        where = preserve.sample_inside(crop.alpha)
        return cls(crop.rgb[where], retouched[where], crop.alpha[where])

    def at(self, share: float) -> tuple[float, float]:
        """Mean and 95th percentile of ΔE2000 after the composite, with `share` of the change."""
        part = cv2.addWeighted(self.old[None], 1.0 - share, self.new[None], share, 0.0)[0]
        return preserve.summary(preserve.delta_e_of(self.old, preserve.blend_colours(self.old, part, self.alpha)))

    def largest_share(self, limit: float) -> float:
        """By bisection on a quarter of the sample, then made sure of on the whole of it; a multiple of 1/256."""
        quarter = _ColourShift(self.old[::4], self.new[::4], self.alpha[::4])
        low, high = 0, 256
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if max(quarter.at(middle / 256)) <= limit else (low, middle)
        while low and max(self.at(low / 256)) > limit:
            low -= 1
        return low / 256
