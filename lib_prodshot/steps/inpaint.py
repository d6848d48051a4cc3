"""The step that repaints the product by diffusion, held to its shape by ControlNet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lib_prodshot.errors import FieldProblem
from lib_prodshot.products import parse_prompts
from lib_prodshot.schema import setting
from lib_prodshot.steps.enhance import EnhanceStep
from lib_prodshot.steps.find import prompt_problems
from lib_prodshot.steps.interface import StepSettings

_WITH_CONTROL = {"control": ["required", "preferred"]}


class InpaintSettings(StepSettings):
    """The inpaint pass: prompt, sampling, area and ControlNet unit. Defaults are the seed author's."""

    prompt: str = setting(
        "[prompt], [class], product photography, studio lighting",
        label="Prompt template",
        lines=2,
        help="The inpaint pass's prompt; [class] stands for the product found, [prompt] for the picture's own prompt, "
        "and what stands for nothing falls away. Empty: the picture's own prompt.",
    )
    negative_prompt: str = setting(
        "",
        lines=2,
        help="The inpaint pass's negative prompt. Empty: the picture's own.",
        inherits="",
    )
    class_prompts: str = setting(
        "",
        label="Prompts per product",
        lines=3,
        help="Prompt templates for single products, one on a line: 'handbag: [class] with a floral design'. The other "
        "products use the prompt template.",
        example="handbag: [class] with a floral design",
    )
    passes: str = setting(
        "auto",
        label="Instance passes",
        choices=("auto", "together", "each"),
        help="Of the instances that share a prompt, inpaint those near each other in one pass (auto), all of them, or "
        "each in a pass of its own. A pass has the same number of pixels whatever it shows.",
    )
    denoising_strength: float = setting(
        0.75,
        span=(0.0, 1.0, 0.01),
        help="How far the pass may move away from the picture: 0 changes nothing, 1 starts from noise.",
    )
    inpaint_area: str = setting(
        "only masked",
        choices=("only masked", "whole picture"),
        help="Work at full resolution on the product's surroundings only, or on the whole picture at once.",
    )
    padding: int = setting(
        32,
        span=(0, 512, 4),
        unit="pixels",
        help="With 'only masked': how much around the product the pass gets to see.",
        when={"inpaint_area": ["only masked"]},
    )
    resolution: int = setting(
        0,
        span=(0, 2048, 8),
        unit="pixels",
        help="The pass works on as many pixels as a square of this side, in the crop's own ratio; 0: as many as the "
        "picture's width times height in the WebUI.",
        inherits=0,
    )
    inpainting_fill: str = setting(
        "original",
        label="Masked content",
        choices=("fill", "original", "latent noise", "latent nothing"),
        help="What the pass starts from inside the mask.",
    )
    steps: int = setting(
        0,
        span=(0, 150, 1),
        help="Sampling steps of the pass; 0: the picture's own.",
        fold="Sampling",
        inherits=0,
    )
    cfg_scale: float = setting(
        0.0,
        label="CFG scale",
        span=(0.0, 30.0, 0.5),
        help="How closely the pass follows its prompt; 0: the picture's own.",
        fold="Sampling",
        inherits=0.0,
    )
    sampler: str = setting(
        "",
        help="Sampling method of the pass, such as 'DPM++ 2M'. Empty: the picture's own.",
        fold="Sampling",
        inherits="",
    )
    scheduler: str = setting(
        "",
        help="Schedule type of the pass, such as 'Karras'. Empty: the picture's own.",
        fold="Sampling",
        inherits="",
    )
    seed: int = setting(
        -1,
        span=(-1, 2**32 - 1, 1),
        help="Seed of the pass; -1: the picture's own. Further passes on one picture count up from it.",
        fold="Sampling",
        inherits=-1,
    )
    checkpoint: str = setting(
        "",
        help="Checkpoint of the pass, as the WebUI lists it. Empty: the picture's own.",
        fold="Sampling",
        inherits="",
    )
    control: str = setting(
        "preferred",
        label="ControlNet",
        section="control",
        choices=("required", "preferred", "off"),
        help="Hold the product's shape with ControlNet: required (no ControlNet, no change), preferred (go on without, "
        "and say so) or off.",
        fold="ControlNet",
    )
    control_module: str = setting(
        "depth_midas",
        label="Preprocessor",
        section="control",
        help="ControlNet's preprocessor, as the WebUI lists it; 'none' takes the picture as it is, 'auto' what is "
        "installed (depth, else soft edges, else inpaint).",
        fold="ControlNet",
        when=_WITH_CONTROL,
    )
    control_model: str = setting(
        "",
        label="ControlNet model",
        section="control",
        help="ControlNet's model, with or without its hash. Empty: the installed one that fits preprocessor and "
        "checkpoint (SD1.5: control_v11f1p_sd15_depth).",
        fold="ControlNet",
        when=_WITH_CONTROL,
    )
    control_weight: float = setting(
        1.0,
        section="control",
        span=(0.0, 2.0, 0.05),
        help="How strongly ControlNet holds the product's shape; 0 is not at all.",
        fold="ControlNet",
        when=_WITH_CONTROL,
    )
    control_guidance_start: float = setting(
        0.0,
        label="Control start",
        section="control",
        span=(0.0, 1.0, 0.01),
        help="The share of the steps at which ControlNet begins.",
        fold="ControlNet",
        when=_WITH_CONTROL,
    )
    control_guidance_end: float = setting(
        1.0,
        label="Control end",
        section="control",
        span=(0.0, 1.0, 0.01),
        help="The share of the steps at which ControlNet ends.",
        fold="ControlNet",
        when=_WITH_CONTROL,
    )
    control_mode: str = setting(
        "Balanced",
        section="control",
        choices=("Balanced", "My prompt is more important", "ControlNet is more important"),
        help="Which wins where prompt and ControlNet disagree.",
        fold="ControlNet",
        when=_WITH_CONTROL,
    )
    control_resize_mode: str = setting(
        "Crop and Resize",
        section="control",
        choices=("Just Resize", "Crop and Resize", "Resize and Fill"),
        help="How ControlNet fits its picture to the pass's size (here they have the same ratio).",
        fold="ControlNet",
        when=_WITH_CONTROL,
    )
    control_processor_res: int = setting(
        512,
        label="Preprocessor resolution",
        section="control",
        span=(64, 2048, 8),
        unit="pixels",
        help="The resolution at which the preprocessor looks at the picture.",
        fold="ControlNet",
        when={**_WITH_CONTROL, "control_pixel_perfect": [False]},
    )
    control_pixel_perfect: bool = setting(
        False,
        label="Pixel perfect",
        section="control",
        help="Let ControlNet choose the preprocessor resolution from the pass's size.",
        fold="ControlNet",
        when=_WITH_CONTROL,
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        """ControlNet that ends before it begins; prompts that cannot be read, or are for none of the products."""
        start, end = values.get("control_guidance_start", 0.0), values.get("control_guidance_end", 1.0)
        if start > end:
            yield FieldProblem(
                "control_guidance_start", f"{start:g} is after control_guidance_end, {end:g}", f"up to {end:g}"
            )
        yield from prompt_problems(values, "class_prompts")

    @property
    def prompts(self) -> dict[str, str]:
        """The prompt templates of single products, by the first phrase of their class."""
        return parse_prompts(self.class_prompts)


class InpaintStep(EnhanceStep[InpaintSettings]):
    """One img2img inpaint pass for each prompt. The passes are `lib_prodshot.enhancing.inpaint`."""

    id = "inpaint"
    version = 2
    settings = InpaintSettings
    engine = "inpaint"
    on_webui = True
