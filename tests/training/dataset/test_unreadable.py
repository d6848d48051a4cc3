"""Unreadable is not absent: what cannot be read is named and stays byte for byte, unless it is said otherwise."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.cli import main
from lib_prodshot.errors import RequestError
from lib_prodshot.training.captioning.captioners import FileCaptioner
from lib_prodshot.training.captioning.job import CaptionJob
from lib_prodshot.training.dataset.captions import TagEdit, read_caption
from lib_prodshot.training.errors import PublishError, TrainerMissing, TrainingError
from lib_prodshot.training.publishing import publish
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.trainer import ledger, sd_scripts
from lib_prodshot.training.trainer.losses import LOSSES, read_losses
from tests.training.captioning.test_captions import Saying
from tests.training.dataset.test_check import kinds, report_on
from tests.training.photographs import TAG, make_folder
from tests.training.rigs import Rig

CASES = ROOT.parent / "shared" / "cases" / "captions"
WORDS = f"{TAG}, café cup"


def bytes_as(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def as_link(to: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(to)


UNREADABLE = {
    "cp1252": bytes_as(WORDS.encode("cp1252")),
    "Mac Roman": bytes_as(WORDS.encode("mac_roman")),
    "Shift JIS": bytes_as(f"{TAG}, カップ".encode("shift_jis")),
    "UTF-16 with a mark": bytes_as(WORDS.encode("utf-16")),
    "UTF-16 BE with a mark": bytes_as(b"\xfe\xff" + WORDS.encode("utf-16-be")),
    "UTF-16 LE": bytes_as(WORDS.encode("utf-16-le")),
    "UTF-16 BE of plain letters": bytes_as(TAG.encode("utf-16-be")),
    "UTF-32": bytes_as(WORDS.encode("utf-32")),
    "NULs": bytes_as(b"a bag\0\0\0"),
    "a ZIP": bytes_as(b"PK\x03\x04\x14\0\x08\0"),
    "UTF-8 that is cut": bytes_as("café".encode()[:-1]),
}
NO_FILES: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": as_link("nowhere/else.txt"),
    "a link to itself": as_link("1.txt"),
}
if hasattr(os, "mkfifo"):
    NO_FILES["a pipe"] = lambda path: os.mkfifo(path)


def state_of(path: Path) -> object:
    if path.is_symlink():
        return path.readlink()
    return path.read_bytes() if path.is_file() else path.stat().st_ino


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make_folder(tmp_path / "photos", count=2)
    (made / "1.txt").unlink()
    return made


@pytest.mark.parametrize("make", [*UNREADABLE.values(), *NO_FILES.values()], ids=[*UNREADABLE, *NO_FILES])
def test_a_caption_that_cannot_be_read_is_kept_and_named(folder: Path, make: Callable[[Path], object]) -> None:
    make(folder / "1.txt")
    before = state_of(folder / "1.txt")
    assert kinds(report_on(folder))["caption_broken"] == "error 1.txt"
    captioner = Saying("a machine's caption")
    for edit in (TagEdit(), TagEdit(first=(TAG, "new"))):
        told = [one for one in CaptionJob(folder, edit, captioner).run() if one.problem]
        assert [(one.file.name, one.unusable) for one in told] == [("1.txt", True)] and "stays as it is" in str(told[0])
    assert captioner.asked == [] and state_of(folder / "1.txt") == before
    # one photograph's trouble is that photograph's
    assert read_caption(folder / "2.txt").text.startswith(f"{TAG}, new")


@pytest.mark.parametrize("make", UNREADABLE.values(), ids=UNREADABLE)
def test_told_to_it_is_written_over(folder: Path, make: Callable[[Path], object]) -> None:
    make(folder / "1.txt")
    list(CaptionJob(folder, TagEdit(), Saying("a cup"), overwrite=True).run())
    assert (folder / "1.txt").read_text(encoding="utf-8") == "a cup\n"


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_file_is_never_written_over(folder: Path, make: Callable[[Path], object]) -> None:
    make(folder / "1.txt")
    before = state_of(folder / "1.txt")
    told = {one.photograph.name: one for one in CaptionJob(folder, TagEdit(), Saying("a cup"), overwrite=True).run()}
    assert told["1.jpg"].unusable and state_of(folder / "1.txt") == before
    assert (folder / "2.txt").read_text(encoding="utf-8") == "a cup\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_caption_that_may_not_be_opened_is_never_written_over(folder: Path) -> None:
    (folder / "1.txt").write_text("mine")
    (folder / "1.txt").chmod(0)
    told = {one.photograph.name: one for one in CaptionJob(folder, TagEdit(), Saying(), overwrite=True).run()}
    assert told["1.jpg"].unusable and "permission denied" in told["1.jpg"].problem
    (folder / "1.txt").chmod(0o600)
    assert (folder / "1.txt").read_text() == "mine"


def test_a_disk_error_is_that_captions_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "1.txt").write_text("mine")
    whole = Path.read_bytes

    def read(path: Path) -> bytes:
        if path.name == "1.txt":
            raise OSError(5, "Input/output error")
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    told = {one.photograph.name: one for one in CaptionJob(folder, TagEdit(first=("x",)), Saying()).run()}
    assert told["1.jpg"].unusable and "input/output error" in told["1.jpg"].problem and told["2.jpg"].rewritten
    assert kinds(report_on(folder))["caption_broken"] == "error 1.txt"


@pytest.mark.parametrize("name", ["1.caption", "1.jpg.txt", "1.TXT", "1.txt.txt", "1.JPG.txt", "1.Caption"])
def test_a_caption_under_another_name_is_no_missing_one(folder: Path, name: str) -> None:
    (folder / name).write_text("mine")
    if (folder / "1.txt").exists():
        pytest.skip("this file system takes the one for the other")
    report = report_on(folder)
    assert kinds(report)["caption_beside"] == f"warning {name}" and "rename it to 1.txt" in report.to_text()
    told = [one for one in CaptionJob(folder, TagEdit(), Saying()).run() if one.problem]
    assert [(one.file.name, one.unusable) for one in told] == [(name, True)] and not (folder / "1.txt").exists()
    list(CaptionJob(folder, TagEdit(), Saying("a cup"), overwrite=True).run())
    assert (folder / "1.txt").read_text() == "a cup\n" and (folder / name).read_text() == "mine"


def test_captions_of_no_picture_are_named(folder: Path) -> None:
    for name in ("other.txt", "other.caption", "README.TXT"):
        (folder / name).write_text("x")
    # these belong: a face detector's name, and a picture that sd-scripts does not read
    shutil.copy(folder / "2.jpg", folder / "bag_0_1_2_3.jpg")
    (folder / "bag.txt").write_text(f"{TAG}, a bag")
    (folder / "scan.tiff").write_bytes(b"II")
    (folder / "scan.txt").write_text("x")
    orphaned_captions = [Path(one.file).name for one in report_on(folder).problems if one.kind == "caption_orphan"]
    assert sorted(orphaned_captions) == ["README.TXT", "other.caption", "other.txt"]


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
def test_the_case_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "captions"
    shutil.copytree(CASES, folder)
    line = ["train", "caption", str(folder), "--captioner", "file", "--captions", str(folder / "caps.json")]
    assert main(line) == 1
    said = capsys.readouterr()
    assert "cp1252.txt: the caption is not UTF-8 (byte 8)" in said.err and "1 unread and kept" in said.out
    assert (folder / "cp1252.txt").read_bytes() == (CASES / "cp1252.txt").read_bytes()
    assert main(["train", "check", str(folder)]) == 1
    said = capsys.readouterr()
    for words in ("cp1252.txt: the caption is not UTF-8", "train as plain white", "animated: only the first", "ΔE2000"):
        assert words in said.out
    assert "transparency" not in said.out
    assert main([*line, "--anew"]) == 1  # the others have none in the file
    assert (folder / "cp1252.txt").read_text(encoding="utf-8") == "ppz, machine caption\n"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", '{"1": "a bag"}'.encode("utf-16")),
        ("a.json", '{"1": "caf\xe9"}'.encode("cp1252")),
        ("a.json", b'{"1": "\\ud800"}'),
        ("a.json", b"[" * 100_000),
        ("a.csv", b"file,caption\n1,a\0bag\n\xff"),
        ("a.csv", "file,caption\n1,a bag".encode("utf-16")),
    ],
)
def test_a_file_of_captions_that_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(RequestError, match=name):
        list(FileCaptioner(tmp_path / name).caption([tmp_path / "1.jpg"]))


def test_a_table_of_captions_in_another_encoding_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("file,caption\n1,a café".encode("cp1252"))
    with pytest.raises(RequestError, match="is not text in UTF-8; save it so"):
        FileCaptioner(tmp_path / "a.csv")


def test_one_bad_file_in_a_folder_of_captions_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("a bag")
    (tmp_path / "2.txt").write_bytes("a cup".encode("utf-16"))
    with pytest.raises(RequestError, match=r"2\.txt: the caption is UTF-16"):
        list(FileCaptioner(tmp_path).caption([tmp_path / "1.jpg"]))


@pytest.mark.parametrize("data", ["a = 'é'".encode("cp1252"), "a = 1".encode("utf-16"), b"a = \0", b"["])
def test_a_recipe_that_cannot_be_read_is_refused_and_stays(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(data)
    with pytest.raises(RequestError, match=r"recipe\.toml is not TOML"):
        recipe_files.compose(path)
    assert main(["train", "run", "--save-recipe", str(path)]) == 2 and path.read_bytes() == data


def test_an_emptied_recipe_of_a_run_is_named(tmp_path: Path) -> None:
    ledger.Ledger({}, 1, 1).write(tmp_path)
    (tmp_path / ledger.RECIPE).write_text("\n")
    with pytest.raises(PublishError, match=r"recipe\.toml is empty"):
        publish.read_run(tmp_path)


def test_a_recipe_in_another_encoding_is_told_in_plain_words(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes("activation_tag = 'é'".encode("cp1252"))
    with pytest.raises(RequestError, match="not encoded as UTF-8") as caught:
        recipe_files.compose(path)
    assert "codec" not in str(caught.value)


def test_a_recipe_is_not_saved_over_a_link_to_nothing_nor_where_no_folder_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").symlink_to(tmp_path / "disk" / "recipe.toml")
    assert main(["train", "run", "--save-recipe", str(tmp_path / "recipe.toml")]) == 2
    assert (tmp_path / "recipe.toml").is_symlink()
    assert main(["train", "run", "--save-recipe", str(tmp_path / "none" / "recipe.toml")]) == 2
    assert "there is no folder" in capsys.readouterr().err


# --- runs -----------------------------------------------------------------------------------------------------------


def loras(rig: Rig) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (rig.runs / "bag" / "output").glob("*.safetensors")}


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe{\0", b"[]", b"[" * 100_000, b'{"starts": 1}'])
def test_a_book_that_cannot_be_read_ends_the_start_and_stays(plain: Rig, data: bytes) -> None:
    plain.train(max_train_epochs=2)
    book, before = plain.runs / "bag" / ledger.LEDGER, loras(plain)
    book.write_bytes(data)
    with pytest.raises(TrainingError, match=r"ledger\.json cannot be read"):
        plain.job(max_train_epochs=3).start()
    assert book.read_bytes() == data and loras(plain) == before
    assert plain.train(fresh=True, max_train_epochs=1).outcome == "finished"
    assert (plain.runs / "bag.1" / ledger.LEDGER).read_bytes() == data


@pytest.mark.parametrize("lost", ["missing", "a link to nothing"])
def test_without_its_book_a_run_is_not_trained_over(plain: Rig, lost: str) -> None:
    plain.train(max_train_epochs=2)
    book, before = plain.runs / "bag" / ledger.LEDGER, loras(plain)
    book.unlink()
    if lost != "missing":
        book.symlink_to("nowhere")
    with pytest.raises(TrainingError, match="--fresh"):
        plain.job(max_train_epochs=2).start()
    assert loras(plain) == before
    assert plain.train(fresh=True, max_train_epochs=1).outcome == "finished"


def test_damaged_states_are_not_taken_for_none(plain: Rig) -> None:
    plain.train(max_train_epochs=4)
    before = loras(plain)
    for state in (plain.runs / "bag" / "output").glob("*-state"):
        (state / "train_state.json").write_bytes(b"\xff")
    with pytest.raises(TrainingError, match="the state of epoch 4 is damaged or gone"):
        plain.job(max_train_epochs=5).start()
    assert loras(plain) == before


def test_a_run_killed_between_a_lora_and_its_state_goes_on(plain: Rig) -> None:
    plain.train(max_train_epochs=3)
    output = plain.runs / "bag" / "output"
    shutil.rmtree(output / "bag-state")
    book = ledger.read(plain.runs / "bag")
    assert book is not None and ledger.last_complete_state(output, "bag", 3) == 2
    assert plain.train(max_train_epochs=3).steps_done == 18


def test_a_runs_folder_that_is_a_file_is_named(plain: Rig) -> None:
    plain.runs.mkdir()
    (plain.runs / "bag").write_text("x")
    with pytest.raises(TrainingError, match="cannot be read as a training run's folder"):
        plain.job().start()
    assert (plain.runs / "bag").read_text() == "x"


def test_a_torn_line_of_the_loss_curve_costs_its_own_point(tmp_path: Path) -> None:
    (tmp_path / LOSSES).write_bytes(b"1,1,0.5\n2,1,0.\xff2,1,0.4\n3,1,0.3\n4,")
    assert read_losses(tmp_path) == [(1, 1, 0.5), (3, 1, 0.3)]


def test_a_damaged_lora_is_not_taken_for_a_missing_one(plain: Rig, tmp_path: Path) -> None:
    plain.train(max_train_epochs=3)
    path = plain.runs / "bag" / "output" / "bag-000002.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    for wanted in (publish.PublishOptions(), publish.PublishOptions(epochs=(2,))):
        with pytest.raises(PublishError, match=r"bag-000002\.safetensors is not usable: it is cut off"):
            publish.publish(plain.runs / "bag", tmp_path / "Lora", wanted)
    assert not (tmp_path / "Lora").exists()
    assert len(publish.publish(plain.runs / "bag", tmp_path / "Lora", publish.PublishOptions(epochs=(1, 3)))) == 2


@pytest.mark.parametrize("data", [b'{"activation text": "mine"}', b"\xff\xfe{\0", b"{"])
def test_a_side_car_that_stands_there_stays_and_is_named(
    plain: Rig, tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    plain.train(max_train_epochs=1)
    target = tmp_path / "Lora"
    target.mkdir()
    (target / "bag-01.json").write_bytes(data)
    assert main(["train", "publish", str(plain.runs / "bag"), "--to", str(target)]) == 0
    assert (target / "bag-01.json").read_bytes() == data
    assert "bag-01.json was there with something else in it, and stays" in capsys.readouterr().err
    (target / "bag-01.json").unlink()
    for _ in range(2):
        (one,) = publish.publish(plain.runs / "bag", target)
        assert one.side_car_kept == "" and json.loads((target / "bag-01.json").read_text())["activation text"] == TAG


def test_a_lora_of_the_name_that_is_a_link_to_nothing_stays(plain: Rig, tmp_path: Path) -> None:
    plain.train(max_train_epochs=1)
    (tmp_path / "Lora").mkdir()
    link = tmp_path / "Lora" / "bag-01.safetensors"
    link.symlink_to("nowhere")
    with pytest.raises(PublishError, match="stays as it is"):
        publish.publish(plain.runs / "bag", tmp_path / "Lora")
    assert link.is_symlink() and [path.name for path in link.parent.iterdir()] == [link.name]


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe{\0", b"[]", b'{"checkout": 5}'])
def test_a_note_of_the_trainer_that_cannot_be_read_is_no_missing_trainer(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PRODSHOT_SD_SCRIPTS", "PRODSHOT_SD_SCRIPTS_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / sd_scripts.LOCATION_FILE).write_bytes(data)
    with pytest.raises(TrainerMissing, match=r"trainer\.json, which says where sd-scripts is, cannot be read"):
        sd_scripts.find(folder=tmp_path)
    (tmp_path / sd_scripts.LOCATION_FILE).unlink()
    with pytest.raises(TrainerMissing, match="sd-scripts is not here"):
        sd_scripts.find(folder=tmp_path)
