"""Explains why a run failed from the last output of sd-scripts; its exit code alone is not enough."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

from lib_prodshot.errors import ProdshotError, as_typed
from lib_prodshot.training.recipe.recipe import Recipe

_CHECK = f"`{as_typed('train check')}` names it"
_LOOK_AT_MODEL = "look at pretrained_model_name_or_path"
FULL_DISK = "the disk is full: free some space and run the same command again"

_KNOWN_ERRORS: tuple[tuple[str, str], ...] = (
    (r"No data found\.|0 train images with repeats", "sd-scripts found no photographs: is the folder empty or moved?"),
    (r"No space left on device", FULL_DISK),
    (r"caption file is empty", f"a caption file is empty: {_CHECK}"),
    (r"UnicodeDecodeError|illegal char in file", f"a caption is not UTF-8: {_CHECK}"),
    (
        r"image file is truncated|cannot identify image file|broken data stream|Error loading file",
        f"a photograph cannot be decoded: {_CHECK}",
    ),
    (r"No bitsandbytes", "the optimizer needs bitsandbytes, which the trainer's environment lacks: choose AdamW"),
    (r"No xformers|xformers is not available", "the trainer's environment has no xformers: set attention to sdpa"),
    (r"No module named '?([\w.]+)", f"the trainer's environment lacks {{0}}: run `{as_typed('train setup')}` again"),
    (
        r"(?:fp16|bf16) mixed precision requires",
        "half precision needs a CUDA GPU, bf16 an RTX 30 or newer: set mixed_precision to fp16, or use the preset cpu",
    ),
    (r"model is not found as a file or in Hugging Face", f"the checkpoint cannot be found: {_LOOK_AT_MODEL}"),
    (
        r"Error while deserializing header|HeaderTooLarge|invalid load key|PytorchStreamReader failed",
        f"the checkpoint is damaged or no checkpoint: {_LOOK_AT_MODEL}",
    ),
    (
        r"Error\(s\) in loading state_dict|size mismatch for",
        "the checkpoint is of another kind than the recipe says: family, v2?",
    ),
    (r"Address already in use|EADDRINUSE", "another distributed run uses the port: set main_process_port"),
    (
        r"CUDA driver version is insufficient|no kernel image is available",
        f"the trainer's PyTorch does not fit this GPU or its driver: `{as_typed('train setup --torch')}` has others",
    ),
)

_NO_TOKENIZER = re.compile(r"Can't load tokenizer|We couldn't connect to|couldn't connect to .*hugging ?face", re.I)
_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED|DefaultCPUAllocator: (?:can't|not enough)|"
    r"not enough memory|Unable to allocate|std::bad_alloc|Cannot allocate memory"
)
_ERROR_LINE = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt)\b.*")


def explain_failure(output: Sequence[str], code: int, recipe: Recipe) -> str:
    """One sentence saying why the program failed and what to do; `output` are its last lines, `code` its exit code."""
    text = "\n".join(output)
    if _OUT_OF_MEMORY.search(text):
        return explain_out_of_memory(recipe)
    for pattern, explanation in _KNOWN_ERRORS:
        found = re.search(pattern, text, re.IGNORECASE)
        if found:
            return explanation.format(*found.groups())
    if _NO_TOKENIZER.search(text):
        return _explain_tokenizer(recipe)
    if code in (-9, 137):
        return "the system ended it, most often for lack of main memory: " + _memory_advice(recipe)
    errors = [line.strip() for line in output if _ERROR_LINE.match(line.strip())]
    reason = errors[-1] if errors else f"exit code {code}"
    return f"sd-scripts ended with {reason}; all it said is in training.log"


def explain_error(error: Exception) -> str:
    """Explain what failed in Prodshot itself while the program ran."""
    causes = (error, error.__cause__)
    if any(isinstance(one, OSError) and one.errno == errno.ENOSPC for one in causes):
        return FULL_DISK
    if isinstance(error, ProdshotError):
        return str(error)
    if isinstance(error, OSError):
        return f"what it says cannot be written: {error.strerror or error}"
    return f"unexpected {type(error).__name__}: {error}"


def explain_out_of_memory(recipe: Recipe) -> str:
    """Explain a lack of memory, with the savings that the recipe does not use yet, cheapest first."""
    return "out of memory: " + _memory_advice(recipe)


def explain_divergence(recipe: Recipe, step: int) -> str:
    """Explain a loss that became NaN, with what to change."""
    advice = [f"lower unet_lr ({recipe.unet_lr:g}) and text_encoder_lr ({recipe.text_encoder_lr:g})"]
    if recipe.mixed_precision == "fp16":
        advice.append("set mixed_precision to bf16 or no")
        if not recipe.vae and not recipe.no_half_vae and "no_half_vae" not in recipe.model.unused:
            advice.append("set no_half_vae, or name a VAE that half precision does not break")
    return f"the loss became NaN at step {step}, and a LoRA of NaN is worthless: {', or '.join(advice)}"


def _flux_memory_advice(recipe: Recipe) -> list[str]:
    advice = [] if recipe.fp8_base else ["set fp8_base"]
    return advice + ([f"raise blocks_to_swap ({recipe.blocks_to_swap})"] if recipe.blocks_to_swap < 35 else [])


def _explain_tokenizer(recipe: Recipe) -> str:
    names = " and ".join(recipe.model.tokenizers)
    return "a tokenizer is not here and the model hub cannot be reached: name a tokenizer_cache_dir that holds " + names


def _memory_advice(recipe: Recipe) -> str:
    advice = []
    if not recipe.gradient_checkpointing:
        advice.append("set gradient_checkpointing")
    if recipe.train_batch_size > 1:
        batch = max(1, recipe.train_batch_size // 2)
        gathered = recipe.gradient_accumulation_steps * recipe.train_batch_size // batch
        advice.append(f"set train_batch_size to {batch} and gradient_accumulation_steps to {gathered}")
    smallest = 512 if recipe.model.name == "sd15" else 768
    if recipe.resolution > smallest:
        advice.append(f"lower the resolution ({recipe.resolution}) to {smallest}")
    if not recipe.cache_text_encoder_outputs and "cache_text_encoder_outputs" not in recipe.model.unused:
        advice.append("set cache_text_encoder_outputs, with shuffle_caption off and text_encoder_lr 0")
    if recipe.model.name == "flux":
        advice += _flux_memory_advice(recipe)
    if not recipe.optimizer_type.lower().endswith("8bit") and recipe.mixed_precision != "no":
        advice.append("use the optimizer AdamW8bit")
    if not recipe.cache_latents:
        advice.append("set cache_latents")
    advice.append("end other programs that use the GPU" if recipe.mixed_precision != "no" else "end other programs")
    return ", or ".join(advice)
