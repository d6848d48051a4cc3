"""From a file or its bytes to a `LoadedPicture`; whatever is wrong with it becomes one plain sentence.

What a file holds is read from its own header and looked up in `formats.TABLE`; Pillow, or OpenCV where Pillow hands out
8 of 16 bits, then gives the samples.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from lib_prodshot.errors import PictureError
from lib_prodshot.pictures import (
    blocks,
    boxes,
    colour,
    containers,
    formats,
    headers,
    heif,
    jpeg,
    png,
    quiet,
    samples,
    tiff,
    tiff_tags,
)
from lib_prodshot.pictures.formats import Row
from lib_prodshot.pictures.headers import Header
from lib_prodshot.pictures.loaded import LoadedPicture, Metadata, Native, to_8_bits, to_display

MAX_PIXELS = 105_000_000
"""Larger pictures are refused from their header: room for a 102-megapixel medium-format camera, and short of what
a decompression bomb needs."""

_SUFFIXES = {
    "PNG": (".png", ".apng"),
    "BMP": (".bmp", ".dib"),
    "DIB": (".dib", ".bmp"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
    "WEBP": (".webp",),
}
_READABLE = (*_SUFFIXES, "JPEG", "MPO", "GIF", "JPEG2000", "AVIF")
_WORDS = "PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, TGA, JPEG 2000, AVIF or HEIC"

_HEAD = 4096
_PLAIN_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")
_ALIASES = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA", "RGBX": "RGB", "YCbCr": "RGB"}
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_DEEP_MODES = {1: "I;16", 2: "LA;16", 3: "RGB;16", 4: "RGBA;16"}

Refusal = Callable[[int, int], None]
"""Called with width and height; raises for too many pixels."""


def read(source: Path | bytes, max_pixels: int | None = None) -> LoadedPicture:
    """Read a picture from a file or from the bytes of one.

    Raises `PictureError`: no such file, a folder, not readable, empty, not a picture, damaged or cut short, more than
    `max_pixels` (default: `MAX_PIXELS`; told by the header, before anything is decoded), samples that cannot be kept.

    >>> loaded = read(b"P6 2 1 255 " + bytes([255, 0, 0, 9, 9, 9]))
    >>> loaded.format, loaded.mode, loaded.rgb.tolist()
    ('PPM', 'RGB', [[[255, 0, 0], [9, 9, 9]]])
    """
    if isinstance(source, bytes):
        return _read_file(io.BytesIO(source), "the picture", "", max_pixels)
    try:
        if source.is_dir():
            raise PictureError(f"{source} is a folder; give the pictures in it")
        if source.exists() and not source.is_file():
            raise PictureError(f"{source} is not a regular file")
        with source.open("rb") as file:
            return _read_file(file, str(source), source.suffix.lower(), max_pixels)
    except FileNotFoundError as error:
        raise PictureError(f"there is no file {source}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PictureError(f"{source} cannot be read: {reason.lower()}") from error


def _read_file(file: BinaryIO, name: str, suffix: str, max_pixels: int | None) -> LoadedPicture:
    head = file.read(_HEAD)
    if not head:
        raise PictureError(f"{name} is empty (zero bytes)")
    limit = min(MAX_PIXELS, max_pixels or MAX_PIXELS)

    def refuse_large(width: int, height: int) -> None:
        if width * height > limit:
            raise PictureError(f"is too large: {width}×{height} pixels, {_at_most(limit)}")

    try:
        with warnings.catch_warnings():
            # what Pillow mentions about tags and sizes on the way is no concern of whoever sees the terminal
            warnings.simplefilter("ignore")
            loaded = _read_kind(file, head, suffix, refuse_large)
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} is too large: {_at_most(limit)}") from error
    except PictureError as error:
        raise PictureError(f"{name} {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders meet hostile bytes: no exception of theirs may pass for one of ours
        detail = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{name} is damaged or cut short and cannot be decoded ({detail})") from error
    return _without_old_pictures(loaded)


def _at_most(limit: int) -> str:
    return f"at most {limit // 1_000_000} megapixels are accepted"


def _read_kind(file: BinaryIO, head: bytes, suffix: str, refuse_large: Refusal) -> LoadedPicture:
    """Raises `PictureError` with the rest of a sentence that begins with the file's name."""
    foreign = headers.foreign(head)
    if foreign:
        raise PictureError(f"is not a picture that can be read: it is {foreign}; save it as TIFF, PNG or JPEG")
    if tiff_tags.is_tiff(head):
        return _read_tiff(file, suffix, refuse_large)
    if boxes.family(head) == "HEIF":
        return _read_heif(_whole(file), suffix, refuse_large)
    if head[:2] in (b"P7", b"Pf", b"PF") and head[2:3].isspace():
        formats.row_of("PPM", headers.ppm(head).kind)
    return _read_by_pillow(file, suffix, refuse_large)


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _without_old_pictures(loaded: LoadedPicture) -> LoadedPicture:
    """The picture without thumbnails in its descriptions, and with notes that say so."""
    metadata, notes = blocks.without_old_pictures(loaded.metadata)
    if loaded.format == "PNG":
        chunks, notes = png.without_old_pictures(metadata.png_chunks)
        metadata = replace(metadata, png_chunks=chunks)
    return replace(loaded, metadata=metadata, notes=(*loaded.notes, *notes))


# --- TIFF -----------------------------------------------------------------------------------------------------------


def _read_tiff(file: BinaryIO, suffix: str, refuse_large: Refusal) -> LoadedPicture:
    tags = tiff_tags.read(file)
    shape = tiff.layout(tags)
    refuse_large(shape.width, shape.height)
    row = formats.row_of("TIFF", shape.kind)
    if shape.packing not in tiff.PACKINGS:
        formats.row_of("TIFF", "packing unknown")
    data = _whole(file)
    orientation = tags.number(tiff.ORIENTATION, 1)
    orientation = orientation if 1 <= orientation <= 8 else 1
    if shape.is_plain:
        native, mode, extra = _plain_tiff(data, tags, shape, orientation)
        palette = tiff.read_colour_map(tags, shape.bits[0]) if mode == "P" else None
    else:
        pixels = _pixels(tiff.decoded_by_pillow(data, tags, shape))
        native, mode, extra, palette = to_display(pixels.stored, orientation), pixels.mode, None, None
    kept, notes = tiff.descriptive(tags)
    kept, held = tiff.without_old_pictures(kept)
    said = (row.says,) if row.says else ()
    pages = [f"{tags.pages} pages: first page only"] if tags.pages > 1 else []
    if tiff.is_preview(tags):
        pages.append("its first page is a smaller version of another page; give that one for its full size")
    return LoadedPicture(
        rgb=samples.to_rgb(native, mode, palette),
        native=native,
        mode=mode,
        format="TIFF",
        suffix=_own_suffix("TIFF", suffix),
        lossless=True,
        orientation=orientation,
        frames=tags.pages,
        palette=palette,
        compressed=shape.packing != 1,
        metadata=Metadata(icc=tiff.value(kept, tiff.ICC), dpi=tiff.resolution(tags), tiff=replace(tags, entries=kept)),
        notes=(*pages, *said, *notes, *held),
        extra=extra,
    )


def _plain_tiff(
    data: bytes, tags: tiff_tags.Tags, shape: tiff.Layout, orientation: int
) -> tuple[Native, str, Native | None]:
    """Samples in display orientation, their mode, and the channels that are not part of it."""
    shown = to_display(tiff.decode(data, tags, shape), orientation)
    own = shape.own_channels
    native = shown[..., 0] if own == 1 else shown[..., :own]
    if shape.photometric == 0:
        native = tiff.min_is_white(native, shape.mode)
    extra = np.ascontiguousarray(shown[..., own:]) if shape.channels > own else None
    return np.ascontiguousarray(native), shape.mode, extra


# --- HEIF -----------------------------------------------------------------------------------------------------------


def _read_heif(data: bytes, suffix: str, refuse_large: Refusal) -> LoadedPicture:
    heif.refuse_without_decoder()
    still = boxes.read_still(data)
    row = formats.row_of("HEIF", f"colour {still.bits}")
    decoded = heif.read(data, still.bits, refuse_large)
    native = _spread(decoded.samples, still.bits)
    deep = native.dtype == np.uint16
    mode = (_DEEP_MODES if deep else _MODES)[native.shape[2] if native.ndim == 3 else 1]
    beside = tuple(f"its {what} was left out" for what in still.beside)
    frames = (f"{decoded.frames} pictures in one file: first picture only",) if decoded.frames > 1 else ()
    return LoadedPicture(
        rgb=samples.to_rgb(native, mode),
        native=native,
        mode=mode,
        format="HEIF",
        suffix=suffix,
        lossless=False,
        frames=decoded.frames,
        metadata=Metadata(
            still.icc,
            decoded.exif,
            decoded.xmp,
            None,
            still.cicp,
            bits=still.bits if deep else None,
            png_chunks=still.light,
            aspect=still.aspect,
        ),
        notes=(*frames, *((row.says,) if row.says else ()), *beside),
        space=_space_of_still(still),
    )


def _space_of_still(still: boxes.Still) -> colour.Space | None:
    return colour.space_of(still.cicp) if still.cicp and not still.icc else None


def _spread(levels: Native, bits: int) -> Native:
    """Levels of so many bits over all of 16, rounded: white is white, and every level stays one of its own."""
    if levels.dtype != np.uint16 or bits == 16:
        return levels
    top = (1 << bits) - 1
    table = (np.arange(65536, dtype=np.uint64).clip(0, top) * 65535 + top // 2) // top
    return table.astype(np.uint16)[levels]


# --- what Pillow opens ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Facts:
    """What a file's own header says: its row, its descriptions, and notes besides."""

    row: Row
    metadata: Metadata
    notes: tuple[str, ...] = ()
    bits: int = 8
    space: colour.Space | None = None
    deep: bytes = b""
    grey: bool = False


@dataclass(frozen=True)
class _Pixels:
    """Samples as stored in the file and their mode."""

    stored: Native
    mode: str
    notes: tuple[str, ...] = ()


def _read_by_pillow(file: BinaryIO, suffix: str, refuse_large: Refusal) -> LoadedPicture:
    file.seek(0)
    try:
        image = Image.open(file, formats=_formats(suffix))
    except UnidentifiedImageError as error:
        _refuse_by_header(file)
        raise PictureError(f"is not a picture that can be read ({_WORDS})") from error
    except (OSError, NotImplementedError) as error:
        if "unsupported" in str(error).lower():
            _refuse_by_header(file)
        raise
    refuse_large(*image.size)
    kind = {"MPO": "JPEG", "DIB": "BMP"}.get(image.format or "", image.format or "")
    place = file.tell()
    facts = _FACTS[kind](file, image)
    file.seek(place)
    orientation = _orientation(image)
    image.load()
    if kind == "PNG":
        png.check_pixels(file)
    pixels = _deep_pixels(facts, image) if facts.deep else _pixels(image, _WANTED.get((kind, facts.row.kind), ""))
    if facts.grey and pixels.mode == "RGB":
        pixels = replace(pixels, stored=np.ascontiguousarray(pixels.stored[..., 0]), mode="L")
    native = to_display(pixels.stored, orientation)
    palette = samples.read_palette(image) if pixels.mode == "P" else None
    frames, frame_notes = _frames(image)
    form = image.format or ""
    said = (facts.row.says.format(facts.bits),) if facts.row.says else ()
    return LoadedPicture(
        rgb=samples.to_rgb(native, pixels.mode, palette),
        native=native,
        mode=pixels.mode,
        format=form,
        suffix=_own_suffix(form, suffix),
        lossless=facts.row.result == formats.OWN and not (kind == "BMP" and facts.metadata.icc),
        orientation=orientation,
        frames=frames,
        palette=palette,
        key=_key(image, pixels.mode, facts.bits),
        compressed=image.info.get("compression", "raw") != "raw",
        metadata=facts.metadata,
        notes=(*frame_notes, *said, *facts.notes, *pixels.notes),
        space=facts.space,
    )


def _formats(suffix: str) -> list[str]:
    Image.init()
    readable = [kind for kind in _READABLE if kind in Image.OPEN and kind != "TIFF"]
    # TGA has no signature, so that noise may look like one: only its name tells
    return [kind for kind in readable if kind != "TGA" or suffix in _SUFFIXES["TGA"]]


def _refuse_by_header(file: BinaryIO) -> None:
    """Name what a file is, of a format that is read, where Pillow knows no such kind of it."""
    data = _whole(file)
    if data[:3] == b"\xff\xd8\xff":
        formats.row_of("JPEG", jpeg.read(data).kind)
    elif boxes.is_jpeg2000(data):
        formats.row_of("JPEG2000", boxes.read_jpeg2000(data).kind)
    elif boxes.family(data[:_HEAD]) == "AVIF":
        formats.row_of("AVIF", "no decoder")
    elif data[:2] == b"BM":
        formats.row_of("BMP", "other")


def _own_suffix(form: str, suffix: str) -> str:
    own = _SUFFIXES.get(form, ())
    return suffix if suffix in own else (own[0] if own else suffix)


def _info(image: Image.Image) -> Metadata:
    """What Pillow hands on of any format."""
    info = image.info
    exif, xmp, dpi = info.get("exif"), info.get("xmp"), info.get("dpi")
    return Metadata(
        icc=info.get("icc_profile") or None,
        exif=exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else None,
        xmp=xmp if isinstance(xmp, bytes) else None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
    )


def _png_facts(file: BinaryIO, image: Image.Image) -> _Facts:
    file.seek(0)
    header = headers.png(file.read(26))
    row = formats.row_of("PNG", header.kind)
    chunks, others = png.read_chunks(file)
    cicp, space = png.space_of_chunks(chunks)
    metadata = replace(_info(image), png_chunks=chunks, cicp=cicp, bits=header.bits)
    notes = [f"PNG chunks left out: {', '.join(others)}"] if others else []
    data = _whole(file)
    behind = png.behind_its_end(data)
    if behind:
        notes.append(f"left out: {behind} bytes behind its end")
    deep = data if header.bits == 16 and header.kind != "grey 16" else b""
    return _Facts(row, metadata, tuple(notes), header.bits, space, deep)


def _jpeg_facts(file: BinaryIO, image: Image.Image) -> _Facts:
    told = jpeg.read(_whole(file))
    row = formats.row_of("JPEG", told.kind)
    xmp, notes = told.xmp, list(_left_out(told.others))
    if told.extended_xmp and xmp:
        xmp = blocks.joined_xmp(xmp, told.extended_xmp) or xmp
        if xmp == told.xmp:
            notes.append("the extended part of its XMP was left out")
    if xmp and (b"hdrgm:" in xmp or b"HDRGainMap" in xmp) and not any("gain map" in note for note in notes):
        notes.append("left out: HDR gain map")
    comments = tuple(blocks.comment_text(comment) for comment in told.comments)
    dpi, aspect = _jpeg_resolution(told)
    metadata = replace(
        _info(image), exif=told.exif, xmp=xmp, photoshop=told.photoshop, comments=comments, dpi=dpi, aspect=aspect
    )
    if told.profiled and not metadata.icc:
        notes.append("its ICC profile is incomplete and was left out")
    trailer = jpeg.after_the_pictures(told.trailer) if image.format == "MPO" else told.trailer
    if any(trailer):
        notes.append(f"left out: {jpeg.trailer_name(trailer, xmp)}")
    if told.kind == "CMYK 8" and comments and tiff.has_description(metadata.exif):
        notes.append("its comment was left out: EXIF has a description of its own")
    if told.kind == "CMYK 8" and metadata.exif and not tiff.is_whole(metadata.exif):
        notes.append("its EXIF block is damaged; what can be read of it was carried over")
    adobe = metadata.icc is None and blocks.adobe_rgb_by_exif(metadata.exif)
    space = colour.gamma_space(colour.ADOBE_RGB, 563 / 256) if adobe else None
    return _Facts(row, metadata, tuple(notes), space=space)


def _jpeg_resolution(told: jpeg.Jpeg) -> tuple[tuple[float, float] | None, tuple[int, int] | None]:
    """Samples per inch, by JFIF, else by EXIF; where neither tells a unit, JFIF's numbers if they differ."""
    unit, across, down = told.density or (0, 1, 1)
    per_inch = {1: 1.0, 2: 2.54}.get(unit)
    if per_inch and across and down:
        return (across * per_inch, down * per_inch), None
    dpi = tiff.exif_resolution(told.exif)
    return dpi, (across, down) if dpi is None and unit == 0 and across != down and across and down else None


def _jpeg2000_facts(file: BinaryIO, image: Image.Image) -> _Facts:
    data = _whole(file)
    told = boxes.read_jpeg2000(data)
    row = formats.row_of("JPEG2000", told.kind)
    bits = max(told.bits)
    known = _info(image)
    if told.exif:
        image.info["exif"] = b"Exif\0\0" + told.exif  # for the orientation, which Pillow does not read here
    metadata = replace(
        known,
        icc=told.icc or known.icc,
        exif=told.exif or known.exif,
        xmp=told.xmp or known.xmp,
        photoshop=blocks.iptc_as_resources(told.iptc) if told.iptc else None,
        bits=bits if 8 < bits < 16 else None,
        comments=told.comments,
    )
    return _Facts(row, metadata, _left_out(told.others), bits=bits, deep=data if bits > 8 else b"")


def _left_out(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"left out: {name}" for name in names)


def _avif_facts(file: BinaryIO, image: Image.Image) -> _Facts:
    data = _whole(file)
    told = boxes.read_still(data)
    row = formats.row_of("AVIF", f"{'grey' if told.grey else 'colour'} {told.bits}")
    deep = told.bits > 8
    if deep and not _opencv_reads_avif():
        raise PictureError(formats.TABLE["AVIF", "deep, no decoder"].says.format(told.bits))
    known = _info(image)
    metadata = replace(
        known,
        icc=told.icc or known.icc,
        cicp=told.cicp,
        bits=told.bits if deep else None,
        png_chunks=told.light,
        aspect=told.aspect,
    )
    notes = tuple(f"its {what} was left out" for what in told.beside)
    if told.premultiplied:
        notes += (formats.row_of("AVIF", "premultiplied").says,)
    return _Facts(row, metadata, notes, told.bits, _space_of_still(told), data if deep else b"", told.grey and not deep)


def _opencv_reads_avif() -> bool:
    """Whether this OpenCV was built with a decoder for it; those of version 4 mostly were not."""
    return re.search(r"AVIF:\s+(YES|\S+ \(ver)", cv2.getBuildInformation()) is not None


def _webp_facts(file: BinaryIO, image: Image.Image) -> _Facts:
    kind = "lossless" if _is_lossless_webp(file) else "lossy"
    row = formats.row_of("WEBP", kind + (" + alpha" if image.mode == "RGBA" else ""))
    return _Facts(row, _info(image), _left_out(containers.webp_others(_whole(file))))


def _gif_facts(file: BinaryIO, image: Image.Image) -> _Facts:
    told = containers.read_gif(_whole(file))
    comments = tuple(blocks.comment_text(comment) for comment in told.comments)
    metadata = replace(_info(image), xmp=told.xmp, comments=comments, aspect=told.aspect)
    row = formats.row_of("GIF", "grey" if image.mode == "L" else "palette")
    return _Facts(row, metadata, _left_out(told.others))


def _bmp_facts(file: BinaryIO, image: Image.Image) -> _Facts:
    header = headers.bmp(_whole(file), image.mode, image.format == "DIB")
    return _of_header("BMP", header, replace(_info(image), icc=header.icc))


def _ppm_facts(file: BinaryIO, image: Image.Image) -> _Facts:
    data = _whole(file)
    header = headers.ppm(data)
    facts = _of_header("PPM", header, _info(image))
    deep = data if header.maximum not in (1, 255) or header.bits > 8 else b""
    return replace(facts, bits=header.maximum, deep=deep)


def _tga_facts(file: BinaryIO, image: Image.Image) -> _Facts:
    header = headers.tga(_whole(file), image.mode)
    told = image.info.get("id_section")
    comments = (told.decode("latin-1"),) if isinstance(told, bytes) and told else ()
    return _of_header("TGA", header, replace(_info(image), comments=comments))


def _of_header(form: str, header: Header, metadata: Metadata) -> _Facts:
    return _Facts(formats.row_of(form, header.kind), metadata, header.notes, header.bits)


_FACTS: dict[str, Callable[[BinaryIO, Image.Image], _Facts]] = {
    "PNG": _png_facts,
    "JPEG": _jpeg_facts,
    "JPEG2000": _jpeg2000_facts,
    "AVIF": _avif_facts,
    "WEBP": _webp_facts,
    "GIF": _gif_facts,
    "BMP": _bmp_facts,
    "PPM": _ppm_facts,
    "TGA": _tga_facts,
}


_WANTED = {("TGA", "palette + alpha"): "RGBA", ("TGA", "RGB 16"): "RGB"}
"""The modes of what Pillow opens in one or another, depending on its version."""


def _pixels(image: Image.Image, wanted: str = "") -> _Pixels:
    if wanted and image.mode != wanted:
        return _Pixels(np.asarray(image.convert(wanted)), wanted)
    if image.mode.startswith("I"):
        return _Pixels(np.asarray(image).astype(np.uint16), "I;16")
    if image.mode in _PLAIN_MODES:
        return _Pixels(np.asarray(image), image.mode)
    if image.mode in _ALIASES:
        return _Pixels(np.asarray(image.convert(_ALIASES[image.mode])), _ALIASES[image.mode])
    raise PictureError(f"has samples of the kind {image.mode}, which cannot be kept; save it as RGB with 8 or 16 bits")


def _deep_pixels(facts: _Facts, image: Image.Image) -> _Pixels:
    """Samples of which Pillow hands out only 8 bits, if they are the same picture as Pillow's."""
    if image.format == "PPM":
        native = headers.ppm_samples(facts.deep, image.width * image.height)
        mode = (
            ("L" if native.ndim == 2 else "RGB")
            if native.dtype == np.uint8
            else ("I;16" if native.ndim == 2 else "RGB;16")
        )
        return _Pixels(native, mode)
    native = _spread(_by_opencv(facts, image), facts.bits)
    channels = native.shape[2] if native.ndim == 3 else 1
    mode = _DEEP_MODES[channels]
    if image.format == "JPEG2000":
        return _Pixels(native, mode)  # Pillow's 8 bits of it overflow: white turns black
    shallow = _shallow(image, channels)
    for top in range(0, len(native), 256):
        rows = slice(top, top + 256)
        difference = cv2.absdiff(to_8_bits(native[rows]), shallow[rows])
        # decoders of lossy formats round differently; another picture differs everywhere
        if float(difference.mean()) > 2 or (image.format == "PNG" and int(difference.max(initial=0)) > 1):
            raise PictureError(
                f"has {facts.bits}-bit samples that its decoders disagree on; save it as plain 16-bit RGB"
            )
    return _Pixels(native, mode)


def _by_opencv(facts: _Facts, image: Image.Image) -> npt.NDArray[np.uint16]:
    data = png.pixels_only(facts.deep) if image.format == "PNG" else facts.deep
    with quiet.opencv():
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    # in OpenCV grey with alpha comes as four channels
    wanted = {"grey": [0], "RGB": [2, 1, 0]}.get(facts.row.kind.split()[0], [2, 1, 0])
    if "alpha" in facts.row.kind or (image.format == "AVIF" and image.mode == "RGBA"):
        wanted = [*wanted, -1]
    if decoded is None or decoded.dtype != np.uint16 or decoded.shape[:2] != (image.height, image.width):
        raise PictureError(f"has {facts.bits}-bit samples of a kind that cannot be read; save it as plain 16-bit RGB")
    decoded = decoded.reshape(*decoded.shape[:2], -1)
    if decoded.shape[2] < len(wanted):
        raise PictureError(f"has {facts.bits}-bit samples of a kind that cannot be read; save it as plain 16-bit RGB")
    native = decoded[..., wanted]
    return np.ascontiguousarray(native[..., 0] if len(wanted) == 1 else native)


def _shallow(image: Image.Image, channels: int) -> npt.NDArray[np.uint8]:
    """Pillow's 8 bits of a deep picture, in as many channels."""
    if image.mode.startswith("I"):
        return to_8_bits(np.asarray(image).astype(np.uint16))
    # Pillow opens 16-bit grey with alpha as LA or as RGBA, depending on its version
    mode = _MODES[channels]
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _key(image: Image.Image, mode: str, bits: int) -> tuple[int, ...] | None:
    """The one colour that stands for transparent in PNGs and grey GIFs without an alpha channel. A PNG keeps it in 16
    bits, of which only those count that the samples have."""
    transparent = image.info.get("transparency")
    if mode not in ("1", "L", "RGB", "I;16", "RGB;16") or transparent is None:
        return None
    levels = (transparent,) if isinstance(transparent, int) else transparent
    if image.format == "PNG" and bits in (2, 4):
        return tuple((int(level) & ((1 << bits) - 1)) * 255 // ((1 << bits) - 1) for level in levels)
    mask = {"1": 1, "L": 255, "RGB": 255}.get(mode, 65535)
    return tuple(int(level) & mask for level in levels)


def _orientation(image: Image.Image) -> int:
    try:
        value = int(image.getexif().get(274, 1))
    except Exception:  # a broken EXIF block is no reason to refuse the pixels
        return 1
    return value if 1 <= value <= 8 else 1


def _frames(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception:  # the first frame is whole; that later ones are not does not matter
        frames = 2
    if frames == 1:
        return 1, ()
    if image.format == "MPO":
        return frames, (f"{frames} pictures in one file: first picture only",)
    return frames, (f"animated ({frames} frames): first frame only",)


def _is_lossless_webp(file: BinaryIO) -> bool:
    """Whether the first picture of a WebP is of the lossless kind (chunk VP8L; RFC 9649)."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        if head[:4] in (b"VP8L", b"VP8 "):
            return head[:4] == b"VP8L"
        if head[:4] == b"ANMF":
            file.seek(16, 1)
            continue
        length = int.from_bytes(head[4:], "little")
        file.seek(length + (length & 1), 1)
    return False
