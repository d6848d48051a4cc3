"""Kohya's N_name folders: through check, captions and a run, and the parent named where a child was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_prodshot.cli import main
from lib_prodshot.training.captioning.job import CaptionJob
from lib_prodshot.training.dataset import check, kohya
from lib_prodshot.training.dataset.captions import TagEdit
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.training.trainer.runner import DATASET
from tests.training.dataset.test_check import kinds, report_on
from tests.training.photographs import TAG, make_folder, picture
from tests.training.rigs import Rig


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """10_bag with two photographs, 3_bag close with one."""
    folder = tmp_path / "photos"
    make_folder(folder / "10_bag", count=2, size=(128, 128))
    (folder / "3_bag close").mkdir()
    picture(7, (128, 128)).save(folder / "3_bag close" / "7.jpg")
    (folder / "3_bag close" / "7.txt").write_text(f"{TAG}, a clasp")
    return folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("10_bag", (10, "bag")),
        ("1_a bag_on_table", (1, "a bag_on_table")),
        ("05_x", (5, "x")),
        ("3_", (3, "")),
        ("0_unused", None),
        ("-2_x", None),
        ("2024_photos", None),
        ("2024", None),
        ("bag_10", None),
        ("_10", None),
        ("photos", None),
    ],
)
def test_what_a_name_says(name: str, said: tuple[int, str] | None) -> None:
    found = kohya.parse_folder_name(Path("/somewhere") / name)
    assert (None if found is None else (found.repeats, found.words)) == said


def test_a_folder_that_is_told_in_another_way_has_its_name(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parent / "10_bag")
    for told in (Path(), Path(".."), Path("../10_bag/")):
        found = kohya.parse_folder_name(told)
        assert (found is None) == (told == Path(".."))


def test_repeats_come_from_the_name(parent: Path) -> None:
    report = report_on(parent / "10_bag", num_repeats=6)
    assert (report.photographs, report.with_repeats) == (2, 20) and report.problems == ()
    assert "10_bag: 2 photographs × 10 (its name)" in report.to_text()
    (folder,) = report.to_json()["folders"]
    assert (folder["repeats"], folder["named"], folder["photographs"]) == (10, True, 2)
    # what is set counts more, and that is said
    report = report_on(parent / "10_bag", num_repeats=4)
    assert report.with_repeats == 8 and kinds(report) == {"folder_name": "warning 10_bag"}
    assert "says 10 repeats, and the recipe's 4 count" in report.to_text()


def test_the_folder_above_stands_for_all_in_it(parent: Path) -> None:
    report = report_on(parent, num_repeats=6)
    assert (report.photographs, report.with_repeats) == (3, 23) and report.problems == ()
    text = report.to_text()
    assert "10_bag: 2 photographs × 10 (its name)" in text and "3_bag close: 1 photograph × 3 (its name)" in text
    recipe = kohya.expand(Recipe.of({"image_dir": str(parent)}, complete=False))
    told = [(Path(one.image_dir).name, one.num_repeats) for one in recipe.all_subsets]
    assert told == [("10_bag", 10), ("3_bag close", 3)]
    assert kohya.expand(recipe) == recipe
    assert Recipe.of(recipe.to_dict(), complete=False) == recipe


def test_what_is_left_out_is_named(parent: Path) -> None:
    picture(8).save(make_folder(parent / "more", count=2) / "8.jpg")
    (parent / "log").mkdir()
    report = report_on(parent, num_repeats=2)
    told = {Path(one.file).name: one.message for one in report.problems}
    assert "its 3 pictures are not used: its name has no repeats, as 10_bag has" in told["more"]
    assert "log" not in told
    assert "the repeats of the folders' names count in it, not the 2 set" in told["photos"]


def test_photographs_beside_the_folders_are_the_ones_that_are_used(parent: Path) -> None:
    make_folder(parent, count=3)
    report = report_on(parent, num_repeats=6)
    assert (report.photographs, report.with_repeats) == (3, 18)
    assert "10_bag, 3_bag close in it are not used, as photographs stand beside them" in report.to_text()


def test_the_folder_that_was_meant_is_named(parent: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    parent.rename(project / "img")
    report = report_on(project)
    assert kinds(report)["empty_folder"] == "error project" and f"name {project / 'img'}" in report.to_text()
    make_folder(tmp_path / "other" / "pictures")
    assert f"name {tmp_path / 'other' / 'pictures'}" in report_on(tmp_path / "other").to_text()
    make_folder(tmp_path / "other" / "more")
    assert "in 2 folders below it" in report_on(tmp_path / "other").to_text()


def test_regularisation_pictures_take_their_words_from_the_name(parent: Path, tmp_path: Path) -> None:
    make_folder(tmp_path / "reg" / "1_a handbag", count=2, captions=False)
    told = {"image_dir": str(tmp_path / "reg"), "is_reg": True}
    recipe = kohya.expand(Recipe.of({"image_dir": str(parent), "subsets": [told]}, complete=False))
    last = recipe.all_subsets[-1]
    assert (last.is_reg, last.num_repeats, last.class_tokens) == (True, 1, "a handbag")


def test_captions_are_written_in_all_of_them(parent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (parent / "10_bag" / "1.txt").unlink()
    job = CaptionJob(parent, TagEdit(first=("new",)))
    assert job.count() == 3
    told = list(job.run())
    assert [one.problem for one in told if one.problem] == ["it has no caption, and no captioner was chosen"]
    assert (parent / "3_bag close" / "7.txt").read_text() == f"new, {TAG}, a clasp\n"
    assert main(["train", "caption", str(parent), "--tag", "new"]) == 1
    assert "0 of 3 captions written, 2 kept, 1 missing" in capsys.readouterr().out


def test_a_run_of_the_folder_above(plain: Rig, parent: Path) -> None:
    # two photographs × 10 and one × 3 fall into one bucket: 23 in batches of 2
    result = plain.train(image_dir=str(parent), num_repeats=6, max_train_epochs=1)
    assert (result.outcome, result.steps_done) == ("finished", 12), result.reason
    dataset = (plain.runs / "bag" / DATASET).read_text(encoding="utf-8")
    assert dataset.count("image_dir") == 2 and "num_repeats = 10" in dataset and "num_repeats = 3" in dataset
    # the same command goes on with it
    assert plain.train(image_dir=str(parent), num_repeats=6, max_train_epochs=2).steps_done == 24


def test_the_command_line_shows_the_same(parent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "check", str(parent), "--resolution", "128", "--min-bucket-reso", "64", "--max-bucket-reso", "256"])
    assert "10_bag: 2 photographs × 10 (its name)" in capsys.readouterr().out


def test_the_regularisation_folder_is_a_subset_whose_names_count(plain: Rig, tmp_path: Path) -> None:
    make_folder(tmp_path / "plain", count=2)
    recipe = plain.recipe(reg_data_dir=str(tmp_path / "plain"))
    assert [(one.num_repeats, one.is_reg) for one in kohya.expand(recipe).all_subsets] == [(2, False), (1, True)]
    make_folder(tmp_path / "named" / "3_bag", count=2)
    named = recipe.replace(reg_data_dir=str(tmp_path / "named"))
    expanded = kohya.expand(named)
    told = [(one.num_repeats, one.is_reg, one.class_tokens) for one in expanded.all_subsets]
    assert told == [(2, False, ""), (3, True, "bag")]
    assert kohya.expand(expanded) == expanded and not list(kohya.folder_warnings(named))
    assert check.check(named).with_repeats == check.check(expanded).with_repeats == 24
