"""What becomes of every kind of picture: kept as it is, converted and said so, or refused. The one table of it.

`reading` looks up what a file holds here, and goes on or refuses as the row says. docs/formats.md is `markdown()`;
tests/pictures/test_table.py makes a file for every row and asks readers that are not ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lib_prodshot.errors import PictureError

KEPT, SAID, REFUSED = "kept", "converted and said", "refused"

OWN, PNG, TIFF = "its own format", "PNG", "TIFF"


@dataclass(frozen=True)
class Row:
    """One kind of picture in one format: its fate, the format of its result, and the note or refusal that says so."""

    format: str
    kind: str
    fate: str
    result: str = ""
    says: str = ""


def _kept(form: str, result: str, *kinds: str) -> Iterator[Row]:
    yield from (Row(form, kind, KEPT, result) for kind in kinds)


def _refused(form: str, kinds: dict[str, str]) -> Iterator[Row]:
    yield from (Row(form, kind, REFUSED, "", says) for kind, says in kinds.items())


_EIGHT = "{}-bit {} samples are written with 8 bits, level by level"
_SAVE = "save it as RGB or grey with 8 or 16 bits"
_SIXTEEN = "its {}-bit samples are written with 16 bits, level by level"


def _tiff() -> Iterator[Row]:
    depths = (8, 16)
    yield from _kept("TIFF", OWN, "grey 1", "grey 1, min-is-white", "palette 8", "CMYK 8", "CMYK 8 + channels")
    for bits in depths:
        yield from _kept("TIFF", OWN, f"grey {bits}", f"grey {bits}, min-is-white", f"RGB {bits}")
        for space in ("grey", "RGB"):
            for alpha in (" + alpha", " + premultiplied alpha"):
                yield from _kept("TIFF", OWN, f"{space} {bits}{alpha}", f"{space} {bits}{alpha} + channels")
            yield from _kept("TIFF", OWN, f"{space} {bits} + channels")
        for more in (" + alpha", " + alpha + channels", " + channels"):
            yield from _kept("TIFF", OWN, f"grey {bits}, min-is-white{more}")
    yield Row("TIFF", "JPEG", SAID, OWN, "its JPEG-compressed samples are written without loss, YCbCr as RGB")
    for bits in (2, 4):
        for white in ("", ", min-is-white"):
            yield Row("TIFF", f"grey {bits}{white}", SAID, OWN, _EIGHT.format(bits, "grey"))
        yield Row("TIFF", f"palette {bits}", SAID, OWN, _EIGHT.format(bits, "palette"))
    yield Row("TIFF", "palette 1", SAID, OWN, _EIGHT.format(1, "palette"))
    yield from _refused(
        "TIFF",
        {
            "signed": f"has signed samples, which cannot be kept; {_SAVE}, unsigned",
            "float": f"has floating-point samples, which cannot be kept; {_SAVE}",
            "untyped": f"has samples without a type, which cannot be kept; {_SAVE}",
            "complex": f"has complex samples, which cannot be kept; {_SAVE}",
            "32 bits": f"has 32-bit samples, which cannot be kept; {_SAVE}",
            "odd bits": f"has samples of a depth that cannot be kept (1, 8 and 16 bits can, 2 and 4 in grey); {_SAVE}",
            "CMYK 16": "has 16-bit CMYK samples, which cannot be kept; save it as CMYK with 8 bits or RGB with 16",
            "CMYK 8 + premultiplied alpha": "has CMYK premultiplied with alpha, which cannot be kept; save it with "
            "plain (unassociated) alpha or as RGB",
            "palette 16": f"has a palette of 16-bit indices, which cannot be kept; {_SAVE}",
            "palette + channels": f"has a palette with further channels, which cannot be kept; {_SAVE}",
            "grey, min-is-white + premultiplied alpha": "has grey in which the least is white, premultiplied with "
            "alpha, which cannot be kept; save it with plain (unassociated) alpha or with black as 0",
            "Lab": f"has Lab samples, which cannot be kept; {_SAVE}",
            "LogLuv": f"has LogLuv samples, which cannot be kept; {_SAVE}",
            "YCbCr": f"has YCbCr samples without JPEG compression, which cannot be kept; {_SAVE}",
            "JPEG, other": f"has JPEG-compressed samples of a kind that cannot be kept; {_SAVE}",
            "transparency mask": "is a transparency mask and no picture; give the picture that it belongs to",
            "camera raw": "is a camera's raw file; develop it and save it as 16-bit TIFF",
            "colour space unknown": f"has a colour space that is not known; {_SAVE}",
            "packing unknown": "is packed in a way that is not known; save it plain or as LZW",
        },
    )


def _png() -> Iterator[Row]:
    yield from _kept("PNG", OWN, "grey 1", "grey 8", "grey 16", "grey 8 + alpha", "grey 16 + alpha")
    yield from _kept("PNG", OWN, *(f"palette {bits}" for bits in (1, 2, 4, 8)))
    yield from _kept("PNG", OWN, "RGB 8", "RGB 16", "RGB 8 + alpha", "RGB 16 + alpha")
    for bits in (2, 4):
        yield Row("PNG", f"grey {bits}", SAID, OWN, _EIGHT.format(bits, "grey"))


def _jpeg() -> Iterator[Row]:
    yield from _kept("JPEG", PNG, "grey 8", "colour 8")
    yield from _kept("JPEG", TIFF, "CMYK 8")
    yield from _refused(
        "JPEG",
        {
            "12 bits": f"is a JPEG with 12-bit samples, which cannot be read in full depth; {_SAVE}",
            "other bits": f"is a JPEG with samples of a depth that cannot be kept; {_SAVE}",
            "lossless process": f"is a lossless JPEG (as raw files hold it), which cannot be read; {_SAVE}",
            "JPEG-LS": "is a JPEG-LS, which cannot be read; save it as PNG or TIFF",
            "other channels": f"is a JPEG with a number of channels that cannot be kept; {_SAVE}",
        },
    )


def _jpeg2000() -> Iterator[Row]:
    yield from _kept(
        "JPEG2000", PNG, "grey 8", "grey 8 + alpha", "grey 16", "RGB 8", "RGB 8 + alpha", "RGB 16", "RGB 16 + alpha"
    )
    for kind in ("grey 9 to 15", "RGB 9 to 15", "RGB 9 to 15 + alpha"):
        yield Row("JPEG2000", kind, SAID, PNG, "its samples are written with 16 bits, level by level")
    for kind in ("grey 9 to 15 + alpha", "grey 16 + alpha"):
        yield Row("JPEG2000", kind, REFUSED, "", f"has deep grey samples with alpha, which cannot be read; {_SAVE}")
    yield Row("JPEG2000", "YCC", SAID, PNG, "its YCC samples are written as RGB")
    yield from _refused(
        "JPEG2000",
        {
            "signed": f"has signed samples, which cannot be kept; {_SAVE}",
            "palette": f"is a JPEG 2000 with a palette, which cannot be kept; {_SAVE}",
            "other": f"is a JPEG 2000 with samples or colours of a kind that cannot be kept; {_SAVE}",
        },
    )


def _others() -> Iterator[Row]:
    yield from _kept("AVIF", PNG, "colour 8", "grey 8")
    yield from _kept("HEIF", PNG, "colour 8")
    for bits in (10, 12):
        for form, kind in (("AVIF", "colour"), ("AVIF", "grey"), ("HEIF", "colour")):
            yield Row(form, f"{kind} {bits}", SAID, PNG, _SIXTEEN.format(bits))
    premultiplied = "its colours were premultiplied with alpha, and are written without"
    yield Row("AVIF", "premultiplied", SAID, PNG, premultiplied)
    yield Row(
        "AVIF",
        "no decoder",
        REFUSED,
        "",
        "is AVIF, which the Pillow here does not read (11.3 and newer do); save it as JPEG or PNG",
    )
    yield Row(
        "AVIF",
        "deep, no decoder",
        REFUSED,
        "",
        "has {} bits per sample, of which only 8 could be read here (OpenCV 5 and newer read them all); save it as "
        "16-bit PNG or TIFF",
    )
    yield Row(
        "HEIF",
        "no decoder",
        REFUSED,
        "",
        "is HEIC/HEIF, whatever its name says; {}, or save it as JPEG or PNG",
    )
    yield from _kept("WEBP", OWN, "lossless", "lossless + alpha")
    yield from _kept("WEBP", PNG, "lossy", "lossy + alpha")
    yield from _kept("GIF", PNG, "palette", "grey")
    yield from _kept("BMP", OWN, "grey 1", "palette 8", "palette 8, run-length", "RGB 24")
    yield from _kept("BMP", PNG, "RGB 32 + alpha")
    for kind, bits in (("palette 1", 1), ("palette 4", 4), ("palette 4, run-length", 4)):
        yield Row("BMP", kind, SAID, OWN, _EIGHT.format(bits, "palette"))
    yield Row("BMP", "RGB 16", SAID, OWN, "its 5 or 6 bits per colour are written with 8")
    yield Row(
        "BMP", "RGB 32", SAID, OWN, "its 32 bits per pixel are written as 24: the last byte has no meaning in a BMP"
    )
    yield Row("BMP", "other", REFUSED, "", "is a BMP of a kind that cannot be kept; save it as PNG")
    yield from _kept("PPM", OWN, "grey 1", "grey 8", "RGB 8", "grey 16", "RGB 16")
    for space in ("grey", "RGB"):
        yield Row("PPM", f"{space} below 8", SAID, OWN, "its levels, which end at {}, are written as 0 to 255")
        yield Row("PPM", f"{space} 9 to 15", SAID, OWN, "its levels, which end at {}, are written as 0 to 65535")
    yield Row("PPM", "float", REFUSED, "", f"has floating-point samples (PFM), which cannot be kept; {_SAVE}")
    yield Row("PPM", "other", REFUSED, "", "is a kind of PPM that cannot be read (PAM); save it as PNG")
    yield from _kept("TGA", OWN, "grey 8", "grey 8 + alpha", "palette 8", "RGB 24", "RGB 32 + alpha")
    yield Row("TGA", "RGB 16", SAID, OWN, "its 5 bits per colour are written with 8")
    yield Row("TGA", "palette + alpha", SAID, OWN, "its palette with alpha is written as RGB with alpha")
    yield Row("TGA", "RGB 32", SAID, OWN, "its fourth byte, to which its header gives no meaning, is kept as alpha")
    yield Row(
        "TGA", "RGB 16 + alpha", REFUSED, "", "has 16-bit colours with alpha, which cannot be kept; save it as PNG"
    )


TABLE: dict[tuple[str, str], Row] = {
    (row.format, row.kind): row for part in (_tiff, _png, _jpeg, _jpeg2000, _others) for row in part()
}


def row_of(form: str, kind: str) -> Row:
    """The row for what a file holds. Raises `PictureError` with the rest of a sentence for a kind that is refused, or
    that nobody thought of."""
    row = TABLE.get((form, kind))
    if row is None:
        raise PictureError(f"is a {form} of a kind that cannot be kept ({kind}); save it as PNG or TIFF")
    if row.fate == REFUSED:
        raise PictureError(row.says)
    return row


@dataclass(frozen=True)
class Block:
    """What becomes of one kind of description, whatever the format."""

    name: str
    found_in: str
    fate: str


BLOCKS = (
    Block("EXIF", "JPEG, TIFF, PNG, WebP, AVIF, HEIF, JPEG 2000", "kept byte by byte, maker notes included"),
    Block("EXIF thumbnail", "JPEG and others", "left out and said: it shows the old picture"),
    Block("orientation", "all with EXIF", "kept; mask and alpha files are stored the same way with the same tag"),
    Block(
        "XMP",
        "JPEG, TIFF, PNG, WebP, AVIF, HEIF, JPEG 2000, GIF",
        "kept byte by byte; a thumbnail in it is left out and said",
    ),
    Block("extended XMP", "JPEG", "joined with the main packet; said where that cannot be"),
    Block(
        "IPTC, Photoshop resources",
        "JPEG, TIFF, JPEG 2000",
        "kept (in a PNG as ImageMagick and ExifTool do it); their thumbnail is left out and said",
    ),
    Block("a second EXIF or XMP block", "JPEG, WebP, JPEG 2000", "left out and said, unless it says the same"),
    Block("data behind the end", "all but TIFF and TGA (motion photos' films among them)", "left out and said"),
    Block("unknown chunks, boxes, properties", "WebP, GIF, JPEG 2000, AVIF, HEIF", "left out and said"),
    Block(
        "comments",
        "JPEG, GIF, JPEG 2000",
        "kept as PNG text or TIFF ImageDescription; in a PPM or where there is one already: said",
    ),
    Block("PNG chunks", "PNG", "kept; those that only fit the old samples are left out and said"),
    Block(
        "ICC profile",
        "all that have one, BMP 5 and JPEG 2000 too",
        "kept byte by byte; said where pieces of it are missing (JPEG)",
    ),
    Block("colour by code points (CICP)", "PNG, AVIF, HEIF", "kept, as PNG's cICP chunk; finders are shown sRGB"),
    Block("mastering display, light levels", "PNG, AVIF, HEIF", "kept (mDCV, cLLI)"),
    Block("colour by primaries", "BMP 4", "left out and said"),
    Block("resolution", "all that have one", "kept; without a unit, the shape of a sample alone"),
    Block("pages, frames", "TIFF, GIF, PNG, WebP, AVIF, HEIF, MPO", "the first; the others are left out and said"),
    Block("gain maps, depth maps, mattes", "JPEG (Ultra HDR), AVIF, HEIF", "left out and said"),
    Block("Photoshop layers, TIFF previews", "TIFF", "left out and said: they show the old picture"),
    Block("content credentials (C2PA)", "JPEG, PNG", "left out and said: they vouch for the old picture"),
)


def markdown() -> str:
    """docs/formats.md."""
    lines = [
        "# What becomes of each kind of picture",
        "",
        "Made from the table in `lib_prodshot/pictures/formats.py` (`markdown()`); a test compares the two.",
        "*Kept*: every sample outside the mask, the depth, the channels and what they mean are those of the file.",
        "*Converted and said*: the outcome's `notes` hold the sentence. *Refused*: the picture fails with it.",
        "",
        "| format | samples | fate | result | what is said |",
        "|---|---|---|---|---|",
    ]
    for row in TABLE.values():
        lines.append(f"| {row.format} | {row.kind} | {row.fate} | {row.result or '–'} | {row.says or '–'} |")
    lines += [
        "",
        "How samples lie in a file (tiles, planes, strips, lossless packing) is not part of the picture: a TIFF comes",
        "back in its own byte order, classic or big as it was, in one strip that is deflated or plain.",
        "",
        "## Descriptions",
        "",
        "| block | found in | fate |",
        "|---|---|---|",
        *(f"| {block.name} | {block.found_in} | {block.fate} |" for block in BLOCKS),
        "",
    ]
    return "\n".join(lines)
