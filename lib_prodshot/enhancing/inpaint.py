"""Enhance by diffusion: inpaint passes on the product alone, held to its shape by ControlNet, run by an
`InpaintingBackend`.

Each pass works on a crop that we cut, enlarge and paste back ourselves (the WebUI's "only masked" area). So a host's
own overlay, colour correction or upscaler has nothing to spoil, and every host gives the same frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_prodshot import control, masks
from lib_prodshot.control import ControlChoice
from lib_prodshot.enhancing import grouping
from lib_prodshot.enhancing.crop import FINE_GRID, Crop, crop_around, crop_of_box
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.enhancing.painted import joined, painted_with
from lib_prodshot.enhancing.prompts import fill_template, leave_out_missing
from lib_prodshot.errors import EnhanceError
from lib_prodshot.inpainting import FILLS, ControlUnavailable, InpaintingBackend, InpaintPass, PassResult
from lib_prodshot.preserve import composite
from lib_prodshot.products import clean_phrase
from lib_prodshot.provenance import Painted

if TYPE_CHECKING:
    from lib_prodshot.request import Request

Array = npt.NDArray[np.uint8]

SEED_STEP = 100_003
"""Seeds of a further try on a picture begin so much higher: those between belong to other pictures of a batch."""


@dataclass(frozen=True)
class Group:
    """Instances that share one pass: their mask and its feather (H×W uint8), their names, their prompt template."""

    mask: Array
    alpha: Array
    names: tuple[str, ...]
    template: str


@dataclass
class InpaintEnhancer:
    """Runs the passes of one picture. `ran` says afterwards, one line for each pass, what really ran; `say` is told
    which pass of several begins."""

    backend: InpaintingBackend
    name: str = "inpaint"
    ran: list[str] = field(default_factory=list)
    say: Callable[[str], None] = lambda text: None

    def enhance(self, task: Task) -> Enhanced:
        """New colours for everything in the mask. Raises `EnhanceError` (`PassInterrupted` among them)."""
        self.ran.clear()
        request = task.request
        self.backend.check(request.sampler, request.scheduler, request.checkpoint)
        choice = self._choose_control(request)
        layers = _Layers(task.picture)
        notes: list[str] = list(choice.notes)
        groups = list(plan_groups(task, self._pixels(request)))
        for number, group in enumerate(groups):
            task.progress(number / len(groups))
            if len(groups) > 1:
                self.say(f"inpaint pass {number + 1} of {len(groups)}")
            notes += self._run_pass(layers, group, request, choice, number + SEED_STEP * (task.attempt - 1))
        painted = joined(layers.painted)
        return Enhanced(layers.content, tuple(dict.fromkeys(notes)), {"passes": len(groups)}, painted, tuple(self.ran))

    def _choose_control(self, request: Request) -> ControlChoice:
        family = self.backend.family(request.checkpoint)
        try:
            lists = self.backend.control_lists()
        except ControlUnavailable as error:
            return control.without_control(request, str(error))
        return control.choose_unit(request, family, lists)

    def _run_pass(
        self, layers: _Layers, group: Group, request: Request, choice: ControlChoice, number: int
    ) -> tuple[str, ...]:
        crop = self._crop(group, request)
        plan, notes = self._plan(layers.seen(), group, crop, request, number)
        result = self.backend.inpaint(replace(plan, control=choice.unit))
        if choice.unit is not None and result.control_ran is False:
            # the host kept quiet: now the request decides, and with 'preferred' the pass stands as it is
            failed = f"the WebUI's ControlNet did not take part{_reason(result)}"
            notes += control.without_control(request, failed).notes
        layers.add(crop.paste(layers.original, result.picture), group.alpha)
        layers.painted.append(painted_with(result.used, plan.prompt, plan.checkpoint))
        self.ran.append(describe(plan, choice, result))
        return (*notes, *result.notes)

    def _crop(self, group: Group, request: Request) -> Crop:
        return crop_around(group.alpha, _padding(request), self._pixels(request))

    def _pixels(self, request: Request) -> int:
        """How many pixels each pass has."""
        defaults = self.backend.defaults
        return request.resolution**2 if request.resolution else defaults.width * defaults.height

    def _plan(
        self, picture: Array, group: Group, crop: Crop, request: Request, number: int
    ) -> tuple[InpaintPass, tuple[str, ...]]:
        defaults = self.backend.defaults
        mask = crop.cut_mask(group.mask)
        _refuse_vanishing(mask)
        text = fill_template(group.template, group.names, defaults.prompt)
        prompt, notes = leave_out_missing(text, self.backend.missing_loras)
        seed = defaults.seed if request.seed < 0 else request.seed
        plan = InpaintPass(
            picture=crop.cut(picture),
            mask=mask,
            mask_blur=round(request.feather * crop.scale),
            prompt=prompt,
            negative_prompt=fill_template(request.negative_prompt, group.names, defaults.negative_prompt),
            seed=(seed + number) % 2**32,
            steps=request.steps or defaults.steps,
            cfg_scale=request.cfg_scale or defaults.cfg_scale,
            sampler=request.sampler or defaults.sampler,
            scheduler=request.scheduler or defaults.scheduler,
            denoising_strength=request.denoising_strength,
            inpainting_fill=FILLS.index(request.inpainting_fill),
            checkpoint=request.checkpoint,
        )
        return plan, notes


class _Layers:
    """The picture while passes are laid over it: each pixel belongs to the pass whose feather covers it most. `painted`
    tells what each of them was made with."""

    def __init__(self, original: Array) -> None:
        self.original = original
        self.content = original.copy()
        self.painted: list[Painted] = []
        self._cover = np.zeros(original.shape[:2], np.uint8)

    def seen(self) -> Array:
        """What the next pass sees: the passes so far, feathered into the picture."""
        return composite(self.original, self.content, self._cover) if self._cover.any() else self.original

    def add(self, painted: Array, alpha: Array) -> None:
        """Lay a pass's result over the picture where its feather is stronger than any before."""
        stronger = alpha > self._cover
        self.content[stronger] = painted[stronger]
        np.maximum(self._cover, alpha, out=self._cover)


def _padding(request: Request) -> int | None:
    """How much of its surroundings a pass sees; None is the whole picture."""
    return None if request.inpaint_area == "whole picture" else request.padding


def plan_groups(task: Task, pixels: int) -> Iterator[Group]:
    """Which instances go into which pass of so many `pixels`: those that share a prompt and, with `passes` 'auto', are
    near each other (`grouping`); with 'together' all that share a prompt, with 'each' none.

    An inverted mask (everything but the products) is one pass, whatever was found.
    """
    request = task.request
    names = [found.label for found in task.detections]
    if request.invert or len(names) == 1:
        yield Group(task.mask, task.alpha, tuple(names), _template(request, names[0]))
        return
    parts = [piece.whole(*task.mask.shape) for piece in task.pieces]
    members = _members(task, names, pixels)
    for numbers in members:
        mask = task.mask if len(members) == 1 else masks.union([parts[number] for number in numbers])
        if not mask.any():
            continue
        alpha = task.alpha if len(members) == 1 else np.minimum(task.alpha, masks.feather(mask, request.feather))
        yield Group(mask, alpha, tuple(names[number] for number in numbers), _template(request, names[numbers[0]]))


def _members(task: Task, names: Sequence[str], pixels: int) -> list[list[int]]:
    """The instances of each pass, by number, in the order of each one's first."""
    request = task.request
    if request.passes == "each":
        return [[number] for number in range(len(names))]
    by_prompt: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        by_prompt.setdefault(_template(request, name), []).append(number)
    if request.passes == "together":
        return list(by_prompt.values())
    return sorted(near for numbers in by_prompt.values() for near in _near(task, numbers, pixels))


def _near(task: Task, numbers: Sequence[int], pixels: int) -> list[list[int]]:
    """Instances that share a prompt, as the groups that share a pass."""
    height, width = task.mask.shape
    reach = masks.feather_reach(task.request.feather)
    # of an instance of which the mask settings left nothing there is nothing to repaint
    kept = [number for number in numbers if task.pieces[number].mask.any()]
    boxes = [task.pieces[number].box(reach, width, height) for number in kept]

    def area(box: grouping.Box) -> int:
        return crop_of_box(box, (width, height), _padding(task.request), pixels).area

    return [[kept[place] for place in group] for group in grouping.near_together(boxes, area)]


def _template(request: Request, label: str) -> str:
    """The prompt template of one product."""
    return request.prompts.get(clean_phrase(label), request.prompt)


def _refuse_vanishing(mask: Array) -> None:
    """A mask of which no latent cell is half covered repaints nothing, and the host would not say so."""
    height, width = mask.shape
    cells = Image.fromarray(mask).resize((width // FINE_GRID, height // FINE_GRID))
    if np.asarray(cells).max() < 128:
        advice = "choose the inpaint area 'only masked', less padding or a higher resolution"
        raise EnhanceError(f"the product is too small for this pass to see; {advice}")


def describe(plan: InpaintPass, choice: ControlChoice, result: PassResult) -> str:
    """One line on a pass that ran: its size, sampling, ControlNet and prompts, for the infotext."""
    height, width = plan.mask.shape
    told = [
        f"{width}x{height}",
        f"{plan.steps} steps {plan.sampler} {plan.scheduler}".rstrip(),
        f"CFG {plan.cfg_scale:g}",
        f"denoising {plan.denoising_strength:g}",
        f"seed {plan.seed}",
        _describe_control(choice, result),
        f'prompt "{plan.prompt}"',
    ]
    if plan.negative_prompt:
        told.append(f'negative prompt "{plan.negative_prompt}"')
    if plan.checkpoint:
        told.append(f"checkpoint {plan.checkpoint}")
    return ", ".join(told)


def _reason(result: PassResult) -> str:
    """What ControlNet said, as the end of a sentence."""
    return f": {result.control_reason}" if result.control_reason else "; its reason is on the WebUI's console"


def _describe_control(choice: ControlChoice, result: PassResult) -> str:
    if choice.unit is None or result.control_ran is False:
        return "no ControlNet"
    unsure = " (not confirmed by the WebUI)" if result.control_ran is None else ""
    return f"{choice.unit['module']} {choice.unit['model']} weight {choice.unit['weight']:g}{unsure}"
