"""The windows of a feature map, some at a time, as the numbers of their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Part:
    """Some windows of a feature map.

    `windows` are their numbers, row by row (None: none of them is masked), `tokens` those of the map's tokens in them,
    and `places` where among the windows' `size` places each token is (None: they fill them).
    """

    windows: slice | Tensor | None
    size: int
    tokens: Tensor
    places: Tensor | None


@lru_cache(maxsize=32)
def parts_of(height: int, width: int, window: int, shift: int, at_once: int, device: torch.device) -> list[Part]:
    """The windows of a height × width feature map, padded below and right, then rolled up and left by `shift`.

    Padding, and what shifted windows must not see of each other, is in the last row and column of windows only. On a
    CPU those are parts of their own, for they are copied more often; on a GPU fewer parts are quicker.
    """
    down, across = -(-height // window), -(-width // window)
    numbers = torch.full((down * window, across * window), -1)
    numbers[:height, :width] = torch.arange(height * width).view(height, width)
    rolled = numbers.roll((-shift, -shift), (0, 1)).view(down, window, across, window)
    windows = rolled.transpose(1, 2).reshape(-1, window * window)
    if device.type != "cpu":
        return [
            _part(windows[first : first + at_once], slice(first, first + at_once), device)
            for first in range(0, len(windows), at_once)
        ]
    special = (windows < 0).any(1).view(down, across)
    if shift:
        special[-1], special[:, -1] = True, True
    parts = []
    for kind in (False, True):
        numbered = (special.flatten() == kind).nonzero().flatten()
        for first in range(0, len(numbered), at_once):
            some = numbered[first : first + at_once]
            parts.append(_part(windows[some], some if kind else None, device))
    return parts


def _part(windows: Tensor, chosen: slice | Tensor | None, device: torch.device) -> Part:
    flat = windows.flatten()
    places = (flat >= 0).nonzero().flatten()
    filled = len(places) == len(flat)
    return Part(chosen, len(flat), flat[places].to(device), None if filled else places.to(device))
