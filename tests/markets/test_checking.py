"""The checker measures the written file, decoded again, and says what a rule asks for and how to mend it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms, ImageFilter

from lib_prodshot.cli import main
from lib_prodshot.markets.checking import UNITS, Check, Checked, check_file
from lib_prodshot.markets.measuring import Measures
from lib_prodshot.markets.rules import CHOICES, FLAGS, NUMBERS, chosen, marketplaces

RANDOM = np.random.default_rng(7)
TEXTURE = RANDOM.integers(30, 200, (1000, 1000, 3)).astype(np.uint8)


def packshot(side: int = 600, fill: float = 0.9, ground: int = 255) -> Image.Image:
    """A textured square on a plain ground."""
    picture = Image.new("RGB", (side, side), (ground,) * 3)
    product = round(side * fill)
    patch = Image.fromarray(TEXTURE).resize((product, product), Image.Resampling.NEAREST)
    picture.paste(patch, ((side - product) // 2, (side - product) // 2))
    return picture


def written(folder: Path, picture: Image.Image, name: str = "a.png", **options: Any) -> Path:
    path = folder / name
    picture.save(path, **options)
    return path


def answers(path: Path, market: str = "amazon", **options: Any) -> dict[str, Checked]:
    return {rule.rule: rule for rule in check(path, market, **options).rules}


def check(path: Path, market: str = "amazon", **options: Any) -> Check:
    return check_file(path, chosen(market)[0], **options)


def test_a_good_packshot_passes(tmp_path: Path) -> None:
    result = check(written(tmp_path, packshot(1600)))
    assert result.passed and not result.of("fail", "warning")
    assert [rule.rule for rule in result.of("not checked")] == ["product", "text", "watermark"]


@pytest.mark.parametrize("market", list(marketplaces()))
def test_every_rule_of_every_marketplace_is_answered(tmp_path: Path, market: str) -> None:
    result = check(written(tmp_path, packshot(400)), market)
    names = [rule.rule for rule in result.rules if rule.rule != "product"]
    assert names == [rule.name for rule in chosen(market)[0].rules]
    assert all(rule.fix for rule in result.of("fail", "warning", "not checked"))
    assert all(rule.required for rule in result.rules)
    json.dumps(result.to_json())


def test_every_measure_is_one_of_the_measures() -> None:
    assert {name for name in NUMBERS | CHOICES | FLAGS if not hasattr(Measures, name)} == {"text", "watermark"}


@pytest.mark.parametrize("level", [254, 250])
def test_almost_white_is_not_white(tmp_path: Path, level: int) -> None:
    found = answers(written(tmp_path, packshot(fill=0.88, ground=level)))["white_ground"]
    assert found.status == "fail"
    assert found.measured == pytest.approx(600**2 - 528**2, rel=0.03)
    assert "--ground white" in found.fix


def test_a_single_grey_pixel_far_from_the_product_is_counted(tmp_path: Path) -> None:
    picture = packshot()
    picture.putpixel((5, 5), (255, 254, 255))
    assert answers(written(tmp_path, picture))["white_ground"].measured == 1


def test_the_alpha_that_made_the_picture_says_where_the_ground_is(tmp_path: Path) -> None:
    """Without it a spot that touches the product passes for product."""
    picture = packshot(fill=0.86)
    spot = picture.copy()
    spot.paste((200, 200, 200), (300, 550, 330, 580))
    alpha = np.where((np.asarray(picture) != 255).any(axis=2), np.uint8(255), np.uint8(0))
    path = written(tmp_path, spot)
    assert answers(path)["white_ground"].status == "pass"
    told = answers(path, alpha=alpha)
    assert told["white_ground"].measured == int(np.count_nonzero((np.asarray(spot) != 255).any(axis=2) & (alpha == 0)))
    assert told["white_ground"].measured > 600 and "product" not in told


@pytest.mark.parametrize(("subsampling", "side"), [(0, 8), (2, 16)])
def test_jpeg_ringing_is_told_apart_from_the_ground(tmp_path: Path, subsampling: int, side: int) -> None:
    picture = packshot(fill=0.859)
    alpha = np.where((np.asarray(picture) != 255).any(axis=2), np.uint8(255), np.uint8(0))
    told = answers(written(tmp_path, picture, "a.jpg", quality=80, subsampling=subsampling), alpha=alpha)
    assert told["white_ground"].measured == 0
    assert told["ringing"].measured > 12 and told["ringing"].status == "warning"
    spoilt = np.asarray(picture).copy()
    spoilt[8 * side : 8 * side + side, 0:side] = 240
    told = answers(
        written(tmp_path, Image.fromarray(spoilt), "b.jpg", quality=95, subsampling=subsampling), alpha=alpha
    )
    assert told["white_ground"].measured >= side**2 and told["white_ground"].status == "fail"
    lossless = answers(written(tmp_path, picture), alpha=alpha)
    assert (lossless["white_ground"].measured, lossless["ringing"].measured) == (0, 0)


def soft_packshot(
    folder: Path, ground: npt.NDArray[np.float32], quality: int = 92
) -> tuple[Path, npt.NDArray[np.uint8]]:
    """A textured disc with a soft edge, a light rim and a thin strap, on a ground (600×600, levels); its alpha."""
    shape = cv2.circle(np.zeros((600, 600), np.float32), (300, 300), 265, 1, -1)
    cv2.line(shape, (300, 40), (330, 20), 1, 2)
    alpha = cv2.GaussianBlur(shape, (0, 0), 1.5)
    alpha[alpha < 0.02] = 0
    product = np.asarray(Image.fromarray(TEXTURE).resize((600, 600), Image.Resampling.NEAREST), np.float32)
    rows, columns = np.mgrid[:600, :600]
    product[np.abs(np.hypot(rows - 300, columns - 300) - 262) < 4] = (248, 246, 247)
    mixed = product * alpha[..., None] + ground[..., None] * (1 - alpha[..., None])
    path = written(folder, Image.fromarray(np.rint(mixed).astype(np.uint8)), "soft.jpg", quality=quality, subsampling=0)
    return path, np.rint(alpha * 255).astype(np.uint8)


WHITE = np.full((600, 600), 255, np.float32)


@pytest.mark.parametrize("quality", [75, 92])
def test_a_packshots_own_file_is_judged_alike_without_its_alpha(tmp_path: Path, quality: int) -> None:
    """Soft edges, ringing and a rim that is nearly white are the product's, from the file alone too."""
    path, alpha = soft_packshot(tmp_path, WHITE, quality)
    known, alone = answers(path, alpha=alpha), answers(path)
    assert known["white_ground"].measured == alone["white_ground"].measured == 0
    assert alone["fill"].measured == pytest.approx(known["fill"].measured, abs=0.02)


def around(reach: float, level: float) -> npt.NDArray[np.float32]:
    rows, columns = np.mgrid[:600, :600]
    return np.where(np.hypot(rows - 300, columns - 300) < reach, np.float32(level), np.float32(255))


@pytest.mark.parametrize(
    ("ground", "least"),
    [
        pytest.param(WHITE - 3, 50_000, id="off-white ground"),
        pytest.param(around(295, 250), 5_000, id="grey veil"),
        pytest.param(np.pad(WHITE[5:-5, 5:-5], 5, constant_values=251), 5_000, id="border"),
        pytest.param(np.pad(WHITE[20:, :], ((0, 20), (0, 0)), constant_values=251), 5_000, id="shadow below"),
    ],
)
def test_ground_that_is_not_white_is_counted_from_the_file_alone(
    tmp_path: Path, ground: npt.NDArray[np.float32], least: int
) -> None:
    found = answers(soft_packshot(tmp_path, ground)[0])["white_ground"]
    assert found.status == "fail" and found.measured >= least


def test_a_dark_speck_beside_the_product_is_no_soft_edge(tmp_path: Path) -> None:
    ground = WHITE.copy()
    ground[300, 578] = 60
    found = answers(soft_packshot(tmp_path, ground)[0])["white_ground"]
    assert found.status == "fail" and 1 <= found.measured < 100


def test_a_photograph_without_ground_has_no_white_one(tmp_path: Path) -> None:
    noise = Image.fromarray(TEXTURE)
    told = answers(written(tmp_path, noise))
    assert told["white_ground"].status == "fail"
    assert (told["fill"].status, told["fill"].measured) == ("not checked", None)


@pytest.mark.parametrize(("fill", "status"), [(0.84, "fail"), (0.855, "pass")])
def test_fill_is_the_longer_side_of_the_products_box(tmp_path: Path, fill: float, status: str) -> None:
    found = answers(written(tmp_path, packshot(fill=fill)))["fill"]
    assert (found.status, found.measured) == (status, pytest.approx(fill, abs=0.002))


def test_size_ratio_bytes_and_format(tmp_path: Path) -> None:
    told = answers(written(tmp_path, packshot(400).crop((0, 0, 400, 300)), "b.bmp"))
    assert (told["size"].status, told["size"].measured, told["size"].required) == ("fail", 400, "at least 500")
    assert told["file_format"].status == "fail" and told["square"].status == "warning"
    large = written(tmp_path, Image.fromarray(RANDOM.integers(0, 256, (2200, 2200, 3), np.uint8)), "c.png")
    assert answers(large, "walmart")["bytes"].status == "fail"


def test_extension_must_fit_what_the_bytes_are(tmp_path: Path) -> None:
    path = written(tmp_path, packshot(), "x.jpg", format="PNG")
    assert answers(path, "google")["extension"].status == "fail"
    assert answers(path, "google")["file_format"].measured == "PNG"


def test_colour_mode_and_profile(tmp_path: Path) -> None:
    cmyk = written(tmp_path, packshot().convert("CMYK"), "cmyk.tif")
    assert answers(cmyk, "walmart")["colour_mode"].status == "fail"
    assert answers(cmyk)["colour_mode"].status == "pass"
    grey = written(tmp_path, packshot().convert("L"), "grey.png")
    assert answers(grey)["colour_mode"].measured == "grey"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tagged = written(tmp_path, packshot(600), "tagged.jpg", icc_profile=srgb)
    assert answers(tagged)["colour_profile"].measured == "sRGB"
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    odd = written(tmp_path, packshot(600), "odd.png", icc_profile=lab)
    assert answers(odd)["colour_profile"].status == "warning"


def test_transparency(tmp_path: Path) -> None:
    picture = packshot(700).convert("RGBA")
    picture.putalpha(picture.convert("L").point(lambda level: 0 if level == 255 else 255))
    path = written(tmp_path, picture)
    told = answers(path)
    assert told["opaque"].status == "fail" and "product" not in told
    assert Measures(path).support.how == "the file's own alpha"


def shaded(reach: int, ground: int = 255) -> tuple[Image.Image, npt.NDArray[np.uint8]]:
    """A packshot with a soft shadow below that is so wide to both sides, and the product's alpha."""
    picture = np.asarray(packshot(fill=0.86))
    soft = np.zeros((600, 600), np.float32)
    cv2.ellipse(soft, (300, 565), (reach, 16), 0, 0, 360, 0.4, -1)
    soft = cv2.GaussianBlur(soft, (0, 0), 8)[..., None]
    product = (picture != 255).any(axis=2)
    shown = np.where(product[..., None], picture, (ground * (1 - soft)).astype(np.uint8))
    return Image.fromarray(shown), np.where(product, np.uint8(255), np.uint8(0))


def test_shadow_is_seen_on_the_ground(tmp_path: Path) -> None:
    told = answers(written(tmp_path, shaded(220)[0]))
    assert told["shadow"].status == "warning" and told["shadow"].measured > 0.005
    assert answers(written(tmp_path, packshot()))["shadow"].measured == 0


@pytest.mark.parametrize(
    ("reach", "ground", "is_known", "advice"),
    [
        (50, 255, False, "look: it may be the product's own white, or a veil"),
        (220, 255, False, "leave the shadow away"),
        (50, 230, False, "leave the shadow away"),
        (50, 255, True, "leave the shadow away"),
    ],
)
def test_a_little_shadow_on_white_is_to_be_looked_at(
    tmp_path: Path, reach: int, ground: int, is_known: bool, advice: str
) -> None:
    picture, alpha = shaded(reach, ground)
    found = answers(written(tmp_path, picture), alpha=alpha if is_known else None)["shadow"]
    assert found.status == "warning" and found.fix.startswith(advice) and found.fix.endswith("--shadow none")


def test_a_products_own_shades_behind_its_soft_edge_are_no_shadow(tmp_path: Path) -> None:
    """A grey product, enlarged: soft all around, and at one place as light as the page, whence it darkens evenly."""
    rows, columns = np.mgrid[:1000, :1000]
    alpha = cv2.circle(np.zeros((1000, 1000), np.float32), (500, 500), 350, 1, -1)
    alpha = cv2.GaussianBlur(alpha, (0, 0), 2.5)[..., None]
    away = np.hypot(rows - 500, columns - 150)
    product = np.clip(255 - 1.2 * np.maximum(away - 20, 0), 90, 255)[..., None].repeat(3, axis=2)
    page = np.rint(product * alpha + 255 * (1 - alpha)).astype(np.uint8)
    assert answers(written(tmp_path, Image.fromarray(page)))["shadow"].measured == 0
    soft = cv2.GaussianBlur(np.where(np.hypot((rows - 860) * 4, columns - 500) < 300, 0.4, 0.0), (0, 0), 20)[..., None]
    shaded = np.rint(product * alpha + 255 * (1 - soft) * (1 - alpha)).astype(np.uint8)
    assert answers(written(tmp_path, Image.fromarray(shaded)))["shadow"].status == "warning"


def test_a_frame_around_the_picture_is_a_border_and_a_white_margin_is_none(tmp_path: Path) -> None:
    picture = packshot()
    framed = picture.copy()
    for box in ((0, 0, 600, 6), (0, 594, 600, 600), (0, 0, 6, 600), (594, 0, 600, 600)):
        framed.paste((20, 20, 160), box)
    assert answers(written(tmp_path, framed), "ebay")["border"].measured == 4
    assert answers(written(tmp_path, picture), "ebay")["border"].status == "pass"
    grey = packshot(ground=200)
    assert answers(written(tmp_path, grey.crop((0, 0, 600, 300))), "ebay")["border"].status == "pass"


def test_blur_and_exposure_are_warnings(tmp_path: Path) -> None:
    sharp = packshot(fill=0.9)
    blurred = sharp.filter(ImageFilter.GaussianBlur(9))
    assert answers(written(tmp_path, sharp))["sharpness"].status == "pass"
    assert answers(written(tmp_path, blurred))["sharpness"].status == "warning"
    black = Image.new("RGB", (600, 600), "white")
    black.paste((0, 0, 0), (30, 30, 570, 570))
    assert answers(written(tmp_path, black))["exposure"].status == "warning"


@pytest.mark.parametrize("quality", [55, 75, 90, 95, 99])
def test_jpeg_quality_is_read_from_the_tables(tmp_path: Path, quality: int) -> None:
    path = written(tmp_path, packshot(64), "q.jpg", quality=quality)
    assert Measures(path).jpeg_quality == pytest.approx(quality, abs=1)


def test_a_coming_rule_warns_until_its_day(tmp_path: Path) -> None:
    path = written(tmp_path, packshot(300))
    before = answers(path, "google", today=date(2026, 11, 27))["size_from_2027"]
    after = answers(path, "google", today=date(2027, 1, 31))["size_from_2027"]
    assert (before.status, after.status) == ("warning", "fail")
    assert before.required == "from 2027-01-31 on: at least 500"


def test_a_file_that_cannot_be_read_fails(tmp_path: Path) -> None:
    broken = tmp_path / "a.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    result = check(broken)
    assert not result.passed and result.rules[0].rule == "readable"


def test_the_command_prints_a_line_a_picture_and_marketplace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = written(tmp_path, packshot(1600), "good.jpg", quality=95), written(tmp_path, packshot(300), "bad.png")
    assert main(["check", str(good), str(bad), "--marketplace", "amazon,google", "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(Path(line["file"]).name, line["marketplace"], line["passed"]) for line in lines] == [
        ("good.jpg", "amazon", True),
        ("good.jpg", "google", True),
        ("bad.png", "amazon", False),
        ("bad.png", "google", True),
    ]
    assert all(set(line) == {"file", "marketplace", "passed", "rules"} for line in lines)
    assert {tuple(rule) for line in lines for rule in line["rules"]} == {
        ("rule", "measured", "required", "status", "fix")
    }
    assert main(["check", str(good), "--marketplace", "amazon"]) == 0
    assert f"{good}: amazon: pass" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--marketplace", "amazn"], "nearest: amazon"),
        ([], "name one: --marketplace"),
        (["--marketplace", "amazon", "--on", "soon"], "'soon' is not a day"),
    ],
)
def test_wrong_usage_is_one_line(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, packshot(64))
    assert main(["check", str(path), *options]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1


def test_a_users_rules_and_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRODSHOT_MARKETPLACES", "")  # the command names the file there, for processes that it starts
    rules = tmp_path / "mine.json"
    rules.write_text(json.dumps({"mine": {"rules": {"size": {"measure": "width", "min": 65}}}}))
    path = written(tmp_path, packshot(64))
    assert main(["check", str(path), "--marketplace", "mine", "--rules", str(rules)]) == 1
    assert main(["check", "--list", "--rules", str(rules)]) == 0
    told = capsys.readouterr().out
    assert "fail: size: width at least 65 pixels [mine.json; no day; user]" in told
    assert "zalando: Zalando, packshot" in told


@pytest.mark.parametrize("size", [(1, 1), (300, 1), (1, 300), (2, 2), (3, 1)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_picture_of_a_few_pixels_is_measured(tmp_path: Path, size: tuple[int, int], mode: str) -> None:
    path = written(tmp_path, Image.new(mode, size, 90 if mode == "L" else (90, 40, 40, 128)[: len(mode)]))
    for market in marketplaces():
        assert len(check(path, market).rules) > 1


def test_a_reader_is_told_what_is_counted_and_whose_options_are_named(tmp_path: Path) -> None:
    text = check(written(tmp_path, packshot(400, fill=0.5, ground=250))).to_text()
    assert ": 400 pixels, required: at least" in text
    assert "fill: 0.5 of the frame's side, required: at least 0.85" in text
    assert " pixels of the ground are not white, required: " in text, text
    assert text.endswith(
        "\n  (the options are those of prodshot packshot, which makes the picture anew from its photograph)"
    )
    assert "options" not in check(written(tmp_path, packshot(1600))).to_text()


def test_every_number_has_its_unit() -> None:
    assert set(UNITS) == NUMBERS
