"""Packshots of a folder through the folder job: report, contact sheet, and going on where it was stopped."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.enhancing import NoEngine
from lib_prodshot.finding import registry as finders
from lib_prodshot.jobs import processor
from lib_prodshot.jobs.folder import plan, runner
from lib_prodshot.jobs.report.ledger import Ledger
from lib_prodshot.jobs.report.summary import Summary
from lib_prodshot.jobs.workers.engines import LocalEngine
from lib_prodshot.request import Request
from tests.finders import fixed_finder
from tests.jobs.tools import digests, lines_of, run

REQUEST = Request(products="car", make="packshot", marketplace="google,meta", size="300x300")


def again(photos: Path, out: Path, request: Request = REQUEST) -> tuple[int, dict[str, str]]:
    summary = run(photos, out, request, engines=[LocalEngine(NoEngine())], load_finder=fixed_finder)
    # the summary says how many were done before
    return summary.before, {name: digest for name, digest in digests(out).items() if name != "summary.json"}


def test_a_second_run_does_nothing_and_a_lost_packshot_is_made_again(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    (photos / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "sub/b.png")):
        pixels = np.random.default_rng(number).integers(0, 200, (80, 120, 3), np.uint8)
        Image.fromarray(pixels).save(photos / name)
    before, first = again(photos, out)
    assert before == 0
    assert {"a-google.jpg", "a-meta.jpg", "sub/b-google.jpg", "sub/b-meta.jpg", "a.mask.png"} <= set(first)
    outputs = [[made["output"] for made in line["packshots"]] for line in lines_of(out)]
    assert outputs == [["a-google.jpg", "a-meta.jpg"], ["sub/b-google.jpg", "sub/b-meta.jpg"]]
    assert "google: pass" in (out / "index.html").read_text() and "look at it" in (out / "index.html").read_text()
    assert again(photos, out) == (2, first)
    (out / "sub" / "b-meta.jpg").unlink()
    before, mended = again(photos, out)
    assert before == 1
    assert {name: mended[name] for name in first if name.endswith(".jpg")} == {
        name: digest for name, digest in first.items() if name.endswith(".jpg")
    }
    before, other = again(photos, out, REQUEST.replace(marketplace="google"))
    assert before == 0 and not [name for name in other if "meta" in name], "what an earlier run made and nobody wants"


def test_no_skipped_picture_lies_among_packshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever uploads the folder would upload it; copies that earlier versions made go, nothing is done twice."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name, level in (("a.png", 150), ("dark.png", 5)):
        Image.fromarray(np.full((80, 120, 3), level, np.uint8)).save(photos / name)
    finders_of_bright = {"engines": [LocalEngine(NoEngine())], "load_finder": lambda: fixed_finder(darkest=50)}
    with monkeypatch.context() as earlier:
        for module in (processor, plan, runner):
            earlier.setattr(module, "copies_skipped", lambda request: True)
        run(photos, out, REQUEST, **finders_of_bright)
    assert "dark.png" in digests(out)
    summary = run(photos, out, REQUEST, **finders_of_bright)
    assert summary.before == 1 and "dark.png" not in digests(out)
    (told,) = [note for note in summary.notes if "not copied" in note]
    assert told.endswith("among packshots: 1 skipped picture") and told in summary.to_text()
    skipped = next(line for line in lines_of(out) if line["file"] == "dark.png")
    assert skipped["output"] is None and "not copied" in skipped["notes"][0]
    assert run(photos, out, REQUEST, **finders_of_bright).before == 2
    # of the picture that is found nothing may stand there which the other kind would take the place of
    for packshot in out.glob("a-*"):
        packshot.unlink()
    assert run(photos, out, REQUEST.replace(make="enhance"), **finders_of_bright).before == 0
    assert "dark.png" in digests(out)
    # somebody has put a photograph of theirs in the copy's place
    (out / "dark.png").write_bytes((photos / "a.png").read_bytes())
    summary = run(photos, out, REQUEST, **finders_of_bright)
    assert (out / "dark.png").read_bytes() == (photos / "a.png").read_bytes()
    assert "kept, for they are no copies of skipped pictures any more: dark.png" in summary.notes
    for packshot in out.glob("a-*"):
        packshot.unlink()
    assert run(photos, out, REQUEST.replace(make="enhance"), **finders_of_bright).before == 0
    assert (out / "dark.png").read_bytes() == (photos / "a.png").read_bytes(), "nor is it written over"
    skipped = next(line for line in lines_of(out) if line["file"] == "dark.png")
    assert skipped["output"] is None and "dark.png stands there with other content" in skipped["notes"][0]


def test_files_of_a_killed_run_for_another_marketplace_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the files and their line: the next run, which would not write them, removes them; those of a
    picture that has its line stay, though it is not worked on."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for number, name in enumerate(("a.png", "b.png")):
        Image.fromarray(np.random.default_rng(number).integers(0, 200, (80, 120, 3), np.uint8)).save(photos / name)
    again(photos, out)
    (photos / "c.png").write_bytes((photos / "b.png").read_bytes())
    with monkeypatch.context() as killed:
        killed.setattr(Ledger, "add", lambda self, line: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            again(photos, out, REQUEST.replace(marketplace="google,meta,ebay"))
    assert {"a-ebay.jpg"} <= set(digests(out))
    _, ended = again(photos, out, REQUEST.replace(marketplace="google"))
    assert sorted(name for name in ended if name.endswith(".jpg")) == ["a-google.jpg", "b-google.jpg", "c-google.jpg"]
    with monkeypatch.context() as killed:
        killed.setattr(Ledger, "add", lambda self, line: 1 / 0)
        (photos / "d.png").write_bytes((photos / "b.png").read_bytes())
        with pytest.raises(ZeroDivisionError):
            again(photos, out, REQUEST.replace(marketplace="google"))
    assert "d-google.jpg" in digests(out)
    (photos / "d.png").unlink()
    _, ended = again(photos, out, REQUEST.replace(marketplace="google"))
    assert sorted(name for name in ended if name.endswith(".jpg")) == ["a-google.jpg", "b-google.jpg", "c-google.jpg"]


def test_the_sheet_filters_what_needs_a_look_and_the_table_has_the_figures(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name, side in (("small.png", 120), ("large.png", 1200)):
        pixels = np.random.default_rng(side).integers(0, 200, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(photos / name)
    again(photos, out, REQUEST.replace(edges="hard", size="500x500"))
    page = (out / "index.html").read_text()
    assert "needs review (1)" in page
    assert re.search(r"<p>google: enlarged \d\.\d+ times by cubic interpolation</p>", page)
    with (out / "report.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    small = rows["small.png"]
    assert small["needs_review"] and small["enlarged_by"] == "cubic interpolation | cubic interpolation"
    assert small["passed"] == "google pass | meta pass" and small["fill"] == "0.852 | 0.852"
    assert (small["changed_inside"], small["compared_with"]) == ("0", "the input, resampled")
    assert int(small["inner_pixels"]) > 140_000 and not rows["large.png"]["needs_review"]
    assert rows["large.png"]["enlarged_by"] == ""


def test_the_command_takes_only_what_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (60, 40), (90, 90, 90)).save(photos / name)
    backend = SimpleNamespace(name="fixed", load=lambda folder=None: fixed_finder())
    monkeypatch.setattr(finders, "choose", lambda name, folder=None: SimpleNamespace(backend=backend))
    line = ["batch", str(photos), "--out", str(out), "--make", "packshot", "--products", "car", "--edges", "hard"]
    assert main([*line, "--only", "c.png", "--only", "a.png"]) == 0
    assert [each["file"] for each in lines_of(out)] == ["a.png", "c.png"]
    assert main([*line, "--only", "d.png"]) == 2
    assert "only: the folder has no picture d.png" in capsys.readouterr().err
    assert main([*line, "--marketplace", "amazon", "--size", "100x100"]) == 1, "refused: it is too small"
    assert "3 need a look, 3 of them for what a marketplace would refuse" in capsys.readouterr().out


def test_a_batch_that_a_marketplace_would_refuse_is_counted() -> None:
    made = [{"passed": True}, {"passed": False}, {"passed": None}]
    lines = [
        {"file": "a.png", "status": "found", "packshots": [each], "needs_review": [] if each["passed"] else ["x"]}
        for each in made
    ]
    summary = Summary(3).add(lines)
    assert (summary.refused, summary.review) == (1, 2)
    assert "2 need a look, 1 of them for what a marketplace would refuse" in summary.to_text()
