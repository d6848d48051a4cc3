"""A TIFF as a `LoadedPicture`: its samples by `tiff`, its tags by `tiff_tags`."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

import numpy as np

from lib_prodshot.pictures import formats, opened, samples, tiff, tiff_tags
from lib_prodshot.pictures.loaded import LoadedPicture, Metadata, Native, RefuseLarge, to_display


def load(file: BinaryIO, suffix: str, refuse_large: RefuseLarge) -> LoadedPicture:
    """Read a TIFF. Raises `PictureError` with the rest of a sentence, and what damaged tags or Pillow cause."""
    tags = tiff_tags.read(file)
    shape = tiff.layout(tags)
    refuse_large(shape.width, shape.height)
    row = formats.row_of("TIFF", shape.kind)
    if shape.packing not in tiff.PACKINGS:
        formats.row_of("TIFF", "packing unknown")
    file.seek(0)
    data = file.read()
    orientation = tags.number(tiff.ORIENTATION, 1)
    orientation = orientation if 1 <= orientation <= 8 else 1
    if shape.is_plain:
        native, mode, extra = _plain(data, tags, shape, orientation)
        palette = tiff.read_colour_map(tags, shape.bits[0]) if mode == "P" else None
    else:
        stored, mode = opened.as_stored(tiff.decoded_by_pillow(data, tags, shape))
        native, extra, palette = to_display(stored, orientation), None, None
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
        suffix=formats.suffix_of("TIFF", suffix),
        lossless=True,
        orientation=orientation,
        frames=tags.pages,
        palette=palette,
        compressed=shape.packing != 1,
        metadata=Metadata(icc=tiff.value(kept, tiff.ICC), dpi=tiff.resolution(tags), tiff=replace(tags, entries=kept)),
        notes=(*pages, *said, *notes, *held),
        extra=extra,
    )


def _plain(
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
