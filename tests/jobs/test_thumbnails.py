"""Thumbnails drawn of what is still in memory are those of the files, and the files are not decoded for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.enhancing import load_enhancer
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.jobs.report.thumbnails import Held, encode, held_of, thumbnails_of
from lib_prodshot.request import Request
from tests.finders import fixed_finder
from tests.jobs.photographs import make_picture

SIDE = 60


def file_of(folder: Path, kind: str) -> Path:
    picture = make_picture(1, 192)
    if kind.startswith("turned"):
        exif = Image.Exif()
        exif[0x0112] = 6
        suffix = kind.removeprefix("turned ")
        picture.save(folder / f"x{suffix}", exif=exif)
        return folder / f"x{suffix}"
    if kind == "16 bit":
        Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257).save(folder / "x.png")
        return folder / "x.png"
    if kind == "key":
        picture.save(folder / "x.png", transparency=picture.getpixel((96, 96)))
        return folder / "x.png"
    suffix = {"CMYK": ".tif", "JPEG": ".jpg"}.get(kind, ".png")
    picture.convert("RGB" if kind == "JPEG" else kind).save(folder / f"x{suffix}")
    return folder / f"x{suffix}"


@pytest.mark.parametrize(
    ("kind", "is_plain"),
    [
        ("JPEG", True),
        ("RGB", True),
        ("turned .jpg", True),
        ("turned .png", True),
        ("turned .tif", True),
        ("RGBA", False),
        ("L", False),
        ("P", False),
        ("key", False),
        ("16 bit", False),
        ("CMYK", False),
    ],
)
def test_what_is_held_is_drawn_as_its_file(kind: str, is_plain: bool, tmp_path: Path) -> None:
    source, out = file_of(tmp_path, kind), tmp_path / "out"
    out.mkdir()
    outcome = PictureProcessor(Request(products="mug"), fixed_finder(), load_enhancer("retouch")).process(
        source, out, "x"
    )
    assert outcome.status == "found", outcome.verdict.reason
    held, line = held_of(outcome), outcome.to_json()
    assert (held.result is not None) == is_plain and held.mask is not None
    assert (held.before is not None) == (is_plain and source.suffix == ".png")
    read = encode(thumbnails_of(line, out, SIDE))
    assert None not in read and encode(thumbnails_of(line, out, SIDE, held=held)) == read
    for result in [*out.iterdir(), *([source] if held.before is not None else [])]:
        result.unlink()
    drawn = thumbnails_of(line, out, SIDE, held=held)
    assert drawn.overlay is not None and (drawn.after is not None) == is_plain


def test_a_packshot_is_drawn_from_its_file(tmp_path: Path) -> None:
    source, out = file_of(tmp_path, "JPEG"), tmp_path / "out"
    out.mkdir()
    request = Request(products="mug", make="packshot", size="400x400")
    outcome = PictureProcessor(request, fixed_finder(), load_enhancer(request.running_engine)).process(source, out, "x")
    assert outcome.packshots and held_of(outcome).result is None
    read = encode(thumbnails_of(outcome.to_json(), out, SIDE))
    assert None not in read and encode(thumbnails_of(outcome.to_json(), out, SIDE, held=held_of(outcome))) == read


def test_nothing_is_held_of_what_another_machine_made(tmp_path: Path) -> None:
    source, out = file_of(tmp_path, "JPEG"), tmp_path / "out"
    out.mkdir()
    outcome = PictureProcessor(Request(products="mug"), fixed_finder(), load_enhancer("retouch")).process(
        source, out, "x"
    )
    outcome.result = outcome.mask = None
    assert held_of(outcome) == Held()
    assert thumbnails_of(outcome.to_json(), out, SIDE, held=held_of(outcome)).after is not None
