"""What becomes of every kind of picture: kept as it is, converted and said so, or refused. The one table of it.

The table itself is `formats.csv`; `reading` looks up what a file holds in it, and goes on or refuses as the row says.
docs/formats.md shows it; tests/pictures/test_table.py makes a file for every row and asks readers that are not ours.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files

from lib_prodshot.errors import PictureError

KEPT, SAID, REFUSED = "kept", "converted and said", "refused"

OWN = "its own format"

SUFFIXES = {
    "PNG": (".png", ".apng"),
    "BMP": (".bmp", ".dib"),
    "DIB": (".dib", ".bmp"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
    "WEBP": (".webp",),
}
"""Of the formats that results can have."""


@dataclass(frozen=True)
class Row:
    """One kind of picture in one format: its fate, the format of its result, and the note or refusal that says so
    (with `{}` where the file's bits, highest level or missing decoder are named)."""

    format: str
    kind: str
    fate: str
    result: str = ""
    says: str = ""


def _read() -> dict[tuple[str, str], Row]:
    text = files("lib_prodshot.pictures").joinpath("formats.csv").read_text(encoding="utf-8")
    rows = (Row(**cells) for cells in csv.DictReader(text.splitlines()))
    return {(row.format, row.kind): row for row in rows}


TABLE = _read()


def suffix_of(form: str, suffix: str) -> str:
    """The suffix of a result in this format: the file's own where it is one of the format's."""
    own = SUFFIXES.get(form, ())
    return suffix if suffix in own else (own[0] if own else suffix)


def row_of(form: str, kind: str) -> Row:
    """The row for what a file holds. Raises `PictureError` with the rest of a sentence for a kind that is refused, or
    that nobody thought of."""
    row = TABLE.get((form, kind))
    if row is None:
        raise PictureError(f"is a {form} of a kind that cannot be kept ({kind}); save it as PNG or TIFF")
    if row.fate == REFUSED:
        raise PictureError(row.says)
    return row
