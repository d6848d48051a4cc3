"""`prodshot train check|caption|setup|run|compare|publish`: from a folder of photographs to a LoRA in the WebUI."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.commands import compare_epochs
from lib_prodshot.commands.console import on_interrupt, say
from lib_prodshot.commands.paths import input_folder, run_folder
from lib_prodshot.commands.recipe_options import add_recipe_options, recipe_from
from lib_prodshot.commands.setting_options import add_setting_options
from lib_prodshot.errors import FieldProblem, RequestError, as_typed
from lib_prodshot.training.dataset import looking
from lib_prodshot.training.errors import TrainingError

if TYPE_CHECKING:
    from tqdm import tqdm

    from lib_prodshot.training.captioning.captioners import Captioner
    from lib_prodshot.training.captioning.job import CaptionJob
    from lib_prodshot.training.dataset.check import CheckReport
    from lib_prodshot.training.dataset.fixing import FixJob
    from lib_prodshot.training.dataset.looking import Looker
    from lib_prodshot.training.publishing.publish import Published
    from lib_prodshot.training.recipe.recipe import Recipe
    from lib_prodshot.training.trainer.progress import Progress
    from lib_prodshot.training.trainer.runner import TrainingJob, TrainingResult

_FOLDER_INSTEAD = "name the folder that the photographs are in"

TORCHES = ("auto", "cu124", "cu128", "cpu", "pip")


def add_parser(subparsers: Any) -> None:
    """Describe the command and its actions."""
    parser = subparsers.add_parser("train", help="train a LoRA on your photographs with kohya's sd-scripts")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for add in (_add_check, _add_caption, _add_setup, _add_run, compare_epochs.add_parser, _add_publish):
        add(actions)


def run(arguments: argparse.Namespace) -> int:
    """Do one action; exit code 1 when the folder has errors or the training failed, 130 when it was stopped."""
    return int(_ACTIONS[arguments.action](arguments))


def _add_check(actions: Any) -> None:
    check = actions.add_parser("check", help="look a folder over: pictures, captions, buckets, steps")
    check.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="photographs and captions")
    check.add_argument("--json", action="store_true", help="the report as JSON")
    check.add_argument(
        "--fix", type=Path, metavar="DIR", help="also write copies there as training should see them, and check these"
    )
    check.add_argument("--models-dir", type=Path, help="with --look: weights are here (also: PRODSHOT_MODELS)")
    add_setting_options(check, (looking.LOOK,))
    add_recipe_options(check)
    check.set_defaults(run=run)


def _add_caption(actions: Any) -> None:
    caption = actions.add_parser("caption", help="write missing captions, put the activation tag first in all")
    caption.add_argument("folder", type=Path, metavar="FOLDER", help="photographs and captions")
    caption.add_argument("--tag", "--activation-tag", default="", metavar="TAGS", help="put first, with commas")
    caption.add_argument(
        "--captioner",
        choices=("blip", "webui", "file"),
        help="where missing captions come from: BLIP here, a WebUI's interrogator, or a file; without: nowhere",
    )
    caption.add_argument("--webui", metavar="URL", help="with --captioner webui: http://user:password@host:port")
    caption.add_argument("--captions", type=Path, metavar="PATH", help="with --captioner file: .json, .csv or a folder")
    caption.add_argument("--blip-model", metavar="NAME", help="with --captioner blip: a model folder or hub name")
    caption.add_argument("--device", default="", help="with --captioner blip: cuda, cpu; default: the best there is")
    caption.add_argument("--anew", action="store_true", help="describe photographs that have a caption, too")
    caption.add_argument("--caption-extension", default=".txt", metavar="TEXT", help="default: %(default)s")
    caption.add_argument("--dry-run", action="store_true", help="show what would change; write nothing")
    edit = caption.add_argument_group("tags (lists with commas)")
    edit.add_argument("--remove", default="", metavar="TAGS", help="take these out of every caption")
    edit.add_argument("--search", default="", metavar="TAGS", help="in captions with any of these, replace them")
    edit.add_argument("--need-all", action="store_true", help="with --search: only in captions with all of them")
    edit.add_argument("--replacement", default="", metavar="TAGS", help="with --search: by these")
    edit.add_argument("--new-first", action="store_true", help="with --search: new tags stand first, not last")
    caption.set_defaults(run=run)


def _add_setup(actions: Any) -> None:
    setup = actions.add_parser("setup", help="get sd-scripts and make a Python environment for it alone")
    setup.add_argument("--sd-scripts", type=Path, metavar="DIR", help="a checkout that you have, instead of getting it")
    setup.add_argument("--torch", choices=TORCHES, default="auto", help="which PyTorch; default: what the GPU needs")
    setup.add_argument("--folder", type=Path, metavar="DIR", help="make it here (also: PRODSHOT_TRAINER)")
    setup.add_argument("--dry-run", action="store_true", help="only say what it would do and how large it is")
    setup.set_defaults(run=run)


def _add_run(actions: Any) -> None:
    train = actions.add_parser("run", help="train; the same command goes on after the last saved epoch")
    train.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="photographs and captions")
    train.add_argument("--sd-scripts", type=Path, metavar="DIR", help="its checkout (also: PRODSHOT_SD_SCRIPTS)")
    train.add_argument(
        "--python", type=Path, metavar="FILE", help="the Python that runs it (also: PRODSHOT_SD_SCRIPTS_PYTHON)"
    )
    train.add_argument("--fresh", action="store_true", help="begin anew; an earlier run is set aside, not deleted")
    train.add_argument("--force", action="store_true", help="start in spite of errors that the check finds")
    train.add_argument("--dry-run", action="store_true", help="check everything and start nothing")
    train.add_argument("--save-recipe", type=Path, metavar="FILE", help="write the recipe, explained; start nothing")
    add_recipe_options(train)
    train.set_defaults(run=run)


def _add_publish(actions: Any) -> None:
    publish = actions.add_parser("publish", help="put a run's LoRAs among the WebUI's, as NAME-01, NAME-02, …")
    publish.add_argument("training", type=Path, metavar="RUN", help="the run's folder: output_dir/output_name")
    publish.add_argument("--to", type=Path, metavar="DIR", help="a WebUI, or its models/Lora")
    publish.add_argument("--webui", metavar="URL", help="a running WebUI to tell; on this machine it also says where")
    publish.add_argument("--epoch", type=int, action="append", metavar="N", help="only this one; again for more")
    publish.add_argument("--name", default="", help="another name than the run's")
    publish.add_argument("--weight", type=float, default=1.0, help="the preferred weight; default: %(default)s")
    publish.add_argument("--description", default="", metavar="TEXT", help="shown in the WebUI")
    publish.set_defaults(run=run)


def check_folder(arguments: argparse.Namespace) -> int:
    """Print the report; exit code 1 when it has errors; with `--fix`, when the copies have."""
    recipe = _recipe(arguments, complete=False)
    if not recipe.image_dir:
        raise RequestError([FieldProblem("image_dir", "no folder is named", as_typed("train check FOLDER"))])
    looker = _looker(arguments, recipe)
    if arguments.fix:
        return _check_and_fix(recipe, arguments.fix, arguments.json, looker)
    report = _check(recipe, looker)
    print(json.dumps(report.to_json(), ensure_ascii=False) if arguments.json else report.to_text())
    return 1 if report.errors else 0


def _looker(arguments: argparse.Namespace, recipe: Recipe) -> Looker | None:
    """What looks at the photographs, None where that was not asked for. Raises `RequestError`, `FinderUnavailable`."""
    if not arguments.look:
        return None
    from lib_prodshot.finding.registry import load_finder

    looking.classes_of(recipe)  # before anything is loaded
    return looking.looker_for(recipe, load_finder(recipe.finder, arguments.models_dir))


def _check(recipe: Recipe, looker: Looker | None = None) -> CheckReport:
    from lib_prodshot.training.dataset import check

    with _bar("photograph") as bar:
        return check.check(recipe, lambda done, total: _advance(bar, done, total), looker)


def _check_and_fix(recipe: Recipe, out: Path, as_json: bool, looker: Looker | None) -> int:
    """The report, the copies, and the report on these; exit code 1 when the copies have errors, or lack a picture."""
    from lib_prodshot.training.dataset import fixing

    fixed_recipe = fixing.FixJob(recipe, out).fixed_recipe()
    report = _check(recipe, looker)
    job = fixing.FixJob(recipe, out, fixing.small_products(report.views))
    if not as_json:
        print(report.to_text(), end="\n\n", flush=True)
    done = _run_with_bar(job, job.count(), "copy", lambda one: one.converted and not as_json)
    values, copies = fixing.to_json(job, done), _check(fixed_recipe)
    if as_json:
        print(json.dumps({**report.to_json(), "fixed": {**values, "report": copies.to_json()}}, ensure_ascii=False))
    else:
        print(fixing.to_text(values), copies.to_text(), sep="\n\n")
    return 1 if copies.errors or values["problems"] else 0


def caption_folder(arguments: argparse.Namespace) -> int:
    """Write captions; exit code 1 when a photograph got none, or has one that cannot be read."""
    from lib_prodshot.jobs.folder.work_list import in_a_row
    from lib_prodshot.training.captioning.job import CaptionJob, count_results
    from lib_prodshot.training.dataset.captions import TagEdit

    edit = TagEdit(
        first=_tags(arguments.tag),
        remove=_tags(arguments.remove),
        search=_tags(arguments.search),
        replacement=_tags(arguments.replacement),
        need_all=arguments.need_all,
        new_first=arguments.new_first,
    )
    captioner = _captioner(arguments)
    folder = input_folder(arguments.folder, "image_dir", _FOLDER_INSTEAD)
    job = CaptionJob(folder, edit, captioner, arguments.caption_extension, arguments.anew, arguments.dry_run)
    photographs = job.photographs()
    unused = job.unused(photographs)
    if unused:
        say(f"{len(unused)} of the captions in {arguments.captions} fit no photograph here: {in_a_row(unused)}")
    done = _run_with_bar(job, len(photographs), "caption", lambda one: one.rewritten, lambda one: one.is_bare)
    bare = [one.photograph.name for one in done if one.is_bare]
    if bare:
        lack = "photograph has" if len(bare) == 1 else "photographs have"
        say(f"{len(bare)} {lack} no caption, and no captioner was chosen (--captioner): {in_a_row(bare)}")
    counts = count_results(done)
    verb = "would be written" if arguments.dry_run else "written"
    unread = f", {counts['unread']} unread and kept" if counts["unread"] else ""
    written, kept, missing = counts["written"], counts["kept"], counts["missing"]
    print(f"{written} of {len(done)} captions {verb}, {kept} kept, {missing} missing{unread}")
    return 1 if counts["missing"] or counts["unread"] else 0


def set_up(arguments: argparse.Namespace) -> int:
    """Say what it takes, then make the trainer."""
    from lib_prodshot.training.trainer import setup

    plan = setup.plan(arguments.sd_scripts, arguments.torch, arguments.folder)
    print(plan.to_text(), flush=True)
    if arguments.dry_run:
        return 0
    trainer, info = setup.install(plan, say)
    gpus = ", ".join(f"{gpu['name']} ({gpu['bytes'] / 1e9:.0f} GB)" for gpu in info.gpus) or "none: the CPU trains"
    print(f"ready: {trainer.checkout} with Python {info.python}, PyTorch {info.torch}; GPUs: {gpus}")
    return 0


def train(arguments: argparse.Namespace) -> int:
    """Train to the end, or to the second Ctrl-C. Raises `TrainingError` with the reason of a failure."""
    if arguments.save_recipe:
        return _save_recipe(_recipe(arguments, complete=False), arguments.save_recipe)
    recipe = _recipe(arguments)
    from lib_prodshot.training.trainer import sd_scripts
    from lib_prodshot.training.trainer.runner import TrainingJob

    # what is easier to mend is told first
    for subset in recipe.all_subsets:
        input_folder(Path(subset.image_dir), "image_dir", _FOLDER_INSTEAD)
    trainer = sd_scripts.find(arguments.sd_scripts, arguments.python)
    job = TrainingJob(recipe, trainer, fresh=arguments.fresh, force=arguments.force)
    if arguments.dry_run:
        report, has_finder_masks = job.prepare(), job.check_masks()
        print(report.to_text())
        if has_finder_masks:
            print("masks: made by the run only, and which photographs show the product is seen then")
        print(f"family: {job.recipe.family}, trained by {job.recipe.model.script}")
        return 0
    for told in job.warnings:
        say(f"warning: {told}")
    if recipe.masked_loss:
        say("making the masks that are not there yet")
    with _bar("mask") as bar:
        job.start(lambda done, total: _advance(bar, done, total))
    where = f"{recipe.output_name} ({job.recipe.family}) in {job.folder}"
    say(f"training {where}; Ctrl-C ends it after the epoch at hand")
    try:
        with _interruptible(job):
            result = _watch(job)
    finally:
        # what cannot be told, as on a terminal that was closed, must not leave the trainer running by itself
        if job.is_running:
            job.stop()
            job.wait()
    return _print_result(job, result)


def publish_run(arguments: argparse.Namespace) -> int:
    """Publish, then refresh the WebUI's list. Raises `PublishError` before anything was changed."""
    from lib_prodshot.hosts.remote import RemoteWebUI
    from lib_prodshot.training.publishing import publish

    run_folder(arguments.training)
    options = publish.PublishOptions(
        arguments.name, tuple(arguments.epoch or ()), arguments.weight, arguments.description
    )
    if not arguments.webui:
        _list(publish.publish(arguments.training, _lora_folder(arguments.to), options))
        return 0
    with RemoteWebUI(arguments.webui) as webui:
        folder = _lora_folder(arguments.to) if arguments.to else publish.webui_lora_folder(webui)
        _list(publish.publish(arguments.training, folder, options))
        publish.refresh(webui)
        say(f"{webui.address} knows them now")
    return 0


_ACTIONS = {
    "check": check_folder,
    "caption": caption_folder,
    "setup": set_up,
    "run": train,
    "publish": publish_run,
}


def _recipe(arguments: argparse.Namespace, complete: bool = True) -> Recipe:
    named = arguments.folder and input_folder(arguments.folder, "image_dir", _FOLDER_INSTEAD)
    values = {"image_dir": str(named)} if named else {}
    return recipe_from(arguments, complete, **values)


def _save_recipe(recipe: Recipe, path: Path) -> int:
    from lib_prodshot.jobs.files.staging import Staging
    from lib_prodshot.training.recipe import files as recipe_files

    if os.path.lexists(path):
        raise RequestError([FieldProblem("save_recipe", f"{path} exists and stays as it is", "another name")])
    if not path.parent.is_dir():
        raise RequestError([FieldProblem("save_recipe", f"there is no folder {path.parent}")])
    with Staging(path.parent) as staging:
        staging.path(path.name).write_text(recipe_files.to_text(recipe), encoding="utf-8")
    print(path)
    return 0


def _captioner(arguments: argparse.Namespace) -> Captioner | None:
    """The captioner that the options choose. Raises `RequestError` for options that do not go together."""
    from lib_prodshot.training.captioning import captioners

    needs = {"webui": arguments.webui, "file": arguments.captions}
    option = {"webui": "webui", "file": "captions"}
    for kind, value in needs.items():
        if value and arguments.captioner != kind:
            raise RequestError([FieldProblem(option[kind], f"is only for --captioner {kind}")])
        if arguments.captioner == kind and not value:
            raise RequestError([FieldProblem(option[kind], f"is needed for --captioner {kind}")])
    if arguments.captioner == "blip":
        return captioners.BlipCaptioner(arguments.blip_model or captioners.BLIP_MODEL, arguments.device)
    if arguments.captioner == "webui":
        from lib_prodshot.hosts.remote import RemoteWebUI

        return captioners.WebuiCaptioner(RemoteWebUI(arguments.webui))
    return captioners.FileCaptioner(arguments.captions) if arguments.captioner else None


def _tags(text: str) -> tuple[str, ...]:
    from lib_prodshot.training.dataset.captions import split_tags

    return tuple(split_tags(text))


def _lora_folder(chosen: Path | None) -> Path:
    """Where to publish: the folder named, else that of the WebUI whose extension this checkout is."""
    from lib_prodshot.training.publishing.publish import resolve_lora_folder

    if chosen is not None:
        return resolve_lora_folder(chosen)
    webui = ROOT.parent.parent
    if ROOT.parent.name == "extensions" and (webui / "models").is_dir():
        return webui / "models" / "Lora"
    raise RequestError([FieldProblem("to", "where to publish is not said", "--to DIR or --webui URL")])


def _list(published: Sequence[Published]) -> None:
    for one in published:
        print(f"{one.file}{' (was there)' if one.was_there else ''}")
        if one.side_car_kept:
            say(f"{one.side_car_kept} was there with something else in it, and stays: the WebUI fills in what it says")
    print(f"prompt: {published[-1].prompt}")
    print(f"fits: {published[-1].fits}")


def _watch(job: TrainingJob) -> TrainingResult:
    """A bar on a terminal, and everywhere a line for each epoch and each saved LoRA."""
    shown = job.progress()
    with _bar("step") as bar:
        while (result := job.wait(0.2)) is None:
            now = job.progress()
            for line in _progress_lines(shown, now):
                say(line)
            _advance(bar, now.step, now.total_steps)
            bar.set_postfix_str(f"{now.stage} {now.detail}".rstrip() if now.stage != "training" else _loss(now))
            shown = now
        for line in _progress_lines(shown, job.progress()):
            say(line)
    return result


def _progress_lines(before: Progress, now: Progress) -> Iterator[str]:
    yield from (f"saved {name}" for name in now.saved[len(before.saved) :])
    if now.epoch != before.epoch:
        yield now.to_text()
    elif not now.epoch and now.stage != before.stage and now.stage != "done":
        yield now.stage


def _loss(now: Progress) -> str:
    return "" if now.loss is None else f"epoch {now.epoch}/{now.epochs}, loss {now.loss:.4g}"


def _print_result(job: TrainingJob, result: TrainingResult) -> int:
    from lib_prodshot.training.trainer.losses import epoch_end_losses, read_losses

    for note in result.notes:
        say(note)
    if result.outcome == "failed":
        saved = f"; {len(result.loras)} saved LoRAs stay in {job.output}" if result.loras else ""
        raise TrainingError(f"{result.reason}{saved}")
    for path in result.loras:
        print(path)
    print(f"epochs: {result.epochs_done} of {job.recipe.max_train_epochs}, steps: {result.steps_done}")
    print(f"loss at each epoch's end: {epoch_end_losses(read_losses(job.folder), job.steps_per_epoch)}")
    if result.outcome == "stopped":
        say(result.reason)
        return 130
    say(f"`{as_typed(f'train publish {job.folder} --to DIR')}` puts them among a WebUI's LoRAs")
    return 0


def _interruptible(job: TrainingJob) -> AbstractContextManager[None]:
    """Ctrl-C ends the run once the epoch at hand is saved; a second one, SIGTERM, or the terminal's end ends it now."""
    interrupts = 0

    def interrupt(which: int) -> None:
        nonlocal interrupts
        interrupts += 1
        if which == signal.SIGINT and interrupts == 1:
            job.stop(after_epoch=True)
            say("stopping when this epoch is saved; Ctrl-C again stops now and loses it")
            return
        job.stop()
        say("stopping")

    return on_interrupt(interrupt)


def _bar(unit: str) -> tqdm[Any]:
    from tqdm import tqdm

    # disable=None: on only where standard error is a terminal
    return tqdm(unit=unit, disable=None, file=sys.stderr, leave=False, delay=0.3)


def _run_with_bar(
    job: FixJob | CaptionJob,
    total: int,
    unit: str,
    is_shown: Callable[[Any], bool],
    told_later: Callable[[Any], bool] = lambda one: False,
) -> list[Any]:
    """Run a job under a progress bar: problems go to standard error, but those that are `told_later`; results that
    `is_shown` to standard output."""
    done = []
    with _bar(unit) as bar:
        for one in job.run():
            done.append(one)
            _advance(bar, len(done), total)
            if one.problem:
                if not told_later(one):
                    say(str(one))
            elif is_shown(one):
                bar.write(str(one), file=sys.stdout)
    return done


def _advance(bar: tqdm[Any], done: int, total: int) -> None:
    if bar.total != total:
        bar.reset(total)
    bar.update(done - bar.n)
