"""Every setting, set to something else than its default, through a picture's infotext and back into the panel.

`table` is the page docs/infotext.md; `python -m tests.hosts.round_trip` (from the checkout's root, with pytest there)
writes it anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.errors import RequestError
from lib_prodshot.infotext import value_in
from lib_prodshot.request import WEBUI_BASE, Request, Setting, check, settings
from lib_prodshot.steps import registry
from tests.hosts.conftest import Double, noise_picture

PAGE = ROOT / "docs" / "infotext.md"

WRITE = "PRODSHOT_WRITE_PAGES"
"""Set in the environment, the test writes the page instead of comparing it."""

TEXTS = {
    "products": "hand bag, shoe: sneaker | trainer",
    "class_thresholds": "shoe: 0.25",
    "class_prompts": 'hand bag: a "red" [class], 7:30\nshoe: [class]',
    "scene_per_product": "shoe: [class] on wet asphalt, 7:30",
    "boxes": "shoe 30 20 90 60, 1 2 30 40",
    "remove": "text; 10 10 200 60; 70% 90% 100% 100%",
    "mask_edits": "add 12: 30 40, 35 44; erase 6: 80 20",
    "reference": "1200x900",
    "edit_references": "marble.jpg\nlogo.png",
    "ground_picture": "ground.png",
    "upscaler": "R-ESRGAN 4x+",
    "file_names": "{stem}-{n}-{marketplace}",
    "sampler": "DDIM",
    "scheduler": "Karras",
    "checkpoint": "tiny-sd15",
    "control_module": "none",
    "control_model": "control_v11p_sd15_canny",
}
"""Texts that mean something; other text settings get `ODD`, which tries the reader of infotexts."""

ODD = ("", " a, b ", '"quoted"', "512x768", "Prodshot prompt", "[class]: ä袋\\n", "plain")
"""Texts that a WebUI's reader drops, strips, unquotes or takes apart."""


def other_values(known: Setting, place: int) -> list[Any]:
    """Values of a setting that are not its default in a WebUI, in the schema's own types; `place` is where among all
    settings it stands, so that one text after another begins with the next odd one."""
    if known.kind == "flag":
        return [not known.default]
    if known.kind == "choice":
        return [choice for choice in known.choices if choice != known.default]
    if known.kind in ("number", "integer"):
        assert known.minimum is not None and known.maximum is not None and known.step is not None
        above = known.default + known.step
        return [above if above <= known.maximum else known.default - known.step]
    if known.name in TEXTS:
        return [TEXTS[known.name]]
    first = place % len(ODD)
    tried = (*ODD[first:], *ODD[:first], "ivory", known.example)
    texts = [text for text in tried if text != known.default and _is_accepted(known, text)]
    assert texts, f"give {known.name} a text in tests.hosts.round_trip.TEXTS"
    return texts


def _is_accepted(known: Setting, text: str) -> bool:
    """Whether a text may be given: some settings hold a small language."""
    try:
        check({known.name: text})
    except RequestError:
        return False
    return True


def rounds() -> list[dict[str, Any]]:
    """Whole requests of which none of the settings stands at its default, until each choice was tried."""
    table = settings(WEBUI_BASE)
    values = {known.name: other_values(known, place) for place, known in enumerate(table)}
    count = max(len(values[known.name]) for known in table if known.kind != "text")
    chosen = ({name: each[number % len(each)] for name, each in values.items()} for number in range(count))
    return [_fitting(each, values) for each in chosen]


def _fitting(chosen: dict[str, Any], values: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The request, where two of its settings do not go together with another value of one of them."""
    for _ in chosen:
        try:
            Request(**chosen)
        except RequestError as error:
            name = error.problems[0].field
            place = values[name].index(chosen[name]) + 1
            chosen = {**chosen, name: values[name][place % len(values[name])]}
        else:
            return chosen
    raise AssertionError("no values of the settings go together")


def _script(is_img2img: bool) -> Callable[[Double, dict[str, Any]], Any]:
    def run(webui: Double, chosen: dict[str, Any]) -> Any:
        values = {"init_images": [noise_picture()]} if is_img2img else {}
        return webui.run_script(*chosen.values(), is_img2img=is_img2img, **values)

    return run


def _accordion(is_img2img: bool, *enabled: bool) -> Callable[[Double, dict[str, Any]], Any]:
    def run(webui: Double, chosen: dict[str, Any]) -> Any:
        values = {"init_images": [noise_picture()]} if is_img2img else {}
        row = [*enabled, *chosen.values()] if enabled else [chosen]
        return webui.generate(is_img2img=is_img2img, accordion=row, **values)

    return run


def _script_name(webui: Double, chosen: dict[str, Any]) -> Any:
    webui.state.begin("api")
    p = webui.generation(is_img2img=True, init_images=[noise_picture()])
    p.is_api = True
    return webui.run_on(p, chosen)


ENTRY_POINTS: Mapping[str, Callable[[Double, dict[str, Any]], Any]] = {
    "script, txt2img": _script(False),
    "script, img2img": _script(True),
    "accordion, txt2img": _accordion(False, True),
    "accordion, img2img": _accordion(True, True),
    "`script_name`": _script_name,
    "`alwayson_scripts`": _accordion(False),
}


def pasted(webui: Double, processed: Any, folder: Path) -> dict[str, Any]:
    """What the panel's fields get from the picture, saved as PNG and read by the WebUI's PNG Info."""
    image = processed.images[0]
    webui.images.save_image(image, str(folder), "", info=processed.infotexts[0], forced_filename="picture")
    with Image.open(folder / "picture.png") as file:
        told = webui.infotext_utils.parse_generation_parameters(file.info["parameters"])
    return {known.name: value_in(told, known) for known in settings(WEBUI_BASE)}


class Plain:
    """An upscaler of the WebUI that repeats pixels."""

    def upscale(self, image: Image.Image, scale: int, path: str | None) -> Image.Image:
        return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def lost(webui: Double, entry_point: str, folder: Path) -> set[str]:
    """The settings that do not come back from a picture made at this entry point."""
    gone: set[str] = set()
    shared = import_module("modules.shared")
    shared.cmd_opts.prodshot_allow_dir = [str(folder)]
    shared.sd_upscalers[:] = [SimpleNamespace(name=TEXTS["upscaler"], scaler=Plain(), data_path=None)]
    noise_picture().save(folder / TEXTS["ground_picture"])
    for chosen in rounds():
        back = pasted(webui, ENTRY_POINTS[entry_point](webui, dict(chosen)), folder)
        gone |= {name for name, value in chosen.items() if back[name] != value}
    return gone


_HEAD = """# Settings in the infotext

Made by `python -m tests.hosts.round_trip`; a test compares. Each setting is given other values than its default at each
entry point, the picture is saved as PNG, its infotext read as PNG Info and the paste arrow read it, and the field's
value compared: "yes" where every value came back, texts with line ends, quotation marks, `512x768` and no letter at all
among them. What is not in the infotext stood at its default, and is put back to it.

A picture's infotext also tells, under keys that no setting can have: the verdict (`Prodshot`), what ran
(`Prodshot ran`), the audit (`Prodshot audit`) and notes (`Prodshot notes`)."""


def table(gone: Mapping[str, set[str]]) -> str:
    """The page: one row a setting, one column an entry point."""
    lines = [_HEAD, "", f"| setting | {' | '.join(gone)} |", f"|---|{'---|' * len(gone)}"]
    for group in registry.settings_by_step().values():
        for known in group:
            cells = ("no" if known.name in names else "yes" for names in gone.values())
            lines.append(f"| `{known.name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page."""
    os.environ[WRITE] = "1"
    return int(pytest.main(["-q", "-p", "no:cacheprovider", "tests/hosts/test_round_trip.py"]))


if __name__ == "__main__":
    sys.exit(main())
