"""Inpainting backend that runs an img2img pass nested in a generation of this WebUI, without side effects on it.

Sources: the WebUI's `modules/processing.py` (1.10.1) for the order of things, ADetailer's inner pass for the runner.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_prodshot import editing
from lib_prodshot.editing import NO_STITCH, UNSUPPORTED, EditPass, EditResult, Sampling, no_edit_model
from lib_prodshot.errors import EnhanceError
from lib_prodshot.hosts import installed
from lib_prodshot.hosts.compatibility import edit_models
from lib_prodshot.hosts.compatibility.controlnet import (
    DISABLED,
    ControlNet,
    ProbeResult,
    find_script,
    in_words,
    make_probe,
    reasons_recorded,
    script_stem,
    slots_of,
)
from lib_prodshot.hosts.compatibility.flags import memory_advice, vae_advice
from lib_prodshot.hosts.compatibility.interface_changes import describe_change, interface_changes_reported
from lib_prodshot.hosts.nested_pass.parent import NESTED_PASS, state_restored
from lib_prodshot.inpainting import (
    AnyPass,
    ControlLists,
    ControlUnavailable,
    Family,
    InpaintPass,
    PassDefaults,
    PassInterrupted,
    PassResult,
    UsedModels,
    pass_picture,
)

_OVERRIDES: dict[str, Any] = {
    "overlay_inpaint": False,
    "img2img_color_correction": False,
    "upscaler_for_img2img": "None",
    "img2img_inpaint_precise_mask": False,
    "return_mask": False,
    "return_mask_composite": False,
    "save_mask": False,
    "save_mask_composite": False,
    "save_init_img": False,
}
"""Settings of a pass: it returns the crop without overlay, for the final composite is ours."""

COMPANIONS = ("dynamic_thresholding", "lora_block_weight", "negpip", "sd_forge_dynamic_thresholding")
"""Scripts of other extensions (file names without .py) that change the meaning of prompts or CFG scale, so they run in
the pass too; all others do not."""


_TELLS_MODELS = ("sd_model_name", "sd_model_hash", "extra_generation_params")
"""Attributes of a generation that has run, as `UsedModels.told` takes them."""


class NestedPassBackend:
    """Inpainting backend of this WebUI: passes run nested in a generation (`parent`), or standalone without one."""

    def __init__(self, parent: Any | None, defaults: PassDefaults, control: ControlNet) -> None:
        self.defaults = defaults
        self._parent = parent
        self._control = control

    @interface_changes_reported()
    def family(self, checkpoint: str = "") -> Family:
        """The family of the named checkpoint; empty: of the one that this generation uses."""
        return installed.family(checkpoint or _parents_checkpoint(self._parent))

    @interface_changes_reported()
    def control_lists(self) -> ControlLists | None:
        """ControlNet's models and preprocessors; None if it is not installed. Raises `ControlUnavailable`."""
        script = find_script(self._runner())
        if script is None:
            return None
        try:
            first, end = slots_of(script)
            return self._control.lists(end - first, refresh=True)
        except Exception as error:  # an extension that was loaded by half, or describe_change
            words = " ".join(str(error).split())
            raise ControlUnavailable(
                f"the WebUI's ControlNet cannot be asked for its models: {type(error).__name__}: {words}"
            ) from error

    @interface_changes_reported()
    def missing_loras(self, names: Collection[str]) -> frozenset[str]:
        """Those of these names that no installed LoRA has."""
        return installed.missing_loras(names)

    @interface_changes_reported()
    def check(self, sampler: str, scheduler: str, checkpoint: str) -> None:
        """Raise `EnhanceError` for a sampler, scheduler or checkpoint that is not installed."""
        if sampler:
            installed.sampling(sampler, scheduler)
        elif scheduler:
            installed.sampling(self.defaults.sampler, scheduler)
        if checkpoint:
            installed.checkpoint(checkpoint)

    @interface_changes_reported()
    def inpaint(self, plan: InpaintPass) -> PassResult:
        """Run the pass. Raises `PassInterrupted` and `EnhanceError`; the host's state is restored in any case."""
        shared = _shared()
        _raise_if_interrupted(shared.state)
        runner, script = self._runner(), find_script(self._runner())
        probe = ProbeResult()
        shared.state.job_count = max(shared.state.job_count, 0) + 1
        with (
            state_restored(self._parent, shared),
            edit_models.references_apart(),
            self._isolated_control(script) as own,
            reasons_recorded(own) as told,
        ):
            scripts = self._own_runner(runner, own, probe)
            inner = self._processing(self._arguments(plan), scripts, self._own_arguments(plan, runner, script))
            with closing(inner):
                processed = _run(inner)
        _raise_if_interrupted(shared.state)
        picture, notes = _result(processed, plan)
        if warning := edit_models.warning():
            notes += (warning,)
        used = UsedModels.told(*(getattr(inner, name, None) for name in _TELLS_MODELS))
        if plan.control is None:
            return PassResult(picture, notes=notes, used=used)
        reason = "" if probe.control_ran else in_words(told)
        return PassResult(picture, probe.control_ran, reason, notes, used)

    @interface_changes_reported()
    def edit(self, plan: EditPass) -> EditResult:
        """Run the pass of an edit model. Raises `PassInterrupted` and `EnhanceError`; the host's state is restored in
        any case."""
        if not edit_models.supported():
            raise EnhanceError(UNSUPPORTED)
        shared = _shared()
        _raise_if_interrupted(shared.state)
        runner = self._runner()
        stitch = edit_models.find_stitch(runner) if plan.references else None
        shared.state.job_count = max(shared.state.job_count, 0) + 1
        with state_restored(self._parent, shared), edit_models.references_apart():
            scripts = _runner_of(runner, [] if stitch is None else [edit_models.own_stitch(stitch)])
            inner = self._processing(self._edit_arguments(plan), scripts, _stitch_arguments(plan, stitch))
            sampled = self._told_when_loaded(inner, plan)
            with closing(inner):
                processed = _run(inner, "edit")
        _raise_if_interrupted(shared.state)
        picture, notes = _result(processed, plan)
        if plan.references and stitch is None:
            notes += (NO_STITCH,)
        used = UsedModels.told(*(getattr(inner, name, None) for name in _TELLS_MODELS))
        return EditResult(picture, notes=notes, used=used, sampling=sampled[0] if sampled else plan.sampling)

    def _told_when_loaded(self, inner: Any, plan: EditPass) -> list[Sampling]:
        """Have the pass look at the model when the host has loaded it, and sample as that model does; the host loads it
        within the pass. The list then holds how. The pass raises `EnhanceError` for a model that is no edit model."""
        begin, sampled = inner.init, list[Sampling]()

        def init(*arguments: Any, **named: Any) -> Any:
            kind = edit_models.loaded()
            if not kind:
                raise EnhanceError(self._no_edit_model(plan))
            sampling = self._sampling(plan, kind)
            inner.steps, inner.cfg_scale = sampling.steps, sampling.cfg_scale
            inner.sampler_name, inner.scheduler = sampling.sampler, sampling.scheduler or None
            if sampling.distilled_cfg_scale:
                inner.distilled_cfg_scale = sampling.distilled_cfg_scale
            sampled.append(sampling)
            return begin(*arguments, **named)

        inner.init = init
        return sampled

    def _no_edit_model(self, plan: EditPass) -> str:
        if kind := edit_models.kind_of_loaded():
            return editing.switched_off_and_frozen(kind)
        name = plan.checkpoint or str(getattr(installed.in_use(), "name_for_extra", None) or "")
        return no_edit_model(name)

    def _sampling(self, plan: EditPass, kind: str) -> Sampling:
        """How a pass samples: as was asked, else as the generation around it does with the same model, else by the
        host's preset for the model."""
        inherited = Sampling.of(self.defaults)
        preset = Sampling.preset(kind, _shared().opts.data).filled(inherited)
        is_same = self._parent is not None and not plan.checkpoint
        wanted = plan.sampling.filled(inherited if is_same else preset)
        sampler, scheduler = installed.sampling(wanted.sampler, wanted.scheduler)
        return replace(wanted, sampler=sampler, scheduler=scheduler)

    def _edit_arguments(self, plan: EditPass) -> dict[str, Any]:
        # valid ones, until the model is known and has its own
        sampler, scheduler = installed.sampling(self.defaults.sampler, self.defaults.scheduler)
        return {
            **self._common(plan),
            "sampler_name": sampler,
            "scheduler": scheduler or None,
            "override_settings": _overrides(self._parent, plan.checkpoint, editing.switched_on),
            "denoising_strength": 1.0,
        }

    @contextmanager
    def _isolated_control(self, script: Any | None) -> Iterator[Any | None]:
        if script is None:
            yield None
            return
        with self._control.isolated(script, self._parent) as own:
            own.args_from, own.args_to = slots_of(script)
            yield own

    def _runner(self) -> Any:
        runner = getattr(self._parent, "scripts", None)
        return runner if runner is not None else import_module("modules.scripts").scripts_img2img

    def _processing(self, values: Mapping[str, Any], scripts: Any, arguments: list[Any]) -> Any:
        """Build the host's processing object; values are filtered by what this host's constructor takes."""
        kind = import_module("modules.processing").StableDiffusionProcessingImg2Img
        known = inspect.signature(kind.__init__).parameters
        inner = kind(**{name: value for name, value in values.items() if name in known})
        setattr(inner, NESTED_PASS, True)
        inner._ad_disabled = True
        inner.user = getattr(self._parent, "user", None)
        inner.is_api, inner.scripts_setup_complete = True, True
        # the class's own caches hold the parent's prompts
        inner.cached_c, inner.cached_uc = [None, None, None], [None, None, None]
        inner.scripts = scripts
        inner.script_args = arguments
        return inner

    def _arguments(self, plan: InpaintPass) -> dict[str, Any]:
        sampler, scheduler = installed.sampling(plan.sampler, plan.scheduler)
        return {
            **self._common(plan),
            "sampler_name": sampler,
            "scheduler": scheduler or None,
            "steps": plan.steps,
            "cfg_scale": plan.cfg_scale,
            "override_settings": _overrides(self._parent, plan.checkpoint),
            "denoising_strength": plan.denoising_strength,
            "mask": Image.fromarray(plan.mask),
            "mask_blur": plan.mask_blur,
            "inpainting_fill": plan.inpainting_fill,
            "inpaint_full_res": False,
            "inpaint_full_res_padding": 0,
            "inpainting_mask_invert": 0,
        }

    def _common(self, plan: InpaintPass | EditPass) -> dict[str, Any]:
        """What an inpaint pass and an edit have in common."""
        height, width = plan.size
        parent = self._parent
        return {
            "sd_model": _shared().sd_model,
            "outpath_samples": getattr(parent, "outpath_samples", None),
            "outpath_grids": getattr(parent, "outpath_grids", None),
            "prompt": plan.prompt,
            "negative_prompt": plan.negative_prompt,
            "styles": [],
            "seed": plan.seed,
            "subseed": plan.seed,
            "subseed_strength": 0,
            "batch_size": 1,
            "n_iter": 1,
            "distilled_cfg_scale": getattr(parent, "distilled_cfg_scale", 3.5),
            "width": width,
            "height": height,
            "restore_faces": False,
            "tiling": False,
            "do_not_save_samples": True,
            "do_not_save_grid": True,
            "do_not_reload_embeddings": True,
            "eta": getattr(parent, "eta", None),
            "init_images": [Image.fromarray(plan.picture)],
            "resize_mode": 0,
        }

    def _own_runner(self, runner: Any, own: Any | None, probe: ProbeResult) -> Any:
        """Build a script runner with companions, ControlNet's copy and the probe; without ourselves, ADetailer or soft
        inpainting."""
        companions = [
            script
            for script in runner.alwayson_scripts
            if self._parent is not None and script_stem(script) in COMPANIONS
        ]
        controls = [] if own is None else [own]
        return _runner_of(runner, [*companions, *controls, make_probe(self._control, own, probe)])

    def _own_arguments(self, plan: InpaintPass, runner: Any, script: Any | None) -> list[Any]:
        """Build script arguments: the parent's for the companions; only our unit in ControlNet's slots."""
        arguments = list(getattr(self._parent, "script_args", None) or [0])
        if script is None:
            return arguments
        first, end = slots_of(script)
        arguments += [None] * (end - len(arguments))
        slots: list[Any] = [dict(DISABLED) for _ in range(end - first)]
        if plan.control is not None:
            slots[0] = self._control.translate(plan.control)
        arguments[first:end] = slots
        return arguments


def _runner_of(runner: Any, scripts: Sequence[Any]) -> Any:
    """A script runner with these scripts alone."""
    mine = copy.copy(runner)
    # shared between copies, and two runners of equal length would call each other's scripts
    mine.callback_map = {}
    mine.selectable_scripts = []
    mine.alwayson_scripts = list(scripts)
    mine.scripts = list(scripts)
    return mine


def _stitch_arguments(plan: EditPass, stitch: Any | None) -> list[Any]:
    """Script arguments of an edit: its references in the image stitch's slots, in their own size."""
    if stitch is None:
        return [0]
    arguments: list[Any] = [0] + [None] * (stitch.args_to - 1)
    # switched on, the pictures as its gallery gives them, the longer side in pixels (0: as it is)
    values = [True, [(Image.fromarray(picture), None) for picture in plan.references], 0]
    arguments[stitch.args_from : stitch.args_from + len(values)] = values
    return arguments


def _shared() -> Any:
    return import_module("modules.shared")


def _overrides(
    parent: Any | None, checkpoint: str, more: Callable[[Collection[str]], Mapping[str, Any]] = lambda known: {}
) -> dict[str, Any]:
    """Merge the parent's overrides with ours, as far as this host has the settings, and those that `more` gives for
    what the host has; empty if settings are frozen, for a host then raises instead of overriding."""
    shared = _shared()
    if getattr(shared.cmd_opts, "freeze_settings", False):
        return {}
    wanted: dict[str, Any] = {**(getattr(parent, "override_settings", None) or {}), **_OVERRIDES}
    if checkpoint:
        wanted["sd_model_checkpoint"] = installed.checkpoint(checkpoint).title
    labels = shared.opts.data_labels
    wanted.update(more(labels))
    return {key: value for key, value in wanted.items() if key in labels}


def _parents_checkpoint(parent: Any | None) -> str:
    return str((getattr(parent, "override_settings", None) or {}).get("sd_model_checkpoint") or "")


def _raise_if_interrupted(state: Any) -> None:
    if state.interrupted or state.skipped or state.stopping_generation:
        raise PassInterrupted("interrupted")


def _run(inner: Any, what: str = "inpaint pass") -> Any:
    """Run the host's `process_images`; an exception becomes an `EnhanceError` that says `what` failed, and why."""
    try:
        return import_module("modules.processing").process_images(inner)
    except EnhanceError:
        raise
    except Exception as error:
        raise EnhanceError(describe_change(error) or _message(error, what)) from error


def _message(error: Exception, what: str) -> str:
    kind = type(error).__name__
    text = " ".join(str(error).split())
    if kind == "OutOfMemoryError" or "out of memory" in text.lower():
        return f"the {what} ran out of memory; {memory_advice()}"
    if kind == "NansException":
        return f"the {what} gave no numbers (NaN); {vae_advice()}"
    return f"the {what} failed: {kind}: {text}" if text else f"the {what} failed: {kind}"


def _result(processed: Any, plan: AnyPass) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """The pass's picture at the plan's size (H×W×3), and what is to be said of it."""
    if processed is None or not processed.images:
        raise PassInterrupted("interrupted")
    return pass_picture(processed.images[0].convert("RGB"), plan, vae_advice())
