"""Every row of the table of formats, by readers that are not ours: ExifTool for what a file says, tifffile and
imagecodecs for its samples. Nothing may be lost without a word."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

tifffile = pytest.importorskip("tifffile")
imagecodecs = pytest.importorskip("imagecodecs", reason="the independent readers are in the suite's own environment")
pytest.importorskip("pillow_heif")

from lib_prodshot import pictures  # noqa: E402 - not where the readers are missing
from lib_prodshot.bootstrap import ROOT  # noqa: E402
from lib_prodshot.errors import PictureError  # noqa: E402
from lib_prodshot.pictures import facts, formats, heif  # noqa: E402
from lib_prodshot.pictures.formats import KEPT, REFUSED, SAID, TABLE  # noqa: E402
from tests.exiftool import told_by_exiftool  # noqa: E402
from tests.pictures.files import Made, made  # noqa: E402
from tests.pictures.photographs import changed_inside  # noqa: E402

WITHOUT_FILES = {
    ("AVIF", "no decoder"),
    ("AVIF", "deep, no decoder"),
    ("HEIF", "no decoder"),
    ("AVIF", "premultiplied"),
}
"""Rows about this machine, and one that no encoder at hand makes; tests of their own are below."""

COMPARED = {
    "TIFF": ("BitsPerSample", "SamplesPerPixel", "PhotometricInterpretation", "ExtraSamples", "Orientation"),
    "PNG": ("BitDepth", "ColorType", "Palette", "Transparency"),
    "WEBP": ("WebP_Flags",),
    "BMP": ("BitDepth",),
}
"""What ExifTool must say alike of a kept file and its result, where both have one format."""


EVERYTHING = ("-b", "-Palette", "-Transparency", "-all:all")

DEFAULTS = {"BitsPerSample": 1, "SamplesPerPixel": 1}
"""What a TIFF means that leaves a tag out."""


def samples_of(path: Path) -> np.ndarray:
    """The samples of a result by a reader that is not ours; palettes of PNG, BMP and TGA as colours."""
    data = path.read_bytes()
    if path.suffix == ".tif":
        with tifffile.TiffFile(io.BytesIO(data)) as opened:
            return np.asarray(opened.pages[0].asarray())
    if path.suffix == ".png":
        return np.asarray(imagecodecs.png_decode(data))
    if path.suffix == ".webp":
        return np.asarray(imagecodecs.webp_decode(data))
    if path.suffix in (".ppm", ".pbm"):
        return netpbm(data)
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert({"P": "RGB", "1": "L"}.get(image.mode, image.mode)))


def netpbm(data: bytes) -> np.ndarray:
    magic, size, rest = data.split(b"\n", 2)
    width, height = map(int, size.split())
    if magic == b"P4":
        return np.unpackbits(np.frombuffer(rest, np.uint8).reshape(height, -1), axis=1)[:, :width] == 0
    maximum, _, body = rest.partition(b"\n")
    channels = 3 if magic == b"P6" else 1
    levels = np.frombuffer(body, np.uint8 if int(maximum) < 256 else ">u2").astype(
        np.uint8 if int(maximum) < 256 else np.uint16
    )
    return levels.reshape((height, width, 3) if channels == 3 else (height, width))


def test_every_row_has_a_file() -> None:
    assert set(made()) | WITHOUT_FILES == set(TABLE)
    print(f"{len(TABLE)} rows, {sum(map(len, made().values()))} files")


@pytest.mark.parametrize(("form", "kind"), sorted(set(TABLE) - WITHOUT_FILES), ids=lambda value: value)
def test_a_row_is_as_the_table_says(
    form: str, kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    row = TABLE[form, kind]
    kept: list[tuple[Path, Path]] = []
    for number, file in enumerate(made()[form, kind]):
        source = tmp_path / f"in{number}{file.suffix}"
        source.write_bytes(file.data)
        if row.fate == REFUSED:
            with pytest.raises(PictureError) as refused:
                pictures.read(source)
            assert str(refused.value) == f"{source} {row.says}"
            continue
        picture = pictures.read(source)
        said = row.says.split("{")[0]
        assert any(said in note for note in picture.notes) if row.fate == SAID else not picture.notes, picture.notes
        kept.append((source, check_result(picture, file, tmp_path / f"out{number}{pictures.output_suffix(picture)}")))
    if row.fate == KEPT:
        compare_headers(form, kept)
    told = capfd.readouterr()
    assert not told.err and not told.out, "a library printed something"
    assert not [str(warning.message) for warning in recwarn]


def check_result(picture: pictures.LoadedPicture, file: Made, target: Path) -> Path:
    new, alpha = changed_inside(picture)
    result = pictures.restore(picture, new, alpha)
    pictures.write(result, target)
    again = pictures.read(target)
    np.testing.assert_array_equal(again.native, result.native)
    if picture.extra is not None:
        np.testing.assert_array_equal(again.extra, picture.extra)
    if file.truth is None:
        return target
    written = samples_of(target)
    assert written.dtype == file.truth.dtype and written.shape == file.truth.shape, (written.shape, written.dtype)
    outside = alpha == 0
    if picture.format == "JPEG2000" and "YCC" in str(picture.notes):
        assert np.abs(written[outside].astype(int) - file.truth[outside]).max() <= 2
    else:
        np.testing.assert_array_equal(written[outside], file.truth[outside])
    assert (written[alpha > 0] != file.truth[alpha > 0]).any()
    return target


def compare_headers(form: str, kept: list[tuple[Path, Path]]) -> None:
    pairs = [(before, after) for before, after in kept if before.suffix == after.suffix]
    if not pairs or form not in COMPARED:
        return
    told = told_by_exiftool(EVERYTHING, *(path for pair in pairs for path in pair))
    for before, after in zip(told[::2], told[1::2]):
        for name in COMPARED[form]:
            assert after.get(name, DEFAULTS.get(name)) == before.get(name, DEFAULTS.get(name)), (name, before)


def test_deep_avif_without_a_decoder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_opencv_reads_avif", lambda: False)
    with pytest.raises(PictureError, match="has 10 bits per sample, of which only 8 could be read here "):
        pictures.read(made()["AVIF", "colour 10"][0].data)


@pytest.mark.parametrize(
    ("version", "command"), [("9.5.0", "pip install pillow-heif==0.13.1"), ("12.0", "pip install pillow-heif")]
)
def test_heic_without_a_decoder_is_named(
    version: str, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(heif, "find_spec", lambda name: None)
    monkeypatch.setattr(heif.PIL, "__version__", version)
    disguised = tmp_path / "phone.jpg"
    disguised.write_bytes(made()["HEIF", "colour 8"][0].data)
    with pytest.raises(PictureError) as refused:
        pictures.read(disguised)
    assert (
        str(refused.value) == f"{disguised} is HEIC/HEIF, whatever its name says; {command}, or save it as JPEG or PNG"
    )


def test_a_kind_that_nobody_thought_of_is_refused() -> None:
    with pytest.raises(PictureError, match="of a kind that cannot be kept"):
        formats.row_of("TIFF", "smell")


def test_the_documentation_shows_the_same_table() -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    shown = text[text.index("| TIFF |") : text.index("\n\n## Descriptions")].partition("\n\n")[0].splitlines()
    assert shown == [
        f"| {row.format} | {row.kind} | {row.fate} | {row.result or '–'} | {row.says or '–'} |"
        for row in TABLE.values()
    ]
