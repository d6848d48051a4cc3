"""Stands in for sd-scripts v0.10.1 where it is not installed: says what it says, writes the files that it writes,
ends as it ends. It trains nothing: the "weights" count the steps that were made.

`test_runner.py` puts it and the real program through the same tests, and `test_stand_in.py` holds its words against
the recorded ones. Pauses between steps: STAND_IN_PAUSE, in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
import time
import zipfile
from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

HERE = Path(__file__).parent
RECORDED = json.loads((HERE.parent / "recorded" / "options.json").read_text(encoding="utf-8"))
PROGRAM = "train_network.py"
"""The program that it stands in for; `sdxl_train_network.py` and `flux_train_network.py` beside it name theirs."""

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".PNG", ".JPG", ".JPEG", ".WEBP", ".BMP")
PAUSE = float(os.environ.get("STAND_IN_PAUSE", "0.01"))
MODULES = {
    "lora_te_text_model_encoder_layers_0_mlp_fc1": (64, 128),
    "lora_unet_mid_block_attentions_0_proj_in": (32, 32),
}
BASES = {"train_network.py": "sd_v1", "sdxl_train_network.py": "sdxl_base_v1-0", "flux_train_network.py": "flux1"}
"""What the real programs write into a LoRA of the model that it is for."""

DIVERGING = 1.0
"""A learning rate from which the loss becomes NaN, as the real one's does at 10."""


def setup_parser(program: str = PROGRAM) -> argparse.ArgumentParser:
    """The options of the real program: the others have all of `train_network.py`'s, and more."""
    parser = argparse.ArgumentParser()
    for name, option in {**RECORDED[PROGRAM], **RECORDED[program]}.items():
        if name == "help":
            continue
        kind = {"int": int, "float": float}.get(option["type"], str)
        told = {"action": "store_true"} if option["flag"] else {"type": kind, "default": None}
        if option["many"]:
            told["nargs"] = "*"
        if option["choices"]:
            told["choices"] = option["choices"]
        parser.add_argument(f"--{name}", **told)
    return parser


def say(text: str) -> None:
    print(text, flush=True)


def read_options(program: str = PROGRAM) -> argparse.Namespace:
    """The command line over the training file, whose sections are joined and whose unknown keys are taken too."""
    options = setup_parser(program).parse_args()
    options.program = program
    with open(options.config_file, "rb") as file:  # noqa: PTH123
        told = tomllib.load(file)
    joined = {key: value for section in told.values() for key, value in section.items()}
    for name, value in joined.items():
        if getattr(options, name, None) in (None, False):
            setattr(options, name, value)
    return options


def load_dataset(options: argparse.Namespace) -> tuple[int, int]:
    """Images with repeats, and batches an epoch; raises what the real one raises."""
    with open(options.dataset_config, "rb") as file:  # noqa: PTH123
        told = tomllib.load(file)
    counts: dict[tuple[int, int], int] = {}
    say("prepare images.")
    for subset in told["datasets"][0]["subsets"]:
        folder = Path(subset["image_dir"])
        images = sorted(path for path in folder.iterdir() if path.suffix in EXTENSIONS)
        say("get image size from name of cache files")
        say(f"set image size from cache files: 0/{len(images)}")
        say(f"found directory {folder} contains {len(images)} image files")
        for path in images:
            read_caption(path.with_suffix(told["general"]["caption_extension"]))
            size = size_of(path)
            counts[size] = counts.get(size, 0) + subset["num_repeats"]
    total = sum(counts.values())
    for line in dataset_lines(told, total):
        say(line)
    say("number of images (including repeats) / 各bucketの画像枚数（繰り返し回数を含む）")
    for number, count in enumerate(counts.values()):
        say(f"bucket {number}: resolution {(told['general']['resolution'],)} , count: {count}")
    say(f"mean ar error (without repeats): {0.0 if counts else 0}")
    return total, sum(-(-count // options.train_batch_size) for count in counts.values())


def dataset_lines(told: dict, total: int) -> list[str]:
    general, subset = told["general"], told["datasets"][0]["subsets"][0]
    shown = {
        name: general[name]
        for name in ("enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale")
    }
    return [
        f"{total} train images with repeats.",
        "0 reg images with repeats.",
        "no regularization images / 正則化画像が見つかりませんでした",
        "[Dataset 0]",
        *(f"  {name}: {value}" for name, value in shown.items()),
        "  [Subset 0 of Dataset 0]",
        f'    image_dir: "{subset["image_dir"]}"',
        f"    num_repeats: {subset['num_repeats']}",
        "[Prepare dataset 0]",
        "loading image sizes.",
        "make buckets",
    ]


def read_caption(path: Path) -> None:
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            lines = file.readlines()
        assert len(lines) > 0, f"caption file is empty / キャプションファイルが空です: {path}"


def size_of(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as image:
        return image.size


def cache_latents(options: argparse.Namespace) -> None:
    """Decodes every picture, and fails for one that is cut off."""
    from PIL import Image

    say("[Dataset 0]")
    say("caching latents with caching strategy.")
    say("caching latents...")
    with open(options.dataset_config, "rb") as file:  # noqa: PTH123
        subsets = tomllib.load(file)["datasets"][0]["subsets"]
    paths = [path for one in subsets for path in sorted(Path(one["image_dir"]).iterdir()) if path.suffix in EXTENSIONS]
    for number, path in enumerate(paths, 1):
        with Image.open(path) as image:
            image.load()
        bar("", number, len(paths))
    end_of_bar()


def bar(name: str, done: int, total: int, rest: str = "") -> None:
    title = f"{name}: " if name else ""
    percent = 100 * done // total
    sys.stderr.write(
        f"\r{title}{percent:3d}%|{'█' * (percent // 10):<10}| {done}/{total} [00:01<00:02,  2.15it/s{rest}]"
    )
    sys.stderr.flush()


def end_of_bar() -> None:
    sys.stderr.write("\n")
    sys.stderr.flush()


def write_tensors(path: Path, options: argparse.Namespace, value: float, epoch: int) -> None:
    """A LoRA in the safetensors format: three keys a module, 16-bit numbers."""
    header: dict = {"__metadata__": {"ss_epoch": str(epoch), "ss_network_dim": str(options.network_dim)}}
    header["__metadata__"]["ss_base_model_version"] = BASES[options.program]
    data = b""
    for module, (wide, high) in MODULES.items():
        tensors = {
            "alpha": ([], [options.network_alpha]),
            "lora_down.weight": ([options.network_dim, wide], [0.5] * (options.network_dim * wide)),
            "lora_up.weight": ([high, options.network_dim], [value] * (high * options.network_dim)),
        }
        for part, (shape, numbers) in tensors.items():
            packed = struct.pack(f"<{len(numbers)}e", *numbers)
            header[f"{module}.{part}"] = {
                "dtype": "F16",
                "shape": shape,
                "data_offsets": [len(data), len(data) + len(packed)],
            }
            data += packed
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def save_lora(options: argparse.Namespace, name: str, value: float, epoch: int) -> None:
    path = Path(options.output_dir) / name
    end_of_bar()
    say(f"saving checkpoint: {path}")
    write_tensors(path, options, value, epoch)


def save_state(options: argparse.Namespace, name: str, value: float, epoch: int, step: int) -> None:
    folder = Path(options.output_dir) / name
    folder.mkdir(parents=True, exist_ok=True)
    say(f"Saving current state to {folder}")
    say(f"save train state to {folder / 'train_state.json'} at epoch {epoch} step {step}")
    (folder / "train_state.json").write_text(json.dumps({"current_epoch": epoch, "current_step": step}))
    write_tensors(folder / "model.safetensors", options, value, epoch)
    say(f"Model weights saved in {folder / 'model.safetensors'}")
    for file, words in (
        ("optimizer.bin", "Optimizer state saved in"),
        ("scheduler.bin", "Scheduler state saved in"),
        ("random_states_0.pkl", "Random states saved in"),
    ):
        with zipfile.ZipFile(folder / file, "w") as archive:
            archive.writestr("data.pkl", repr(value))
        say(f"{words} {folder / file}")


def load_state(options: argparse.Namespace) -> float:
    """The weights of a saved state, which are its steps."""
    folder = Path(options.resume)
    told = json.loads((folder / "train_state.json").read_text())
    say(f"resume training from local state: {folder}")
    say(f"Loading states from {folder}")
    say(f"load train state from {folder / 'train_state.json'}: {told}")
    with zipfile.ZipFile(folder / "optimizer.bin") as archive:
        return float(archive.read("data.pkl").decode())


def remove_old(options: argparse.Namespace, epoch: int) -> None:
    old = Path(options.output_dir) / f"{options.output_name}-{epoch - options.save_last_n_epochs:06d}.safetensors"
    if old.exists():
        say(f"removing old checkpoint: {old}")
        old.unlink()
    number = epoch - options.save_last_n_epochs_state
    state = Path(options.output_dir) / f"{options.output_name}-{number:06d}-state"
    if state.exists():
        say(f"removing old state: {state}")
        for path in state.iterdir():
            path.unlink()
        state.rmdir()


def sample(options: argparse.Namespace, epoch: int, step: int) -> None:
    """One picture a prompt, as sd-scripts names them."""
    if not options.sample_prompts or epoch % options.sample_every_n_epochs:
        return
    from PIL import Image

    end_of_bar()
    say(f"generating sample images at step / サンプル画像生成 ステップ: {step}")
    folder = Path(options.output_dir) / "sample"
    folder.mkdir(exist_ok=True)
    for number, prompt in enumerate(Path(options.sample_prompts).read_text(encoding="utf-8").splitlines()):
        say(f"prompt: {prompt}")
        name = f"{options.output_name}_e{epoch:06d}_{number:02d}_20260101000000_42.png"
        Image.new("RGB", (64, 64), (epoch * 20 % 256, 90, 90)).save(folder / name)


def train(options: argparse.Namespace) -> None:
    """The real one's order of things."""
    say("Using v1 tokenizer")
    say(f"load tokenizer from cache: {options.tokenizer_cache_dir}/openai_clip-vit-large-patch14")
    say(f"Loading dataset config from {options.dataset_config}")
    images, batches = load_dataset(options)
    if not images:
        say("No data found. Please verify arguments (train_data_dir must be the parent of folders with images)")
        return
    say("preparing accelerator")
    say("accelerator device: cpu")
    say("loading model for process 0/1")
    say(f"load Diffusers pretrained models: {options.pretrained_model_name_or_path}")
    cache_latents(options)
    say("import network module: networks.lora")
    say(f"create LoRA network. base dim (rank): {options.network_dim}, alpha: {options.network_alpha}")
    say("prepare optimizer, data loader etc.")
    epochs, last = options.max_train_epochs, options.output_name
    gathered = options.gradient_accumulation_steps or 1
    steps = -(-batches // gathered)
    say(f"override steps. steps for {epochs} epochs is / 指定エポックまでのステップ数: {steps * epochs}")
    weights = load_state(options) if options.resume else 0.0
    first = options.initial_epoch or 1
    for line in (
        "running training / 学習開始",
        f"  num train images * repeats / 学習画像の数×繰り返し回数: {images}",
        "  num validation images * repeats / 学習画像の数×繰り返し回数: 0",
        "  num reg images / 正則化画像の数: 0",
        f"  num batches per epoch / 1epochのバッチ数: {batches}",
        f"  num epochs / epoch数: {epochs}",
        f"  batch size per device / バッチサイズ: {options.train_batch_size}",
        f"  gradient accumulation steps / 勾配を合計するステップ数 = {gathered}",
        f"  total optimization steps / 学習ステップ数: {steps * epochs}",
    ):
        say(line)
    Path(options.output_dir).mkdir(parents=True, exist_ok=True)
    bar("steps", 0, steps * epochs, "")
    done = 0
    rate = max(options.unet_lr, options.text_encoder_lr)
    for epoch in range(first, epochs + 1):
        end_of_bar()
        say(f"epoch {epoch}/{epochs}")
        say(f"epoch is incremented. current_epoch: {0 if epoch == first else epoch - 1}, epoch: {epoch}")
        for _ in range(steps):
            time.sleep(PAUSE)
            done += 1
            weights += 1.0
            diverged = rate >= DIVERGING and done >= 5
            weights = float("nan") if diverged else weights
            loss = "nan" if diverged else f"{1 / (1 + weights / 100):.3g}"
            bar("steps", done, steps * epochs, f", avr_loss={loss}")
        if epoch % options.save_every_n_epochs == 0 and epoch < epochs:
            save_lora(options, f"{last}-{epoch:06d}.safetensors", weights, epoch)
            say(f"saving state at epoch {epoch}")
            # the step in it is this start's own: why a second resume by it goes wrong
            save_state(options, f"{last}-{epoch:06d}-state", weights, epoch, done)
            remove_old(options, epoch)
        sample(options, epoch, done)
    end_of_bar()
    say("saving last state.")
    save_state(options, f"{last}-state", weights, epochs, done)
    save_lora(options, f"{last}.safetensors", weights, epochs)
    say("model saved.")


if __name__ == "__main__":
    train(read_options())
