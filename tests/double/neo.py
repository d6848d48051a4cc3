"""What neo has beside A1111 for edit models, as its tree of August 2026 has it: `backend.args.dynamic_args`, its
options and presets, references kept beside the model and in `dynamic_args`, and the always-on image stitch. Qwen-Image
2.1 is as newer ones have it: no flag, but a class that runs it, an option, and the places of the references.

The model itself is arithmetic: it gives back its first reference, moved and brightened, with something new in the
middle, as edit models do.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.double.modules.options import OptionInfo

FLAGS = ("kontext", "edit", "klein", "nunchaku", "wan", "pid", "krea2", "is_referencing")

PRESETS: dict[str, Any] = {
    "klein_i2i_step": 4,
    "klein_i2i_cfg": 1.0,
    "klein_i2i_sampler": "Euler",
    "klein_i2i_scheduler": "Karras",
    "flux_i2i_step": 5,
    "flux_i2i_cfg": 1.0,
    "flux_i2i_sampler": "Euler",
    "flux_i2i_scheduler": "Karras",
    "flux_i2i_dcfg": 3.0,
}

OPTIONS: dict[str, Any] = {"qwen_vae_resize": False, "klein_no_reference": False, **PRESETS}


@dataclass
class Neo:
    """The edit model of a host. `seen` are the references of each sampling (H×W×3); `shift`, `gain` and `grain` are
    what it does to the first of them, and `of_scene` says that it changes all but the middle. `model` and `args` are
    neo's own places."""

    args: Any
    model: Any
    stitches: list[Any]
    shift: tuple[float, float] = (3.0, -2.0)
    gain: float = 1.1
    grain: float = 0.0
    of_scene: bool = False
    seen: list[list[np.ndarray]] = field(default_factory=list)
    passes: list[Any] = field(default_factory=list)

    def painted(self, p: Any) -> np.ndarray:
        """What it makes of its references."""
        self.seen.append(list(self.args.ref_latents))
        if not self.args.ref_latents:
            return np.random.default_rng(p.seed).integers(0, 256, (p.height, p.width, 3), dtype=np.uint8)
        first = cv2.resize(self.args.ref_latents[0], (p.width, p.height))
        moved = cv2.warpAffine(
            first, np.array([[1.0, 0, self.shift[0]], [0, 1.0, self.shift[1]]]), (p.width, p.height), borderMode=2
        )
        middle = np.zeros(moved.shape[:2], bool)
        middle[p.height * 3 // 8 : p.height * 5 // 8, p.width * 3 // 8 : p.width * 5 // 8] = True
        if self.of_scene:
            middle = np.ones_like(middle)
            middle[p.height // 4 : p.height * 3 // 4, p.width // 4 : p.width * 3 // 4] = False
        moved[middle] = 255 - moved[middle]
        noise = np.random.default_rng(p.seed).normal(0, self.grain, moved.shape) if self.grain else 0
        return np.clip(moved * self.gain + noise, 0, 255).astype(np.uint8)


QWEN21 = "qwen21"
"""The kind that has no flag."""


def install(webui: Any, monkeypatch: pytest.MonkeyPatch, kind: str = "klein", stitch: bool = True) -> Neo:
    """Give the double neo's support of edit models, with one of this kind loaded ('' for none)."""
    flags = {kind: True} if kind and kind != QWEN21 else {}
    args = type("dynamic_args", (), {**dict.fromkeys(FLAGS, False), "ref_latents": [], **flags})
    module = ModuleType("backend.args")
    module.dynamic_args = args  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "backend", ModuleType("backend"))
    monkeypatch.setitem(sys.modules, "backend.args", module)
    model = webui.shared.sd_model
    vars(model).update(forge_objects=object(), ref_latents=[], ini_latent=None)
    for name, default in OPTIONS.items():
        webui.shared.opts.add_option(name, OptionInfo(default))
    neo = Neo(args, model, [])
    if kind == QWEN21:
        _run_by_its_own_class(webui, neo, monkeypatch)
    _teach(webui.processing, neo, monkeypatch)
    if stitch:
        neo.stitches = [webui.runner(is_img2img).add(_stitch(webui, neo), 3) for is_img2img in (False, True)]
    return neo


def _run_by_its_own_class(webui: Any, neo: Neo, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("backend.diffusion_engine.qwen21")
    module.QwenImage21 = type("QwenImage21", (type(neo.model),), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "backend.diffusion_engine", ModuleType("backend.diffusion_engine"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    neo.model = module.QwenImage21(**vars(neo.model))
    monkeypatch.setattr(webui.shared, "sd_model", neo.model)
    webui.shared.opts.add_option("qwen21_do_reference", OptionInfo(True))
    neo.args.image_slots = None


def _teach(processing: Any, neo: Neo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have img2img encode its picture as reference, condition on what there is, and sample by that; sizes are rounded
    to 64 pixels."""
    kind = processing.StableDiffusionProcessingImg2Img
    begin, sample = kind.init, kind.sample

    def init(self: Any, *arguments: Any) -> None:
        self.width, self.height = (max(64, (side + 32) // 64 * 64) for side in (self.width, self.height))
        begin(self, *arguments)
        neo.model.ini_latent = np.asarray(self._start.convert("RGB"))

    def sampled(self: Any, seed: int) -> Any:
        # neo conditions once for each prompt: what is cached keeps the references of its time
        is_qwen21 = type(neo.model).__name__ == "QwenImage21"
        is_edit = is_qwen21 or any(getattr(neo.args, name) for name in ("kontext", "edit", "klein"))
        is_on = processing.opts.qwen21_do_reference if is_qwen21 else not processing.opts.klein_no_reference
        if not is_edit or not is_on:
            return sample(self, seed)
        if self.cached_c[0] != self.prompt:
            neo.args.ref_latents = [neo.model.ini_latent, *neo.model.ref_latents]
            if is_qwen21:
                neo.args.image_slots = list(range(len(neo.args.ref_latents)))
            self.cached_c = [self.prompt, None]
        neo.passes.append(self)
        return neo.painted(self)

    monkeypatch.setattr(kind, "init", init)
    monkeypatch.setattr(kind, "sample", sampled)


def _stitch(webui: Any, neo: Neo) -> Any:
    """neo's image stitch: switched on, its pictures, their longer side."""

    class ImageStitch(webui.scripts.Script):  # type: ignore[misc, name-defined]
        filename = "/neo/extensions-builtin/sd_forge_image_stitch/scripts/image_stitch.py"

        def __init__(self) -> None:
            self.cached_parameters: Any = None

        def title(self) -> str:
            return "Bilder aneinander"

        def show(self, is_img2img: bool) -> Any:
            return webui.scripts.AlwaysVisible

        def process(self, p: Any, enable: Any = False, references: Any = (), max_dim: Any = 0) -> None:
            if not (enable and references):
                if self.cached_parameters is not None:
                    self.cached_parameters = None
                    neo.model.ref_latents.clear()
                return
            given = [picture if isinstance(picture, Image.Image) else picture[0] for picture in references]
            pictures = [np.asarray(picture) for picture in given]
            cache = [picture.tobytes() for picture in pictures]
            if cache != self.cached_parameters:
                self.cached_parameters = cache
                neo.model.ref_latents.clear()
                neo.model.ref_latents.extend(pictures)

    return ImageStitch()


def not_loaded(webui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its first generation neo has a stand-in for its model."""
    monkeypatch.setattr(webui.shared, "sd_model", SimpleNamespace())
