"""A packshot's file: format, profile, bytes, names; and the command that makes them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage import data

from lib_prodshot.cli import main
from lib_prodshot.enhancing import NoEngine
from lib_prodshot.errors import RequestError
from lib_prodshot.finding import registry
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.outcome import Outcome
from lib_prodshot.packshot import shop
from lib_prodshot.packshot.naming import file_stem, name_problem
from lib_prodshot.request import Request
from lib_prodshot.steps.targets import targets_of
from tests.finders import fixed_finder


def processed(folder: Path, picture: Image.Image, **changes: Any) -> Outcome:
    options = picture.info.get("save", {})
    picture.save(folder / "in.png", **options)
    (folder / "out").mkdir(exist_ok=True)
    request = Request(products="car", make="packshot", edges="hard", **changes)
    return PictureProcessor(request, fixed_finder(), NoEngine()).process(folder / "in.png", folder / "out", "in")


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    return Image.fromarray(data.astronaut()).crop((100, 0, 420, 320))


@pytest.mark.parametrize(
    ("options", "suffix", "kind"),
    [
        ({}, ".png", "PNG"),
        ({"format": "jpeg"}, ".jpg", "JPEG"),
        ({"format": "webp"}, ".webp", "WEBP"),
        ({"format": "webp", "quality": 100, "ground": "transparent"}, ".webp", "WEBP"),
        ({"format": "tiff"}, ".tif", "TIFF"),
        ({"ground": "transparent"}, ".png", "PNG"),
        ({"ground": "transparent", "marketplace": "google"}, "-google.png", "PNG"),
    ],
)
def test_formats_profiles_and_names(
    tmp_path: Path, photograph: Image.Image, options: dict[str, Any], suffix: str, kind: str
) -> None:
    outcome = processed(tmp_path, photograph, **options)
    assert outcome.status == "found", outcome.verdict
    path = Path(outcome.output_file)
    assert path.name == f"in{suffix}"
    with Image.open(path) as image:
        assert (image.format, image.info["icc_profile"]) == (kind, shop.srgb_profile())
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    assert (alpha.min() == 0) == (options.get("ground") == "transparent")


def test_another_profile_becomes_srgb_and_white_stays_white(tmp_path: Path, photograph: Image.Image) -> None:
    wide = io.BytesIO(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile = bytearray(wide.getvalue())
    # red and green change places: as far from sRGB as a test needs
    tags = {bytes(profile[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(profile[131])}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    name = profile.find("sRGB built-in".encode("utf-16-be"))
    profile[name : name + 8] = "Swap".encode("utf-16-be")
    picture = photograph.copy()
    picture.info["save"] = {"icc_profile": bytes(profile)}
    outcome = processed(tmp_path, picture)
    plain = np.asarray(photograph)
    written = np.asarray(Image.open(outcome.output_file))
    assert outcome.mask is not None
    inside = outcome.mask > 0
    assert (written[~inside] == 255).all()
    assert np.abs(written[inside][:, [1, 0, 2]].astype(int) - plain[inside]).mean() < 2


def test_the_quality_is_lowered_until_the_file_fits(tmp_path: Path, photograph: Image.Image) -> None:
    free = processed(tmp_path, photograph, format="jpeg").packshots[0]
    limit = free.bytes * 2 // 3
    fitted = processed(tmp_path, photograph, format="jpeg", max_bytes=limit).packshots[0]
    assert fitted.quality is not None and fitted.bytes <= limit < free.bytes
    assert Path(fitted.file).stat().st_size == fitted.bytes
    again = processed(tmp_path, photograph, format="jpeg", quality=fitted.quality + 1).packshots[0]
    assert again.bytes > limit, "a higher quality would have fitted"


def test_a_limit_that_nothing_fits_fails_the_picture(tmp_path: Path, photograph: Image.Image) -> None:
    for kind in ("jpeg", "png"):
        outcome = processed(tmp_path, photograph, format=kind, max_bytes=600)
        assert outcome.status == "failed" and "600" in outcome.verdict.reason
        assert outcome.verdict.reason.startswith("the packshot "), "and not by a temporary file's name"
        assert not list((tmp_path / "out").glob("in*"))


def test_same_bytes_again(tmp_path: Path, photograph: Image.Image) -> None:
    wanted = {"marketplace": "google", "size": "300x300"}
    first = Path(processed(tmp_path, photograph, **wanted).output_file).read_bytes()
    assert Path(processed(tmp_path, photograph, **wanted).output_file).read_bytes() == first


@pytest.mark.parametrize("mode", ["CMYK", "I;16", "RGBA", "L", "P"])
def test_other_modes_come_out_as_srgb(tmp_path: Path, photograph: Image.Image, mode: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(photograph.convert("L")).astype(np.uint16) * 257)
    else:
        picture = photograph.convert(mode)
    path = tmp_path / "in.tif"
    picture.save(path)
    request = Request(products="car", make="packshot", marketplace="google", size="300x300")
    outcome = PictureProcessor(request, fixed_finder(), NoEngine()).process(path, folder, "in")
    assert outcome.status == "found", outcome.verdict
    assert outcome.packshots[0].passed
    with Image.open(outcome.output_file) as image:
        assert (image.mode, image.size) == ("RGB", (300, 300))


def test_a_marketplace_leaves_what_the_user_set() -> None:
    request = Request(products="car", make="packshot", marketplace="amazon,zalando", size="1200x1200", ground="colour")
    amazon, zalando = targets_of(request)
    assert (amazon.request.size, amazon.request.ground, amazon.request.fill) == ("1200x1200", "colour", 0.9)
    assert zalando.request.size == "1200x1200" and set(zalando.made) >= {"fill", "format"}
    assert not {"size", "ground"} & set(amazon.made)
    assert amazon.limit == 10_000_000
    (alone,) = targets_of(Request(products="car", make="packshot"))
    assert (alone.request.ground, alone.request.size, alone.request.fill) == ("white", "", 0.0)


def test_wrong_names_and_formats_are_named() -> None:
    for changes, field in (
        ({"marketplace": "amazn"}, "marketplace"),
        ({"size": "huge"}, "size"),
        ({"file_names": "{stem}-{shop}"}, "file_names"),
        ({"ground": "transparent", "format": "jpeg"}, "format"),
        ({"marketplace": "amazon,google", "file_names": "{stem}"}, "file_names"),
    ):
        with pytest.raises(RequestError) as caught:
            Request(products="car", make="packshot", **changes)
        assert [problem.field for problem in caught.value.problems] == [field]


def test_a_users_marketplace_that_sets_no_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = tmp_path / "mine.json"
    monkeypatch.setenv("PRODSHOT_MARKETPLACES", str(rules))
    for setting, told in (("colour", "unknown setting"), ("fill", "not a number")):
        rules.write_text(json.dumps({"mine": {"make": {setting: {"value": "much"}}}}))
        where = rf"the rules of mine cannot be used: .*line 1, field mine.make.{setting}"
        with pytest.raises(RequestError, match=rf"marketplace: {where}: .*{told}"):
            targets_of(Request(products="car", make="packshot", marketplace="mine"))


@pytest.mark.parametrize("pattern", ["{", "{}", "{stem", "a/{stem}", "{stem}:x", "{n}", "{stem.real}x{a.b}"])
def test_a_pattern_that_gives_no_file_names_is_refused(pattern: str) -> None:
    assert name_problem(pattern, 1)


def test_patterns() -> None:
    assert file_stem("{marketplace} {stem} {n}", "a", "shoe", "ebay", 3) == "ebay a 3"
    assert not name_problem("{product}-{stem}-{n}", 3)


def test_the_command_writes_files_and_report_and_says_what_is_set(
    tmp_path: Path, photograph: Image.Image, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "load_finder", lambda name, folder=None: fixed_finder())
    photograph.save(tmp_path / "bag.jpg", quality=95)
    out = tmp_path / "out"
    line = ["packshot", str(tmp_path / "bag.jpg"), "--products", "car", "--out", str(out)]
    assert main([*line, "--marketplace", "zalando,google", "--size", "762x1100", "--edges", "hard"]) == 0
    told = capsys.readouterr()
    assert "zalando sets ground white, fill 0.9" in told.err
    assert "left as set: size 762x1100" in told.err
    assert "1 found" in told.out and "1 need a look" in told.out
    assert {path.name for path in out.glob("bag*")} == {
        "bag-zalando.jpg", "bag-google.jpg", "bag.mask.png", "bag.alpha.png"
    }  # fmt: skip
    (report,) = [json.loads(text) for text in (out / "report.jsonl").read_text().splitlines()]
    assert [made["output"] for made in report["packshots"]] == [
        str(out / "bag-zalando.jpg"),
        str(out / "bag-google.jpg"),
    ]
    assert "zalando pass | google pass" in (out / "report.csv").read_text()
    assert main([*line, "--size", "90x90"]) == 0
    with Image.open(out / "bag.png") as image:
        assert image.size == (90, 90)


def test_a_packshot_that_its_marketplace_would_refuse_ends_in_exit_code_1(
    tmp_path: Path, photograph: Image.Image, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "load_finder", lambda name, folder=None: fixed_finder())
    photograph.save(tmp_path / "bag.jpg", quality=95)
    line = ["packshot", str(tmp_path / "bag.jpg"), "--products", "car", "--out", str(tmp_path / "out")]
    grey = ["--ground", "colour", "--ground-colour", "#f0f0f0", "--size", "600x600"]
    assert main([*line, "--marketplace", "amazon", *grey]) == 1
    assert "amazon would refuse it: white_ground" in capsys.readouterr().err
