"""Jobs of the kind 'training_captions': captions for a folder, written by this WebUI's interrogator, BLIP or a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lib_prodshot.errors import FieldProblem, PictureError, RequestError
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.server_paths import OpenPath, check_folder
from lib_prodshot.jobs.settings import job_setting, read_own
from lib_prodshot.training.captioning.captioners import (
    BlipCaptioner,
    Captioner,
    FileCaptioner,
    open_upright,
    parse_interrogation,
)
from lib_prodshot.training.captioning.job import CaptionJob, CaptionResult, count_results
from lib_prodshot.training.dataset.captions import TagEdit, split_tags
from lib_prodshot.webui.answers import without_paths
from lib_prodshot.webui.jobs.table import Control, Work
from lib_prodshot.webui.training.recipe import opened_folder

CAPTIONERS = ("none", "webui", "blip", "file")

MAX_CHANGES = 500
"""The most changed captions that a job's result lists."""


SETTINGS = (
    job_setting("image_dir", "Folder", "Folder of photographs and captions."),
    job_setting("activation_tag", "Activation tag", "Put first in every caption; several with commas."),
    job_setting(
        "caption_extension", "Caption extension", "Captions are files of the photograph's name with this.", ".txt"
    ),
    job_setting(
        "captioner",
        "Captioner",
        "Who describes photographs without a caption: nobody, this WebUI's interrogator, BLIP-large, or a file.",
        "none",
        choices=CAPTIONERS,
    ),
    job_setting(
        "captions", "Captions from", "With the captioner file: a JSON object, a CSV file, or a folder of text files."
    ),
    job_setting("remove", "Remove tags", "Take these out of every caption; several with commas."),
    job_setting("search", "Search tags", "In captions with any of these, replace them; several with commas."),
    job_setting("replacement", "Replace by", "What stands instead of the tags searched for; several with commas."),
    job_setting("need_all", "Only with all", "Replace only in captions that have all of the tags searched for.", False),
    job_setting("new_first", "New tags first", "Put tags that are new at the front instead of the end.", False),
    job_setting("anew", "Describe all anew", "Describe also photographs that have a caption.", False),
    job_setting("dry_run", "Only show", "Show what would change and write nothing.", False),
)
"""What a caption job takes."""


class HostCaptioner(Captioner):
    """The interrogator of the WebUI around us, one photograph at a time between its generations."""

    def caption(self, photographs: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """See `Captioner`. Raises `CaptionerError`, `PictureError`."""
        for path in photographs:
            answer = host().training().describe(open_upright(path))
            yield path, parse_interrogation(answer, "this WebUI's interrogator", path)


def work_from(settings: Mapping[str, Any], open_path: OpenPath = check_folder) -> Work:
    """The work that these settings describe. Raises `RequestError`."""
    own, problems = read_own(SETTINGS, settings)
    problems += [FieldProblem(name, "unknown setting") for name in settings if name not in own]
    if problems:
        raise RequestError(problems)
    captioner = _captioner(own, open_path)
    job = CaptionJob(
        folder=opened_folder("image_dir", own["image_dir"], open_path),
        edit=_edit(own),
        captioner=captioner,
        extension=own["caption_extension"],
        overwrite=own["anew"],
        dry_run=own["dry_run"],
    )
    try:
        job.count()
    except PictureError as error:
        raise RequestError([FieldProblem("image_dir", str(error))]) from error
    return lambda control: _write(job, control)


def _edit(own: Mapping[str, Any]) -> TagEdit:
    names = {"activation_tag": "first", "remove": "remove", "search": "search", "replacement": "replacement"}
    lists = {field: tuple(split_tags(own[name])) for name, field in names.items()}
    return TagEdit(**lists, need_all=own["need_all"], new_first=own["new_first"])


def _captioner(own: Mapping[str, Any], open_path: OpenPath) -> Captioner | None:
    chosen = own["captioner"]
    if chosen == "file":
        return FileCaptioner(open_path("captions", own["captions"]))
    if chosen == "webui" and (reason := host().training().no_interrogator()):
        raise RequestError([FieldProblem("captioner", f"{reason}; choose blip, or file")])
    return {"webui": HostCaptioner, "blip": BlipCaptioner}[chosen]() if chosen in ("webui", "blip") else None


def _write(job: CaptionJob, control: Control) -> Mapping[str, Any]:
    """Write the captions; a cancelled job keeps what it has written."""
    total, done = job.count(), []
    # BLIP uses the GPU that the WebUI generates on
    with host().job("Prodshot: captions") if isinstance(job.captioner, BlipCaptioner) else nullcontext():
        for one in job.run():
            done.append(one)
            control.report(len(done), total, f"{len(done)} of {total} captions")
    changes = [_change_json(one) for one in done if one.rewritten or one.problem]
    told = {**count_results(done), "dry_run": job.dry_run, "changes": changes[:MAX_CHANGES]}
    unused = job.unused(job.photographs())
    return {**told, "unused": len(unused), "unused_entries": unused[:MAX_CHANGES]}


def _change_json(one: CaptionResult) -> dict[str, Any]:
    """One caption that changed, is missing or cannot be read, by the file's name."""
    name = one.file.name if one.unusable else one.photograph.name
    problem = without_paths(one.problem)
    return {"file": name, "before": one.before, "after": one.after, "problem": problem, "kept": one.unusable}
