"""The inpaint enhancer with a backend that records its passes: which instances, which prompts, which seeds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot import masks, preserve
from lib_prodshot.enhancing.inpaint import InpaintEnhancer
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import EnhanceError
from lib_prodshot.inpainting import ControlLists, Family, InpaintPass, PassDefaults, PassResult, pass_picture
from lib_prodshot.outcome import Detection
from lib_prodshot.request import Request

OWN = PassDefaults(prompt="own prompt", negative_prompt="own negative", seed=100)
LISTS = ControlLists(("control_v11f1p_sd15_depth",), ("none", "depth_midas"), "none", 3)


@dataclass
class Recorder:
    """Paints everything in a grey that tells the number of the pass."""

    control_ran: bool | None = None
    lists: ControlLists | None = LISTS
    defaults: PassDefaults = OWN
    plans: list[InpaintPass] = field(default_factory=list)
    checked: list[Any] = field(default_factory=list)

    def family(self, checkpoint: str = "") -> Family:
        return "sd15"

    def control_lists(self) -> ControlLists | None:
        return self.lists

    def missing_loras(self, names: Collection[str]) -> frozenset[str]:
        return frozenset(names)

    def check(self, sampler: str, scheduler: str, checkpoint: str) -> None:
        self.checked.append((sampler, scheduler, checkpoint))

    def inpaint(self, plan: InpaintPass) -> PassResult:
        self.plans.append(plan)
        grey = 40 * len(self.plans)
        return PassResult(np.full_like(plan.picture, grey), self.control_ran)


def task(request: Request, size: int = 256) -> Task:
    """A handbag on the left, a shoe and another shoe on the right, in a picture of noise."""
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    boxes = {"handbag": (20, 60, 90, 150), "shoe": (130, 40, 190, 80), "shoe ": (140, 150, 230, 220)}
    mask = np.zeros((size, size), np.uint8)
    found = []
    for name, (x0, y0, x1, y1) in boxes.items():
        mask[y0:y1, x0:x1] = 255
        found.append(Detection(name.strip(), 0.8, (x0, y0, x1, y1), (x1 - x0) * (y1 - y0)))
    if request.invert:
        mask = masks.invert(mask)
    pieces = tuple(piece_of(one.box) for one in found)
    return Task(picture, mask, masks.feather(mask, request.feather), tuple(found), request, pieces=pieces)


def piece_of(box: tuple[int, int, int, int]) -> masks.Piece:
    x0, y0, x1, y1 = box
    return masks.Piece((slice(y0, y1), slice(x0, x1)), np.full((y1 - y0, x1 - x0), 255, np.uint8))


def run(backend: Recorder | None = None, **settings: Any) -> tuple[Recorder, Task, Enhanced, InpaintEnhancer]:
    backend = backend or Recorder()
    settings = {"passes": "together", **settings}
    work = task(Request(products="handbag, shoe", **settings))
    enhancer = InpaintEnhancer(backend)
    return backend, work, enhancer.enhance(work), enhancer


def test_all_together_is_one_pass() -> None:
    backend, work, enhanced, enhancer = run(prompt="[class] on oak")
    (plan,) = backend.plans
    assert plan.prompt == "handbag, shoe on oak" and plan.negative_prompt == "own negative"
    assert (enhanced.rgb[work.mask == 255] == 40).all()
    assert (plan.seed, plan.steps, plan.cfg_scale, plan.sampler, plan.scheduler) == (100, 20, 7.0, "DPM++ 2M", "Karras")
    assert enhancer.ran == [
        "512x512, 20 steps DPM++ 2M Karras, CFG 7, denoising 0.75, seed 100, "
        "depth_midas control_v11f1p_sd15_depth weight 1 (not confirmed by the WebUI), "
        'prompt "handbag, shoe on oak", negative prompt "own negative"'
    ]


def test_each_instance_has_a_pass_and_a_seed_of_its_own() -> None:
    backend, work, enhanced, enhancer = run(prompt="[class] on oak", passes="each")
    assert [plan.prompt for plan in backend.plans] == ["handbag on oak", "shoe on oak", "shoe on oak"]
    assert [plan.seed for plan in backend.plans] == [100, 101, 102]
    for grey, found in zip((40, 80, 120), work.detections):
        x0, y0, x1, y1 = found.box
        assert (enhanced.rgb[y0:y1, x0:x1] == grey).all()
    assert len(enhancer.ran) == 3
    # each pass sees its product and what is around it, not the whole picture (where they take 4 to 10 %)
    assert all(plan.mask.mean() > 0.12 * 255 for plan in backend.plans)


def test_a_product_with_a_prompt_of_its_own_has_its_own_pass() -> None:
    backend, _, _, _ = run(prompt="[class] on oak", class_prompts="shoe: red [class]: worn, 7:30")
    assert [plan.prompt for plan in backend.plans] == ["handbag on oak", "red shoe: worn, 7:30"]


def test_later_passes_see_the_earlier_ones() -> None:
    backend, work, _, _ = run(passes="each", inpaint_area="whole picture", resolution=256)
    first, second, _ = backend.plans
    assert np.array_equal(first.picture, work.picture)
    assert (second.picture[100, 50] == 40).all()


def apart(gap: int, **settings: Any) -> tuple[Recorder, Enhanced, InpaintEnhancer, Task]:
    """Two shoes of 60×60 pixels, so far from each other, in a picture of 640×160."""
    boxes = [(40, 50, 100, 110), (100 + gap, 50, 160 + gap, 110)]
    mask = np.zeros((160, 640), np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 255
    found = tuple(Detection("shoe", 0.8, box, 3600) for box in boxes)
    request = Request(products="shoe", prompt="[class]", **settings)
    picture = np.random.default_rng(0).integers(0, 256, (160, 640, 3), dtype=np.uint8)
    pieces = tuple(piece_of(box) for box in boxes)
    work = Task(picture, mask, masks.feather(mask, request.feather), found, request, pieces=pieces)
    backend, said = Recorder(), []
    enhancer = InpaintEnhancer(backend, say=said.append)
    enhanced = enhancer.enhance(work)
    count = len(backend.plans)
    assert said == ([f"inpaint pass {number + 1} of {count}" for number in range(count)] if count > 1 else [])
    return backend, enhanced, enhancer, work


def test_near_products_share_a_pass_and_far_ones_do_not() -> None:
    near, _, _, _ = apart(20)
    assert len(near.plans) == 1
    far, enhanced, enhancer, work = apart(440)
    assert len(far.plans) == len(enhancer.ran) == 2 and enhanced.measures == {"passes": 2}
    assert [plan.seed for plan in far.plans] == [100, 101]
    together = apart(440, passes="together")[0]
    assert len(together.plans) == 1 and len(apart(20, passes="each")[0].plans) == 2
    # each product has many times the pixels that it has in one pass with the empty middle
    shared = np.count_nonzero(together.plans[0].mask) / 2
    assert all(np.count_nonzero(plan.mask) > 4 * shared for plan in far.plans)
    final = preserve.composite(work.picture, enhanced.rgb, work.alpha)
    assert (final[work.alpha == 0] == work.picture[work.alpha == 0]).all()
    assert (final[work.mask == 255] != work.picture[work.mask == 255]).any(axis=-1).mean() > 0.9


def test_a_whole_picture_is_seen_once() -> None:
    assert len(apart(440, inpaint_area="whole picture", resolution=640)[0].plans) == 1


def test_an_inverted_mask_is_one_pass() -> None:
    backend, _, _, _ = run(invert=True, passes="each", class_prompts="shoe: red")
    assert len(backend.plans) == 1


def test_the_last_composite_leaves_all_else_alone() -> None:
    _, work, enhanced, _ = run(passes="each")
    final = preserve.composite(work.picture, enhanced.rgb, work.alpha)
    assert (final[work.alpha == 0] == work.picture[work.alpha == 0]).all()
    assert not (final[work.mask == 255] == work.picture[work.mask == 255]).all(axis=-1).mean() > 0.05


def test_settings_go_before_the_picture_s_own() -> None:
    settings = {"steps": 5, "cfg_scale": 3.0, "sampler": "Euler", "scheduler": "Uniform", "seed": 1, "checkpoint": "x"}
    backend, _, _, _ = run(**settings, negative_prompt="bad [class]", inpainting_fill="latent nothing", feather=8.0)
    (plan,) = backend.plans
    assert (plan.steps, plan.cfg_scale, plan.sampler, plan.scheduler) == (5, 3.0, "Euler", "Uniform")
    assert (plan.seed, plan.checkpoint, plan.inpainting_fill) == (1, "x", 3)
    assert plan.negative_prompt == "bad handbag, shoe"
    assert backend.checked == [("Euler", "Uniform", "x")]
    # the host blurs at the pass's scale, so that the feather is as wide in the picture
    assert plan.mask_blur == pytest.approx(8 * plan.mask.shape[1] / 256, rel=0.2)


def test_an_empty_template_is_the_picture_s_own_prompt() -> None:
    assert run(prompt=" ")[0].plans[0].prompt == "own prompt"
    assert run(prompt="[class], [prompt]")[0].plans[0].prompt == "handbag, shoe, own prompt"


def test_a_template_without_its_lora() -> None:
    backend, _, enhanced, _ = run(prompt="ppzocketv2, [class], <lora:ppzocketv2-10:1>")
    assert backend.plans[0].prompt == "ppzocketv2, handbag, shoe"
    assert "LoRA not installed, left out of the prompt: ppzocketv2-10" in enhanced.notes


def test_the_shipped_template_holds_the_picture_s_own_prompt() -> None:
    backend, _, enhanced, _ = run()
    assert backend.plans[0].prompt == "own prompt, handbag, shoe, product photography, studio lighting"
    assert enhanced.notes == ()
    nothing = run(Recorder(defaults=PassDefaults()))[0]
    assert nothing.plans[0].prompt == "handbag, shoe, product photography, studio lighting"


def test_the_pass_has_the_asked_number_of_pixels() -> None:
    for resolution in (256, 512, 768):
        (plan,) = run(resolution=resolution)[0].plans
        assert 0.8 <= plan.mask.size / resolution**2 <= 1.25
    (plan,) = run(Recorder(defaults=PassDefaults(width=640, height=384)))[0].plans
    assert 0.8 <= plan.mask.size / (640 * 384) <= 1.25


def test_control_that_did_not_run() -> None:
    backend, _, enhanced, enhancer = run(Recorder(control_ran=False))
    assert backend.plans[0].control is not None
    assert any("did not take part" in note for note in enhanced.notes)
    assert ", no ControlNet, prompt " in enhancer.ran[0]
    with pytest.raises(EnhanceError, match="did not take part"):
        run(Recorder(control_ran=False), control="required")
    # a host that cannot tell is believed
    believed = run(Recorder(control_ran=None), control="required")[3].ran[0]
    assert "weight 1 (not confirmed by the WebUI)" in believed


def test_a_product_too_small_to_be_seen_is_said() -> None:
    mask = np.zeros((512, 512), np.uint8)
    mask[10:14, 10:14] = 255
    request = Request(products="ring", inpaint_area="whole picture", feather=0.0)
    work = Task(np.zeros((512, 512, 3), np.uint8), mask, mask, (Detection("ring", 0.9, (10, 10, 14, 14), 16),), request)
    with pytest.raises(EnhanceError, match="too small for this pass to see"):
        InpaintEnhancer(Recorder()).enhance(work)


def test_overlapping_instances_are_each_repainted_whole() -> None:
    """A tag that hangs before a bag: both passes see all of their own product."""
    mask = np.zeros((128, 128), np.uint8)
    mask[20:100, 20:100] = 255
    found = (Detection("bag", 0.9, (20, 20, 100, 100), 6400), Detection("tag", 0.8, (50, 50, 70, 90), 800))
    pieces = tuple(piece_of(one.box) for one in found)
    request = Request(products="bag, tag", passes="each", feather=0.0, inpaint_area="whole picture", resolution=128)
    backend = Recorder()
    InpaintEnhancer(backend).enhance(Task(np.zeros((128, 128, 3), np.uint8), mask, mask, found, request, pieces=pieces))
    assert [int((plan.mask == 255).sum()) for plan in backend.plans] == [6400, 800]


def test_a_picture_of_another_size_is_scaled_and_said() -> None:
    class Rounding(Recorder):
        """A fork that rounds a pass's size to its own grid."""

        def inpaint(self, plan: InpaintPass) -> PassResult:
            self.plans.append(plan)
            height, width = plan.mask.shape
            ramp = np.linspace(0, 255, height + 16).astype(np.uint8)[:, None, None]
            picture, notes = pass_picture(Image.fromarray(np.tile(ramp, (1, width, 3))), plan)
            return PassResult(picture, notes=notes)

    backend, work, enhanced, _ = run(Rounding(), inpaint_area="whole picture", resolution=256)
    height, width = backend.plans[0].mask.shape
    told = f"the WebUI answered a pass with {width}×{height + 16} pixels instead of {width}×{height}; it was scaled"
    assert told in enhanced.notes and enhanced.rgb.shape == work.picture.shape
    assert pass_picture(Image.fromarray(backend.plans[0].picture), backend.plans[0])[1] == ()
