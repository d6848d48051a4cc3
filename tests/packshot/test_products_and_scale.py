"""Several products in one picture, and one scale for several pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.enhancing import NoEngine
from lib_prodshot.errors import RequestError
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box, Boxes
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.jobs.workers.engines import LocalEngine
from lib_prodshot.markets.rules import marketplaces
from lib_prodshot.outcome import Outcome
from lib_prodshot.request import Request
from tests.finders import BoxSegmenter, fixed_finder
from tests.jobs.tools import digests, lines_of, run

TWO = ((0.6, (0.0, 0.0, 0.2, 0.2)),)
"""A second product beside that in the middle: 24 × 16 pixels of a picture of 120 × 80."""

EACH = Request(products="car", make="packshot", edges="hard", several_products="each")


def processed(folder: Path, request: Request, name: str = "in.png") -> Outcome:
    Image.fromarray(np.random.default_rng(5).integers(0, 200, (80, 120, 3), np.uint8)).save(folder / name)
    (folder / "out").mkdir(exist_ok=True)
    processor = PictureProcessor(request, fixed_finder(further=TWO), NoEngine())
    return processor.process(folder / name, folder / "out", Path(name).stem)


def test_each_product_gets_a_packshot_of_its_own(tmp_path: Path) -> None:
    outcome = processed(tmp_path, EACH.replace(marketplace="google,meta", size="300x300"))
    assert outcome.status == "found", outcome.verdict
    assert [Path(made.file).name for made in outcome.packshots] == [
        "in-1-google.jpg", "in-1-meta.jpg", "in-2-google.jpg", "in-2-meta.jpg"
    ]  # fmt: skip
    told = outcome.to_json()
    assert [(made["product"], made["number"], made["scale"]) for made in told["packshots"]][::2] == [
        ("car", 1, pytest.approx(300 * 0.85 / 60, rel=0.05)),
        ("car", 2, pytest.approx(300 * 0.85 / 24, rel=0.1)),
    ]
    assert not any("products are in one frame" in reason for reason in outcome.needs_review)
    assert any("car 2: the product is cut off by the picture's edge (" in reason for reason in outcome.needs_review)
    assert any(note.startswith("car 1: google: the product was enlarged 4.") for note in outcome.notes)
    assert outcome.alpha is not None and np.count_nonzero(outcome.alpha) == 60 * 40 + 24 * 16, "all products' masks"
    assert [record.step for record in outcome.steps].count("cutout") == 2
    together = processed(tmp_path, EACH.replace(several_products="together"))
    assert [Path(made.file).name for made in together.packshots] == ["in.png"]
    assert "2 products are in one frame" in together.needs_review
    assert together.to_json()["packshots"][0]["number"] is None


def test_a_pattern_must_tell_products_and_marketplaces_apart(tmp_path: Path) -> None:
    named = processed(tmp_path, EACH.replace(file_names="{product} {n} of {stem}"))
    assert [Path(made.file).name for made in named.packshots] == ["car 1 of in.png", "car 2 of in.png"]
    for changes in ({"file_names": "{product}-{stem}"}, {"file_names": "{stem}-{n}", "marketplace": "google,meta"}):
        with pytest.raises(RequestError) as caught:
            EACH.replace(**changes)
        assert [problem.field for problem in caught.value.problems] == ["file_names"]


def test_no_picture_takes_anothers_result(tmp_path: Path) -> None:
    """Packshots named by a pattern may want the same name: bag's eleventh, and bag1's first."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, level in (("bag.jpg", 120), ("bag1.jpg", 150)):
        Image.new("RGB", (120, 80), (level, level, level)).save(photos / name)
    shops = ",".join(list(marketplaces())[:11])
    changes = {"marketplace": shops, "size": "100x100", "format": "png", "file_names": "{stem}{n}"}
    request = Request(products="car", make="packshot", edges="hard", **changes)

    def again() -> list[dict[str, object]]:
        engines = [LocalEngine(NoEngine())]
        run(photos, tmp_path / "out", request, engines=engines, load_finder=fixed_finder)
        return lines_of(tmp_path / "out")

    lines = again()
    assert sorted(str(line["status"]) for line in lines) == ["failed", "found"]
    lost = next(line for line in lines if line["status"] == "failed")
    assert "bag11.png is already a result of" in str(lost["reason"])
    made = (tmp_path / "out" / "bag11.png").read_bytes()
    again()
    assert (tmp_path / "out" / "bag11.png").read_bytes() == made, "nor in a later run"


class SizedDetector:
    """Finds a product of 40 % of the picture's width and height."""

    name = "sized"

    def detect(self, picture, classes, text_threshold):  # type: ignore[no-untyped-def]
        height, width = picture.shape[:2]
        if picture.mean() < 20:
            return Boxes((), (0.1,))
        box = (0.3 * width, 0.3 * height, 0.7 * width, 0.7 * height)
        return Boxes((Box(0, 0.8, box),), (0.8,))


def sized_finder() -> Finder:
    return Finder("sized", SizedDetector(), BoxSegmenter())


SCALED = Request(products="car", make="packshot", edges="hard", same_scale=True, size="400x400", fill=0.8)


def photograph(path: Path, width: int, height: int, level: int = 120) -> None:
    pixels = np.random.default_rng(width).integers(level - 20, level + 20, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def test_a_folder_gets_one_scale_whatever_comes_later(tmp_path: Path) -> None:
    """The largest product fills its frame; a smaller one that is added leaves the others as they are, a larger one
    makes all anew, and what failed or shows no product has no part in it."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    photograph(photos / "large.png", 500, 300)
    photograph(photos / "small.png", 250, 150)
    photograph(photos / "absent.png", 900, 900, level=21)
    Image.new("RGB", (900, 900)).save(photos / "absent.png")
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    def again(request: Request = SCALED) -> tuple[int, dict[str, list[float]]]:
        summary = run(photos, out, request, engines=[LocalEngine(NoEngine())], load_finder=sized_finder)
        made = {str(line["file"]): line.get("packshots") or [] for line in lines_of(out)}
        return summary.before, {name: [shots[0]["fill"], shots[0]["scale"]] for name, shots in made.items() if shots}

    before, first = again()
    assert before == 0
    assert first == {
        "large.png": [pytest.approx(0.8, abs=0.006), pytest.approx(1.6, abs=0.01)],
        "small.png": [pytest.approx(0.4, abs=0.006), pytest.approx(1.6, abs=0.01)],
    }
    files = digests(out)
    assert again() == (4, first), "nothing is found or framed again"
    photograph(photos / "smaller.png", 100, 90)
    before, second = again()
    assert before == 4 and second["smaller.png"][1] == pytest.approx(1.6, abs=0.01)
    assert digests(out)["small.png"] == files["small.png"]
    photograph(photos / "larger.png", 1000, 300)
    before, third = again()
    assert before == 0 and [scale for _, scale in third.values()] == [pytest.approx(0.8, abs=0.01)] * 4
    (out / "small.png").unlink()
    before, fourth = again()
    assert before == 5 and fourth == third, "a part of the folder comes out like the whole"


def test_the_command_measures_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load_finder", lambda name, folder=None: sized_finder())
    for width in (300, 150):
        photograph(tmp_path / f"{width}.png", width, 200)
    line = ["packshot", str(tmp_path / "*.png"), "--products", "car", "--out", str(tmp_path / "out"), "--edges", "hard"]
    assert main([*line, "--size", "400x400", "--fill", "0.9", "--same-scale"]) == 0
    reports = [json.loads(text) for text in (tmp_path / "out" / "report.jsonl").read_text().splitlines()]
    assert {report["packshots"][0]["scale"] for report in reports} == {3.0}
    assert main([*line, "--size", "400x400", "--reference", "80x80", "--fill", "0.9"]) == 0
    reports = [json.loads(text) for text in (tmp_path / "out" / "report.jsonl").read_text().splitlines()]
    assert {report["packshots"][0]["scale"] for report in reports} == {4.5}
    assert any("larger than its frame" in note for report in reports for note in report["notes"])


def test_a_ratio_gives_all_frames_one_size(tmp_path: Path) -> None:
    request = SCALED.replace(size="1:1", reference="100x60", same_scale=False)
    photograph(tmp_path / "a.png", 120, 100)
    (tmp_path / "out").mkdir()
    outcome = PictureProcessor(request, sized_finder(), NoEngine()).process(tmp_path / "a.png", tmp_path / "out", "a")
    assert outcome.packshots[0].size == (125, 125) and outcome.packshots[0].scale == 1


@pytest.mark.parametrize("text", ["0x5", "5", "1:2", "ax3", "1200x"])
def test_a_reference_that_is_none_is_named(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        SCALED.replace(reference=text)
    assert [problem.field for problem in caught.value.problems] == ["reference"]
