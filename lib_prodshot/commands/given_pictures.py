"""The pictures that a command line names, one after the other through the pipeline, with their report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path, PurePath

from tqdm import tqdm

from lib_prodshot.commands.console import say, say_unknown
from lib_prodshot.commands.places import Place, keep_results, outcome_of
from lib_prodshot.enhancing.interface import Enhancer
from lib_prodshot.errors import FieldProblem, RequestError, UnknownProducts
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.files.names import folded
from lib_prodshot.jobs.folder.folders import LocalFolders
from lib_prodshot.jobs.folder.resume import files_of, stems_of
from lib_prodshot.jobs.folder.work_list import in_a_row
from lib_prodshot.jobs.processor import PictureProcessor, failed_outcome, read_named, upscaler_of
from lib_prodshot.jobs.report.report import CSV_NAME, JSONL_NAME, Report, numbered_lines
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
    _refuse_unknown(request, finder)
    said: set[str] = set()
    with ExitStack() as held:
        held.enter_context(new_folder(out, (JSONL_NAME, CSV_NAME)))
        held.enter_context(sole_writer(out))
        results.open()
        held.callback(results.close)
        held.callback(results.finish)
        replaced = _remove_former(results, [str(path) for path in paths], stems, inputs)
        report = held.enter_context(Report(out, redone=replaced))
        for note in report.notes:
            say(note)
        processor = _with_one_scale(processor, paths)
        for path, stem in tqdm(list(zip(paths, stems)), unit="picture", disable=None, file=sys.stderr):
            outcome = outcome_of(path, partial(processor.process, folder=out, stem=stem), unread)
            say_unknown(outcome.notes, said)
            keep_results(results, outcome)
            report.add(outcome)
            yield path, outcome


def _refuse_unknown(request: Request, finder: Finder) -> None:
    """Raise `UnknownProducts` before anything is made, where the finder can tell without a picture."""
    try:
        finder.refuse_unknown(request.classes)
    except UnknownProducts as error:
        request.find.left_in(error)


def _remove_former(
    results: LocalFolders, pictures: Sequence[str], stems: Sequence[str], inputs: Container[Path]
) -> frozenset[str]:
    """Remove what earlier runs made of these pictures, so that no mask of theirs stays beside one that is skipped now,
    and what another picture has under the same stem; returns the pictures whose lines go with it.

    Only files that the report names, and that no line which stays has too. Raises `OutputError`.
    """
    out, given, new_stems = results.output_folder, frozenset(pictures), frozenset(map(folded, stems))
    former: dict[str, list[str]] = {}
    kept: set[str] = set()
    for _, line in numbered_lines(out / JSONL_NAME):
        # a line's paths are those of its own day: the results themselves stand in this folder
        files = [PurePath(name).name for name in files_of(line)]
        if line["file"] in given or {PurePath(stem).name for stem in stems_of(line)} & new_stems:
            former.setdefault(line["file"], []).extend(files)
        else:
            kept.update(files)
    stuck = [
        each
        for name in chain(*former.values())
        if name not in kept
        for each in results.remove({"output": name}, inputs)
    ]
    if stuck:
        say(f"left by an earlier run, and cannot be removed: {in_a_row(sorted(set(stuck)))}")
    others = sorted(former.keys() - given)
    if others:
        say(f"results of other pictures give way to these of the same name: {in_a_row(others)}")
    return frozenset(former) | given


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
