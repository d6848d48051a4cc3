"""`train check --look`: views, backgrounds, small and missing products, text beside them; crops in the copies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lib_prodshot.cli import main
from lib_prodshot.finding import registry
from lib_prodshot.finding.interface import Picture
from lib_prodshot.gates import rapid_reader
from lib_prodshot.gates.text import Line
from lib_prodshot.training.dataset import check as checking
from lib_prodshot.training.dataset import looking
from lib_prodshot.training.dataset.check import CheckReport
from lib_prodshot.training.dataset.looking import crop_window
from lib_prodshot.training.recipe.recipe import Recipe
from tests.training.comparing.drawn import RED, bag, ground, red_finder

OF_LOOK = {"product_missing", "product_small", "text_overlay", "few_views", "alike_backgrounds", "text_not_checked"}
SMALL = {"resolution": 128, "min_bucket_reso": 64, "max_bucket_reso": 256}


class StripeReader:
    """Reads 'SALE' where a white stripe crosses a picture."""

    name = "stripes"

    def read(self, picture: Picture) -> Sequence[Line]:
        rows = np.flatnonzero((picture > 250).all(axis=(1, 2)))
        return [Line("SALE", 0.99, (0, int(rows[0]), picture.shape[1], int(rows[-1]) + 1))] if len(rows) else []


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load_finder", lambda *_: red_finder())
    monkeypatch.setattr(rapid_reader, "installed_reader", StripeReader)


def save(folder: Path, **pictures: Image.Image) -> Path:
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"a bag, {name}")
    return folder


def sides(seed: int, side: int, size: tuple[int, int] = (192, 160)) -> Image.Image:
    """A product that looks quite different from each of five sides."""
    picture = ground(seed, size)
    pen = ImageDraw.Draw(picture)
    left, top, right, bottom = 50, 40, 140, 130
    if side == 0:
        pen.rectangle((left, top, right, bottom), RED)
    elif side == 1:
        pen.ellipse((left, top + 25, right, bottom - 25), RED)
    elif side == 2:
        pen.polygon([(left, bottom), (right, bottom), ((left + right) // 2, top)], RED)
    elif side == 3:
        pen.line((left, top, right, bottom), RED, 14)
    else:
        for x in range(left, right, 24):
            pen.rectangle((x, top, x + 10, bottom), RED)
    return picture


def look(folder: Path) -> CheckReport:
    recipe = Recipe.of({**SMALL, "image_dir": str(folder), "products": "bag"}, complete=False)
    return checking.check(recipe, looker=looking.looker_for(recipe, red_finder()))


def told(report: CheckReport) -> dict[str, list[str]]:
    """The files that each remark of looking is about."""
    found: dict[str, list[str]] = {}
    for one in report.problems:
        if one.kind in OF_LOOK:
            found.setdefault(one.kind, []).append(Path(one.file).stem)
    return found


def far_away(seed: int) -> Image.Image:
    """The bag small in a large picture."""
    picture = ground(seed, (800, 640))
    picture.paste(bag(seed, size=(160, 128)), (500, 60))
    return picture


def test_a_good_folder_has_no_remark(tmp_path: Path) -> None:
    folder = save(tmp_path / "photos", **{f"p{number}": sides(number, number) for number in range(5)})
    report = look(folder)
    assert told(report) == {} and len(report.views) == 5
    assert [one["found"] for one in report.to_json()["views"]] == [True] * 5


def test_what_a_lora_would_learn_besides_is_named(tmp_path: Path) -> None:
    stripe = sides(3, 3)
    ImageDraw.Draw(stripe).rectangle((0, 140, 192, 152), "white")
    folder = save(
        tmp_path / "photos", a=sides(0, 0), b=sides(1, 1), c=sides(2, 2), sale=stripe, far=far_away(4), none=ground(5)
    )
    found = told(look(folder))
    assert found == {"product_missing": ["none"], "product_small": ["far"], "text_overlay": ["sale"]}


def test_one_side_and_one_background_are_too_few(tmp_path: Path) -> None:
    folder = save(tmp_path / "photos", **{f"p{number}": bag(number) for number in range(6)})
    assert told(look(folder)) == {"few_views": [""]}
    white = [Image.new("RGB", (192, 160), (240 - number, 240, 240)) for number in range(5)]
    for number, picture in enumerate(white):
        drawn = np.asarray(sides(1, number))
        is_red = (drawn == RED).all(axis=2)
        Image.fromarray(np.where(is_red[..., None], drawn, np.asarray(picture))).save(folder / f"p{number}.png")
    (folder / "p5.png").unlink()
    assert told(look(folder)) == {"alike_backgrounds": [""]}


def test_without_a_reader_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapid_reader, "installed_reader", lambda: None)
    folder = save(tmp_path / "photos", **{f"p{number}": sides(number, number) for number in range(5)})
    assert told(look(folder)) == {"text_not_checked": [""]}


def test_the_copies_are_cropped_around_a_small_product(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path / "photos", near=sides(1, 1), far=far_away(4))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    command = ["train", "check", str(folder), "--look", "--products", "bag", "--fix", str(tmp_path / "fixed")]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    assert main([*command, "--json"]) == 0
    fixed = json.loads(capsys.readouterr().out)["fixed"]
    assert (fixed["converted"], fixed["cropped"], fixed["copied"]) == (1, 1, 1)
    with Image.open(tmp_path / "fixed" / "far.png") as crop:
        assert crop.size in ((128, 128), (192, 128), (128, 64), (128, 192), (192, 64), (64, 192), (192, 160), (256, 64))
        red = np.asarray(crop.convert("RGB")).astype(int)
        rows, columns = np.nonzero(red[..., 0] > red[..., 1:].max(axis=2) + 40)
    longer = max(np.ptp(rows) / crop.height, np.ptp(columns) / crop.width)
    assert 0.4 < longer < 0.75, "the product fills the crop"
    assert (tmp_path / "fixed" / "far.txt").read_text() == "a bag, far"
    assert (tmp_path / "fixed" / "near.png").read_bytes() == before["near.png"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # again: nothing new
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "0 converted, 0 copied, 2 there already" in told and "the product takes only" in told


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        # in the middle: 60 % of the window, around it
        ((0.45, 0.45, 0.55, 0.55), (416, 416, 583, 583)),
        # in a corner: pushed in
        ((0.0, 0.0, 0.1, 0.1), (0, 0, 167, 167)),
        # tiny: as many pixels as the bucket has
        ((0.5, 0.5, 0.51, 0.51), (441, 441, 569, 569)),
        # larger than 60 % of the picture: the picture
        ((0.1, 0.1, 0.9, 0.9), (0, 0, 1000, 1000)),
    ],
)
def test_the_window_of_a_crop(box: tuple[float, float, float, float], expected: tuple[int, int, int, int]) -> None:
    assert crop_window((1000, 1000), box, (128, 128)) == expected


def test_what_cannot_be_looked_for_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path / "photos", a=sides(0, 0))
    assert main(["train", "check", str(folder), "--look"]) == 2
    assert "no product is named" in capsys.readouterr().err
