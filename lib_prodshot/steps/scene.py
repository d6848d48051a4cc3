"""The step that paints a scene around the product by diffusion: the ground of a packshot, by the inpainting backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import FieldProblem
from lib_prodshot.schema import setting
from lib_prodshot.steps.enhance import asked
from lib_prodshot.steps.find import prompt_problems
from lib_prodshot.steps.interface import State, Step, StepSettings

if TYPE_CHECKING:
    from lib_prodshot.request import Request

_SCENE = {"ground": ["scene"]}

_LARGE = 0.8
"""The share of the frame from which on a product leaves a scene little room."""


class SceneSettings(StepSettings):
    """What is painted around the product, and what is kept of the picture."""

    scene: str = setting(
        "[prompt], [class] on a wooden table, soft daylight, product photography",
        section="packshot",
        label="Scene",
        lines=2,
        help="With ground 'scene': the prompt that the ground is painted by; [class] stands for the product found, "
        "[prompt] for the picture's own prompt.",
        named_only=True,
        when=_SCENE,
    )
    scene_per_product: str = setting(
        "",
        section="packshot",
        label="Scenes per product",
        lines=3,
        help="Scenes for single products, one on a line: 'shoe: [class] on wet asphalt'. The other products use the "
        "scene.",
        example="shoe: [class] on wet asphalt, evening",
        named_only=True,
        when=_SCENE,
    )
    scene_keep: str = setting(
        "product",
        section="packshot",
        label="Keep in the scene",
        choices=("product", "picture"),
        help="With ground 'scene': keep the product and paint all around it, or keep the whole picture and paint what "
        "the frame adds to it (set a size, such as 16:9).",
        named_only=True,
        when=_SCENE,
    )
    scene_denoising: float = setting(
        1.0,
        section="packshot",
        label="Scene denoising strength",
        span=(0.0, 1.0, 0.01),
        help="How far the scene may move away from the picture's own blurred ground: 1 starts from noise.",
        named_only=True,
        when=_SCENE,
    )
    scene_light: float = setting(
        0.5,
        section="packshot",
        label="Scene light",
        span=(0.0, 1.0, 0.05),
        help="How much of the light around the product in its own picture, its level and the side that it falls from, "
        "is carried over to the painted ground; 0 leaves it as it was painted.",
        named_only=True,
        when=_SCENE,
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        """Scenes that cannot be read, or are for none of the products."""
        yield from prompt_problems(values, "scene_per_product")


class SceneStep(Step[SceneSettings]):
    """Paint the ground of a packshot around its product, in the frame, by the inpaint pass that the host runs.

    The pass sees the product and may paint anything; the product is laid over it from the input afterwards, exactly.
    """

    id = "paint_scene"
    settings = SceneSettings
    tab = "Packshot"
    prefix = ""
    make = "packshot"
    per_target = True
    per_try = True
    borrows = (
        "negative_prompt", "resolution", "steps", "cfg_scale", "sampler", "scheduler", "seed", "checkpoint", "control",
        "control_module", "control_model", "control_weight", "control_guidance_start", "control_guidance_end",
        "control_mode", "control_resize_mode", "control_processor_res", "control_pixel_perfect",
    )  # fmt: skip

    def applies(self, state: State) -> bool:
        """Where the ground is to be a scene."""
        return super().applies(state) and state.request.compose.ground == "scene"

    def run(self, state: State) -> State:
        """Figures: `light`, the largest change of the painted ground's light, and what the enhancer measured."""
        from lib_prodshot.packshot import scenes

        assert state.cutout is not None and state.placement is not None
        answered = self._painted(state)
        if answered.enhanced is None:
            return answered
        # the packshot is made of the scene's own array
        ours = answered.enhanced.rgb.copy()
        answered = replace(answered, enhanced=replace(answered.enhanced, rgb=ours), scene=ours)
        _, change = scenes.lit(ours, state.cutout, state.placement, self.options(state.request).scene_light)
        return replace(answered, figures={**answered.figures, "light": round(change, 3)})

    def _painted(self, state: State) -> State:
        """The state with what the pass painted; where there is nothing to paint with the scene as it is."""
        from lib_prodshot.enhancing.interface import Task
        from lib_prodshot.packshot import scenes

        assert state.cutout is not None and state.placement is not None
        options, outcome = self.options(state.request), state.outcome
        start, mask = scenes.start(state.cutout, state.placement)
        if not mask.any():
            outcome.notes += ("the product fills the frame; there is nowhere to paint a scene",)
            return replace(state, scene=start, figures={"light": 1.0})
        if options.scene_keep == "product" and (mask == 0).mean() > _LARGE:
            outcome.notes += ("the product fills most of the frame: there is little room for a scene; lower the fill",)
        task = Task(start, mask, mask, outcome.detections, pass_request(state.request), attempt=state.attempt)
        return asked(state, task)


def pass_request(request: Request) -> Request:
    """The settings of a scene's inpaint pass: one pass over the whole frame, with the scene as its prompt, and the
    ControlNet that is installed where none was named."""
    options = request.paint_scene
    control = {} if request.control_module != _default_control() else {"control_module": "auto"}
    return request.replace(
        prompt=options.scene,
        class_prompts=options.scene_per_product,
        denoising_strength=options.scene_denoising,
        inpaint_area="whole picture",
        inpainting_fill="original",
        invert=True,
        feather=0,
        **control,
    )


def _default_control() -> str:
    from lib_prodshot.steps.inpaint import InpaintSettings

    return str(InpaintSettings().control_module)
