"""A scene around the product: what the pass gets and what is kept, by a backend that paints known grounds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from lib_prodshot.control import AUTOMATIC, choose_unit
from lib_prodshot.enhancing.inpaint import InpaintEnhancer
from lib_prodshot.errors import EnhanceError, RequestError
from lib_prodshot.inpainting import ControlLists, InpaintPass, PassResult
from lib_prodshot.outcome import Outcome, PackshotAudit
from lib_prodshot.packshot import scenes
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.placement import Placement, identity
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.pipeline import run
from lib_prodshot.request import Request
from tests.enhancing.test_inpaint import Recorder
from tests.finders import fixed_finder

SCENE = Request(products="car", make="packshot", ground="scene", edges="hard", scene="[class] on sand", resolution=128)
PRODUCT = (slice(20, 60), slice(30, 90))
"""Where the finder finds it."""


@pytest.fixture(scope="module")
def loaded() -> LoadedPicture:
    return LoadedPicture.from_rgb(np.random.default_rng(5).integers(40, 215, (80, 120, 3), np.uint8))


@dataclass
class Noise(Recorder):
    """Paints noise over everything, the product too, as a careless host does."""

    seen: list[InpaintPass] = field(default_factory=list)

    def inpaint(self, plan: InpaintPass) -> PassResult:
        self.seen.append(plan)
        rng = np.random.default_rng(plan.seed)
        return PassResult(rng.integers(0, 255, plan.picture.shape, np.uint8), self.control_ran)


def made(loaded: LoadedPicture, backend: Noise, **changes: object) -> Outcome:
    outcome = run(loaded, SCENE.replace(**changes), fixed_finder(), InpaintEnhancer(backend))
    assert outcome.status == "found", outcome.verdict
    return outcome


def test_the_product_is_the_inputs_whatever_the_host_paints(loaded: LoadedPicture) -> None:
    backend = Noise()
    outcome = made(loaded, backend)
    assert outcome.picture is not None and np.array_equal(outcome.picture[PRODUCT], loaded.rgb[PRODUCT])
    assert outcome.audit == PackshotAudit(0, 40 * 60)
    ground = np.ones(outcome.picture.shape[:2], bool)
    ground[PRODUCT] = False
    assert (outcome.picture[ground] != loaded.rgb[ground]).any(axis=1).mean() > 0.95
    (plan,) = backend.seen
    assert plan.prompt == "car on sand" and plan.denoising_strength == 1.0 and plan.mask_blur == 0
    assert plan.control is not None and plan.control["module"] == "depth_midas"
    inner = plan.mask == 0
    assert inner.mean() == pytest.approx(40 * 60 / (80 * 120), abs=0.03)
    record = next(record for record in outcome.steps if record.step == "paint_scene")
    assert record.figures["passes"] == 1


def test_the_same_seed_gives_the_same_scene_and_another_another(loaded: LoadedPicture) -> None:
    first, again, other = (made(loaded, Noise(), seed=seed).picture for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_each_product_has_its_scene(loaded: LoadedPicture) -> None:
    backend = Noise()
    made(loaded, backend, scene_per_product="car: [class] in the rain")
    assert backend.seen[0].prompt == "car in the rain"
    with pytest.raises(RequestError, match="shoe") as refused:
        SCENE.replace(scene_per_product="shoe: [class] on grass")
    assert refused.value.problems[0].field == "scene_per_product"


def test_a_kept_picture_is_bit_identical_within_a_wider_frame(loaded: LoadedPicture) -> None:
    backend = Noise()
    outcome = made(loaded, backend, scene_keep="picture", size="2:1")
    assert outcome.picture is not None and outcome.picture.shape == (80, 160, 3)
    assert np.array_equal(outcome.picture[:, 20:140], loaded.rgb)
    assert outcome.audit == PackshotAudit(0, 80 * 120)
    assert (backend.seen[0].mask > 0).mean() == pytest.approx(0.25, abs=0.05)
    # and where the frame adds nothing there is nothing to paint
    untouched = Noise()
    same = made(loaded, untouched, scene_keep="picture")
    assert not untouched.seen and np.array_equal(same.picture, loaded.rgb)
    assert any("nowhere to paint" in note for note in same.notes)


def test_absent_products_cost_no_pass(loaded: LoadedPicture) -> None:
    backend = Noise()
    outcome = run(loaded, SCENE.replace(box_threshold=0.95), fixed_finder(), InpaintEnhancer(backend))
    assert outcome.status == "skipped" and not backend.seen


def test_an_interrupt_is_a_failure_and_nothing_is_made(loaded: LoadedPicture) -> None:
    class Broken(Noise):
        def inpaint(self, plan: InpaintPass) -> PassResult:
            raise EnhanceError("the pass was interrupted")

    outcome = run(loaded, SCENE, fixed_finder(), InpaintEnhancer(Broken()))
    assert outcome.status == "failed" and outcome.result is None and "interrupted" in outcome.verdict.reason


def ramp(low: float, high: float) -> np.ndarray:
    """An 80×120 grey picture, lighter from left to right."""
    row = np.linspace(low, high, 120, dtype=np.float32)
    return np.repeat(np.broadcast_to(row, (80, 120))[..., None], 3, axis=2).astype(np.uint8)


def cut_of(picture: np.ndarray) -> CutOut:
    alpha = np.zeros((80, 120), np.float32)
    alpha[PRODUCT] = 1
    return CutOut.of(picture, alpha, picture, np.zeros((80, 120), np.uint8))


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_the_light_falls_from_the_side_that_it_fell_from(strength: float) -> None:
    painted, change = scenes.lit(ramp(120, 120), cut_of(ramp(100, 140)), identity(80, 120), strength)
    left, right = (float(np.log(painted[:, part].mean())) for part in (slice(0, 12), slice(108, 120)))
    wanted = strength * float(np.log(138 / 102))
    assert right - left == pytest.approx(wanted, abs=0.03)
    assert change == pytest.approx(np.exp(wanted / 2), abs=0.03)


def test_a_scene_keeps_its_own_lightness_and_a_burnt_out_page_says_nothing() -> None:
    dark, change = scenes.lit(ramp(60, 60), cut_of(ramp(200, 200)), identity(80, 120), 1.0)
    assert change == pytest.approx(np.exp(0.15), abs=0.01) and dark.mean() < 72
    same, change = scenes.lit(ramp(60, 60), cut_of(ramp(255, 255)), identity(80, 120), 1.0)
    assert change == 1.0 and np.array_equal(same, ramp(60, 60))


def test_where_the_frame_is_larger_only_the_pictures_own_ground_is_measured() -> None:
    placed = Placement(240, 160, 1.0, 60, 40)
    painted, _ = scenes.lit(np.full((160, 240, 3), 120, np.uint8), cut_of(ramp(100, 140)), placed, 1.0)
    assert painted[:, 230:].mean() > painted[:, :10].mean() + 10


@pytest.mark.parametrize(
    ("models", "modules", "chosen"),
    [
        (("control_v11f1p_sd15_depth",), ("none", "depth_anything"), ("depth_anything", "control_v11f1p_sd15_depth")),
        (("control_v11p_sd15_softedge",), ("none", "depth_midas", "softedge_hed"), ("softedge_hed",)),
        (("control_v11p_sd15_inpaint",), ("none", "inpaint_only"), ("inpaint_only", "control_v11p_sd15_inpaint")),
        (("control_v11p_sd15_openpose",), ("none", "openpose"), None),
    ],
)
def test_the_control_is_what_is_installed(
    models: tuple[str, ...], modules: tuple[str, ...], chosen: tuple[str, ...] | None
) -> None:
    lists = ControlLists(models, modules, "none", 3)
    choice = choose_unit(SCENE.replace(control_module=AUTOMATIC), "sd15", lists)
    if chosen is None:
        assert choice.unit is None and "control_v11f1p_sd15_depth" in choice.notes[0]
        return
    assert choice.unit is not None and choice.unit["module"] == chosen[0] and choice.unit["model"] == models[0]
