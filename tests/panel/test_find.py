"""Find without the page around it: what its handlers answer, the state line, and the fetch in the background."""

from __future__ import annotations

import base64
import io
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
from PIL import Image

from lib_prodshot import weights
from lib_prodshot.downloads import megabytes
from lib_prodshot.errors import WeightsError
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Backend
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.request import WEBUI_BASE, Request
from lib_prodshot.webui import service
from lib_prodshot.webui.panel import find_box, finder_line, finder_state
from lib_prodshot.webui.panel.finder_state import Fetching, state_of
from tests.api.local_host import LocalHost
from tests.api.tools import as_code, as_file, dark, noise


def values(**changed: Any) -> list[Any]:
    return list(Request(**{**WEBUI_BASE, **changed}).to_dict().values())


def find(samples: np.ndarray | None, given: str = "", **changed: Any) -> str:
    picture = None if samples is None else Image.fromarray(samples)
    shown, *_ = find_box.find(picture, given, *values(**{"products": "handbag", **changed}))
    return shown


def test_found(host: LocalHost) -> None:
    shown = find(noise(0, (80, 120)))
    assert "prodshot-is-found" in shown and "handbag 0.80" in shown
    assert "<rect x='30' y='20' width='60' height='40'/>" in shown
    assert "25.0%" in shown and "120×80 pixels" in shown
    assert shown.count("data:image/") == 3, "picture, mask, and the mask of the one detection"
    assert host.jobs == ["Prodshot: find"]


def test_the_mask_layer_is_the_feathered_mask(host: LocalHost) -> None:
    shown = find(noise(0, (80, 120)), feather=0.0)
    code = re.search(r"class='prodshot-mask' src='data:image/png;base64,([^']+)'", shown)
    assert code
    tint = Image.open(io.BytesIO(base64.b64decode(code[1]))).convert("RGBA")
    assert tint.size == (120, 80)
    opacity = np.asarray(tint)[..., 3]
    assert opacity[40, 60] == round(255 * 0.55) and opacity[5, 5] == 0
    assert tuple(np.asarray(tint)[40, 60, :3]) == (255, 0, 144)


def test_absent(host: LocalHost) -> None:
    shown = find(dark((80, 120)))
    assert "prodshot-is-skipped" in shown and "best score 0.07" in shown
    assert "<svg" not in shown and "type='checkbox'" not in shown


def test_the_tabs_own_picture_is_taken_when_none_is_uploaded(host: LocalHost) -> None:
    code = "data:image/png;base64," + as_code(as_file(noise(0, (80, 120))))
    assert "handbag 0.80" in find(None, code)


def test_an_uploaded_picture_with_alpha_is_seen_over_white(host: LocalHost) -> None:
    host.finder.detector.darkest = 250  # type: ignore[attr-defined]
    clear = np.zeros((40, 40, 4), np.uint8)
    assert "prodshot-is-" in find(clear)


@pytest.mark.parametrize(
    ("given", "words"),
    [("", "no picture to look at"), ("data:image/png;base64,!!", "not a picture"), ("http://x/y.png", "not a picture")],
)
def test_no_picture(host: LocalHost, given: str, words: str) -> None:
    shown = find(None, given)
    assert "prodshot-said-error" in shown
    assert words in shown or "picture" in shown


def test_no_products(host: LocalHost) -> None:
    assert "prodshot-said-error" in find(noise(), products="")


def test_candidates_are_listed_but_not_taken(host: LocalHost) -> None:
    shown = find(noise(0, (80, 120)), box_threshold=0.9)
    assert "prodshot-is-skipped" in shown and "data-score='0.8'" in shown
    assert "class='prodshot-left'" in shown and "aria-label='handbag 0.80'>" in shown
    taken = find(noise(0, (80, 120)), box_threshold=0.9, boxes="handbag 30 20 90 60")
    assert "prodshot-is-found" in taken and "aria-label='handbag 0.80' checked>" in taken


def test_each_detection_brings_its_own_mask(host: LocalHost) -> None:
    shown = find(noise(0, (80, 120)), grow=3)
    place = re.search(r"data-left='(\d+)' data-top='(\d+)' data-mask='data:image/png;base64,([^']+)'", shown)
    assert place
    piece = np.asarray(Image.open(io.BytesIO(base64.b64decode(place[3]))).convert("L"))
    whole = np.zeros((80, 120), np.uint8)
    whole[int(place[2]) :, int(place[1]) :][: piece.shape[0], : piece.shape[1]] = piece
    outcome = service.detect(LoadedPicture.from_rgb(noise(0, (80, 120))), Request(products="handbag", grow=3)).outcome
    assert np.array_equal(whole, outcome.mask)


def test_a_picture_is_sent_once(host: LocalHost) -> None:
    shown = find(None, "data:image/png;base64," + as_code(as_file(noise(0, (80, 120)))))
    told = re.search(r"data-picture='([0-9a-f]{8})'", shown)
    assert told
    assert f"data-picture='{told[1]}'" in find(None, f"{find_box.SEEN}{told[1]}", mask_edits="erase 9: 60 40")
    assert "press Find again" in find(None, f"{find_box.SEEN}00000000")


def test_names_are_text_and_never_markup(host: LocalHost) -> None:
    shown = find(noise(), products="<img src=x onerror=alert(1)>")
    assert "<img src=x" not in shown and "&lt;img src=x onerror=alert(1)&gt;" in shown


def test_an_unforeseen_error_is_said(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("lib_prodshot.pipeline.run", broken)
    shown = find(noise())
    assert "prodshot-is-failed" in shown and "console" in shown and "secret" not in shown


def test_an_unforeseen_error_of_the_webui_is_said(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(type(host), "job", broken)
    shown = find(noise())
    assert "prodshot-said-error" in shown and "console" in shown and "secret" not in shown


def test_large_pictures_are_shown_small(host: LocalHost) -> None:
    shown = find(noise(0, (1500, 3000)))
    assert "viewBox='0 0 3000 1500'" in shown
    assert len(shown) < 2_000_000


# --- the state line -------------------------------------------------------------------------------------------------


def backends(langsam: tuple[str, ...], lite: tuple[str, ...]) -> tuple[Backend, ...]:
    return (
        Backend("langsam", lambda _: langsam, lambda _: None),  # type: ignore[arg-type,return-value]
        Backend("lite", lambda _: lite, lambda _: None),  # type: ignore[arg-type,return-value]
    )


class PresetStore:
    """What weights are there, and a fetch that the test lets go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.present: set[str] = set()
        self.gate = threading.Event()
        self.halfway = threading.Event()
        self.error: Exception | None = None
        monkeypatch.setattr(weights, "look_for", self.look_for)
        monkeypatch.setattr(weights, "fetch", self.fetch)
        self.fetching = Fetching()
        for module in (finder_state, finder_line):
            monkeypatch.setattr(module, "FETCHING", self.fetching)

    def look_for(self, entry: Any, *_: Any, **__: Any) -> weights.Search:
        return weights.Search(Path(entry.file) if entry.name in self.present else None)

    def fetch(self, entry: Any, _folder: Any, report: Any) -> Path:
        if self.error:
            raise self.error
        report(entry.size // 2, entry.size)
        self.halfway.set()
        self.gate.wait(10)
        report(entry.size, entry.size)
        self.present.add(entry.name)
        return Path(entry.file)


@pytest.fixture
def shelf(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> PresetStore:
    return PresetStore(monkeypatch)


SIZES = {name: sum(entry.size for entry in weights.select([name])) for name in ("lite", "langsam")}
NONE = backends(("LangSAM wants: pip install it",), ("lite wants: pip install it",))


def labels(finder: str) -> dict[str, str]:
    """The words of the buttons that are shown."""
    _, *updates = finder_line.show_state(finder)
    names = ("lite", "langsam", "stop")
    return {name: update.get("value", "") for name, update in zip(names, updates) if update["visible"]}


def test_ready(host: LocalHost, shelf: PresetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "backends", lambda: backends((), ()))
    shelf.present = {entry.name for entry in weights.catalogue()}
    assert state_of("auto") == finder_state.FinderState("ready", "LangSAM is ready.")
    assert labels("auto") == {}


def test_a_new_owner_is_offered_the_small_finder_first(
    host: LocalHost, shelf: PresetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "backends", lambda: NONE)
    line, lite, langsam, stop = finder_line.show_state("auto")
    assert "There is no finder here yet." in line and "pip" not in line and "prodshot weights" not in line
    assert lite["value"] == f"Get the lite finder ({megabytes(SIZES['lite'])})" and lite["variant"] == "primary"
    assert langsam["value"] == f"Get LangSAM ({megabytes(SIZES['langsam'])})" and langsam["variant"] == "secondary"
    assert stop["visible"] is False and not shelf.fetching.is_running()


def test_with_the_lite_finder_the_other_is_an_offer(host: LocalHost, shelf: PresetStore) -> None:
    state = state_of("auto")
    assert state.level == "ready" and state.text.startswith("The lite finder is ready.")
    assert list(labels("auto")) == ["langsam"]


def test_models_of_the_users_own_are_named_beside_what_can_be_fetched(
    host: LocalHost, shelf: PresetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a half that one of them does is not fetched again."""
    langsam, lite = NONE
    brought = replace(langsam, to_fetch=lambda _: ["sam-vit-b", "bert-vocab"], own_models=lambda: ["A", "B", "C"])
    monkeypatch.setattr(registry, "backends", lambda: (brought, lite))
    line, *_ = finder_line.show_state("auto")
    assert "<div>A file of your own serves as well: A, B or C, see docs/finders.md.</div>" in line
    assert labels("langsam") == {"langsam": f"Get LangSAM ({megabytes(375_042_383 + 231_508)})"}
    monkeypatch.setattr(registry, "backends", lambda: NONE)
    assert "of your own" not in finder_line.show_state("auto")[0]


def test_asked_for_by_name(host: LocalHost, shelf: PresetStore) -> None:
    assert state_of("lite").level == "ready" and labels("lite") == {}
    assert state_of("langsam").text == "LangSAM is not here yet." and list(labels("langsam")) == ["langsam"]


def test_a_package_is_missing(host: LocalHost, shelf: PresetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "backends", lambda: NONE)
    shelf.present = {entry.name for entry in weights.catalogue()}
    state = state_of("auto")
    assert state.level == "missing" and "a restart of the WebUI installs them" in state.text and "pip" not in state.text
    assert labels("auto") == {}


def test_fetching_shows_progress_and_ends(host: LocalHost, shelf: PresetStore) -> None:
    finder_line.fetch("langsam", "auto")
    assert shelf.halfway.wait(10)
    line, *_ = finder_line.show_state("auto")
    assert "<progress" in line and "Fetching" in line and list(labels("auto")) == ["stop"]
    shelf.gate.set()
    shelf.fetching.wait(10)
    assert shelf.present == {entry.name for entry in weights.select(["langsam"])}
    line, *_ = finder_line.show_state("auto")
    assert "<progress" not in line and "stop" not in labels("auto")


def test_fetching_is_stopped(host: LocalHost, shelf: PresetStore) -> None:
    finder_line.fetch("langsam", "auto")
    assert shelf.halfway.wait(10)
    threading.Timer(0.1, shelf.gate.set).start()
    line, *_ = finder_line.stop_fetching("auto")
    assert "Stopped" in line and list(labels("auto")) == ["langsam"]
    assert not shelf.present and not shelf.fetching.is_running()


def test_a_failed_fetch_says_why_without_a_command_line(host: LocalHost, shelf: PresetStore) -> None:
    shelf.error = WeightsError("<disk> cannot be written (full): choose another folder with --models-dir")
    finder_line.fetch("langsam", "auto")
    shelf.fetching.wait(10)
    line, *_ = finder_line.show_state("auto")
    assert "That failed: &lt;disk&gt; cannot be written (full)." in line and "--models-dir" not in line
    assert list(labels("auto")) == ["langsam"]


def test_one_fetch_at_a_time(host: LocalHost, shelf: PresetStore) -> None:
    shelf.fetching.start("langsam")
    first = shelf.fetching._thread
    shelf.fetching.start("lite")
    assert shelf.fetching._thread is first
    shelf.gate.set()
    shelf.fetching.wait(10)


def test_find_without_a_finder_is_one_sentence_and_fetches_nothing(
    host: LocalHost, shelf: PresetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "backends", lambda: NONE)
    monkeypatch.setattr(host, "use_finder", lambda name: registry.choose(name, None))
    shown = find(noise())
    assert "data-cause='finder'" in shown and "there is no finder here yet." in shown
    assert "pip" not in shown and not shelf.fetching.is_running() and not shelf.halfway.is_set()


def test_what_the_webui_lacks_stands_in_the_state_line(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "missing_features", lambda: ("ControlNet is not <installed>.",))
    line, *_ = finder_line.show_state("lite")
    assert "ControlNet is not &lt;installed&gt;." in line
    monkeypatch.setattr(host, "missing_features", lambda: 1 / 0)
    line, *_ = finder_line.show_state("lite")
    assert "lite finder" in line


def test_a_state_that_cannot_be_told(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder_line, "state_of", lambda _: 1 / 0)
    line, *updates = finder_line.show_state("auto")
    assert "console" in line and not any(update["visible"] for update in updates)
