"""The one schema: every setting with its default, range, help text and infotext key.

The CLI's options, the API's fields, the WebUI's panel, the infotext, the X/Y/Z axes and the presets are drawn from
`Request`; nowhere else is a default or a range written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.products import (
    ProductClass,
    match_names,
    parse_products,
    parse_prompts,
    parse_thresholds,
    with_thresholds,
)
from lib_prodshot.schema import PYDANTIC_2, Setting, check_value, setting, settings_of

__all__ = ["ProductClass", "Request", "Setting", "check", "parse_products", "setting_named", "settings"]

WEBUI_BASE: Mapping[str, Any] = {"engine": "inpaint"}
"""What differs where a WebUI is at hand: its panel, script arguments and routes start from here, the CLI from the
fields' own defaults."""

if PYDANTIC_2:

    class _StrictModel(BaseModel):
        model_config = {"extra": "forbid", "frozen": True}

else:

    class _StrictModel(BaseModel):  # type: ignore[no-redef]
        class Config:
            extra = "forbid"
            allow_mutation = False
            frozen = True


class Request(_StrictModel):
    """What to look for and what to do with it. Immutable; unknown keys and values out of range are refused.

    Field order is the positional order of `script_args`: new fields are appended to their end, never inserted.

    Raises `RequestError` naming every field that is wrong.
    """

    products: str = setting(
        "",
        section="find",
        help="What to look for, comma-separated; synonyms after a colon: 'handbag, shoe: sneaker | trainer'.",
    )
    finder: str = setting(
        "auto",
        section="find",
        choices=("auto", "lite", "langsam"),
        help="Which finder to use: auto takes LangSAM when its weights are present, else the lite finder.",
    )
    box_threshold: float = setting(
        0.3,
        section="find",
        span=(0.0, 1.0, 0.01),
        help="A detection below this score is not a find (LangSAM's default, 0.3).",
    )
    text_threshold: float = setting(
        0.25,
        section="find",
        span=(0.0, 1.0, 0.01),
        help="A word of a product's name counts for a box from this score on (LangSAM's default, 0.25).",
    )
    class_thresholds: str = setting(
        "",
        label="Thresholds per product",
        section="find",
        help="Box thresholds for single products: 'watch: 0.4, shoe: 0.25'. Others use the box threshold.",
    )
    instances: str = setting(
        "all",
        section="find",
        choices=("all", "largest", "best", "index"),
        help="Which detections of each product to work on: all, the largest, the best scored, or one by its number.",
    )
    instance_index: int = setting(
        0,
        label="Instance number",
        section="find",
        span=(0, 63, 1),
        help="With instances 'index': which detection of each product, 0 being the best scored.",
    )
    mask_threshold: float = setting(
        0.5,
        section="mask",
        span=(0.01, 0.99, 0.01),
        help="A pixel belongs to the product from this probability on.",
    )
    grow: int = setting(
        0,
        label="Grow mask",
        section="mask",
        span=(-512, 512, 1),
        unit="pixels",
        help="Widen the mask by this many pixels; negative numbers shrink it.",
    )
    grow_share: float = setting(
        0.0,
        label="Grow mask by share",
        section="mask",
        span=(-0.5, 0.5, 0.01),
        help="Widen the mask by this share of its box's longer side, on top of 'grow'; negative numbers shrink it.",
    )
    fill_holes: float = setting(
        0.0,
        section="mask",
        span=(0.0, 1.0, 0.01),
        help="Fill holes up to this share of the mask's area (1 fills all, such as the gap under a handle); 0 is off.",
    )
    drop_specks: float = setting(
        0.01,
        section="mask",
        span=(0.0, 1.0, 0.01),
        help="Drop separate pieces of a mask smaller than this share of its largest piece; 0 keeps all.",
    )
    feather: float = setting(
        4.0,
        section="mask",
        span=(0.0, 64.0, 0.5),
        unit="pixels",
        help="Soften the mask's edge (the WebUI's mask blur; the seed used 4); it reaches 2.5 times as far.",
    )
    invert: bool = setting(
        False,
        label="Invert mask",
        section="mask",
        help="Work on everything but the product.",
    )
    engine: str = setting(
        "retouch",
        section="enhance",
        choices=("retouch", "inpaint"),
        help="How to enhance the product alone: retouch (photographic correction, no diffusion) or inpaint (diffusion "
        "by the WebUI's checkpoint, held to the product's shape by ControlNet).",
    )
    strength: float = setting(
        0.5,
        label="Retouch strength",
        section="enhance",
        span=(0.0, 1.0, 0.05),
        help="How much exposure, white balance, local contrast, clarity and saturation are corrected; 0 is nothing.",
    )
    delta_e_limit: float = setting(
        10.0,
        label="Colour limit",
        section="enhance",
        span=(0.0, 100.0, 0.5),
        unit="ΔE2000",
        help="The product's colour may move this far at most: mean and 95th percentile of ΔE2000 inside the mask.",
    )
    over_limit: str = setting(
        "reduce",
        label="Above the colour limit",
        section="enhance",
        choices=("reduce", "refuse"),
        help="Above the colour limit: reduce the strength until it is kept, or refuse and leave the picture as it was.",
    )
    prompt: str = setting(
        "ppzocketv2, [class], stylish, studio photography, product photography, ultra realistic, "
        "<lora:ppzocketv2-10:1>",
        label="Prompt template",
        section="inpaint",
        lines=2,
        help="The inpaint pass's prompt; [class] stands for the product found, [prompt] for the picture's own prompt. "
        "Empty: the picture's own prompt.",
    )
    negative_prompt: str = setting(
        "",
        section="inpaint",
        lines=2,
        help="The inpaint pass's negative prompt. Empty: the picture's own.",
    )
    class_prompts: str = setting(
        "",
        label="Prompts per product",
        section="inpaint",
        lines=3,
        help="Prompt templates for single products, one on a line: 'handbag: [class] with a floral design'. The other "
        "products use the prompt template.",
    )
    passes: str = setting(
        "together",
        label="Instance passes",
        section="inpaint",
        choices=("together", "each"),
        help="Inpaint all instances that share a prompt in one pass together, or each in a pass of its own.",
    )
    denoising_strength: float = setting(
        0.75,
        section="inpaint",
        span=(0.0, 1.0, 0.01),
        help="How far the pass may move away from the picture: 0 changes nothing, 1 starts from noise.",
    )
    inpaint_area: str = setting(
        "only masked",
        section="inpaint",
        choices=("only masked", "whole picture"),
        help="Work at full resolution on the product's surroundings only, or on the whole picture at once.",
    )
    padding: int = setting(
        32,
        section="inpaint",
        span=(0, 512, 4),
        unit="pixels",
        help="With 'only masked': how much around the product the pass gets to see.",
    )
    resolution: int = setting(
        0,
        section="inpaint",
        span=(0, 2048, 8),
        unit="pixels",
        help="The pass works on as many pixels as a square of this side, in the crop's own ratio; 0: as many as the "
        "picture's width times height in the WebUI.",
    )
    inpainting_fill: str = setting(
        "original",
        label="Masked content",
        section="inpaint",
        choices=("fill", "original", "latent noise", "latent nothing"),
        help="What the pass starts from inside the mask.",
    )
    steps: int = setting(
        0,
        section="inpaint",
        span=(0, 150, 1),
        help="Sampling steps of the pass; 0: the picture's own.",
    )
    cfg_scale: float = setting(
        0.0,
        label="CFG scale",
        section="inpaint",
        span=(0.0, 30.0, 0.5),
        help="How closely the pass follows its prompt; 0: the picture's own.",
    )
    sampler: str = setting(
        "",
        section="inpaint",
        help="Sampling method of the pass, such as 'DPM++ 2M'. Empty: the picture's own.",
    )
    scheduler: str = setting(
        "",
        section="inpaint",
        help="Schedule type of the pass, such as 'Karras'. Empty: the picture's own.",
    )
    seed: int = setting(
        -1,
        section="inpaint",
        span=(-1, 2**32 - 1, 1),
        help="Seed of the pass; -1: the picture's own. Further passes on one picture count up from it.",
    )
    checkpoint: str = setting(
        "",
        section="inpaint",
        help="Checkpoint of the pass, as the WebUI lists it. Empty: the picture's own.",
    )
    control: str = setting(
        "preferred",
        label="ControlNet",
        section="control",
        choices=("required", "preferred", "off"),
        help="Hold the product's shape with ControlNet: required (no ControlNet, no change), preferred (go on without, "
        "and say so) or off.",
    )
    control_module: str = setting(
        "depth_midas",
        label="Preprocessor",
        section="control",
        help="ControlNet's preprocessor, as the WebUI lists it; 'none' takes the picture as it is.",
    )
    control_model: str = setting(
        "",
        label="ControlNet model",
        section="control",
        help="ControlNet's model, with or without its hash. Empty: the installed one that fits preprocessor and "
        "checkpoint (SD1.5: control_v11f1p_sd15_depth).",
    )
    control_weight: float = setting(
        1.0,
        section="control",
        span=(0.0, 2.0, 0.05),
        help="How strongly ControlNet holds the product's shape; 0 is not at all.",
    )
    control_guidance_start: float = setting(
        0.0,
        label="Control start",
        section="control",
        span=(0.0, 1.0, 0.01),
        help="The share of the steps at which ControlNet begins.",
    )
    control_guidance_end: float = setting(
        1.0,
        label="Control end",
        section="control",
        span=(0.0, 1.0, 0.01),
        help="The share of the steps at which ControlNet ends.",
    )
    control_mode: str = setting(
        "Balanced",
        section="control",
        choices=("Balanced", "My prompt is more important", "ControlNet is more important"),
        help="Which wins where prompt and ControlNet disagree.",
    )
    control_resize_mode: str = setting(
        "Crop and Resize",
        section="control",
        choices=("Just Resize", "Crop and Resize", "Resize and Fill"),
        help="How ControlNet fits its picture to the pass's size (here they have the same ratio).",
    )
    control_processor_res: int = setting(
        512,
        label="Preprocessor resolution",
        section="control",
        span=(64, 2048, 8),
        unit="pixels",
        help="The resolution at which the preprocessor looks at the picture.",
    )
    control_pixel_perfect: bool = setting(
        False,
        label="Pixel perfect",
        section="control",
        help="Let ControlNet choose the preprocessor resolution from the pass's size.",
    )
    save_originals: bool = setting(
        False,
        section="output",
        help="Also keep each picture as it was before, in the gallery and on disk.",
    )
    save_masks: bool = setting(
        False,
        section="output",
        help="Also keep each mask (white: the product), in the gallery and on disk.",
    )
    save_overlays: bool = setting(
        False,
        section="output",
        help="Also keep each picture with its boxes, scores and mask drawn on it, in the gallery and on disk.",
    )

    def __init__(self, **values: Any) -> None:
        super().__init__(**check(values))

    @classmethod
    def from_arguments(cls, arguments: Sequence[Any], base: Mapping[str, Any] | None = None) -> Request:
        """Build a request from script arguments: values in schema order, mappings by name, in any mixture.

        A mapping takes up one place and overrides by name whatever stands in the others; `base` holds what the caller
        did not give. None stands for "not given". More values than fields are refused.
        """
        table = settings()
        surplus = [value for value in arguments[len(table) :] if not isinstance(value, Mapping)]
        if surplus:
            message = f"{len(table) + len(surplus)} positional values for {len(table)} fields"
            raise RequestError([FieldProblem("script_args", message, f"at most {len(table)} values")])
        values = dict(base or {})
        for known, value in zip(table, arguments):
            if value is not None and not isinstance(value, Mapping):
                values[known.name] = value
        for argument in arguments:
            if isinstance(argument, Mapping):
                values.update(argument)
        return cls(**values)

    def to_dict(self, only_changed: bool = False, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All fields by name; `only_changed` leaves out those that stand at their default (as `base` changes it)."""
        table = settings(base)
        values = {known.name: getattr(self, known.name) for known in table}
        return {
            known.name: values[known.name] for known in table if not only_changed or values[known.name] != known.default
        }

    def replace(self, **changes: Any) -> Request:
        """A copy with some fields changed, checked like any other request."""
        return Request(**{**self.to_dict(), **changes})

    def only(self, product: ProductClass) -> Request:
        """The same request for one of its products alone, with that product's own threshold and prompt."""
        key = product.phrases[0]
        thresholds = {name: value for name, value in parse_thresholds(self.class_thresholds).items() if name == key}
        prompts = {name: prompt for name, prompt in self.prompts.items() if name == key}
        return self.replace(
            products=product.as_text(),
            class_thresholds=", ".join(f"{product.name}: {value!r}" for value in thresholds.values()),
            class_prompts="\n".join(f"{product.name}: {prompt}" for prompt in prompts.values()),
        )

    @property
    def classes(self) -> tuple[ProductClass, ...]:
        """The products as classes with synonyms and thresholds. Raises `RequestError` when there are none."""
        return with_thresholds(parse_products(self.products), self.class_thresholds, self.box_threshold)

    @property
    def prompts(self) -> dict[str, str]:
        """The prompt templates of single products, by the first phrase of their class."""
        return parse_prompts(self.class_prompts)


_SETTINGS: list[Setting] = []


def settings(base: Mapping[str, Any] | None = None) -> tuple[Setting, ...]:
    """The schema as a table, in positional order; `base` puts other defaults in place (such as `WEBUI_BASE`)."""
    if not _SETTINGS:
        _SETTINGS.extend(settings_of(Request))
    if not base:
        return tuple(_SETTINGS)
    return tuple(replace(known, default=base.get(known.name, known.default)) for known in _SETTINGS)


def setting_named(name: str, base: Mapping[str, Any] | None = None) -> Setting:
    """One field of the schema. Raises KeyError for an unknown name."""
    for known in settings(base):
        if known.name == name:
            return known
    raise KeyError(name)


def check(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check names, types and ranges of `values`; returns them in the schema's own types.

    Numbers are accepted for numbers only (not as text), whole floats for whole numbers (sliders send 4.0), a list
    of names for products. Raises `RequestError` with one problem for each wrong field.
    """
    table = {known.name: known for known in settings()}
    problems: list[FieldProblem] = []
    accepted: dict[str, Any] = {}
    for name, value in values.items():
        if name not in table:
            problems.append(FieldProblem(str(name), "unknown setting", ", ".join(table)))
            continue
        try:
            accepted[name] = check_value(table[name], value)
        except ValueError as error:
            problems.append(FieldProblem(name, str(error), table[name].allowed))
    problems.extend(_check_together(accepted))
    if problems:
        raise RequestError(problems)
    return accepted


def _check_together(accepted: Mapping[str, Any]) -> Iterable[FieldProblem]:
    """Problems of the fields that hold a small language of their own, or that must agree with another field."""
    start, end = accepted.get("control_guidance_start", 0.0), accepted.get("control_guidance_end", 1.0)
    if start > end:
        yield FieldProblem(
            "control_guidance_start", f"{start:g} is after control_guidance_end, {end:g}", f"up to {end:g}"
        )
    try:
        classes = parse_products(accepted["products"]) if accepted.get("products", "").strip() else None
    except RequestError as error:
        yield from error.problems
        return
    for name, parse in (("class_thresholds", parse_thresholds), ("class_prompts", parse_prompts)):
        try:
            entries = parse(accepted.get(name, ""))
            if classes is not None:
                match_names(classes, entries, name)
        except RequestError as error:
            yield from error.problems
