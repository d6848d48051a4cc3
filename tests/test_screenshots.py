"""The pictures of docs/images keep the page's own colours, whatever photograph stands on the page."""

from __future__ import annotations

import numpy as np
from PIL import Image
from skimage import data

from docs.make_screenshots import in_few_colours


def test_the_pages_grounds_and_lines_keep_their_colours_beside_a_photograph() -> None:
    shown = np.full((200, 160, 3), 255, dtype=np.uint8)
    shown[10:110, 5:155] = data.coffee()[::4, ::4]
    shown[120:122], shown[160:] = (229, 231, 235), (252, 252, 252)
    kept = in_few_colours(Image.fromarray(shown))
    assert kept.mode == "P"
    made = np.asarray(kept.convert("RGB"))
    page = np.ones(shown.shape[:2], dtype=bool)
    page[10:110, 5:155] = False
    assert np.array_equal(made[page], shown[page])
    assert np.abs(made.astype(int) - shown).mean() < 4
