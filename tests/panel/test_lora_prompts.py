"""The panel's offer of published LoRAs: theirs alone, and their prompt for every product that is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from lib_prodshot.products import parse_prompts
from lib_prodshot.training.publishing.prompts import NOTES_PREFIX, published_prompts
from lib_prodshot.webui.panel import lora_prompts
from tests.api.local_host import LocalHost
from tests.panel.drawing import draw_page, elem_id

PROMPT = (
    "ppzocketv2, [class], stylish, studio photography, product photography, ultra realistic, <lora:ppzocketv2-10:0.8>"
)


@pytest.fixture
def published(host: LocalHost) -> LocalHost:
    folder = host.trains.lora_folder()
    folder.mkdir(parents=True)
    told = {
        "activation text": "ppzocketv2",
        "preferred weight": 0.8,
        "notes": f"{NOTES_PREFIX} 0.1.0 (sd-scripts) on x",
    }
    for name, text in (
        ("ppzocketv2-10", json.dumps(told)),
        ("gone", json.dumps(told)),
        ("another", json.dumps({**told, "notes": "mine"})),
        ("odd", "[]"),
        ("torn", "{"),
    ):
        (folder / f"{name}.json").write_text(text)
        if name != "gone":
            (folder / f"{name}.safetensors").write_bytes(b"")
    return host


def test_only_what_prodshot_published_is_offered(published: LocalHost) -> None:
    assert published_prompts(published.trains.lora_folder()) == {"ppzocketv2-10": PROMPT}
    page, _ = draw_page()
    box = next(block for block in page.blocks.values() if block.elem_id == elem_id("img2img")("lora"))
    assert [choice[1] if isinstance(choice, tuple) else choice for choice in box.choices] == ["", "ppzocketv2-10"]
    assert box.do_not_save_to_config


def test_its_prompt_goes_to_every_product_that_is_named(published: LocalHost) -> None:
    said, update = lora_prompts.use("ppzocketv2-10", "Hand bag, shoe: sneaker", "hand bag: old\ncar: a red car")
    assert "ppzocketv2-10 is in the prompts of Hand bag, shoe" in said
    assert parse_prompts(update["value"]) == {"car": "a red car", "hand bag": PROMPT, "shoe": PROMPT}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("", "shoe", ""), "Choose a LoRA"),
        (("another", "shoe", ""), "Choose a LoRA"),
        (("ppzocketv2-10", "", ""), "no product is named"),
        (("ppzocketv2-10", "shoe", "nonsense"), "is not &#x27;product: prompt&#x27;"),
    ],
)
def test_what_is_wrong_is_said(published: LocalHost, given: tuple[str, str, str], said: str) -> None:
    message, update = lora_prompts.use(*given)
    assert said in message and "prodshot-said-error" in message and not _changes(update)


def _changes(update: Any) -> bool:
    return "value" in update
