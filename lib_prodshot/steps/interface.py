"""What a step is: an id, a version, a settings model, and `run(state) -> state`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from lib_prodshot.corrections import MaskEdits
from lib_prodshot.schema import SettingsModel

if TYPE_CHECKING:
    from lib_prodshot.enhancing.interface import Enhanced, Enhancer
    from lib_prodshot.errors import FieldProblem
    from lib_prodshot.finding.finder import Finder
    from lib_prodshot.finding.interface import Findings
    from lib_prodshot.gates.interface import Answers, Rectangle
    from lib_prodshot.gates.text import TextReader
    from lib_prodshot.masks import BuiltMask
    from lib_prodshot.outcome import Outcome
    from lib_prodshot.packshot.arrays import Rgb
    from lib_prodshot.packshot.composite import Shadow
    from lib_prodshot.packshot.cutout import CutOut, Source
    from lib_prodshot.packshot.placement import Placement
    from lib_prodshot.packshot.upscaling import Upscaler
    from lib_prodshot.pictures import LoadedPicture
    from lib_prodshot.provenance import Painted
    from lib_prodshot.request import Request
    from lib_prodshot.steps.gates import Reference
    from lib_prodshot.steps.targets import Target


@dataclass(frozen=True)
class State:
    """A picture on its way through the steps: what came in, and what the steps so far have made of it.

    `finder` and `enhancer` are what the caller gives the steps to work with; without an enhancer the run is a dry run.
    `outcome` is the record in the making: steps write detections, masks, result, notes and a verdict 'skipped' into it.
    Of a packshot: `source` are the colours it is made of, `cutout` the product in the picture's own geometry,
    `placement` the frame and where the picture lies in it (set to the picture itself by the cut-out), `shadow` the
    shadow's cover in the frame, `placed` the product in the frame; `ground` is the picture for the ground that the
    caller read (H×W×3 uint8 RGB of any size), `scene` the ground that was painted (H×W×3 uint8 RGB in the frame),
    `target` the packshot that is being made, whose settings `request` then holds; `number` counts the products of a
    picture that gets a frame for each, from 1 on (0: all in one), and `upscaler` enlarges by a model where there is
    one. `figures` are what the last step has measured, for its line in the report.
    `references` are further pictures (H×W×3 uint8 RGB of any size) that an edit model is shown.
    `painted` is what trained models painted of the picture, before it came and in the steps so far.
    `with_candidates`: also look for what is below its threshold, to be shown. `edits` are the mask edits that fit this
    picture.
    Of gates: `reader` reads text (None: none is installed), `attempt` is the number of the try, `answers` what the
    gates said to it, `reference` what they measured on the input, `lost_text` the boxes of lines whose detail is to
    come back.
    """

    loaded: LoadedPicture
    request: Request
    finder: Finder
    enhancer: Enhancer | None
    outcome: Outcome
    findings: Findings | None = None
    built: BuiltMask | None = None
    enhanced: Enhanced | None = None
    source: Source | None = None
    cutout: CutOut | None = None
    placement: Placement | None = None
    shadow: Shadow | None = None
    placed: CutOut | None = None
    ground: Rgb | None = None
    references: tuple[Rgb, ...] = ()
    scene: Rgb | None = None
    target: Target | None = None
    number: int = 0
    upscaler: Upscaler | None = None
    figures: Mapping[str, float | int | str] = field(default_factory=dict)
    painted: tuple[Painted, ...] = ()
    with_candidates: bool = False
    edits: MaskEdits = field(default_factory=MaskEdits)
    reader: TextReader | None = None
    attempt: int = 1
    answers: Answers | None = None
    reference: Reference | None = None
    lost_text: tuple[Rectangle, ...] = ()


class StepSettings(SettingsModel):
    """Base of the settings models. A field is declared with `schema.setting`."""

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        """Problems of fields that hold a small language of their own, or that must agree with another field.

        `values` are all settings of the request that were given, by flat name, each already in its own range.
        """
        return iter(())


S = TypeVar("S", bound=StepSettings)


class Step(ABC, Generic[S]):
    """One thing that happens to a picture. Has no state of its own; never reads files, hosts or the network.

    `version` is raised when the same settings give another result: folder jobs then do their pictures again. `tab` is
    the panel's tab, `engine` the engine that must be chosen for the step to run, `on_webui` whether that engine is a
    model of a WebUI, `make` what must be made (empty: any). `in_dry_run`: it runs also where nothing is to be changed;
    `per_product`: once for each frame's product, and `per_target`: once for each packshot of it; `per_try`: again for
    each try (so do steps between such ones).
    `borrows` names settings of other steps that this one reads too: they have a meaning wherever it runs.
    `stage` is what progress and timings call it; empty: its id. `prefix` comes before the names of its fields where all
    settings stand side by side (CLI, API, infotext): `<id>_` unless given.
    """

    id: ClassVar[str]
    version: ClassVar[int] = 1
    settings: ClassVar[type[StepSettings]]
    tab: ClassVar[str]
    prefix: ClassVar[str | None] = None
    engine: ClassVar[str] = ""
    on_webui: ClassVar[bool] = False
    make: ClassVar[str] = ""
    in_dry_run: ClassVar[bool] = False
    per_product: ClassVar[bool] = False
    per_target: ClassVar[bool] = False
    per_try: ClassVar[bool] = False
    borrows: ClassVar[tuple[str, ...]] = ()
    stage: ClassVar[str] = ""

    def applies(self, state: State) -> bool:
        """Whether there is anything to do; a step that does not apply costs nothing and has no line in the report."""
        return self.is_chosen(state.request) and (self.in_dry_run or state.enhancer is not None)

    def is_chosen(self, request: Request) -> bool:
        """Whether the request's engine, and what it makes, are this step's."""
        return self.engine in ("", request.retouch.engine) and self.make in ("", request.cutout.make)

    @abstractmethod
    def run(self, state: State) -> State:
        """Do the step. Raises `ProdshotError` for whatever makes the picture fail."""

    def options(self, request: Request) -> S:
        """This step's settings in a request."""
        return request.of(type(self))
