"""Packshots of a folder through the folder job: report, contact sheet, and going on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lib_prodshot.enhancing import NoEngine
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
