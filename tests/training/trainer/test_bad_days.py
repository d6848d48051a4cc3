"""Training on a bad day: a full disk, a folder that goes, a terminal that closes, starts at one moment."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import psutil
import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.errors import OutputError, RequestError
from lib_prodshot.training.errors import TrainingError
from lib_prodshot.training.publishing import publish
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.trainer import diagnosis, ledger, results
from lib_prodshot.training.trainer.ledger import Ledger
from lib_prodshot.training.trainer.losses import LOSSES, epoch_end_losses
from lib_prodshot.training.trainer.runner import LOG, TrainingJob, TrainingResult
from tests.training.rigs import Rig, ended, make_checkpoint, make_checkpoint_file, unet
from tests.training.trainers import STAND_IN

RACES = int(os.environ.get("PRODSHOT_RACES", "3"))
"""How often several starts are made at one moment; a hundred for a release."""

FULL = OSError(errno.ENOSPC, "No space left on device")
DISK_IS_FULL = "the disk is full: free some space and run the same command again"


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_PAUSE", "0.05")


def until(is_true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)


def fill_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """From its write number `after` on the ledger finds the disk full."""
    write, counts = Ledger._write, [0]

    def full(self: Ledger, folder: Path) -> None:
        counts[0] += 1
        if counts[0] > after:
            raise OutputError(f"cannot write into {folder}: {FULL.strerror}") from FULL
        write(self, folder)

    monkeypatch.setattr(Ledger, "_write", full)


def process_of(job: TrainingJob) -> int:
    assert job._process is not None
    return job._process.pid


def soon(job: TrainingJob) -> TrainingResult:
    """The result, which has to be there within ten seconds; nothing of the run is left running."""
    result = job.wait(10)
    assert result is not None, "the run does not end"
    assert not psutil.pid_exists(process_of(job))
    return result


# --- full disk, vanished folder -------------------------------------------------------------------------------------


def test_a_start_that_cannot_be_noted_does_not_run(plain: Rig, slowly: None, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_disk(monkeypatch, after=0)
    job = plain.job()
    with pytest.raises(OutputError, match="No space left"):
        job.start()
    assert not job.is_running and not [one for one in psutil.Process().children() if "stand_in" in str(one.cmdline())]
    monkeypatch.undo()
    assert plain.train().outcome == "finished"


def test_the_disk_fills_while_it_runs(plain: Rig, slowly: None, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_disk(monkeypatch, after=1)
    job = plain.job()
    job.start()
    result = soon(job)
    assert (result.outcome, result.reason) == ("failed", DISK_IS_FULL)
    assert any("is not in its ledger.json" in note and "No space left" in note for note in result.notes)
    monkeypatch.undo()
    assert plain.train().outcome == "finished"


def test_only_the_last_note_finds_it_full(plain: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_disk(monkeypatch, after=1 + 3)
    job = plain.job()
    job.start()
    result = soon(job)
    assert (result.outcome, len(result.loras)) == ("finished", 3) and len(result.notes) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", [LOG, LOSSES])
def test_what_it_says_finds_the_disk_full(plain: Rig, slowly: None, name: str) -> None:
    job = plain.job()
    job.folder.mkdir(parents=True)
    recipe_files.save(job.recipe, job.folder / "recipe.toml")
    (job.folder / name).symlink_to("/dev/full")
    job.start()
    assert soon(job).reason == DISK_IS_FULL


def test_the_run_s_folder_goes(plain: Rig, slowly: None) -> None:
    job = plain.job()
    job.start()
    until(lambda: job.progress().step > 1)
    shutil.rmtree(job.folder)
    result = soon(job)
    assert result.outcome == "failed" and result.loras == () and "Traceback" not in result.reason


def test_the_command_ends_when_the_disk_is_full(plain: Rig, tmp_path: Path) -> None:
    """It was this that went round for ever."""
    full = plain.job().folder
    full.mkdir(parents=True)
    recipe_files.save(plain.recipe(), full / "recipe.toml")
    (full / LOG).symlink_to("/dev/full")
    recipe_files.save(plain.recipe(), tmp_path / "mine.toml")
    done = subprocess.run(command(tmp_path / "mine.toml"), capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 1 and DISK_IS_FULL in done.stderr and "Traceback" not in done.stderr


# --- a closed terminal ----------------------------------------------------------------------------------------------


def command(recipe: Path) -> list[str]:
    code = "import sys; from lib_prodshot.cli import main; sys.exit(main(sys.argv[1:]))"
    trainer = ["--sd-scripts", str(STAND_IN.checkout), "--python", str(STAND_IN.python)]
    return [sys.executable, "-c", code, "train", "run", "--recipe", str(recipe), *trainer]


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
@pytest.mark.parametrize("by", ["its end", "SIGTERM"])
def test_a_closed_terminal_ends_the_run_in_order(plain: Rig, tmp_path: Path, slowly: None, by: str) -> None:
    import pty

    recipe_files.save(plain.recipe(max_train_epochs=50), tmp_path / "mine.toml")
    controller, terminal = pty.openpty()
    folder = plain.job().folder
    running = subprocess.Popen(
        command(tmp_path / "mine.toml"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(terminal)
    until(lambda: len(lines_of(folder / LOSSES)) > 2, 60)
    trainer = psutil.Process(running.pid).children()
    if by == "its end":
        os.close(controller)
    else:
        running.send_signal(signal.Signals[by])
    running.wait(20)
    if by != "its end":
        os.close(controller)
    noted = ledger.read(folder)
    assert noted is not None and (noted.starts[-1].outcome, bool(noted.starts[-1].ended)) == ("stopped", True)
    assert trainer and not any(one.is_running() for one in trainer)


def take_terminal() -> None:
    """Make standard input the session's terminal, whose end is then told by SIGHUP."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def test_losses_are_on_the_disk_as_they_come(plain: Rig, slowly: None) -> None:
    job = plain.job()
    job.start()
    until(lambda: job.progress().step >= 4)
    assert len(lines_of(job.folder / LOSSES)) >= 2
    job.stop()
    ended(job)


# --- several starts -------------------------------------------------------------------------------------------------


def test_of_several_starts_at_one_moment_one_trains(plain: Rig, slowly: None) -> None:
    for race in range(RACES):
        jobs = [plain.job(output_name=f"race{race}") for _ in range(6)]
        ready = Barrier(len(jobs))

        def start(job: TrainingJob, ready: Barrier = ready) -> str:
            ready.wait()
            try:
                job.start()
            except TrainingError as error:
                return str(error)
            return ""

        with ThreadPoolExecutor(len(jobs)) as pool:
            said = list(pool.map(start, jobs))
        (winner,) = [job for job, words in zip(jobs, said) if not words]
        assert all("this training is" in words and "already" in words for words in said if words), said
        noted = ledger.read(winner.folder)
        assert noted is not None and [one.pid for one in noted.starts] == [process_of(winner)]
        winner.stop()
        assert ended(winner).outcome == "stopped"


def test_after_a_run_the_next_start_finds_no_lock(plain: Rig) -> None:
    assert plain.train(max_train_epochs=1).outcome == "finished"
    assert plain.train(max_train_epochs=2).outcome == "finished"
    assert plain.train(fresh=True, max_train_epochs=1).outcome == "finished"


# --- what lies between a stop and the next start ---------------------------------------------------------------------


def test_an_early_lora_that_is_gone_is_named_and_fails_nothing(plain: Rig) -> None:
    plain.train(max_train_epochs=3)
    (plain.runs / "bag" / "output" / "bag-000001.safetensors").unlink()
    result = plain.train(max_train_epochs=4)
    assert (result.outcome, len(result.loras)) == ("finished", 3)
    assert result.notes == ("the LoRA of epoch 1, bag-000001.safetensors, is gone",)


def test_so_is_one_that_goes_while_the_run_goes_on(plain: Rig, slowly: None) -> None:
    job = plain.job()
    job.start()
    until(lambda: len(job.progress().saved) == 2)
    (job.output / "bag-000001.safetensors").unlink()
    result = ended(job)
    assert (result.outcome, len(result.loras)) == ("finished", 2)
    assert result.notes == ("the LoRA of epoch 1, bag-000001.safetensors, is gone",)


def test_a_run_without_its_last_lora_has_failed(plain: Rig) -> None:
    plain.train()
    (plain.runs / "bag" / "output" / "bag.safetensors").unlink()
    assert results.lost_loras(plain.recipe(), {1, 2, 3}) == {}
    assert results.output_problem(plain.recipe()) == "the LoRA of epoch 3 was not written"


def test_an_epoch_without_its_state_is_trained_once_more_and_told(plain: Rig) -> None:
    plain.train(max_train_epochs=1)
    shutil.rmtree(plain.runs / "bag" / "output" / "bag-state")
    result = plain.train(max_train_epochs=2)
    assert (result.outcome, result.epochs_done) == ("finished", 2)
    assert result.notes == ("epoch 1 was trained once more: its LoRA was there, and no whole state to go on from",)


def test_after_an_extension_the_ledger_names_the_files_that_are_there(plain: Rig) -> None:
    plain.train(max_train_epochs=2)
    plain.train(max_train_epochs=4)
    noted = ledger.read(plain.runs / "bag")
    assert noted is not None
    output = plain.runs / "bag" / "output"
    assert {epoch: one.file for epoch, one in noted.saved.items()} == {
        1: "bag-000001.safetensors",
        2: "bag-000002.safetensors",
        3: "bag-000003.safetensors",
        4: "bag.safetensors",
    }
    assert all((output / one.file).is_file() for one in noted.saved.values())


def test_a_start_whose_end_nobody_wrote_gets_one(plain: Rig) -> None:
    plain.train(max_train_epochs=1)
    noted = ledger.read(plain.runs / "bag")
    assert noted is not None
    noted.starts[-1].outcome, noted.starts[-1].ended, noted.starts[-1].pid = "", "", 2**22 - 3
    noted.write(plain.runs / "bag")
    plain.train(max_train_epochs=2)
    noted = ledger.read(plain.runs / "bag")
    assert noted is not None and [one.outcome for one in noted.starts] == ["stopped", "finished"]
    assert noted.starts[0].ended and "left no word" in noted.starts[0].reason


def test_what_is_published_during_a_run_stays_noted(plain: Rig, slowly: None, tmp_path: Path) -> None:
    job = plain.job()
    job.start()
    until(lambda: (job.output / "bag-000001-state" / "random_states_0.pkl").exists())
    (published,) = publish.publish(job.folder, tmp_path / "Lora", publish.PublishOptions(epochs=(1,)))
    assert ended(job).outcome == "finished"
    noted = ledger.read(job.folder)
    assert noted is not None and list(noted.published) == [str(published.file)] and len(noted.saved) == 3


def test_an_epoch_that_was_not_ended_has_no_loss_at_its_end() -> None:
    losses = [(step, (step - 1) // 4 + 1, 1 / step) for step in range(1, 11)]
    assert epoch_end_losses(losses, 4) == "1: 0.25, 2: 0.125"


# --- the checkpoint -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "changes", "field", "said"),
    [
        ("nothing", {}, "pretrained_model_name_or_path", "there is no file or folder"),
        ("a photograph", {}, "pretrained_model_name_or_path", "is no checkpoint"),
        ("a file that is cut off", {}, "pretrained_model_name_or_path", "cut off"),
        ("a LoRA", {}, "pretrained_model_name_or_path", "is a LoRA and no checkpoint"),
        ("an empty folder", {}, "pretrained_model_name_or_path", "it has no model_index.json"),
        ("SDXL", {"family": "sd15"}, "pretrained_model_name_or_path", "is SDXL, and this recipe trains"),
        ("Flux", {"family": "sd15"}, "pretrained_model_name_or_path", "is Flux"),
        ("SD 2", {}, "v2", "is Stable Diffusion 2.x"),
        ("inpainting", {}, "pretrained_model_name_or_path", "takes 9 channels"),
        ("SD 1", {"v2": True}, "v2", "is Stable Diffusion 1.x"),
        ("a folder of SD 2", {}, "v2", "is Stable Diffusion 2.x"),
        ("a folder of SDXL", {"family": "sd15"}, "pretrained_model_name_or_path", "is SDXL"),
    ],
)
def test_a_wrong_checkpoint_is_refused_before_anything_starts(
    plain: Rig, tmp_path: Path, made: str, changes: dict[str, Any], field: str, said: str
) -> None:
    job = plain.job(pretrained_model_name_or_path=str(make(made, tmp_path)), **changes)
    for ask in (job.prepare, job.start):
        with pytest.raises(RequestError) as caught:
            ask()
        (problem,) = caught.value.problems
        assert problem.field == field and said in str(problem)
    assert not plain.runs.exists()


def make(what: str, folder: Path) -> Path:
    path = folder / "checkpoint.safetensors"
    if what == "a photograph":
        path = folder / "checkpoint.ckpt"
        path.write_bytes(b"\xff\xd8\xff\xe0photograph")
    elif what == "a file that is cut off":
        make_checkpoint_file(path, **unet(768)).write_bytes(path.read_bytes()[:-2])
    elif what == "a LoRA":
        make_checkpoint_file(path, **{"lora_unet_mid_block.lora_up.weight": (2, 4)})
    elif what == "an empty folder":
        path = folder / "checkpoint"
        path.mkdir()
    elif what.startswith("a folder of "):
        return make_checkpoint(folder / "checkpoint", {"SD 2": 1024, "SDXL": 2048}[what.removeprefix("a folder of ")])
    elif what == "inpainting":
        make_checkpoint_file(path, **{"model.diffusion_model.input_blocks.0.0.weight": (2, 9)}, **unet(768))
    elif what == "Flux":
        make_checkpoint_file(path, **{"double_blocks.0.img_attn.qkv.weight": (2, 4)})
    elif what != "nothing":
        make_checkpoint_file(path, **unet({"SD 1": 768, "SD 2": 1024, "SDXL": 2048}[what]))
    return path


@pytest.mark.parametrize(("what", "changes"), [("SD 1", {}), ("SD 2", {"v2": True})])
def test_a_checkpoint_of_the_recipe_s_family_trains(
    plain: Rig, tmp_path: Path, what: str, changes: dict[str, Any]
) -> None:
    path = make(what, tmp_path)
    assert plain.train(pretrained_model_name_or_path=str(path), max_train_epochs=1, **changes).outcome == "finished"


def test_a_name_on_the_hub_is_the_trainer_s_business(plain: Rig) -> None:
    plain.job(pretrained_model_name_or_path="stable-diffusion-v1-5/stable-diffusion-v1-5").prepare()


# --- what is said ---------------------------------------------------------------------------------------------------


def test_a_checkpoint_that_the_hub_has_not_is_not_blamed_on_the_tokenizer(plain: Rig) -> None:
    said = [
        "We couldn't connect to 'https://huggingface.co' to load the files",
        "model is not found as a file or in Hugging Face, perhaps file name is wrong?",
    ]
    reason = diagnosis.explain_failure(said, 1, plain.recipe())
    assert "checkpoint" in reason and "tokenizer" not in reason


@pytest.mark.parametrize(("precision", "advised"), [("no", ()), ("bf16", ()), ("fp16", ("bf16", "no_half_vae"))])
def test_advice_for_nan_fits_the_precision(plain: Rig, precision: str, advised: tuple[str, ...]) -> None:
    told = diagnosis.explain_divergence(plain.recipe(mixed_precision=precision), 7)
    assert "lower unet_lr" in told
    assert [word for word in ("bf16", "no_half_vae") if word in told] == list(advised)
