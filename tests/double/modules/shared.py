"""Options, state, command line, and the loaded checkpoint."""

from types import SimpleNamespace

from modules.options import OptionInfo, Options
from modules.shared_state import State

sd_upscalers: list[SimpleNamespace] = []
"""None is installed."""

cmd_opts = SimpleNamespace(
    freeze_settings=False, no_prompt_history=False, api=True, nowebui=False, api_auth=None, lowvram=False, medvram=False
)

options_templates = {
    "samples_save": OptionInfo(True),
    "samples_format": OptionInfo("png"),
    "samples_filename_pattern": OptionInfo(""),
    "save_to_dirs": OptionInfo(False),
    "save_images_replace_action": OptionInfo("Replace"),
    "save_incomplete_images": OptionInfo(True),
    "enable_pnginfo": OptionInfo(True),
    "grid_save": OptionInfo(True),
    "return_grid": OptionInfo(True),
    "grid_only_if_multiple": OptionInfo(True),
    "grid_format": OptionInfo("png"),
    "grid_extended_filename": OptionInfo(False),
    "overlay_inpaint": OptionInfo(True),
    "img2img_color_correction": OptionInfo(False),
    "upscaler_for_img2img": OptionInfo(None),
    "return_mask": OptionInfo(False),
    "return_mask_composite": OptionInfo(False),
    "save_mask": OptionInfo(False),
    "save_mask_composite": OptionInfo(False),
    "save_init_img": OptionInfo(False),
    "multiple_tqdm": OptionInfo(True),
    "CLIP_stop_at_last_layers": OptionInfo(1),
    "token_merging_ratio": OptionInfo(0.0),
    "sd_model_checkpoint": OptionInfo("tiny-sd15.safetensors [5f4cf4601d]"),
    "sd_vae": OptionInfo("Automatic"),
    "persistent_cond_cache": OptionInfo(True),
    "control_net_unit_count": OptionInfo(3),
}
opts = Options(options_templates, set(), cmd_opts)
state = State()
total_tqdm = SimpleNamespace(clear=lambda: None)

sd_model = SimpleNamespace(
    is_sd1=True,
    is_sd2=False,
    is_sdxl=False,
    sd_model_hash="5f4cf4601d",
    applied_token_merged_ratio=0,
    sd_checkpoint_info=SimpleNamespace(name_for_extra="tiny-sd15", shorthash="5f4cf4601d"),
)
