"""Jobs of the kind 'training_check': a dataset checked as by `prodshot train check`, and copies as by `--fix`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.server_paths import OpenPath, check_folder
from lib_prodshot.jobs.settings import job_setting, read_own
from lib_prodshot.training.dataset import check, looking
from lib_prodshot.training.dataset.check import CheckReport
from lib_prodshot.training.dataset.fixing import FixJob, small_products, to_json
from lib_prodshot.training.dataset.looking import LOOK
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.webui import service
from lib_prodshot.webui.answers import without_paths
from lib_prodshot.webui.jobs.table import Control, JobCancelled, Work
from lib_prodshot.webui.training.recipe import recipe_of

SETTINGS = (
    job_setting(
        "fix",
        "Fixed copies",
        "Folder for copies as training should see them: upright sRGB of 8 bits, opaque; empty: only check.",
    ),
    LOOK,
)
"""Settings of a check in addition to the recipe's."""


@dataclass(frozen=True)
class CheckResult:
    """A check's report; with copies also what became of them (`fixing.to_json`), and the report on these."""

    report: CheckReport
    fixed: Mapping[str, Any] | None = None
    copies: CheckReport | None = None

    def to_json(self) -> dict[str, Any]:
        """For clients: files by their names, not by the server's paths."""
        values = _report_json(self.report)
        if self.fixed is None or self.copies is None:
            return values
        return {**values, "fixed": {**self.fixed, "report": _report_json(self.copies)}}


def work_from(settings: Mapping[str, Any], open_path: OpenPath = check_folder) -> Work:
    """The work that these settings describe: `SETTINGS`, and the recipe's own. Raises `RequestError`.

    A job that is cancelled keeps the copies that it has written.
    """
    recipe, fix, own = _read(settings, open_path)

    def work(control: Control) -> Mapping[str, Any]:
        def progress(done: int, total: int) -> None:
            control.report(done, total, f"{done} of {total}")

        if not own["look"]:
            return _with_copies(check.check(recipe, progress), fix, control).to_json()
        with host().use_finder(recipe.finder) as finder:
            looker = looking.looker_for(recipe, service.queued(finder, host()))
            report = check.check(recipe, progress, looker)
        cropping = fix and replace(fix, crops=small_products(report.views))
        return _with_copies(report, cropping, control).to_json()

    return work


def run_check(settings: Mapping[str, Any], open_path: OpenPath) -> CheckResult:
    """The report itself, without looking. Raises `RequestError`, `PictureError`, `OutputError`."""
    recipe, fix, _ = _read(settings, open_path)
    return _with_copies(check.check(recipe), fix)


def _read(settings: Mapping[str, Any], open_path: OpenPath) -> tuple[Recipe, FixJob | None, Mapping[str, Any]]:
    own, problems = read_own(SETTINGS, settings)
    if problems:
        raise RequestError(problems)
    recipe = recipe_of({name: value for name, value in settings.items() if name not in own}, open_path, complete=False)
    _refuse_missing(recipe)
    if own["look"]:
        looking.classes_of(recipe)
        service.refuse_unready(recipe.finder)
    if not own["fix"].strip():
        return recipe, None, own
    fix = FixJob(recipe, open_path("fix", own["fix"]))
    fix.targets()
    return recipe, fix, own


def _with_copies(report: CheckReport, fix: FixJob | None, control: Control | None = None) -> CheckResult:
    if fix is None:
        return CheckResult(report)
    total, done = fix.count(), []
    for one in fix.run():
        done.append(one)
        if control is None:
            continue
        control.report(len(done), total, f"{len(done)} of {total} copies")
        if control.cancelled:
            raise JobCancelled
    values = to_json(fix, done)
    fixed = {**values, "folder": fix.out.name, "problems": _without_paths(values["problems"])}
    return CheckResult(report, fixed, check.check(fix.fixed_recipe()))


def _report_json(report: CheckReport) -> dict[str, Any]:
    values = report.to_json()
    folders = [{**one, "folder": Path(one["folder"]).name} for one in values["folders"]]
    views = {"views": [{**one, "file": Path(one["file"]).name} for one in values["views"]]} if report.views else {}
    return {**values, "folders": folders, "problems": _without_paths(values["problems"]), **views}


def _without_paths(problems: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "file": Path(one["file"]).name, "message": without_paths(one["message"])} for one in problems]


def _refuse_missing(recipe: Recipe) -> None:
    if not recipe.image_dir:
        raise RequestError([FieldProblem("image_dir", "a folder is needed", "the folder of photographs")])
    for subset in recipe.all_subsets:
        if not Path(subset.image_dir).is_dir():
            raise RequestError([FieldProblem("image_dir", f"there is no folder {subset.image_dir}")])
