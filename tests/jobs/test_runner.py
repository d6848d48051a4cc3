"""The folder job as a whole, in this process: report whole, inputs untouched, names kept."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from lib_prodshot.enhancing.retouch import Retouch
from lib_prodshot.jobs.workers.engines import LocalEngine
from tests.jobs.tools import digests, lines_of, names_of, run


def test_every_picture_has_one_line_and_the_counts_are_right(photos: Path, finished: Path) -> None:
    lines = lines_of(finished)
    assert {line["file"] for line in lines} == names_of(photos) and len(lines) == 24
    statuses = {line["file"]: line["status"] for line in lines}
    for name, status in statuses.items():
        try:
            mean = np.asarray(Image.open(photos / name).convert("RGB")).mean()
            expected = "found" if mean >= 90 else "skipped"
        except Exception:  # whatever Pillow raises for a broken file
            expected = "failed"
        assert status == expected, name
    summary = json.loads((finished / "summary.json").read_text())
    for status in ("found", "skipped", "failed"):
        assert summary[status] == list(statuses.values()).count(status) > 0
    assert summary["failed"] == 4 and summary["pictures"] == summary["done"] == 24
    assert summary["classes"] == {"mug": {"pictures": summary["found"], "detections": summary["found"]}}
    assert set(summary["seconds"]) >= {"read", "find", "mask", "enhance", "preserve", "write"}
    with (finished / "report.csv").open(newline="") as file:
        assert [(row["file"], row["status"]) for row in csv.DictReader(file)] == list(statuses.items())


def test_inputs_are_as_before_and_nothing_outside_a_mask_changed(photos: Path, tmp_path: Path) -> None:
    before = digests(photos)
    run(photos, tmp_path / "out", engines=[LocalEngine(Retouch())])
    assert digests(photos) == before
    for line in lines_of(tmp_path / "out"):
        source = photos / line["file"]
        if line["status"] == "skipped":
            assert (tmp_path / "out" / line["output"]).read_bytes() == source.read_bytes()
        if line["status"] == "found":
            assert line["audit"]["changed_outside"] == 0
            old, new = (np.asarray(Image.open(path)) for path in (source, tmp_path / "out" / line["output"]))
            alpha = np.asarray(Image.open(tmp_path / "out" / line["mask"].replace(".mask.", ".alpha.")))
            assert np.array_equal(old[alpha == 0], new[alpha == 0]) and not np.array_equal(old, new)


def test_names_and_sub_folders_are_kept(finished: Path) -> None:
    for line in lines_of(finished):
        if line["status"] == "failed":
            assert line["output"] is line["mask"] is None
            continue
        source, output = Path(line["file"]), Path(line["output"])
        assert output.parent == source.parent and (output.stem in (source.stem, source.name))
        assert (finished / output).is_file()


def test_the_page_shows_all_and_loads_nothing(finished: Path) -> None:
    page = (finished / "index.html").read_text(encoding="utf-8")
    assert page.count("<article") == 24 and "bags &amp; shoes/IMG_" in page
    assert 'href="./new/bags%20%26%20shoes/' in page
    assert "http" not in page.replace("Content-Security-Policy", "").replace("http-equiv", "")


def test_the_report_holds_no_path_of_this_machine(photos: Path, finished: Path) -> None:
    for name in ("report.jsonl", "report.csv", "index.html", "summary.json"):
        text = (finished / name).read_text(encoding="utf-8")
        assert str(photos) not in text and str(finished) not in text
