"""Inpainting backend that runs passes on a remote WebUI, through its own img2img route.

Prodshot need not be installed there; if it is, it reports whether ControlNet was applied.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_prodshot import control
from lib_prodshot.editing import (
    NO_STITCH,
    SUPPORT,
    UNSUPPORTED,
    EditPass,
    EditResult,
    EditSupport,
    Sampling,
    kind_by_name,
    no_edit_model,
    switched_on,
)
from lib_prodshot.errors import EnhanceError
from lib_prodshot.hosts.generation.attributes import REPORT_CONTROL
from lib_prodshot.hosts.remote import RemoteError, RemoteWebUI
from lib_prodshot.inpainting import (
    AnyPass,
    ControlLists,
    Family,
    InpaintPass,
    PassDefaults,
    PassInterrupted,
    PassResult,
    UsedModels,
    pass_picture,
)
from lib_prodshot.outcome import CONTROL_APPLIED, CONTROL_REASON

_UNTOLD = (
    "this WebUI does not tell whether its checkpoint is an edit model: install Prodshot there, and look at the result"
)

_NO_PICTURE = "the WebUI answered something that is not a picture"

_NOTHING = "the WebUI sent no picture: the pass was interrupted there, or its console says why"

_LOSSLESS = ("PNG", "BMP", "TIFF")
"""Formats of an answer, as Pillow calls them, in which nothing is lost."""

_GRID = 64
"""A fork may round a pass's size to its own grid of so many pixels."""

Progress = Callable[[float], None]
"""Called with the share done, 0..1."""

_T = TypeVar("_T")


def _encode_png(samples: npt.NDArray[np.uint8]) -> str:
    file = BytesIO()
    Image.fromarray(samples).save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


_OVERRIDES = {
    "overlay_inpaint": False,
    "img2img_color_correction": False,
    "upscaler_for_img2img": "None",
    "return_mask": False,
    "return_mask_composite": False,
    "control_net_no_detectmap": False,
}
"""Settings of a pass, as in a nested one; ControlNet's map in the response shows that it was applied."""


@dataclass
class RemoteInpaintingBackend:
    """Inpainting backend that runs passes on a remote WebUI through its own img2img route.

    `progress` is called with the progress of a pass. Ctrl-C interrupts the remote pass too.
    """

    webui: RemoteWebUI
    defaults: PassDefaults = field(default_factory=PassDefaults)
    progress: Progress = lambda share: None
    interval: float = 1.0
    _seen: dict[str, Any] = field(default_factory=dict, repr=False)

    def family(self, checkpoint: str = "") -> Family:
        """The family of the loaded checkpoint, by the remote Prodshot; of a named one, by its name."""
        if not checkpoint:
            with suppress(RemoteError):
                told = self._once("/prodshot/v1/status").get("family")
                if told in ("sd15", "sd2", "sdxl"):
                    return cast(Family, told)
            with self._parsing():
                checkpoint = str(self._once("/sdapi/v1/options").get("sd_model_checkpoint", ""))
        return control.family_of(checkpoint) or "other"

    def control_lists(self) -> ControlLists | None:
        """The remote ControlNet's models and preprocessors; None if it is not installed."""
        try:
            with self._parsing():
                models = list(self._once("/controlnet/model_list")["model_list"])
                # the names that people and units use (depth_midas); without the question A1111 tells its own (depth)
                modules = list(self._once("/controlnet/module_list?alias_names=true")["module_list"])
                none = next((module for module in modules if module.lower() == "none"), "none")
        except RemoteError as error:
            if error.status == 404:
                return None
            raise
        known = tuple(model for model in models if model != "None")
        return ControlLists(known, tuple(modules), none, 1)

    def missing_loras(self, names: Collection[str]) -> frozenset[str]:
        """Those of these names that no remote LoRA has; all of them if the server has no list."""
        try:
            loras = self.webui.get("/sdapi/v1/loras")
        except RemoteError as error:
            if error.status == 404:
                return frozenset(names)
            raise
        with self._parsing():
            known = {str(lora.get(key)) for lora in loras for key in ("name", "alias")}
        return frozenset(names) - known

    def check(self, sampler: str, scheduler: str, checkpoint: str) -> None:
        """Raise `EnhanceError` for a sampler, scheduler or checkpoint that is not there."""
        with self._parsing():
            if sampler or scheduler:
                self._sampling(sampler or self.defaults.sampler, scheduler)
            if checkpoint:
                self._checkpoint(checkpoint)

    def inpaint(self, plan: InpaintPass) -> PassResult:
        """Run the pass remotely. Raises `PassInterrupted` and `EnhanceError`."""
        reply, images = self._run(lambda: self._body(plan))
        ran = None if plan.control is None else self._control_ran(reply, len(images) - 1)
        picture, notes = _decode(images[0], plan)
        reason = "" if ran else _reported(reply, CONTROL_REASON, str) or ""
        return PassResult(picture, ran, reason, (*notes, *_lossy_note(images[0])), _used_models(reply))

    def edit(self, plan: EditPass) -> EditResult:
        """Run the pass of an edit model remotely. Raises `PassInterrupted` and `EnhanceError`; whether its checkpoint
        is an edit model is told by the Prodshot that is installed there, if one is."""
        with self._parsing():
            options = self._once("/sdapi/v1/options")
            if not any(name in options for name in SUPPORT):
                raise EnhanceError(UNSUPPORTED)
        name = plan.checkpoint or str(options.get("sd_model_checkpoint") or "")
        kind = self._edit_support().model
        if kind == "" and not plan.checkpoint:
            raise EnhanceError(no_edit_model(name))
        preset = Sampling.preset(kind or kind_by_name(name), options)
        sampling = plan.sampling.filled(preset).filled(Sampling.of(self.defaults))
        stitch = self._stitch() if plan.references else ""
        reply, images = self._run(lambda: self._edit_body(plan, sampling, options, stitch))
        kind = self._edit_support().model
        if kind == "":
            raise EnhanceError(no_edit_model(name))
        picture, notes = _decode(images[0], plan)
        if kind is None:
            notes += (_UNTOLD,)
        if plan.references and not stitch:
            notes += (NO_STITCH,)
        notes += _lossy_note(images[0])
        return EditResult(picture, notes=notes, used=_used_models(reply), sampling=sampling)

    def _run(self, body_of: Callable[[], dict[str, Any]]) -> tuple[Any, list[str]]:
        """The answer to a pass, and its pictures, of which there is one at least."""
        try:
            with self._parsing():
                body = body_of()
            reply = self._with_progress(lambda: self.webui.post("/sdapi/v1/img2img", body))
        except RemoteError as error:
            raise EnhanceError(_with_advice(str(error))) from error
        with self._parsing():
            images = reply.get("images") or []
            if not isinstance(images, list):
                raise EnhanceError(_NO_PICTURE)
        if not images:
            raise PassInterrupted(_NOTHING)
        return reply, images

    def _edit_support(self) -> EditSupport:
        """What the remote Prodshot tells of edit models now; nothing where there is none."""
        with suppress(RemoteError, LookupError, TypeError, AttributeError):
            told = self.webui.get("/prodshot/v1/status")["edit"]
            return EditSupport(bool(told["supported"]), told["model"], str(told["stitch"]))
        return EditSupport()

    def _stitch(self) -> str:
        """The name of the script that takes further references; empty where there is none, or none that can be told."""
        told = self._edit_support().stitch.lower()
        with suppress(RemoteError, KeyError, TypeError):
            for script in self._once("/sdapi/v1/script-info"):
                name = str(script["name"])
                is_stitch = name.lower() == told if told else "stitch" in name.lower()
                if is_stitch and script["is_alwayson"] and script["is_img2img"]:
                    return name
        return ""

    def _edit_body(self, plan: EditPass, sampling: Sampling, options: Mapping[str, Any], stitch: str) -> dict[str, Any]:
        body = self._common_body(plan, sampling.sampler, sampling.scheduler)
        body["override_settings"].update(switched_on(options))
        body |= {"denoising_strength": 1.0, "steps": sampling.steps, "cfg_scale": sampling.cfg_scale}
        if sampling.distilled_cfg_scale:
            body["distilled_cfg_scale"] = sampling.distilled_cfg_scale
        if stitch:
            # switched on, the pictures, the longer side in pixels (0: as it is)
            arguments = [True, [_encode_png(picture) for picture in plan.references], 0]
            body["alwayson_scripts"] = {stitch: {"args": arguments}}
        return body

    @contextmanager
    def _parsing(self) -> Iterator[None]:
        """Context for parsing a response: an unexpected structure raises `EnhanceError`."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise EnhanceError(f"{self.webui.address} answered something else than a WebUI does; is it one?") from error

    def _control_ran(self, reply: Mapping[str, Any], maps: int) -> bool | None:
        """Whether ControlNet was applied: reported by the remote Prodshot, else by the maps that ControlNet adds to a
        response. The Forge family adds them before it loads the model: there only a missing map is conclusive."""
        seen = _reported(reply, CONTROL_APPLIED, bool)
        if seen is not None:
            return seen
        if maps < 1:
            return False
        with suppress(RemoteError):
            # only Mikubill's extension has this route
            return bool(self._once("/controlnet/version"))
        return None

    def _with_progress(self, work: Callable[[], _T]) -> _T:
        with ThreadPoolExecutor(max_workers=1) as pool:
            pending = pool.submit(work)
            try:
                while not pending.done():
                    with suppress(NotYet):
                        return pending.result(timeout=self.interval)
                    self.progress(self.webui.sampling_progress())
            except KeyboardInterrupt:
                # the pool waits for its thread, and the thread for the server
                self.webui.interrupt()
                raise
            return pending.result()

    def _common_body(self, plan: InpaintPass | EditPass, sampler: str, scheduler: str) -> dict[str, Any]:
        """What an inpaint pass and an edit have in common."""
        height, width = plan.size
        sampler, scheduler = self._sampling(sampler, scheduler)
        known = self._once("/sdapi/v1/options")
        overrides: dict[str, Any] = {key: value for key, value in _OVERRIDES.items() if key in known}
        if plan.checkpoint:
            overrides["sd_model_checkpoint"] = self._checkpoint(plan.checkpoint)
        body: dict[str, Any] = {
            "init_images": [_encode_png(plan.picture)],
            "resize_mode": 0,
            "prompt": plan.prompt,
            "negative_prompt": plan.negative_prompt,
            "seed": plan.seed,
            "sampler_name": sampler,
            "width": width,
            "height": height,
            "override_settings": overrides,
            "override_settings_restore_afterwards": True,
            "save_images": False,
        }
        if scheduler:
            body["scheduler"] = scheduler
        return body

    def _body(self, plan: InpaintPass) -> dict[str, Any]:
        body = self._common_body(plan, plan.sampler, plan.scheduler)
        body |= {
            "mask": _encode_png(plan.mask),
            "mask_blur": plan.mask_blur,
            "inpainting_fill": plan.inpainting_fill,
            "inpaint_full_res": False,
            "inpainting_mask_invert": 0,
            "denoising_strength": plan.denoising_strength,
            "steps": plan.steps,
            "cfg_scale": plan.cfg_scale,
        }
        if plan.control is not None:
            unit = {**plan.control, "save_detected_map": True}
            body["alwayson_scripts"] = {"controlnet": {"args": [unit]}, **self._control_report_arguments()}
        return body

    def _control_report_arguments(self) -> dict[str, Any]:
        """Arguments for the remote Prodshot's accordion, switched off, that request a report on ControlNet; empty if it
        is not installed or not shown, for a WebUI rejects an unknown script."""
        with suppress(RemoteError, KeyError, TypeError):
            for script in self._once("/sdapi/v1/script-info"):
                if (script["name"], script["is_alwayson"], script["is_img2img"]) == ("prodshot", True, True):
                    return {"prodshot": {"args": [False, {REPORT_CONTROL: True}]}}
        return {}

    def _sampling(self, sampler: str, scheduler: str) -> tuple[str, str]:
        known = [str(item["name"]) for item in self._once("/sdapi/v1/samplers")]
        try:
            schedules = [str(item["label"]) for item in self._once("/sdapi/v1/schedulers")]
        except RemoteError as error:
            if error.status != 404:
                raise
            # where schedulers are part of the samplers' names
            joined = f"{sampler} {scheduler}".strip()
            return (joined if joined in known else _named("sampler", sampler, known)), ""
        return _named("sampler", sampler, known), _named("scheduler", scheduler, schedules) if scheduler else ""

    def _checkpoint(self, name: str) -> str:
        known = self._once("/sdapi/v1/sd-models")
        for item in known:
            if name.lower() in {str(item.get(key, "")).lower() for key in ("title", "model_name", "hash")}:
                return str(item["title"])
        return _named("checkpoint", name, [str(item["title"]) for item in known])

    def _once(self, path: str) -> Any:
        if path not in self._seen:
            self._seen[path] = self.webui.get(path)
        return self._seen[path]


def _reported(reply: Mapping[str, Any], key: str, kind: type[_T]) -> _T | None:
    """What the remote Prodshot says of ControlNet under this key; None where it says nothing of this kind."""
    with suppress(KeyError, TypeError, ValueError):
        told = json.loads(reply["info"])["extra_generation_params"][key]
        return told if isinstance(told, kind) else None
    return None


def _used_models(reply: Mapping[str, Any]) -> UsedModels:
    """What the server says it sampled with; empty where it says nothing that can be read."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        told = json.loads(reply["info"])
        names = ("sd_model_name", "sd_model_hash", "extra_generation_params")
        return UsedModels.told(*(told.get(name) for name in names))
    return UsedModels()


def _named(what: str, name: str, known: Sequence[str]) -> str:
    found = next((other for other in known if other.lower() == name.lower()), None)
    if found is None:
        raise EnhanceError(f"the WebUI has no {what} {name!r}; choose one of {', '.join(known)}")
    return found


def _decode(code: str, plan: AnyPass) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    height, width = plan.size
    try:
        answered = Image.open(BytesIO(base64.b64decode(code.rpartition(",")[2])))
        # told by the header, before anything is decoded
        _check_size(answered.size, (width, height))
        image = answered.convert("RGB")
    except EnhanceError:
        raise
    except Exception as error:  # whatever a decoder raises, the answer is no picture
        raise EnhanceError(_NO_PICTURE) from error
    return pass_picture(image, plan)


def _check_size(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    if any(abs(length - asked) > _GRID for length, asked in zip(size, wanted)):
        told, asked_for = ("×".join(map(str, lengths)) for lengths in (size, wanted))
        raise EnhanceError(f"the WebUI answered a picture of another size, {told} instead of {asked_for}")


def _lossy_note(code: str) -> tuple[str, ...]:
    with Image.open(BytesIO(base64.b64decode(code.rpartition(",")[2]))) as answered:
        form = answered.format or ""
    if form in _LOSSLESS:
        return ()
    name = {"WEBP": "WebP", "MPO": "JPEG"}.get(form, form)
    return (f"the WebUI sends its pictures as {name}: set its file format for images to png for the full quality",)


def _with_advice(reason: str) -> str:
    is_memory = "OutOfMemoryError" in reason or "out of memory" in reason.lower()
    return f"{reason}; lower the resolution" if is_memory else reason
