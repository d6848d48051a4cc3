"""The product's silhouette as the finder sees it, in the input and in what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from lib_prodshot.finding.interface import Box, Picture, SoftMask
    from lib_prodshot.masks import Mask
    from lib_prodshot.packshot.placement import Placement
    from lib_prodshot.steps.interface import State

_Item = TypeVar("_Item")


def of_input(state: State) -> Mask:
    """The silhouette in the input (H×W, 0 or 255), as the finder saw it; with points of the user's it is segmented anew
    without them, for the result is, too. Raises `FinderError`."""
    assert state.findings is not None and state.built is not None
    if state.edits.prompts:
        return in_picture(state, state.loaded.seen(), boxes(state))
    return _joined(state, [find.soft_mask for find in _chosen(state, state.findings.finds)])


def in_picture(state: State, picture: Picture, places: Sequence[Box | None]) -> Mask:
    """The silhouette in another picture (H×W×3, as a viewer shows it), by the same finder; `places` are the boxes of
    all finds there, None for those that are not to be seen. Raises `FinderError`."""
    import numpy as np

    asked = [box for box in places if box is not None]
    found = state.finder.segment(picture, asked, state.request.classes) if asked else None
    masks = {find.box: find.soft_mask for find in found.finds} if found else {}
    # a box that the finder left out shows nothing
    empty = np.zeros(picture.shape[:2], np.uint8)
    return _joined(state, [masks.get(box, empty) if box else empty for box in _chosen(state, places)])


def boxes(state: State) -> list[Box]:
    """The boxes of all finds in the picture."""
    assert state.findings is not None
    return [find.box for find in state.findings.finds]


def boxes_in_frame(state: State, placement: Placement) -> list[Box | None]:
    """The boxes of all finds where a placement puts them in the frame of a packshot; None for those that it leaves out,
    and for those that the packshot does not show."""
    assert state.built is not None
    found = boxes(state)
    placed: list[Box | None] = [None] * len(found)
    for number in state.built.chosen:
        corners = placement.placed_box(found[number].corners)
        placed[number] = replace(found[number], corners=corners) if corners else None
    return placed


def in_frame(mask: Mask, placement: Placement) -> Mask:
    """A mask of the picture (H×W, 0 or 255) in the frame of a packshot."""
    import cv2
    import numpy as np

    scale, (x, y) = placement.total_scale, placement.origin
    # from the middles of pixels to the middles of pixels
    half = (scale - 1) / 2
    move = np.array(
        [[scale, 0, placement.left - x * scale + half], [0, scale, placement.top - y * scale + half]], np.float64
    )
    moved = cv2.warpAffine(mask, move, (placement.width, placement.height), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.threshold(moved, 127, 255, cv2.THRESH_BINARY, dst=moved)[1], np.uint8)


def _chosen(state: State, items: Sequence[_Item]) -> list[_Item]:
    assert state.built is not None
    return [items[number] for number in state.built.chosen]


def _joined(state: State, soft_masks: Sequence[SoftMask]) -> Mask:
    """Soft masks as one mask, by the request's threshold and without specks."""
    from lib_prodshot import masks

    request = state.request.mask
    pieces = [masks.threshold(soft, request.mask_threshold) for soft in soft_masks]
    kept = [masks.drop_specks(piece, request.drop_specks) if piece.any() else piece for piece in pieces]
    return masks.union(kept)
