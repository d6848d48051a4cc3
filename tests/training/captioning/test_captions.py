"""Captions: reading them as sd-scripts does, editing tags as the seed's notebook does, writing them safely."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_prodshot.cli import main
from lib_prodshot.training.captioning import job
from lib_prodshot.training.captioning.job import CaptionJob
from lib_prodshot.training.dataset.captions import TagEdit, count_tokens, read_caption, split_tags
from lib_prodshot.training.dataset.folder import list_folder
from tests.training.photographs import TAG, make_folder

WORDS = st.lists(st.text("abc de", min_size=1).map(str.strip).filter(bool), max_size=6)


@pytest.mark.parametrize(
    ("data", "text", "fatal", "problem"),
    [
        (b"a bag\n", "a bag", "", ""),
        (b"", "", "empty", ""),
        (b"caf\xe9", "", "not UTF-8 (byte 3)", ""),
        ("a bag".encode("utf-16"), "", "UTF-16, not UTF-8", ""),
        (b"\xfe\xff" + "a bag".encode("utf-16-be"), "", "UTF-16, not UTF-8", ""),
        ("a bag".encode("utf-32"), "", "UTF-32, not UTF-8", ""),
        ("a bag".encode("utf-16-le"), "", "NUL characters, as UTF-16 does", ""),
        ("a bag".encode("utf-16-be"), "", "NUL characters, as UTF-16 does", ""),
        (b"a \x1b[1mbag", "", "control character 0x1b", ""),
        (b"a bag\nmore", "a bag", "", "only the first counts"),
        (b"\n a bag", "", "", "first line is empty"),
        (b" \n", "", "", "nothing but space"),
        (b"\xef\xbb\xbfa bag", "a bag", "", "byte order mark"),
    ],
)
def test_a_caption_is_read_as_sd_scripts_does(tmp_path: Path, data: bytes, text: str, fatal: str, problem: str) -> None:
    path = tmp_path / "1.txt"
    path.write_bytes(data)
    caption = read_caption(path)
    assert caption.text == text and fatal in caption.fatal and problem in caption.problem
    assert bool(caption.fatal) == bool(fatal) and bool(caption.problem) == bool(problem)


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (TagEdit(first=(TAG,)), "a bag, on a table", f"{TAG}, a bag, on a table"),
        (TagEdit(first=(TAG,)), f"a bag, {TAG}", f"{TAG}, a bag"),
        (TagEdit(first=(TAG, "shop")), "shop, a bag", f"{TAG}, shop, a bag"),
        (TagEdit(first=(TAG,)), "", TAG),
        (TagEdit(remove=("blurry", "logo")), "a bag, blurry,, logo", "a bag"),
        (TagEdit(search=("sneaker",), replacement=("shoe",)), "sneaker, red", "red, shoe"),
        (TagEdit(search=("sneaker",), replacement=("shoe",), new_first=True), "red, sneaker", "shoe, red"),
        (TagEdit(search=("a", "b"), replacement=("c",), need_all=True), "a, d", "a, d"),
        (TagEdit(search=("a", "b"), replacement=("c",), need_all=True), "a, b, d", "d, c"),
        (TagEdit(search=("a",), replacement=("a", "c")), "a, d", "d, a, c"),
        (TagEdit(search=("x",), replacement=("c",)), "a, d", "a, d"),
    ],
)
def test_tags_are_edited(edit: TagEdit, before: str, after: str) -> None:
    assert edit.apply(before) == after


@given(WORDS, WORDS, WORDS)
def test_editing_twice_changes_nothing_more(tags: list[str], first: list[str], remove: list[str]) -> None:
    edit = TagEdit(first=tuple(dict.fromkeys(first)), remove=tuple(remove))
    once = edit.apply(", ".join(tags))
    assert edit.apply(once) == once
    assert split_tags(once)[: len(edit.first)] == list(edit.first)


def test_tokens_are_counted_from_below() -> None:
    assert count_tokens("a bag, on 12 tables") == 7
    assert count_tokens("") == 0


class Saying:
    """A captioner that says what it is told, and leaves out photographs whose name begins with 'no'."""

    def __init__(self, text: str = "a cup") -> None:
        self.text = text
        self.asked: list[str] = []

    def caption(self, photographs):  # type: ignore[no-untyped-def]
        for path in photographs:
            self.asked.append(path.name)
            if not path.name.startswith("no"):
                yield path, self.text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """1 and 2 have captions, 3 has none, 4 an empty one, 5 a caption of two lines with a byte order mark."""
    made = make_folder(tmp_path / "photos", count=5)
    (made / "3.txt").unlink()
    (made / "4.txt").write_bytes(b"")
    (made / "5.txt").write_bytes(b"\xef\xbb\xbfa jar\nsecond line\n")
    (made / "2.txt").write_text("a cup of tea\n")
    return made


def texts(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))}


def test_existing_captions_are_kept_but_for_the_tag(folder: Path) -> None:
    captioner = Saying()
    done = {one.photograph.stem: one for one in CaptionJob(folder, TagEdit(first=(TAG,)), captioner).run()}
    assert captioner.asked == ["3.jpg", "4.jpg"]
    assert texts(folder) == {
        "1": f"{TAG}, a bag on table 1\n",
        "2": f"{TAG}, a cup of tea\n",
        "3": f"{TAG}, a cup\n",
        "4": f"{TAG}, a cup\n",
        "5": f"{TAG}, a jar\nsecond line\n",
    }
    assert not done["1"].rewritten and str(done["1"]).endswith("1.txt: kept")
    assert str(done["2"]).splitlines()[1:] == ["- a cup of tea", f"+ {TAG}, a cup of tea"]
    assert not any(one.rewritten for one in CaptionJob(folder, TagEdit(first=(TAG,)), captioner).run())


def test_anew_describes_all(folder: Path) -> None:
    list(CaptionJob(folder, TagEdit(first=(TAG,)), Saying("a hat"), overwrite=True).run())
    assert set(texts(folder).values()) == {f"{TAG}, a hat\n"}


def test_a_dry_run_shows_and_writes_nothing(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = list(CaptionJob(folder, TagEdit(first=(TAG,)), Saying(), dry_run=True).run())
    assert [one.rewritten for one in done] == [False, True, True, True, True]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_nobody_describes_is_a_problem(folder: Path) -> None:
    told = [one for one in CaptionJob(folder, TagEdit(first=(TAG,))).run() if one.problem]
    assert [(one.photograph.name, one.problem) for one in told] == [
        ("3.jpg", "it has no caption, and no captioner was chosen"),
        ("4.jpg", "the caption file is empty"),
    ]
    (folder / "3.jpg").rename(folder / "no.jpg")
    told = [one for one in CaptionJob(folder, TagEdit(first=(TAG,)), Saying()).run() if one.problem]
    assert [one.problem for one in told] == ["it has no caption, and the captioner has none for it"]


def test_the_command_writes_them_and_its_dry_run_does_not(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"3": "a coat", "4.jpg": "a hat", "1": "unused"}))
    line = ["train", "caption", str(folder), "--tag", TAG, "--captioner", "file", "--captions", str(captions)]
    assert main([*line, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "4 of 5 captions would be written, 1 kept, 0 missing" in said.out and f"+ {TAG}, a coat" in said.out
    assert not (folder / "3.txt").exists()
    assert main(line) == 0
    assert texts(folder)["3"] == f"{TAG}, a coat\n" and texts(folder)["1"] == f"{TAG}, a bag on table 1\n"
    assert "4 of 5 captions written" in capsys.readouterr().out
    (folder / "3.txt").unlink()
    assert main(["train", "caption", str(folder), "--tag", TAG]) == 1
    assert "1 missing" in capsys.readouterr().out
    line = ["train", "caption", str(folder), "--search", "a hat", "--replacement", "a cap", "--remove", TAG]
    main(line)
    assert texts(folder)["4"] == "a cap\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--captioner", "webui"], "webui: is needed for --captioner webui"),
        (["--captioner", "file"], "captions: is needed for --captioner file"),
        (["--captions", "x.json"], "captions: is only for --captioner file"),
        (["--captioner", "file", "--captions", "nowhere.json"], "nowhere.json cannot be read"),
        (["--captioner", "webui", "--webui", "http://127.0.0.1:9"], "127.0.0.1:9"),
    ],
)
def test_wrong_options_are_one_line(
    folder: Path,
    options: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lib_prodshot.hosts.remote.client.FIRST_PAUSE", 0.01)
    assert main(["train", "caption", str(folder), *options]) not in (0, None)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0], lines


def test_that_nobody_writes_captions_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "photos", count=5)
    for name in ("2.txt", "3.txt", "5.txt"):
        (folder / name).unlink()
    assert main(["train", "caption", str(folder)]) == 1
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if "no captioner" in line]
    assert line.endswith(
        "3 photographs have no caption, and no captioner was chosen (--captioner): 2.jpg, 3.jpg, 5.jpg"
    )
    assert "0 of 5 captions written, 2 kept, 3 missing" in said.out


def test_the_folder_is_listed_once_for_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[Path] = []
    monkeypatch.setattr(job, "list_folder", lambda place, *more: (listed.append(place), list_folder(place, *more))[1])
    assert len(list(CaptionJob(folder, TagEdit(first=(TAG,))).run())) == 5
    assert listed == [folder]
    assert CaptionJob(folder, TagEdit()).unused([]) == []
