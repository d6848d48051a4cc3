"""Small pictures for the contact sheet: before, boxes and mask, after."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from lib_prodshot.jobs.files.reading import is_file, open_regular
from lib_prodshot.outcome import Detection, Outcome
from lib_prodshot.overlay import draw_overlay

BACKGROUND = (238, 238, 238)
"""RGB behind transparent pixels."""

_WEBP_QUALITY = 72


@dataclass(frozen=True)
class Thumbnails:
    """RGB pictures of at most the same side, each None where there is nothing to show."""

    before: Image.Image | None = None
    overlay: Image.Image | None = None
    after: Image.Image | None = None


@dataclass(frozen=True)
class Held:
    """What is still in memory, so that no file needs decoding: the photograph and its result as their files would be
    shown (H×W×3 uint8 RGB) and the mask (H×W uint8), in display orientation; each None where the file must be read."""

    before: npt.NDArray[np.uint8] | None = None
    result: npt.NDArray[np.uint8] | None = None
    mask: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Encoded:
    """A small picture as a page holds it: WebP in base64, and its size in pixels."""

    data: str
    width: int
    height: int


EncodedThumbnails = tuple[Encoded | None, Encoded | None, Encoded | None]
"""Before, boxes and mask, after; each None where there is nothing to show."""


def encode(pictures: Thumbnails) -> EncodedThumbnails:
    """Encode the pictures for a page, some 3 kB each."""
    return _encode(pictures.before), _encode(pictures.overlay), _encode(pictures.after)


def _encode(picture: Image.Image | None) -> Encoded | None:
    if picture is None:
        return None
    encoded = io.BytesIO()
    picture.save(encoded, "WEBP", quality=_WEBP_QUALITY)
    return Encoded(base64.b64encode(encoded.getvalue()).decode("ascii"), picture.width, picture.height)


def held_of(outcome: Outcome) -> Held:
    """What an outcome still holds of its photograph and the results that were written. Only plain RGB: there a file's
    samples are these. Not of a packshot, which may be a JPEG, nor of a photograph that is one: that is read smaller."""
    result = outcome.result
    if result is None or outcome.packshots:
        return Held(mask=outcome.mask)
    source = result.source
    if source.mode != "RGB" or source.key is not None or result.native.dtype != np.uint8:
        return Held(mask=outcome.mask)
    return Held(source.native if source.format == "PNG" else None, result.native, outcome.mask)


def thumbnails_of(
    line: Mapping[str, Any], folder: Path, side: int, inputs: Path = Path(), held: Held | None = None
) -> Thumbnails:
    """Draw the three thumbnails of one report line; its results are looked up in `folder`, else as written.

    `inputs` is the folder that the line's file is relative to. A file that is gone or unreadable gives None: the
    contact sheet shows the verdict all the same. What is `held` is not read.
    """
    held = held or Held()
    opened = _before(line, side, inputs, held.before)
    if opened is None:
        return Thumbnails()
    before, scale = opened
    if line.get("status") != "found":
        return Thumbnails(before)
    mask = _small_mask(_result(line, "mask", folder), before.size, held.mask)
    overlay = _overlay(before, mask, line.get("detections") or [], scale)
    return Thumbnails(before, overlay, _after(line, side, folder, held.result))


_Scaled = tuple[Image.Image, tuple[float, float]]
"""A small picture, and its scale in x and y."""


def _before(line: Mapping[str, Any], side: int, inputs: Path, held: npt.NDArray[np.uint8] | None) -> _Scaled | None:
    if held is not None:
        return _with_scale(Image.fromarray(held), side)
    source = _path(line, "file")
    return _open_small(source and inputs / source, side, line.get("status") == "failed")


def _after(line: Mapping[str, Any], side: int, folder: Path, held: npt.NDArray[np.uint8] | None) -> Image.Image | None:
    if held is not None:
        return _with_scale(Image.fromarray(held), side)[0]
    opened = _open_small(_result(line, "output", folder), side)
    return opened[0] if opened else None


def _path(line: Mapping[str, Any], key: str) -> Path | None:
    name = line.get(key)
    return Path(str(name)) if name else None


def _result(line: Mapping[str, Any], key: str, folder: Path) -> Path | None:
    """A result stands in the job's own folder or a sub-folder of it, also after that was moved."""
    written = _path(line, key)
    if written is None:
        return None
    return next((path for path in (folder / written, folder / written.name) if is_file(path)), written)


def _open_small(path: Path | None, side: int, failed: bool = False) -> _Scaled | None:
    """Open a picture as RGB with its longer side at most `side`."""
    if path is None:
        return None
    try:
        with open_regular(path) as file, Image.open(file) as opened:
            if failed and opened.format == "TIFF":  # libtiff would print once more what was wrong with it
                return None
            full = ImageOps.exif_transpose(opened).size
            opened.draft("RGB", (side * 2, side * 2))
            # flattened first: the scaling must mix neither a palette's numbers nor what transparent pixels hide
            return _with_scale(_flatten(_eight_bit(ImageOps.exif_transpose(opened))), side, full)
    except Exception:  # decoders meet hostile bytes; the row has no thumbnail then
        return None


def _with_scale(picture: Image.Image, side: int, full: tuple[int, int] | None = None) -> _Scaled:
    """The RGB picture (which is changed) with its longer side at most `side`, and its scale to its `full` size."""
    width, height = full or picture.size
    picture.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
    return picture, (picture.width / width, picture.height / height)


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Scale wide greys (I;16, I, F) to 8 bits, which Pillow's own conversion would clip."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture, np.float32)
    top = 65535.0 if picture.mode.startswith("I") else max(float(values.max()), 1e-6)
    return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8))


def _flatten(picture: Image.Image) -> Image.Image:
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture.convert("RGB")
    clear = picture.convert("RGBA")
    paper = Image.new("RGB", clear.size, BACKGROUND)
    paper.paste(clear, mask=clear.getchannel("A"))
    return paper


def _overlay(
    before: Image.Image,
    mask: npt.NDArray[np.uint8] | None,
    detections: Sequence[Mapping[str, Any]],
    scale: tuple[float, float],
) -> Image.Image:
    small = [
        Detection(
            str(found["label"]),
            float(found["score"]),
            tuple(round(value * scale[index % 2]) for index, value in enumerate(found["box"])),  # type: ignore[arg-type]
            0,
        )
        for found in detections
    ]
    return Image.fromarray(draw_overlay(np.asarray(before), mask, small))


def _small_mask(
    mask_file: Path | None, size: tuple[int, int], held: npt.NDArray[np.uint8] | None
) -> npt.NDArray[np.uint8] | None:
    if held is not None:
        return _resized_mask(Image.fromarray(held), size)
    if mask_file is None:
        return None
    try:
        with open_regular(mask_file) as file, Image.open(file) as opened:
            return _resized_mask(ImageOps.exif_transpose(opened).convert("L"), size)
    except Exception:  # as above
        return None


def _resized_mask(mask: Image.Image, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return np.array(mask.resize(size, Image.Resampling.BILINEAR))
