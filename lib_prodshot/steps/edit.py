"""The step that has an edit model change the product, or everything around it, by an instruction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lib_prodshot.editing import REFERENCES
from lib_prodshot.errors import FieldProblem
from lib_prodshot.schema import setting
from lib_prodshot.steps.enhance import EnhanceStep
from lib_prodshot.steps.interface import StepSettings
from lib_prodshot.storage.urls import is_url


class EditSettings(StepSettings):
    """What the model is told and shown, how it samples, and how far its result may have drifted."""

    instruction: str = setting(
        "Retouch [class] for a shop: clean light, crisp material; keep its shape, colours and lettering",
        label="Edit instruction",
        lines=2,
        help="With the engine edit: what an edit model (Flux.2 Klein, Qwen-Image-Edit, Kontext) is to do, such as 'put "
        "new leather on [class]'; [class] stands for the product found, [prompt] for the picture's own prompt.",
        example="[class] on a marble table, morning light",
    )
    scope: str = setting(
        "product",
        label="What to edit",
        choices=("product", "scene"),
        help="Take the product from the edited picture and keep all else (product), or keep the product and take all "
        "else (scene).",
    )
    references: str = setting(
        "",
        label="Further references",
        lines=3,
        help=f"Up to {REFERENCES} further pictures that the model is shown, such as a ground or a logo: files, "
        "one on a line. The picture itself is always the first.",
        example="marble.jpg",
    )
    area: str = setting(
        "whole picture",
        choices=("whole picture", "around the product"),
        help="What the model sees: the whole picture, or only the product's surroundings, larger (a scene edit: always "
        "the whole).",
        when={"edit_scope": ["product"]},
    )
    margin: float = setting(
        0.5,
        span=(0.1, 2.0, 0.05),
        help="With 'around the product': how much of its surroundings the model sees, as a share of the product's "
        "longer side.",
        when={"edit_scope": ["product"], "edit_area": ["around the product"]},
    )
    resolution: int = setting(
        1024,
        span=(64, 2048, 64),
        unit="pixels",
        help="The edit works on about as many pixels as a square of this side, in the picture's ratio and multiples of "
        "64: these models are made for one megapixel.",
    )
    negative_prompt: str = setting(
        "",
        lines=2,
        help="What the edit is to avoid; distilled models (CFG 1) do not read it.",
        fold="Edit sampling",
    )
    steps: int = setting(
        0,
        span=(0, 150, 1),
        help="Sampling steps of the edit; 0: the picture's own, or where there is none or with another checkpoint the "
        "WebUI's preset for the model.",
        fold="Edit sampling",
        inherits=0,
    )
    cfg_scale: float = setting(
        0.0,
        label="Edit CFG scale",
        span=(0.0, 30.0, 0.5),
        help="How closely the edit follows its instruction; 0: as for the steps.",
        fold="Edit sampling",
        inherits=0.0,
    )
    sampler: str = setting(
        "",
        help="Sampling method of the edit. Empty: as for the steps.",
        fold="Edit sampling",
        inherits="",
    )
    scheduler: str = setting(
        "",
        help="Schedule type of the edit. Empty: as for the steps.",
        fold="Edit sampling",
        inherits="",
    )
    seed: int = setting(
        -1,
        span=(-1, 2**32 - 1, 1),
        help="Seed of the edit; -1: the picture's own.",
        fold="Edit sampling",
        inherits=-1,
    )
    checkpoint: str = setting(
        "",
        help="The edit model, as the WebUI lists it. Empty: the checkpoint in use.",
        fold="Edit sampling",
        inherits="",
    )
    drift_limit: float = setting(
        0.05,
        span=(0.0, 0.2, 0.005),
        help="Edit models shift and zoom. The result is put back onto the input by what must not change; where a "
        "corner lay further off than this share of the longer side, the picture is left as it was.",
        fold="Drift",
    )
    colour_match: float = setting(
        1.0,
        span=(0.0, 1.0, 0.05),
        help="Edit models change the light. Take back so much of what they changed where nothing was to change; lower "
        "it where the instruction asks for another light.",
        fold="Drift",
    )
    grain: str = setting(
        "match",
        choices=("match", "keep"),
        help="Give the edit the input's grain, smoothing it or adding to it (match), or leave it as the model made it "
        "(keep).",
        fold="Drift",
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        """More references than a model tells apart, or addresses among them; an edit without an instruction."""
        names = named_references(values.get("edit_references", ""))
        count = len(names)
        if any(is_url(name) for name in names):
            yield FieldProblem("edit_references", "references are files, not addresses", "files, one on a line")
        if count > REFERENCES:
            yield FieldProblem("edit_references", f"{count} pictures are too many", f"up to {REFERENCES}, a line each")
        if values.get("engine") == "edit" and not values.get("edit_instruction", "-").strip():
            yield FieldProblem("edit_instruction", "the engine edit needs an instruction", "such as 'clean [class]'")


class EditStep(EnhanceStep[EditSettings]):
    """One pass of an edit model by an instruction, registered to the input: `lib_prodshot.enhancing.edit`."""

    id = "edit"
    settings = EditSettings
    prefix = None
    engine = "edit"
    on_webui = True


def named_references(text: str) -> tuple[str, ...]:
    """The files that a setting names, one a line.

    >>> named_references("marble.jpg\\n\\n logo.png ")
    ('marble.jpg', 'logo.png')
    """
    return tuple(line.strip() for line in text.splitlines() if line.strip())
