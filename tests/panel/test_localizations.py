"""The localisation files: of what we show and no other text of the WebUI, whole, and in step with the schema."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from lib_prodshot import weights
from lib_prodshot.bootstrap import ROOT
from lib_prodshot.training.recipe.recipe import SETTINGS
from lib_prodshot.webui import options, tabs
from lib_prodshot.webui.jobs import box as job_box
from lib_prodshot.webui.panel import finder_state, preview, result_card
from lib_prodshot.webui.training import boxes as training_boxes
from lib_prodshot.webui.training import form as training_form
from lib_prodshot.webui.training import view as training_view
from tests.api.local_host import LocalHost
from tests.panel.drawing import draw_page

pytestmark = pytest.mark.any_host

FILES = sorted((ROOT / "localizations").glob("*.json"))

OF_THE_HOST = {
    *("Steps", "CFG scale", "Sampler", "Scheduler", "Seed", "Checkpoint", "Negative prompt", "Denoising strength"),
    *(
        "Masked content",
        "ControlNet",
        "Preprocessor",
        "Control weight",
        "Pixel perfect",
        "Output",
        "Name",
        "Load",
        "Save",
    ),
    *("Delete", "Apply", "Fetch", "Refresh", "Prodshot", "Enable Prodshot", "Start", "Stop"),
}
"""Words that the WebUI, ControlNet or their own language packs translate, and what is never shown as it stands."""


OF_SD_SCRIPTS = {
    training_form.elem_id(known.name)
    for known in SETTINGS
    if known.name not in training_form._OPEN and known.label == known.name.replace("_", " ").capitalize()
}
"""Fields under "All settings" that have sd-scripts' own names, so that its documentation holds for them."""


def shown(host: LocalHost) -> set[str]:
    """Every text of the panel, of our tabs and of the settings page. Choices stay as they are: they are the API's own
    words."""
    page, _ = draw_page()
    texts = set()
    blocks = [*page.blocks.values(), *(block for drawn, _, _ in tabs.draw_tabs() for block in drawn.blocks.values())]
    for block in blocks:
        names = ("label", "info", "value") if type(block).__name__ == "Button" else ("label", "info")
        if getattr(block, "elem_id", None) in OF_SD_SCRIPTS:
            names = ("info",)
        texts |= {text for name in names if isinstance(text := getattr(block, name, None), str) and text.strip()}
    for info in options._options(Option).values():
        texts |= {info.label, *info.texts}
    return (texts | said_by_the_panel(host)) - OF_THE_HOST


def said_by_the_panel(host: LocalHost) -> set[str]:
    """What our script writes beside fields, and the sentences about finders and checkpoints."""
    notes = (ROOT / "javascript" / "prodshot_notes.js").read_text(encoding="utf-8")
    said = re.findall(r'"([^"]+)"', notes.partition("const TEXTS = {")[2].partition("};")[0])
    known = " ".join(("The lite finder is ready.", finder_state._KNOWS))
    sizes = {name: sum(entry.size for entry in weights.select([name])) for name in finder_state.LABELS}
    buttons = {finder_state.Offer(name, size).label for name, size in sizes.items()}
    none = f"There is no finder here yet. {finder_state._KNOWS}"
    newer = ("MM-Grounding-DINO", "SAM 2", "HQ-SAM")  # the first only with a transformers that builds it rightly
    own = {finder_state.own_models_sentence(titles) for titles in (newer, newer[1:])}
    why = "Retouch to begin with: this WebUI has no checkpoint yet."
    cards = (*preview.TEXTS, *result_card.TEXTS)
    headings = re.findall(r"<th>(.*?)</th>", (Path(training_view.__file__).parent / "view.html").read_text("utf-8"))
    states = {*training_boxes.TEXTS, *job_box.STATES.values(), *job_box.STOPPING, *headings}
    return {*cards, *said, *states, *buttons, *own, known, none, why, "The lite finder is ready.", "LangSAM is ready."}


class Option(SimpleNamespace):
    """The WebUI's OptionInfo, as far as its texts go."""

    def __init__(self, default: Any, label: str, *_: Any, **__: Any) -> None:
        super().__init__(label=label, texts=[])

    def info(self, text: str) -> Option:
        self.texts.append(f"({text})")
        return self

    def needs_reload_ui(self) -> Option:
        return self


def read(path: Path) -> dict[str, str]:
    def without_doubles(pairs: list[tuple[str, str]]) -> dict[str, str]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=without_doubles)


def test_there_are_some() -> None:
    assert {path.stem for path in FILES} >= {"de_DE", "es_ES", "fr_FR", "ja_JP", "zh_CN"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_stale_and_nothing_missing(host: LocalHost, path: Path) -> None:
    texts, translated = shown(host), read(path)
    assert not sorted(translated.keys() - texts), "texts that the panel no longer shows"
    assert not sorted(texts - translated.keys()), "texts without a translation"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_must_not_be_translated_is_kept(path: Path) -> None:
    for text, translation in read(path).items():
        assert translation.strip() == translation and translation
        quoted = set(re.findall(r"\[\w+\]|(?<= )'\w+[:,] [^']+'|control_v11f1p_sd15_depth|ΔE2000|/prodshot/v1", text))
        assert all(part in translation for part in quoted), (text, translation)
