"""Masked copies: the photographs' colours, the product's mask as opacity, in the run's own folder and nowhere else."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.errors import OutputError, RequestError, UnknownProducts
from lib_prodshot.finding.finder import Finder
from lib_prodshot.products import ProductClass
from lib_prodshot.training.errors import InvalidDataset, TrainingError
from lib_prodshot.training.masks.copies import FOLDER, MaskedCopies
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.training.trainer import runner
from lib_prodshot.training.trainer.runner import TrainingJob
from tests.finders import BoxSegmenter, FixedDetector
from tests.training.photographs import make_folder, picture
from tests.training.rigs import Rig, ended


class Lender:
    """Gives a finder that finds the middle of each picture brighter than `darkest`, and counts."""

    def __init__(self, darkest: float = 0.0) -> None:
        self.detector = FixedDetector(darkest=darkest)
        self.names: list[str] = []
        self.is_back = True

    @contextmanager
    def __call__(self, name: str) -> Iterator[Finder]:
        self.names.append(name)
        self.is_back = False
        try:
            yield Finder("fixed", self.detector, BoxSegmenter())
        finally:
            self.is_back = True


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "photos", count=3, size=(128, 96))


def masked(folder: Path, **changes: Any) -> Recipe:
    told = {"output_name": "bag", "image_dir": str(folder), "pretrained_model_name_or_path": "x"}
    return Recipe.of({**told, "masked_loss": True, "products": "handbag", "mask_grow": 0.0, **changes})


def write(recipe: Recipe, run: Path, finder: Any = None, force: bool = False) -> Recipe:
    return MaskedCopies(recipe, run, finder or Lender(), force).write(lambda done, total: None)


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def alpha(path: Path) -> Any:
    with Image.open(path) as copy:
        assert copy.mode == "RGBA"
        return np.asarray(copy)[:, :, 3]


def test_a_copy_has_the_photograph_s_colours_and_the_mask_as_opacity(photos: Path, tmp_path: Path) -> None:
    before, told = state(photos), []
    lender = Lender()
    made = MaskedCopies(masked(photos), tmp_path / "run", lender).write(lambda *numbers: told.append(numbers))
    target = tmp_path / "run" / FOLDER / "1-photos"
    assert made.image_dir == str(target) and made.masked_loss and state(photos) == before
    assert sorted(path.name for path in target.iterdir()) == sorted(
        name for number in (1, 2, 3) for name in (f"{number}.jpg.png", f"{number}.jpg.txt")
    )
    assert (lender.names, lender.is_back, told) == (["auto"], True, [(0, 3), (1, 3), (2, 3), (3, 3)])
    for number in (1, 2, 3):
        copy = target / f"{number}.jpg.png"
        with Image.open(photos / f"{number}.jpg") as photograph, Image.open(copy) as opened:
            assert np.array_equal(np.asarray(photograph.convert("RGB")), np.asarray(opened)[:, :, :3])
        box = np.zeros((96, 128), np.uint8)
        box[24:72, 32:96] = 255
        assert np.array_equal(alpha(copy), box)
        assert copy.with_suffix(".txt").read_bytes() == (photos / f"{number}.txt").read_bytes()


def test_masks_grow_and_the_rest_keeps_some_weight(photos: Path, tmp_path: Path) -> None:
    write(masked(photos, mask_grow=0.0625, unmasked_weight=0.2), tmp_path / "run")
    weights = alpha(tmp_path / "run" / FOLDER / "1-photos" / "1.jpg.png")
    assert set(np.unique(weights)) == {51, 255}
    # 0.0625 × 128 pixels on each side
    assert weights[48, 24] == 255 and weights[48, 23] == 51 and weights[16, 64] == 255 and weights[15, 64] == 51


def test_what_is_there_is_not_made_again(photos: Path, tmp_path: Path) -> None:
    write(masked(photos), tmp_path / "run")
    again = Lender()
    write(masked(photos), tmp_path / "run", again)
    assert again.names == [] and again.detector.calls == 0
    make_folder(photos, count=1, size=(64, 64))
    (photos / "3.jpg").unlink()
    write(masked(photos), tmp_path / "run", again)
    assert again.detector.calls == 1
    target = tmp_path / "run" / FOLDER / "1-photos"
    assert sorted(path.name for path in target.glob("*.png")) == ["1.jpg.png", "2.jpg.png"]
    assert alpha(target / "1.jpg.png").shape == (64, 64)
    write(masked(photos, unmasked_weight=0.1), tmp_path / "run", again)
    assert again.detector.calls == 3


def test_a_photograph_without_the_product_is_named(photos: Path, tmp_path: Path) -> None:
    Image.new("RGB", (128, 96)).save(photos / "2.jpg")
    with pytest.raises(InvalidDataset, match=r"sees no handbag in 1 of 3 photographs \(2.jpg\)"):
        write(masked(photos), tmp_path / "run", Lender(darkest=20))
    write(masked(photos), tmp_path / "run", Lender(darkest=20), force=True)
    assert alpha(tmp_path / "run" / FOLDER / "1-photos" / "2.jpg.png").min() == 255


def test_masks_of_the_user_s_own(photos: Path, tmp_path: Path) -> None:
    own = tmp_path / "masks"
    own.mkdir()
    for name, value in (("1.png", 0), ("2.jpg", 255), ("3.png", 128)):
        Image.new("L", (128, 96), value).save(own / name)
    recipe = masked(photos, products="", conditioning_data_dir=str(own))
    lender = Lender()
    write(recipe, tmp_path / "run", lender)
    target = tmp_path / "run" / FOLDER / "1-photos"
    assert [int(alpha(target / f"{n}.jpg.png").mean()) for n in (1, 2, 3)] == [0, 255, 128] and lender.names == []
    (own / "3.png").unlink()
    with pytest.raises(InvalidDataset, match=r"3.jpg have no mask"):
        write(recipe, tmp_path / "run", lender)
    write(recipe.replace(products="handbag"), tmp_path / "run", lender)
    assert lender.detector.calls == 1
    Image.new("L", (96, 128)).save(own / "3.png")
    with pytest.raises(RequestError, match=r"3.png is 96×128 pixels and its photograph 128×96"):
        write(recipe, tmp_path / "run", lender)
    (own / "3.png").write_bytes(b"no picture")
    with pytest.raises(RequestError, match="cannot be read as a picture"):
        write(recipe, tmp_path / "run", lender)


def test_regularisation_pictures_have_no_mask_and_folders_stay_apart(photos: Path, tmp_path: Path) -> None:
    more = make_folder(tmp_path / "more" / "photos", count=1, size=(128, 96))
    bags = make_folder(tmp_path / "bags", count=1, size=(128, 96))
    recipe = masked(photos, subsets=[{"image_dir": str(more), "num_repeats": 2}], reg_data_dir=str(bags))
    made = write(recipe, tmp_path / "run")
    places = [tmp_path / "run" / FOLDER / name for name in ("1-photos", "2-photos")]
    assert [one.image_dir for one in made.all_subsets] == [*map(str, places), str(bags)]
    assert [(one.num_repeats, one.is_reg) for one in made.all_subsets] == [(6, False), (2, False), (1, True)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"products": ""}, "products"),
        ({"products": "shoe (sneaker, trainer)"}, "products"),
        ({"unmasked_weight": 1.0}, "unmasked_weight"),
    ],
)
def test_what_makes_no_mask_is_refused(photos: Path, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError, match=field):
        masked(photos, **changes)


def job(rig: Rig, use_finder: Callable[[str], AbstractContextManager[Finder]], **changes: Any) -> TrainingJob:
    return TrainingJob(rig.recipe(masked_loss=True, products="handbag", **changes), rig.trainer, use_finder=use_finder)


def test_a_run_trains_on_the_copies_and_goes_on_with_them(plain: Rig) -> None:
    before, lender, told = state(plain.photographs), Lender(), []
    first = job(plain, lender, max_train_epochs=1)
    first.start(lambda *numbers: told.append(numbers))
    result = ended(first)
    assert result.outcome == "finished" and told[-1] == (6, 6)
    written = (first.folder / "dataset.toml").read_text(encoding="utf-8")
    assert "alpha_mask = true" in written and f"{FOLDER}/1-photos" in written
    assert "masked_loss = true" in (first.folder / "training.toml").read_text(encoding="utf-8")
    again = job(plain, lender, max_train_epochs=2)
    again.start()
    assert ended(again).steps_done == 2 * plain.steps and lender.detector.calls == 6
    assert state(plain.photographs) == before


def test_stopped_among_the_masks_it_can_begin_again(plain: Rig) -> None:
    stopped = job(plain, Lender(), max_train_epochs=1)
    with pytest.raises(TrainingError, match="stopped before"):
        stopped.start(lambda done, total: stopped.stop() if done == 2 else None)
    lender = Lender()
    whole = job(plain, lender, max_train_epochs=1)
    whole.start()
    assert ended(whole).outcome == "finished" and 0 < lender.detector.calls < 6


def test_copies_that_cannot_be_written_are_said(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / FOLDER).write_text("in the way")
    with pytest.raises(OutputError, match=FOLDER):
        write(masked(photos), tmp_path / "run")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    lender = Lender()
    with pytest.raises(OutputError, match="No space left"):
        write(masked(photos), tmp_path / "other", lender)
    assert lender.is_back
    assert list((tmp_path / "other" / FOLDER / "1-photos").iterdir()) == []


def test_a_photograph_that_is_none_is_named(photos: Path, tmp_path: Path) -> None:
    (photos / "2.jpg").write_bytes(b"no picture")
    with pytest.raises(InvalidDataset, match=r"2.jpg cannot be decoded"):
        write(masked(photos), tmp_path / "run")


def test_a_folder_of_masks_that_is_not_there_is_refused_before_anything_starts(plain: Rig, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="conditioning_data_dir"):
        job(plain, Lender(), conditioning_data_dir=str(tmp_path / "absent")).prepare()
    assert not plain.runs.exists()


def own_masks(folder: Path, kind: str) -> Path:
    """Six masks of the photographs' size; of another kind the first is none."""
    folder.mkdir()
    for number in range(1, 7):
        Image.new("L", (128, 128), 255).save(folder / f"{number}.png")
    if kind == "in colours":
        picture(1, (128, 128)).save(folder / "1.png")
    elif kind == "of another size":
        Image.new("L", (64, 128)).save(folder / "1.png")
    elif kind == "no picture":
        (folder / "1.png").write_bytes(b"no picture")
    return folder


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("in colours", "1.png is a picture in colours and no mask"),
        ("of another size", "1.png is 64×128 pixels"),
        ("no picture", "1.png cannot be read as a picture"),
    ],
)
def test_own_masks_that_are_none_are_refused_before_anything_starts(
    plain: Rig, tmp_path: Path, kind: str, said: str
) -> None:
    folder = own_masks(tmp_path / "masks", kind)
    with pytest.raises(RequestError, match=said):
        job(plain, Lender(), conditioning_data_dir=str(folder)).prepare()
    assert not plain.runs.exists()


def test_the_photographs_are_no_masks_of_their_own(plain: Rig) -> None:
    with pytest.raises(RequestError, match="the photographs' own folder"):
        job(plain, Lender(), conditioning_data_dir=str(plain.photographs)).prepare()


def test_whether_the_finder_makes_masks_is_known_before_anything_starts(plain: Rig, tmp_path: Path) -> None:
    folder = own_masks(tmp_path / "masks", "")
    lender = Lender()
    assert not job(plain, lender, conditioning_data_dir=str(folder)).check_masks() and lender.names == []
    (folder / "6.png").unlink()
    assert job(plain, lender, conditioning_data_dir=str(folder)).check_masks()
    assert (lender.names, lender.detector.calls, lender.is_back) == (["auto"], 0, True)
    without = plain.recipe(masked_loss=True, conditioning_data_dir=str(folder))
    with pytest.raises(InvalidDataset, match=r"6.jpg have no mask"):
        TrainingJob(without, plain.trainer, use_finder=lender).check_masks()


class _Knowing(FixedDetector):
    """Knows no product."""

    def refuse_unknown(self, classes: Sequence[ProductClass]) -> None:
        raise UnknownProducts({one.name: () for one in classes}, "fixed", "name another")


def test_the_dry_run_refuses_an_unknown_product_and_says_what_only_the_run_sees(
    plain: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lender = Lender()
    monkeypatch.setattr(runner, "TrainingJob", partial(TrainingJob, use_finder=lender))
    recipe_files.save(plain.recipe(masked_loss=True, products="handbag"), tmp_path / "recipe.toml")
    where = ["--sd-scripts", str(plain.trainer.checkout), "--python", str(plain.trainer.python)]
    line = ["train", "run", "--recipe", str(tmp_path / "recipe.toml"), *where, "--dry-run"]
    assert main(line) == 0 and "masks: made by the run only" in capsys.readouterr().out
    lender.detector = _Knowing()
    assert main(line) == 2
    told = capsys.readouterr()
    assert "does not know 'handbag'" in told.err and "no errors" not in told.out
    assert not plain.runs.exists()
