"""Enhance by an edit model: one pass over the picture by an instruction, run by an `EditingBackend`.

Such a model heeds no mask: it shifts, zooms, brightens and grains the whole picture. What must not have changed is
known, so its result is registered to the input by that (`registration`), given back its light (`colour_match`) and its
grain (`grain`); the composite then takes from it what was asked for, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.editing import GRID, REFERENCES, EditingBackend, EditPass, EditResult, Sampling
from lib_prodshot.enhancing.colour_match import Match, match_colours
from lib_prodshot.enhancing.crop import Crop
from lib_prodshot.enhancing.grain import match_grain, spread
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.enhancing.painted import painted_with
from lib_prodshot.enhancing.prompts import fill_template, leave_out_missing
from lib_prodshot.enhancing.registration import Drift, NotRegistered, register

if TYPE_CHECKING:
    from lib_prodshot.request import Request

Array = npt.NDArray[np.uint8]

SEED_STEP = 100_003
"""Seeds of a further try begin so much higher, as those of the inpaint pass."""

_SEEN = 0.5
"""Pixels of the pass from which on a drift is told the user."""

_LIT = 1.0
"""ΔE2000 from which on a change of light is told."""

LIGHT_LEFT = 3.0
"""Mean ΔE2000 that may be left after the colour match where nothing was to change: twice what drifts with light, tint
and grain leave (docs/edit.md), and less than a grey or black picture leaves."""

_PIXELS = 0.15
"""A pass may have so much more or less pixels than were asked for, to come nearer to the picture's ratio."""


@dataclass
class EditEnhancer:
    """Runs the edit of one picture. `ran` says afterwards in one line what really ran."""

    backend: EditingBackend
    name: str = "edit"
    ran: list[str] = field(default_factory=list)
    say: Callable[[str], None] = lambda text: None

    def enhance(self, task: Task) -> Enhanced:
        """The edited picture, lying on the input and in its light. Raises `EnhanceError` (`PassInterrupted` and
        `NotRegistered` among them)."""
        self.ran.clear()
        options = task.request.edit
        self.backend.check(options.sampler, options.scheduler, options.checkpoint)
        crop = crop_for(task)
        plan, notes = self._plan(task, crop)
        result = self.backend.edit(plan)
        self.ran.append(describe(plan, result))
        known = np.where(crop.cut_mask(np.where(task.alpha > 0, np.uint8(255), np.uint8(0))) > 0, 0, 255)
        put = put_right(plan.picture, result.picture, known.astype(np.uint8), task.request, plan.seed)
        return Enhanced(
            crop.paste(task.picture, put.rgb),
            (*notes, *result.notes, *put.notes()),
            put.measures(crop),
            painted_with(result.used, plan.prompt, plan.checkpoint),
            tuple(self.ran),
        )

    def _plan(self, task: Task, crop: Crop) -> tuple[EditPass, tuple[str, ...]]:
        options, defaults = task.request.edit, self.backend.defaults
        names = tuple(dict.fromkeys(found.label for found in task.detections))
        text = fill_template(options.instruction, names, defaults.prompt)
        prompt, notes = leave_out_missing(text, self.backend.missing_loras)
        references = task.references[:REFERENCES]
        seed = defaults.seed if options.seed < 0 else options.seed
        plan = EditPass(
            crop.cut(task.picture),
            prompt,
            fill_template(options.negative_prompt, names, defaults.negative_prompt) if options.negative_prompt else "",
            (seed + SEED_STEP * (task.attempt - 1)) % 2**32,
            Sampling(options.steps, options.cfg_scale, options.sampler, options.scheduler),
            options.checkpoint,
            references,
        )
        return plan, notes


@dataclass(frozen=True)
class PutRight:
    """A pass's picture (H×W×3) after registration, colour match and grain, and what these have measured; grain as
    spreads of input and result; `is_light_kept`: no other light than the input's was asked for."""

    rgb: Array
    drift: Drift
    match: Match
    grain: tuple[float, float]
    is_light_kept: bool = True

    def notes(self) -> Iterator[str]:
        """What the user is told."""
        if self.drift.corner >= _SEEN:
            yield (
                f"the edited picture lay up to {self.drift.corner:.1f} pixels off (zoom {self.drift.zoom:.3f}) and was "
                f"put right to {self.drift.left:.2f}"
            )
        if self.drift.by_outline:
            yield "the ground is too plain to put the edited picture right by; the product's outline was taken"
        if self.match.before >= _LIT and self.match.after < self.match.before:
            yield (
                f"the edit had changed the light by ΔE2000 {self.match.before:.1f} where nothing was to change; "
                f"{self.match.after:.1f} after the colour match"
            )
        if self.match.after > LIGHT_LEFT and not self.is_light_kept:
            yield (
                f"even all of the colour match would leave ΔE2000 {self.match.after:.1f} where nothing was to change: "
                "look whether the model has kept the picture"
            )

    def measures(self, crop: Crop) -> dict[str, float]:
        """Figures for the report: pixels of the picture, not of the pass."""
        return {
            "passes": 1,
            "drift": self.drift.corner / crop.scale,
            "drift_left": self.drift.left / crop.scale,
            "zoom": self.drift.zoom,
            "light": self.match.before,
            "light_left": self.match.after,
            "grain": self.grain[0],
            "grain_edited": self.grain[1],
        }


def put_right(truth: Array, made: Array, known: Array, request: Request, seed: int) -> PutRight:
    """What an edit model made of `truth` (both H×W×3), lying on it, in its light and with its grain, as far as the
    request wants that; `known` (H×W) is above 0 where nothing was to change. Raises `NotRegistered`, also for colours
    that no colour match brings back, where the request wants all of it."""
    options = request.edit
    moved, drift = register(truth, made, known, options.drift_limit)
    if drift.shown is not None and (known & drift.shown).any():
        known = known & drift.shown
    matched, match = match_colours(truth, moved, known)
    is_light_kept = options.colour_match >= 1
    if is_light_kept and match.after > LIGHT_LEFT:
        raise NotRegistered(
            f"the edited picture has other colours where nothing was to change, by ΔE2000 {match.after:.1f} after the "
            f"colour match, and up to {LIGHT_LEFT:g} is taken: the model has lost them; ask for less, try another "
            "seed, or lower the colour match where the light is to change"
        )
    if not is_light_kept:
        matched = np.asarray(cv2.addWeighted(moved, 1 - options.colour_match, matched, options.colour_match, 0.0))
    had = spread(matched, known)
    wanted = spread(truth, known)
    if options.grain == "match":
        matched = match_grain(matched.astype(np.uint8), known, wanted, seed)
    return PutRight(matched.astype(np.uint8), drift, match, (wanted, had), is_light_kept)


def crop_for(task: Task) -> Crop:
    """What of a picture an edit sees, and at which size: all of it, or the products' surroundings."""
    options, (height, width) = task.request.edit, task.mask.shape
    box = (0, 0, width, height)
    if options.area == "around the product" and not task.request.invert:
        rows, columns = np.flatnonzero(task.alpha.any(axis=1)), np.flatnonzero(task.alpha.any(axis=0))
        margin = round(options.margin * max(rows[-1] - rows[0], columns[-1] - columns[0]))
        box = (
            max(0, int(columns[0]) - margin),
            max(0, int(rows[0]) - margin),
            min(width, int(columns[-1]) + 1 + margin),
            min(height, int(rows[-1]) + 1 + margin),
        )
    return Crop(*box, *pass_size(box[2] - box[0], box[3] - box[1], options.resolution**2))


def pass_size(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Width and height of a pass, multiples of `GRID`: of those with about so many `pixels` the one nearest to the
    ratio of `width` to `height`.

    >>> pass_size(3000, 2000, 1024 * 1024)
    (1344, 896)
    """
    ratio = width / height
    wide = math.sqrt(pixels * ratio)
    sizes = set()
    for count in range(max(1, int(wide * (1 - _PIXELS) / GRID)), int(wide * (1 + _PIXELS) / GRID) + 2):
        sizes |= {(count * GRID, max(1, rows) * GRID) for rows in _near(count / ratio)}

    def misfit(size: tuple[int, int]) -> tuple[bool, float]:
        too_far = abs(size[0] * size[1] / pixels - 1) > 2 * _PIXELS
        return too_far, abs(math.log(size[0] / size[1] / ratio)) + 0.1 * abs(math.log(size[0] * size[1] / pixels))

    return min(sorted(sizes), key=misfit)


def _near(number: float) -> tuple[int, int]:
    return math.floor(number), math.ceil(number)


def describe(plan: EditPass, result: EditResult) -> str:
    """One line on an edit that ran, for the infotext."""
    (height, width), sampling = plan.size, result.sampling
    told = [
        f"edit {width}x{height}",
        f"{sampling.steps} steps {sampling.sampler} {sampling.scheduler}".rstrip(),
        f"CFG {sampling.cfg_scale:g}",
        f"seed {plan.seed}",
    ]
    if sampling.distilled_cfg_scale:
        told.append(f"distilled CFG {sampling.distilled_cfg_scale:g}")
    if plan.references:
        told.append(f"{len(plan.references)} references")
    told.append(f'prompt "{plan.prompt}"')
    if plan.negative_prompt:
        told.append(f'negative prompt "{plan.negative_prompt}"')
    if plan.checkpoint:
        told.append(f"checkpoint {plan.checkpoint}")
    return ", ".join(told)
