"""What a run needs: a trainer, photographs, a recipe of few steps."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.training.trainer.runner import TrainingJob, TrainingResult
from lib_prodshot.training.trainer.sd_scripts import Trainer
from tests.training.photographs import TAG, make_folder, picture
from tests.training.trainers import STAND_IN

PATIENCE = 240.0
"""Seconds that a run may take; the real one loads PyTorch first."""


@dataclass(frozen=True)
class Rig:
    """One trainer with all that it needs to train; `steps` are those of an epoch of its recipe."""

    trainer: Trainer
    photographs: Path
    model: Path
    tokenizers: Path
    runs: Path
    is_real: bool
    steps: int = 6

    def recipe(self, **changes: Any) -> Recipe:
        """Six photographs × 2 / 2 = six steps an epoch, three epochs, on the CPU."""
        told = {
            "output_name": "bag",
            "image_dir": str(self.photographs),
            "pretrained_model_name_or_path": str(self.model),
            "tokenizer_cache_dir": str(self.tokenizers),
            "output_dir": str(self.runs),
            "activation_tag": TAG,
            "resolution": 64,
            "min_bucket_reso": 64,
            "max_bucket_reso": 128,
            "num_repeats": 2,
            "max_train_epochs": 3,
            "mixed_precision": "no",
            "optimizer_type": "AdamW",
            "max_data_loader_n_workers": 0,
            "persistent_data_loader_workers": False,
            "lowram": False,
        }
        return Recipe.of({**told, **changes})

    def job(self, fresh: bool = False, force: bool = False, **changes: Any) -> TrainingJob:
        return TrainingJob(self.recipe(**changes), self.trainer, fresh=fresh, force=force)

    def train(self, fresh: bool = False, force: bool = False, **changes: Any) -> TrainingResult:
        """Start and wait for the end."""
        job = self.job(fresh, force, **changes)
        job.start()
        return ended(job)


def stand_in_rig(photographs: Path, runs: Path) -> Rig:
    """A rig with the stand-in, which reads no model: its checkpoint says what it is and holds nothing else."""
    return Rig(STAND_IN, photographs, make_checkpoint(runs.parent / "model"), photographs, runs, is_real=False)


def make_checkpoint(folder: Path, width: int = 768) -> Path:
    """A diffusers folder of a Stable Diffusion whose text embedding has this width, without weights."""
    (folder / "unet").mkdir(parents=True, exist_ok=True)
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (folder / "unet" / "config.json").write_text(json.dumps({"cross_attention_dim": width}))
    return folder


def make_checkpoint_file(path: Path, **shapes: tuple[int, ...]) -> Path:
    """A safetensors file with these tensors, all zero; without any, those by which Stable Diffusion 1.x is told."""
    header, at = {}, 0
    for name, shape in (shapes or unet(768)).items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": [*shape], "data_offsets": [at, at := at + size]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(at))
    return path


def unet(width: int) -> dict[str, tuple[int, ...]]:
    """The tensor that tells a checkpoint's family: its text embedding has this width."""
    return {"model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (2, width)}


def ended(job: TrainingJob) -> TrainingResult:
    result = job.wait(PATIENCE)
    assert result is not None, f"the run did not end: {job.progress()}"
    return result


def broken(folder: Path, kind: str) -> Path:
    make_folder(folder, size=(128, 128))
    if kind == "empty folder":
        for path in folder.iterdir():
            path.unlink()
    elif kind == "empty caption":
        (folder / "1.txt").write_bytes(b"")
    elif kind == "caption not UTF-8":
        (folder / "1.txt").write_bytes(b"caf\xe9")
    else:
        noisy = picture(1, (512, 512))
        noisy.save(folder / "1.jpg", quality=95)
        data = (folder / "1.jpg").read_bytes()
        (folder / "1.jpg").write_bytes(data[: len(data) // 2])
    return folder
