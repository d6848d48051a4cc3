"""A test-only extension for the real WebUI: counts samplings, breaks things on demand, tells the state.

It never runs outside of the end-to-end tests, and Prodshot does not know of it.
"""

import sys
import time
from pathlib import Path

from modules import processing, script_callbacks, script_loading, scripts

COUNTS = {"samplings": 0, "steps": 0, "generations": 0, "images": 0}
FAULTS = {}
"""What to break next, by stage: 'pass' (the nested pass), 'hook' (another script), with the words to raise."""

HEAVY = ("onnxruntime", "groundingdino", "segment_anything", "ai_edge_litert")
"""Packages that a finder needs and nobody else in a bare WebUI loads."""


LOADED = {}
"""Milliseconds of this process's processor time that loading each script took: a busy machine lengthens other times."""


class Breaker(scripts.Script):
    """Raises where a test wants another script to, and counts samplings."""

    def title(self):
        return "zz harness"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def postprocess_image(self, p, pp, *args):
        COUNTS["images"] += 1
        if "hook" in FAULTS:
            raise RuntimeError(FAULTS["hook"])


def count_step(_params):
    COUNTS["steps"] += 1


def wrap_process_images():
    inner = processing.process_images_inner

    def process_images_inner(p, *args, **kwargs):
        COUNTS["generations"] += 1
        if "pass" in FAULTS and getattr(p, "_prodshot_pass", False):
            raise raised(FAULTS["pass"])
        return inner(p, *args, **kwargs)

    processing.process_images_inner = process_images_inner
    sample = processing.StableDiffusionProcessingImg2Img.sample

    def sample_img2img(self, *args, **kwargs):
        COUNTS["samplings"] += 1
        made = sample(self, *args, **kwargs)
        if "nan" in FAULTS and getattr(self, "_prodshot_pass", False):
            made = made * float("nan")
        return made

    processing.StableDiffusionProcessingImg2Img.sample = sample_img2img
    sample_first = processing.StableDiffusionProcessingTxt2Img.sample

    def sample_txt2img(self, *args, **kwargs):
        COUNTS["samplings"] += 1
        return sample_first(self, *args, **kwargs)

    processing.StableDiffusionProcessingTxt2Img.sample = sample_txt2img


def wrap_load_module():
    load = script_loading.load_module

    def load_module(path):
        start = time.process_time()
        try:
            return load(path)
        finally:
            LOADED[Path(path).name] = 1000 * (time.process_time() - start)

    script_loading.load_module = load_module


def raised(words):
    if words == "memory":
        import torch

        return torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return RuntimeError(words)


def add_routes(_demo, app):
    @app.get("/harness/counts")
    def counts():
        return {**COUNTS, "loaded": [name for name in HEAVY if name in sys.modules]}

    @app.get("/harness/loaded")
    def loaded():
        return LOADED

    @app.get("/harness/spent")
    def spent():
        """Seconds of processor time since the start."""
        return time.process_time()

    @app.post("/harness/faults")
    def faults(wanted: dict):
        FAULTS.clear()
        FAULTS.update(wanted)
        return {}

    @app.post("/harness/options")
    def options(wanted: dict):
        from modules import shared

        data = shared.opts.data
        before = {key: data.get(key) for key in wanted}
        data.update(wanted)
        # an option that was never touched is not among the data, and None stands for that
        for key in [key for key, value in wanted.items() if value is None]:
            del data[key]
        return before

    @app.get("/harness/state")
    def state():
        """What a nested pass must leave as it was."""
        from modules import shared

        cnet = [script for script in scripts.scripts_img2img.alwayson_scripts if script.title() == "ControlNet"]
        hooked = any(getattr(script, "latest_network", None) is not None for script in cnet)
        state = shared.state
        flags = [state.interrupted, state.skipped, state.stopping_generation]
        return {
            "options": {key: str(value) for key, value in shared.opts.data.items()},
            "hooked": hooked,
            "flags": flags,
        }


wrap_process_images()
wrap_load_module()
script_callbacks.on_app_started(add_routes)
script_callbacks.on_cfg_denoiser(count_step)
