"""TIFF in and out with everything its pixels and tags say: which way is white, what each channel means, both alphas.

Pillow's libtiff unpacks the bytes, told that they are plain grey ones, so that no kind of sample is converted on the
way; what they mean is read from the tags here. docs/architecture.md says why no other library does this.
Sources: Adobe, "TIFF Revision 6.0", and "TIFF Technical Note: Photoshop" for tags 34377 and 37724.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from lib_prodshot.pictures import quiet, tiff_tags
from lib_prodshot.pictures.blocks import photoshop_without_thumbnail, xmp_without_thumbnails
from lib_prodshot.pictures.loaded import Metadata, Native, channels_of
from lib_prodshot.pictures.tiff_tags import ASCII, BYTE, LONG, RATIONAL, SHORT, UNDEFINED, Entry, Tags

COMPRESSION = 2
"""zlib level, as in PNG."""

WIDTH, HEIGHT, BITS, PACKING, PHOTOMETRIC, FILL_ORDER, OFFSETS, ORIENTATION = 256, 257, 258, 259, 262, 266, 273, 274
CHANNELS, STRIP_ROWS, LENGTHS, PLANES, PREDICTOR, COLOUR_MAP = 277, 278, 279, 284, 317, 320
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_LENGTHS, INK_SET, EXTRA, SAMPLE_FORMAT = 322, 323, 324, 325, 332, 338, 339
JPEG_TABLES = 347
_LIES = (BITS, PACKING, PHOTOMETRIC, FILL_ORDER, CHANNELS, PLANES, 530)
_ADDRESSES = (
    *(WIDTH, HEIGHT, OFFSETS, STRIP_ROWS, LENGTHS, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_LENGTHS),
    *(292, 293),
)
_SUBFILE, _OLD_SUBFILE = 254, 255
XMP, PHOTOSHOP, ICC, LAYERS = 700, 34377, 34675, 37724
SUBDIRECTORIES = 330

_LAYOUT = (
    *(WIDTH, HEIGHT, BITS, PACKING, FILL_ORDER, OFFSETS, CHANNELS, STRIP_ROWS, LENGTHS, PLANES, PREDICTOR),
    *(TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_LENGTHS, SAMPLE_FORMAT),
    *(255, 280, 281, 288, 289, 292, 293, 326, 327, 328, 347, *range(512, 522), *range(529, 533), 340, 341),
)
"""Tags that say how the old file's samples lay in it."""

_DROPPED = {SUBDIRECTORIES: "previews or further pictures (SubIFDs)", LAYERS: "Photoshop's layers"}
_BYTE_CODECS = {1, 5, 8, 32773, 32946, 34925, 50000}
"""None, LZW, deflate, PackBits, deflate's older number, LZMA, zstd."""

PACKINGS = frozenset((*_BYTE_CODECS, 2, 3, 4, 6, 7))
"""Ways to pack samples that are known: those, fax groups for 1 bit, and JPEG."""

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4}
_SPACES = {_WHITE_IS_ZERO: "grey", _BLACK_IS_ZERO: "grey", _RGB: "RGB", _PALETTE: "palette", _CMYK: "CMYK"}
_UNREAD_SPACES = {
    4: "transparency mask",
    8: "Lab",
    9: "Lab",
    10: "Lab",
    32803: "camera raw",
    32844: "LogLuv",
    32845: "LogLuv",
    34892: "camera raw",
}
_FORMATS = {2: "signed", 3: "float", 4: "untyped", 5: "complex", 6: "complex"}
_MODES = {"grey": "L", "RGB": "RGB", "palette": "P", "CMYK": "CMYK"}


@dataclass(frozen=True)
class Layout:
    """What a TIFF's tags say about its samples."""

    width: int
    height: int
    bits: tuple[int, ...]
    sample_format: int
    photometric: int
    channels: int
    extra: tuple[int, ...]
    packing: int
    planar: bool

    @property
    def kind(self) -> str:
        """The row of `formats.TABLE` that this picture belongs to."""
        if self.sample_format in _FORMATS:
            return _FORMATS[self.sample_format]
        if self.photometric in _UNREAD_SPACES:
            return _UNREAD_SPACES[self.photometric]
        if self.packing in (6, 7):
            return "JPEG" if self.bits[0] == 8 and not self.extra else "JPEG, other"
        if self.photometric not in _COLOURS:
            return "YCbCr" if self.photometric == _YCBCR else "colour space unknown"
        if self.bits[0] > 16:
            return "32 bits"
        if len(set(self.bits)) > 1 or self.bits[0] not in (1, 2, 4, 8, 16):
            return "odd bits"
        return self._plain_kind()

    def _plain_kind(self) -> str:
        space, bits = _SPACES[self.photometric], self.bits[0]
        if space in ("palette", "CMYK") and bits == 16:
            return f"{space} 16"
        if bits < 8 and (self.channels > 1 or space not in ("grey", "palette")):
            return "odd bits"
        others = self.channels - _COLOURS[self.photometric]
        white = ", min-is-white" if self.photometric == _WHITE_IS_ZERO else ""
        if not others:
            return f"{space} {bits}{white}"
        if others < 0:
            return "colour space unknown"
        if space == "palette":
            return "palette + channels"
        first = (self.extra or (0,))[0]
        if white and first == 1:
            return "grey, min-is-white + premultiplied alpha"
        alpha = {1: " + premultiplied alpha", 2: " + alpha"}.get(first, "")
        if space == "CMYK":
            return "CMYK 8 + premultiplied alpha" if first == 1 else "CMYK 8 + channels"
        return f"{space} {bits}{white}{alpha}{' + channels' if others > 1 or not alpha else ''}"

    @property
    def mode(self) -> str:
        """This package's name for the samples; extra channels stay beside them."""
        base = _MODES[_SPACES[self.photometric]]
        first = (self.extra or (0,))[0] if self.channels > _COLOURS[self.photometric] and base in ("L", "RGB") else 0
        if self.bits[0] == 1 and base == "L":
            return "1"
        mode = base + {1: "a", 2: "A"}.get(first, "")
        if self.bits[0] == 16:
            return "I;16" if mode == "L" else f"{mode};16"
        return mode

    @property
    def is_plain(self) -> bool:
        """Whether the samples are whole bytes that `decode` unpacks; Pillow reads the rest."""
        return self.packing in _BYTE_CODECS

    @property
    def own_channels(self) -> int:
        """Channels of `mode`; those behind them are carried along."""
        base = self.mode.split(";")[0]
        return 1 if base == "I" else len(base)


def layout(tags: Tags) -> Layout:
    """Raises ValueError for tags that describe no picture."""
    channels = tags.number(CHANNELS, 1)
    bits = tags.numbers(BITS, (1,))
    bits = bits * channels if len(bits) == 1 else bits
    width, height = tags.number(WIDTH, 0), tags.number(HEIGHT, 0)
    if min(width, height, channels) < 1 or len(bits) < channels:
        raise ValueError(f"its tags describe {width}×{height} pixels of {channels} channels")
    return Layout(
        width,
        height,
        bits[:channels],
        max(tags.numbers(SAMPLE_FORMAT, (1,))),
        tags.number(PHOTOMETRIC, -1),
        channels,
        tags.numbers(EXTRA),
        tags.number(PACKING, 1),
        tags.number(PLANES, 1) == 2 and channels > 1,
    )


def decode(data: bytes, tags: Tags, shape: Layout) -> Native:
    """The samples as stored, H×W×channels bool, uint8 or uint16, for a layout that `is_plain`; grey of 2 and 4 bits
    spread over 8. Raises what Pillow does."""
    depth = max(1, shape.bits[0] // 8)
    planes = shape.channels if shape.planar else 1
    channels = 1 if shape.planar else shape.channels
    kind = np.dtype(np.uint8) if depth == 1 else np.dtype(f"{tags.order}u2")
    decoded = [_plane(data, tags, shape, plane, planes, channels, kind) for plane in range(planes)]
    return decoded[0] if planes == 1 else np.concatenate(decoded, axis=2)


def _plane(
    data: bytes, tags: Tags, shape: Layout, plane: int, planes: int, channels: int, kind: np.dtype[np.generic]
) -> Native:
    tiled = TILE_WIDTH in tags.entries
    offsets = tags.numbers(TILE_OFFSETS if tiled else OFFSETS)
    lengths = tags.numbers(TILE_LENGTHS if tiled else LENGTHS)
    share = len(offsets) // planes
    pixel = channels * kind.itemsize
    tile_width, tile_height = tags.number(TILE_WIDTH, 0), tags.number(TILE_HEIGHT, 0)
    if tiled and min(tile_width, tile_height) < 1:
        raise ValueError("its tiles have no size")
    across = -(-shape.width // tile_width) if tiled else 1
    bits = shape.bits[0]
    wide = across * tile_width if tiled else shape.width
    # samples below 8 bits: so many bytes in a row, or in a tile's row
    run = -(-(tile_width if tiled else wide) * min(bits, 8) // 8) * pixel
    high = -(-shape.height // tile_height) * tile_height if tiled else shape.height
    if wide * high > 4 * shape.width * shape.height + (1 << 20):
        raise ValueError("its tiles are far larger than the picture")
    grey = Tags("<", False)
    entries = {
        WIDTH: grey.entry(LONG, across * run),
        HEIGHT: grey.entry(LONG, high),
        BITS: grey.entry(SHORT, 8),
        PACKING: grey.entry(SHORT, shape.packing),
        PHOTOMETRIC: grey.entry(SHORT, _BLACK_IS_ZERO),
        FILL_ORDER: grey.entry(SHORT, tags.number(FILL_ORDER, 1)),
        CHANNELS: grey.entry(SHORT, 1),
        (TILE_OFFSETS if tiled else OFFSETS): grey.entry(LONG, *offsets[plane * share : (plane + 1) * share]),
    }
    if lengths:
        part = lengths[plane * share : (plane + 1) * share]
        entries[TILE_LENGTHS if tiled else LENGTHS] = grey.entry(LONG, *part)
    if tiled:
        entries |= {TILE_WIDTH: grey.entry(LONG, run), TILE_HEIGHT: grey.entry(LONG, tile_height)}
    else:
        entries[STRIP_ROWS] = grey.entry(LONG, min(tags.number(STRIP_ROWS, high), high))
    rows: npt.NDArray[np.uint8] = np.asarray(_opened(data, replace(grey, entries=entries)))
    if bits < 8:
        return _unpacked(rows.reshape(high, across, run), bits, shape)
    samples = rows.reshape(-1).view(kind).reshape(high, wide, channels).astype(kind.newbyteorder("="), copy=False)
    if tags.number(PREDICTOR, 1) == 2:
        runs = samples.reshape(high, across, -1, channels)
        samples = np.add.accumulate(runs, axis=2, dtype=samples.dtype).reshape(high, wide, channels)
    return np.ascontiguousarray(samples[: shape.height, : shape.width])


def _unpacked(rows: npt.NDArray[np.uint8], bits: int, shape: Layout) -> Native:
    """Samples of 1, 2 or 4 bits out of the bytes of each row's runs; those that are grey spread over 8, or bool."""
    high = len(rows)
    singles = np.unpackbits(rows, axis=2)
    levels = np.packbits(singles.reshape(*rows.shape[:2], -1, bits), axis=3)[..., 0] >> (8 - bits)
    levels = levels.reshape(high, -1)[: shape.height, : shape.width, None]
    if shape.photometric == _PALETTE:
        return np.ascontiguousarray(levels)
    return levels.astype(bool) if bits == 1 else levels * np.uint8(255 // ((1 << bits) - 1))


def min_is_white(samples: Native, mode: str) -> Native:
    """Grey samples the other way round, with their alpha as it is; the inverse of itself."""
    turned = np.invert(samples)
    if mode.startswith("LA"):
        turned[..., 1] = samples[..., 1]
    return turned


def is_preview(tags: Tags) -> bool:
    """Whether the first page says that it is a smaller version of another one (NewSubfileType bit 0; its elder)."""
    return tags.pages > 1 and bool(tags.number(_SUBFILE, 0) & 1 or tags.number(_OLD_SUBFILE, 0) == 2)


def decoded_by_pillow(data: bytes, tags: Tags, shape: Layout) -> Image.Image:
    """A fax or JPEG TIFF as Pillow decodes it, in stored orientation: told only how its samples lie in the file."""
    told = Tags("<", False)
    entries = {
        tag: told.entry(LONG if tag in _ADDRESSES else SHORT, *tags.numbers(tag))
        for tag in (*_LIES, *_ADDRESSES)
        if tags.numbers(tag)
    }
    if JPEG_TABLES in tags.entries:
        entries[JPEG_TABLES] = tags.entries[JPEG_TABLES]
    return _opened(data, replace(told, entries=entries))


def _opened(data: bytes, tags: Tags) -> Image.Image:
    """A TIFF's bytes with another directory, decoded."""
    directory, offset = tiff_tags.encode(tags, len(data))
    file = io.BytesIO(tiff_tags.header(tags, offset) + data[8:] + directory)
    # opened as what it is: `Image.open` would take the bytes of a row for pixels, and find them too many
    image = TiffImagePlugin.TiffImageFile(file)
    with quiet.libtiff():
        image.load()
    return image


def descriptive(tags: Tags) -> tuple[dict[int, Entry], tuple[str, ...]]:
    """The tags that a result keeps, and notes that name what it cannot."""
    dropped = [words for tag, words in _DROPPED.items() if tag in tags.entries]
    notes = tuple(f"{words} left out: they show the old picture" for words in dropped)
    addresses = [
        tag
        for tag, entry in tags.entries.items()
        if entry.type in tiff_tags.POINTER_TYPES and entry.inside is None and tag != SUBDIRECTORIES
    ]
    if addresses:
        listed = ", ".join(map(str, addresses))
        notes += (f"TIFF tags left out, as they point into the old file: {listed}",)
    return tiff_tags.without(tags.entries, (*_LAYOUT, *_DROPPED)), notes


def tags_from(metadata: Metadata, orientation: int) -> Tags:
    """The tags that say in a TIFF what the metadata of another format says, and how its samples are turned."""
    exif = _parsed(metadata.exif)
    entries = tiff_tags.without(exif.entries, (*_LAYOUT, *_DROPPED, PHOTOMETRIC, EXTRA))
    entries.pop(ORIENTATION, None)
    if orientation != 1:
        entries[ORIENTATION] = exif.entry(SHORT, orientation)
    if metadata.dpi and 282 not in entries:
        across, down = (round(per_inch * 1000) for per_inch in metadata.dpi)
        entries[282], entries[283] = exif.entry(RATIONAL, across, 1000), exif.entry(RATIONAL, down, 1000)
        entries[296] = exif.entry(SHORT, 2)
    elif metadata.aspect and 282 not in entries:
        across, down = metadata.aspect
        entries[282], entries[283] = exif.entry(RATIONAL, across, 1), exif.entry(RATIONAL, down, 1)
        entries[296] = exif.entry(SHORT, 1)
    told = {XMP: (BYTE, metadata.xmp), PHOTOSHOP: (BYTE, metadata.photoshop), ICC: (UNDEFINED, metadata.icc)}
    entries |= {tag: Entry(kind, len(data), data) for tag, (kind, data) in told.items() if data}
    if metadata.comments and 270 not in entries:
        text = "\n".join(metadata.comments).encode() + b"\0"
        entries[270] = Entry(ASCII, len(text), text)
    return replace(exif, entries=entries)


def orientation_block(orientation: int) -> bytes:
    """An EXIF block that says nothing but how its picture is turned (1 to 8)."""
    tags = Tags("<", False)
    tags = replace(tags, entries={ORIENTATION: tags.entry(SHORT, orientation)})
    directory, offset = tiff_tags.encode(tags, 8)
    return tiff_tags.header(tags, offset) + directory


def _parsed(exif: bytes | None) -> Tags:
    try:
        return tiff_tags.read(io.BytesIO(exif or b""), strict=False)
    except tiff_tags.TagsError:
        return Tags("<", False)


def write(
    file: BinaryIO,
    samples: Native,
    mode: str,
    tags: Tags,
    *,
    extra: Native | None = None,
    palette: npt.NDArray[np.uint8] | None = None,
    compressed: bool = True,
) -> None:
    """Write samples (H×W or H×W×channels; bool, uint8 or uint16) as one strip, deflated or plain, in the byte order of
    `tags`, with its photometric interpretation and with `extra` channels (H×W×k) behind those of the mode."""
    base = mode.replace("I;16", "L").split(";")[0]
    white = tags.number(PHOTOMETRIC, _BLACK_IS_ZERO) == _WHITE_IS_ZERO and base in ("1", "L", "LA")
    stored = min_is_white(samples, base) if white else samples
    if extra is not None:
        stored = np.concatenate([stored.reshape(*stored.shape[:2], -1), extra], axis=2)
    height, width = stored.shape[:2]
    channels = channels_of(stored)
    predicted = compressed and samples.dtype != bool and base != "P"
    data = _pack(stored, tags.order, compressed, predicted)
    start = 16 if tags.big else 8
    photometric = {"1": 1, "L": 1, "P": 3, "RGB": 2, "CMYK": 5}[base.rstrip("aA")]
    entries: dict[int, Entry] = {
        **tags.entries,
        WIDTH: tags.entry(LONG, width),
        HEIGHT: tags.entry(LONG, height),
        BITS: tags.entry(SHORT, *(1 if samples.dtype == bool else 8 * samples.dtype.itemsize,) * channels),
        PACKING: tags.entry(SHORT, 8 if compressed else 1),
        PHOTOMETRIC: tags.entry(SHORT, _WHITE_IS_ZERO if white else photometric),
        OFFSETS: tags.entry(LONG, start),
        CHANNELS: tags.entry(SHORT, channels),
        STRIP_ROWS: tags.entry(LONG, height),
        LENGTHS: tags.entry(LONG, len(data)),
        PLANES: tags.entry(SHORT, 1),
    }
    if predicted:
        entries[PREDICTOR] = tags.entry(SHORT, 2)
    if palette is not None and len(tags.numbers(COLOUR_MAP)) != 3 * 256:
        entries[COLOUR_MAP] = tags.entry(SHORT, *_colour_map(palette))
    if EXTRA not in entries and base in ("LA", "RGBA"):
        entries[EXTRA] = tags.entry(SHORT, 2)
    if base == "CMYK" and INK_SET not in entries:
        entries[INK_SET] = tags.entry(SHORT, 1)
    directory, offset = tiff_tags.encode(replace(tags, entries=entries), start + len(data))
    file.write(tiff_tags.header(tags, offset))
    file.write(data)
    file.write(directory)


def _colour_map(palette: npt.NDArray[np.uint8]) -> tuple[int, ...]:
    table = np.zeros((256, 3), np.uint16)
    table[: len(palette)] = palette[:, :3].astype(np.uint16) * 257
    return tuple(int(level) for level in table.T.ravel())


def read_colour_map(tags: Tags, bits: int) -> npt.NDArray[np.uint8]:
    """The palette as N×4 RGBA; 16-bit levels rounded, as a viewer would show them (the tag itself is kept)."""
    size = 1 << bits
    levels = np.array(tags.numbers(COLOUR_MAP)[: 3 * size], np.uint32)
    if len(levels) != 3 * size:
        raise ValueError("its colour map is incomplete")
    palette = np.full((size, 4), 255, np.uint8)
    palette[:, :3] = ((levels + 128) // 257).reshape(3, size).T
    return palette


def _pack(samples: Native, order: str, compressed: bool, predicted: bool) -> bytes:
    """All rows as one strip; `predicted` stores differences to the left neighbour (TIFF's predictor 2)."""
    packer = zlib.compressobj(COMPRESSION)
    packed: list[bytes] = []
    for top in range(0, len(samples), 256):
        rows = samples[top : top + 256]
        if rows.dtype == bool:
            rows = np.packbits(rows, axis=1)
        if predicted:
            rows = rows.copy()
            rows[:, 1:] -= samples[top : top + 256, :-1]
        data = rows.astype(np.dtype(f"{order}u{rows.dtype.itemsize}"), copy=False).tobytes()
        packed.append(packer.compress(data) if compressed else data)
    if compressed:
        packed.append(packer.flush())
    return b"".join(packed)


def value(entries: Mapping[int, Entry], tag: int) -> bytes | None:
    """The bytes of a tag, or None."""
    entry = entries.get(tag)
    return entry.data if entry else None


def has_description(exif: bytes | None) -> bool:
    """Whether an EXIF block has an ImageDescription."""
    return 270 in _parsed(exif).entries


def is_whole(exif: bytes) -> bool:
    """Whether every tag of an EXIF block can be carried into a TIFF."""
    try:
        tiff_tags.read(io.BytesIO(exif))
    except tiff_tags.TagsError:
        return False
    return True


def exif_resolution(exif: bytes | None) -> tuple[float, float] | None:
    """The same of an EXIF block."""
    return resolution(_parsed(exif))


def resolution(tags: Tags) -> tuple[float, float] | None:
    """Pixels per inch across and down, where the tags tell a unit."""
    unit = {2: 1.0, 3: 2.54}.get(tags.number(296, 2))
    values = [value(tags.entries, tag) for tag in (282, 283)]
    if unit is None or any(data is None or len(data) != 8 for data in values):
        return None
    pairs = [struct.unpack(f"{tags.order}2I", data) for data in values if data]
    if not all(number for pair in pairs for number in pair):
        return None
    return (pairs[0][0] / pairs[0][1] * unit, pairs[1][0] / pairs[1][1] * unit)


def without_old_pictures(entries: Mapping[int, Entry]) -> tuple[dict[int, Entry], tuple[str, ...]]:
    """Tags without the thumbnails that XMP and Photoshop's resources hold; and notes of what was left out."""
    kept = dict(entries)
    notes: tuple[str, ...] = ()
    cleaners = {XMP: ("XMP", xmp_without_thumbnails), PHOTOSHOP: ("Photoshop", photoshop_without_thumbnail)}
    for tag, (name, clean) in cleaners.items():
        data, found = clean(value(entries, tag) or b"")
        if found:
            notes += (f"the {name} thumbnail was left out: it shows the old picture",)
            kept[tag] = Entry(entries[tag].type, len(data), data)
    return kept, notes
