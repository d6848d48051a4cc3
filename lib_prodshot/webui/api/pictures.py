"""Pictures in requests and answers: base64, data URLs and files in; base64 of lossless PNGs out. Addresses are never
fetched and paths of the server never opened."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib_prodshot import pictures
from lib_prodshot.errors import FieldProblem, PictureError, RequestError, unknown_name
from lib_prodshot.overlay import draw_overlay
from lib_prodshot.pictures import LoadedPicture, RestoredPicture, png
from lib_prodshot.request import Request
from lib_prodshot.webui import picture_codes
from lib_prodshot.webui.api.bodies import Body
from lib_prodshot.webui.service import MAX_PIXELS, Seen, read_picture

MAX_PICTURES = 64
"""Pictures of one request."""

MAX_REQUEST_PIXELS = 2 * MAX_PIXELS

_ALLOWED = "base64 or a data URL of a PNG, JPEG, WebP, TIFF, BMP or GIF; files in multipart"
_INFOTEXT = b"parameters"
"""The PNG keyword under which every WebUI keeps the infotext."""


@dataclass(frozen=True)
class SentPicture:
    """A picture as it came: the name it goes by in the answer, its bytes, and what is in them."""

    name: str
    data: bytes
    loaded: LoadedPicture


FIELD, ONE = "images", "image"
"""The field of the pictures, and its singular, which may hold one."""


def take_pictures(body: Body) -> list[tuple[str, bytes]]:
    """Take the field `images`, or `image` with a single one, out of a body: names and bytes, in the order in which they
    came.

    Raises `RequestError`: none, too many, both fields, what `picture_codes.decode` refuses.
    """
    _from_singular(body)
    sent = body.values.pop(FIELD, [])
    uploads = body.uploads.pop(FIELD, [])
    stray = list(body.uploads)
    if stray:
        raise RequestError([unknown_name(name, (FIELD, ONE), "files are accepted as images only") for name in stray])
    if not isinstance(sent, list):
        raise RequestError([FieldProblem("images", "this is not a list", _ALLOWED)])
    found = [(f"images[{number}]", _decode(item, f"images[{number}]")) for number, item in enumerate(sent)]
    for number, upload in enumerate(uploads, len(found)):
        field = f"images[{number}]"
        found.append((upload.name or field, _of_upload(upload.data, field)))
    if not 1 <= len(found) <= MAX_PICTURES:
        raise RequestError([FieldProblem("images", f"{len(found)} pictures", f"1 to {MAX_PICTURES} pictures")])
    return found


def _from_singular(body: Body) -> None:
    """`image` under its other name."""
    if ONE not in body.values and ONE not in body.uploads:
        return
    if FIELD in body.values or FIELD in body.uploads:
        raise RequestError([FieldProblem(ONE, f"given twice, also as {FIELD}")])
    if ONE in body.values:
        one = body.values.pop(ONE)
        body.values[FIELD] = one if isinstance(one, list) else [one]
    if ONE in body.uploads:
        body.uploads[FIELD] = body.uploads.pop(ONE)
    if len(body.values.get(FIELD, [])) + len(body.uploads.get(FIELD, [])) > 1:
        raise RequestError([FieldProblem(ONE, "these are several pictures", f"one picture; several as {FIELD}")])


def _decode(item: Any, field: str) -> bytes:
    if not isinstance(item, str):
        raise RequestError([FieldProblem(field, "this is not text", _ALLOWED)])
    with _named(field):
        return picture_codes.decode(item)


def _of_upload(data: bytes, field: str) -> bytes:
    with _named(field):
        picture_codes.refuse_code(data)
    return data


@contextmanager
def _named(field: str) -> Iterator[None]:
    """What is wrong with a picture is a problem of its field."""
    try:
        yield
    except PictureError as error:
        raise RequestError([FieldProblem(field, str(error), _ALLOWED)]) from error


def read_all(sent: Sequence[tuple[str, bytes]]) -> list[SentPicture]:
    """Decode every picture of a request before work begins on any.

    Raises `RequestError` naming the field: not a picture, damaged, too many pixels, in it or in all together.
    """
    read: list[SentPicture] = []
    for number, (name, data) in enumerate(sent):
        with _named(f"images[{number}]"):
            read.append(SentPicture(name, data, read_picture(data)))
        if sum(known.loaded.rgb.size // 3 for known in read) > MAX_REQUEST_PIXELS:
            limit = f"{MAX_REQUEST_PIXELS // 1_000_000} megapixels in one request"
            raise RequestError([FieldProblem("images", "these are too many pixels at once", limit)])
    return read


def mask_code(mask: npt.NDArray[np.uint8], like: LoadedPicture) -> str:
    """A mask (H×W uint8) as base64 of an 8-bit grey PNG, stored the way its picture is."""
    with tempfile.TemporaryDirectory(prefix="prodshot-") as folder:
        path = Path(folder) / "mask.png"
        pictures.write_grey(mask, path, like)
        return _code(path.read_bytes())


def rgb_code(rgb: npt.NDArray[np.uint8]) -> str:
    """A picture of ours (H×W×3 uint8) as base64 of a PNG."""
    loaded = LoadedPicture.from_rgb(rgb)
    return result_code(RestoredPicture(loaded, rgb, rgb), "")


def result_code(result: RestoredPicture, infotext: str) -> str:
    """A result as base64 of a PNG (CMYK: TIFF) that keeps the input's own samples, colour profile and orientation;
    `infotext` stands where the WebUI looks for it."""
    source = result.source
    if source.format == "PNG":
        kept = tuple(chunk for chunk in source.metadata.png_chunks if not _is_infotext(chunk))
        source = replace(source, metadata=replace(source.metadata, png_chunks=kept))
    else:
        # told that its format loses samples, a picture is written as PNG
        source = replace(source, lossless=False)
    with tempfile.TemporaryDirectory(prefix="prodshot-") as folder:
        path = Path(folder) / f"result{pictures.output_suffix(source)}"
        pictures.write(replace(result, source=source), path)
        data = path.read_bytes()
    return _code(_with_infotext(data, infotext))


def _is_infotext(chunk: png.Chunk) -> bool:
    kind, data = chunk
    return kind in (b"tEXt", b"zTXt", b"iTXt") and data.startswith(_INFOTEXT + b"\0")


def _with_infotext(data: bytes, infotext: str) -> bytes:
    if not infotext or not data.startswith(png.SIGNATURE):
        return data
    chunk = io.BytesIO()
    png.write_chunks(chunk, [(b"iTXt", _INFOTEXT + b"\0\0\0\0\0" + infotext.encode())])
    return data[: png.HEADER_END] + chunk.getvalue() + data[png.HEADER_END :]


def pictures_of(sent: SentPicture, seen: Seen, wanted: Request, included: Sequence[str]) -> dict[str, str]:
    """The pictures that the caller wants of one outcome, as base64. `output` is the result, or for a picture that was
    skipped or failed the very bytes that came."""
    outcome = seen.outcome
    codes: dict[str, str] = {}
    if "output" in included:
        result = outcome.result
        codes["output"] = _code(sent.data) if result is None else result_code(result, seen.infotext(wanted))
    if "mask" in included and outcome.mask is not None:
        codes["mask"] = mask_code(outcome.mask, sent.loaded)
    if "overlay" in included and outcome.detections:
        codes["overlay"] = rgb_code(draw_overlay(sent.loaded.seen(), outcome.alpha, outcome.detections))
    return codes


def _code(data: bytes) -> str:
    return base64.b64encode(data).decode()


def choose(included: Any, known: Sequence[str]) -> tuple[str, ...]:
    """The field `include`: which pictures the answer carries. Raises `RequestError`."""
    if not isinstance(included, list) or not all(isinstance(name, str) and name in known for name in included):
        raise RequestError([FieldProblem("include", "this is not a list of known names", ", ".join(known))])
    return tuple(dict.fromkeys(included))
