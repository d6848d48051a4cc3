"""A folder job that is refused, or cannot begin, leaves what earlier runs made as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lib_prodshot.cli import main
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import OutputError, ProdshotError, RequestError, UnknownProducts
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.folder.resume import files_of
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.workers.engines import Engine, LocalEngine
from lib_prodshot.jobs.workers.local_pool import LocalPool
from lib_prodshot.products import ProductClass
from lib_prodshot.request import Request
from tests.finders import fixed_finder
from tests.jobs.photographs import make_picture
from tests.jobs.tools import REQUEST, Shade, digests, finder, job, lines_of, pool, run

PACKSHOTS = Request(products="mug, motorcycle", make="packshot", size="128x128")


class Closed(type(finder().detector)):  # type: ignore[misc]
    """Knows two products."""

    def refuse_unknown(self, classes: Sequence[ProductClass]) -> None:
        unknown = [each.name for each in classes if each.name not in ("mug", "motorcycle")]
        if unknown:
            raise UnknownProducts(dict.fromkeys(unknown, ()), "fixed", "write mug")


def closed() -> Finder:
    return replace(finder(), detector=Closed())


def unreachable() -> Sequence[Engine]:
    raise ProdshotError("http://127.0.0.1:9 cannot be reached")


@pytest.mark.parametrize(
    ("request_of_it", "load_finder", "load_engines", "error"),
    [
        (Request(products="mug, motorcycle, rocket", fidelity="off"), closed, None, RequestError),
        (REQUEST.replace(strength=0.9), closed, unreachable, ProdshotError),
    ],
)
def test_nothing_goes_before_all_is_ready(
    request_of_it: Request,
    load_finder: Callable[[], Finder],
    load_engines: Callable[[], Sequence[Engine]] | None,
    error: type[Exception],
    photos: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    run(photos, out, load_finder=closed)
    before, lines = digests(out), lines_of(out)
    assert any(line["output"] for line in lines)
    engines = load_engines or (lambda: [LocalEngine(Shade())])
    runner = Runner(job(photos, out, request_of_it), LocalPool(request_of_it, "fixed", load_finder, engines))
    runner.start()
    with pytest.raises(error):
        runner.result()
    assert digests(out) == before and lines_of(out) == lines
    assert run(photos, out, load_finder=closed).before == len(lines)


def test_unknown_products_that_are_left_out_refuse_nothing(photos: Path, tmp_path: Path) -> None:
    class LeavesOut(Closed):
        pass

    asked = Request(products="mug, motorcycle, rocket", fidelity="off", unknown="leave out")
    done = run(photos, tmp_path / "out", asked, load_finder=lambda: replace(finder(), detector=LeavesOut()))
    assert done.statuses["found"]


def named(command: str, source: Path, out: Path, *options: str) -> int:
    return main([command, str(source), "--out", str(out), "--products", "mug, motorcycle", *options])


@pytest.mark.parametrize("command", ["enhance", "packshot"])
def test_a_folder_job_does_not_take_the_place_of_named_pictures_of_another_kind(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "load_finder", lambda *_, **__: fixed_finder())
    photos, out = tmp_path / "A", tmp_path / "out"
    photos.mkdir()
    make_picture(1, 160).save(photos / "cup.png")
    assert named(command, photos / "cup.png", out, *(["--size", "128x128"] if command == "packshot" else [])) == 0
    before = digests(out)
    asked = PACKSHOTS if command == "enhance" else REQUEST
    kind = "enhanced pictures" if command == "enhance" else "packshots"
    with pytest.raises(OutputError, match=f"holds {kind} of 1 picture"):
        run(photos, out, asked, load_finder=fixed_finder)
    assert digests(out) == before


def test_nor_of_pictures_of_another_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for folder, name in (("D", "cup.png"), ("E", "cup.jpg")):
        (tmp_path / folder).mkdir()
        make_picture(1, 160).save(tmp_path / folder / name)
    run(tmp_path / "D", out, load_finder=fixed_finder)
    before = digests(out)
    with pytest.raises(OutputError, match="holds enhanced pictures of 1 picture"):
        run(tmp_path / "E", out, PACKSHOTS, load_finder=fixed_finder)
    assert digests(out) == before


def test_pictures_of_another_folder_with_the_same_names_are_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for folder, number in (("A", 1), ("B", 2)):
        (tmp_path / folder).mkdir()
        make_picture(number, 160).save(tmp_path / folder / "cup.png")
    assert not run(tmp_path / "A", out, load_finder=fixed_finder).notes
    assert run(tmp_path / "B", out, load_finder=fixed_finder).notes == (
        "made anew, for another picture is called so now than before: 1 picture",
    )


@pytest.mark.parametrize("was_killed", [False, True])
def test_results_of_other_settings_stay_until_their_turn_comes(was_killed: bool, photos: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", REQUEST.replace(strength=0.9)
    run(photos, out)
    before, lines = digests(out), {line["file"]: line for line in lines_of(out)}
    journal = out / ".prodshot" / "begun.jsonl"
    (out / "orphan.png").write_bytes(b"of a run that was killed")
    if was_killed:
        journal.write_text(json.dumps(["orphan.png", *(name for name in before if name.endswith(".png"))]) + "\n")

    class Stopping(Shade):
        def enhance(self, task: Task) -> Enhanced:
            runner.stop()
            return super().enhance(task)

    runner = Runner(job(photos, out, other), pool(other, engines=[LocalEngine(Stopping())]))
    runner.start()
    told = " ".join(runner.result().notes)
    assert (out / "orphan.png").exists() != was_killed
    now = {line["file"]: line for line in lines_of(out)}
    made = [name for name in now if now[name]["settings"] != lines[name]["settings"]]
    left = [name for name in now if name not in made]
    with_files = [name for name in lines if list(files_of(lines[name]))]
    assert made and left and set(with_files) <= set(now)
    assert all(now[name] == lines[name] for name in left)
    stand = {name for line in left for name in files_of(lines[line])}
    # those of pictures that were in a worker when it was stopped have gone: as many as a worker has slots
    gone = [line for line in left if not set(files_of(lines[line])) <= set(digests(out))]
    assert len(gone) <= 3 and len(stand) > 10
    assert all(digests(out).get(name, before[name]) == before[name] for name in stand)
    waiting = len([name for name in left if name in with_files and name not in gone])
    assert f"made anew, with other settings than before: {len(with_files) - waiting} picture" in told
    assert f"not made anew yet, as made with other settings before: {waiting} picture" in told

    # what stands there counts for the settings that it was made with, and in the end nothing is left of either
    again = run(photos, out)
    assert again.before == len(left) - len(gone)
    assert set(_results(out)) >= stand and _results(out) == {name: before[name] for name in _results(out)}
    run(photos, out, other)
    run(photos, tmp_path / "fresh", other)
    assert _results(out) == _results(tmp_path / "fresh")


def _results(out: Path) -> dict[str, str]:
    """What a job makes of pictures; its reports tell of times."""
    own = ("report.jsonl", "report.csv", "summary.json", "index.html", "orphan.png")
    return {name: digest for name, digest in digests(out).items() if name not in own}


@pytest.mark.parametrize("is_other", [True, False])
def test_what_a_killed_run_wrote_with_other_settings_does_not_pass_for_what_was_there(
    is_other: bool, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(photos, out)
    before, lines = digests(out), lines_of(out)
    line = next(line for line in lines if line["status"] == "found")
    # where it was killed: its turn had come, its results were written, and its new line was not
    with (out / line["output"]).open("ab") as file:
        file.write(b"of other settings")
    settings = "another" if is_other else line["settings"]
    record = json.dumps([*files_of(line), {"settings": settings}])
    (out / ".prodshot" / "begun.jsonl").write_text(record + "\n")
    again = run(photos, out)
    assert again.before == len(lines) - is_other
    assert (digests(out)[line["output"]] == before[line["output"]]) == is_other
