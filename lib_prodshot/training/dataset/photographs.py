"""Decoding of the photographs of a dataset: size, decoding errors, colour differences, perceptual hash.

JPEGs are decoded as grey pictures of an eighth of the size. Every byte of the file is still read to its end, so the
same damage shows as in a full decode (`benchmarks/training.py` measures it), at a quarter of the cost.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lib_prodshot.jobs.files.reading import is_file, open_regular

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    from lib_prodshot.training.dataset.rendering import Difference

HASH_SIDE = 16
"""Side of the perceptual hash: 256 bits."""

NEAR_DUPLICATE_BITS = 48
"""Up to so many differing bits of 256 two photographs count as nearly the same. Measured on the seed's photographs:
different ones are 100 bits and more apart; saved smaller, brighter or at quality 40, or cut by 2 %, at most 44."""

_REDUCED = 8
_ORIENTATION = 274


@dataclass(frozen=True)
class Photograph:
    """The decoded properties of one file. `size` is width and height in pixels as stored, which is what sd-scripts
    trains on; `problem` says why it cannot be used (empty: it can); `rotated` that a viewer would turn it by its EXIF
    tag; `differences` what else sd-scripts sees otherwise than a viewer."""

    path: Path
    size: tuple[int, int] = (0, 0)
    problem: str = ""
    truncated: bool = False
    rotated: bool = False
    differences: tuple[Difference, ...] = ()
    perceptual_hash: npt.NDArray[np.bool_] | None = None


def read_photographs(
    paths: Sequence[Path], progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Photograph]:
    """Decode every file, several at a time: Pillow decodes outside Python's lock, so threads are enough.

    Hashes are made here while the threads decode; what makes them takes as long to import as ten photographs.
    """
    done: list[Photograph] = []
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        for photograph, thumbnail in pool.map(_decode_file, paths):
            done.append(_with_perceptual_hash(photograph, thumbnail))
            progress(len(done), len(paths))
    return done


def read_photograph(path: Path) -> Photograph:
    """Decode one file. An error is in the result's `problem`."""
    return _with_perceptual_hash(*_decode_file(path))


def _decode_file(path: Path) -> tuple[Photograph, Image.Image | None]:
    """One file without its hash, and the small grey picture that the hash is made of; None for one that is wrong."""
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        # a picture of over 89 megapixels is unusual and trains all the same; over 179 Pillow refuses
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with open_regular(path) as file, Image.open(file) as image:
                return _decode(path, image)
        except UnidentifiedImageError:
            return Photograph(path, problem="it is not a picture, whatever its name says"), None
        except Image.DecompressionBombError:
            return Photograph(path, problem="it has over 179 megapixels, which Pillow refuses: save it smaller"), None
        except Exception as error:  # decoders raise whatever their format's code raises
            if isinstance(error, OSError) and error.strerror:
                return Photograph(path, problem=f"it cannot be read: {error.strerror}"), None
            truncated = "truncated" in str(error).lower()
            words = "it ends before its last pixel" if truncated else f"it cannot be decoded: {error}"
            return Photograph(path, problem=words, truncated=truncated), None


def identical_files(photographs: Iterable[Photograph]) -> list[list[Photograph]]:
    """Groups of files with the same bytes. One that cannot be read is in none."""
    from lib_prodshot.downloads import sha256_of

    by_length: dict[int, list[Photograph]] = {}
    for photograph in (one for one in photographs if is_file(one.path)):
        by_length.setdefault(photograph.path.stat().st_size, []).append(photograph)
    groups: dict[str, list[Photograph]] = {}
    for alike in by_length.values():
        if len(alike) > 1:
            for photograph in alike:
                with suppress(OSError):
                    groups.setdefault(sha256_of(photograph.path), []).append(photograph)
    return [group for group in groups.values() if len(group) > 1]


def near_duplicates(
    photographs: Sequence[Photograph], limit: int = NEAR_DUPLICATE_BITS
) -> list[tuple[Photograph, Photograph, int]]:
    """Pairs that look nearly the same, with the number of bits in which their hashes differ."""
    import numpy as np

    usable = [one for one in photographs if one.perceptual_hash is not None]
    if len(usable) < 2:
        return []
    bits = np.array([one.perceptual_hash for one in usable], dtype=np.float32)
    ones = bits.sum(axis=1)
    pairs = []
    for index in range(len(usable) - 1):
        # differing bits of two vectors of 0 and 1: ones of both less twice the common ones
        rest = bits[index + 1 :]
        apart = ones[index] + ones[index + 1 :] - 2 * (rest @ bits[index])
        near = np.flatnonzero(apart <= limit)
        pairs += [(usable[index], usable[index + 1 + int(other)], int(apart[other])) for other in near]
    return pairs


def _decode(path: Path, image: Image.Image) -> tuple[Photograph, Image.Image]:
    from lib_prodshot.pictures import quiet
    from lib_prodshot.training.dataset import rendering

    size = image.size
    rotated = _is_rotated(image)
    colours = rendering.describe_colours(image, path)
    plain = rendering.is_plain_srgb(image, colours)
    if image.format in ("JPEG", "MPO"):
        image.draft("L" if plain else None, (max(1, size[0] // _REDUCED), max(1, size[1] // _REDUCED)))
    with quiet.libtiff():
        image.load()
    differences = () if plain else tuple(rendering.differences(image, colours))
    thumbnail = image.reduce(max(1, min(image.size) // 256)) if image.mode in ("L", "RGB") else image
    return Photograph(path, size, rotated=rotated, differences=differences), thumbnail.convert("L")


def _with_perceptual_hash(photograph: Photograph, thumbnail: Image.Image | None) -> Photograph:
    if thumbnail is None:
        return photograph
    import imagehash

    return replace(photograph, perceptual_hash=imagehash.phash(thumbnail, HASH_SIDE).hash.flatten())


def _is_rotated(image: Image.Image) -> bool:
    try:
        return int(image.getexif().get(_ORIENTATION, 1)) in range(2, 9)
    except Exception:  # a broken EXIF block turns nothing
        return False
