"""The recipe: every setting of a training run with its default, range and help.

The defaults are the seed author's (his notebook for the ppzocketv2 LoRA: 65 photographs × 6 repeats, batch 2, ten
epochs); `families` says where other models than his have others. Settings that sd-scripts knows have sd-scripts' names,
so that its documentation holds for them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.products import parse_products
from lib_prodshot.training.recipe.families import AUTO, FAMILIES, Family, family_of, read_family
from lib_prodshot.training.recipe.settings import RecipeSetting, check_values, setting, settings_of

CAPTION_DROPOUTS = ("caption_dropout_rate", "caption_dropout_every_n_epochs", "caption_tag_dropout_rate")

INVALID_NAME = re.compile(r"[\s.()\[\]{}\"'\\/:<>|?*\x00-\x1f]")
"""What an output name may not hold: the notebook's rule (spaces, dots, quotes, brackets, slashes), and what a file
name or `<lora:NAME:1>` cannot carry."""

REG_REPEATS = 1
"""Repeats of a regularisation folder whose name has none: sd-scripts' own default. More would use fewer of them."""

SMALL_RESOLUTION = 640
"""Up to this resolution the seed's buckets run from 256 to 1024 pixels, above it from 320 to 1280."""

OPTIMIZERS = (
    *("AdamW8bit", "AdamW", "PagedAdamW8bit", "Lion", "Lion8bit", "PagedLion8bit", "Prodigy", "AdaFactor"),
    *("SGDNesterov", "SGDNesterov8bit"),
)
SCHEDULERS = ("cosine_with_restarts", "cosine", "linear", "polynomial", "constant", "constant_with_warmup")
TIMESTEP_SAMPLINGS = ("flux_shift", "shift", "sigmoid", "uniform", "sigma")
SAMPLERS = ("ddim", "euler", "euler_a", "heun", "dpmsolver", "dpmsolver++", "dpm_2", "dpm_2_a", "pndm", "lms")

SECTIONS = ("dataset", "model", "network", "optimizer", "training", "saving", "samples", "machines")
"""The groups of settings, in the order in which they are shown."""

_dataset, _model, _network, _optimizer, _training, _saving, _samples, _machines = (
    partial(setting, section=name) for name in SECTIONS
)


@dataclass(frozen=True)
class Subset:
    """One folder of photographs."""

    image_dir: str
    num_repeats: int = 6
    is_reg: bool = _dataset(False, help="Regularisation pictures, repeated until they balance the others.")
    class_tokens: str = _dataset("", help="The caption of photographs that have none.")


@dataclass(frozen=True)
class Recipe:
    """One training run. Immutable; make it with `Recipe.of`, which refuses unknown names and wrong values."""

    output_name: str = _saving(
        "",
        required=True,
        help="Name of the LoRA: NAME-01.safetensors and so on; no spaces, dots, quotes, brackets or slashes.",
    )
    image_dir: str = _dataset("", path=True, required=True, label="Folder", help="Folder of photographs and captions.")
    pretrained_model_name_or_path: str = _model(
        "",
        path=True,
        required=True,
        label="Checkpoint",
        help="Checkpoint to train on, Stable Diffusion 1.x or 2.x, SDXL or FLUX.1: a file or a diffusers folder "
        "(Flux: a file; the seed: SD 1.5).",
    )
    family: str = _model(
        AUTO,
        choices=(AUTO, *FAMILIES),
        label="Family",
        help="Family of models: auto reads it from the checkpoint; sd15 is Stable Diffusion 1.x, with v2 also 2.x.",
    )
    activation_tag: str = _dataset(
        "", help="The word that calls the LoRA, first in every caption; several with commas."
    )
    num_repeats: int = _dataset(
        6, span=(1, 1000, 1), label="Repeats", help="How often each photograph is used an epoch."
    )
    max_train_epochs: int = _training(10, span=(1, 1000, 1), label="Epochs", help="How many epochs to train.")
    train_batch_size: int = _training(
        2, span=(1, 64, 1), label="Batch size", help="Photographs a step. Larger is faster and needs more memory."
    )
    resolution: int = _dataset(
        768, span=(64, 2048, 64), unit="pixels", help="Training size: side of the square of same area."
    )

    output_dir: str = _saving("prodshot-training", path=True, help="Runs are kept here, each in a folder of its name.")
    save_every_n_epochs: int = _saving(1, span=(1, 1000, 1), help="Keep a LoRA every so many epochs.")
    save_last_n_epochs: int = _saving(10, span=(1, 1000, 1), help="Keep only the last so many LoRAs.")
    save_last_n_epochs_state: int = _saving(
        2, span=(1, 100, 1), help="Keep the last so many states to resume from (some 110 MB each)."
    )
    save_precision: str = _saving("fp16", choices=("fp16", "bf16", "float"), help="Number format of the saved LoRA.")

    shuffle_caption: bool = _dataset(True, help="Shuffle the parts of a caption between the commas.")
    keep_tokens: int = _dataset(
        1, span=(0, 20, 1), help="This many first parts of a caption stay in place: the activation tag."
    )
    keep_tokens_separator: str = _dataset(
        "", help="Instead: parts before this sign stay in place ('ppzocketv2, bag ||| on a table'); empty: none."
    )
    caption_dropout_rate: float = _dataset(
        0.0, span=(0, 1, 0.05), help="Share of the steps in which a photograph is trained without its caption."
    )
    caption_dropout_every_n_epochs: int = _dataset(
        0, span=(0, 1000, 1), help="Train without captions in every so many epochs; 0: never."
    )
    caption_tag_dropout_rate: float = _dataset(
        0.0, span=(0, 1, 0.05), help="Share of a caption's parts that is left out of a step, but for those kept."
    )
    flip_aug: bool = _dataset(False, help="Also use mirrored photographs; not where writing shows.")
    caption_extension: str = _dataset(".txt", help="Captions are files of the photograph's name with this.")
    enable_bucket: bool = _dataset(True, help="Group photographs by shape instead of cropping squares.")
    bucket_reso_steps: int = _dataset(64, span=(64, 256, 64), unit="pixels", help="Bucket sides are multiples of this.")
    bucket_no_upscale: bool = _dataset(False, help="Never enlarge a photograph to fill its bucket.")
    min_bucket_reso: int = _dataset(
        0, span=(0, 2048, 64), unit="pixels", help="Shortest bucket side; 0: 320 (256 up to 640)."
    )
    max_bucket_reso: int = _dataset(
        0, span=(0, 4096, 64), unit="pixels", help="Longest bucket side; 0: 1280 (1024 up to 640)."
    )
    cache_latents: bool = _dataset(True, help="Encode each photograph once before training.")
    cache_text_encoder_outputs: bool = _dataset(
        False,
        help="Encode each caption once before training (SDXL, Flux): saves memory, and captions stay as they are.",
    )
    masked_loss: bool = _dataset(
        False, help="Learn from the product and not from what lies around it: masks weigh the loss."
    )
    products: str = _dataset(
        "", help="With masked_loss: what the finder looks for in each photograph ('handbag, shoe: sneaker | trainer')."
    )
    finder: str = _dataset(
        "auto",
        choices=("auto", "lite", "langsam"),
        help="Which finder to use: auto takes LangSAM when its weights are present, else the lite finder.",
    )
    conditioning_data_dir: str = _dataset(
        "",
        path=True,
        label="Own masks",
        help="With masked_loss: a folder of your own masks by the photographs' names; white is learned, black is not.",
    )
    mask_grow: float = _dataset(
        0.01, span=(0, 0.5, 0.01), help="Grow the finder's masks by this share of the longer side: the loss is coarse."
    )
    unmasked_weight: float = _dataset(
        0.0, span=(0, 1, 0.05), help="Weight of what lies outside the masks; 0: nothing is learned from it."
    )
    reg_data_dir: str = _dataset(
        "",
        path=True,
        label="Regularisation folder",
        help="Pictures of the product's kind, to keep the LoRA from taking over: a folder, or one with N_name folders.",
    )
    prior_loss_weight: float = _dataset(1.0, span=(0, 10, 0.1), help="Weight of regularisation pictures.")

    vae: str = _model("", path=True, help="Another VAE than the checkpoint's own; empty: its own.")
    no_half_vae: bool = _model(False, help="The VAE computes in full precision (SDXL's own gives black in fp16).")
    clip_l: str = _model("", path=True, label="CLIP-L", help="Flux: the file of its first text encoder.")
    t5xxl: str = _model("", path=True, label="T5-XXL", help="Flux: the file of its second text encoder.")
    ae: str = _model("", path=True, label="Autoencoder", help="Flux: the file of its autoencoder.")
    v2: bool = _model(False, help="The checkpoint is a Stable Diffusion 2.x.")
    v_parameterization: bool = _model(False, help="The checkpoint predicts v (2.x at 768 pixels).")
    tokenizer_cache_dir: str = _model(
        "",
        path=True,
        help="Folder with the tokenizers (openai_clip-vit-large-patch14; SDXL and Flux: a second one), to train "
        "without a network.",
    )
    clip_skip: int = _model(
        2, span=(0, 12, 1), help="Use the text encoder's output of this layer from the end; 0: last."
    )
    max_token_length: int = _model(225, span=(75, 225, 75), unit="tokens", help="Longest caption.")

    network_module: str = _network(
        "networks.lora", choices=("networks.lora",), help="Kind of network: LoRA; Flux gets networks.lora_flux."
    )
    network_dim: int = _network(16, span=(1, 1024, 1), help="Rank of the LoRA.")
    network_alpha: float = _network(8.0, span=(0.01, 1024, 1), help="Scale of the LoRA: alpha / rank.")
    network_args: tuple[str, ...] = _network(
        (), many=True, help="More for the network, 'conv_dim=8' and 'conv_alpha=4' for a LoCon."
    )
    network_weights: str = _network("", path=True, help="Start from this LoRA.")

    unet_lr: float = _optimizer(
        2e-4, span=(0, 10, 1e-5), label="U-Net learning rate", help="Learning rate of the U-Net; 0: it is not trained."
    )
    text_encoder_lr: float = _optimizer(
        4e-5,
        span=(0, 10, 1e-5),
        label="Text encoder learning rate",
        help="Learning rate of the text encoder; 0: it is not trained.",
    )
    optimizer_type: str = _optimizer("AdamW8bit", choices=OPTIMIZERS, help="Optimizer.")
    optimizer_args: tuple[str, ...] = _optimizer((), many=True, help="More for it, 'weight_decay=0.01'.")
    lr_scheduler: str = _optimizer("cosine_with_restarts", choices=SCHEDULERS, help="How the learning rate changes.")
    lr_scheduler_num_cycles: int = _optimizer(3, span=(1, 100, 1), help="Cycles of cosine_with_restarts.")
    lr_scheduler_power: float = _optimizer(1.0, span=(0.1, 10, 0.1), help="Power of polynomial.")
    lr_warmup_ratio: float = _optimizer(0.05, span=(0, 0.5, 0.01), help="Share of the steps to warm up.")
    min_snr_gamma: float = _optimizer(5.0, span=(0, 20, 0.5), help="Min-SNR weighting; 0: off.")
    guidance_scale: float = _training(
        1.0, span=(0, 100, 0.1), help="Flux: guidance that is told to the model; 1 for training."
    )
    timestep_sampling: str = _training(
        "flux_shift", choices=TIMESTEP_SAMPLINGS, help="Flux: how timesteps are drawn; flux_shift: as for a picture."
    )
    discrete_flow_shift: float = _training(
        3.1582, span=(0.1, 20, 0.1), help="Flux: the shift of timestep_sampling shift."
    )
    model_prediction_type: str = _training(
        "raw", choices=("raw", "additive", "sigma_scaled"), help="Flux: how its prediction is read; raw: as it is."
    )
    noise_offset: float = _optimizer(0.0, span=(0, 1, 0.01), help="Noise offset; 0: off.")
    weighted_captions: bool = _dataset(False, help="Read (word:1.2) in captions as weights.")

    gradient_accumulation_steps: int = _training(
        1, span=(1, 64, 1), help="Batches gathered into one step: a larger batch in less memory."
    )
    gradient_checkpointing: bool = _training(False, help="Save memory, some 30 % slower.")
    blocks_to_swap: int = _training(
        0, span=(0, 35, 1), help="Flux: this many blocks wait in the main memory; slower, in less GPU memory."
    )
    fp8_base: bool = _training(False, help="Keep the model in 8 bits while the LoRA trains: half the memory.")
    mixed_precision: str = _training("fp16", choices=("fp16", "bf16", "no"), help="Number format.")
    attention: str = _training(
        "sdpa",
        choices=("sdpa", "xformers", "plain"),
        help="Attention: sdpa is PyTorch's own, as sparing as xformers and nothing more to install.",
    )
    seed: int = _training(42, span=(0, 2**32 - 1, 1), help="Seed of the run.")
    lowram: bool = _training(True, help="Load the model straight onto the GPU, past the main memory.")
    max_data_loader_n_workers: int = _training(8, span=(0, 64, 1), help="Processes that read pictures.")
    persistent_data_loader_workers: bool = _training(True, help="Keep them from epoch to epoch.")

    sample_prompts: tuple[str, ...] = _samples(
        (), many=True, help="Make these pictures as training goes ('bag --w 512 --h 512 --d 42')."
    )
    sample_every_n_epochs: int = _samples(1, span=(1, 1000, 1), help="Every so many epochs.")
    sample_sampler: str = _samples("ddim", choices=SAMPLERS, help="Sampler of the sample pictures.")

    processes: int = _machines(1, span=(1, 64, 1), help="GPUs in all, over all machines.")
    machines: int = _machines(1, span=(1, 64, 1), help="Machines that train together.")
    machine_rank: int = _machines(0, span=(0, 63, 1), help="Which of them this one is; 0 leads.")
    main_process_ip: str = _machines("", help="Address of the machine that leads.")
    main_process_port: int = _machines(0, span=(0, 65535, 1), help="Its port; 0: accelerate chooses.")
    num_cpu_threads_per_process: int = _machines(1, span=(1, 256, 1), help="Threads a process.")
    step_limit: int = _training(
        10_000, span=(0, 1_000_000, 1), help="Refuse longer runs (a slip of the pen); 0: no limit."
    )

    subsets: tuple[Subset, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any], complete: bool = True) -> Recipe:
        """A recipe from named values; `subsets` is a list of tables, `extra` a table of further sd-scripts options.

        Raises `RequestError` naming every unknown or wrong setting; with `complete`, also those still missing.
        """
        plain = {name: value for name, value in values.items() if name not in ("subsets", "extra")}
        accepted, problems = check_values(SETTINGS, plain)
        subsets, wrong = _read_subsets(values.get("subsets", ()))
        problems += wrong
        extra = values.get("extra", {})
        if not isinstance(extra, Mapping):
            problems.append(FieldProblem("extra", "is not a table", "sd-scripts' own options"))
            extra = {}
        if problems:
            raise RequestError(problems)
        made = cls(**accepted, subsets=subsets, extra=dict(extra))
        problems = [*made._check_together(), *(made._missing() if complete else ())]
        if problems:
            raise RequestError(problems)
        return made

    def replace(self, **changes: Any) -> Recipe:
        """A copy with some settings changed, checked like any other."""
        return Recipe.of({**self.to_dict(), **changes})

    def to_dict(self, only_changed: bool = False) -> dict[str, Any]:
        """All settings by name as TOML and JSON can hold them; `only_changed` leaves out those at their default."""
        values: dict[str, Any] = {}
        for known in SETTINGS:
            value = getattr(self, known.name)
            if not only_changed or value != known.default:
                values[known.name] = list(value) if known.many else value
        if self.subsets:
            values["subsets"] = [dataclasses.asdict(subset) for subset in self.subsets]
        if self.extra:
            values["extra"] = dict(self.extra)
        return values

    @property
    def all_subsets(self) -> tuple[Subset, ...]:
        """Every folder of photographs: `image_dir` first, then `subsets`, and the regularisation pictures last."""
        regularisation = (Subset(self.reg_data_dir, REG_REPEATS, is_reg=True),) if self.reg_data_dir else ()
        return (Subset(self.image_dir, self.num_repeats), *self.subsets, *regularisation)

    @property
    def model(self) -> Family:
        """The family of models that is trained; Stable Diffusion 1.x until one is named or read."""
        return family_of(self.family)

    @property
    def tags(self) -> tuple[str, ...]:
        """The activation tags, each alone."""
        return tuple(part.strip() for part in self.activation_tag.split(",") if part.strip())

    @property
    def longest_caption(self) -> int:
        """Tokens of a caption that count."""
        return self.model.caption_tokens or self.max_token_length

    @property
    def bucket_limits(self) -> tuple[int, int]:
        """Shortest and longest bucket side in pixels, the seed's where they are not set."""
        small = self.resolution <= SMALL_RESOLUTION
        return (
            self.min_bucket_reso or min(256 if small else 320, self.resolution),
            self.max_bucket_reso or max(1024 if small else 1280, self.resolution),
        )

    @property
    def run_dir(self) -> Path:
        """The folder of this run: recipe, logs, states and LoRAs."""
        return Path(self.output_dir) / self.output_name

    def _family_problems(self) -> Iterator[FieldProblem]:
        """What does not go with the family: settings that its program does not read, or not together."""
        model = self.model
        for known in SETTINGS:
            if known.name in model.unused and getattr(self, known.name) != known.default:
                message = f"the training of {model.title} does not use it"
                yield FieldProblem(known.name, message, f"its default, {known.default!r}")
        if self.cache_text_encoder_outputs and "cache_text_encoder_outputs" not in model.unused:
            yield from self._cached_text_problems()

    def _mask_problems(self) -> Iterator[FieldProblem]:
        """The finder must know what to find, unless every photograph has a mask of the user's own."""
        if not self.products and not self.conditioning_data_dir:
            message = "is not set, and masked_loss needs to know what to find"
            yield FieldProblem("products", message, "such as handbag; or masks of your own in conditioning_data_dir")
        try:
            parse_products(self.products or "product")
        except RequestError as error:
            yield from error.problems
        if self.unmasked_weight == 1:
            yield FieldProblem("unmasked_weight", "1 is no mask at all", "below 1, or masked_loss false")

    def _cached_text_problems(self) -> Iterator[FieldProblem]:
        """sd-scripts refuses, or ignores, what would change captions that are encoded once."""
        for name in ("shuffle_caption", *CAPTION_DROPOUTS):
            if getattr(self, name):
                off = "false (--no-shuffle-caption)" if name == "shuffle_caption" else "0"
                message = "changes captions from step to step, and cache_text_encoder_outputs encodes them once"
                yield FieldProblem(name, f"{message}: set {name} to {off}, or that to false")
        if self.model.name == "sdxl" and self.text_encoder_lr:
            message = "a text encoder whose outputs are cached cannot be trained: set text_encoder_lr to 0"
            yield FieldProblem("text_encoder_lr", f"{message}, or cache_text_encoder_outputs to false")

    def _missing(self) -> list[FieldProblem]:
        missing = [
            FieldProblem(one.name, "is not set", one.help)
            for one in SETTINGS
            if one.required and not getattr(self, one.name)
        ]
        files = self.model.files.items()
        return missing + [
            FieldProblem(name, f"is not set, and {self.model.title} needs it", what)
            for name, (_, what) in files
            if not getattr(self, name)
        ]

    def _check_together(self) -> Iterator[FieldProblem]:
        """Problems that no single value shows."""
        if INVALID_NAME.search(self.output_name):
            yield FieldProblem(
                "output_name",
                f"{self.output_name!r} holds a sign that a LoRA's name cannot have",
                "letters, digits, - and _",
            )
        shortest, longest = self.bucket_limits
        if self.enable_bucket and not shortest <= self.resolution <= longest:
            yield FieldProblem(
                "resolution", f"{self.resolution} lies outside the buckets' {shortest} to {longest} pixels"
            )
        if not self.caption_extension.startswith("."):
            yield FieldProblem(
                "caption_extension", f"{self.caption_extension!r} does not begin with a dot", "such as .txt"
            )
        if "," in self.keep_tokens_separator:
            yield FieldProblem("keep_tokens_separator", "holds a comma, which parts captions already", "such as |||")
        if self.fp8_base and self.mixed_precision == "no":
            yield FieldProblem("fp8_base", "needs half precision", "false, or mixed_precision fp16 | bf16")
        if self.masked_loss:
            yield from self._mask_problems()
        if self.family != AUTO:
            yield from self._family_problems()
        if self.max_token_length % 75:
            yield FieldProblem("max_token_length", f"{self.max_token_length} is not possible", "75 | 150 | 225")
        if not self.unet_lr and not self.text_encoder_lr:
            yield FieldProblem("unet_lr", "both learning rates are 0: nothing would be trained")
        if self.persistent_data_loader_workers and not self.max_data_loader_n_workers:
            yield FieldProblem(
                "persistent_data_loader_workers", "needs at least one data loader worker", "false, or more workers"
            )
        if self.machine_rank >= self.machines:
            yield FieldProblem(
                "machine_rank",
                f"{self.machine_rank} is not one of {self.machines} machines",
                f"0 to {self.machines - 1}",
            )
        if self.machines > 1 and not self.main_process_ip:
            yield FieldProblem(
                "main_process_ip", "is not set and several machines need it", "the leading machine's address"
            )
        if self.processes < self.machines:
            yield FieldProblem(
                "processes", f"{self.processes} GPUs for {self.machines} machines", "one or more a machine"
            )
        if self.save_every_n_epochs > self.max_train_epochs:
            yield FieldProblem(
                "save_every_n_epochs", "is more than the epochs of the run", f"1 to {self.max_train_epochs}"
            )
        for name in ("network_args", "optimizer_args"):
            wrong = [item for item in getattr(self, name) if not re.fullmatch(r"\w+=.+", item)]
            if wrong:
                yield FieldProblem(name, f"{wrong[0]!r} is not of the form name=value")


SETTINGS: tuple[RecipeSetting, ...] = settings_of(Recipe)
"""Every setting as a table, for the command line, the panel and the documentation."""


def with_family(recipe: Recipe) -> Recipe:
    """The recipe with its family read from the checkpoint, where it says auto."""
    if recipe.family != AUTO:
        return recipe
    return dataclasses.replace(recipe, family=read_family(recipe.pretrained_model_name_or_path))


def setting_named(name: str) -> RecipeSetting:
    """One setting of the table. Raises KeyError for an unknown name."""
    return next(known for known in SETTINGS if known.name == name)


_SUBSET_SETTINGS = (setting_named("image_dir"), setting_named("num_repeats"), *settings_of(Subset))


def _read_subsets(tables: Any) -> tuple[tuple[Subset, ...], list[FieldProblem]]:
    if not isinstance(tables, (list, tuple)) or not all(isinstance(table, (Mapping, Subset)) for table in tables):
        return (), [FieldProblem("subsets", "is not a list of tables", "[[subsets]] with image_dir and num_repeats")]
    subsets: list[Subset] = []
    problems: list[FieldProblem] = []
    for number, table in enumerate(tables, 1):
        values = dataclasses.asdict(table) if isinstance(table, Subset) else dict(table)
        wrong = _subset_problems(values)
        problems += [dataclasses.replace(one, field=f"subsets[{number}].{one.field}") for one in wrong]
        if not wrong:
            subsets.append(Subset(**values))
    return tuple(subsets), problems


def _subset_problems(values: Mapping[str, Any]) -> list[FieldProblem]:
    _, problems = check_values(_SUBSET_SETTINGS, values)
    if not values.get("image_dir"):
        problems.append(FieldProblem("image_dir", "is not set"))
    return problems
