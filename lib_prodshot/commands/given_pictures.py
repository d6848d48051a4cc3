"""The pictures that a command line names, one after the other through the pipeline, with their report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lib_prodshot.commands.console import say, say_unknown
from lib_prodshot.commands.places import Place, keep_results, outcome_of
from lib_prodshot.enhancing.interface import Enhancer
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.jobs.files.names import ALPHA_SUFFIX, MASK_SUFFIX, folded, short_suffix
from lib_prodshot.jobs.folder.folders import LocalFolders
from lib_prodshot.jobs.folder.resume import MAKES, files_of, is_packshot, names_in, pictures_among, stays_in
from lib_prodshot.jobs.folder.work_list import in_a_row
from lib_prodshot.jobs.processor import PictureProcessor, failed_outcome, read_named, upscaler_of
from lib_prodshot.jobs.report.report import CSV_NAME, JSONL_NAME, Line, Report, numbered_lines
from lib_prodshot.jobs.scale import measured_size, reference_text
from lib_prodshot.outcome import Outcome
from lib_prodshot.request import Request


def processed(
    arguments: argparse.Namespace, request: Request, paths: Sequence[Place], results: LocalFolders
) -> Iterator[tuple[Place, Outcome]]:
    """Yield each picture and its outcome once its results and its line in the report are written.

    Raises `RequestError`, `OutputError`, `StorageError`, `FinderUnavailable` and `WeightsError`, and as `enhancer_for`
    does.
    """
    from lib_prodshot.finding.registry import load_finder
    from lib_prodshot.jobs.files.names import name_limit, output_stems
    from lib_prodshot.jobs.files.reading import real_path
    from lib_prodshot.jobs.files.staging import new_folder, sole_writer

    read_named(request)
    enhancer = enhancer_for(request, arguments.webui)
    upscaler = upscaler_of(request)
    out = results.output_folder
    inputs = frozenset(real_path(path) for path in paths if isinstance(path, Path))
    finder = load_finder(request.finder, arguments.models_dir)
    unread = partial(failed_outcome, request, finder.name)
    processor = PictureProcessor(request, finder, enhancer, inputs, keep_times=arguments.keep_times, upscaler=upscaler)
    stems = output_stems([Path(path.name) for path in paths], name_limit(out))
    request.find.refuse_unknown(finder)
    said: set[str] = set()
    with ExitStack() as held:
        held.enter_context(new_folder(out, (JSONL_NAME, CSV_NAME)))
        held.enter_context(sole_writer(out))
        results.open()
        held.callback(results.close)
        held.callback(results.finish)
        former = _Former(results)
        former.refuse_other_make(request, paths, stems)
        report = held.enter_context(Report(out))
        for note in report.notes:
            say(note)
        processor = _with_one_scale(processor, paths)
        for path, stem in tqdm(list(zip(paths, stems)), unit="picture", disable=None, file=sys.stderr):
            outcome = outcome_of(path, partial(processor.process, folder=out, stem=stem), unread)
            say_unknown(outcome.notes, said)
            keep_results(results, outcome)
            former.add_to(report, outcome)
            yield path, outcome


class _Former:
    """What earlier runs made, by the report in the folder: nothing of it is removed, and what a user may take for a
    result of this run is named, on the console and in the picture's line.

    That is what the same picture's earlier enhancement left and this one did not write anew (a mask, where the product
    is not found any more; a file of another format), whatever was made of a picture of which nothing is made now, and
    another picture's result that this one's took the place of.
    """

    def __init__(self, results: LocalFolders) -> None:
        self._results = results
        self._made: dict[str, list[str]] = {}
        self._enhanced: set[str] = set()
        self._skipped: set[str] = set()
        self._outputs: dict[str, bool] = {}
        self._owners: dict[str, str] = {}
        for _, line in numbered_lines(results.output_folder / JSONL_NAME):
            self._note(line)

    def _note(self, line: Line) -> None:
        picture, names, stays = str(line["file"]), names_in(line), stays_in(line)
        self._owners.update((folded(name), picture) for name in names)
        self._made[picture] = names
        (self._skipped.add if line["status"] == "skipped" else self._skipped.discard)(picture)
        packshots = {name for name in names if is_packshot(name, line)}
        if stays or line["status"] == "found":
            self._outputs.update((folded(name), name in packshots) for name in pictures_among(names))
        (self._enhanced.discard if packshots else self._enhanced.add)(picture)

    def refuse_other_make(self, request: Request, paths: Sequence[Place], stems: Sequence[str]) -> None:
        """Raise `RequestError`, before anything is made, where packshots would take the place of enhanced pictures or
        the other way round: neither is a newer version of the other, and without a marketplace both have one name."""
        makes_packshot = request.makes_packshot
        written = (name for path, stem in zip(paths, stems) for name in _output_names(request, Path(path.name), stem))
        others = [name for name in written if self._outputs.get(folded(name), makes_packshot) != makes_packshot]
        if lost := [name for name in others if self._results.has(name, 1)]:
            there, new = MAKES[not makes_packshot], MAKES[makes_packshot]
            advice = " or other names (file_names)" if makes_packshot else ""
            # what PNG cannot say is a TIFF, which is not known before the picture is read
            verb = "would" if makes_packshot else "could"
            message = f"it holds {there} in whose place {new} {verb} be written: {in_a_row(lost)}"
            raise RequestError([FieldProblem("out", f"{message}; choose another folder{advice}")])

    def add_to(self, report: Report, outcome: Outcome) -> None:
        """Write the picture's line, with what beside its files is of earlier runs and whose files these were. A line
        of which all files are this picture's now goes, one of which some are says so. Raises `OutputError`."""
        written = {folded(name): name for name in names_in(outcome.to_json())}
        standing = self._standing(written, outcome)
        told = [*self._taken(written, outcome.file, report), *self._told_of(standing, written, outcome)]
        for sentence in told:
            say(sentence)
        outcome.notes = (*outcome.notes, *told)
        # who has them, and what they are, is known by the line alone, and it was the last one's to say
        packshots = [name for name in standing if self._outputs.get(folded(name))]
        stays = {"files": standing, "packshots": packshots} if standing else None
        report.add(outcome, stays)
        self._note({**outcome.to_json(), **({"stays": stays} if stays else {})})

    def _taken(self, written: Mapping[str, str], picture: str, report: Report) -> Iterator[str]:
        for other in sorted({self._owners.get(name, picture) for name in written} - {picture}):
            lost = [name for name in written if self._owners.get(name) == other]
            names = in_a_row([written[name] for name in lost])
            told = f"{names} was made of {other}; now it is of {picture}"
            line = report.line_of(other)
            if line and (left := _without(line, lost, f"{names} is of {picture} now")) != line:
                is_empty = line["status"] != "failed" and not names_in(left)
                report.change(left, is_empty)
                self._note(left)
                told += f", and the line of {other} {'is gone' if is_empty else 'names the others alone'}"
            yield told

    def _standing(self, written: Mapping[str, str], outcome: Outcome) -> list[str]:
        """What stands there of the picture and was not written now. Of one that is skipped again its copy, or what a
        user has put in the place, is no result; its own note says which."""
        picture = outcome.file
        if outcome.status == "skipped" and picture in self._skipped:
            return []
        unwritten = (name for name in self._made.get(picture, ()) if folded(name) not in written)
        own = (name for name in unwritten if self._owners.get(folded(name)) == picture)
        return [name for name in own if self._results.has(name, 1)]

    def _told_of(self, standing: list[str], written: Mapping[str, str], outcome: Outcome) -> Iterator[str]:
        """What a user may take for a result of this run; packshots beside packshots are none."""
        picture = outcome.file
        if standing and not outcome.packshots and (not written or picture in self._enhanced):
            yield f"{in_a_row(standing)} is of an earlier run over {picture}, and stays"
        enhanced = [name for name in pictures_among(standing) if not self._outputs.get(folded(name))]
        masks = [name for name in written.values() if name.endswith((MASK_SUFFIX, ALPHA_SUFFIX))]
        if outcome.packshots and enhanced and masks:
            yield f"{in_a_row(masks)} is of the packshot now, and no more of {in_a_row(enhanced)}, which stays"


def _output_names(request: Request, source: Path, stem: str) -> list[str]:
    """What the result of a picture may be called; a packshot's product is not known before it is found."""
    if not request.makes_packshot:
        own = short_suffix(source)
        lossless = () if own.lower() in (".jpg", ".jpeg") else (own,)
        # what PNG cannot say is a TIFF
        return [stem + suffix for suffix in dict.fromkeys((".png", ".tif", *lossless))]
    from lib_prodshot.packshot.naming import file_stem
    from lib_prodshot.packshot.shop import SUFFIXES
    from lib_prodshot.steps.targets import targets_of

    names, is_each = [], request.frame.several_products == "each"
    for number, target in enumerate(targets_of(request), 1):
        made = file_stem(request.shop.file_names, stem, "", target.marketplace, number, is_each)
        kind = target.request.shop.format
        names.append(made + SUFFIXES["png" if kind == "auto" else kind])
    return names


def _without(line: Line, lost: Collection[str], note: str) -> dict[str, Any]:
    """The line of a picture without its files that are `lost` (`folded`), for another picture has them now; `note` says
    so. A folder job makes them again. The same line where none of them is among its files."""
    is_lost = {name: folded(called) in lost for name, called in zip(files_of(line), names_in(line))}
    stays = [name for name in stays_in(line) if folded(name) not in lost]
    if not any(is_lost.values()) and stays == stays_in(line):
        return dict(line)
    left = {**line, "notes": [*(line.get("notes") or ()), note]}
    if "stays" in line:
        left["stays"] = {**line["stays"], "files": stays}
    packshots = [made for made in line.get("packshots") or () if not is_lost.get(str(made.get("output")))]
    if "packshots" in line:
        left["packshots"] = packshots
    if is_lost.get(str(line.get("output"))):
        left["output"] = packshots[0]["output"] if packshots else None
    if any(is_lost[name] for name in is_lost if name.endswith((MASK_SUFFIX, ALPHA_SUFFIX))):
        left["mask"] = None
    left.pop("bytes", None)
    return left | ({"retry": True} if "sha256" in line else {})


def _with_one_scale(processor: PictureProcessor, paths: Sequence[Place]) -> PictureProcessor:
    """The processor, told the reference of all pictures where they are to have one scale; each is found once more."""
    request = processor.request
    if not request.needs_reference:
        return processor
    unread = partial(failed_outcome, request, processor.finder.name)
    shown = tqdm(paths, desc="measure", disable=None, file=sys.stderr)
    measured = (outcome_of(path, processor.detect, unread) for path in shown)
    reference = reference_text(measured_size(outcome) for outcome in measured)
    return replace(processor, request=request.replace(reference=reference)) if reference else processor


def enhancer_for(request: Request, webui: str | None) -> Enhancer:
    """Return the enhancer of the request's engine, in this process or on a WebUI.

    Raises `RequestError` when the two options do not go together, `ProdshotError` for a WebUI that does not answer
    or does not have what is requested.
    """
    check_webui(request, bool(webui))
    if not webui:
        from lib_prodshot.enhancing import load_enhancer

        return load_enhancer(request.running_engine)
    from lib_prodshot.enhancing import enhancer_on
    from lib_prodshot.hosts.remote import RemoteWebUI
    from lib_prodshot.hosts.remote.inpainting import RemoteInpaintingBackend

    backend = RemoteInpaintingBackend(RemoteWebUI(webui))
    backend.check(*request.pass_models)
    return enhancer_on(backend, request.running_engine)


def check_webui(request: Request, is_named: bool, dry_run: bool = False) -> None:
    """Raise `RequestError` where something is to be painted and no WebUI is named, or one is named for nothing."""
    paints = request.uses_webui
    if paints and not is_named and not dry_run:
        raise RequestError([_missing_webui(request)])
    if is_named and not paints:
        raise RequestError([_unused_webui(request)])


def _missing_webui(request: Request) -> FieldProblem:
    what = "the ground 'scene'" if request.makes_packshot else f"the engine '{request.running_engine}'"
    return FieldProblem("webui", f"{what} needs a WebUI: add --webui http://host:port")


def _unused_webui(request: Request) -> FieldProblem:
    if request.makes_packshot:
        return FieldProblem("ground", "only the ground 'scene' uses a WebUI: add --ground scene")
    return FieldProblem("engine", "only the engines 'inpaint' and 'edit' use a WebUI: add --engine inpaint")
