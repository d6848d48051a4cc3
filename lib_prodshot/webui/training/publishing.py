"""Jobs of the kind 'training_publish': a run's epochs into this WebUI's folder of LoRAs, which it then lists again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.server_paths import OpenPath, check_folder
from lib_prodshot.jobs.settings import job_setting, read_own
from lib_prodshot.training.errors import PublishError, TrainingError
from lib_prodshot.training.publishing import publish
from lib_prodshot.training.recipe.recipe import INVALID_NAME
from lib_prodshot.webui.jobs.table import Control, Work
from lib_prodshot.webui.training.recipe import runs_folder

SETTINGS = (
    job_setting("output_name", "Run", "Name of the run whose LoRAs are published."),
    job_setting("output_dir", "Runs folder", "Folder that the run is kept in; empty: the WebUI's own for runs."),
    job_setting("epochs", "Epochs", "Only these epochs, with commas; empty: all that there are."),
    job_setting("name", "Name", "Another name than the run's: NAME-01 and so on."),
    job_setting(
        "weight",
        "Preferred weight",
        "The weight that the WebUI proposes for the LoRA.",
        1.0,
        minimum=0.0,
        maximum=2.0,
        step=0.05,
    ),
    job_setting("description", "Description", "Shown on the LoRA's card."),
)
"""What publishing takes."""


def work_from(settings: Mapping[str, Any], open_path: OpenPath = check_folder) -> Work:
    """The work that these settings describe. Raises `RequestError`."""
    run, options = read(settings, open_path)

    def work(_control: Control) -> Mapping[str, Any]:
        return {"published": [one.to_json() for one in publish_here(run, options)]}

    return work


def read(settings: Mapping[str, Any], open_path: OpenPath) -> tuple[Path, publish.PublishOptions]:
    """The run's folder and the options of publishing. Raises `RequestError` naming the fields."""
    own, problems = read_own(SETTINGS, settings)
    problems += [FieldProblem(name, "unknown setting") for name in settings if name not in own]
    try:
        epochs = tuple(int(part) for part in own["epochs"].replace(",", " ").split())
    except ValueError:
        problems.append(FieldProblem("epochs", f"{own['epochs']!r} is not a list of epochs", "such as 8, 10"))
        epochs = ()
    if problems:
        raise RequestError(problems)
    run = run_folder(own, open_path)
    return run, publish.PublishOptions(own["name"], epochs, own["weight"], own["description"])


def run_folder(own: Mapping[str, Any], open_path: OpenPath) -> Path:
    """The folder of the run that `output_name` and `output_dir` name. Raises `RequestError` naming the field."""
    folder = open_path("output_dir", own["output_dir"]) if own["output_dir"] else runs_folder()
    if not own["output_name"] or INVALID_NAME.search(own["output_name"]):
        raise RequestError([FieldProblem("output_name", "this is no name of a run", "letters, digits, - and _")])
    run = folder / own["output_name"]
    try:
        publish.read_run(run)
    except (PublishError, TrainingError) as error:
        raise RequestError([FieldProblem("output_name", str(error))]) from error
    return run


def publish_here(run: Path, options: publish.PublishOptions | None = None) -> list[publish.Published]:
    """Publish a run's LoRAs into this WebUI's folder, and refresh its list. Raises as `publish.publish` does."""
    webui = host().training()
    published = publish.publish(run, webui.lora_folder(), options)
    webui.refresh_loras()
    return published
