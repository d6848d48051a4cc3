"""The results kept for the result card: found again by their infotext, bounded, and the old picture's way back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image, PngImagePlugin

from lib_prodshot.errors import OutputError
from lib_prodshot.hosts.generation import recent
from lib_prodshot.outcome import Outcome, Verdict

INFOTEXT = 'a bag\nSteps: 20, Seed: 7, Prodshot: "found bag 0.80, shoe 0.70", Prodshot products: "bag, shoe"'


def save_image_with_geninfo(image: Image.Image, infotext: str, path: str) -> None:
    """As the WebUI's."""
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", infotext)
    image.save(path, pnginfo=info)


@pytest.fixture(autouse=True)
def webui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "_RESULTS", {})
    images = SimpleNamespace(save_image_with_geninfo=save_image_with_geninfo)
    monkeypatch.setattr(recent, "import_module", lambda name: {"modules.images": images}[name])


def result(path: Path | None = None, side: int = 8) -> recent.Result:
    before, after = (Image.new("RGB", (side, side), colour) for colour in ("red", "blue"))
    if path:
        after.save(path)
    return recent.Result(
        before, after, Outcome(Verdict("found", ""), ("bag",), "lite"), (), None, "script", INFOTEXT, path
    )


def test_a_result_is_found_by_the_infotext_as_the_page_shows_it() -> None:
    known = result()
    recent.remember(known, [INFOTEXT, "a grid's own"])
    assert recent.recall(recent.key_of(INFOTEXT.replace("\n", "\n\n") + " ")) is known
    assert recent.recall(recent.key_of("a grid's own")) is known
    assert recent.recall(recent.key_of("another")) is None and recent.reject("another") is None


def test_the_oldest_go_and_the_last_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST_PIXELS", 300)
    for number in range(4):
        recent.remember(result(), [str(number)])
    assert [recent.recall(recent.key_of(str(number))) is not None for number in range(4)] == [False, False, True, True]
    recent.remember(result(side=100), ["large"])
    assert recent.recall(recent.key_of("large")) is not None and recent.recall(recent.key_of("3")) is None


def test_the_old_picture_takes_the_results_place_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "00007.png"
    recent.remember(result(path), [INFOTEXT])
    for _ in range(2):
        told = recent.reject(recent.key_of(INFOTEXT))
        assert told is not None and told.is_rejected
    with Image.open(path) as old, Image.open(tmp_path / "00007-prodshot-rejected.png") as new:
        assert old.getpixel((0, 0)) == (255, 0, 0) and new.getpixel((0, 0)) == (0, 0, 255)
        assert "Prodshot: rejected by hand, Prodshot products" in old.info["parameters"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_cannot_be_moved_is_left_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "00007.png"
    recent.remember(result(path), [INFOTEXT])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    images = SimpleNamespace(save_image_with_geninfo=full)
    monkeypatch.setattr(recent, "import_module", lambda _: images)
    with pytest.raises(OutputError, match="No space left"):
        recent.reject(recent.key_of(INFOTEXT))
    with Image.open(path) as kept:
        assert kept.getpixel((0, 0)) == (0, 0, 255)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_result_that_was_not_saved_is_only_shown_as_it_was() -> None:
    recent.remember(result(), [INFOTEXT])
    told = recent.reject(recent.key_of(INFOTEXT))
    assert told is not None and told.is_rejected
