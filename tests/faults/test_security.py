"""Promises of docs/security.md that no other suite holds, and that every test named there exists."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.cli import main
from lib_prodshot.jobs.folder.resume import remove_results
from tests.faults.entry_points import give_finder, picture
from tests.faults.fuzz_reading import RUNS, Tags, _is_number

PAGE = ROOT / "docs" / "security.md"
NAMES = [
    "<script>alert(1)<script>.png",
    '"onerror="alert(1).png',
    "=cmd().png",
    "+1.png",
    "@SUM(A1).png",
    "{{title}}.png",
]
if os.name == "posix":
    NAMES += ["a,\"b'\n=c.png", "\x1b[31mred.png", os.fsdecode(b"\xff\xfe.png"), "\t=1.png"]


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) >= 25
    for path, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), f"{path}::{test}"


def test_every_promise_has_a_test() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith("| promise ")]
    assert promises and all("`tests/" in row for row in promises)


@pytest.mark.parametrize("command", ["enhance", "batch"])
def test_hostile_names_through_the_whole_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    give_finder(monkeypatch)
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    for number, name in enumerate(NAMES):
        Image.fromarray(picture(number)).save(inputs / name)
    given = [str(inputs)] if command == "batch" else NAMES
    monkeypatch.chdir(inputs)
    assert main([command, *given, "--products", "=mug, <b>shoe</b>", "--out", str(out)]) == 0
    lines = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    assert {line["file"] for line in lines} == set(NAMES)
    with (out / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(NAMES)
    for row in rows:
        assert None not in row and None not in row.values()
        assert not [cell for cell in row.values() if cell[:1] and cell[:1] in RUNS and not _is_number(cell)], row
    if command == "batch":
        tags = Tags()
        tags.feed((out / "index.html").read_text(encoding="utf-8"))
        assert not tags.bad and tags.tags["script"] == 1 and tags.tags["article"] == len(NAMES)
        assert not {"b", "iframe", "object"} & set(tags.tags)


@pytest.mark.skipif(os.name != "posix", reason="Windows refuses such names itself")
@pytest.mark.parametrize("command", ["detect", "enhance"])
def test_a_name_cannot_drive_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    give_finder(monkeypatch)
    monkeypatch.chdir(tmp_path)
    names = ["\x1b]0;owned\x07.png", "two\nlines.png", "\u202egnp.exe.png", os.fsdecode(b"\xff.png")]
    for name in names:
        Path(name).write_text("no picture")
    more = ["--out", str(tmp_path / "out")] if command == "enhance" else []
    assert main([command, *names, "--products", "mug", *more]) == 1
    said = capsys.readouterr()
    for line in (said.out + said.err).splitlines():
        assert line.isprintable(), ascii(line)
    assert "\\x1b]0;owned\\x07.png" in said.out + said.err and "two\\nlines.png" in said.out + said.err


def test_a_terminal_that_lacks_a_letter_stops_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONPATH": str(ROOT)}
    code = "from lib_prodshot.cli import main; raise SystemExit(main(['detect', 'ж.png', '--products', 'mug']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()


def test_a_foreign_report_cannot_have_other_files_deleted(tmp_path: Path) -> None:
    """A job removes the former results that its report names."""
    out, precious = tmp_path / "out", tmp_path / "precious.mask.png"
    out.mkdir()
    precious.write_text("mine")
    (tmp_path / "precious.alpha.png").write_text("mine")
    (out / "link").symlink_to(tmp_path, target_is_directory=True)
    for name in (str(precious), "../precious.mask.png", "link/precious.mask.png", "link", ".", ""):
        remove_results({"output": name, "mask": name}, out, frozenset())
    assert precious.read_text() == "mine" and (tmp_path / "precious.alpha.png").exists()


def test_of_a_link_in_a_results_place_the_link_is_removed(tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "out" / "mine" / "best.png"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    (out / "cup.png").symlink_to(mine)
    assert remove_results({"output": "cup.png", "mask": "a\0b"}, out, frozenset()) == []
    assert mine.read_text() == "mine" and not (out / "cup.png").is_symlink()


def test_a_redirect_does_not_get_the_password() -> None:
    httpx = pytest.importorskip("httpx")
    from lib_prodshot.errors import ProdshotError
    from lib_prodshot.hosts.remote import RemoteWebUI

    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": "http://elsewhere/"})

    with (
        RemoteWebUI("http://seller:secret@shop:7860", transport=httpx.MockTransport(answer)) as webui,
        pytest.raises(ProdshotError) as observed,
    ):
        webui.status()
    assert asked == ["http://shop:7860/prodshot/v1/status"] and "secret" not in str(observed.value)
