"""`train check --fix`: copies as training should see them; originals and what is not ours stay untouched."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.cli import main
from lib_prodshot.errors import RequestError
from lib_prodshot.training.dataset import check
from lib_prodshot.training.dataset.fixing import FixJob, FixResult
from lib_prodshot.training.recipe.recipe import Recipe
from tests.training.dataset.colours import DISPLAY_P3, grey_profile, rgb_profile
from tests.training.photographs import make_folder, picture

CASES = ROOT.parent / "shared" / "cases" / "captions"
SHARED = CASES.parent

KINDS = {"deep", "profile", "cmyk", "animated", "transparent", "turned", "missed", "unreadable"}


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def job_for(folder: Path, out: Path, **values: object) -> FixJob:
    return FixJob(Recipe.of({"image_dir": str(folder), **values}, complete=False), out)


def fix(folder: Path, out: Path) -> dict[str, FixResult]:
    return {one.source.name: one for one in job_for(folder, out).run()}


def trained(path: Path) -> np.ndarray:
    """What sd-scripts makes of a file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """1 and 2 are as they should be; p3, deep, turned, cut (out), moving, scan and mixed are not."""
    made = make_folder(tmp_path / "photos", count=2)
    picture(3).save(made / "p3.jpg", icc_profile=rgb_profile("P3", DISPLAY_P3), quality=98, subsampling=0)
    levels = np.linspace(0, 65535, 160 * 128).reshape(128, 160).astype(np.uint16)
    Image.fromarray(levels).save(made / "deep.png")
    exif = Image.Exif()
    exif[274] = 6
    picture(4).save(made / "turned.jpg", exif=exif, quality=98)
    see_through = picture(5).convert("RGBA")
    see_through.paste((0, 0, 0, 0), (0, 0, 80, 128))
    see_through.save(made / "cut.png")
    frames = [picture(number).convert("RGBA") for number in (6, 7)]
    frames[0].save(made / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    picture(8).save(made / "scan.tiff")
    picture(9).save(made / "mixed.JpG", "JPEG")
    picture(10).convert("CMYK").save(made / "print.jpg")
    picture(11).convert("L").save(made / "grey.jpg", icc_profile=grey_profile("Gamma 1.0", 1.0))
    for name in ("p3", "deep", "turned"):
        (made / f"{name}.txt").write_text(f"caption of {name}")
    (made / "cut.png.txt").write_text("caption of cut")
    return made


def test_copies_are_what_training_should_see(folder: Path, tmp_path: Path) -> None:
    before, out = contents(folder), tmp_path / "out" / "fixed"
    done = fix(folder, out)
    assert not [one for one in done.values() if one.problem]
    assert contents(folder) == before
    names = ["1.jpg", "2.jpg", "cut.png", "deep.png", "grey.png", "mixed.jpg", "moving.png", "p3.png", "print.png"]
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".txt") == [*names, "scan.png", "turned.png"]
    # what needs nothing is copied byte for byte
    assert (out / "1.jpg").read_bytes() == (folder / "1.jpg").read_bytes()
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            assert (image.mode, image.info.get("icc_profile")) == ("RGB", None)
    profile = io.BytesIO(rgb_profile("P3", DISPLAY_P3))
    with Image.open(folder / "p3.jpg") as image:
        shown = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), renderingIntent=1)
    assert np.abs(trained(out / "p3.png").astype(int) - np.asarray(shown)).max() <= 2
    ramp = trained(out / "deep.png")[..., 0].reshape(-1)
    assert (ramp[0], ramp[-1]) == (0, 255) and abs(int(ramp[len(ramp) // 2]) - 128) <= 1
    assert trained(out / "turned.png").shape == (160, 128, 3)
    assert (trained(out / "cut.png")[:, :70] == 255).all()
    assert np.array_equal(trained(out / "moving.png"), np.asarray(picture(6)))
    assert np.array_equal(trained(out / "scan.png"), np.asarray(picture(8)))
    # light of gamma 1 is far brighter in sRGB
    assert trained(out / "grey.png").mean() > trained(folder / "grey.jpg").mean() + 20
    captions = {path.name: path.read_text() for path in out.glob("*.txt")}
    assert captions["p3.txt"] == "caption of p3" and captions["cut.txt"] == "caption of cut" and len(captions) == 6
    report = check.check(job_for(folder, out).fixed_recipe())
    assert not KINDS & {problem.kind for problem in report.problems}, report.to_text()


def test_the_same_again_writes_only_what_is_not_there(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fix(folder, out)
    before = contents(out)
    assert not any(one.written or one.problem for one in fix(folder, out).values()) and contents(out) == before
    (out / "deep.png").unlink()
    (out / ".prodshot-99999999-0.png").write_bytes(b"what a killed process left")
    done = fix(folder, out)
    assert [name for name, one in done.items() if one.written] == ["deep.png"]
    assert {name: data for name, (data, _) in contents(out).items()} == {
        name: data for name, (data, _) in before.items()
    }


@pytest.mark.parametrize("name", ["1.jpg", "p3.png", "deep.txt"])
def test_what_is_not_ours_is_not_written_over(folder: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"somebody else's")
    (problem,) = [one for one in fix(folder, out).values() if one.problem]
    assert name in problem.problem and "stays as it is" in problem.problem
    assert (out / name).read_bytes() == b"somebody else's" and (out / "turned.png").is_file()


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_is_no_file_is_in_the_way_too(folder: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if kind == "folder":
        (out / "p3.png").mkdir()
    else:
        (out / "p3.png").symlink_to("nowhere")
    (problem,) = [one for one in fix(folder, out).values() if one.problem]
    assert problem.source.name == "p3.jpg" and os.path.lexists(out / "p3.png") and not (out / "p3.png").is_file()


def test_what_cannot_be_read_is_left_out_and_the_rest_goes_on(folder: Path, tmp_path: Path) -> None:
    (folder / "1.jpg").write_bytes((folder / "1.jpg").read_bytes()[:300])
    (folder / "phone.heic").write_bytes(b"no picture")
    done = fix(folder, tmp_path / "out")
    assert {name for name, one in done.items() if one.problem} == {"1.jpg", "phone.heic"}
    assert (tmp_path / "out" / "2.jpg").is_file()


def test_photographs_of_one_name_get_one_each(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos", count=1)
    picture(2).save(folder / "1.png")
    (folder / "1.txt").write_text("both")
    fix(folder, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"1-jpg.jpg", "1-jpg.txt", "1-png.png", "1-png.txt"}


def test_kohyas_folders_keep_their_names(tmp_path: Path) -> None:
    for name in ("10_bag", "3_close"):
        make_folder(tmp_path / "photos" / name, count=1)
    out = tmp_path / "out"
    assert len(fix(tmp_path / "photos", out)) == 1  # both are called 1.jpg
    assert (out / "10_bag" / "1.jpg").is_file() and (out / "3_close" / "1.txt").is_file()
    assert check.check(Recipe.of({"image_dir": str(out)}, complete=False)).with_repeats == 13
    fix(tmp_path / "photos" / "10_bag", tmp_path / "one")
    assert (tmp_path / "one" / "10_bag" / "1.jpg").is_file()
    make_folder(tmp_path / "else" / "10_bag", count=1)
    job = job_for(tmp_path / "photos" / "10_bag", out, subsets=[{"image_dir": str(tmp_path / "else" / "10_bag")}])
    assert sorted(path.name for path in job.targets().values()) == ["10_bag", "10_bag-2"]


def test_copies_do_not_go_among_the_originals(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos" / "10_bag", count=1)
    before = contents(tmp_path)
    for out in (folder, folder / "fixed", folder.parent):
        with pytest.raises(RequestError, match="originals stay untouched"):
            list(job_for(folder, out).run())
    assert contents(tmp_path) == before


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    size = ["--resolution", "128", "--min-bucket-reso", "64", "--max-bucket-reso", "256"]
    assert main(["train", "check", str(folder), *size]) == 1
    capsys.readouterr()
    assert main(["train", "check", str(folder), "--fix", str(out), *size]) == 0
    said = capsys.readouterr().out
    assert "deep.png: converted (deep)" in said and "11 photographs" in said
    assert f"{out}: 8 converted, 3 copied, 0 there already, 0 left out" in said
    assert main(["train", "check", str(folder), "--fix", str(out), "--json", *size]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fixed"]["there"] == 11 and told["fixed"]["report"]["photographs"] == 11 and told["photographs"] == 9
    assert main(["train", "check", str(folder), "--fix", str(folder / "x"), *size]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
def test_the_cases(tmp_path: Path) -> None:
    folder = tmp_path / "captions"
    shutil.copytree(CASES, folder)
    for name in ("wiz16.tif", "phone6.jpg"):
        shutil.copy(SHARED / name, folder / name)
    done = fix(folder, tmp_path / "out")
    assert not [one for one in done.values() if one.problem]
    assert (tmp_path / "out" / "cp1252.txt").read_bytes() == (CASES / "cp1252.txt").read_bytes()
    deep = trained(tmp_path / "out" / "deep.png")
    assert (deep == 255).all(axis=2).mean() < 0.05
    with Image.open(CASES / "p3.jpg") as image:
        profile = io.BytesIO(image.info["icc_profile"])
        shown = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), renderingIntent=1)
    assert np.abs(trained(tmp_path / "out" / "p3.png").astype(int) - np.asarray(shown)).max() <= 2
    with Image.open(SHARED / "phone6.jpg") as image:
        assert trained(tmp_path / "out" / "phone6.png").shape[:2] == image.size
    # 16 bits, the least of them white
    assert abs(int(trained(tmp_path / "out" / "wiz16.png")[10, 10, 0]) - 21) <= 1
