"""Jobs of the kind 'training_check': a folder looked over as `prodshot train check` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.training import check
from lib_prodshot.training.check import CheckReport
from lib_prodshot.training.recipe import Recipe
from lib_prodshot.webui.jobs.table import Control, Work
from lib_prodshot.webui.server_paths import check_folder
from lib_prodshot.webui.training.recipe import OpenPath, recipe_of


def work_from(settings: Mapping[str, Any], open_path: OpenPath = check_folder) -> Work:
    """The work that these settings, the recipe's own, describe. Raises `RequestError`."""
    recipe = recipe_of(settings, open_path, complete=False)
    _refuse_missing(recipe)

    def work(control: Control) -> Mapping[str, Any]:
        return report_json(check.check(recipe, lambda done, total: control.report(done, total, f"{done} of {total}")))

    return work


def look_over(settings: Mapping[str, Any], open_path: OpenPath) -> CheckReport:
    """The report itself. Raises `RequestError`, `PictureError`."""
    recipe = recipe_of(settings, open_path, complete=False)
    _refuse_missing(recipe)
    return check.check(recipe)


def report_json(report: CheckReport) -> dict[str, Any]:
    """The report for clients: files by their names, not by the server's paths."""
    told = report.to_json()
    return {**told, "problems": [{**one, "file": Path(one["file"]).name} for one in told["problems"]]}


def _refuse_missing(recipe: Recipe) -> None:
    if not recipe.image_dir:
        raise RequestError([FieldProblem("image_dir", "a folder is needed", "the folder of photographs")])
    for subset in recipe.all_subsets:
        if not Path(subset.image_dir).is_dir():
            raise RequestError([FieldProblem("image_dir", f"there is no folder {subset.image_dir}")])
