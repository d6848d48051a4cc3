"""Every call that we make into a WebUI, and every name that we read there without calling it."""

from __future__ import annotations

from tests.hosts.signatures import Call

PROCESSING, SCRIPTS, IMAGES = "modules/processing.py", "modules/scripts.py", "modules/images.py"
MODELS, OPTIONS, STATE = "modules/sd_models.py", "modules/options.py", "modules/shared_state.py"
CALLBACKS, DEVICES, COMPONENTS = "modules/script_callbacks.py", "modules/devices.py", "modules/ui_components.py"
BACKEND, LDM = "backend/memory_management.py", "ldm_patched/modules/model_management.py"
FORGE_CONTROLNET = "extensions-builtin/sd_forge_controlnet"
FORGE_CONTROL = f"{FORGE_CONTROLNET}/lib_controlnet/global_state.py"
FORGE_CODE = f"{FORGE_CONTROLNET}/lib_controlnet/external_code.py"
MIKUBILL, MIKUBILL_SCRIPT = "internal_controlnet/external_code.py", "scripts/controlnet.py"

FORGE_FAMILY = ("forge", "reforge", "classic", "neo")

CALLS = (
    Call(PROCESSING, "process_images", 1),
    Call(PROCESSING, "fix_seed", 1),
    Call(PROCESSING, "create_binary_mask", 1),
    Call(PROCESSING, "create_infotext", 4, ("index", "all_negative_prompts")),
    Call(PROCESSING, "create_infotext", 4, ("index",)),
    Call(PROCESSING, "Processed.__init__", 2, ("seed", "info", "subseed", "infotexts")),
    Call(PROCESSING, "Processed.__init__", 4),
    Call(PROCESSING, "StableDiffusionProcessing.setup_prompts"),
    Call(PROCESSING, "StableDiffusionProcessing.save_samples"),
    Call(PROCESSING, "StableDiffusionProcessing.comment", 1),
    Call(PROCESSING, "StableDiffusionProcessing.close"),
    Call(PROCESSING, "StableDiffusionProcessing.get_token_merging_ratio"),
    Call(PROCESSING, "StableDiffusionProcessing.fill_fields_from_opts", hosts=("a1111", "forge", "neo")),
    Call(IMAGES, "image_grid", 2),
    Call(IMAGES, "save_image", 6, ("info", "p", "suffix")),
    Call(IMAGES, "save_image", 6, ("info", "short_filename", "p", "grid")),
    Call(IMAGES, "save_image_with_geninfo", 3),
    Call(MODELS, "get_closet_checkpoint_match", 1),
    Call(MODELS, "apply_token_merging", 2),
    Call(MODELS, "send_model_to_cpu", 1, hosts=("a1111",)),
    Call(MODELS, "send_model_to_device", 1, hosts=("a1111",)),
    Call(DEVICES, "torch_gc"),
    Call(OPTIONS, "Options.set", 2, ("is_api", "run_callbacks")),
    Call(OPTIONS, "Options.get_default", 1),
    Call(OPTIONS, "Options.add_option", 2),
    Call(OPTIONS, "OptionInfo.__init__", 4, ("restrict_api",)),
    Call(OPTIONS, "OptionInfo.info", 1),
    Call(OPTIONS, "OptionInfo.needs_reload_ui"),
    Call(STATE, "State.begin", 0, ("job",)),
    Call(STATE, "State.end"),
    Call(STATE, "State.interrupt"),
    Call(SCRIPTS, "Script.elem_id", 1),
    Call(COMPONENTS, "InputAccordion.__init__", 1, ("label", "elem_id"), hosts=("a1111", "reforge", "classic")),
    Call(COMPONENTS, "InputAccordion", 1, ("label", "elem_id"), hosts=("forge", "neo")),
    Call(CALLBACKS, "add_callback", 2, ("category", "filename"), hosts=("a1111", "forge", "reforge", "neo")),
    *(
        Call(CALLBACKS, f"on_{kind}", 1)
        for kind in ("app_started", "before_ui", "ui_settings", "ui_tabs", "image_saved", "script_unloaded")
    ),
    *(
        Call(file, name, arguments, hosts=hosts)
        for file, hosts in ((BACKEND, ("forge", "neo")), (LDM, ("reforge", "classic")))
        for name, arguments in (("free_memory", 2), ("get_torch_device", 0), ("soft_empty_cache", 0))
    ),
    *(
        Call(FORGE_CONTROL, name, hosts=FORGE_FAMILY)
        for name in ("update_controlnet_filenames", "get_all_controlnet_names", "get_all_preprocessor_names")
    ),
)

MIKUBILL_CALLS = (
    Call(MIKUBILL, "get_models", 0, ("update",)),
    Call(MIKUBILL, "get_modules", 0, ("alias_names",)),
    Call(MIKUBILL_SCRIPT, "Script.process", 4),
)

NAMES_WE_READ = {
    SCRIPTS: ("AlwaysVisible", "Script", "scripts_img2img", "scripts_txt2img", "scripts_data"),
    PROCESSING: ("Processed", "StableDiffusionProcessingImg2Img"),
    MODELS: ("checkpoints_list", "model_data", "select_checkpoint"),
    CALLBACKS: ("callback_map",),
    COMPONENTS: ("InputAccordion",),
    "modules/shared.py": ("cmd_opts", "opts", "sd_model", "sd_upscalers", "state", "OptionInfo"),
    "modules/sd_samplers.py": ("all_samplers",),
    "modules/sd_vae.py": ("get_loaded_vae_name", "get_loaded_vae_hash"),
    "modules/call_queue.py": ("queue_lock",),
    "modules/paths.py": ("data_path", "models_path"),
    "modules/errors.py": ("report",),
    "modules/launch_utils.py": ("git_tag",),
}
"""Names that every host has; the record tells signatures only, so these are looked up in real code."""

NAMES_SOME_HAVE = (
    ("modules/shared.py", "interrogator", ("a1111", "forge", "reforge", "classic")),
    ("modules/sd_hijack.py", "model_hijack", ("a1111", "forge", "reforge", "classic")),
    ("modules/sd_schedulers.py", "schedulers", ("a1111", "forge", "reforge", "neo")),
    ("backend/args.py", "args", ("forge", "neo")),
    ("backend/args.py", "dynamic_args", ("forge", "neo")),
    ("ldm_patched/modules/args_parser.py", "args", ("reforge", "classic")),
)
"""File, name, and the hosts that have it; what is done without it is tested with the rest of `hosts`."""

FLAGS_ADVISED = {
    "a1111": ("modules/cmd_args.py", "--medvram", "--no-half-vae"),
    "forge": ("backend/args.py", "--always-low-vram", "--vae-in-fp32"),
    "reforge": ("ldm_patched/modules/args_parser.py", "--always-low-vram", "--vae-in-fp32"),
    "classic": ("ldm_patched/modules/args_parser.py", "--always-low-vram", "--vae-in-fp32"),
    "neo": ("backend/args.py", "--lowvram", "--fp32-vae"),
}
"""The flags that our messages name on a host, for memory and for the VAE, and the file whose parser takes them."""

NEVER = {
    "PostprocessImageArgs": "its constructor differs between hosts: only read and write what is handed over",
    "mask_blur_x": "read-only on neo: mask_blur alone",
    "mask_blur_y": "read-only on neo: mask_blur alone",
    "sampler_index": "neo refuses it",
    "unload_model_weights": "drops the model for good on neo",
    "reload_model_weights": "does nothing on Forge and is absent on neo",
}
"""What our code never says to a host, and why."""
