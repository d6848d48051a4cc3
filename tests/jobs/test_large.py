"""What a folder job keeps of millions of pictures, and its page where it has more rows than a browser takes."""

from __future__ import annotations

import json
import os
import random
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files import names
from lib_prodshot.jobs.files.compact import DiskMap, PathSet
from lib_prodshot.jobs.files.names import ResultNames, output_stems, stems_of
from lib_prodshot.jobs.folder import contents, done_rows, plan
from lib_prodshot.jobs.folder.contents import ContentBook
from lib_prodshot.jobs.folder.resume import files_of, least_bytes
from lib_prodshot.jobs.folder.work_list import ByName, Chosen, entries_of, list_pictures, names_of, real_paths
from lib_prodshot.jobs.report import contact_sheet, ledger, report
from lib_prodshot.jobs.report.contact_sheet import parts_folder, write_job_page
from lib_prodshot.jobs.report.ledger import Ledger
from lib_prodshot.jobs.report.page_state import PageState
from lib_prodshot.jobs.report.report import Report, rewrite, rows_of
from lib_prodshot.jobs.report.rows import Row, Rows
from lib_prodshot.jobs.report.thumbnails import EncodedThumbnails
from tests.jobs.photographs import make_folder
from tests.jobs.tools import REQUEST, lines_of, run

HOSTILE = "</script><b>\udcff.png"


def test_a_path_set_holds_what_it_was_given() -> None:
    held = PathSet([*(Path(f"/in/{number}.png") for number in range(999)), HOSTILE])
    assert Path("/in/0.png") in held and Path("/in/998.png") in held and HOSTILE in held
    assert Path("/in/999.png") not in held and Path("/in") not in PathSet()


def test_a_disk_map_gives_the_last_value() -> None:
    held = DiskMap()
    held.put({HOSTILE: "1", "b": "2"})
    held.put({HOSTILE: "3"})
    assert held.get([HOSTILE, "b", "absent"]) == {HOSTILE: "3", "b": "2"}
    held.close()
    assert held.get(["b"]) == {}


def test_a_disk_map_keeps_few_pages_in_memory() -> None:
    held = DiskMap()
    assert held._opened().execute("PRAGMA cache_size").fetchone() == (-256,)
    held.close()


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No more bytes than so many are taken at any time in between."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def test_stems_that_are_apart_take_bytes() -> None:
    """A set of the stems takes 130 bytes for each."""
    many = [f"IMG_{number:06}.png" for number in range(20_000)]
    with at_most(45 * len(many)):
        assert sum(1 for _ in stems_of(many)) == len(many)


def test_stems_are_the_same_however_they_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(0)
    parts, ends = ["a", "A", "b", ".mask", ".alpha", ".png", "é", "x" * 240], [".png", ".PNG", ".jpg", ".mask.png", ""]
    apart = 0
    for _ in range(500):
        count = chance.randint(1, 4)
        some = {"".join(chance.choices(parts, k=chance.randint(1, 3))) + chance.choice(ends) for _ in range(count)}
        sources = [Path(name) for name in sorted(some)]
        apart += names._are_apart([source.name for source in sources], 255)
        quick = output_stems(sources)
        with monkeypatch.context() as patch:
            patch.setattr(names, "_are_apart", lambda names, limit: False)
            assert output_stems(sources) == quick
    assert 100 < apart < 400


def test_a_name_has_one_owner(tmp_path: Path) -> None:
    names = ResultNames()
    names.claim("a.jpg", tmp_path, ("A.png", "A.mask.png"))
    names.claim("a.jpg", tmp_path, ("A.png",))
    with pytest.raises(OutputError, match=r"a\.png is already a result of a\.jpg"):
        names.claim("b.jpg", tmp_path, ("b.png", "a.png"))
    names.claim("c.jpg", tmp_path, ("b.png",))


def test_rows_in_the_order_of_files() -> None:
    rows = Rows.of([Row("a", 0), Row("b", 10), Row("a", 20), Row("x", 30)])
    assert list(rows.latest().offsets) == [20, 10, 30]
    assert list(rows.latest().in_order(["b", "a"]).offsets) == [10, 20, 30]
    assert list(rows.without({"a"}).offsets) == [10, 30]
    assert list(rows.latest().of_files(["x", "a", "absent"]).offsets) == [20, 30]
    assert list(rows.placed([4, 5, 6, 7]).offsets) == [0, 4, 9, 15]


def test_rows_of_different_files_are_told_without_an_order_of_them() -> None:
    """Which are first and last takes 60 bytes a row, and is asked for where a file has two."""
    rows = Rows.of(Row(str(number), number) for number in range(20_000))
    with at_most(30 * len(rows)):
        assert rows.latest() is rows


def line(number: int, **changes: Any) -> dict[str, Any]:
    status = ("found", "skipped", "failed")[number % 3]
    return {"file": f"{HOSTILE} {number}.png", "status": status, "reason": "none", "seconds": {}, **changes}


def write_report(folder: Path, numbers: range) -> None:
    text = "".join(json.dumps(line(number)) + "\n" for number in numbers)
    (folder / "report.jsonl").write_text(text)


def test_a_rewritten_report_knows_where_its_rows_are(tmp_path: Path) -> None:
    write_report(tmp_path, range(9))
    rows = rows_of(tmp_path / "report.jsonl")
    _, placed = rewrite(tmp_path, rows.in_order([f"{HOSTILE} {number}.png" for number in reversed(range(9))]))
    assert placed == rows_of(tmp_path / "report.jsonl") != rows
    before = (tmp_path / "report.csv").stat().st_mtime_ns
    rewrite(tmp_path, placed)
    assert (tmp_path / "report.csv").stat().st_mtime_ns == before
    with Report(tmp_path) as files:
        assert list(files.rows.offsets) == list(placed.offsets)


def draw(page: Path, count: int, drawn: list[str], **changes: Any) -> None:
    def none(one: Any) -> EncodedThumbnails:
        drawn.append(one["file"])
        return None, None, None

    write_job_page(page, (line(number, **(changes if number == 0 else {})) for number in range(count)), none, "Shoes")


def test_a_large_page_has_its_rows_beside_it_and_writes_only_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_sheet, "LARGE_ROWS", 20)
    monkeypatch.setattr(contact_sheet, "PART_ROWS", 10)
    page, drawn = tmp_path / "index.html", list[str]()
    draw(page, 25, drawn)
    text, folder = page.read_text(), parts_folder(page)
    assert len(drawn) == 25 and sorted(path.name for path in folder.iterdir()) == [f"00000{n}.js" for n in range(3)]
    assert text.count("<script>") == 2 and "<article" not in text and "</script><b>" not in text
    assert "found (9)" in text and "script-src 'unsafe-inline' 'self' file:" in text
    index = json.loads(text.partition("window.sheet = ")[2].partition(";</script>")[0])
    assert [row[0] for row in index["rows"]] == [line(number)["file"] for number in range(25)]
    assert [len(row) for row in index["rows"]] == [4] * 25 and len(index["parts"]) == 3
    head, _, rows = (folder / "000002.js").read_text().partition("sheetPart(2, ")
    assert head.startswith("/*") and len(json.loads(rows[: -len(");\n")])) == 5

    drawn.clear()
    draw(page, 25, drawn)
    assert drawn == []
    draw(page, 25, drawn, reason="another")
    assert len(drawn) == 10, "one part"
    (folder / "000001.js").write_text((folder / "000001.js").read_text()[:-3])
    drawn.clear()
    draw(page, 20, drawn, reason="another")
    assert drawn == [line(number)["file"] for number in range(10, 20)], "the torn one"
    assert len(list(folder.iterdir())) == 2

    draw(page, 19, drawn)
    assert not folder.exists() and page.read_text().count("<article") == 19


def test_the_list_of_a_large_page_is_on_disk_while_it_is_made(tmp_path: Path) -> None:
    drawn = list[str]()
    draw(tmp_path / "index.html", 1000, drawn)
    many = ({**line(number), "file": f"{number:05} {'x' * 400}.png"} for number in range(4000))
    with at_most(1_600_000):
        write_job_page(tmp_path / "index.html", many, lambda one: (None, None, None), "Shoes")
    text = (tmp_path / "index.html").read_text()
    index = json.loads(text.partition("window.sheet = ")[2].partition(";</script>")[0])
    assert [int(row[0][:5]) for row in index["rows"]] == list(range(4000)) and len(text) > 1_600_000
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", "index.rows"}


def test_a_picture_is_read_again_only_where_it_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    hashed = contents.content_of
    monkeypatch.setattr(contents, "content_of", lambda path: (read.append(path.name), hashed(path))[1])
    monkeypatch.setattr(contents, "SETTLED", 0)
    picture, kept = tmp_path / "a.png", tmp_path / "contents.jsonl"
    picture.write_bytes(b"one")
    first = ContentBook(kept).content_of(picture)
    assert ContentBook(kept).content_of(picture) == first and len(read) == (1 if os.name != "nt" else 2)
    times = picture.stat()
    picture.write_bytes(b"two")
    os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert ContentBook(kept).content_of(picture) == hashed(picture) != first
    kept.write_text(kept.read_text()[:-9])
    assert ContentBook(kept).content_of(picture) == hashed(picture)
    with pytest.raises(FileNotFoundError):
        ContentBook(kept).content_of(tmp_path / "absent.png")


def test_a_picture_that_was_written_just_now_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    ContentBook(tmp_path / "contents.jsonl").content_of(tmp_path / "a.png")
    assert not (tmp_path / "contents.jsonl").exists()


def indexed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many lines a ledger parses that takes the report up."""
    parsed: list[bytes] = []
    real = report._parsed
    with monkeypatch.context() as patch:
        patch.setattr(report, "_parsed", lambda data: (parsed.append(data), real(data))[1])
        with Ledger(folder) as ledger:
            rows = ledger.rows
            ledger.open()
    assert rows == rows_of(folder / "report.jsonl")
    return len(parsed)


def damaged(index: Path) -> None:
    index.write_bytes(index.read_bytes()[:-3])


def of_another_version(index: Path) -> None:
    index.write_bytes(index.read_bytes().replace(b'"version": 1', b'"version": 0'))


def none_at_all(index: Path) -> None:
    index.write_bytes(b"\xff\n")


@pytest.mark.parametrize("change", [Path.unlink, damaged, of_another_version, none_at_all])
def test_an_index_says_where_rows_are_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    (tmp_path / ".prodshot").mkdir()
    write_report(tmp_path, range(9))
    assert indexed(tmp_path, monkeypatch) == 9 and indexed(tmp_path, monkeypatch) == 0
    change(tmp_path / ".prodshot" / "report.index")
    assert indexed(tmp_path, monkeypatch) == 9 and indexed(tmp_path, monkeypatch) == 0


def test_an_index_counts_for_what_stands_as_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".prodshot").mkdir()
    write_report(tmp_path, range(9))
    indexed(tmp_path, monkeypatch)
    jsonl, table = tmp_path / "report.jsonl", tmp_path / "report.csv"
    with Ledger(tmp_path) as ledger:
        ledger.open()
        ledger.add(line(9))
        ledger.add(line(10))
    assert indexed(tmp_path, monkeypatch) == 2, "those that were added"
    jsonl.write_bytes(jsonl.read_bytes()[:-4])
    assert indexed(tmp_path, monkeypatch) >= 10, "the last one is torn"
    assert len(table.read_bytes().splitlines()) == 11
    times = jsonl.stat()
    jsonl.write_bytes(jsonl.read_bytes().replace(b'"found"', b'"other"', 1))
    os.utime(jsonl, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert indexed(tmp_path, monkeypatch) >= 10, "of the same length and time, and another one"
    assert b",other," in table.read_bytes()
    table.write_bytes(table.read_bytes().replace(b"other", b"mine!", 1))
    assert indexed(tmp_path, monkeypatch) >= 10
    assert any(b",mine!," in path.read_bytes() for path in tmp_path.glob("report.kept-*.csv"))
    assert b",other," in table.read_bytes()


def test_a_killed_run_leaves_an_index_of_what_was_written_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".prodshot").mkdir()
    with Ledger(tmp_path) as killed:
        killed.open()
        for number in range(7):
            killed.add(line(number))
        killed.note(threading.Lock())
        killed.add(line(7))
    whole = (tmp_path / "report.jsonl").read_bytes()
    assert indexed(tmp_path, monkeypatch) == 1, "what was added since"
    assert (tmp_path / "report.jsonl").read_bytes() == whole and not list(tmp_path.glob("report.kept-*"))


def test_a_table_that_stands_as_it_was_written_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in another order are written without a look at who wrote the table; one that was changed is kept."""
    files = [line(number)["file"] for number in range(4)]

    def settled(folder: Path, meanwhile: Callable[[Path], None] = lambda table: None) -> bool:
        """Whether all lines were compared with the table."""
        (folder / ".prodshot").mkdir(parents=True)
        write_report(folder, range(2))
        looked: list[Path] = []
        real = report._is_derived_from
        with monkeypatch.context() as patch, Ledger(folder) as held:
            held.open()
            patch.setattr(report, "_is_derived_from", lambda *of: (looked.append(of[1]), real(*of))[1])
            held.add(line(3))
            held.add(line(2))
            meanwhile(folder / "report.csv")
            held.settle(files)
        assert [one["file"] for one in report.read_report(folder)] == files
        return bool(looked)

    assert not settled(tmp_path / "a")

    def edit(table: Path, row: int) -> None:
        rows = table.read_bytes().split(b"\r\n")
        rows[row] = rows[row].replace(b"none", b"mine")
        table.write_bytes(b"\r\n".join(rows))

    for row in (1, 4):
        folder = tmp_path / str(row)
        assert settled(folder, lambda table, row=row: edit(table, row)), "one that was there, and one that was added"
        (kept,) = folder.glob("report.kept-*.csv")
        assert b",mine," in kept.read_bytes() and b",mine," not in (folder / "report.csv").read_bytes()
    assert (tmp_path / "a" / "report.csv").read_bytes() == (tmp_path / "4" / "report.csv").read_bytes()


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def of_an_older_version(cache: Path) -> None:
    """With a checksum that is right."""
    _, *blocks = cache.read_bytes().splitlines(keepends=True)
    head = {**done_rows._checked(cache.read_bytes().splitlines(keepends=True)[0]), "version": 0}
    cache.write_bytes(b"".join([done_rows._signed(head), *blocks]))


def with_a_damaged_block(cache: Path) -> None:
    head, first, *others = cache.read_bytes().splitlines(keepends=True)
    cache.write_bytes(b"".join([head, first.replace(b'"', b"'", 1), *others]))


def test_rows_that_stand_as_they_did_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumption reads the lines of a block in which something may have changed, and no other."""
    monkeypatch.setattr(contents, "SETTLED", 0)
    for module in (done_rows, plan):
        monkeypatch.setattr(module, "BLOCK", 5)
    read: list[str] = []
    real = ledger.lines_at

    def lines_at(path: Path, rows: Rows) -> Iterator[Any]:
        for each in real(path, rows):
            read.append(each["file"])
            yield each

    monkeypatch.setattr(ledger, "lines_at", lines_at)
    inputs, out = tmp_path / "photos", tmp_path / "out"
    make_folder(inputs, 12, side=48, broken=2)
    cache = out / ".prodshot" / "done.jsonl"
    first = run(inputs, out)

    def again(to_do: int, lines: int) -> None:
        """So many pictures are done again, and so many lines looked at; where there were any, all are read once more to
        be noted. The run after it reads none."""
        read.clear()
        summary = run(inputs, out)
        assert summary.before == 12 - to_do
        # what earlier runs left, the sheet and the notes: all lines; what is removed: those that are done again
        assert len(read) == (lines + 3 * 12 + to_do if to_do else lines + 12 if lines else 0)
        assert summary.is_complete and summary.statuses == first.statuses and summary.detections == first.detections
        read.clear()
        assert run(inputs, out).before == 12 and read == []

    again(0, 0)
    for change in (Path.unlink, of_an_older_version, cut_short):
        change(cache)
        again(0, 2 if change is cut_short else 12)
    with_a_damaged_block(cache)
    again(0, 5)
    lines = lines_of(out)
    assert all(line["bytes"] == [(out / name).stat().st_size for name in files_of(line)] for line in lines)
    found = [line for line in lines if line["output"]]
    cut_short(out / found[1]["output"])
    again(1, 5)
    with (out / found[0]["output"]).open("ab") as edited:
        edited.write(b"edited")
    again(0, 0)
    os.utime(inputs / lines[0]["file"])
    again(0, 5)
    whole = (out / "report.jsonl").read_bytes()
    (out / "report.jsonl").write_bytes(whole.replace(b'"retry": false', b'"retry": true', 1))
    again(1, 12)
    assert run(inputs, out, REQUEST.replace(strength=0.9)).before == 0


def test_a_line_without_sizes_asks_for_files_that_are_not_empty() -> None:
    line = {"output": "a.png", "mask": "a.mask.png", "packshots": [{}, {"output": "b.png"}]}
    names = ("a.png", "a.mask.png", "b.png", "a.alpha.png")
    assert least_bytes(line) == least_bytes({**line, "bytes": [5]}) == dict.fromkeys(names, 1)
    assert least_bytes({**line, "bytes": [5, 0, "x", 7]}) == dict(zip(names, (5, 1, 1, 7)))


def test_names_of_a_large_folder_are_bytes() -> None:
    entries = entries_of(Path("in"), ["b/x.png", "a.png", "a.jpg", "b/x.mask.png", "<\udcff.png"], 255)
    assert list(names_of(entries)) == ["<\udcff.png", "a.jpg", "a.png", "b/x.mask.png", "b/x.png"]
    assert [entry.name for entry in entries] == list(names_of(entries))
    assert [entry.stem for entry in entries] == ["<\udcff", "a", "a.png", "x.mask", "x.png"]
    assert entries[-1] == entries[len(entries) - 1] and entries[-len(entries)] == entries[0]
    by_name = ByName(Chosen(entries, [0, 2]))
    assert entries[0].name in by_name and entries[1].name not in by_name and by_name[entries[2].name] == entries[2]


def test_real_paths_are_those_of_each_picture_with_its_links_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("in/a.png", "in/sub/b.png", "else/where/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "else")
    (tmp_path / "in" / "z.png").symlink_to(Path("sub") / "b.png")
    monkeypatch.chdir(tmp_path / "in")
    for inputs in (tmp_path / "in", Path(), Path("..") / "in"):
        entries = list_pictures(inputs, tmp_path / "out", recursive=True).entries
        paths = [str(entry.source.resolve()) for entry in entries]
        assert len(paths) == 4 and list(real_paths(entries)) == list(real_paths(tuple(entries))) == paths


def test_a_page_stands_until_something_of_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "LARGE_ROWS", 20)
    page = tmp_path / "index.html"
    draw(page, 60, [])
    state = PageState(tmp_path / "page.json", page)
    assert not state.stands("x", "Shoes", 160)
    state.note("x", "Shoes", 160)
    assert state.stands("x", "Shoes", 160)
    assert not any((state.stands("", "Shoes", 160), state.stands("y", "Shoes", 160), state.stands("x", "Hats", 160)))
    part = parts_folder(page) / "000001.js"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    assert not state.stands("x", "Shoes", 160)
    part.write_bytes(whole)
    page.write_text(page.read_text() + " ")
    assert not state.stands("x", "Shoes", 160)
