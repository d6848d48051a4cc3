"""Names that leave no room for the results' endings: cut, noted, unique, and the same in every run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.jobs.files.names import NAME_LIMIT, name_limit, output_stems
from lib_prodshot.jobs.folder.work_list import list_pictures
from tests.faults.entry_points import give_finder
from tests.jobs.photographs import make_picture
from tests.jobs.tools import all_of, digests, lines_of, run

ENDINGS = (".png", ".mask.png", ".alpha.png")

LONG = (
    "x" * 246 + ".png",
    "x" * 245 + "y.png",
    "鞋" * 82 + ".png",
    "é" * 123 + ".jpg",
    "👟" * 61 + "xx.webp",
    "e\u0301" * 81 + "xyz.tif",
    "x" * 251 + ".png",
    "x" * 251 + ".jpg",
)


def test_stems_fit_are_unique_and_depend_on_nothing_else() -> None:
    stems = output_stems([Path(name) for name in LONG])
    results = [stem + ending for stem in stems for ending in ENDINGS]
    assert max(len(os.fsencode(result)) for result in results) <= NAME_LIMIT
    assert len({result.casefold() for result in results}) == len(results)
    assert all("~" in stem and "\ufffd" not in stem and stem.encode() for stem in stems)
    # 'x…x.jpg' alone takes the stem that 'x…x.png' has taken in the list
    for name, stem in zip(LONG[:-1], stems):
        assert output_stems([Path(name)]) == [stem] == output_stems([Path("a.png"), Path(name)])[1:]


def test_a_name_that_fits_is_left_as_it_is() -> None:
    assert output_stems([Path("x" * 245 + ".jpg")]) == ["x" * 245]
    assert output_stems([Path("x" * 246 + ".jpg")])[0].startswith("x" * 234 + "~")


def test_an_ending_that_is_none_belongs_to_the_name() -> None:
    (stem,) = output_stems([Path("a." + "b" * 253)])
    assert len(stem) + len(".alpha.png") == NAME_LIMIT and stem.startswith("a.bbb")
    assert output_stems([Path("v1." + "b" * 30)]) == ["v1." + "b" * 30]


def test_letters_in_one_piece_and_in_two_are_one_file_on_some_disks() -> None:
    assert output_stems([Path("caf\u00e9.png"), Path("cafe\u0301.png")]) == ["caf\u00e9", "cafe\u0301.png"]


def test_a_disk_with_shorter_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pathconf", lambda path, name: 143, raising=False)
    assert name_limit(tmp_path / "not" / "there") == 143
    (tmp_path / ("x" * 138 + ".png")).write_bytes(b"")
    (entry,) = list_pictures(tmp_path, tmp_path / "out").entries
    assert len(entry.stem) + len(".alpha.png") == 143


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(LONG):
        make_picture(number, 48).save(folder / name)
    Image.new("RGB", (40, 40)).save(folder / ("dark" * 62 + ".png"))
    return folder


def test_a_job_does_them_all_tells_it_and_goes_on(photos: Path, tmp_path: Path) -> None:
    before = digests(photos)
    summary = run(photos, tmp_path / "whole")
    assert summary.statuses["failed"] == 0 and summary.statuses["skipped"] >= 1
    for line in lines_of(tmp_path / "whole"):
        assert (tmp_path / "whole" / line["output"]).is_file()
        note = f"the name is too long for the results, which are called {Path(line['output']).stem}"
        assert line["notes"][-1] == note
    run(photos, tmp_path / "half", limit=4)
    assert run(photos, tmp_path / "half").before == 4
    assert run(photos, tmp_path / "half").before == len(before)
    assert all_of(tmp_path / "half") == all_of(tmp_path / "whole") and digests(photos) == before


def test_enhance_does_them_all(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_finder(monkeypatch)
    names = sorted(map(str, photos.iterdir()))
    assert main(["enhance", *names, "--products", "mug", "--out", str(tmp_path / "out")]) == 0
    lines = lines_of(tmp_path / "out")
    assert [line["file"] for line in lines] == names
    assert len({line["output"] for line in lines}) == len(names)
    assert all(Path(line["output"]).is_file() and "too long" in line["notes"][-1] for line in lines)


def test_packshots_of_a_marketplace_have_room_too(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A marketplace's name, a number or the user's pattern makes a name longer than the picture's own results'."""
    give_finder(monkeypatch)
    names = sorted(map(str, photos.iterdir()))
    for pattern in ("", "{marketplace}-{n} {stem}{stem}"):
        out = tmp_path / f"out{len(pattern)}"
        given = ["--marketplace", "amazon,zalando", "--size", "64x64", "--file-names", pattern, "--out", str(out)]
        main(["packshot", *names, "--products", "mug", *given])
        found = [line for line in lines_of(out) if line["status"] != "skipped"]
        files = [made["output"] for line in found for made in line["packshots"]]
        assert len(found) >= 2 and len(set(files)) == 2 * len(found), [line["reason"] for line in found]
        for file in files:
            assert Path(file).is_file() and ("amazon" in Path(file).name) != ("zalando" in Path(file).name)
        assert any("too long for the packshots" in note for line in found for note in line["notes"])
