"""Masks from boxes: U²-Net-p run again on each box, grown to the salient thing it belongs to.

Source: saliency as in Qin et al. (2020); where nothing in a box is salient, GrabCut (Rother et al., 2004) from the box.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.finding.interface import Box, Picture, SoftMask
from lib_prodshot.finding.lite import boxes, views
from lib_prodshot.finding.lite.boxes import Corners
from lib_prodshot.finding.lite.edges import follow_edges
from lib_prodshot.finding.lite.evidence import Eyes, salient_pieces
from lib_prodshot.finding.models.preprocessing import as_rgb

Floats = npt.NDArray[np.float32]

_LOOKS = ((0.15, False), (0.25, True))  # margin around the box, mirrored: the mean of two looks is steadier than one
_EDGE = 0.6
"""The network's edge is a little wide: its 0.6 lies where the seed author's masks have theirs (IoU of his four
pictures rises by .003 to .008 against 0.5), so it becomes the soft mask's middle."""

_MOST_GROWTH = 2.5  # times the box's area
_LEAST_COVER = 0.1  # of the box; below, nothing in it is salient
_GRABCUT_SIDE = 256


class LiteSegmenter:
    """Soft masks by salient-object detection inside each box; holes and thin straps stay as the network sees them."""

    name = "u2netp"

    def __init__(self, eyes: Eyes) -> None:
        self._eyes = eyes

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
        """One H×W soft mask for each box, in their order; never empty.

        Raises `FinderError` when the model fails.
        """
        picture = as_rgb(picture)
        work, factor = views.working_copy(picture)
        pieces = [_scaled(piece, 1 / factor) for piece in salient_pieces(self._eyes.saliency(work))]
        corners = [_clamped(box.corners, picture) for box in boxes]
        return [self._one(picture, box, pieces, [other for other in corners if other is not box]) for box in corners]

    def unload(self) -> None:
        """Give back the memory of all the lite finder's models."""
        self._eyes.unload()

    def _one(self, picture: Picture, box: Corners, pieces: Sequence[Corners], others: Sequence[Corners]) -> SoftMask:
        frame = _grown(box, pieces)
        soft, window = self._looks(picture, frame)
        mask = np.zeros(picture.shape[:2], np.uint8)
        left, top, right, bottom = window
        part = picture[top:bottom, left:right]
        mask[top:bottom, left:right] = follow_edges(_edge_to_middle(soft), part)
        _leave_to_others(mask, frame, others)
        x0, y0, x1, y1 = map(int, box)
        if (mask[y0:y1, x0:x1] > 127).mean() >= _LEAST_COVER:
            return mask
        return _grabcut(picture, box)

    def _looks(self, picture: Picture, frame: Corners) -> tuple[Floats, tuple[int, int, int, int]]:
        """The mean saliency of the looks at `frame`, over the window of the widest one (pixels, inside the picture)."""
        windows = [_window(picture, frame, margin) for margin, _ in _LOOKS]
        widest = windows[-1]
        height, width = widest[3] - widest[1], widest[2] - widest[0]
        factor = min(1.0, views.WORK_SIDE / max(height, width))
        total = np.zeros((max(1, round(height * factor)), max(1, round(width * factor))), np.float32)
        for (_, mirrored), (left, top, right, bottom) in zip(_LOOKS, windows, strict=True):
            part = picture[top:bottom, left:right]
            salience = self._eyes.saliency_within(views.mirrored(part) if mirrored else part)
            salience = salience[:, ::-1] if mirrored else salience
            x0, x1 = (round((side - widest[0]) * factor) for side in (left, right))
            y0, y1 = (round((side - widest[1]) * factor) for side in (top, bottom))
            x0, y0 = min(x0, total.shape[1] - 1), min(y0, total.shape[0] - 1)
            x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
            place = total[y0:y1, x0:x1]
            size = (place.shape[1], place.shape[0])
            place += np.asarray(cv2.resize(salience, size, interpolation=cv2.INTER_LINEAR), np.float32)
        return np.asarray(total / len(_LOOKS), np.float32), widest


def _edge_to_middle(salience: Floats) -> Floats:
    """Move the network's edge to 0.5, both sides linear."""
    low, high = salience / _EDGE / 2, 0.5 + (salience - _EDGE) / (1 - _EDGE) / 2
    return np.where(salience < _EDGE, low, high).astype(np.float32)


def _scaled(corners: Corners, factor: float) -> Corners:
    x0, y0, x1, y1 = corners
    return (x0 * factor, y0 * factor, x1 * factor, y1 * factor)


def _clamped(corners: Corners, picture: Picture) -> Corners:
    """Whole pixels inside the picture, at least one of them."""
    left, top, right, bottom = views.window(picture, corners)
    return (float(left), float(top), float(right), float(bottom))


def _grown(box: Corners, pieces: Sequence[Corners]) -> Corners:
    """The box together with the salient pieces that lie mostly in it: a detector's box often cuts a strap."""
    joined = boxes.union([box, *(piece for piece in pieces if boxes.inside(piece, box) > 0.5)])
    return joined if boxes.area(joined) <= _MOST_GROWTH * boxes.area(box) else box


def _window(picture: Picture, frame: Corners, margin: float) -> tuple[int, int, int, int]:
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = frame
    across, down = (x1 - x0) * margin, (y1 - y0) * margin
    left, top = max(0, int(x0 - across)), max(0, int(y0 - down))
    return left, top, max(left + 1, min(width, int(x1 + across))), max(top + 1, min(height, int(y1 + down)))


def _leave_to_others(mask: SoftMask, frame: Corners, others: Sequence[Corners]) -> None:
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


def _grabcut(picture: Picture, box: Corners) -> SoftMask:
    """A mask from the box's colours against its surroundings; the box itself where that finds nothing."""
    window = _window(picture, box, 0.25)
    left, top, right, bottom = window
    part = picture[top:bottom, left:right]
    factor = min(1.0, _GRABCUT_SIDE / max(part.shape[:2]))
    size = (max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor)))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    x0, y0, x1, y1 = (round((side - start) * factor) for side, start in zip(box, (left, top, left, top), strict=True))
    labels = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    labels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = cv2.GC_PR_FGD
    found = np.zeros(small.shape[:2], np.float32)
    if min(small.shape[:2]) >= 8 and (labels == cv2.GC_BGD).any():
        cv2.setRNGSeed(0)  # GrabCut draws its first clusters at random
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(small, labels, (0, 0, 0, 0), *models, 4, cv2.GC_INIT_WITH_MASK)
        found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
    mask = np.zeros(picture.shape[:2], np.uint8)
    if found.sum() < _LEAST_COVER * (x1 - x0) * (y1 - y0) or not found.any():
        mask[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 255
        return mask
    mask[top:bottom, left:right] = follow_edges(found, part)
    return mask
