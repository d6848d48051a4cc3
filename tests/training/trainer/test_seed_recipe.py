"""The seed author's training: what his notebook wrote, key for key, and the steps that his 65 photographs make."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.training.dataset import check
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.training.trainer.config_files import dataset_config, flat, training_config
from lib_prodshot.training.trainer.runner import LOG
from tests.training.photographs import TAG, picture
from tests.training.rigs import PATIENCE, Rig, ended

CAPTIONS = ROOT.parent / "shared" / "seed" / "captions.json"
SHAPES = ((1024, 768), (768, 1024), (900, 900), (1280, 720), (720, 1280))
STEPS, EPOCHS = 195, 10

NOTEBOOK_DATASET: dict[str, Any] = {
    "resolution": 768,
    "shuffle_caption": True,
    "keep_tokens": 1,
    "flip_aug": False,
    "caption_extension": ".txt",
    "enable_bucket": True,
    "bucket_reso_steps": 64,
    "bucket_no_upscale": False,
    "min_bucket_reso": 320,
    "max_bucket_reso": 1280,
}
NOTEBOOK_TRAINING: dict[str, Any] = {
    "unet_lr": 2e-4,
    "text_encoder_lr": 4e-5,
    "network_dim": 16,
    "network_alpha": 8,
    "network_module": "networks.lora",
    "lr_scheduler": "cosine_with_restarts",
    "lr_scheduler_num_cycles": 3,
    "lr_warmup_steps": 97,
    "optimizer_type": "AdamW8bit",
    "max_train_epochs": 10,
    "save_every_n_epochs": 1,
    "save_last_n_epochs": 10,
    "train_batch_size": 2,
    "clip_skip": 2,
    "min_snr_gamma": 5.0,
    "weighted_captions": False,
    "seed": 42,
    "max_token_length": 225,
    "xformers": True,
    "max_data_loader_n_workers": 8,
    "save_precision": "fp16",
    "mixed_precision": "fp16",
    "prior_loss_weight": 1.0,
    "cache_latents": True,
}
"""What is known of the two files that the notebook wrote (its published settings)."""

NOT_TAKEN = {"xformers": "sdpa, PyTorch's own, is as sparing, and nothing more has to fit the PyTorch version"}
"""What we leave out of the notebook's training file, and why."""

RESERVED_OPTIONS = {
    "sdpa": "instead of xformers",
    "learning_rate": "sd-scripts' own fall-back; every part that is trained has its rate, so it is the U-Net's",
    "lowram": "the notebook's on its rented card; the model goes straight onto the GPU",
    "persistent_data_loader_workers": "with 8 workers they are kept instead of begun anew in each epoch",
    "output_dir": "a path of this machine",
    "logging_dir": "a path of this machine",
    "output_name": "the run's name",
    "log_prefix": "the run's name",
    "pretrained_model_name_or_path": "a path of this machine; the notebook's was its own copy of SD 1.5",
    "v2": "said in full: SD 1.5 is none",
    "save_model_as": "said in full: the default",
}
"""What stands in our training file beyond what is known of the notebook's, and why."""


@pytest.fixture(scope="module")
def seeds_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """65 photographs of five shapes, with the author's captions where they are at hand."""
    folder = tmp_path_factory.mktemp("seed") / "photos"
    folder.mkdir()
    numbers = {str(number): f"{TAG}, a product on table {number}" for number in range(1, 66)}
    captions = json.loads(CAPTIONS.read_text(encoding="utf-8")) if CAPTIONS.is_file() else numbers
    assert len(captions) == 65
    for number, (name, caption) in enumerate(captions.items()):
        picture(number, SHAPES[number % len(SHAPES)]).save(folder / f"{name}.jpg", quality=90)
        (folder / f"{name}.txt").write_text(caption, encoding="utf-8")
    return folder


def recipe_of(folder: Path) -> Recipe:
    """The shipped defaults; only what no default can know is said."""
    told = {"output_name": TAG, "image_dir": str(folder), "activation_tag": TAG}
    return Recipe.of({**told, "pretrained_model_name_or_path": "v1-5.safetensors"})


def test_the_dataset_file_is_the_notebooks_key_for_key(seeds_folder: Path) -> None:
    written = dataset_config(recipe_of(seeds_folder))
    assert written == {
        "general": NOTEBOOK_DATASET,
        "datasets": [{"subsets": [{"num_repeats": 6, "image_dir": seeds_folder.as_posix()}]}],
    }


def test_up_to_640_pixels_the_buckets_are_the_notebooks_smaller_ones() -> None:
    for resolution, limits in ((512, (256, 1024)), (640, (256, 1024)), (704, (320, 1280))):
        general = dataset_config(Recipe.of({"resolution": resolution}, complete=False))["general"]
        assert (general["min_bucket_reso"], general["max_bucket_reso"]) == limits


def test_the_training_file_is_the_notebooks_key_for_key(seeds_folder: Path) -> None:
    sections = training_config(recipe_of(seeds_folder), STEPS * EPOCHS)
    written = flat(sections)
    assert sum(map(len, sections.values())) == len(written), "a key stands in two sections"
    known = {key: value for key, value in NOTEBOOK_TRAINING.items() if key not in NOT_TAKEN}
    assert {key: written.get(key) for key in known} == known
    assert sorted(set(written) - set(known)) == sorted(RESERVED_OPTIONS)
    assert written["learning_rate"] == written["unet_lr"]


def test_the_steps_are_195_an_epoch_and_1950_in_all(seeds_folder: Path) -> None:
    report = check.check(recipe_of(seeds_folder))
    assert (report.photographs, report.with_repeats) == (65, 390)
    assert (report.steps_per_epoch, report.total_steps) == (STEPS, STEPS * EPOCHS)
    assert len(report.table.buckets) == len(SHAPES) and report.errors == ()
    assert {problem.kind for problem in report.problems} <= {"small", "caption_long"}


def test_sd_scripts_counts_the_same_steps(rig: Rig, seeds_folder: Path) -> None:
    """Far enough for its own lines: the folder read, buckets made, the program about to train."""
    changes = {"resolution": 768, "min_bucket_reso": 0, "max_bucket_reso": 0, "num_repeats": 6, "max_train_epochs": 10}
    job = rig.job(image_dir=str(seeds_folder), cache_latents=False, **changes)
    assert job.prepare().total_steps == STEPS * EPOCHS
    job.start()
    end = time.monotonic() + PATIENCE
    while not job.progress().total_steps and job.is_running and time.monotonic() < end:
        time.sleep(0.02)
    job.stop()
    result = ended(job)
    said = (job.folder / LOG).read_text(encoding="utf-8")
    assert result.outcome == "stopped", (result, said[-2000:])
    assert "num train images * repeats / 学習画像の数×繰り返し回数: 390\n" in said
    assert f"num batches per epoch / 1epochのバッチ数: {STEPS}\n" in said
    assert f"total optimization steps / 学習ステップ数: {STEPS * EPOCHS}\n" in said
