"""Generations: the real order of hooks around arithmetic in the place of diffusion."""

import json
import random
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from modules import images, infotext_utils, paths, scripts, sd_hijack, sd_models, sd_samplers, shared
from modules.shared import opts, state
from PIL import Image, ImageFilter, ImageOps

samplings = []
"""For tests: one entry (the processing object) for each sampling."""


@dataclass(repr=False)
class StableDiffusionProcessing:
    sd_model: object = None
    outpath_samples: str = None
    outpath_grids: str = None
    prompt: str = ""
    prompt_for_display: str = None
    negative_prompt: str = ""
    styles: list = None
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0
    sampler_name: str = None
    scheduler: str = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    restore_faces: bool = None
    tiling: bool = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    extra_generation_params: dict = None
    overlay_images: list = None
    eta: float = None
    do_not_reload_embeddings: bool = False
    override_settings: dict = None
    override_settings_restore_afterwards: bool = True

    scripts_value: Any = field(default=None, init=False)
    script_args_value: Any = field(default=None, init=False)
    scripts_setup_complete: bool = field(default=False, init=False)
    comments: dict = field(default=None, init=False)
    iteration: int = field(default=0, init=False)
    all_prompts: list = field(default=None, init=False)
    all_negative_prompts: list = field(default=None, init=False)
    all_seeds: list = field(default=None, init=False)
    all_subseeds: list = field(default=None, init=False)
    user: str = field(default=None, init=False)
    sd_model_name: str = field(default=None, init=False)
    sd_model_hash: str = field(default=None, init=False)
    sd_vae_name: str = field(default=None, init=False)
    sd_vae_hash: str = field(default=None, init=False)
    is_api: bool = field(default=False, init=False)

    cached_uc = [None, None]  # noqa: RUF012 - shared by all, as in the real one
    cached_c = [None, None]  # noqa: RUF012

    def __post_init__(self):
        self.comments = {}
        self.styles = self.styles or []
        self.extra_generation_params = self.extra_generation_params or {}
        self.override_settings = self.override_settings or {}

    def fill_fields_from_opts(self):
        pass

    @property
    def scripts(self):
        return self.scripts_value

    @scripts.setter
    def scripts(self, value):
        self.scripts_value = value
        self._maybe_setup()

    @property
    def script_args(self):
        return self.script_args_value

    @script_args.setter
    def script_args(self, value):
        self.script_args_value = value
        self._maybe_setup()

    def _maybe_setup(self):
        if self.scripts_value and self.script_args_value and not self.scripts_setup_complete:
            self.scripts_setup_complete = True
            self.scripts_value.setup_scrips(self, is_ui=not self.is_api)

    def comment(self, text):
        self.comments[text] = 1

    def close(self):
        pass

    def get_token_merging_ratio(self, for_hr=False):
        return opts.token_merging_ratio

    def setup_prompts(self):
        self.all_prompts = self.batch_size * self.n_iter * [self.prompt]
        self.all_negative_prompts = self.batch_size * self.n_iter * [self.negative_prompt]

    def save_samples(self):
        kept = opts.save_incomplete_images or (not state.interrupted and not state.skipped)
        return opts.samples_save and not self.do_not_save_samples and kept

    def init(self, all_prompts, all_seeds, all_subseeds):
        pass


@dataclass(repr=False)
class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    enable_hr: bool = False
    hr_prompt: str = ""
    hr_negative_prompt: str = ""

    def sample(self, seed):
        return noise(seed, self.height, self.width)


@dataclass(repr=False)
class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    init_images: list = None
    resize_mode: int = 0
    denoising_strength: float = 0.75
    image_cfg_scale: float = None
    mask: Any = None
    mask_blur_x: int = 4
    mask_blur_y: int = 4
    mask_blur: int = None
    mask_round: bool = True
    inpainting_fill: int = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = 0
    inpainting_mask_invert: int = 0
    initial_noise_multiplier: float = None
    latent_mask: Any = None
    force_task_id: str = None

    image_mask: Any = field(default=None, init=False)
    mask_for_overlay: Any = field(default=None, init=False)

    def __post_init__(self):
        super().__post_init__()
        self.image_mask = self.mask
        self.mask = None

    def init(self, all_prompts, all_seeds, all_subseeds):
        """The whole-picture half of the real one: our pass never asks for the other."""
        if self.image_mask is not None and self.inpaint_full_res:
            raise NotImplementedError("the double has no 'only masked' area of its own")
        size = (self.width, self.height)
        self._start = images.resize_image(self.resize_mode, images.flatten(self.init_images[0], "#ffffff"), *size)
        self.overlay_images = []
        if self.image_mask is None:
            return
        mask = create_binary_mask(self.image_mask, round=self.mask_round).resize(size)
        if self.inpainting_mask_invert:
            mask = ImageOps.invert(mask)
        blurred = mask.filter(ImageFilter.GaussianBlur(self.mask_blur_x)) if self.mask_blur_x else mask
        self.mask_for_overlay = blurred.point(lambda level: min(255, level * 2))
        overlay = self._start.convert("RGBA")
        overlay.putalpha(ImageOps.invert(self.mask_for_overlay))
        self.overlay_images = [overlay] * self.batch_size
        self._inside = np.asarray(mask) > 127

    def sample(self, seed):
        start = np.asarray(self._start).astype(np.float64)
        share = self.denoising_strength
        made = start * (1 - share) + noise(seed, self.height, self.width) * share
        if self.image_mask is None:
            return made.astype(np.uint8)
        # a diffusion model leaves no pixel as it was: outside of the mask it comes near
        return np.where(self._inside[..., None], made, np.clip(start + 1, 0, 255)).astype(np.uint8)


# fields and properties of the same names, as in the real one: the constructor takes them, and their setters decide
def _mask_blur_set(self, value):
    if isinstance(value, int):
        self.mask_blur_x = self.mask_blur_y = value


StableDiffusionProcessing.sd_model = property(lambda self: shared.sd_model, lambda self, value: None)
StableDiffusionProcessingImg2Img.mask_blur = property(lambda self: self.mask_blur_x, _mask_blur_set)


class Processed:
    def __init__(
        self,
        p,
        images_list,
        seed=-1,
        info="",
        subseed=None,
        all_prompts=None,
        all_negative_prompts=None,
        all_seeds=None,
        all_subseeds=None,
        index_of_first_image=0,
        infotexts=None,
        comments="",
    ):
        self.images, self.info, self.seed, self.subseed = images_list, info, seed, subseed
        self.prompt, self.negative_prompt = p.prompt, p.negative_prompt
        self.comments = "".join(f"{comment}\n" for comment in p.comments)
        self.width, self.height, self.steps, self.sampler_name = p.width, p.height, p.steps, p.sampler_name
        self.extra_generation_params = p.extra_generation_params
        self.index_of_first_image = index_of_first_image
        self.all_prompts = all_prompts or p.all_prompts or [self.prompt]
        self.all_negative_prompts = all_negative_prompts or p.all_negative_prompts or [self.negative_prompt]
        self.all_seeds = all_seeds or p.all_seeds or [self.seed]
        self.all_subseeds = all_subseeds or p.all_subseeds or [self.subseed]
        self.infotexts = infotexts or [info] * len(images_list)

    def js(self):
        plain = ("prompt", "seed", "all_prompts", "all_seeds", "index_of_first_image", "infotexts", "steps")
        known = {name: getattr(self, name) for name in (*plain, "extra_generation_params")}
        # as classic's: others write null for what is no JSON
        return json.dumps(known)

    def infotext(self, p, index):
        return create_infotext(p, self.all_prompts, self.all_seeds, self.all_subseeds, index=index)


def noise(seed, height, width):
    return np.random.default_rng(int(seed)).integers(0, 256, (height, width, 3)).astype(np.uint8)


def create_binary_mask(image, round=True):
    if image.mode == "RGBA" and image.getextrema()[-1] != (255, 255):
        return image.split()[-1].convert("L").point(lambda level: 255 if level > 128 else 0)
    return image.convert("L")


def get_fixed_seed(seed):
    return random.randrange(4294967294) if seed in (-1, None, "") else int(seed)


def fix_seed(p):
    p.seed, p.subseed = get_fixed_seed(p.seed), get_fixed_seed(p.subseed)


def create_infotext(
    p,
    all_prompts,
    all_seeds,
    all_subseeds,
    comments=None,
    iteration=0,
    position_in_batch=0,
    use_main_prompt=False,
    index=None,
    all_negative_prompts=None,
):
    if use_main_prompt:
        index = 0
    elif index is None:
        index = position_in_batch + iteration * p.batch_size
    parameters = {
        "Steps": p.steps,
        "Sampler": p.sampler_name,
        "CFG scale": p.cfg_scale,
        "Seed": all_seeds[index],
        "Size": f"{p.width}x{p.height}",
        "Model hash": p.sd_model_hash,
        "Model": p.sd_model_name,
        **p.extra_generation_params,
        "User": p.user,
    }
    for key, value in parameters.items():
        if isinstance(value, list):
            parameters[key] = value[index]
        elif callable(value):
            parameters[key] = value(**locals())
    texts = [f"{key}: {infotext_utils.quote(value)}" for key, value in parameters.items() if value is not None]
    negative = f"\nNegative prompt: {p.negative_prompt}" if p.negative_prompt else ""
    return f"{all_prompts[index]}{negative}\n{', '.join(texts)}"


def process_images(p):
    if p.scripts is not None:
        p.scripts.before_process(p)
    stored = {key: opts.data[key] for key in p.override_settings if key in opts.data}
    try:
        if sd_models.checkpoint_aliases.get(p.override_settings.get("sd_model_checkpoint")) is None:
            p.override_settings.pop("sd_model_checkpoint", None)
            sd_models.reload_model_weights()
        for key, value in p.override_settings.items():
            opts.set(key, value, is_api=True, run_callbacks=False)
        sd_models.apply_token_merging(shared.sd_model, p.get_token_merging_ratio())
        sd_samplers.fix_p_invalid_sampler_and_scheduler(p)
        return process_images_inner(p)
    finally:
        sd_models.apply_token_merging(shared.sd_model, 0)
        if p.override_settings_restore_afterwards:
            for key, value in stored.items():
                setattr(opts, key, value)


def process_images_inner(p):
    sd_hijack.model_hijack.apply_circular(bool(p.tiling))
    p.sd_model_name, p.sd_model_hash = "tiny-sd15", "5f4cf4601d"
    p.setup_prompts()
    count = len(p.all_prompts)
    seed, subseed = get_fixed_seed(p.seed), get_fixed_seed(p.subseed)
    p.all_seeds = [seed + number for number in range(count)]
    p.all_subseeds = [subseed + number for number in range(count)]
    runner = p.scripts or scripts.ScriptRunner()
    runner.process(p)
    p.init(p.all_prompts, p.all_seeds, p.all_subseeds)
    if state.job_count == -1:
        state.job_count = p.n_iter
    made, infotexts = [], []
    for batch in range(p.n_iter):
        p.iteration = batch
        state.skipped = False
        if state.interrupted or state.stopping_generation:
            break
        made_here = _one_batch(p, runner, batch, infotexts)
        made.extend(made_here)
    infotexts = infotexts or [Processed(p, []).infotext(p, 0)]
    first = 0
    if len(made) > 1 and opts.return_grid and not p.do_not_save_grid:
        grid_text = create_infotext(p, p.all_prompts, p.all_seeds, p.all_subseeds, use_main_prompt=True)
        made.insert(0, images.image_grid(made, p.batch_size))
        infotexts.insert(0, grid_text)
        first = 1
    result = Processed(
        p,
        images_list=made,
        seed=p.all_seeds[0],
        info=infotexts[0],
        subseed=p.all_subseeds[0],
        index_of_first_image=first,
        infotexts=infotexts,
    )
    runner.postprocess(p, result)
    return result


def _one_batch(p, runner, batch, infotexts):
    part = slice(batch * p.batch_size, (batch + 1) * p.batch_size)
    p.prompts, p.negative_prompts = p.all_prompts[part], p.all_negative_prompts[part]
    p.seeds, p.subseeds = p.all_seeds[part], p.all_subseeds[part]
    known = {"batch_number": batch, "prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}
    runner.before_process_batch(p, **known)
    _activate_loras(p)
    runner.process_batch(p, **known)
    if batch == 0 and not shared.cmd_opts.no_prompt_history:
        (Path(paths.data_path) / "params.txt").write_text(Processed(p, []).infotext(p, 0), encoding="utf8")
    runner.process_before_every_sampling(p, x=None, noise=None, c=None, uc=None)
    samplings.append(p)
    state.sampling_steps = p.steps
    samples = [p.sample(seed) for seed in p.seeds]
    runner.post_sample(p, scripts.PostSampleArgs(samples))
    state.nextjob()
    batched = scripts.PostprocessBatchListArgs(list(samples))
    runner.postprocess_batch_list(p, batched, batch_number=batch)
    made = []
    for place, sample in enumerate(batched.images):
        p.batch_index = place
        shown = scripts.PostprocessImageArgs(Image.fromarray(sample))
        runner.postprocess_image(p, shown)
        image = shown.image
        overlays = p.overlay_images or []
        if opts.overlay_inpaint and place < len(overlays):
            image = Image.alpha_composite(image.convert("RGBA"), overlays[place]).convert("RGB")
        shown = scripts.PostprocessImageArgs(image)
        runner.postprocess_image_after_composite(p, shown)
        text = create_infotext(p, p.prompts, p.seeds, p.subseeds, index=place, all_negative_prompts=p.negative_prompts)
        if p.save_samples():
            seed, prompt, kind = p.seeds[place], p.prompts[place], opts.samples_format
            images.save_image(shown.image, p.outpath_samples, "", seed, prompt, kind, info=text, p=p)
        infotexts.append(text)
        shown.image.info["parameters"] = text
        made.append(shown.image)
    return made


def _activate_loras(p):
    """The real extension complains of a LoRA that is not there; a test that lets one through must see it."""
    import sys

    known = getattr(sys.modules.get("networks"), "available_networks", {})
    for name in re.findall(r"<lora:([^:>]+)", p.prompts[0]):
        with suppress(KeyError):
            known[name]
            continue
        raise RuntimeError(f"LoRA {name} is not installed")
