"""Paste-back: what an infotext says of Prodshot stands in every field again, and nowhere else."""

from __future__ import annotations

import json
import random
import string
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from lib_prodshot.hosts.generation.results import outcome_parameters, request_parameters
from lib_prodshot.infotext import value_in
from lib_prodshot.outcome import Outcome, Verdict
from lib_prodshot.request import WEBUI_BASE, Request, settings
from lib_prodshot.webui.panel.infotext import Pasted, is_enabled
from lib_prodshot.webui.service import Seen
from tests.api.local_host import LocalHost
from tests.double.modules.infotext_utils import parse_generation_parameters, quote
from tests.panel.drawing import draw_bare

TABLE = settings(WEBUI_BASE)


def infotext(request: Request, **more: Any) -> str:
    verdict = outcome_parameters(Outcome(Verdict("skipped", "no car, found: none"), ("car",), "lite"), ())
    parameters = {"Steps": 20, "Sampler": "Euler", **more, **verdict, **request_parameters(request)}
    return "a prompt\n" + ", ".join(f"{key}: {quote(value)}" for key, value in parameters.items())


def pasted(text: str) -> dict[str, Any]:
    parameters = parse_generation_parameters(text)
    return {known.name: value_in(parameters, known) for known in TABLE}


LANGUAGES = {
    "class_thresholds": "shoe: 0.25",
    "class_prompts": 'shoe: a [class], "new"',
    "scene_per_product": 'shoe: a [class] on "wet" asphalt, 7:30',
    "boxes": "shoe 30 20 90 60, 1 2 30 40",
    "remove": "text; 10 10 200 60; 70% 90% 100% 100%",
    "edit_references": "marble.jpg\nlogo, 7:30.png",
    "mask_edits": "of 0123abcd; add 12: 30 40, 35 44; erase 6: 80 20; include: 3 4",
}
"""Texts of settings that hold a small language."""


def anything(known: Any, chance: random.Random) -> Any:
    if known.kind == "flag":
        return chance.random() < 0.5
    if known.kind == "choice":
        return chance.choice(known.choices)
    if known.kind == "integer":
        return chance.randint(int(known.minimum), int(known.maximum))
    if known.kind == "number":
        return round(chance.uniform(known.minimum, known.maximum), 4)
    if known.name == "products":
        return "hand bag, shoe: sneaker | trainer"
    if known.name.endswith("_colour"):
        return f"#{chance.randrange(2**24):06x}"
    if known.name in LANGUAGES:
        return LANGUAGES[known.name]
    packshot = {
        "size": "1801x2600",
        "reference": "1200x900",
        "marketplace": "amazon, zalando",
        "file_names": "{stem} {n}, {marketplace}",
    }
    if known.name in packshot:
        return packshot[known.name]
    return "".join(chance.choice(string.ascii_letters + ' ,:"\\()<>[]äß袋') for _ in range(20)).strip()


@pytest.mark.parametrize("seed", range(20))
def test_every_field_comes_back(seed: int) -> None:
    chance = random.Random(seed)
    chosen = {known.name: anything(known, chance) for known in TABLE}
    ends = ("control_guidance_start", "control_guidance_end")
    chosen |= dict(zip(ends, sorted(chosen[end] for end in ends)))
    chosen["format"] = "png"  # jpeg and a transparent ground exclude each other
    request = Request(**chosen)
    assert Request(**pasted(infotext(request))) == request


def test_fields_left_out_go_back_to_their_defaults() -> None:
    assert Request(**pasted(infotext(Request(products="car", **WEBUI_BASE)))) == Request(products="car", **WEBUI_BASE)


def test_other_infotexts_change_nothing() -> None:
    assert set(pasted("a prompt\nSteps: 20, Sampler: Euler").values()) == {None}
    assert is_enabled({"Steps": "20"}) is None


def test_spoilt_values_change_nothing() -> None:
    values = pasted(
        "a\nProdshot: found, Prodshot padding: lots, Prodshot engine: magic, Prodshot feather: 9999, Steps: 1"
    )
    assert values["padding"] is None and values["engine"] is None and values["feather"] is None


def test_the_accordion_is_switched_on_only_by_its_own_pictures() -> None:
    request = Request(products="car")
    assert is_enabled(parse_generation_parameters(infotext(request))) is True
    assert is_enabled(parse_generation_parameters(infotext(request, Script="Prodshot"))) is False
    assert is_enabled(parse_generation_parameters(infotext(request, Script="X/Y/Z plot"))) is True


def test_keys_are_both_strings_and_callables() -> None:
    key = Pasted(TABLE[0])
    assert key == TABLE[0].infotext and key in [TABLE[0].infotext] and callable(key)
    assert key({"Prodshot": "found", TABLE[0].infotext: "car"})["value"] == "car"
    assert key({}) is None


def test_the_panel_hands_out_one_field_for_each_setting(host: LocalHost) -> None:
    panel = draw_bare(with_enabled=True)
    assert [component for component, _ in panel.infotext_fields] == panel.components
    assert panel.paste_field_names == [known.infotext for known in TABLE]
    assert all(callable(key) for _, key in panel.infotext_fields)


def test_the_routes_write_what_the_panel_reads() -> None:
    request = Request(products="hand bag, shoe", feather=2.5, **WEBUI_BASE)
    text = Seen(Outcome(Verdict("skipped", "no hand bag"), ("hand bag",), "lite")).infotext(request)
    assert Request(**pasted(text)) == request
    assert json.dumps("hand bag, shoe") in text
