"""The parent generation of a nested pass: the values inherited from it, and its state restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_prodshot.inpainting import PassDefaults

NESTED_PASS = "_prodshot_pass"
"""Attribute that marks the processing object of our own nested pass."""

_ADETAILER_NESTED = "_ad_inner"
"""ADetailer's mark on its nested passes (its `!adetailer.py`): those are not the user's pictures."""

_MODEL_OPTIONS = ("sd_model_checkpoint", "sd_vae", "forge_additional_modules")
"""Overrides that load a model: the nested pass applies them, a skipped picture must not."""


def is_nested_pass(parent: Any) -> bool:
    """Whether this generation is a nested pass, ours or ADetailer's, which Prodshot ignores."""
    return bool(getattr(parent, NESTED_PASS, False) or getattr(parent, _ADETAILER_NESTED, False))


def picture_index(parent: Any) -> int:
    """Index of the picture in a per-picture hook, counted over all batches of the generation."""
    return int(parent.iteration * parent.batch_size + getattr(parent, "batch_index", 0))


def inherited_defaults(parent: Any, number: int) -> PassDefaults:
    """Pass defaults inherited from the generation's picture `number`: prompts with LoRA tags, seed, sampling."""
    ours = PassDefaults()
    return PassDefaults(
        prompt=str(_at(parent.all_prompts, number, parent.prompt)),
        negative_prompt=str(_at(parent.all_negative_prompts, number, parent.negative_prompt)),
        seed=int(_at(parent.all_seeds, number, 0)),
        steps=int(parent.steps),
        cfg_scale=float(parent.cfg_scale),
        sampler=parent.sampler_name or ours.sampler,
        scheduler=getattr(parent, "scheduler", None) or "",
        width=int(parent.width),
        height=int(parent.height),
    )


def _at(values: Any, number: int, otherwise: Any) -> Any:
    if isinstance(values, (list, tuple)) and values:
        return values[number] if number < len(values) else values[-1]
    return otherwise


@contextmanager
def state_restored(parent: Any | None, shared: Any) -> Iterator[None]:
    """Restore on exit what a nested pass changes: the file of last parameters, the state's job title, tiling and token
    merging of the loaded checkpoint."""
    params = _params_file()
    written = params.read_bytes() if params.is_file() else None
    job = shared.state.job
    # the console's bar over all jobs counts the parent's steps only
    with patch.dict(shared.opts.data, {"multiple_tqdm": False}):
        try:
            yield
        finally:
            shared.state.job = job
            _write_or_delete(params, written)
            if parent is not None:
                _restore_patches(parent)


def _params_file() -> Path:
    return Path(import_module("modules.paths").data_path) / "params.txt"


def _write_or_delete(params: Path, written: bytes | None) -> None:
    with suppress(OSError):
        if written is not None:
            params.write_bytes(written)
        else:
            params.unlink(missing_ok=True)


def _restore_patches(parent: Any) -> None:
    """Apply the parent's patches to the checkpoint again: AUTOMATIC1111 removes them after a nested generation.

    The Forge family sets both anew before each sampling.
    """
    with suppress(ImportError, AttributeError):
        import_module("modules.sd_hijack").model_hijack.apply_circular(bool(parent.tiling))
    apply: Any = getattr(import_module("modules.sd_models"), "apply_token_merging", None)
    if apply is not None and hasattr(parent.sd_model, "applied_token_merged_ratio"):
        apply(parent.sd_model, parent.get_token_merging_ratio())


def initialise(parent: Any, wanted: int) -> None:
    """Set the fields that the WebUI's `process_images` would, for `wanted` pictures processed without it."""
    import_module("modules.processing").fix_seed(parent)
    if hasattr(parent, "fill_fields_from_opts"):
        parent.fill_fields_from_opts()
    parent.setup_prompts()
    for prompts in (parent.all_prompts, parent.all_negative_prompts):
        prompts.extend(prompts[-1:] * (wanted - len(prompts)))
    count = len(parent.all_prompts)
    step = 1 if parent.subseed_strength == 0 else 0
    parent.all_seeds = [int(parent.seed) + step * number for number in range(count)]
    parent.all_subseeds = [int(parent.subseed) + number for number in range(count)]
    parent.iteration = 0
    # the WebUI clears it for every checkpoint but instruct-pix2pix's, and infotexts would tell it
    parent.image_cfg_scale = None
    state = import_module("modules.shared").state
    # the Batch tab has counted this picture's generations already; our passes count themselves
    state.job_count = max(0, state.job_count - parent.n_iter)


def set_model_names(parent: Any) -> None:
    """Set the model names for infotexts to the checkpoint in use, without loading one."""
    models = import_module("modules.sd_models")
    info = getattr(models.model_data.sd_model, "sd_checkpoint_info", None) or models.select_checkpoint()
    parent.sd_model_name = getattr(info, "name_for_extra", None)
    parent.sd_model_hash = getattr(info, "shorthash", None)
    with suppress(ImportError, AttributeError):
        vae = import_module("modules.sd_vae")
        parent.sd_vae_name, parent.sd_vae_hash = vae.get_loaded_vae_name(), vae.get_loaded_vae_hash()


@contextmanager
def overrides_applied(parent: Any) -> Iterator[None]:
    """Apply the generation's override settings (request, Batch tab), such as file names, for the context."""
    opts = import_module("modules.shared").opts
    wanted = parent.override_settings or {}
    ours = {key: value for key, value in wanted.items() if key in opts.data_labels and key not in _MODEL_OPTIONS}
    before = {key: opts.data.get(key, opts.get_default(key)) for key in ours}
    try:
        for key, value in ours.items():
            opts.set(key, value, is_api=True, run_callbacks=False)
        yield
    finally:
        if parent.override_settings_restore_afterwards:
            for key, value in before.items():
                opts.data[key] = value


def inpaint_region(parent: Any, size: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
    """The mask drawn on the Inpaint tab (H×W uint8, 255 = inside) at `size` (width, height); None for none."""
    mask = getattr(parent, "image_mask", None)
    if mask is None:
        return None
    binary = import_module("modules.processing").create_binary_mask(mask).convert("L")
    region = np.asarray(binary if binary.size == size else binary.resize(size, Image.Resampling.NEAREST))
    if getattr(parent, "inpainting_mask_invert", 0):
        region = np.asarray(255 - region, dtype=np.uint8)
    return region if region.any() else None


def save_parameters(infotext: str) -> None:
    """Save the infotext for the paste button, as the WebUI does for its own; unless --no-prompt-history."""
    shared = import_module("modules.shared")
    if getattr(shared.cmd_opts, "no_prompt_history", False):
        return
    with suppress(OSError):
        _params_file().write_text(infotext, encoding="utf-8")
