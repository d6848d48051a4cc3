"""A training run: to its end, stopped, resumed twice, diverged, failed. The stand-in and the real sd-scripts alike."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lib_prodshot.errors import RequestError
from lib_prodshot.training import lora
from lib_prodshot.training.dataset import check
from lib_prodshot.training.errors import TrainingError
from lib_prodshot.training.trainer import ledger
from lib_prodshot.training.trainer.losses import epoch_end_losses, read_losses
from lib_prodshot.training.trainer.runner import LOG, TrainingJob
from tests.training.photographs import make_folder
from tests.training.rigs import PATIENCE, Rig, broken, ended


def until(job: TrainingJob, is_true: Callable[[], bool]) -> None:
    """Wait for something to become true of a run that goes on."""
    end = time.monotonic() + PATIENCE
    while not is_true():
        assert job.is_running and time.monotonic() < end, job.progress()
        time.sleep(0.005)


def saved(job: TrainingJob, epoch: int) -> Callable[[], bool]:
    """Whether the state of an epoch is whole: from there a run can go on."""
    return lambda: ledger.last_complete_state(job.output, job.recipe.output_name, job.recipe.max_train_epochs) >= epoch


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves time to stop the stand-in; the real one needs no telling."""
    monkeypatch.setenv("STAND_IN_PAUSE", "0.05")


def test_a_whole_run(rig: Rig) -> None:
    job = rig.job(sample_prompts=["bag --w 64 --h 64 --s 1 --d 1"])
    report = job.prepare()
    job.start()
    seen = set()
    while job.wait(0.02) is None:
        seen.add(job.progress().stage)
    result = ended(job)
    assert (result.outcome, result.reason) == ("finished", "")
    assert (result.epochs_done, result.steps_done) == (3, 3 * rig.steps) == (3, report.total_steps)
    assert [path.name for path in result.loras] == [
        "bag-000001.safetensors",
        "bag-000002.safetensors",
        "bag.safetensors",
    ]
    for epoch, path in enumerate(result.loras, 1):
        found = lora.inspect(path)
        assert found.keys == 3 * found.modules > 0
        assert (found.ranks, found.alphas, found.finite, found.epoch) == ({16}, {8.0}, True, epoch)
        assert found.learned > 0
    assert "training" in seen and not job.is_running
    told = job.progress()
    assert (told.stage, told.epoch, told.epochs, told.step, told.total_steps) == ("done", 3, 3, 18, 18)
    assert [step for step, _, _ in job.losses()] == list(range(1, 19))
    assert read_losses(job.folder) == job.losses()
    assert epoch_end_losses(job.losses(), rig.steps).count(":") == 3
    assert [path.name.partition("_00_")[0] for path in job.samples()] == [f"bag_e{n:06d}" for n in (1, 2, 3)]
    said = (job.folder / LOG).read_text(encoding="utf-8")
    assert f"num batches per epoch / 1epochのバッチ数: {report.steps_per_epoch}\n" in said
    assert f"total optimization steps / 学習ステップ数: {report.total_steps}\n" in said


def test_stopped_and_resumed_twice_the_epochs_and_steps_are_right(rig: Rig, slowly: None) -> None:
    first = rig.job(max_train_epochs=4)
    first.start()
    until(first, saved(first, 1))
    until(first, lambda: first.progress().step > rig.steps)
    first.stop()
    stopped = ended(first)
    assert stopped.outcome == "stopped" and stopped.epochs_done in (1, 2)
    assert "goes on after the last saved epoch" in stopped.reason

    second = rig.job(max_train_epochs=4)
    second.start()
    until(second, lambda: second.progress().epoch == stopped.epochs_done + 1)
    second.stop(after_epoch=True)
    again = ended(second)
    assert (again.outcome, again.epochs_done) == ("stopped", stopped.epochs_done + 1)

    third = rig.job(max_train_epochs=4)
    third.start()
    whole = ended(third)
    assert (whole.outcome, whole.epochs_done, whole.steps_done) == ("finished", 4, 4 * rig.steps)
    assert len(whole.loras) == 4
    assert [lora.inspect(path).epoch for path in whole.loras] == [1, 2, 3, 4]
    steps = [(step, epoch) for step, epoch, _ in read_losses(third.folder)]
    assert steps == [(step, (step - 1) // rig.steps + 1) for step in range(1, 4 * rig.steps + 1)]
    book = ledger.read(third.folder)
    assert book is not None
    assert [start.after_epoch for start in book.starts] == [0, stopped.epochs_done, again.epochs_done]
    assert [start.outcome for start in book.starts] == ["stopped", "stopped", "finished"]
    assert {epoch: one.step for epoch, one in book.saved.items()} == {n: n * rig.steps for n in (1, 2, 3, 4)}
    if not rig.is_real:
        # the stand-in's weights count its steps: none was lost and none made twice
        assert lora_up(whole.loras[-1]) == 4 * rig.steps

    with pytest.raises(TrainingError, match="has its 4 epochs already"):
        rig.job(max_train_epochs=4).start()
    more = rig.train(max_train_epochs=5)
    assert (more.outcome, more.epochs_done, more.steps_done) == ("finished", 5, 5 * rig.steps)
    assert [lora.inspect(path).epoch for path in more.loras] == [1, 2, 3, 4, 5]


def lora_up(path: Path) -> float:
    header = lora.read_header(path)
    begin = next(entry["data_offsets"][0] for name, entry in header.items() if name.endswith("lora_up.weight"))
    data = path.read_bytes()
    import numpy as np

    start = 8 + int.from_bytes(data[:8], "little") + begin
    return float(np.frombuffer(data[start : start + 2], "<f2")[0])


def test_regularisation_and_what_is_done_to_captions(rig: Rig, tmp_path: Path) -> None:
    """As many regularisation pictures as photographs with their repeats; sd-scripts refuses dataset keys it has not."""
    make_folder(tmp_path / "bags", count=12, size=(128, 128), captions=False)
    keys = {"keep_tokens_separator": "|||", "caption_dropout_rate": 0.2, "caption_tag_dropout_rate": 0.3}
    keys |= {"caption_dropout_every_n_epochs": 2, "prior_loss_weight": 0.5}
    result = rig.train(max_train_epochs=1, reg_data_dir=str(tmp_path / "bags"), **keys)
    assert (result.outcome, result.steps_done) == ("finished", 2 * rig.steps), result.reason
    written = (rig.runs / "bag" / "dataset.toml").read_text(encoding="utf-8")
    assert all(f"{name} = " in written for name in keys if name != "prior_loss_weight") and "is_reg = true" in written
    if rig.is_real:
        said = (rig.runs / "bag" / LOG).read_text(encoding="utf-8")
        assert "12 reg images with repeats" in said and "caption_tag_dropout_rate: 0.3" in said


def test_a_run_that_diverges_is_ended_and_keeps_nothing_useless(rig: Rig) -> None:
    result = rig.train(unet_lr=10.0)
    assert result.outcome == "failed" and result.epochs_done == 0
    assert "the loss became NaN at step" in result.reason and "lower unet_lr (10)" in result.reason
    job = rig.job()
    with pytest.raises(RequestError, match="unet_lr"):
        rig.job(unet_lr=11.0).start()
    job.start()
    assert ended(job).outcome == "finished"


@pytest.mark.parametrize(
    ("kind", "refused", "said"),
    [
        ("empty folder", "no photograph in it", "sd-scripts found no photographs"),
        ("empty caption", "caption file is empty", "a caption file is empty"),
        ("caption not UTF-8", "not UTF-8", "a caption is not UTF-8"),
        ("truncated photograph", "ends before its last pixel", "a photograph cannot be decoded"),
    ],
)
def test_a_broken_folder_is_refused_and_when_forced_explained(
    rig: Rig, tmp_path: Path, kind: str, refused: str, said: str
) -> None:
    folder = broken(tmp_path / "broken", kind)
    with pytest.raises(TrainingError, match=refused):
        rig.job(image_dir=str(folder)).start()
    assert not rig.runs.exists()
    result = rig.train(force=True, image_dir=str(folder))
    assert result.outcome == "failed" and result.loras == ()
    assert said in result.reason and "\n" not in result.reason and "Traceback" not in result.reason


def test_another_training_is_refused_by_its_settings_and_set_aside_by_fresh(rig: Rig, tmp_path: Path) -> None:
    rig.train(max_train_epochs=1)
    with pytest.raises(TrainingError, match=r"network_dim: 16 → 4; train_batch_size: 2 → 1.*--fresh"):
        rig.job(max_train_epochs=2, network_dim=4, train_batch_size=1).start()
    result = rig.train(fresh=True, max_train_epochs=1, network_dim=4)
    assert result.outcome == "finished" and lora.inspect(result.loras[0]).ranks == {4}
    assert lora.inspect(rig.runs / "bag.1" / "output" / "bag.safetensors").ranks == {16}
    more = make_folder(tmp_path / "more", count=8, size=(128, 128))
    with pytest.raises(TrainingError, match="image_dir"):
        rig.job(max_train_epochs=2, network_dim=4, image_dir=str(more)).start()


def test_a_second_start_beside_a_running_one_is_refused(rig: Rig, slowly: None) -> None:
    job = rig.job()
    job.start()
    with pytest.raises(TrainingError, match=r"running already \(process \d+\)"):
        rig.job().start()
    job.stop()
    assert ended(job).outcome == "stopped"
    assert job._process is not None and not psutil.pid_exists(job._process.pid)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_trainer_that_is_killed_is_told_and_the_run_goes_on(rig: Rig, slowly: None) -> None:
    job = rig.job()
    job.start()
    until(job, saved(job, 1))
    assert job._process is not None
    os.kill(job._process.pid, signal.SIGKILL)
    result = ended(job)
    assert result.outcome == "failed" and result.epochs_done >= 1
    assert "the system ended it, most often for lack of main memory" in result.reason
    assert rig.train().steps_done == 3 * rig.steps


# --- what needs no real program -------------------------------------------------------------------------------------


def test_we_ourselves_were_killed_and_go_on(plain: Rig) -> None:
    plain.train(max_train_epochs=2)
    book = ledger.read(plain.runs / "bag")
    assert book is not None
    book.starts[-1].outcome, book.starts[-1].pid = "", 2**22 - 3
    book.write(plain.runs / "bag")
    assert plain.train(max_train_epochs=3).steps_done == 18


def test_a_state_that_is_half_written_is_not_resumed_from(plain: Rig) -> None:
    plain.train(max_train_epochs=3)
    states = plain.runs / "bag" / "output"
    random_states = states / "bag-state" / "random_states_0.pkl"
    random_states.write_bytes(random_states.read_bytes()[:40])
    assert ledger.last_complete_state(states, "bag", 3) == 2
    (states / "bag-000002-state" / "train_state.json").write_text(json.dumps({"current_epoch": 1}))
    assert ledger.last_complete_state(states, "bag", 3) == 1


def test_the_folder_changed_behind_the_check(plain: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "changing", count=4, size=(128, 128))
    whole = check.check

    def then_more(*arguments: object) -> object:
        report = whole(*arguments)  # type: ignore[arg-type]
        make_folder(folder, count=6, size=(128, 128))
        return report

    monkeypatch.setattr(check, "check", then_more)
    result = plain.train(image_dir=str(folder))
    assert result.outcome == "failed" and "counts 18 steps and Prodshot 12" in result.reason


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"mixed_precision": "fp16"}, "mixed_precision"),
        ({"optimizer_type": "AdamW8bit"}, "optimizer_type"),
        ({"attention": "xformers"}, "attention"),
        ({"extra": {"max_grad_nrom": 1.0}}, "did you mean max_grad_norm"),
        ({"extra": {"max_grad_norm": "much"}}, "extra.max_grad_norm"),
        ({"extra": {"resume": "x"}}, "extra.resume"),
        ({"extra": {"loss_type": "l3"}}, "l2"),
    ],
)
def test_what_the_trainer_cannot_do_is_refused_before_anything_starts(
    plain: Rig, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(RequestError, match=field):
        plain.job(**changes).start()
    assert not plain.runs.exists()


def test_an_extra_option_goes_through(plain: Rig) -> None:
    result = plain.train(max_train_epochs=1, extra={"max_grad_norm": 0.5, "loss_type": "huber"})
    assert result.outcome == "finished"
    assert "max_grad_norm = 0.5" in (plain.runs / "bag" / "training.toml").read_text(encoding="utf-8")


def test_a_folder_that_is_something_else_is_left_alone(plain: Rig) -> None:
    (plain.runs / "bag").mkdir(parents=True)
    (plain.runs / "bag" / "diary.txt").write_text("dear")
    for fresh in (False, True):
        with pytest.raises(TrainingError, match="something else than a training run"):
            plain.job(fresh=fresh).start()
    assert (plain.runs / "bag" / "diary.txt").read_text() == "dear"
