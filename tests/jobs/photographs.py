"""Folders of real pictures for the folder job: crops, flips and compositions of scikit-image's photographs.

The same numbers give the same files, so that two processes can make the same folder.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageOps

PHOTOGRAPHS = ("coffee.png", "motorcycle_left.png", "chelsea.png", "astronaut.png", "rocket.jpg", "moon.png")
FORMATS = (".jpg", ".png", ".webp", ".tif", ".bmp", ".JPG")
FOLDERS = ("", "new", "new/bags & shoes", "old/2023")


@cache
def photograph(name: str) -> Image.Image:
    with Image.open(Path(skimage.data.__file__).parent / name) as image:
        return image.convert("RGB")


def make_picture(number: int, side: int) -> Image.Image:
    """Picture `number`: a crop, a flip, or two photographs side by side, at most `side` pixels high and wide."""
    chance = np.random.default_rng(number)
    picture = _crop(photograph(PHOTOGRAPHS[number % len(PHOTOGRAPHS)]), chance)
    if number % 3 == 1:
        picture = ImageOps.mirror(picture)
    if number % 5 == 4:
        other = _crop(photograph(PHOTOGRAPHS[(number // 2) % len(PHOTOGRAPHS)]), chance).resize(picture.size)
        both = Image.new("RGB", (picture.width * 2, picture.height))
        both.paste(picture, (0, 0))
        both.paste(other, (picture.width, 0))
        picture = both
    picture.thumbnail((side, side))
    return picture


def _crop(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    share = chance.uniform(0.75, 1.0)
    width, height = (max(8, round(length * share)) for length in picture.size)
    x, y = (int(chance.integers(0, room + 1)) for room in (picture.width - width, picture.height - height))
    return picture.crop((x, y, x + width, y + height))


def make_folder(folder: Path, count: int, broken: int = 0, side: int = 128) -> list[str]:
    """Put `count` pictures, `broken` of which cannot be read, into `folder` and sub-folders; returns the names."""
    names = []
    for number in range(count):
        inside = FOLDERS[number % len(FOLDERS)]
        suffix = FORMATS[number % len(FORMATS)]
        name = f"{inside}/IMG_{number // 2:04}{suffix}" if inside else f"IMG_{number // 2:04}{suffix}"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if broken and number % (count // broken) == count // broken // 2 and number // (count // broken) < broken:
            path.write_bytes(BROKEN[number // (count // broken) % len(BROKEN)](number))
        else:
            options = {"quality": 90} if suffix.lower() == ".jpg" else {}
            make_picture(number, side).save(path, **options)
        names.append(name)
    return names


LONG = "x" * 246 + ".png"
"""A name of 250 bytes, which leaves no room for '.alpha.png'."""


def add_trouble(folder: Path) -> list[str]:
    """Put what once ended a job into a folder made by `make_folder`: a name of 250 bytes, a named pipe, and a link to a
    folder with two pictures that stands beside it. Returns the names; only the pipe cannot be read."""
    make_picture(0, 96).save(folder / LONG)
    os.mkfifo(folder / "pipe.jpg")
    beside = folder.with_name(folder.name + "-linked")
    beside.mkdir()
    for number in range(2):
        make_picture(number, 96).save(beside / f"{number}.png")
    (folder / "linked").symlink_to(beside, target_is_directory=True)
    return [LONG, "pipe.jpg", "linked/0.png", "linked/1.png"]


def _encoded(number: int, kind: str) -> bytes:
    file = io.BytesIO()
    make_picture(number, 96).save(file, kind)
    return file.getvalue()


def _bomb(number: int) -> bytes:
    """A PNG whose header claims ten thousand megapixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def _spoilt(number: int) -> bytes:
    data = bytearray(_encoded(number, "PNG"))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


BROKEN: tuple[Callable[[int], bytes], ...] = (
    lambda number: b"",
    lambda number: b"this is no picture",
    lambda number: _encoded(number, "PNG")[: 900 + number],
    lambda number: _encoded(number, "JPEG")[:300],
    _bomb,
    _spoilt,
    lambda number: b"\xff\xd8\xff\xe0" + bytes(200),
    lambda number: _encoded(number, "WEBP")[:40],
    lambda number: bytes(np.random.default_rng(number).integers(0, 256, 5000, dtype=np.uint8)),
    lambda number: _encoded(number, "GIF")[:20],
)
