"""The pictures that a command line names, one after the other through the pipeline, with their report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from lib_prodshot.commands.console import say
from lib_prodshot.enhancing.interface import Enhancer
from lib_prodshot.jobs.processor import PictureProcessor, upscaler_of
from lib_prodshot.jobs.report.report import Report
from lib_prodshot.jobs.scale import measured_size, reference_text
from lib_prodshot.outcome import Outcome
from lib_prodshot.request import Request


def processed(
    arguments: argparse.Namespace, request: Request, paths: Sequence[Path], enhancer: Enhancer
) -> Iterator[tuple[Path, Outcome]]:
    """Yield each picture and its outcome once its results and its line in the report are written.

    Raises `RequestError`, `OutputError`, `FinderUnavailable` and `WeightsError`.
    """
    from lib_prodshot.finding.registry import load_finder
    from lib_prodshot.jobs.files.names import name_limit, output_stems
    from lib_prodshot.jobs.files.reading import real_path
    from lib_prodshot.jobs.files.staging import make_folder, sole_writer

    upscaler = upscaler_of(request)
    make_folder(arguments.out)
    inputs = frozenset(map(real_path, paths))
    finder = load_finder(request.finder, arguments.models_dir)
    processor = PictureProcessor(request, finder, enhancer, inputs, keep_times=arguments.keep_times, upscaler=upscaler)
    stems = output_stems(paths, name_limit(arguments.out))
    with sole_writer(arguments.out), Report(arguments.out, redone=[str(path) for path in paths]) as report:
        for note in report.notes:
            say(note)
        processor = _with_one_scale(processor, paths)
        for path, stem in tqdm(list(zip(paths, stems)), unit="picture", disable=None, file=sys.stderr):
            outcome = processor.process(path, arguments.out, stem)
            report.add(outcome)
            yield path, outcome


def _with_one_scale(processor: PictureProcessor, paths: Sequence[Path]) -> PictureProcessor:
    """The processor, told the reference of all pictures where they are to have one scale; each is found once more."""
    request = processor.request
    if request.running_engine != "packshot" or not request.same_scale or request.reference:
        return processor
    measured = (processor.detect(path) for path in tqdm(paths, desc="measure", disable=None, file=sys.stderr))
    reference = reference_text(measured_size(outcome) for outcome in measured)
    return replace(processor, request=request.replace(reference=reference)) if reference else processor
