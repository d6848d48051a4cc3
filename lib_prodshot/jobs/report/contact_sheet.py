"""The contact sheet of a job: one PNG to look at and one self-contained HTML page (before | boxes and mask | after).

The page loads nothing from anywhere: thumbnails are data URIs, decoded only when scrolled to, and a content policy
forbids the rest. The page of a large folder job has its rows in files beside it, and loads nothing but these. Both are
written row by row, so that a job of many pictures needs hardly more memory than one.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import quote

from PIL import Image, ImageDraw

from lib_prodshot import __version__
from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.reading import is_file
from lib_prodshot.jobs.files.staging import Staging, make_folder
from lib_prodshot.jobs.report.lettering import Font, font, writable, write
from lib_prodshot.jobs.report.report import read_report
from lib_prodshot.jobs.report.thumbnails import (
    BACKGROUND,
    Encoded,
    EncodedThumbnails,
    Thumbnails,
    encode,
    thumbnails_of,
)
from lib_prodshot.outcome import GatesAnswer, gravity_of

PNG_NAME = "contact-sheet.png"
HTML_NAME = "contact-sheet.html"

PNG_ROWS = 40
"""A taller PNG is refused by many viewers; the page holds all rows."""

REVIEW_DELTA_E = 10.0
"""From this mean ΔE2000 inside the mask on a picture should be looked at (retouch's own limit)."""

SIDE = 256
SMALL_SIDE = 160
MANY_ROWS = 400
"""From this many rows on the page uses the smaller side, some 10 kB a row."""

LARGE_ROWS = 1000
"""From this many rows on the page of a folder job has its rows in files of their own."""

PART_ROWS = 50
"""Rows in one of these files, half a megabyte."""

_PART_END = ");\n"
_PART_HEAD = re.compile(rb"/\* [0-9a-f]{16} \*/\n")
_PART_NAME = re.compile(r"\d{6,}\.js")

_STATUS_COLOURS = {"found": (0, 121, 52), "skipped": (90, 90, 90), "failed": (190, 20, 20)}


@dataclass(frozen=True)
class _Row:
    line: Mapping[str, Any]
    pictures: Thumbnails


def write_contact_sheet(folder: Path, title: str = "Prodshot") -> tuple[Path, Path]:
    """Draw both contact sheets from `folder`'s report and the files it names; returns the PNG and the page.

    Raises `OutputError` when there is no report or the folder cannot be written.
    """
    lines = list({line["file"]: line for line in read_report(folder)}.values())
    if not lines:
        raise OutputError(f"the report in {folder} has no line yet")
    side = side_for(len(lines))
    first: list[_Row] = []
    with Staging(folder) as staging:
        _write_page(staging.path(HTML_NAME), _page(_rows(lines, folder, side, first), _Counts.of(lines), title))
        _sheet(first, len(lines), title, side).save(staging.path(PNG_NAME), optimize=True)
    return folder / PNG_NAME, folder / HTML_NAME


def side_for(rows: int) -> int:
    """Return the longer side of the thumbnails of a sheet with so many rows, in pixels."""
    return SIDE if rows <= MANY_ROWS else SMALL_SIDE


def write_job_page(
    path: Path,
    lines: Iterable[Mapping[str, Any]],
    pictures_of: Callable[[Mapping[str, Any]], EncodedThumbnails],
    title: str,
) -> None:
    """Write the page of a folder job: full names, and the thumbnails are links to the results.

    The lines' results are relative to the page's folder. From `LARGE_ROWS` lines on the page is a list of all rows, and
    the rows themselves stand in files of the folder `parts_folder(path)`, which the page loads as they are looked at: a
    browser takes no page of a gigabyte. A part that holds its rows already is not written again. Raises `OutputError`.
    """
    every = iter(lines)
    first = list(islice(every, LARGE_ROWS))
    if len(first) == LARGE_ROWS:
        _write_large(path, chain(first, every), pictures_of, title)
        return
    rows = (_article(index, line, pictures_of(line), _JobNames(line)) for index, line in enumerate(first))
    with Staging(path.parent) as staging:
        _write_page(staging.path(path.name), _page(rows, _Counts.of(first), title))
    _remove_parts(parts_folder(path), 0)


def parts_folder(page: Path) -> Path:
    """The folder with the rows of a large page."""
    return page.with_name(f"{page.stem}.rows")


def _write_large(
    path: Path,
    lines: Iterable[Mapping[str, Any]],
    pictures_of: Callable[[Mapping[str, Any]], EncodedThumbnails],
    title: str,
) -> None:
    folder = parts_folder(path)
    make_folder(folder)
    counts = _Counts()
    parts: list[str] = []
    # the list of rows is on disk until the page is written, for its counts and its parts come first
    with Staging(path.parent) as staging, TemporaryFile("w+", encoding="ascii") as listed:
        while rows := list(islice(lines, PART_ROWS)):
            number = len(parts)
            digest = _digest(rows)
            part = folder / f"{number:06}.js"
            if not _is_part(part, digest):
                _write_part(part, number, digest, rows, pictures_of)
            parts.append(f"{quote(folder.name)}/{part.name}?{digest}")
            listed.write("," * bool(number) + _json([_listed(line) for line in rows])[1:-1])
            counts.add(rows)
        listed.seek(0)
        facts = {"statuses": list(_STATUS_COLOURS), "size": PART_ROWS, "folder": folder.name, "parts": parts}
        pieces = iter(partial(listed.read, 1 << 16), "")
        index = chain((f'<script>window.sheet = {_json(facts)[:-1]},"rows":[',), pieces, ("]};</script>\n",))
        _write_page(staging.path(path.name), _page((), counts, title, index))
    _remove_parts(folder, len(parts))


def _write_part(
    path: Path,
    number: int,
    digest: str,
    lines: Sequence[Mapping[str, Any]],
    pictures_of: Callable[[Mapping[str, Any]], EncodedThumbnails],
) -> None:
    start = number * PART_ROWS
    articles = [_article(start + place, line, pictures_of(line), _JobNames(line)) for place, line in enumerate(lines)]
    with Staging(path.parent) as staging:
        text = f"{_part_head(digest)}sheetPart({number}, {json.dumps(articles)}{_PART_END}"
        staging.path(path.name).write_text(text, encoding="utf-8")


def _remove_parts(folder: Path, kept: int) -> None:
    """Remove the parts of a larger page from number `kept` on, and the folder when nothing is left in it: what else
    stands there, the results of a sub-folder of that name among it, is not the page's."""
    for part in folder.glob("*.js"):
        if _PART_NAME.fullmatch(part.name) and int(part.stem) >= kept and _is_own(part):
            part.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _json(value: Any) -> str:
    """JSON within a script, which no name of a file may end."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _listed(line: Mapping[str, Any]) -> tuple[str, int, float, float]:
    """What a row is filtered and sorted by: its name, its status, its score, and how gravely it needs a look."""
    status = list(_STATUS_COLOURS).index(_status(line))
    return str(line.get("file")), status, round(_score(line), 4), round(gravity(line), 3)


def _digest(lines: Iterable[Mapping[str, Any]]) -> str:
    """Changes whenever the articles of these lines do."""
    digest = hashlib.blake2b(__version__.encode(), digest_size=8)
    for line in lines:
        digest.update(json.dumps(line).encode())
    return digest.hexdigest()


def _is_own(part: Path) -> bool:
    """Whether this is a file that a page wrote."""
    if not is_file(part):
        return False
    with part.open("rb") as file:
        return _PART_HEAD.match(file.read(64)) is not None


def _is_part(path: Path, digest: str) -> bool:
    """Whether a part is there, with these rows, to its end."""
    head, end = (text.encode() for text in (_part_head(digest), _PART_END))
    try:
        with path.open("rb") as file:
            if file.read(len(head)) != head:
                return False
            file.seek(-len(end), os.SEEK_END)
            return file.read() == end
    except OSError:
        return False


def _part_head(digest: str) -> str:
    return f"/* {digest} */\n"


def _write_page(path: Path, texts: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as page:
        for text in texts:
            page.write(text)


def _rows(lines: Iterable[Mapping[str, Any]], folder: Path, side: int, first: list[_Row]) -> Iterator[str]:
    """Yield all rows of the page one at a time; those that fit on the PNG are also appended to `first`."""
    for index, line in enumerate(lines):
        row = _Row(line, thumbnails_of(line, folder, side))
        if len(first) < PNG_ROWS:
            first.append(row)
        yield _article(index, line, encode(row.pictures), _Names(line))


class _Names:
    """The title of a row and the links of its thumbnails: the file's own name, and none."""

    def __init__(self, line: Mapping[str, Any]) -> None:
        self.line = line

    @property
    def title(self) -> str:
        return Path(str(self.line.get("file"))).name

    def link(self, key: str) -> str:
        return ""


class _JobNames(_Names):
    """The name with its sub-folder, and the results beside the page."""

    @property
    def title(self) -> str:
        return str(self.line.get("file"))

    def link(self, key: str) -> str:
        name = self.line.get(key)
        return "./" + quote(str(name), errors="surrogateescape") if name else ""


@dataclass
class _Counts:
    """How many rows there are of each kind."""

    rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, lines: Iterable[Mapping[str, Any]]) -> _Counts:
        counts = cls()
        counts.add(lines)
        return counts

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        for line in lines:
            self.rows += 1
            self.kinds[str(line.get("status"))] += 1
            self.kinds["review"] += needs_review(line)


def _page(rows: Iterable[str], counts: _Counts, title: str, index: Iterable[str] = ()) -> Iterator[str]:
    """Yield the page's text in pieces. Everything that comes from outside is escaped here and nowhere else."""
    template = files("lib_prodshot.jobs.report").joinpath("contact_sheet.html").read_text(encoding="utf-8")
    head, _, tail = template.partition("<!-- rows -->")
    head = head.replace("{{title}}", html.escape(title)).replace("{{all}}", str(counts.rows))
    for status in (*_STATUS_COLOURS, "review"):
        head = head.replace("{{" + status + "}}", str(counts.kinds[status]))
    # a browser takes a file beside a file for another site's
    head = head.replace("{{scripts}}", " 'self' file:" if index else "")
    yield head
    yield from rows
    before, _, after = tail.partition("<!-- index -->\n")
    yield before
    yield from index
    yield after


def needs_review(line: Mapping[str, Any]) -> bool:
    """Whether somebody should look at this picture: it failed, the product's colours moved far, a gate says that it is
    another one, or its packshots have a reason of their own, such as a marketplace that would refuse one."""
    return gravity(line) > 0


def gravity(line: Mapping[str, Any]) -> float:
    """How grave the gravest reason to look at this picture is, 0 without one: 4 for a failure, from 3 on for a gate
    that fails, from 1 on for colours that moved far, the more the further; its packshots' own as the line says
    (`Doubt`)."""
    if line.get("status") == "failed":
        return 4.0
    moved = float((line.get("audit") or {}).get("delta_e_mean") or 0)
    own = gravity_of(line) if line.get("needs_review") else 0.0
    gates = _gates(line)
    missed = len(gates.failed) if gates else 0
    return max(own, 4 - 1 / missed if missed else 0.0, 2 - REVIEW_DELTA_E / moved if moved > REVIEW_DELTA_E else 0.0)


def _gates(line: Mapping[str, Any]) -> GatesAnswer | None:
    """What the gates said to a result; a failed picture has none, and its reason says why."""
    return GatesAnswer.of(line.get("steps") or ()) if line.get("status") == "found" else None


def _article(index: int, line: Mapping[str, Any], pictures: EncodedThumbnails, names: _Names) -> str:
    before, overlay, after = pictures
    status = _status(line)
    name = html.escape(names.title)
    no_mask, not_after = ("no product", "untouched") if status == "skipped" else ("no mask", "not made")
    figures = "".join(
        (
            _figure(before, f"before: {name}", "cannot be shown", names),
            _figure(overlay, f"boxes and mask: {name}", no_mask, names, "mask"),
            _figure(after, f"after: {name}", not_after, names, "output"),
        )
    )
    facts = "".join(f"<p>{html.escape(fact)}</p>" for fact in _facts(line))
    badges = "".join(
        f'<span class="badge {word.replace(" ", "-")}">{html.escape(of)} {word}</span>' for of, word, _ in _checks(line)
    )
    review = f' data-review="{gravity(line):.3f}"' if needs_review(line) else ""
    can_compare = status == "found" and before is not None and after is not None
    compare = '<button type="button" class="compare">before and after</button>' if can_compare else ""
    return (
        f'<article class="{status}" data-i="{index}" data-status="{status}" data-score="{_score(line):.4f}" '
        f'data-name="{name}"{review}>{figures}<div class="facts"><h2>{name}</h2>'
        f'<p class="verdict">{status} {badges}</p>{facts}{compare}'
        f'<label class="again"><input type="checkbox"> do it again</label></div></article>\n'
    )


def _status(line: Mapping[str, Any]) -> str:
    return str(line.get("status")) if line.get("status") in _STATUS_COLOURS else "failed"


def _figure(picture: Encoded | None, words: str, instead: str, names: _Names, key: str = "") -> str:
    """Return one thumbnail; `key` is the line's entry that names the file it links to."""
    if picture is None:
        return f'<figure class="none">{instead}</figure>'
    link = names.link(key)
    image = (
        f'<img loading="lazy" decoding="async" width="{picture.width}" height="{picture.height}" '
        f'alt="{words}" src="data:image/webp;base64,{picture.data}">'
    )
    return f'<figure><a href="{html.escape(link)}">{image}</a></figure>' if link else f"<figure>{image}</figure>"


def _score(line: Mapping[str, Any]) -> float:
    """Return the best detection's score; -1 when there is none, so that such rows are sorted last."""
    return max((float(found["score"]) for found in line.get("detections") or []), default=-1.0)


def _facts(line: Mapping[str, Any]) -> list[str]:
    """Return the facts about one picture, one a line, as plain text."""
    facts = [f"looked for: {', '.join(map(str, line.get('products') or []))}", str(line.get("reason") or "")]
    audit = line.get("audit")
    if audit:
        facts.extend(_audit_facts(audit))
    for made in line.get("packshots") or ():
        if made.get("enlarged_by"):
            facts.append(
                f"{_whose(made)}: enlarged {made['scale']:.2f} times by {made['enlarged_by']}".removeprefix(": ")
            )
    for of, word, reasons in _checks(line):
        facts.append(f"{of}: {word}" + (f" ({reasons})" if reasons else ""))
    if line.get("needs_review"):
        facts.append(f"look at it: {'; '.join(line['needs_review'])}")
    seconds = line.get("seconds") or {}
    if seconds:
        facts.append(f"finder: {line.get('finder')}")
    facts.extend(f"note: {note}" for note in line.get("notes") or [])
    return [fact for fact in facts if fact]


def _checks(line: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each check of a result, its answer (pass, fail or not checked), and of which parts it is not a pass: that of the
    gates, and that of each marketplace (and its product, where each has its own)."""
    gates = _gates(line)
    if gates is not None:
        yield "gates", gates.status, ", ".join(gates.reasons)
    for made in line.get("packshots") or ():
        if made.get("passed") is not None:
            missed = ", ".join(str(rule["rule"]) for rule in made["rules"] if rule["status"] == "fail")
            yield _whose(made), "pass" if made["passed"] else "fail", missed


def _whose(made: Mapping[str, Any]) -> str:
    """'shoe 2, amazon', 'amazon', or nothing where there is but one packshot."""
    product = f"{made['product']} {made['number']}" if made.get("number") else ""
    return ", ".join(word for word in (product, str(made.get("marketplace") or "")) if word)


def _audit_facts(audit: Mapping[str, Any]) -> list[str]:
    if audit.get("changed_inside") is not None:
        return [f"audit: {audit['changed_inside']} pixels changed inside the product"]
    return [
        f"audit: {audit['changed_outside']} pixels changed outside the mask",
        f"colour shift inside: dE2000 {audit['delta_e_mean']:.2f} mean, {audit['delta_e_p95']:.2f} 95th pct.",
    ]


def _sheet(rows: Sequence[_Row], total: int, title: str, side: int) -> Image.Image:
    """Draw the PNG: a heading and one band for each row, as high as its pictures and its facts need."""
    margin, text_width = 16, 420
    bands = [_Band(row, side) for row in rows]
    width = 3 * (side + margin) + margin + text_width
    sheet = Image.new("RGB", (width, 72 + sum(band.height + margin for band in bands)), "white")
    draw = ImageDraw.Draw(sheet)
    shown = f"{total} pictures" if total == len(rows) else f"the first {len(rows)} of {total} pictures"
    write(draw, (margin, 12), title, font(22), (0, 0, 0))
    write(draw, (margin, 42), f"before | boxes and mask | after; {shown}", font(13), (90, 90, 90))
    top = 72
    for band in bands:
        band.draw(sheet, draw, top, margin)
        top += band.height + margin
    return sheet


class _Band:
    """One row of the PNG."""

    _LINE = 18
    _HEAD = 50

    def __init__(self, row: _Row, side: int) -> None:
        self.row = row
        self.side = side
        self.pictures = (row.pictures.before, row.pictures.overlay, row.pictures.after)
        self.facts = _wrapped(_facts(row.line), font(13))
        highest = max((picture.height for picture in self.pictures if picture), default=side // 3)
        self.height = max(highest, self._HEAD + self._LINE * len(self.facts))

    def draw(self, sheet: Image.Image, draw: ImageDraw.ImageDraw, top: int, margin: int) -> None:
        """Draw the row on the sheet, its upper edge at `top`."""
        status = str(self.row.line.get("status"))
        instead = ("cannot be shown", "no product", "untouched") if status == "skipped" else ("cannot be shown", "", "")
        for column, picture in enumerate(self.pictures):
            left = margin + column * (self.side + margin)
            if picture is not None:
                sheet.paste(picture, (left + (self.side - picture.width) // 2, top))
                continue
            draw.rectangle((left, top, left + self.side - 1, top + self.height - 1), fill=BACKGROUND)
            write(draw, (left + 12, top + 12), instead[column], font(14), (120, 120, 120))
        left = margin + 3 * (self.side + margin)
        write(draw, (left, top), Path(str(self.row.line.get("file"))).name[:48], font(16), (0, 0, 0))
        write(draw, (left, top + 24), status, font(16), _STATUS_COLOURS.get(status, (0, 0, 0)))
        for number, text in enumerate(self.facts):
            write(draw, (left, top + self._HEAD + self._LINE * number), text, font(13), (50, 50, 50))


def _wrapped(facts: Sequence[str], font: Font, width: int = 400, most: int = 12) -> list[str]:
    """Break facts into lines that fit `width` pixels; at most `most` lines, the page has them all."""
    lines: list[str] = []
    for fact in facts:
        line = ""
        for word in fact.split():
            longer = writable(f"{line} {word}".strip(), font)
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer[:80]
        lines.append(line)
    return lines[:most]
