"""Masks from boxes: salient-object segmentation by U²-Net-p on each box, extended to the salient object it belongs to.

Source: saliency as in Qin et al. (2020), there divided by its peak, as is done here where it is faint.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.finding.interface import Box, Picture, SoftMask
from lib_prodshot.finding.lite import boxes, cropping
from lib_prodshot.finding.lite.boxes import Corners
from lib_prodshot.finding.lite.features import FeatureExtractor, salient_components
from lib_prodshot.finding.lite.guided_filter import guided_upsample
from lib_prodshot.finding.lite.networks.onnx_model import Floats
from lib_prodshot.finding.lite.networks.saliency import SIDE as NETWORK_SIDE
from lib_prodshot.finding.models.preprocessing import as_rgb
from lib_prodshot.resampling import by_area, is_far

_PASSES = ((0.15, False), (0.25, True))  # margin around the box, flipped: the mean of two passes is steadier than one
_MASK_THRESHOLD = 0.6
"""The network's edge is a little wide: its 0.6 lies where the seed author's masks have theirs (IoU of his four
pictures rises by .003 to .008 against 0.5), so it becomes the soft mask's middle."""

_MAX_GROWTH = 2.5  # times the box's area
_MIN_COVERAGE = 0.1  # of the box; below, nothing in it is salient
_MIN_PEAK = 0.1
"""A saliency whose peak is lower is noise: the mask is then the box itself, which is wrong by its corners only."""

_MAX_OVERHANG, _MARGIN = 0.12, 0.04
"""What extends beyond a side of the box by more than `_MAX_OVERHANG` of its width or height is another object (an arm,
the box a shoe came in) and is cut at `_MARGIN`; what ends before is the product's own (a strap, a heel that the box
cut). Chosen without a search: less than the passes' quarter around the box, more than a detector's usual error."""


class LiteSegmenter:
    """Soft masks by salient-object detection inside each box; holes and thin straps stay as the network sees them."""

    name = "u2netp"

    def __init__(self, extractor: FeatureExtractor) -> None:
        self._extractor = extractor

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
        """One H×W soft mask for each box, in their order; never empty.

        Raises `FinderError` when the model fails.
        """
        picture = as_rgb(picture)
        work, factor = self._extractor.working_copy(picture)
        components = [
            _scaled(component, 1 / factor) for component in salient_components(self._extractor.saliency(work))
        ]
        corners = [_clamped(box.corners, picture) for box in boxes]
        return [
            self._mask_of(picture, box, components, [other for other in corners if other is not box]) for box in corners
        ]

    def unload(self) -> None:
        """Free the memory of all the lite finder's models."""
        self._extractor.unload()

    def _mask_of(
        self, picture: Picture, box: Corners, components: Sequence[Corners], others: Sequence[Corners]
    ) -> SoftMask:
        frame = _grown(box, components)
        soft, window = self._saliency(picture, frame)
        soft = _clipped_to_object(soft, _relative(frame, window, soft))
        inside = boxes.pixel_slices(_relative(box, window, soft))
        if _share(soft[inside] > _MASK_THRESHOLD) < _MIN_COVERAGE:
            soft = _normalised(soft, inside)
        mask = np.zeros(picture.shape[:2], np.uint8)
        left, top, right, bottom = window
        inner = (slice(top, bottom), slice(left, right))
        guided_upsample(_centred_on_threshold(soft), picture[inner], into=mask[inner])
        _exclude_other_detections(mask, frame, others)
        x0, y0, x1, y1 = map(int, box)
        if _share(mask[y0:y1, x0:x1] > 127) < _MIN_COVERAGE:
            mask[y0:y1, x0:x1] = 255
        return mask

    def _saliency(self, picture: Picture, frame: Corners) -> tuple[Floats, tuple[int, int, int, int]]:
        """The mean saliency of the passes over `frame`, over the widest one's window (pixels inside the picture)."""
        windows = [_window(picture, frame, margin) for margin, _ in _PASSES]
        widest = windows[-1]
        height, width = widest[3] - widest[1], widest[2] - widest[0]
        factor = min(1.0, cropping.WORK_SIDE / max(height, width))
        total = np.zeros((max(1, round(height * factor)), max(1, round(width * factor))), np.float32)
        for (_, flipped), (left, top, right, bottom) in zip(_PASSES, windows, strict=True):
            part = picture[top:bottom, left:right]
            if is_far(part, (NETWORK_SIDE, NETWORK_SIDE)):
                # before it is mirrored, for which a large part would have to be copied
                part = by_area(part, (NETWORK_SIDE, NETWORK_SIDE))
            saliency = self._extractor.saliency_within(cropping.flipped(part) if flipped else part)
            saliency = saliency[:, ::-1] if flipped else saliency
            x0, x1 = (round((side - widest[0]) * factor) for side in (left, right))
            y0, y1 = (round((side - widest[1]) * factor) for side in (top, bottom))
            x0, y0 = min(x0, total.shape[1] - 1), min(y0, total.shape[0] - 1)
            x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
            place = total[y0:y1, x0:x1]
            size = (place.shape[1], place.shape[0])
            place += np.asarray(cv2.resize(saliency, size, interpolation=cv2.INTER_LINEAR), np.float32)
        return np.asarray(total / len(_PASSES), np.float32), widest


def _share(where: npt.NDArray[np.bool_]) -> float:
    """Of all pixels; counted, which takes a tenth of a mean's time."""
    return np.count_nonzero(where) / where.size


def _centred_on_threshold(saliency: Floats) -> Floats:
    """Map the mask threshold to 0.5, linearly on both sides."""
    low, high = saliency / _MASK_THRESHOLD / 2, 0.5 + (saliency - _MASK_THRESHOLD) / (1 - _MASK_THRESHOLD) / 2
    return np.where(saliency < _MASK_THRESHOLD, low, high).astype(np.float32)


def _relative(corners: Corners, window: tuple[int, int, int, int], soft: Floats) -> Corners:
    """Corners in pixels of the saliency that covers the window."""
    across, down = soft.shape[1] / (window[2] - window[0]), soft.shape[0] / (window[3] - window[1])
    x0, y0, x1, y1 = corners
    return (x0 - window[0]) * across, (y0 - window[1]) * down, (x1 - window[0]) * across, (y1 - window[1]) * down


def _clipped_to_object(soft: Floats, frame: Corners) -> Floats:
    """The saliency without other objects beside the frame, cut at each side beyond which something extends far."""
    limited = soft.copy()
    count, labels = cv2.connectedComponents((soft > _MASK_THRESHOLD).astype(np.uint8))
    within = np.bincount(labels[boxes.pixel_slices(frame)].ravel(), minlength=count)
    beside = within < np.bincount(labels.ravel(), minlength=count) / 2
    beside[0] = False
    limited[beside[labels]] = 0
    rows, columns = (np.flatnonzero((limited > _MASK_THRESHOLD).any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return limited
    across, down = frame[2] - frame[0], frame[3] - frame[1]
    if frame[0] - columns[0] > _MAX_OVERHANG * across:
        limited[:, : round(max(frame[0] - _MARGIN * across, 0))] = 0
    if columns[-1] - frame[2] > _MAX_OVERHANG * across:
        limited[:, round(frame[2] + _MARGIN * across) :] = 0
    if frame[1] - rows[0] > _MAX_OVERHANG * down:
        limited[: round(max(frame[1] - _MARGIN * down, 0))] = 0
    if rows[-1] - frame[3] > _MAX_OVERHANG * down:
        limited[round(frame[3] + _MARGIN * down) :] = 0
    return limited


def _normalised(soft: Floats, inside: tuple[slice, slice]) -> Floats:
    """The saliency inside the box divided by its peak, 0 outside; all 0 where even the peak is noise."""
    faint = np.zeros_like(soft)
    peak = float(soft[inside].max())
    if peak >= _MIN_PEAK:
        faint[inside] = soft[inside] / peak
    return faint


def _scaled(corners: Corners, factor: float) -> Corners:
    x0, y0, x1, y1 = corners
    return (x0 * factor, y0 * factor, x1 * factor, y1 * factor)


def _clamped(corners: Corners, picture: Picture) -> Corners:
    """Whole pixels inside the picture, at least one of them."""
    left, top, right, bottom = cropping.pixel_window(picture, corners)
    return (float(left), float(top), float(right), float(bottom))


def _grown(box: Corners, components: Sequence[Corners]) -> Corners:
    """The box together with the salient components that lie mostly in it: a detector's box often cuts a strap."""
    joined = boxes.enclosing_box([box, *(other for other in components if boxes.containment(other, box) > 0.5)])
    return joined if boxes.area(joined) <= _MAX_GROWTH * boxes.area(box) else box


def _window(picture: Picture, frame: Corners, margin: float) -> tuple[int, int, int, int]:
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = frame
    across, down = (x1 - x0) * margin, (y1 - y0) * margin
    left, top = max(0, int(x0 - across)), max(0, int(y0 - down))
    return left, top, max(left + 1, min(width, int(x1 + across))), max(top + 1, min(height, int(y1 + down)))


def _exclude_other_detections(mask: SoftMask, frame: Corners, others: Sequence[Corners]) -> None:
    """Clear what lies in another detection's box and not in this one's."""
    x0, y0, x1, y1 = (round(side) for side in frame)
    for other in others:
        if boxes.iou(frame, other) > 0.5:
            continue
        left, top, right, bottom = (round(side) for side in other)
        mine = mask[max(y0, top) : max(0, min(y1, bottom)), max(x0, left) : max(0, min(x1, right))].copy()
        mask[top:bottom, left:right] = 0
        if mine.size:
            mask[max(y0, top) : min(y1, bottom), max(x0, left) : min(x1, right)] = mine
