"""A comparison of a run's epochs as one job: the command line, the tab and the API drive the same `CompareJob`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import PictureError, RequestError, UnknownProducts
from lib_prodshot.jobs.files.reading import stamp_of
from lib_prodshot.jobs.files.staging import make_folder, output_error, sole_writer
from lib_prodshot.jobs.settings import read_own
from lib_prodshot.products import ProductClass, parse_products, with_thresholds
from lib_prodshot.training.comparing import likeness, page, samples
from lib_prodshot.training.comparing.comparison import Compared, Comparison
from lib_prodshot.training.comparing.looks import KeptLooks, Look, look
from lib_prodshot.training.comparing.recommending import EpochScore, Seen, recommend
from lib_prodshot.training.comparing.samples import PictureMaker, Planned, Sample
from lib_prodshot.training.comparing.settings import SETTINGS
from lib_prodshot.training.dataset import kohya
from lib_prodshot.training.dataset.folder import list_folder
from lib_prodshot.training.errors import ComparisonError
from lib_prodshot.training.publishing.publish import read_run
from lib_prodshot.training.trainer import results
from lib_prodshot.training.trainer.config_files import OUTPUT_FOLDER
from lib_prodshot.training.trainer.losses import read_losses

if TYPE_CHECKING:
    from lib_prodshot.finding.finder import Finder

FOLDER = "compare"
"""In a run's folder: all that comparisons write."""

LOOKS, PICTURES = "looks.jsonl", "pictures"

Progress = Callable[[int, int, str], None]
"""Called with what is done, of how much, and of what; an exception that it raises ends the job, which then goes on at
its next start."""


@dataclass
class CompareJob:
    """A comparison of the run in the folder `run`, with `SETTINGS` by name; without products those of the run's recipe
    are looked for. Without a `maker` it looks at the sample pictures that sd-scripts made as it trained; a `maker`
    makes pictures of the published epochs, and `source` is what it is called."""

    run: Path
    settings: Mapping[str, Any]
    maker: PictureMaker | None = None
    source: str = "sd-scripts"
    _notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        values = checked(self.settings)
        self.recipe, self.ledger = read_run(self.run)
        self.settings = {**values, "products": values["products"] or self.recipe.products}
        parse_products(self.settings["products"])
        self.output = self.run / OUTPUT_FOLDER
        self.folder = self.run / FOLDER

    @property
    def classes(self) -> tuple[ProductClass, ...]:
        """What the finder looks for. Raises `RequestError`."""
        return with_thresholds(parse_products(self.settings["products"]), "", self.settings["box_threshold"])

    @property
    def photograph_folders(self) -> tuple[Path, ...]:
        """The folders of photographs that the run was trained on, without regularisation pictures."""
        subsets = kohya.expand(self.recipe).all_subsets
        return tuple(dict.fromkeys(Path(one.image_dir) for one in subsets if not one.is_reg))

    def prepare(self) -> None:
        """All checks that need no finder, without changing anything. Raises `RequestError`, `ComparisonError`,
        `PictureError`, and what the maker raises."""
        _ = self.classes
        self._photographs()
        self._planned() if self.maker else self._own()

    def compare(self, finder: Finder, progress: Progress = lambda done, total, what: None) -> Comparison:
        """Make the pictures that are missing, look at all that were not looked at yet, and write page, grid and report
        into the folder `compare` of the run.

        Raises what `prepare` raises, what the finder raises, and `OutputError`. What was made and looked at before an
        error, or before `progress` raised one, is kept.
        """
        self._refuse_unknown(finder)
        self._notes = []
        photographs = self._photographs()
        planned = self._planned() if self.maker else []
        own = [] if self.maker else self._own()
        make_folder(self.folder)
        with sole_writer(self.folder):
            missing = [one for one in planned if not one.is_made]
            counting = _Counting(progress, len(missing) + len(photographs) + len(planned or own))
            self._make(missing, counting)
            found = [one.sample for one in planned] or own
            seen, pictures = self._look(finder, photographs, found, counting)
            comparison = self._compared(finder.name, seen, pictures)
            page.write(comparison, self.folder)
        progress(counting.total, counting.total, f"{len(comparison.pictures)} pictures compared")
        return comparison

    def _refuse_unknown(self, finder: Finder) -> None:
        try:
            finder.refuse_unknown(self.classes)
        except UnknownProducts as error:
            # a comparison has no setting that would leave them out
            advice = "name other products, or use the langsam finder, which takes any words (--finder langsam)"
            raise UnknownProducts(error.unknown, error.finder, advice) from error

    def _own(self) -> list[Sample]:
        found = [one for one in samples.own_samples(self.output, self.recipe) if one.epoch <= self.ledger.epochs]
        if not found:
            raise ComparisonError(
                f"{self.run} has no sample pictures: have a WebUI make them of the published epochs (--webui URL; "
                "on the tab: this WebUI), or set sample_prompts in the recipe of the next run"
            )
        return found

    def _planned(self) -> list[Planned]:
        assert self.maker is not None
        stamps = {epoch: stamp for epoch, path in self._loras().items() if (stamp := stamp_of(path))}
        if not stamps:
            raise ComparisonError(f"{self.run} has no LoRA of any epoch yet: train first")
        planned = samples.plan(self.folder / PICTURES, self.recipe, self.settings, stamps, self.maker)
        left = sorted(stamps.keys() - {one.sample.epoch for one in planned})
        if left:
            self._notes.append(f"the WebUI does not have epoch {', '.join(map(str, left))}: publish all of them")
        return planned

    def _make(self, missing: Sequence[Planned], counting: _Counting) -> None:
        if missing:
            make_folder(self.folder / PICTURES)
        for one in missing:
            counting(f"making a picture of epoch {one.sample.epoch}")
            assert self.maker is not None
            samples.make(self.maker, one)

    def _look(
        self, finder: Finder, photographs: Sequence[Path], found: Sequence[Sample], counting: _Counting
    ) -> tuple[dict[Path, Look], dict[Sample, Look]]:
        try:
            kept = KeptLooks(self.folder / LOOKS, finder.name, self.classes)
        except OSError as error:
            raise output_error(self.folder, error) from error
        with closing(kept):
            seen = {path: one for path in photographs if (one := self._look_at(path, finder, kept, counting))}
            if not any(one.found for one in seen.values()):
                raise ComparisonError(
                    f"the {finder.name} finder sees no {self.settings['products']} on any of the {len(photographs)} "
                    "photographs, so that it cannot say whether a sample shows it: call the product by another name "
                    "(products), or lower box_threshold"
                )
            pictures = {one: its for one in found if (its := self._look_at(one.file, finder, kept, counting))}
        return seen, pictures

    def _look_at(self, path: Path, finder: Finder, kept: KeptLooks, counting: _Counting) -> Look | None:
        """A look at a file, kept or new; None, with a note, for one that cannot be read."""
        counting(f"looking at {path.name}")
        known = kept.get(path)
        if known is not None:
            return known
        from lib_prodshot import pictures

        try:
            picture = pictures.read(path).rgb
        except PictureError as error:
            self._notes.append(f"{path.name} was not looked at: {error}")
            return None
        one = look(picture, finder, self.classes)
        try:
            kept.keep(path, one)
        except OSError as error:
            raise output_error(self.folder, error) from error
        return one

    def _compared(self, finder: str, seen: Mapping[Path, Look], pictures: Mapping[Sample, Look]) -> Comparison:
        photographs, paths = list(seen.values()), list(seen)
        spread = likeness.spread_of(photographs)
        compared = []
        for sample, its in pictures.items():
            near = likeness.nearest_copy(its, photographs)
            nearest = paths[near.photograph] if near else None
            compared.append(Compared(sample, its, likeness.likeness(its, photographs, spread), nearest, near))
        losses = read_losses(self.run)
        scores = tuple(self._scores(compared, losses))
        if not scores:
            raise ComparisonError(f"none of the sample pictures of {self.run} can be read: {'; '.join(self._notes)}")
        without = sorted(self._loras().keys() - {one.epoch for one in scores})
        if without and not self.maker:
            self._notes.append(f"epoch {', '.join(map(str, without))} has no sample pictures and is not compared")
        return Comparison(
            run=self.run,
            name=self.recipe.output_name,
            products=self.settings["products"],
            finder=finder,
            source=self.source,
            prompts=samples.prompts_for(self.recipe, self.settings) if self.maker else self.recipe.sample_prompts,
            photographs=len(photographs),
            photographs_with_product=sum(one.found for one in photographs),
            epochs=scores,
            pictures=tuple(compared),
            recommendation=recommend(scores),
            losses=tuple(losses),
            notes=tuple(dict.fromkeys(self._notes)),
        )

    def _scores(self, compared: Sequence[Compared], losses: Sequence[tuple[int, int, float]]) -> Iterator[EpochScore]:
        loras = self._loras()
        ends = {epoch: loss for _, epoch, loss in losses}
        for epoch in sorted({one.sample.epoch for one in compared}):
            own = [one for one in compared if one.sample.epoch == epoch]
            seen = [Seen(one.look.found, one.look.score, one.likeness, one.copy_of) for one in own]
            file = loras[epoch].name if epoch in loras else ""
            yield EpochScore.of(epoch, file, ends.get(epoch), seen)

    def _loras(self) -> dict[int, Path]:
        return results.saved_loras(self.output, self.recipe.output_name, self.ledger.epochs)

    def _photographs(self) -> list[Path]:
        found = [path for folder in self.photograph_folders for path in list_folder(folder).photographs]
        if not found:
            where = ", ".join(map(str, self.photograph_folders))
            raise ComparisonError(f"the photographs of {self.run} are gone from {where}: put them back")
        return found


@dataclass
class _Counting:
    """Tells `progress` what comes next, and how much is done."""

    progress: Progress
    total: int
    done: int = 0

    def __call__(self, what: str) -> None:
        self.progress(self.done, self.total, what)
        self.done += 1


def checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of a comparison, at its default where it is not given. Raises `RequestError`."""
    from lib_prodshot.training.recipe.settings import unknown_name

    values, problems = read_own(SETTINGS, settings)
    problems += [unknown_name(name, values) for name in settings if name not in values]
    if problems:
        raise RequestError(problems)
    return values
