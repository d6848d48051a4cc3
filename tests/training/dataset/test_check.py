"""`train check`: every kind of trouble in a folder is found and named, and a good folder has none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.commands.demo import find_photographs
from lib_prodshot.errors import PictureError
from lib_prodshot.training.dataset import check as checking
from lib_prodshot.training.dataset.folder import caption_file, list_folder
from lib_prodshot.training.dataset.photographs import (
    NEAR_DUPLICATE_BITS,
    near_duplicates,
    read_photograph,
    read_photographs,
)
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.training.recipe.remarks import remarks
from tests.training.photographs import TAG, make_folder, picture

SMALL = {"resolution": 128, "min_bucket_reso": 64, "max_bucket_reso": 256, "num_repeats": 2, "max_train_epochs": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "photos", count=4)


def report_on(folder: Path, **values: object) -> checking.CheckReport:
    told = {**SMALL, "image_dir": str(folder), "activation_tag": TAG, **values}
    return checking.check(Recipe.of(told, complete=False))


def kinds(report: checking.CheckReport) -> dict[str, str]:
    """Level and file name by kind of problem."""
    return {problem.kind: f"{problem.level} {Path(problem.file).name}".strip() for problem in report.problems}


def test_a_good_folder_has_no_problem_and_exact_steps(folder: Path) -> None:
    report = report_on(folder)
    assert report.problems == ()
    assert (report.photographs, report.with_repeats, report.steps_per_epoch, report.total_steps) == (4, 8, 4, 12)
    assert [bucket.size for bucket in report.table.buckets] == [(128, 128)]
    assert "4 steps an epoch × 3 epochs = 12 steps" in report.to_text()
    assert json.loads(json.dumps(report.to_json()))["total_steps"] == 12


def test_progress_is_told_for_every_photograph(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    recipe = Recipe.of({**SMALL, "image_dir": str(folder)}, complete=False)
    checking.check(recipe, lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def cut_off(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def add_text_as_picture(folder: Path) -> None:
    (folder / "1.jpg").write_text("a shopping list")


def add_truncated_jpeg(folder: Path) -> None:
    cut_off(folder / "1.jpg", 0.7)


def add_truncated_png(folder: Path) -> None:
    picture(9).save(folder / "9.png")
    (folder / "9.txt").write_text(f"{TAG}, a cup")
    cut_off(folder / "9.png", 0.5)


def add_tiny(folder: Path) -> None:
    picture(9, (20, 16)).save(folder / "1.jpg")


def add_small(folder: Path) -> None:
    picture(9, (100, 80)).save(folder / "1.jpg", quality=95)


def add_long_strip(folder: Path) -> None:
    picture(9, (900, 130)).save(folder / "1.jpg")


def add_turned(folder: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    picture(1).save(folder / "1.jpg", exif=exif)


def add_transparent(folder: Path) -> None:
    see_through = picture(9).convert("RGBA")
    see_through.paste((0, 0, 0, 0), (0, 0, 80, 128))
    see_through.save(folder / "9.png")
    (folder / "9.txt").write_text(f"{TAG}, a cup")


def add_copy(folder: Path) -> None:
    (folder / "9.jpg").write_bytes((folder / "1.jpg").read_bytes())
    (folder / "9.txt").write_text(f"{TAG}, a cup")


def add_near_copy(folder: Path) -> None:
    photograph = Image.open(find_photographs()[0]).convert("RGB")
    photograph.save(folder / "1.jpg", quality=92)
    brighter = np.asarray(photograph).astype(int) + 20
    Image.fromarray(brighter.clip(0, 255).astype(np.uint8)).save(folder / "9.jpg", quality=60)
    (folder / "9.txt").write_text(f"{TAG}, a cup")


def add_mixed_case(folder: Path) -> None:
    (folder / "1.jpg").rename(folder / "1.JpG")


def add_tiff(folder: Path) -> None:
    picture(9).save(folder / "9.tiff")


def add_folder_below(folder: Path) -> None:
    (folder / "more").mkdir()
    picture(9).save(folder / "more" / "9.jpg")


def add_stray(folder: Path) -> None:
    (folder / "notes.docx").write_text("hm")


def add_same_stem(folder: Path) -> None:
    picture(9).save(folder / "1.png")


def write(name: str, data: bytes) -> object:
    return lambda folder: (folder / name).write_bytes(data)


def remove_caption(folder: Path) -> None:
    (folder / "1.txt").unlink()


TROUBLE = {
    "text named .jpg": (add_text_as_picture, "unreadable", "error 1.jpg"),
    "a JPEG that ends early": (add_truncated_jpeg, "truncated", "error 1.jpg"),
    "a PNG that ends early": (add_truncated_png, "truncated", "error 9.png"),
    "a tiny picture": (add_tiny, "tiny", "error 1.jpg"),
    "a small picture": (add_small, "small", "warning 1.jpg"),
    "a strip": (add_long_strip, "cropped", "warning 1.jpg"),
    "turned by EXIF": (add_turned, "turned", "warning 1.jpg"),
    "transparency": (add_transparent, "transparent", "warning 9.png"),
    "the same bytes": (add_copy, "duplicate", "warning 1.jpg"),
    "nearly the same": (add_near_copy, "near_duplicate", "warning 1.jpg"),
    ".tiff": (add_tiff, "missed", "warning 9.tiff"),
    "a folder below": (add_folder_below, "missed", "warning 9.jpg"),
    "a stray file": (add_stray, "stray", "warning notes.docx"),
    "one caption for two": (add_same_stem, "same_stem", "warning 1"),
    "no caption": (remove_caption, "caption_missing", "warning 1.jpg"),
    "an empty caption": (write("1.txt", b""), "caption_broken", "error 1.txt"),
    "a Latin-1 caption": (write("1.txt", b"ppzocketv2, caf\xe9"), "caption_broken", "error 1.txt"),
    "a UTF-16 caption": (write("1.txt", "ppzocketv2, bag".encode("utf-16")), "caption_broken", "error 1.txt"),
    "UTF-16 without a mark": (write("1.txt", "ppzocketv2".encode("utf-16-le")), "caption_broken", "error 1.txt"),
    "a caption of no picture": (write("other.txt", b"ppzocketv2, a bag"), "caption_orphan", "warning other.txt"),
    "a .caption": (write("1.caption", b"ppzocketv2, a bag"), "caption_beside", "warning 1.caption"),
    "a .jpg.txt": (write("2.jpg.txt", b"ppzocketv2, a bag"), "caption_beside", "warning 2.jpg.txt"),
    "a .txt.txt": (write("2.txt.txt", b"ppzocketv2, a bag"), "caption_beside", "warning 2.txt.txt"),
    "a blank caption": (write("1.txt", b"  \n"), "caption_odd", "warning 1.txt"),
    "several lines": (write("1.txt", b"ppzocketv2, a bag\nand more"), "caption_odd", "warning 1.txt"),
    "a byte order mark": (write("1.txt", b"\xef\xbb\xbfppzocketv2, a bag"), "caption_odd", "warning 1.txt"),
    "a long caption": (write("1.txt", b"ppzocketv2, " + b"big bag, " * 120), "caption_long", "warning 1.txt"),
    "no tag": (write("1.txt", b"a bag"), "tag_missing", "warning 1.txt"),
    "the tag not first": (write("1.txt", b"a bag, ppzocketv2"), "tag_not_first", "warning 1.txt"),
}


@pytest.mark.parametrize(("change", "kind", "where"), TROUBLE.values(), ids=TROUBLE)
def test_trouble_is_found_and_named(folder: Path, change: object, kind: str, where: str) -> None:
    change(folder)  # type: ignore[operator]
    report = report_on(folder)
    assert kinds(report).get(kind) == where, report.to_text()
    assert bool(report.errors) == where.startswith("error")


@pytest.mark.skipif(os.name == "nt", reason="file names of POSIX: .JpG is another extension")
def test_a_mixed_case_extension_is_missed(folder: Path) -> None:
    add_mixed_case(folder)
    report = report_on(folder)
    assert kinds(report)["missed"] == "warning 1.JpG" and report.photographs == 3


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    assert kinds(report_on(tmp_path)) == {"empty_folder": f"error {tmp_path.name}"}


def test_a_folder_that_is_not_there_is_an_error_of_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="cannot be read as a folder of photographs"):
        report_on(tmp_path / "nowhere")


def test_recipes_faults_are_told_too(folder: Path) -> None:
    report = report_on(folder, step_limit=11, activation_tag=f"{TAG}, shop", keep_tokens=1)
    assert {"too_many_steps", "keep_tokens", "tag_missing"} <= set(kinds(report))
    twice = report_on(folder, subsets=[{"image_dir": str(folder)}])
    assert kinds(twice)["same_folder"] == f"error {folder.name}"


@pytest.mark.parametrize(
    ("changes", "keys", "advice"),
    [
        ({"subsets": [{"image_dir": "FOLDER"}]}, "(image_dir, subsets[1].image_dir)", "raise its repeats"),
        ({"reg_data_dir": "FOLDER"}, "(image_dir, reg_data_dir)", "name another folder"),
        (
            {"subsets": [{"image_dir": "MORE"}, {"image_dir": "MORE"}]},
            "(subsets[1].image_dir, subsets[2].image_dir)",
            "raise its repeats",
        ),
    ],
)
def test_a_folder_that_is_named_twice_is_named_with_its_keys(
    folder: Path, tmp_path: Path, changes: dict[str, Any], keys: str, advice: str
) -> None:
    more = make_folder(tmp_path / "more", count=1)
    text = json.dumps(changes).replace("FOLDER", str(folder)).replace("MORE", str(more))
    (problem,) = (one for one in report_on(folder, **json.loads(text)).problems if one.kind == "same_folder")
    assert problem.file == str(more if "MORE" in json.dumps(changes) else folder)
    assert keys in problem.message and problem.message.endswith(advice)


def test_a_duplicate_in_another_folder_is_told_with_it(folder: Path, tmp_path: Path) -> None:
    more = make_folder(tmp_path / "more", count=1)
    (more / "1.jpg").write_bytes((folder / "1.jpg").read_bytes())
    report = report_on(folder, subsets=[{"image_dir": str(more)}])
    (problem,) = (one for one in report.problems if one.kind == "duplicate")
    assert "the same file again as more/1.jpg" in problem.message


def test_one_is_told_as_one(folder: Path, tmp_path: Path) -> None:
    for path in list(folder.iterdir()):
        if path.stem != "1":
            path.unlink()
    text = report_on(folder, num_repeats=1, max_train_epochs=1).to_text()
    assert "1 photograph, 1 with repeats" in text and "1 step an epoch × 1 epoch = 1 step\n" in text
    parent = tmp_path / "parent"
    make_folder(parent / "2_bag", count=1)
    make_folder(parent / "more", count=1)
    assert "its 1 picture is not used" in report_on(parent).to_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"conditioning_data_dir": "masks"}, "conditioning_data_dir has no effect on the training without masked_loss"),
        ({"unmasked_weight": 0.5, "mask_grow": 0.0}, "unmasked_weight, mask_grow have no effect"),
        ({"products": "handbag", "finder": "lite"}, "products, finder have no effect"),
        ({"products": "handbag", "masked_loss": True}, ""),
    ],
)
def test_settings_without_effect_are_told(folder: Path, changes: dict[str, Any], said: str) -> None:
    told = [one for one in report_on(folder, **changes).problems if one.kind == "no_effect"]
    assert [one.level for one in told] == ["warning"] * bool(said) and all(said in one.message for one in told)


def test_products_have_an_effect_where_a_finder_looks() -> None:
    assert [*remarks(Recipe.of({"products": "handbag"}, complete=False), looks=True)] == []


def test_a_file_where_a_folder_is_meant_is_told_what_to_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = {
        "name the folder that the photographs are in": ("check", "caption"),
        "output_dir/output_name": ("publish", "compare"),
    }
    for said, actions in lines.items():
        for action in actions:
            assert main(["train", action, str(folder / "1.jpg")]) == 2
            told = capsys.readouterr().err
            assert said in told and "enhance" not in told


def test_regularisation_pictures_need_no_tag_and_balance(folder: Path, tmp_path: Path) -> None:
    others = make_folder(tmp_path / "others", count=3, captions=False)
    told = {"image_dir": str(others), "num_repeats": 1, "is_reg": True, "class_tokens": "bag"}
    report = report_on(folder, subsets=[told])
    assert report.problems == () or set(kinds(report)) == {"near_duplicate", "duplicate"}
    assert report.with_repeats == 16 and report.steps_per_epoch == 8


def test_without_enlarging_a_picture_below_one_step_is_an_error(folder: Path) -> None:
    add_tiny(folder)
    report = report_on(folder, bucket_no_upscale=True)
    assert kinds(report)["tiny"] == "error 1.jpg" and report.with_repeats == 6


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.97, 0.999])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2, "optimize": True}])
def test_the_reduced_decode_sees_the_damage_that_a_full_one_sees(
    tmp_path: Path, share: float, options: dict[str, object]
) -> None:
    path = tmp_path / "cut.jpg"
    picture(1, (1024, 768)).save(path, quality=90, **options)
    cut_off(path, share)
    try:
        with Image.open(path) as image:
            image.load()
        fails = False
    except Exception:
        fails = True
    assert bool(read_photograph(path).problem) == fails


def test_a_series_of_nearly_the_same_pictures_is_one_warning(tmp_path: Path) -> None:
    for number in range(8):
        picture(9).save(tmp_path / f"{number}.jpg", quality=90 - 3 * number)
        (tmp_path / f"{number}.txt").write_text("tag, a bag")
    told = [problem for problem in report_on(tmp_path).problems if problem.kind == "near_duplicate"]
    assert len(told) == 1 and all(f"{number}.jpg" in told[0].message for number in range(1, 8))


def test_different_photographs_are_far_apart_and_altered_ones_near(tmp_path: Path) -> None:
    for path in find_photographs():
        image = Image.open(path).convert("RGB")
        width, height = image.size
        image.save(tmp_path / f"{path.stem}.whole.jpg", quality=92)
        image.resize((width * 2 // 3, height * 2 // 3)).save(tmp_path / f"{path.stem}.small.jpg", quality=40)
        image.crop((width // 100, height // 100, width, height)).save(tmp_path / f"{path.stem}.cut.jpg")
    seen = read_photographs(sorted(tmp_path.glob("*.jpg")))
    for one, other, bits in near_duplicates(seen, limit=256):
        same = one.path.name.partition(".")[0] == other.path.name.partition(".")[0]
        assert bits <= NEAR_DUPLICATE_BITS if same else bits >= 2 * NEAR_DUPLICATE_BITS, (
            one.path.name,
            other.path.name,
            bits,
        )


def test_photographs_are_listed_as_sd_scripts_sorts_them(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "10.jpeg", "9.webp", ".hidden.jpg", "c.bmp"):
        (tmp_path / name).touch()
    listing = list_folder(tmp_path)
    assert [path.name for path in listing.photographs] == ["10.jpeg", "9.webp", "a.jpg", "b.PNG", "c.bmp"]
    assert [path.name for path, _ in listing.ignored] == [".hidden.jpg"]


def test_a_face_detectors_name_falls_back_to_the_shorter_one(tmp_path: Path) -> None:
    photograph = tmp_path / "bag_0_10_20_99.jpg"
    assert caption_file(photograph) is None
    (tmp_path / "bag.txt").write_text("a bag")
    assert caption_file(photograph) == tmp_path / "bag.txt"
    (tmp_path / "bag_0_10_20_99.txt").write_text("a bag")
    assert caption_file(photograph) == tmp_path / "bag_0_10_20_99.txt"


def test_the_command_prints_the_report_and_fails_on_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--resolution", "128", "--min-bucket-reso", "64", "--max-bucket-reso", "256", "--num-repeats", "2"]
    assert main(["train", "check", str(folder), "--tag", TAG, *options]) == 0
    said = capsys.readouterr()
    assert "128×128                4             8        4" in said.out and "no errors, no warnings" in said.out
    add_text_as_picture(folder)
    assert main(["train", "check", str(folder), "--tag", TAG, *options, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [problem["kind"] for problem in told["problems"]] == ["unreadable"]
    assert main(["train", "check", str(folder / "nowhere")]) != 0
    said = capsys.readouterr()
    assert len(said.err.strip().splitlines()) == 1 and str(folder / "nowhere") in said.err
