"""What a user does on the panel's page of `page_server.py`, and what is looked at there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.corrections import Stroke
from lib_prodshot.masks import draw_stroke

S = "#script_img2img_prodshot_"
"""How the ids of img2img's script begin."""

LEFT, RIGHT, FAINT = (30, 20, 90, 60), (96, 8, 120, 32), (0, 64, 24, 80)
"""The boxes of the page's finder in a picture of 120×80."""


def saved(path: Path, samples: np.ndarray) -> Path:
    Image.fromarray(samples).save(path)
    return path


NEW = ".prodshot-preview:not(.the-last)"
"""The preview that came after the last `find` began."""


def find(page: Any, products: str = "handbag") -> None:
    page.evaluate("all => document.querySelectorAll(all).forEach(one => one.classList.add('the-last'))", f"{S}result *")
    page.fill(f"{S}products textarea", products)
    page.click(f"{S}find")
    page.wait_for_selector(f"{S}result :is({NEW}, .prodshot-said-error)", timeout=60_000)


def find_card(page: Any) -> None:
    """Press Find until the card is there: on a slow machine a picture is seen before the server has it."""
    for _ in range(5):
        find(page)
        if page.locator(f"{S}result {NEW}").count():
            return
        page.wait_for_timeout(1000)
    pytest.fail(page.inner_text(f"{S}result"))


def advanced(page: Any, tab: str = "Find") -> None:
    unfold(page, f"{S}advanced")
    page.locator(f"{S}tabs button", has_text=tab).first.click()


def unfold(page: Any, selector: str) -> None:
    """Open what is folded away."""
    closed = page.locator(f"{selector} > .label-wrap:not(.open)")
    if closed.count():
        closed.click()


def cut_off(page: Any) -> list[str]:
    """What of the panel is seen and reaches out of it to the left or the right."""
    return page.evaluate(
        """panel => { const own = document.querySelector(panel), frame = own.getBoundingClientRect();
        return [...own.querySelectorAll('*')].filter(one => one.offsetParent && !one.closest('.prodshot-canvas'))
        .filter(one => { const box = one.getBoundingClientRect();
        return box.width && (box.left < frame.left - 2 || box.right > frame.right + 2); })
        .map(one => `${one.tagName} ${one.className}`); }""",
        f"{S}panel",
    )


def least_gap(page: Any) -> float:
    """Pixels between a choice and its words, wherever they stand closest to each other."""
    return page.evaluate(
        """panel => { const own = document.querySelector(panel), gaps = [];
        for (const input of own.querySelectorAll('label > :is([type=radio], [type=checkbox])')) {
            const words = input.nextElementSibling;
            if (!words || !input.offsetParent) continue;
            const text = document.createRange(); text.selectNodeContents(words);
            const [a, b] = [input, text].map(part => part.getBoundingClientRect());
            gaps.push(Math.max(a.left - b.right, b.left - a.right)); }
        return Math.min(...gaps); }""",
        f"{S}panel",
    )


def masked(*boxes: tuple[int, int, int, int], strokes: tuple[Stroke, ...] = ()) -> np.ndarray:
    mask = np.zeros((80, 120), np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 255
    for stroke in strokes:
        draw_stroke(mask, stroke)
    return mask


def take_away(page: Any) -> None:
    """Take img2img's picture away."""
    page.locator("#img2img_image button[aria-label='Clear'], #img2img_image button[aria-label='Remove Image']").click()


def give(page: Any, picture: Path) -> None:
    """Give img2img a picture, in place of the one that it may have."""
    if page.locator("#img2img_image img").count():
        take_away(page)
    page.set_input_files("#img2img_image input[type=file]", str(picture))
    page.wait_for_selector("#img2img_image img")


class Card:
    """Find's card of img2img's picture, and what a generation then makes of it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.find()

    def find(self) -> None:
        find_card(self.page)
        self.page.wait_for_selector(f"{S}result {NEW}[data-ready]", timeout=10_000)
        self.part = self.page.locator(f"{S}result .prodshot-preview")

    def take(self, number: int) -> None:
        self.part.locator(f"tr[data-row='{number}'] .prodshot-take").click()

    def tool(self, kind: str) -> None:
        self.part.locator(f".prodshot-kinds input[value={kind}]").check()
        if kind in ("add", "erase"):
            self.page.wait_for_selector(f"{S}result canvas.prodshot-mask", state="attached")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the picture is on the page."""
        frame = self.part.locator(".prodshot-canvas").bounding_box()
        scale = min(frame["width"] / 120, frame["height"] / 80)
        left, top = (frame["width"] - 120 * scale) / 2, (frame["height"] - 80 * scale) / 2
        return frame["x"] + left + (x + 0.5) * scale, frame["y"] + top + (y + 0.5) * scale

    def draw(self, *points: tuple[int, int]) -> None:
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=4)
        mouse.up()

    def setting(self, name: str) -> str:
        return str(self.page.locator(f"{S}{name}").locator("textarea, input").first.input_value())

    def generated(self) -> list[Any]:
        """Verdict, notes and mask of a generation."""
        self.page.wait_for_timeout(300)
        self.page.evaluate("() => { document.querySelector('#generated textarea, #generated input').value = ''; }")
        self.page.locator("#img2img_generate").click()
        self.page.wait_for_function(
            "() => document.querySelector('#generated textarea, #generated input').value", timeout=30_000
        )
        return json.loads(self.page.locator("#generated").locator("textarea, input").first.input_value())

    def assert_mask(self, expected: np.ndarray) -> None:
        assert self.generated()[2] == hashlib.sha256(expected.tobytes()).hexdigest()

    def drawn(self) -> np.ndarray:
        """The mask that the page saves."""
        with self.page.expect_download() as download:
            self.part.locator(".prodshot-save").click()
        return np.asarray(Image.open(download.value.path()).convert("L"))
