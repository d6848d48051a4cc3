"""`enhance` and `packshot` on single pictures, again and again into one folder: nothing is lost without a word."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.errors import RequestError, UnknownProducts
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Boxes, Picture
from lib_prodshot.jobs.files.staging import new_folder
from lib_prodshot.products import ProductClass
from tests.finders import BoxSegmenter, FixedDetector, fixed_finder


@pytest.fixture(autouse=True)
def finder(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = SimpleNamespace(name="fixed", load=lambda folder=None: fixed_finder(darkest=50))
    monkeypatch.setattr(registry, "choose", lambda name, folder=None: SimpleNamespace(backend=backend))


def photograph(path: Path, level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((40, 60, 3), level, np.uint8)
    pixels[::2] += 20
    Image.fromarray(pixels).save(path)
    return path


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.is_file())


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "report.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


REPORT = ["report.csv", "report.jsonl"]


def made(*stems: str) -> list[str]:
    return [f"{stem}{end}" for stem in stems for end in (".alpha.png", ".mask.png", ".png")]


def test_what_stays_of_an_earlier_enhancement_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    cup, other = photograph(tmp_path / "cup.jpg"), photograph(tmp_path / "other.jpg")
    settings = ["--out", str(out), "--products", "car"]
    assert main(["enhance", str(cup), str(other), *settings]) == 0
    assert names(out) == sorted(made("cup", "other") + REPORT) and "stays" not in capsys.readouterr().err
    photograph(cup, level=5)
    assert main(["enhance", str(cup), *settings]) == 0
    assert names(out) == sorted(["cup.jpg", *made("cup", "other"), *REPORT])
    told = capsys.readouterr().err
    assert f"cup.png, cup.mask.png, cup.alpha.png is of an earlier run over {cup}, and stays" in told
    assert [(Path(str(line["file"])).name, line["status"]) for line in lines(out)] == [
        ("other.jpg", "found"),
        ("cup.jpg", "skipped"),
    ]


def test_another_pictures_result_that_is_written_over_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    first, second = (photograph(tmp_path / day / "cup.jpg") for day in ("monday", "friday"))
    for picture in (first, second):
        assert "now it is of" not in capsys.readouterr().err
        assert main(["enhance", str(picture), "--out", str(out), "--products", "car"]) == 0
    told = f"cup.png, cup.mask.png, cup.alpha.png was made of {first}; now it is of {second}, "
    told += f"and the line of {first} is gone"
    assert told in capsys.readouterr().err
    # its result is nowhere any more: a line that names it would name another picture's
    assert [line["file"] for line in lines(out)] == [str(second)] == [row["file"] for row in rows(out)]
    assert lines(out)[0]["notes"] == [told]


def test_a_line_that_lost_some_of_its_files_names_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    first, second = (photograph(tmp_path / day / "cup.png") for day in ("monday", "friday"))
    settings = ["--out", str(out), "--products", "car", "--size", "200x200"]
    main(["packshot", str(first), *settings, "--marketplace", "amazon, etsy"])
    main(["packshot", str(second), *settings, "--marketplace", "amazon"])
    names = "cup-amazon.jpg, cup.mask.png, cup.alpha.png"
    told = f"{names} was made of {first}; now it is of {second}, and the line of {first} names the others alone"
    assert told in capsys.readouterr().err
    old, new = lines(out)
    assert old["file"] == str(first) and old["mask"] is None and old["output"] == str(out / "cup-etsy.jpg")
    assert [made["marketplace"] for made in old["packshots"]] == ["etsy"]
    assert f"{names} is of {second} now" in old["notes"]
    assert new["file"] == str(second) and told in new["notes"]
    assert [row["output"] for row in rows(out)] == [str(out / "cup-etsy.jpg"), str(out / "cup-amazon.jpg")]


def test_a_folder_jobs_line_gives_way_where_its_files_are_written_over_and_nowhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("cup.png", "sub/cup.png", "sub/other.png"):
        photograph(folder / name)
    batch = ["batch", str(folder), "--recursive", "--out", str(out), "--products", "car"]
    assert main(batch) == 0
    foreign = photograph(tmp_path / "elsewhere" / "cup.png", level=60)
    assert main(["enhance", str(foreign), "--out", str(out), "--products", "car"]) == 0
    assert [line["file"] for line in lines(out)] == ["sub/cup.png", "sub/other.png", str(foreign)]
    # the job sees that the picture's result is not there any more, and says whose it takes the place of
    assert main(batch) == 0
    assert f"give way to those of the same name: {foreign}" in capsys.readouterr().out
    assert [line["file"] for line in lines(out)] == ["cup.png", "sub/cup.png", "sub/other.png"]


@pytest.mark.parametrize(("first", "then"), [("enhance", "packshot"), ("packshot", "enhance")])
@pytest.mark.parametrize("is_job", [False, True])
def test_packshots_and_enhanced_pictures_do_not_take_each_others_place(
    first: str, then: str, is_job: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, cup = tmp_path / "out", photograph(tmp_path / "in" / "cup.jpg")

    def run(make: str, *more: str) -> int:
        given = ["batch", str(cup.parent), "--make", make] if is_job else [make, str(cup)]
        return main([*given, "--out", str(out), "--products", "car", *more])

    assert run(first) == 0
    before = {name: (out / name).read_bytes() for name in names(out)}
    capsys.readouterr()
    assert run(then) == (1 if is_job else 2)
    kinds = {"enhance": "enhanced pictures", "packshot": "packshots"}
    wanted = (
        f"holds {kinds[first]} of 1 picture, which {kinds[then]} would take" if is_job else f"holds {kinds[first]} "
    )
    assert wanted in (told := capsys.readouterr().err) and "choose another folder" in told
    assert {name: (out / name).read_bytes() for name in names(out)} == before
    # no result of the other kind stands there any more
    (out / "cup.png").unlink()
    assert run(then) == 0


def test_packshots_with_names_of_their_own_stand_beside_enhanced_pictures(tmp_path: Path) -> None:
    out, cup = tmp_path / "out", photograph(tmp_path / "cup.jpg")
    assert main(["enhance", str(cup), "--out", str(out), "--products", "car"]) == 0
    enhanced = (out / "cup.png").read_bytes()
    for more in (["--format", "webp"], ["--file-names", "{stem}-shop"], ["--several-products", "each"]):
        assert main(["packshot", str(cup), "--out", str(out), "--products", "car", *more]) == 0
    assert (out / "cup.png").read_bytes() == enhanced
    assert {"cup.webp", "cup-shop.png", "cup-1.png"} <= set(names(out))


@pytest.mark.parametrize(("first", "last"), [("enhance", "packshot"), ("packshot", "enhance")])
def test_what_stands_beside_a_later_run_is_known_to_all_that_follow(
    first: str, last: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, cup = tmp_path / "out", photograph(tmp_path / "cup.jpg")
    rest = [str(cup), "--out", str(out), "--products", "car"]
    assert main([first, *rest]) == 0
    before = (out / "cup.png").read_bytes()
    for pattern in ("{stem}-shop", "{stem}-other"):
        capsys.readouterr()
        assert main(["packshot", *rest, "--file-names", pattern]) == 0
        lost = "cup.mask.png, cup.alpha.png is of the packshot now, and no more of cup.png, which stays"
        assert (lost in capsys.readouterr().err) == (first == "enhance")
    (line,) = lines(out)
    assert line["stays"]["files"] == ["cup-shop.png", "cup.png"]
    assert line["stays"]["packshots"] == ["cup-shop.png", *(["cup.png"] if first == "packshot" else [])]
    assert main([last, *rest]) == 2
    assert "cup.png; choose another folder" in capsys.readouterr().err and (out / "cup.png").read_bytes() == before


def test_a_users_file_in_the_place_of_a_skipped_copy_is_not_taken_for_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, dark = tmp_path / "out", photograph(tmp_path / "dark.png", level=10)
    run = ["enhance", str(dark), "--out", str(out), "--products", "car"]
    assert main(run) == 0
    photograph(out / "dark.png", level=200)
    mine = (out / "dark.png").read_bytes()
    for _ in range(2):
        capsys.readouterr()
        assert main(run) == 0
        assert "is of an earlier run" not in capsys.readouterr().err and "stays" not in lines(out)[0]
    assert (out / "dark.png").read_bytes() == mine


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_picture_that_fails_now_keeps_what_was_made_of_it(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, cup = tmp_path / "out", photograph(tmp_path / "cup.png")
    run = ["enhance", str(cup), str(photograph(tmp_path / "other.png")), "--out", str(out), "--products", "car"]
    assert main(run) == 0
    before = (out / "cup.png").read_bytes()
    cup.write_bytes(cup.read_bytes()[:60]) if damage == "cut" else cup.unlink()
    capsys.readouterr()
    assert main(run) in (1, 2)
    assert names(out) == sorted(made("cup", "other") + REPORT) and (out / "cup.png").read_bytes() == before
    told = f"cup.png, cup.mask.png, cup.alpha.png is of an earlier run over {cup}, and stays"
    if damage == "gone":
        return
    assert told in capsys.readouterr().err
    failed = next(line for line in lines(out) if line["file"] == str(cup))
    assert told in failed["notes"] and failed["stays"]["files"] == ["cup.png", "cup.mask.png", "cup.alpha.png"]
    # what it is, and whose, is known in the runs after it, too
    photograph(cup)
    assert main(["packshot", *run[1:2], *run[3:]]) == 2
    assert "holds enhanced pictures in whose place packshots would be written: cup.png" in capsys.readouterr().err
    another = photograph(tmp_path / "friday" / "cup.png")
    assert main(["enhance", str(another), *run[3:]]) == 0
    assert f"cup.png, cup.mask.png, cup.alpha.png was made of {cup}; now it is of {another}" in capsys.readouterr().err
    failed = next(line for line in lines(out) if line["file"] == str(cup))
    assert failed["status"] == "failed" and failed["stays"]["files"] == []
    assert main(run) == 0 and all("stays" not in line for line in lines(out))


def test_packshots_for_another_marketplace_and_enhancements_stay(tmp_path: Path) -> None:
    out, cup = tmp_path / "out", photograph(tmp_path / "cup.png")
    settings = ["--out", str(out), "--products", "car"]
    assert main(["enhance", str(cup), *settings]) == 0
    for market in ("amazon", "etsy"):
        main(["packshot", str(cup), *settings, "--size", "200x200", "--marketplace", market])
    photograph(cup, level=5)
    main(["packshot", str(cup), *settings, "--size", "200x200", "--marketplace", "google"])
    assert set(made("cup")) | {"cup-amazon.jpg", "cup-etsy.jpg"} <= set(names(out))


def test_the_same_stems_in_another_order_cost_no_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    pictures = [str(photograph(tmp_path / day / "cup.png", level)) for day, level in (("monday", 90), ("friday", 120))]
    settings = ["--out", str(out), "--products", "car"]
    assert main(["enhance", *pictures, *settings]) == 0
    before = names(out)
    assert main(["enhance", *pictures[::-1], *settings]) == 0
    assert names(out) == before and len(lines(out)) == 2


def test_an_interrupted_run_has_removed_nothing_of_the_pictures_that_were_not_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run = ["enhance", *(str(photograph(tmp_path / f"{stem}.jpg")) for stem in "ab"), "--out", str(out)]
    assert main([*run, "--products", "car"]) == 0

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lib_prodshot.jobs.processor.PictureProcessor.process", interrupted)
    before = lines(out), rows(out)
    assert main([*run, "--products", "car"]) == 130
    assert names(out) == sorted(made("a", "b") + REPORT)
    assert (lines(out), rows(out)) == before and len(rows(out)) == 2


def test_a_users_file_in_the_place_of_a_skipped_pictures_copy_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cup = photograph(tmp_path / "in" / "cup.jpg", level=5)
    for given in (["enhance", str(cup)], ["batch", str(cup.parent)]):
        out = tmp_path / given[0]
        run = [*given, "--out", str(out), "--products", "car"]
        assert main(run) == 0
        assert (out / "cup.jpg").read_bytes() == cup.read_bytes()
        (out / "cup.jpg").write_bytes(b"mine")
        capsys.readouterr()
        # a folder job does nothing again that is done
        assert main([*run, "--grow", "3"] if given[0] == "batch" else run) == 0
        assert (out / "cup.jpg").read_bytes() == b"mine"
        (line,) = lines(out)
        assert line["status"] == "skipped" and line["output"] is None
        assert "not copied: cup.jpg stands there with other content, and stays" in line["notes"][0]
    assert "kept, for they are no copies of skipped pictures any more: cup.jpg" in capsys.readouterr().out


def test_a_result_over_what_somebody_put_in_a_copys_place_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, cup = tmp_path / "out", photograph(tmp_path / "in" / "cup.png", level=5)
    run = ["batch", str(cup.parent), "--out", str(out), "--products", "car"]
    assert main(run) == 0
    (out / "cup.png").write_bytes(b"mine")
    photograph(cup)
    assert main(run) == 0
    told = "results were written over what somebody had put in the place of skipped pictures' copies: cup.png"
    assert told in (said := capsys.readouterr().out) and "kept, for" not in said


KILLED = """
import os, sys
from types import SimpleNamespace
from lib_prodshot.cli import main
from lib_prodshot.finding import registry
from lib_prodshot.jobs.processor import PictureProcessor
from tests.finders import fixed_finder

backend = SimpleNamespace(name="fixed", load=lambda folder=None: fixed_finder())
registry.choose = lambda name, folder=None: SimpleNamespace(backend=backend)
process = PictureProcessor.process
PictureProcessor.process = lambda self, source, **more: (
    os._exit(9) if source.name == "never.png" else process(self, source, **more)
)
main(["enhance", *sys.argv[1:]])
"""


def test_a_run_that_is_killed_leaves_the_line_that_counts_last(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first, second = (photograph(tmp_path / day / "cup.png") for day in ("monday", "friday"))
    enhance = ["--out", str(out), "--products", "car"]
    assert main(["enhance", str(first), *enhance]) == 0
    arguments = [*map(str, (second, photograph(tmp_path / "never.png"))), *enhance]
    assert subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False).returncode == 9
    old, new = lines(out)[1:]
    assert (old["file"], old["output"], new["file"]) == (str(first), None, str(second))
    assert main(["enhance", str(photograph(tmp_path / "other.png")), *enhance]) == 0
    assert [line["file"] for line in lines(out)] == [str(first), str(second), str(tmp_path / "other.png")]


class Particular(FixedDetector):
    """Knows cars and nothing else, which it can tell without a picture where `early`."""

    def __init__(self, early: bool) -> None:
        super().__init__()
        if early:
            self.refuse_unknown = self._refuse

    def _refuse(self, classes: Sequence[ProductClass]) -> None:
        unknown = {each.name: () for each in classes if each.name != "car"}
        if unknown:
            raise UnknownProducts(unknown, "fixed", "write 'car'")

    def detect(self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float) -> Boxes:
        self._refuse(classes)
        return super().detect(picture, classes, text_threshold)


def give(monkeypatch: pytest.MonkeyPatch, early: bool) -> None:
    particular = Finder("fixed", Particular(early), BoxSegmenter())
    backend = SimpleNamespace(name="fixed", load=lambda folder=None: particular)
    monkeypatch.setattr(registry, "choose", lambda name, folder=None: SimpleNamespace(backend=backend))


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("command", ["enhance", "packshot", "batch"])
def test_a_wrong_list_of_products_makes_no_folder(
    command: str, early: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, early)
    cup = photograph(tmp_path / "in" / "sub" / "cup.jpg")
    given = [str(tmp_path / "in"), "--recursive"] if command == "batch" else [str(cup)]
    out = tmp_path / "new" / "out"
    assert main([command, *given, "--out", str(out), "--products", "rocket, carr"]) == 2
    assert "does not know 'rocket', 'carr'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()
    assert main([command, *given, "--out", str(out), "--products", ","]) == 2
    assert not out.exists()


def test_what_is_not_ours_in_a_new_folder_stays(tmp_path: Path) -> None:
    def refused(writes: str) -> None:
        with pytest.raises(RequestError), new_folder(tmp_path / "new" / "out", ["report.jsonl"]):
            (tmp_path / "new" / "out" / writes).write_text("")
            raise RequestError([])

    refused("report.jsonl")
    assert not (tmp_path / "new").exists()
    refused("mine.txt")
    assert names(tmp_path / "new" / "out") == ["mine.txt"]


@pytest.mark.parametrize("command", ["enhance", "detect", "batch"])
def test_products_that_are_left_out_are_named_once(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, early=True)
    pictures = [photograph(tmp_path / "in" / name) for name in ("a.jpg", "b.jpg")]
    given = [str(tmp_path / "in")] if command == "batch" else [str(one) for one in pictures]
    out = [] if command == "detect" else ["--out", str(tmp_path / "out")]
    assert main([command, *given, *out, "--products", "car, carr", "--unknown", "leave out"]) == 0
    said = capsys.readouterr()
    assert (said.out + said.err).count("left out: the fixed finder does not know 'carr'") == 1
