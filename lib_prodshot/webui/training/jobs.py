"""Jobs of the kind 'training': a recipe, trained by the same `TrainingJob` as `prodshot train run`, while the WebUI's
own models leave the GPU to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from lib_prodshot.errors import FieldProblem, PictureError, RequestError
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.server_paths import OpenPath, check_folder
from lib_prodshot.jobs.settings import job_setting, read_own
from lib_prodshot.training.errors import InvalidDataset, TrainingError
from lib_prodshot.training.trainer import sd_scripts
from lib_prodshot.training.trainer.ledger import RECIPE
from lib_prodshot.training.trainer.losses import LOSSES
from lib_prodshot.training.trainer.runner import LOG, TrainingJob, TrainingResult
from lib_prodshot.webui.jobs.table import Control, JobCancelled, Work
from lib_prodshot.webui.training.publishing import publish_here
from lib_prodshot.webui.training.recipe import recipe_of

POLL_SECONDS = 0.3
"""Seconds between two polls of a run's progress."""

MAX_POINTS = 200
"""Points of the loss curve that a job's figures carry; the whole curve stands in `loss.csv`."""

FILES = {"losses": LOSSES, "recipe": RECIPE, "log": LOG}


SETTINGS = (
    job_setting("fresh", "Begin anew", "Begin anew; an earlier run of the name is set aside, not deleted.", False),
    job_setting("force", "In spite of errors", "Start in spite of errors that the check finds.", False),
    job_setting(
        "while_generating",
        "Even while generating",
        "Start also while the WebUI is generating, and leave its models on the GPU: where there is room for both.",
        False,
    ),
    job_setting(
        "publish", "Publish at the end", "When it is finished, put every epoch among the WebUI's LoRAs.", False
    ),
)
"""Settings of a training job in addition to the recipe's."""


def work_from(settings: Mapping[str, Any], open_path: OpenPath = check_folder) -> Work:
    """The work that these settings describe: `SETTINGS`, and the recipe's own.

    Raises `RequestError` naming each wrong field: also for a folder that cannot be trained on, for a run that cannot go
    on, and while the WebUI is generating. Raises `TrainerMissing` and `TrainerError`.
    """
    own, problems = read_own(SETTINGS, settings)
    if problems:
        raise RequestError(problems)
    recipe = recipe_of({name: value for name, value in settings.items() if name not in own}, open_path)
    if not own["while_generating"]:
        _refuse_while_generating()
    job = TrainingJob(recipe, sd_scripts.find(), fresh=own["fresh"], force=own["force"], use_finder=host().use_finder)
    try:
        job.prepare()
    except (InvalidDataset, PictureError) as error:
        raise RequestError([FieldProblem("image_dir", str(error))]) from error
    except TrainingError as error:
        raise RequestError([FieldProblem("output_name", str(error))]) from error
    return lambda control: _train(job, control, own["while_generating"], own["publish"])


def _refuse_while_generating() -> None:
    """Two at once on one GPU are slow, or out of memory."""
    if host().training().is_generating():
        advice = "wait for it, or set this where the GPU has room for both"
        raise RequestError([FieldProblem("while_generating", f"the WebUI is generating: {advice}", "true | false")])


def _train(job: TrainingJob, control: Control, while_generating: bool, publish: bool) -> Mapping[str, Any]:
    """Train, once the job's turn has come. Raises `JobCancelled` and whatever ends the run."""
    if not while_generating:
        _wait_for_gpu(control)
    job.start(lambda done, total: control.report(done, total, f"making masks: {done} of {total}"))
    control.serve(job.folder, **FILES)
    result = _watch(job, control)
    _report_progress(control, job)
    if result.outcome == "stopped":
        raise JobCancelled
    if result.outcome == "failed":
        saved = f"; {len(result.loras)} saved LoRAs stay" if result.loras else ""
        raise TrainingError(f"{result.reason}{saved}")
    published = {"published": [one.to_json() for one in publish_here(job.folder)]} if publish else {}
    # names of files, not the server's paths
    told = {"notes": [*job.warnings, *result.notes], "loras": [path.name for path in result.loras]}
    return {**result.to_json(), **told, **published}


def _watch(job: TrainingJob, control: Control) -> TrainingResult:
    stops = 0
    while (result := job.wait(POLL_SECONDS)) is None:
        _report_progress(control, job)
        while stops < control.cancelled + control.aborted:
            stops += 1
            # the first time what was learned since the last saved epoch is not lost
            job.stop(after_epoch=stops == 1)
    return result


def _wait_for_gpu(control: Control) -> None:
    """A job that has waited in the queue finds the WebUI generating again: it waits for the end, and then has the
    WebUI's models leave the GPU. Raises `JobCancelled`."""
    webui = host().training()
    while webui.is_generating():
        control.report(0, 0, "waiting until the WebUI has finished generating")
        time.sleep(POLL_SECONDS)
    control.report(0, 0, "taking the WebUI's models off the GPU")
    webui.leave_gpu()


def _report_progress(control: Control, job: TrainingJob) -> None:
    progress = job.progress()
    losses = job.losses()
    figures = {
        **progress.to_json(),
        "losses": [[step, epoch, round(loss, 6)] for step, epoch, loss in _subsampled(losses)],
        "samples": [path.relative_to(job.folder).as_posix() for path in job.samples()],
    }
    control.set_progress(progress.step, progress.total_steps, progress.to_text(), figures)


def _subsampled(points: list[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    """At most `MAX_POINTS` of a curve, evenly taken, the last one among them."""
    stride = -(-len(points) // MAX_POINTS) or 1
    return points[::-1][::stride][::-1]
